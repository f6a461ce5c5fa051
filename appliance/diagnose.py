"""A home to an archive that its owner can send to a stranger: what is wrong, without what anyone said or is called.

Covers: everything in it is built here from numbers, closed forms and names that the software itself gives; nothing of
the home is copied. Text of the settings, of the database and of error messages is left out, not searched for secrets.
Does not cover: secrecy of how much is done and when; the counts tell that.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import re
import sqlite3
import sys
import tarfile
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from appliance import __version__, doctor, journal, settings
from appliance.checks.finding import Finding
from appliance.contracts.home import Home
from appliance.contracts.record import JsonObject
from appliance.errors import SettingsError, StorageError, UsageError
from appliance.storage import database

LOG_TAIL_BYTES: Final = 2 * 2**20

_IMPERSONAL: Final = frozenset({"machine", "disk", "sqlite", "bundle", "runtime", "slots", "cage", "clock"})
"""Checks whose words are ours and the machine's; the others may quote names, hosts and settings."""

_CODE: Final = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}")

README: Final = """\
Made by `appliance diagnose`. Nobody's words, names, hosts, keys or settings' texts are in it; see for yourself, every
file is plain text.

versions.json   software, Python, packages
doctor.json     what `appliance doctor` found; the words of checks that may quote a name are left out
settings.json   numbers and choices; texts are replaced by their length
schema.sql      the tables of the database
counts.json     rows by table, records by kind, outcomes by status and code
journal.jsonl   the daemon's log, event by event
"""


def diagnose(home: Home, target: Path, now: datetime) -> list[str]:
    """Write the archive.

    Returns:
        The names of the files in it.

    Raises:
        UsageError: *target* exists.
        StorageError: *target* cannot be written.
    """
    files = {
        "README.txt": README,
        "versions.json": _pretty(_versions(now)),
        "doctor.json": _pretty([_impersonal(finding, home) for finding in doctor.examine(home)]),
        "settings.json": _pretty(_settings(home)),
        "schema.sql": _schema(home),
        "counts.json": _pretty(_counts(home)),
        "journal.jsonl": _journal(home),
    }
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo(f"appliance-diagnose/{name}")
                member.size = len(data := text.encode())
                member.mtime = int(now.timestamp())
                tar.addfile(member, io.BytesIO(data))
    except FileExistsError as error:
        raise UsageError(f"{target} exists; name a new file") from error
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror}") from error
    return list(files)


def _versions(now: datetime) -> JsonObject:
    packages = {d.name: d.version for d in importlib.metadata.distributions()}
    return {
        "at": now.isoformat(timespec="minutes"),
        "software": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "sqlite": sqlite3.sqlite_version,
        "packages": dict(sorted(packages.items())),
    }


def _impersonal(finding: Finding, home: Home) -> JsonObject:
    told: JsonObject = {"check": finding.check, "level": finding.level}
    if finding.check in _IMPERSONAL:
        told["found"] = finding.found.replace(str(home.root), "HOME").replace(str(Path.home()), "~")
    return told


def _settings(home: Home) -> Any:
    try:
        return _numbers_and_choices(settings.load(home.root))
    except SettingsError:
        return {"error": "the file cannot be used; `appliance doctor` on the device says where"}


def _numbers_and_choices(record: BaseModel) -> JsonObject:
    """Keep numbers, booleans and members of closed sets; of any other text only its length."""
    schema = type(record).model_json_schema()
    kept: JsonObject = {}
    for key in type(record).model_fields:
        kept[key] = _kept(getattr(record, key), is_closed=_is_closed(schema["properties"][key], schema))
    return kept


def _kept(value: Any, *, is_closed: bool) -> Any:
    if isinstance(value, BaseModel):
        return _numbers_and_choices(value)
    if isinstance(value, (tuple, list, frozenset)):
        return [_kept(item, is_closed=is_closed) for item in value]
    if isinstance(value, dict):
        return {f"key {n}": _kept(item, is_closed=is_closed) for n, item in enumerate(value.values(), start=1)}
    if value is None or isinstance(value, (bool, int, float)) or (is_closed and isinstance(value, str)):
        return value
    return f"({len(str(value))} characters)"


def _is_closed(rule: Any, schema: Any) -> bool:
    if "$ref" in rule:
        rule = schema["$defs"][rule["$ref"].rsplit("/", 1)[1]]
    return "enum" in rule or "const" in rule


def _reader(home: Home) -> sqlite3.Connection | None:
    try:
        return database.open_reader(home.database)
    except StorageError:
        return None


def _schema(home: Home) -> str:
    reader = _reader(home)
    if reader is None:
        return "-- no database that can be read\n"
    try:
        rows = reader.execute("select sql from sqlite_schema where sql is not null order by name").fetchall()
        return "".join(f"{row['sql']};\n" for row in rows)
    except sqlite3.Error as error:
        return f"-- {type(error).__name__}\n"
    finally:
        reader.close()


def _counts(home: Home) -> JsonObject:
    reader = _reader(home)
    if reader is None:
        return {"error": "no database that can be read"}
    try:
        tables = [
            r["name"] for r in reader.execute("select name from sqlite_schema where type = 'table' order by name")
        ]
        return {
            "bytes": home.database.stat().st_size,
            "rows": {t: reader.execute(_COUNT.format(t)).fetchone()[0] for t in tables},
            "records": _tally(reader, "select kind as name, count(*) as n from audit group by 1"),
            "statuses": _tally(reader, _OUTCOMES.format("status")),
            "codes": _tally(reader, _OUTCOMES.format("code")),
            "streams": [dict(r) for r in reader.execute("select stream, sent, acked from streams order by stream")],
        }
    except sqlite3.Error as error:
        return {"error": type(error).__name__}
    finally:
        reader.close()


_COUNT: Final = 'select count(*) from "{}"'  # of a table that the schema itself names
_OUTCOMES: Final = (
    "select iif(json_valid(body), json_extract(body, '$.facts.{}'), null) as name, count(*) as n from audit"
    " where kind in ('settled', 'indeterminate') group by 1"
)


def _tally(reader: sqlite3.Connection, sql: str) -> JsonObject:
    found = {row["name"]: row["n"] for row in reader.execute(sql)}
    return {name: n for name, n in found.items() if isinstance(name, str) and _CODE.fullmatch(name)}


def _journal(home: Home) -> str:
    """Every line of the log that is an event, held against the journal's own forms again; the others are counted."""
    try:
        with home.log.open("rb") as log:
            log.seek(max(0, home.log.stat().st_size - LOG_TAIL_BYTES))
            lines = log.read(LOG_TAIL_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    events = [event for line in lines if (event := journal.read_line(line)) is not None]
    dropped = {"LINES_LEFT_OUT": len(lines) - len(events)}
    return "".join(f"{json.dumps(line)}\n" for line in [*events, dropped])


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
