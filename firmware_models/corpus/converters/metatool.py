"""MetaTool (MIT): a request and which of 199 tools it needs."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from firmware_models.corpus.converters.utterance import Utterance


def read(folder: Path) -> Iterator[Utterance]:
    """Yield the requests, each text once."""
    seen: set[str] = set()
    with (folder / "metatool" / "data" / "all_clean_data.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            text = row["Query"].strip()
            if text.isascii() and text not in seen and 3 < len(text.split()) < 30 and "\n" not in text:
                seen.add(text)
                yield Utterance("metatool", f"metatool.{row['Tool']}", ((text, None),))


def descriptions(folder: Path) -> Mapping[str, str]:
    """The first sentence that describes each tool."""
    told = json.loads((folder / "metatool" / "plugin_des.json").read_text("utf-8"))
    return {name: re.split(r"(?<=[.!?])\s", text.strip())[0] for name, text in told.items()}


def files(folder: Path) -> list[Path]:
    """The files that `read` uses."""
    return [folder / "metatool" / "data" / "all_clean_data.csv", folder / "metatool" / "plugin_des.json"]
