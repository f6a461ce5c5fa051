"""The controller's side of a stick: commands and acknowledgements onto it, what devices report from it.

A report goes through the collector as if the broker had brought it: what is there already changes nothing.

Covers: parcels of other controllers (left alone), altered, cut or foreign ones (named, the others are taken), parcels
that are exchanged while they are read (the private copy counts), more of them than are taken at once (those that no
enrolled device can have written come last, and none of these has more than its turn), archives of evidence
(`evidence`).
Does not cover: whether what a device says is true.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from pydantic import ValidationError

from appliance.contracts.envelope import (
    FINAL,
    MAX_LAWS_BYTES,
    Ack,
    Command,
    CommandBody,
    parse_payload,
    parse_signed,
)
from appliance.contracts.stick import DOWN, DOWN_NAME, FOLDER, MAX_LINES_N, UP, UP_NAME, Line
from appliance.contracts.topics import EVERY_DEVICE
from appliance.errors import TrustError, UsageError, WireError
from appliance.fleet import acknowledging, composing, outgoing
from appliance.fleet.collector import GROUP_N, Collector
from appliance.fleet.evidence import Archives
from appliance.fleet.home import FleetHome
from appliance.transport.messages import Incoming
from appliance.trust import parcels, staging
from appliance.trust.parcels import MAX_PARCEL_BYTES, SEALING_KEY, OpeningKey
from appliance.trust.signature import holds, sealed
from appliance.trust.staging import Limits

STAGING: Final = ".stick-"
LIMITS: Final = Limits(file_bytes=MAX_PARCEL_BYTES, files_n=4096, total_bytes=512 * 2**20)
OWN_LIMITS: Final = Limits(file_bytes=MAX_LAWS_BYTES + 4096, files_n=16_384, total_bytes=512 * 2**20)
"""Of what lies on a stick for devices, to see what of it is over."""

FILES: Final = "files"


class Brought(NamedTuple):
    """What a stick had for this controller."""

    parcels_n: int
    messages_n: int
    files: tuple[Path, ...]
    """Archives of evidence, where they lie now."""

    acknowledged: tuple[str, ...]
    unusable: tuple[str, ...]


def put(home: FleetHome, stick: Path, device: str, body: CommandBody, *, now: datetime, expires_s: float) -> str:
    """Write *body* as a signed command for *device* (or `all`) onto *stick*, and return the file's name.

    Raises:
        UsageError: the device is not enrolled here, or there is no such folder.
        StorageError: the stick cannot be written.
    """
    if device != EVERY_DEVICE and device not in home.device_keys():
        raise UsageError(f"no device {device!r} is enrolled here")
    with staging.opened(stick, FOLDER, DOWN, make=True) as folder:
        assert folder is not None  # it was made
        command = composing.compose(home, device, body, now=now, expires_s=expires_s)
        name = f"{device}.{command.counter:016d}.command.json"
        staging.put(folder, name, sealed(home.key, command))
    return name


def give(home: FleetHome, stick: Path, now: datetime) -> int:
    """Write onto *stick* what waits for devices: acknowledgements, configurations, commands that have yet to leave.

    They may leave over the network as well; each counts once. What this controller wrote before and no device needs
    any more goes.

    Returns:
        How many files that are.

    Raises:
        UsageError: there is no such folder.
        StorageError: the stick cannot be written.
    """
    acks = acknowledging.standing(home)
    files = {f"{ack.audience}.{ack.stream}.ack.json": sealed(home.key, ack) for ack in acks}
    for row in home.db.rows("select device, message from desired"):
        files[f"{row['device']}.config.desired.json"] = str(row["message"]).encode()
    for device, correlation, message in outgoing.carried(home):
        files[f"{device}.{correlation}.command.json"] = message
    with staging.opened(stick, FOLDER, DOWN, make=True) as folder:
        assert folder is not None  # it was made
        for name, data in files.items():
            staging.put(folder, name, data)
        staging.remove(folder, _over(home, folder, now) - files.keys())
    return len(files)


def _over(home: FleetHome, folder: int, now: datetime) -> set[str]:
    """Return the files in the opened *folder* that this controller signed and that serve nobody any more.

    Those are commands that have expired or were answered, and acknowledgements and configurations that it did not write
    just now: of a device that was forgotten, or that began a new ledger.
    """
    over = set()
    with staging.private(home.path, STAGING) as into:
        for copy in staging.stage(folder, into, DOWN_NAME, OWN_LIMITS)[0]:
            try:
                signed = parse_signed(copy.path.read_bytes())
                if not holds(signed, home.key.public):
                    continue  # another controller's, or nobody's
                if signed.payload.get("record") != "command":
                    over.add(copy.name)
                    continue
                command = parse_payload(signed, Command)
            except WireError:
                continue
            if command.expires_at <= now or _is_answered(home, command):
                over.add(copy.name)
    return over


def _is_answered(home: FleetHome, command: Command) -> bool:
    """Tell whether the device that *command* is for has ended it; of one for all nobody knows."""
    rows = home.db.rows(
        "select life from answers where correlation = ? and device = ?", [command.correlation, command.audience]
    )
    return any(row["life"] in FINAL for row in rows)


def take(home: FleetHome, collector: Collector, stick: Path) -> Brought:
    """Take every parcel for this controller from *stick*, and put the acknowledgements back onto it.

    Raises:
        UsageError: there is no such folder.
        StorageError: what came cannot be kept; take it again.
    """
    mine = re.compile(rf"[a-z0-9][a-z0-9-]{{0,63}}\.{home.key.key_id}\.[0-9a-f-]{{1,32}}\.parcel")
    key = parcels.load_or_make(home.path / SEALING_KEY)
    messages_n = 0
    unusable: list[str] = []
    acks: dict[tuple[str, str], Ack] = {}
    with staging.opened(stick, FOLDER, UP) as folder, staging.private(home.path, STAGING) as into:
        archives = Archives(home.path / FILES, into, home.device_keys)
        copies, refused = ([], []) if folder is None else staging.stage(folder, into, mine, LIMITS, _ranking(home))
        unusable += [f"{one.name}: {one.why}" for one in refused]
        for copy in sorted(copies):  # an archive's parts follow each other
            try:
                lines = _lines(copy.name, copy.path.read_bytes(), key)
            except (TrustError, WireError) as error:
                unusable.append(f"{copy.name}: {error}")
                continue
            messages = [_message(line) for line in lines if not line.file]
            messages_n += len(messages)
            # A commit for each few: whoever else writes to the database must not wait for a whole parcel.
            for first in range(0, len(messages), GROUP_N):
                for ack in collector.take(messages[first : first + GROUP_N]):
                    acks[ack.audience, ack.stream] = ack
            for line in lines:
                if line.file:
                    archives.add(copy.name.split(".")[0], line)
        unusable += archives.refused()
    with staging.opened(stick, FOLDER, DOWN, make=True) as folder:
        assert folder is not None  # it was made
        for ack in acks.values():
            staging.put(folder, f"{ack.audience}.{ack.stream}.ack.json", sealed(home.key, ack))
    told = tuple(f"{ack.audience}: {ack.stream} up to {ack.upto}" for ack in acks.values())
    return Brought(len(copies), messages_n, tuple(archives.whole), told, tuple(unusable))


def collector_for(home: FleetHome, now: datetime) -> Collector:
    """Return a collector that takes from sticks; it never connects."""
    return Collector(home, now=lambda: now, chance=Random())  # no jitter without a connection


def _ranking(home: FleetHome) -> staging.Rank:
    """Return by what parcels are chosen where there are too many: one of each enrolled device, then the next of each.

    Those that no enrolled device can have written come last.
    """
    enrolled = home.device_keys().keys()
    seen_n: Counter[str] = Counter()

    def rank(path: Path) -> tuple[int, ...]:
        match = UP_NAME.fullmatch(path.name)
        try:
            device = parcels.read_head(path.read_bytes())[0].device
        except WireError:
            return (1,)
        if match is None or device != match["device"] or device not in enrolled:
            return (1,)
        seen_n[device] += 1
        return (0, seen_n[device])

    return rank


def _lines(name: str, data: bytes, key: OpeningKey) -> list[Line]:
    match = UP_NAME.fullmatch(name)
    head, content = parcels.open_parcel(data, key)
    if match is None or head.device != match["device"]:
        raise WireError("its name is not what its head says")
    if content.count(b"\n") > MAX_LINES_N:
        raise WireError(f"more than {MAX_LINES_N} lines in it")
    try:
        return [Line.model_validate_json(line) for line in content.splitlines() if line]
    except (ValidationError, json.JSONDecodeError) as error:
        raise WireError("a line in it is not ours") from error


def _message(line: Line) -> Incoming:
    return Incoming(
        line.topic, line.payload.encode(), retained=False, correlation=None, response_topic=None, expiry_s=None
    )
