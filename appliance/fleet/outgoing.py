"""Commands that have yet to leave: a row for each, from before it leaves until the broker has it.

A row is written in the transaction of whatever decided that the command be sent. Shortly before it leaves it is
marked; one without a mark may still be taken back. One with a mark may have left: it can only leave again as it is,
with the same number and correlation, and a device carries out such a command once.

An emergency stop leaves before everything else; the others leave in the order in which they were made.

Covers: a sender that dies anywhere, several senders, a broker that knows nobody who would get a command (it waits here
until its device is heard of). Does not cover: whether the device gets it before it expires; the answers say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from appliance.contracts.envelope import Command, CommandBody, StopBody, parse_payload, parse_signed
from appliance.contracts.topics import EVERY_DEVICE, Channel, Topic
from appliance.fleet import composing
from appliance.fleet.home import FleetHome, iso
from appliance.transport.messages import Message
from appliance.trust.signature import sealed

ANOTHER_S: Final = 30.0
"""After so long, what another sender had marked is sent by whoever finds it."""

KNOCK_S: Final = 5.0
"""So often a command is offered again that the broker had nobody for, while its device seems to be there."""

_STOP, _NEXT, _UNHEARD = range(3)
"""Whose turn it is; the last are offered to nobody until their devices are heard of."""

_MARKS_N: Final = 500


class Waiting(NamedTuple):
    """A command that has yet to leave."""

    correlation: str
    message: Message


def queue(home: FleetHome, device: str, body: CommandBody, *, now: datetime, expires_s: float, because: str) -> str:
    """Let *body* leave for *device* (or `all`), and return its correlation; part of the caller's transaction.

    Raises:
        UsageError: no such command can be made.
    """
    command = composing.compose(home, device, body, now=now, expires_s=expires_s)
    home.db.execute(
        "insert into outgoing (correlation, device, kind, message, because, expires_at, turn, queued_at, counter)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            *(command.correlation, device, body.kind, sealed(home.key, command).decode(), because),
            *(iso(command.expires_at), _STOP if isinstance(body, StopBody) else _NEXT, iso(now), command.counter),
        ],
    )
    return command.correlation


def hand_over(
    home: FleetHome, now: datetime, limit: int, also: Iterable[str] = (), *, only_stops: bool = False
) -> list[Waiting]:
    """Return the next commands to be sent, marked; they may leave as soon as this has returned.

    Args:
        also: correlations that this sender marked before and did not get rid of.
    """
    last = _STOP if only_stops else _NEXT
    if home.db.row("select 1 as one from outgoing where turn <= ? limit 1", [last]) is None:
        return []  # most of the time: nobody else is kept from writing
    mine = tuple(also)
    with home.writing():
        home.db.execute("delete from outgoing where expires_at <= ?", [iso(now)])
        marks = ", ".join("?" * len(mine)) or "''"
        rows = home.db.rows(
            "select correlation, device, kind, message from outgoing where turn <= ? and (handed_at is null"  # noqa: S608 -- only marks
            f" or handed_at < ? or correlation in ({marks})) order by turn, queued_at, counter limit ?",
            [last, iso(now - timedelta(seconds=ANOTHER_S)), *mine, limit],
        )
        # A row that is gone by now was taken back, or has left with another sender.
        rows = [
            row
            for row in rows
            if home.db.execute(
                "update outgoing set handed_at = ? where correlation = ?", [iso(now), row["correlation"]]
            )
        ]
    return [Waiting(row["correlation"], _message(home, row["message"], row["kind"], now)) for row in rows]


def unheard(home: FleetHome, correlations: Iterable[str], now: datetime) -> None:
    """Keep commands that the broker had nobody for, until their devices are heard of."""
    with home.writing():
        for correlation in correlations:
            home.db.execute(
                "update outgoing set turn = ?, unheard_at = ? where correlation = ?", [_UNHEARD, iso(now), correlation]
            )


def offer_again(home: FleetHome, now: datetime) -> None:
    """Let those leave again whose device was heard of since, or seems to be there; forget those that are too late."""
    if home.db.row("select 1 as one from outgoing where turn = ? limit 1", [_UNHEARD]) is None:
        return
    with home.writing():
        home.db.execute("delete from outgoing where expires_at <= ?", [iso(now)])
        home.db.execute(
            # Not taken back any more: it may be on a stick as well.
            "update outgoing set turn = case when kind = 'stop' then ? else ? end, handed_at = '' where turn = ?"
            " and (exists (select 1 from devices d where d.device = outgoing.device and d.seen_at > unheard_at)"
            " or (unheard_at < ? and (device = ? or exists (select 1 from devices d where d.device = outgoing.device"
            " and d.state not in ('lost', 'disconnected')))))",
            [_STOP, _NEXT, _UNHEARD, iso(now - timedelta(seconds=KNOCK_S)), EVERY_DEVICE],
        )


def still_here(home: FleetHome, correlations: Sequence[str]) -> tuple[int, int]:
    """Return how many of these commands have not left: all of them, and those that the broker had nobody for."""
    here_n = unheard_n = 0
    for first in range(0, len(correlations), _MARKS_N):
        some = correlations[first : first + _MARKS_N]
        marks = ", ".join("?" * len(some))
        rows = home.db.rows(f"select unheard_at from outgoing where correlation in ({marks})", some)  # noqa: S608 -- only marks
        here_n += len(rows)
        unheard_n += sum(row["unheard_at"] is not None for row in rows)
    return here_n, unheard_n


def carried(home: FleetHome) -> list[tuple[str, str, bytes]]:
    """Return what has yet to leave, for a stick: device, correlation, command; nothing of it can be taken back now."""
    with home.writing():
        # Marked as if long ago: the network may be quicker than whoever carries the stick.
        home.db.execute("update outgoing set handed_at = '' where handed_at is null")
        rows = home.db.rows("select device, correlation, message from outgoing order by device, correlation")
    return [(row["device"], row["correlation"], row["message"].encode()) for row in rows]


def gone(home: FleetHome, correlations: Iterable[str]) -> None:
    """Forget commands that the broker has."""
    with home.writing():
        for correlation in correlations:
            home.db.execute("delete from outgoing where correlation = ?", [correlation])


def take_back(home: FleetHome, correlation: str) -> bool:
    """Keep a command from leaving.

    Returns:
        Whether it is certain that it never leaves.
    """
    return bool(
        home.db.execute("delete from outgoing where correlation = ? and handed_at is null", [correlation])
    ) and bool(home.db.execute("delete from commands where correlation = ?", [correlation]))


def _message(home: FleetHome, signed: str, kind: str, now: datetime) -> Message:
    command = parse_payload(parse_signed(signed.encode()), Command)
    return Message(
        str(Topic.make(home.settings.site, command.audience, Channel.CMD, kind)),
        signed.encode(),
        correlation=bytes.fromhex(command.correlation),
        response_topic=command.response_topic,
        expiry_s=max(1, int((command.expires_at - now).total_seconds())),
    )
