"""Questions that were asked before: `.sql` files that ship, and those that lie in `HOME/queries`.

A file begins with comments: a line that says what it answers, then `-- :name  what it is` for each parameter, with
`(needed)` before what has no default. Another one that is not given is null; the statement says what that means.
After the name may stand a type, `-- :since [time]  what it is`: day, time or number; SQLite compares anything with
anything, so that a value that is none would find nothing, and say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Final, NamedTuple

from rapidfuzz import process

from appliance.errors import UsageError

MAX_FILE_BYTES: Final = 64 * 1024
NEEDED: Final = "(needed)"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PARAMETER: Final = re.compile(r"-- :([a-z_][a-z0-9_]*)(?:\s+\[([a-z]+)\])?\s*(.*)")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d(?:\.\d{1,6})?)?)?)?")


def _is_day(value: str) -> bool:
    return len(value) == 10 and _is_time(value)


def _is_time(value: str) -> bool:
    if not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_number(value: str) -> bool:
    try:
        return isfinite(float(value))
    except ValueError:
        return False


_TYPES: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "day": (_is_day, "a day such as 2026-11-22"),
    "time": (_is_time, "a day or a time (UTC) such as 2026-11-22 or 2026-11-22T03:12"),
    "number": (_is_number, "a number such as 0.05"),
}


class Saved(NamedTuple):
    """A question with a name."""

    name: str
    answers: str
    """One sentence."""

    parameters: dict[str, str]
    """Name to what it is."""

    sql: str
    types: dict[str, str]
    """Name to type, of those that have one."""

    own: bool
    """Whether it lies in the home; one there goes before one that ships."""


def every(folder: Path) -> dict[str, Saved]:
    """Return what ships and what lies in *folder*, by name, in order.

    Raises:
        UsageError: a file in *folder* cannot be read.
    """
    found = {}
    for entry in resources.files("appliance.ledger").joinpath("queries").iterdir():
        if entry.name.endswith(".sql"):
            name = entry.name.removesuffix(".sql")
            found[name] = _read(name, entry.read_text(encoding="utf-8"), own=False)
    for path in sorted(folder.glob("*.sql")):
        if not _NAME.fullmatch(path.stem):
            raise UsageError(f"{path}: name it with small letters, digits and hyphens")
        try:
            if not path.is_file():
                raise UsageError(f"{path} is no regular file")
            if path.stat().st_size > MAX_FILE_BYTES:
                raise UsageError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes; is it a query?")
            found[path.stem] = _read(path.stem, path.read_text(encoding="utf-8"), own=True)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not UTF-8 text (byte {error.start + 1})") from error
    return dict(sorted(found.items()))


def named(folder: Path, name: str) -> Saved:
    """Return the question called *name*.

    Raises:
        UsageError: there is none.
    """
    known = every(folder)
    if name not in known:
        near = process.extractOne(name, list(known), score_cutoff=60)
        hint = f"did you mean {near[0]!r}?" if near else "`appliance audit query --list` shows them"
        raise UsageError(f"there is no saved query {name!r}; {hint}")
    return known[name]


def bound(saved: Saved, given: Mapping[str, str]) -> dict[str, str | None]:
    """Return a value for each parameter of *saved*.

    Raises:
        UsageError: *given* names another, or lacks one that is needed.
    """
    for name in given:
        if name not in saved.parameters:
            knows = ", ".join(saved.parameters) or "none"
            raise UsageError(f"{saved.name} has no parameter {name!r}; it has: {knows}")
    for name, what in saved.parameters.items():
        if what.startswith(NEEDED) and name not in given:
            raise UsageError(f"{saved.name} needs --param {name}=...: {what.removeprefix(NEEDED).strip()}")
    for name, kind in saved.types.items():
        holds, such = _TYPES[kind]
        if name in given and not holds(given[name]):
            raise UsageError(f"--param {name}={given[name]!r} is not {such}")
    return {name: given.get(name) for name in saved.parameters}


def _read(name: str, text: str, *, own: bool) -> Saved:
    answers: list[str] = []
    parameters: dict[str, str] = {}
    types: dict[str, str] = {}
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        if parameter := _PARAMETER.fullmatch(line):
            parameters[parameter[1]] = parameter[3].strip()
            if parameter[2] is not None:
                if parameter[2] not in _TYPES:
                    raise UsageError(f"{name}.sql: [{parameter[2]}] is no type; there are {', '.join(_TYPES)}")
                types[parameter[1]] = parameter[2]
        else:
            answers.append(line.removeprefix("--").strip())
    return Saved(name, " ".join(answers).strip(), parameters, text, types, own)
