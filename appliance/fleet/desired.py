"""The configuration that is wanted of each device, what is in force there, and what differs.

A wish is a version of its own for each device, signed, kept here before it leaves, and retained by the broker: it is
the only retained thing that a device obeys, once for each version. So it may leave twice, and a device that was away
for weeks finds the newest one.

Covers: a broker that forgot what it retained (a device that is there and reports less than what is wanted is told
again), a controller restored from a backup (versions go on above what devices report), a device that reports a version
that nobody can have wanted (refused), keys that the device's own file sets (`conflict`). Does not cover: what may be
set from afar; the device says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from pydantic import JsonValue, ValidationError

from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import Desired, Reported, payload_of
from appliance.contracts.record import JsonObject
from appliance.contracts.topics import Channel, Topic
from appliance.errors import UsageError, WireError
from appliance.fleet import devices
from appliance.fleet.home import FleetHome, iso
from appliance.fleet.store import rows_of
from appliance.transport.messages import Message
from appliance.trust.signature import sealed

TELL_AGAIN_S: Final = 600.0
"""To a device that is there and reports less than what is wanted."""

MOST_AHEAD_N: Final = 1_000_000
"""So far above what was ever wanted here a report is believed: another controller, or this one before its backup was
restored, may have wanted that. Beyond it, the device's word would use up the numbers that its own wishes need."""

Standing = Literal["waits for a start", "conflict", "refused", "not heard"]


class Difference(NamedTuple):
    """One key that is not as it is wanted."""

    key: str
    wanted: JsonValue
    in_force: JsonValue
    standing: Standing
    why: str = ""


