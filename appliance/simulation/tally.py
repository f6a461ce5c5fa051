"""What a simulation came to: counted from what the controller says it has, against what the devices say they made.

The controller's own `fleet export` is the witness, not its code: a record lost or kept twice is seen whatever the
collector believes of itself.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from appliance.contracts.record import Record
from appliance.errors import StorageError


class Kept(Record):
    """What the controller holds of the events."""

    events: int
    distinct: int
    records: int
    """Of the ledgers, each number of a device once."""

    twice: int
    """Rows, of both streams, beyond the first of their kind. An event has a number of its own beside that of its row; a
    record's is the table's key, so that it could come twice only if that key were gone."""


class Tally(Record):
    """The figures of one run; times are seconds."""

    devices: int
    connected: int
    connect_s: float
    events_made: int
    events_kept: int
    """Distinct ones."""

    records_made: int
    """In the devices' ledgers, when they were last asked."""

    records_kept: int
    lost: int
    """Events."""

    duplicates: int
    commands: int
    commands_answered: int
    commands_not_executed: int
    p50_s: float | None
    p99_s: float | None
    group_answered: int
    group_s: float
    storm_s: float | None
    """Until every device was connected again after all connections broke at once."""

    outage_s: float | None
    """The same after the broker was away."""

    most_connections_in_a_minute: int
    """Of one device, by the broker's log."""

    drain_s: float
    collector_cpu_s: float
    collector_per_core_s: float
    """Records and events that the collector stored for each second of processor time."""

    devices_cpu_s: float

    @property
    def records_lost(self) -> int:
        """How many records of ledgers did not arrive; a device may have written one more since it was asked."""
        return max(0, self.records_made - self.records_kept)

    @property
    def is_good(self) -> bool:
        """Whether everything arrived once and every command was carried out."""
        return (
            self.connected == self.devices
            and self.lost == 0
            and self.records_lost == 0
            and self.duplicates == 0
            and self.commands_answered == self.commands
            and self.commands_not_executed == 0
            and self.group_answered == self.devices
        )


def kept(fleet_home: Path) -> Kept:
    """Count what the controller in *fleet_home* has collected.

    Raises:
        StorageError: it cannot be read out.
    """
    exporting = subprocess.Popen(
        [sys.executable, "-m", "appliance", "fleet", "export", "--fleet-home", str(fleet_home)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert exporting.stdout is not None
    with exporting.stdout as lines:
        found = counted(lines)
    if exporting.wait() != 0:
        raise StorageError(f"`fleet export` ended with code {exporting.returncode}")
    return found


def counted(lines: Iterable[str]) -> Kept:
    """Count exported rows: an event is known by its device and its own number, a record by its number."""
    seen: Counter[tuple[str, str, str, int]] = Counter()
    for line in lines:
        row = json.loads(line)
        if row["stream"] == "evt" and row["kind"] == "turn":
            body = row["body"] if isinstance(row["body"], dict) else json.loads(row["body"])
            seen["evt", row["device"], row["epoch"], int(body["n"])] += 1
        elif row["stream"] == "audit":
            seen["audit", row["device"], row["epoch"], int(row["seq"])] += 1
    events = {key: n for key, n in seen.items() if key[0] == "evt"}
    return Kept(
        events=sum(events.values()),
        distinct=len(events),
        records=sum(key[0] == "audit" for key in seen),
        twice=sum(n - 1 for n in seen.values()),
    )


def percentile(values: list[float], share: float) -> float | None:
    """Return the smallest of *values* that *share* of them do not exceed; None of none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def lines(tally: Tally) -> list[str]:
    """Write the figures for people."""

    def ms(value: float | None) -> str:
        return "-" if value is None else f"{value * 1000:.0f} ms"

    def again(value: float | None) -> str:
        return "not tried" if value is None else f"all back after {value:.1f} s"

    arrived = f"{tally.events_kept} of {tally.events_made} events arrived, {tally.lost} lost"
    ledger = f"{tally.records_kept} of {tally.records_made} ledger records, {tally.records_lost} lost"
    speed = f"{tally.collector_per_core_s:.0f} records and events a second per core"
    answered = f"{tally.commands_answered} of {tally.commands} answered, {tally.commands_not_executed} not executed"
    return [
        f"devices       {tally.connected} of {tally.devices} connected, after {tally.connect_s:.1f} s",
        f"delivery      {arrived}; {ledger}",
        f"duplicates    {tally.duplicates}",
        f"commands      {answered}; round trip p50 {ms(tally.p50_s)}, p99 {ms(tally.p99_s)}",
        f"group command {tally.group_answered} of {tally.devices} answered within {tally.group_s:.1f} s",
        f"storm         {again(tally.storm_s)}",
        f"outage        {again(tally.outage_s)}",
        f"flapping      at most {tally.most_connections_in_a_minute} connections of one device in a minute",
        f"drain         {tally.drain_s:.1f} s until everything was acknowledged",
        f"collector     {speed} ({tally.collector_cpu_s:.1f} s of processor time)",
        f"simulation    {tally.devices_cpu_s:.1f} s of processor time for the devices",
    ]
