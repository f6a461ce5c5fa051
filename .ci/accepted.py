"""What somebody has looked at and lets pass: `requirements/accepted.toml`, each entry with a reason.

Covers: findings of `audit.py` until a last day; versions that are younger than the rest of a lock, for a fix that
cannot wait a week.
Does not cover: files that were taken back or are gone. Nothing lets those pass.
"""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PATH = Path(__file__).parents[1] / "requirements" / "accepted.toml"

Reason = Annotated[str, Field(min_length=20)]


class Unusable(Exception):
    """The file is not what it should be; the message says where."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    package: str
    why: Reason


class Finding(_Entry):
    """A known vulnerability that does not concern us."""

    id: str
    until: date
    """The last day; then it is a finding again."""


class Young(_Entry):
    """A version that is taken before its week is over."""

    version: str


class Accepted(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    findings: list[Finding] = []
    young: list[Young] = []

    def finding(self, ids: set[str], package: str, today: date) -> str:
        """Why a finding passes today; empty: it does not."""
        reasons = [f.why for f in self.findings if f.id in ids and f.package == package and today <= f.until]
        return reasons[0] if reasons else ""

    def youth(self, package: str, version: str) -> str:
        """Why a version may be young; empty: it may not."""
        reasons = [y.why for y in self.young if (y.package, y.version) == (package, version)]
        return reasons[0] if reasons else ""


def read(path: Path) -> Accepted:
    """What passes.

    Raises:
        Unusable: the file is not there or says something else.
    """
    try:
        return Accepted.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError, OSError) as why:
        raise Unusable(f"{path.name}: {why}") from why