class Drift(NamedTuple):
    """One device's configuration beside what is wanted of it."""

    device: str
    wanted: int
    """The version that is wanted; 0 for none."""

    in_force: int
    heard_at: str
    """When it last reported; empty for never."""

    differences: tuple[Difference, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether everything is as it is wanted."""
        return not self.differences and (self.in_force >= self.wanted or not self.wanted)

    def facts(self) -> JsonObject:
        """Return it as JSON."""
        differences: list[JsonValue] = [one._asdict() for one in self.differences]
        return {**self._asdict(), "agrees": self.agrees, "differences": differences}


def want(
    home: FleetHome,
    device: str,
    config: JsonObject,
    *,
    now: datetime,
    because: str,
    restart: bool = False,
    revoked: tuple[str, ...] = (),
) -> int:
    """Want *config* of *device*, whole, and return the version that this became; it leaves when somebody sends.

    Raises:
        UsageError: it is not enrolled here.
    """
    with home.writing():
        # The device's row is the lock: two programs shall not give one version to two configurations.
        if not home.db.execute("update devices set device = device where device = ?", [device]):
            raise UsageError(f"no device {device!r} is enrolled here")
        version = _highest(home, device) + 1
        wish = Desired(
            audience=device,
            issuer=home.key.key_id,
            version=version,
            issued_at=now,
            config=config,
            revoked=revoked,
            restart=restart,
        )
        home.db.execute(
            "insert into desired (device, version, config, message, wanted_at, because, left_at)"
            " values (?, ?, ?, ?, ?, ?, null) on conflict (device) do update set version = excluded.version,"
            " config = excluded.config, message = excluded.message, wanted_at = excluded.wanted_at,"
            " because = excluded.because, left_at = null",
            [
                *(device, version, canonical(config).decode(), sealed(home.key, wish).decode()),
                *(iso(now), because),
            ],
        )
    return version


def wanted(home: FleetHome, device: str) -> JsonObject:
    """Return the configuration that is wanted of *device* now."""
    row = home.db.row("select config from desired where device = ?", [device])
    found: JsonObject = {} if row is None else json.loads(row["config"])
    return found


def changed(config: JsonObject, changes: JsonObject) -> JsonObject:
    """Return *config* with the keys of *changes* set; a key that is changed to null is left to the device again."""
    merged = {section: dict(keys) if isinstance(keys, dict) else keys for section, keys in config.items()}
    for section, keys in changes.items():
        if not isinstance(keys, dict):
            raise UsageError(f"[{section[:64]}]: a section with keys is wanted, such as uplink.batch_n")
        own = merged.setdefault(section, {})
        assert isinstance(own, dict)  # `want` was never given anything else
        for key, value in keys.items():
            if value is None:
                own.pop(key, None)
            else:
                own[key] = value
        if not own:
            del merged[section]
    return merged


def store_reported(home: FleetHome, reported: Reported, now: datetime) -> bool:
    """Keep what a device says is in force.

    Returns:
        Whether it is news; the broker says the same again with every new session.

    Raises:
        WireError: it names a version that nobody can have wanted; nothing was changed.
    """
    body = canonical(payload_of(reported)).decode()
    with home.writing():
        most = _wanted_version(home, reported.device) + MOST_AHEAD_N
        if max(_versions(reported)) > most:
            raise WireError(
                f"reports version {max(_versions(reported))} of its configuration; {most - MOST_AHEAD_N} is the newest"
                f" that was wanted, and at most {MOST_AHEAD_N} more are believed"
            )
        changed_n = home.db.execute(
            "insert into reported (device, version, accepted, refused, body, received_at) values (?, ?, ?, ?, ?, ?)"
            " on conflict (device) do update set version = excluded.version, accepted = excluded.accepted,"
            " refused = excluded.refused, body = excluded.body, received_at = excluded.received_at"
            " where reported.body <> excluded.body",
            [reported.device, reported.version, reported.accepted, _refused(reported), body, iso(now)],
        )
        if changed_n:
            said = reported.config.get("uplink")
            period_s = said.get("state_every_s") if isinstance(said, dict) else None
            home.db.execute(
                "update devices set silent_after_s = ? where device = ?",
                [devices.silent_after_s(period_s), reported.device],
            )
    return changed_n == 1


def leaving(home: FleetHome, limit: int) -> list[tuple[str, int, Message]]:
    """Return what no broker has taken yet: device, version, message."""
    rows = home.db.rows(
        "select device, version, message from desired where left_at is null"
        " and device in (select device from devices) order by device limit ?",
        [limit],
    )
    return [
        (
            row["device"],
            int(row["version"]),
            Message(
                str(Topic.make(home.settings.site, row["device"], Channel.DESIRED)),
                row["message"].encode(),
                retain=True,
            ),
        )
        for row in rows
    ]


def left(home: FleetHome, those: Iterable[tuple[str, int]], now: datetime) -> None:
    """Note that the broker has these versions; a newer one that came meanwhile has yet to leave."""
    with home.writing():
        for device, version in those:
            home.db.execute(
                "update desired set left_at = ? where device = ? and version = ?", [iso(now), device, version]
            )


def tell_again(home: FleetHome, now: datetime) -> int:
    """Let those leave again that a device should know by now: its broker may have forgotten what it retained."""
    behind = home.db.rows(
        f"select w.device, w.version, d.state, d.seen_at, d.silent_after_s, {devices.HEARD_AT} as heard_at"  # noqa: S608 -- our own words
        " from desired w join devices d on d.device = w.device left join reported r on r.device = w.device"
        # A refusal is an answer: the same again would be refused again.
        " where w.left_at < ? and (r.device is null or (r.accepted < w.version and r.refused <> w.version))",
        [iso(now - timedelta(seconds=TELL_AGAIN_S))],
    )
    with home.writing():
        # One that is not there finds what is retained when it comes back, and a broker that forgot it then gets it.
        return sum(
            home.db.execute(
                "update desired set left_at = null where device = ? and version = ?", [row["device"], row["version"]]
            )
            for row in behind
            if devices.presence_of(row, now) == "online"
        )


def drift(home: FleetHome, names: Sequence[str]) -> list[Drift]:
    """Return, for each device, what is not as it is wanted."""
    asked = {
        row["device"]: row
        for row in rows_of(home.db, "select device, version, config from desired where device in ({})", names)
    }
    heard = {
        row["device"]: row
        for row in rows_of(home.db, "select device, body, received_at from reported where device in ({})", names)
    }
    found = []
    for device in names:
        wish, said = asked.get(device), heard.get(device)
        reported = None if said is None else _read(said["body"])
        config: JsonObject = {} if wish is None else json.loads(wish["config"])
        version = 0 if wish is None else int(wish["version"])
        found.append(
            Drift(
                device=device,
                wanted=version,
                in_force=0 if reported is None else reported.version,
                heard_at="" if said is None or reported is None else str(said["received_at"]),
                differences=tuple(_differences(config, version, reported)),
            )
        )
    return found


def _differences(config: JsonObject, version: int, reported: Reported | None) -> Iterable[Difference]:
    in_force = _flat({} if reported is None else reported.config)
    conflicts = {str(one.get("key")): one for one in (() if reported is None else reported.conflicts)}
    refused = reported is not None and _refused(reported) == version
    for key, value in sorted(_flat(config).items()):
        now = in_force.get(key)
        if key in conflicts:
            why = f"the device's own file says {_json(conflicts[key].get('local'))}, which wins"
            yield Difference(key, value, now, "conflict", why)
        elif now == value and key in in_force:
            continue
        elif reported is None or (reported.accepted < version and not refused):
            yield Difference(key, value, now, "not heard", f"it has not answered to version {version}")
        elif refused:
            yield Difference(key, value, now, "refused", str(reported.refused.get("text", "")))
        else:
            yield Difference(key, value, now, "waits for a start", "it counts from the device's next start")


def _highest(home: FleetHome, device: str) -> int:
    wanted = _wanted_version(home, device)
    said = home.db.row("select body from reported where device = ?", [device])
    reported = None if said is None else _read(said["body"])
    told = () if reported is None else _versions(reported)
    return max([wanted, *(version for version in told if version <= wanted + MOST_AHEAD_N)])


def _wanted_version(home: FleetHome, device: str) -> int:
    row = home.db.row("select version from desired where device = ?", [device])
    return 0 if row is None else int(row["version"])


def _read(body: str) -> Reported | None:
    """Read a report that is kept; none where another version of this software has kept it."""
    try:
        return Reported.model_validate_json(body)
    except ValidationError:
        return None


def _versions(reported: Reported) -> tuple[int, int, int]:
    return reported.version, reported.accepted, _refused(reported)


def _refused(reported: Reported) -> int:
    version = reported.refused.get("version", 0)
    return version if isinstance(version, int) and not isinstance(version, bool) and version > 0 else 0


def _flat(config: JsonObject) -> dict[str, JsonValue]:
    return {
        f"{section}.{key}": value
        for section, keys in config.items()
        for key, value in (keys.items() if isinstance(keys, dict) else ())
    }


def _json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)
