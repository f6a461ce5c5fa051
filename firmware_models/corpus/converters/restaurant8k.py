"""RESTAURANTS-8K (CC-BY-4.0): what callers say about a booking, with the spans of five slots. `test.json` stays out."""

import json
from collections.abc import Iterator
from pathlib import Path

from firmware_models.corpus.converters.utterance import Utterance


def read(folder: Path) -> Iterator[Utterance]:
    """Yield the utterances in which something is said about the booking."""
    for path in files(folder):
        for row in json.loads(path.read_text("utf-8")):
            text = row["userInput"]["text"]
            labels = sorted(
                (label["valueSpan"].get("startIndex", 0), label["valueSpan"]["endIndex"], label["slot"])
                for label in row.get("labels", ())
                if "valueSpan" in label
            )
            pieces: list[tuple[str, str | None]] = []
            at = 0
            for start, end, slot in labels:
                if start < at:
                    continue
                if start > at:
                    pieces.append((text[at:start], None))
                pieces.append((text[start:end], slot))
                at = end
            if at < len(text):
                pieces.append((text[at:], None))
            # A bare name or number means nothing without the question before it.
            if labels and len(text.split()) > 3:
                yield Utterance("restaurant8k", "table.inform", tuple(pieces))


def files(folder: Path) -> list[Path]:
    """The files that `read` uses."""
    return sorted((folder / "polyai" / "span_extraction" / "restaurant8k").glob("train_*.json"))
