"""A line such as `tag=workshop,state=ready` to the devices that it means; and the tags that it may name."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from appliance.contracts.record import Record
from appliance.contracts.topics import EVERY_DEVICE, Name, is_name
from appliance.errors import UsageError
from appliance.fleet import devices
from appliance.fleet.devices import Device
from appliance.fleet.home import FleetHome

MOST_N: Final = 1000
"""Of values of one kind in a selection."""

_Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Selection(Record):
    """Devices that have one of the values of each kind that is given; without any kind, every device."""

    device: Annotated[tuple[Name, ...], Field(max_length=MOST_N)] = ()
    site: Annotated[tuple[Name, ...], Field(max_length=MOST_N)] = ()
    tag: Annotated[tuple[Name, ...], Field(max_length=MOST_N)] = ()
    """Groups that the controller has put them in: `fleet tag`."""

    bundle: Annotated[tuple[_Word, ...], Field(max_length=MOST_N)] = ()
    """`name`, `name/version`, or the first eight or more digits of its hash."""

    software: Annotated[tuple[_Word, ...], Field(max_length=MOST_N)] = ()
    state: Annotated[tuple[_Word, ...], Field(max_length=MOST_N)] = ()
    """What it last said (`ready`, `degraded`, `stopped`), or whether it is there (`online`, `silent`, `offline`)."""

    def words(self) -> str:
        """Write it as it is typed."""
        said = [f"{kind}={value}" for kind, values in self.model_dump().items() for value in values]
        return ",".join(said) or EVERY_DEVICE


def is_selection(text: str) -> bool:
    """Tell whether *text* is a selection, not the name of a device."""
    return "=" in text


def parse(text: str) -> Selection:
    """Read a selection: `all`, a device's name, or `kind=value` with commas between them.

    Raises:
        UsageError: a kind that is not known, or an empty value.
    """
    if text == EVERY_DEVICE:
        return Selection()
    if not is_selection(text):
        return Selection(device=(text,))
    found: dict[str, tuple[str, ...]] = {}
    for part in text.split(","):
        kind, _, value = (piece.strip() for piece in part.partition("="))
        if kind not in Selection.model_fields:
            raise UsageError(f"{part[:80]!r}: say one of {', '.join(f'{k}=...' for k in Selection.model_fields)}")
        if not value or (kind in ("device", "site", "tag") and not is_name(value)):
            raise UsageError(f"{part[:80]!r}: {kind} wants a name, such as {kind}=workshop")
        found[kind] = (*found.get(kind, ()), value[:200])
    if any(len(values) > MOST_N for values in found.values()):
        raise UsageError(f"at most {MOST_N} values of one kind; put the devices into a group with `fleet tag`")
    return Selection.model_validate(found)


def chosen(home: FleetHome, selection: Selection, now: datetime) -> list[Device]:
    """Return the enrolled devices that *selection* means, by name.

    Raises:
        UsageError: a device is named that is not enrolled here.
    """
    known = devices.devices(home, now, selection.device or None)
    unknown = sorted(set(selection.device) - {one.device for one in known})
    if unknown:
        rows = home.db.rows("select device from devices order by device limit 20")
        there = ", ".join(row["device"] for row in rows) or "none"
        raise UsageError(f"no device {unknown[0]!r} is enrolled here; there are: {there}")
    return [one for one in known if _is_meant(one, selection, home.settings.site)]


def tag(home: FleetHome, names: Iterable[str], *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
    """Put devices into groups, and take them out of others.

    Raises:
        UsageError: a group's name cannot be used.
    """
    add, remove = tuple(add), tuple(remove)
    for name in (*add, *remove):
        if not is_name(name):
            raise UsageError(f"{name[:80]!r}: a tag is of a-z, 0-9 and inner hyphens")
    with home.writing():
        for device in names:
            for name in add:
                home.db.execute("insert into tags (device, tag) values (?, ?) on conflict do nothing", [device, name])
            for name in remove:
                home.db.execute("delete from tags where device = ? and tag = ?", [device, name])


def _is_meant(one: Device, selection: Selection, site: str) -> bool:
    bundle = _bundle_names(one)
    has = {
        "device": {one.device},
        "site": {site},
        "tag": set(one.tags),
        "software": {one.software},
        "state": {one.state, one.state_word, one.presence},
    }
    fits = all(not (wanted := getattr(selection, kind)) or has[kind] & set(wanted) for kind in has)
    return fits and (not selection.bundle or any(_names(wanted, bundle) for wanted in selection.bundle))


def _bundle_names(one: Device) -> tuple[str, str, str]:
    return one.bundle, f"{one.bundle}/{one.bundle_version}", one.bundle_sha256


def _names(wanted: str, bundle: tuple[str, str, str]) -> bool:
    name, full, digest = bundle
    return wanted in (name, full) or (len(wanted) >= 8 and bool(digest) and digest.startswith(wanted.lower()))
