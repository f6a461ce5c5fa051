"""What happens to a line of log: one JSON object with journald's field names, and no room for what a person said.

Covers: personal text (a message is a constant of the source, a field has a closed form or is withheld; a library's
record loses its words, ours its arguments; an exception keeps its type and the places it passed and loses its message),
a log that cannot be written (dropped, never a fault of the daemon).
Does not cover: rotation; journald does that for a service.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

from appliance.contracts.record import JsonObject

IDENTIFIER: Final = "appliance"
WITHHELD: Final = "(withheld)"

_TOKEN: Final = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,80}")
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]{1,64}")
_PLACE: Final = re.compile(r"[A-Za-z0-9_./-]{1,120}:\d{1,6} [A-Za-z0-9_<>.]{1,80}")

FIELDS: Final[dict[str, re.Pattern[str] | type[int | float]]] = {
    # journald's own
    "MESSAGE": re.compile(r"[A-Za-z][A-Za-z0-9 ,.:;'()%/_-]{0,119}"),
    "PRIORITY": int,  # syslog: 2 critical, 3 error, 4 warning, 6 information, 7 debugging
    "SYSLOG_IDENTIFIER": _NAME,
    "SYSLOG_TIMESTAMP": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
    "LOGGER": _NAME,
    # ours; a value of another form is withheld
    "REQUEST_ID": re.compile(r"[0-9a-f-]{8,36}"),  # an id made here; one that a person chose is withheld
    "ORIGIN": re.compile(r"operator|controller|timer|system"),
    "CLOCK": re.compile(r"trusted|untrusted"),
    "DEVICE": re.compile(r"[a-z0-9-]{1,63}"),
    "STATUS": _TOKEN,
    "CODE": _TOKEN,
    "RULE": _TOKEN,
    "STATE": _TOKEN,
    "RUNTIME": _TOKEN,
    "VERSION": re.compile(r"[0-9][0-9a-z.+-]{0,40}"),
    "BUNDLE_SHA256": _HEXADECIMAL,
    "EPOCH": _HEXADECIMAL,
    "ERROR": _NAME,
    "FAULT": _NAME,
    "ERRNO": int,
    "BOOT": int,
    "SEQ": int,
    "N": int,
    "BYTES": int,
    "LATENCY_MS": float,
    "SECONDS": float,
}
"""Every field that a line may have, and the form of its value."""

PLACES: Final = "PLACES"
"""The field that lists where an exception passed, innermost last: `agent/turn.py:120 handle`."""

_PRIORITIES: Final = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}

_MAX_PLACES_N: Final = 12


def open_journal(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send every log record and every uncaught exception of this process to *stream* (standard error) as JSON lines."""
    target = sys.stderr if stream is None else stream
    handler = _Quiet(target)
    handler.setFormatter(_JsonLines(priority_prefix=_is_journald(target)))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda hook: _uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)


class Journal:
    """Writes the daemon's own events.

    The message is a constant of the source (a test looks at every call); fields are keys of `FIELDS` in lower case.
    Given an error, its type and places are told.
    """

    def __init__(self) -> None:
        self._log = logging.getLogger(IDENTIFIER)

    def info(self, message: str, **fields: object) -> None:
        """Write what is worth knowing afterwards."""
        self._log.info(message, extra={"told": fields})

    def warning(self, message: str, *, error: BaseException | None = None, **fields: object) -> None:
        """Write what somebody may have to look at."""
        self._log.warning(message, exc_info=error, extra={"told": fields})

    def error(self, message: str, *, error: BaseException | None = None, **fields: object) -> None:
        """Write what somebody must look at."""
        self._log.error(message, exc_info=error, extra={"told": fields})

    def critical(self, message: str, *, error: BaseException | None = None, **fields: object) -> None:
        """Write what ends the process."""
        self._log.critical(message, exc_info=error, extra={"told": fields})


def read_line(line: str) -> JsonObject | None:
    """Return a line of a journal, every field held against `FIELDS` again; None for a line that is not ours."""
    try:
        found = json.loads(re.sub(r"^<\d>", "", line))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("SYSLOG_IDENTIFIER") != IDENTIFIER:
        return None
    kept: JsonObject = {key: _told(key, value) for key, value in found.items() if key in FIELDS}
    places = found.get(PLACES)
    if isinstance(places, list):
        kept[PLACES] = [place for place in places if isinstance(place, str) and _PLACE.fullmatch(place)]
    return kept


class _JsonLines(logging.Formatter):
    """A record as one line; what has no field here has no way out."""

    def __init__(self, *, priority_prefix: bool) -> None:
        super().__init__()
        self._priority_prefix = priority_prefix

    def format(self, record: logging.LogRecord) -> str:
        ours = record.name.split(".")[0] == IDENTIFIER
        at = datetime.fromtimestamp(record.created, UTC)
        priority = _PRIORITIES.get(record.levelno, 6)
        told = getattr(record, "told", {})
        line: dict[str, Any] = {
            **{name.upper(): _told(name.upper(), value) for name, value in told.items()},
            # Ours is the template as it stands in the source; a library's may hold anything.
            "MESSAGE": _told("MESSAGE", record.msg) if ours else "a library says something",
            "PRIORITY": priority,
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "SYSLOG_TIMESTAMP": f"{at:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z",
        }
        if record.name != IDENTIFIER:
            line["LOGGER"] = _told("LOGGER", record.name)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line["ERROR"] = _told("ERROR", type(error).__name__)
            if isinstance(error, OSError) and error.errno is not None:
                line["ERRNO"] = error.errno
            line[PLACES] = _places(error.__traceback__)
        prefix = f"<{priority}>" if self._priority_prefix else ""
        return prefix + json.dumps(line, ensure_ascii=True)


class _Quiet(logging.StreamHandler[TextIO]):
    """A handler whose own failure (a full disk, a closed pipe) is nobody's failure."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- the name is logging's
        pass


def _told(key: str, value: object) -> str | int | float:
    form = FIELDS.get(key)
    if isinstance(form, re.Pattern):
        text = str(value)
        return text if form.fullmatch(text) else WITHHELD
    if form is float and isinstance(value, (int, float)):
        return round(float(value), 3)
    if form is int and isinstance(value, int):
        return int(value)
    return WITHHELD


def _places(passed: TracebackType | None) -> list[str]:
    here = Path(__file__).parent.parent
    places = []
    for frame in traceback.extract_tb(passed)[-_MAX_PLACES_N:]:
        path = Path(frame.filename)
        # A path outside the package may name a person's folder: its last part is enough.
        shown = path.relative_to(here).as_posix() if path.is_relative_to(here / "appliance") else path.name
        places.append(f"{shown}:{frame.lineno} {frame.name}")
    return places


def _uncaught(kind: type[BaseException], error: BaseException | None, passed: TracebackType | None) -> None:
    if issubclass(kind, (KeyboardInterrupt, SystemExit)):
        return
    Journal().critical("uncaught exception", error=(error or kind()).with_traceback(passed))


def _is_journald(stream: TextIO) -> bool:
    """Tell whether *stream* ends in the journal, which then reads `<3>` at the start of a line as its priority."""
    wanted = os.environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return wanted == f"{status.st_dev}:{status.st_ino}"
