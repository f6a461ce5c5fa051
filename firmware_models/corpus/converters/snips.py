"""SNIPS (CC0): seven intents with marked slots. Only `train_*` is for training; `validate_*` is a development set."""

import json
from collections.abc import Iterator
from pathlib import Path

from firmware_models.corpus.converters.utterance import Utterance


def read(folder: Path, part: str = "train") -> Iterator[Utterance]:
    """Yield the utterances of *part*, "train" or "validate"."""
    for path in files(folder, part):
        # The publishers wrote some files as Latin-1.
        body = path.read_bytes()
        try:
            intents = json.loads(body.decode("utf-8"))
        except UnicodeDecodeError:
            intents = json.loads(body.decode("latin-1"))
        for intent, rows in intents.items():
            for row in rows:
                pieces = tuple((part["text"], part.get("entity")) for part in row["data"] if part["text"])
                if pieces:
                    yield Utterance("snips", f"snips.{intent}", pieces)


def files(folder: Path, part: str = "train") -> list[Path]:
    """The files that `read` uses."""
    ending = "_full.json" if part == "train" else ".json"
    return sorted(p for p in (folder / "snips").glob(f"{part}_*{ending}"))
