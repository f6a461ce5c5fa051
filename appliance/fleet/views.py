"""Rows of the controller to lines for a person, and to JSON lines for a program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from appliance.contracts.envelope import Batch, Desc, Response, State
from appliance.contracts.record import JsonObject
from appliance.fleet.collector import Seen
from appliance.fleet.devices import Device
from appliance.fleet.home import FleetHome

_COLUMNS: Final = ("device", "presence", "state", "boot", "audit_upto", "evt_upto", "gaps_n", "tools_n", "seen_at")
_HEADINGS: Final = ("DEVICE", "PRESENCE", "STATE", "BOOT", "AUDIT", "EVENTS", "LOST", "TOOLS", "SEEN")


def device_table(devices: list[Device]) -> list[str]:
    """Return the devices as aligned lines, faults below the device they belong to."""
    if not devices:
        return ["No device is enrolled yet: `appliance fleet enrol --help` says how."]
    rows = [_HEADINGS, *(tuple(str(getattr(d, c))[:25] for c in _COLUMNS) for d in devices)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(_HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for n, device in reversed(list(enumerate(devices, start=1))):
        if device.faults:
            lines.insert(n + 1, f"  ! {device.device}: {', '.join(device.faults)}")
    return lines


def answer_line(answer: Response) -> str:
    """Return an answer as one line."""
    return f"{answer.device}  {answer.life}  {answer.status} {answer.code}  {_plain(answer.text)}".rstrip()


def seen_lines(seen: Seen) -> Iterator[str]:
    """Return what arrived as lines for a person."""
    match seen.said:
        case State() as state:
            yield f"{seen.device}  state  {state.state} (boot {state.boot}{'' if seen.new else ', stale: ignored'})"
        case Desc() as desc:
            yield f"{seen.device}  desc   {desc.software}, {len(desc.tools)} tools"
        case Response() as answer:
            yield f"{seen.device}  answer {answer.life} {answer.status} {_plain(answer.text)}"
        case Batch() as batch:
            first, last = batch.items[0].seq, batch.items[-1].seq
            kinds = ", ".join(sorted({item.kind for item in batch.items}))
            again = "" if seen.new else " (again)"
            yield f"{seen.device}  {batch.stream:<6} {first}..{last} {kinds}{again}"


def seen_json(seen: Seen) -> str:
    """Return what arrived as one JSON line."""
    return json.dumps({"device": seen.device, "new": seen.new, **seen.said.model_dump(mode="json")})


def records(home: FleetHome, *, device: str | None, stream: str | None, after: int = 0) -> Iterator[JsonObject]:
    """Return stored records in order, as JSON."""
    where = " and ".join(
        (
            "seq > ?",
            *(("device = ?",) if device else ()),
            *(("stream = ?",) if stream else ()),
        )
    )
    arguments = [after, *([device] if device else []), *([stream] if stream else [])]
    query = f"select * from records where {where} order by device, epoch, stream, seq"  # noqa: S608 -- fixed words only
    for row in home.db.query(query, arguments):
        yield {**row, "body": json.loads(row["body"])}


def _plain(text: str) -> str:
    """Keep a device's text from steering the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)[:200]
