"""What the fleet wants of the settings, beside the file of the device's owner, who has the last word.

The owner's own keys stay as they are written; a wish for one of them is a conflict, and is reported. Only the keys of
`REMOTE` may be wished for: rules, roles, whom to trust, what leaves the device and what is kept as evidence are the
owner's alone.

Covers: wishes for what is not remote or not known, values that break a bound, a file of wishes that is damaged or was
made for other software (it does not count, and the version in force says so).
Does not cover: whose wish it is; the downlink has checked that before it is kept.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

from pydantic import JsonValue, ValidationError

from appliance import lasting
from appliance.contracts.canonical import canonical, digest
from appliance.contracts.envelope import Desired
from appliance.contracts.record import JsonObject, Record
from appliance.errors import StorageError
from appliance.settingsfile import faults

EVERY: Final = "*"

REMOTE: Final[Mapping[str, tuple[str, ...]]] = {
    "device": ("name",),
    "model": ("threads",),
    "uplink": (EVERY,),
    "storage": ("reserve_mb",),
    "ledger": ("checkpoint_every_n", "checkpoint_every_s"),
}
"""Sections and keys that the fleet may set."""

FILE: Final = "desired.json"
MAX_BYTES: Final = 128 * 1024
MOST_COMPLAINTS_N: Final = 10

_S = TypeVar("_S", bound=Record)


class Judged(NamedTuple):
    """What a wish comes to."""

    complaints: tuple[str, ...] = ()
    """Why it cannot be taken; the whole of it, or nothing."""

    owners: tuple[str, ...] = ()
    """Keys among them that are the owner's alone."""

    conflicts: tuple[JsonObject, ...] = ()
    pending: tuple[str, ...] = ()


class Wishes(Generic[_S]):
    """The fleet's wishes for one home."""

    def __init__(self, home: Path, file: str, running: _S) -> None:
        """Keep what is given.

        Args:
            file: the owner's own, in *home*.
            running: what this start was begun with.
        """
        self._home = home
        self._file = home / file
        self._running = running
        self._model = type(running)
        self._began_with = read(home)

    @property
    def began_with(self) -> Desired | None:
        """The wish that this start was begun with, if it could be used."""
        wanted = self._began_with
        return wanted if wanted is not None and not self.judge(wanted.config).complaints else None

    def newest(self) -> Desired | None:
        """Return the wish that is kept now."""
        return read(self._home)

    def keep(self, wanted: Desired) -> None:
        """Let *wanted* count from the next start.

        Raises:
            StorageError: it cannot be written.
        """
        path = self._home / FILE
        draft = path.with_name(f".{FILE}.new")
        body = wanted.model_dump(mode="json")
        try:
            with draft.open("wb") as file:
                os.fchmod(file.fileno(), 0o640)
                file.write(canonical({"desired": body, "sha256": digest(body)}))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            lasting.keep_names(self._home)
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}") from error

    def judge(self, config: JsonObject) -> Judged:
        """Say what *config* would come to at the next start."""
        flat, complaints, owners = _flat(config, self._model)
        if complaints:
            return Judged(tuple(complaints[:MOST_COMPLAINTS_N]), tuple(owners))
        local = _table(self._file)
        merged, conflicts = _merged(local, flat)
        try:
            following = self._model.model_validate_json(json.dumps(merged))
        except ValidationError as error:
            told = [f"{faults.key_name(one['loc'])}: {one['msg']}" for one in error.errors()[:MOST_COMPLAINTS_N]]
            return Judged(tuple(told))
        pending = tuple(key for key in _remote_keys(self._model) if _at(following, key) != _at(self._running, key))
        return Judged(conflicts=conflicts, pending=pending)

    def in_force(self) -> JsonObject:
        """Return every key that may be set from afar, with its value of now."""
        found: dict[str, dict[str, JsonValue]] = {}
        for key in _remote_keys(self._model):
            section, name = key.split(".")
            found.setdefault(section, {})[name] = _at(self._running, key)
        return {section: dict(values) for section, values in found.items()}


