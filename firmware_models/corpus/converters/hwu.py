"""HWU64 and SLURP (CC-BY-4.0): home and assistant utterances of one collection, written down twice."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firmware_models.corpus.converters.utterance import Utterance

_MARKED = re.compile(r"\[([a-z_]+) : ([^\]]+)\]")


def read(folder: Path) -> Iterator[Utterance]:
    """Yield the utterances of both sets."""
    for path in files(folder):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                yield _slurp(row) if "sentence_annotation" in row else _hwu(row)


def files(folder: Path) -> list[Path]:
    """The files that `read` uses; SLURP's test file stays out."""
    return [folder / "hwu64" / "utterances.jsonl", folder / "slurp" / "devel.jsonl"]


def _hwu(row: dict[str, Any]) -> Utterance:
    text, at = row["text"], 0
    pieces: list[tuple[str, str | None]] = []
    for entity in sorted(row["entities"], key=lambda e: e["start"]):
        start, end = entity["start"], entity["end"]
        if start < at or text[start:end] != entity["value"]:
            continue
        if start > at:
            pieces.append((text[at:start], None))
        pieces.append((text[start:end], entity["entity"]))
        at = end
    if at < len(text):
        pieces.append((text[at:], None))
    return Utterance("hwu64", f"hwu.{row['intent']}", tuple(pieces))


def _slurp(row: dict[str, Any]) -> Utterance:
    marked, at = row["sentence_annotation"], 0
    pieces: list[tuple[str, str | None]] = []
    for match in _MARKED.finditer(marked):
        if match.start() > at:
            pieces.append((marked[at : match.start()], None))
        pieces.append((match[2].strip(), match[1]))
        at = match.end()
    if at < len(marked):
        pieces.append((marked[at:], None))
    return Utterance("slurp", f"hwu.{row['intent']}", tuple(pieces))
