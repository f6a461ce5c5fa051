"""Rows of the controller to lines for a person, and to JSON lines for a program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from appliance.contracts.envelope import Batch, Desc, Reported, Response, State
from appliance.contracts.record import JsonObject
from appliance.fleet.devices import Device, LastWords, state_word
from appliance.fleet.faults import OfStranger
from appliance.fleet.home import FleetHome, KeepSettings
from appliance.fleet.standing import Standing
from appliance.fleet.taking import Seen, Shown

_COLUMNS: Final = (
    "device", "presence", "state_word", "boot", "audit_upto", "signed_upto", "evt_upto", "gaps_n", "tools_n", "seen_at",
    "bundle_word",
)  # fmt: skip
_HEADINGS: Final = (
    "DEVICE",
    "PRESENCE",
    "STATE",
    "BOOT",
    "AUDIT",
    "SIGNED",
    "EVENTS",
    "LOST",
    "TOOLS",
    "SEEN",
    "BUNDLE",
)
_CELLS: Final = {"bundle_word": 40}
_PAGE_N: Final = 500


def device_table(devices: list[Device]) -> list[str]:
    """Return the devices as aligned lines, faults below the device they belong to."""
    if not devices:
        return ["No device is enrolled yet: `appliance fleet enrol --help` says how."]
    rows = [_HEADINGS, *(tuple(str(getattr(d, c))[: _CELLS.get(c, 25)] for c in _COLUMNS) for d in devices)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(_HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for n, device in reversed(list(enumerate(devices, start=1))):
        if device.faults:
            lines.insert(n + 1, f"  ! {device.device}: {', '.join(device.faults)}")
    return lines


def stranger_lines(found: list[OfStranger]) -> Iterator[str]:
    """Return what was wrong under names that are not enrolled as lines for a person."""
    for one in found:
        name = f"{one.device} (not enrolled)" if one.device else "not enrolled"
        yield f"  ! {name}: {one.what}: {_short(one.text)} ({one.times} times, last {one.last_at[:19]})"


def ledger_lines(standing: Standing) -> Iterator[str]:
    """Return what is known of a device's ledgers as lines for a person."""
    yield f"{standing.device}  key {standing.key_id}"
    for rotated in standing.rotations:
        yield f"  key {rotated['old_key_id']} was replaced by {rotated['new_key_id']} at {rotated['at'][:19]}"
    for epoch in standing.epochs:
        since = f"from {epoch['began_at'][:19]}, records {epoch['first']} to {epoch['upto']} here"
        yield f"ledger {_short(epoch['epoch'])}  {epoch['standing']}, {since}"
        contradict = f", {epoch['broken']} CONTRADICT them" if epoch["broken"] else ""
        waiting = f", {epoch['waiting']} wait for records" if epoch["waiting"] else ""
        yield f"  {epoch['checked']} signed checkpoints agree with them{waiting}{contradict}"
        if epoch["size"]:
            yield f"  newest {epoch['size']} records, root {epoch['root']}"
    for closed in standing.closures:
        yield f"closed {closed['at'][:19]}: {_short(closed['because'])}"
        if closed["accepted_at"] is None:
            yield "  nothing more of it is taken or acknowledged; `fleet ledger DEVICE --accept-new-history REASON`"
        else:
            yield f"  what came after {closed['accepted_at'][:19]} was accepted: {_short(closed['reason'])}"
            yield f"  what was here before stays as {_short(closed['kept_as'])}"
    for fault in standing.faults:
        yield f"  ! {fault['what']}: {_short(fault['text'])} ({fault['times']} times, first {fault['first_at'][:19]})"


def last_words_lines(said: LastWords) -> Iterator[str]:
    """Return a device's last words as lines for a person."""
    for state in said.states:
        word = state_word(str(state["state"]))
        yield (
            f"{str(state['received_at'])[:19]}  {word:<12}  boot {state['boot']}, connection {state['session']},"
            f" time {state['time']}"
        )
    for record in said.records:
        at, kind = str(record["received_at"])[:19], _short(str(record["kind"]))
        yield f"{at}  {record['stream']} {record['seq']}  {kind}  {_short(json.dumps(record['body']))}"


def keep_words(keep: KeepSettings) -> str:
    """Say for people how much stays."""
    parts = [
        *([f"{keep.days} days"] if keep.days is not None else ()),
        *([f"{keep.bytes:,} bytes"] if keep.bytes is not None else ()),
    ]
    return " and at most ".join(parts) or "everything"


def answer_line(answer: Response) -> str:
    """Return an answer as one line."""
    return f"{answer.device}  {answer.life}  {answer.status} {answer.code}  {_short(answer.text)}".rstrip()


def seen_lines(seen: Seen) -> Iterator[str]:
    """Return what arrived as lines for a person."""
    match seen.said:
        case State() as state:
            stale = "" if seen.new else ", stale: ignored"
            yield f"{seen.device}  state  {state_word(state.state)} (boot {state.boot}{stale})"
        case Desc() as desc:
            yield f"{seen.device}  desc   {_short(desc.software)}, {len(desc.tools)} tools"
        case Reported() as reported:
            more = f", {len(reported.conflicts)} conflicts" if reported.conflicts else ""
            waiting = f", {len(reported.pending)} keys wait for a start" if reported.pending else ""
            yield f"{seen.device}  config version {reported.version} in force{waiting}{more}"
        case Response() as answer:
            yield f"{seen.device}  answer {answer.life} {answer.status} {_short(answer.text)}"
        case Batch() as batch:
            first, last = batch.items[0].seq, batch.items[-1].seq
            kinds = ", ".join(sorted({item.kind for item in batch.items}))
            again = "" if seen.new else " (again)"
            yield f"{seen.device}  {batch.stream:<6} {first}..{last} {_short(kinds)}{again}"
        case Shown() as shown if seen.new:
            yield f"{seen.device}  ledger {shown.what}"


def seen_facts(seen: Seen) -> JsonObject:
    """Return what arrived as JSON."""
    said = (
        {"record": "shown", **seen.said._asdict()}
        if isinstance(seen.said, Shown)
        else seen.said.model_dump(mode="json")
    )
    return {"device": seen.device, "new": seen.new, **said}


def records(home: FleetHome, *, device: str | None, stream: str | None, after: int = 0) -> Iterator[JsonObject]:
    """Return stored records in order, as JSON."""
    fixed = " and ".join(("seq > ?", *(("device = ?",) if device else ()), *(("stream = ?",) if stream else ())))
    arguments = [after, *([device] if device else []), *([stream] if stream else [])]
    query = (
        f"select * from records where {fixed} and (device, epoch, stream, seq) > (?, ?, ?, ?)"  # noqa: S608 -- fixed words only
        " order by device, epoch, stream, seq limit ?"
    )
    last: list[object] = ["", "", "", 0]
    # A page at a time: while a reading is open nothing can be written, and a person may read for an hour.
    while page := home.db.rows(query, [*arguments, *last, _PAGE_N]):
        for row in page:
            leaf = None if row["leaf"] is None else bytes(row["leaf"]).hex()
            yield {**row, "body": json.loads(row["body"]), "leaf": leaf}
        last = [page[-1][name] for name in ("device", "epoch", "stream", "seq")]


def _short(text: str) -> str:
    return text[:200]
