"""Every converted data set, with how many rows of it a corpus takes."""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from firmware_models.corpus.concepts import Concept
from firmware_models.corpus.converters import (
    clinc,
    evaluation,
    ha_devices,
    hwu,
    lu,
    metatool,
    restaurant8k,
    rows,
    schemas,
    snips,
)
from firmware_models.corpus.converters.utterance import Utterance


class Source(NamedTuple):
    """A data set."""

    name: str
    folder: str
    read: Callable[[Path], Iterator[Utterance]]
    files: Callable[[Path], Sequence[Path]]
    share: float
    """Of all human rows."""
    refused: float
    """How often the right tool is left out."""
    open: bool
    """Whether intents without a tool are used, as refusals."""


SOURCES = (
    Source("snips", "snips", snips.read, snips.files, share=0.26, refused=0.12, open=False),
    Source("hwu64+slurp", "hwu64", hwu.read, hwu.files, share=0.36, refused=0.17, open=True),
    Source("clinc150", "clinc150", clinc.read, clinc.files, share=0.15, refused=0.15, open=True),
    Source("ha-devices", "ha-devices", ha_devices.read, ha_devices.files, share=0.10, refused=0.2, open=False),
    Source("botframework-lu", "botframework-lu", lu.read, lu.files, share=0.05, refused=0.15, open=False),
    Source("restaurant8k", "polyai", restaurant8k.read, restaurant8k.files, share=0.05, refused=0.1, open=False),
    Source("metatool", "metatool", metatool.read, metatool.files, share=0.03, refused=0.0, open=False),
)


def convert(folder: Path, count: int, seed: int) -> list[dict[str, Any]]:
    """Make about *count* rows of the data sets that *folder* holds."""
    made: list[dict[str, Any]] = []
    for source in SOURCES:
        if not (folder / source.folder).is_dir():
            continue
        chance = random.Random(f"{source.name}/{seed}")
        known = _concepts(source.name, folder)
        utterances = [u for u in source.read(folder) if usable(u) and (source.open or u.intent in known)]
        chance.shuffle(utterances)
        wanted = round(count * source.share)
        built = rows.build(utterances, known, chance, source.refused)
        made.extend(islice(built, wanted))
    return made


def usable(utterance: Utterance) -> bool:
    """Whether a person could have said it to a device: short enough, and in letters."""
    text = utterance.text
    return bool(text.strip()) and len(text) < 200 and text.isascii()


def hashes(folder: Path) -> Mapping[str, str]:
    """The sha256 of every file that the converters read, those of the evaluation sets included."""
    read = [path for source in SOURCES for path in source.files(folder)] + evaluation.files(folder)
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in read
        if path.is_file()
    }


def _concepts(name: str, folder: Path) -> Mapping[str, Concept]:
    if name == "clinc150":
        return schemas.clinc()
    if name == "metatool":
        return schemas.metatool(metatool.descriptions(folder))
    return schemas.human()
