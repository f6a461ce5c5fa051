"""Weights that passed the safety suite on this device to a note of it: Needle's are asked with one, and else not.

The same suite as the canary's, and as strict: nothing forbidden may be offered. The note names the weights by their
hashes, needle-rs by its version and this software by its own: after any of them changed, the suite has to be run again.

Covers: a note that is absent, damaged, or of other weights (there is none).
Does not cover: a server: what answers at an address can be another model tomorrow. Nor an owner who writes the note by
hand: whoever may write it may write the settings.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from appliance import __version__
from appliance.adapters.chosen import EscalationSettings
from appliance.contracts.record import Record

NAME: Final = "needle-passed.json"
_MOST_BYTES: Final = 4096


class Passed(Record):
    """`HOME/needle-passed.json`: what the safety suite was passed by."""

    format: Literal["needle-passed/1"] = "needle-passed/1"
    generation: int
    weights_sha256: str
    vocabulary_sha256: str
    needle_rs: str
    software: str


def of(chosen: EscalationSettings, needle_rs: str) -> Passed:
    """Return what the note says once these settings have passed."""
    return Passed(
        generation=chosen.generation,
        weights_sha256=chosen.weights_sha256,
        vocabulary_sha256=chosen.vocabulary_sha256 if chosen.generation == 1 else "",
        needle_rs=needle_rs,
        software=__version__,
    )


def note(home: Path, passed: Passed) -> None:
    """Keep it; a power cut leaves it or what was there before."""
    draft = home / f".{NAME}.new"
    with draft.open("w", encoding="utf-8") as file:
        file.write(passed.model_dump_json() + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(home / NAME)


def take_back(home: Path) -> None:
    """Forget it: what was asked last has not passed."""
    (home / NAME).unlink(missing_ok=True)


def has(home: Path, wanted: Passed) -> bool:
    """Return whether the note here is about exactly these."""
    try:
        with (home / NAME).open("rb") as file:
            return Passed.model_validate_json(file.read(_MOST_BYTES)) == wanted
    except (OSError, ValidationError):
        return False
