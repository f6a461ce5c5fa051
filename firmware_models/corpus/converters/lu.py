"""Bot Framework `.lu` files (MIT): `## Intent` headings and `- utterance with {Slot=value}` lines."""

import re
from collections.abc import Iterator
from pathlib import Path

from firmware_models.corpus.converters.utterance import Utterance

_SLOT = re.compile(r"\{([A-Za-z]+)=([^{}]+)\}")


def read(folder: Path) -> Iterator[Utterance]:
    """Yield the utterances of every file, each text once."""
    seen: set[str] = set()
    for path in files(folder):
        intent = ""
        for line in path.read_text("utf-8-sig").splitlines():
            if line.startswith("## "):
                intent = line[3:].strip()
            elif line.startswith("- ") and intent:
                pieces = parse(line[2:].strip())
                text = "".join(part for part, _ in pieces)
                if pieces and text not in seen and "{" not in text and "@" not in text:
                    seen.add(text)
                    yield Utterance("botframework-lu", f"lu.{intent}", pieces)


def files(folder: Path) -> list[Path]:
    """The files that `read` uses."""
    return sorted((folder / "botframework-lu").rglob("en-us/**/*.lu"))


def parse(line: str) -> tuple[tuple[str, str | None], ...]:
    """Read one utterance."""
    pieces: list[tuple[str, str | None]] = []
    at = 0
    for match in _SLOT.finditer(line):
        if match.start() > at:
            pieces.append((line[at : match.start()], None))
        pieces.append((match[2].strip(), match[1]))
        at = match.end()
    if at < len(line):
        pieces.append((line[at:], None))
    return tuple(pieces)
