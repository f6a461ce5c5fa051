"""CLINC150 (CC-BY-3.0): 150 intents without slots, and requests that belong to none. Only the train parts are used."""

import json
from collections.abc import Iterator
from pathlib import Path

from firmware_models.corpus.converters.utterance import Utterance


def read(folder: Path) -> Iterator[Utterance]:
    """Yield the training utterances; those of no intent have the intent `clinc.oos`."""
    for path in files(folder):
        parts = json.loads(path.read_text("utf-8"))
        for name in ("train", "oos_train"):
            for text, intent in parts[name]:
                yield Utterance("clinc150", f"clinc.{intent}", ((text, None),))


def files(folder: Path) -> list[Path]:
    """The files that `read` uses."""
    return [folder / "clinc150" / "data" / "data_full.json"]
