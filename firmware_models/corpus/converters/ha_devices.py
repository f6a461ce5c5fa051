"""Home Assistant device sentences (Apache-2.0): what people say to a device of a home, by action."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from firmware_models.corpus.converters.utterance import Utterance

_ACTIONS: Final = {
    "Turn on": "turn_on",
    "Turn off": "turn_off",
    "Set brightness": "set_brightness",
    "Set temperature": "set_temperature",
    "Set volume": "set_volume",
    "Pause": "pause",
    "Unpause": "unpause",
    "Next track": "next_track",
    "Previous track": "previous_track",
    "Open": "open",
    "Close": "close",
    "Lock": "lock",
    "Unlock": "unlock",
    "Set position": "set_position",
}
_FOREIGN: Final = frozenset(
    [
        "la",
        "le",
        "les",
        "du",
        "de",
        "en",
        "il",
        "lo",
        "gli",
        "der",
        "die",
        "das",
        "dem",
        "den",
        "ein",
        "eine",
        "el",
        "los",
        "las",
        "una",
        "un",
        "al",
        "et",
        "di",
        "da",
        "che",
        "na",
        "w",
        "och",
        "i",
        "på",
        "på",
    ]
)
_NUMBERED: Final = {
    "set_brightness": "brightness",
    "set_temperature": "temperature",
    "set_volume": "volume",
    "set_position": "position",
}


def read(folder: Path) -> Iterator[Utterance]:
    """Yield the sentences that name their device or its area."""
    for path in files(folder):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                action = _ACTIONS.get(row["action"])
                if action is None:
                    continue
                for sentence in row["sentences"]:
                    pieces = _pieces(sentence, row["device"], row.get("area") or "", _NUMBERED.get(action))
                    if pieces is not None:
                        yield Utterance("ha-devices", f"home.{action}", pieces)


def files(folder: Path) -> list[Path]:
    """The files that `read` uses."""
    return [folder / "ha-devices" / "device_actions.jsonl"]


def _pieces(sentence: str, device: str, area: str, numbered: str | None) -> tuple[tuple[str, str | None], ...] | None:
    spans: list[tuple[int, int, str]] = []
    for slot, words in (("name", device), ("area", area)):
        match = re.search(rf"\b{re.escape(words)}\b", sentence, re.IGNORECASE) if words else None
        if match is not None and not any(match.start() < end and start < match.end() for start, end, _ in spans):
            spans.append((match.start(), match.end(), slot))
    rest = set(re.findall(r"[a-z]+", sentence.lower())) - set(re.findall(r"[a-z]+", f"{device} {area}".lower()))
    if not spans or not sentence.isascii() or rest & _FOREIGN:
        return None
    if numbered:
        numbers = list(re.finditer(r"\b\d+(?: ?%| percent\b| degrees\b|°C?)?", sentence))
        free = [m for m in numbers if not any(m.start() < end and start < m.end() for start, end, _ in spans)]
        if len(free) != 1:
            return None
        spans.append((free[0].start(), free[0].end(), numbered))
    pieces: list[tuple[str, str | None]] = []
    at = 0
    for start, end, slot in sorted(spans):
        if start > at:
            pieces.append((sentence[at:start], None))
        pieces.append((sentence[start:end], slot))
        at = end
    if at < len(sentence):
        pieces.append((sentence[at:], None))
    return tuple(pieces)