def read(home: Path) -> Desired | None:
    """Return the wish that is kept in *home*; None where there is none that can be read."""
    try:
        with (home / FILE).open("rb") as file:
            raw = json.loads(file.read(MAX_BYTES + 1))
        wanted = Desired.model_validate_json(json.dumps(raw["desired"]))
        return wanted if raw["sha256"] == digest(wanted.model_dump(mode="json")) else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def objections(config: JsonObject, model: type[Record]) -> tuple[str, ...]:
    """Say why *config* can be wished of no device, whatever its own file says; none where nothing speaks against it.

    A key with null is taken back: that may be any.
    """
    wanted: JsonObject = {
        section: {name: value for name, value in keys.items() if value is not None} if isinstance(keys, dict) else keys
        for section, keys in config.items()
    }
    flat, complaints, _ = _flat(wanted, model)
    words = ", ".join(f"{section}.{name}" for section, names in REMOTE.items() for name in names)
    hint = (f"from afar may be set: {words}",) if complaints else ()
    for key, value in flat.items():
        section, name = key.split(".")
        try:
            model.model_validate_json(json.dumps({section: {name: value}}))
        except ValidationError as error:
            # Others may be needed beside it; those the device has.
            found = [one["msg"] for one in error.errors(include_url=False) if one["loc"][:2] == (section, name)]
            complaints += [f"{key} = {json.dumps(value)[:80]}: {said} ({_bounds(model, key)})" for said in found]
    return (*complaints[:MOST_COMPLAINTS_N], *hint)


def wished(local: _S, table: Mapping[str, Any], home: Path) -> _S:
    """Return the owner's settings *local*, with the fleet's wishes where the owner's *table* says nothing."""
    wanted = read(home)
    if wanted is None:
        return local
    flat, complaints, _ = _flat(wanted.config, type(local))
    if complaints:
        return local
    merged, _ = _merged(table, flat)
    try:
        return type(local).model_validate_json(json.dumps(merged))
    except ValidationError:
        return local  # kept by other software; the version in force tells the fleet


def _flat(config: JsonObject, model: type[Record]) -> tuple[dict[str, JsonValue], list[str], list[str]]:
    flat: dict[str, JsonValue] = {}
    complaints: list[str] = []
    owners: list[str] = []
    remote = set(_remote_keys(model))
    known = {f"{s}.{k}" for s, field in model.model_fields.items() for k in _fields(field.annotation)}
    for section, values in config.items():
        if not isinstance(values, dict):
            complaints.append(f"[{section[:64]}]: a section with keys is wanted")
            continue
        for name, value in values.items():
            key = f"{section}.{name}"[:130]
            if key in remote:
                flat[key] = value
            elif key in known:
                owners.append(key)
                complaints.append(f"{key} is for the device's owner alone")
            else:
                complaints.append(f"there is no setting {key}")
    return flat, complaints, owners


def _merged(table: Mapping[str, Any], flat: Mapping[str, JsonValue]) -> tuple[dict[str, Any], tuple[JsonObject, ...]]:
    merged = {section: dict(values) if isinstance(values, dict) else values for section, values in table.items()}
    conflicts: list[JsonObject] = []
    for key, value in flat.items():
        section, name = key.split(".")
        own = merged.setdefault(section, {})
        if name not in own:
            own[name] = value
        elif own[name] != value:
            conflicts.append({"key": key, "desired": value, "local": own[name]})
    return merged, tuple(conflicts)


def _remote_keys(model: type[Record]) -> list[str]:
    found = []
    for section, names in REMOTE.items():
        there = _fields(model.model_fields[section].annotation)
        found += [f"{section}.{name}" for name in (there if names == (EVERY,) else names)]
    return found


def _bounds(model: type[Record], key: str) -> str:
    """Return what a key takes, for a person; from the same place that refuses the rest."""
    section, name = key.split(".")
    field = model.model_fields[section].annotation
    assert isinstance(field, type)
    assert issubclass(field, Record)
    schema = field.model_json_schema()["properties"][name]
    kinds = schema.get("anyOf", [schema])
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    words |= {"maxLength": "so many characters at most:", "enum": "one of", "pattern": "matching", "type": "wanted:"}
    told = (f"{text} {kind[word]}" for kind in kinds for word, text in reversed(words.items()) if word in kind)
    return ", ".join(told) or "see docs/reference/settings.md"


def _fields(annotation: Any) -> list[str]:
    return list(annotation.model_fields) if isinstance(annotation, type) and issubclass(annotation, Record) else []


def _at(settings: Record, key: str) -> JsonValue:
    section, name = key.split(".")
    found: JsonValue = getattr(settings, section).model_dump(mode="json")[name]
    return found


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # a file that cannot be used keeps the next start off; `doctor` says where
