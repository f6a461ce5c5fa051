"""What was collected to what is kept of it: by age, and by how much there is.

A device whose history contradicts itself, or that began a new ledger in silence, keeps everything: it is the evidence.
What a person set aside stays too; of what was accepted in its place goes what goes of any other.
Of a ledger only whole runs of 256 records go that a signed checkpoint has proved; their roots stay, so that everything
after them is verified as before. What a gap or a fault says, the newest checkpoint of each ledger, and what is not
committed in order stay always.

When the oldest record of a stream came is kept beside the stream (`oldest_at`), found once and again whenever that
record goes, so that one portion costs the same whatever there is.

Covers: several collectors that prune at once (the stream's row is the lock), an interruption anywhere. Does not cover:
giving space back to the disk; the database uses it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from appliance.fleet import ingest, ledgers
from appliance.fleet.home import FleetHome, iso
from appliance.storage.tree import WIDTH

CHUNK_N: Final = 4 * WIDTH
"""Records for one transaction: short enough that nobody waits for it."""

EVIDENCE: Final = (ledgers.FORKED, ledgers.UNLINKED)
_IS_SET_ASIDE: Final = "(device, epoch) in (select c.device, c.kept_as from closures c where c.kept_as is not null)"
_ANY_TIME: Final = "9999"
_AGED: Final = (
    ("answers", "device, correlation, life", "received_at"),
    ("states", "device, epoch, boot, session, state", "received_at"),
    ("commands", "correlation", "expires_at"),
)

PORTION_N: Final = 40
"""Such transactions in one go; what arrives meanwhile waits for a fraction of a second."""

ANSWERS_PART: Final = 10
"""Answers to commands may be a tenth of what is kept by bytes, beside the records; the newest stay."""

_PAGE_N: Final = 200
"""Streams that are looked at together."""

_AGED_N: Final = 5_000
"""Rows without a number for one transaction."""


class Kept(NamedTuple):
    """How much there is."""

    records_n: int
    bytes: int
    """Of the bodies of the records."""

    flagged: tuple[str, ...]
    """Devices of which nothing is removed."""

    answers_n: int
    states_n: int


class _Stream(NamedTuple):
    device: str
    epoch: str
    stream: str
    first: int
    most: int
    """No number above this may go."""

    received_at: str
    """When the first that is left came."""


def kept(home: FleetHome) -> Kept:
    """Return how much there is."""
    row = home.db.row(
        # Each stream by itself: what numbers a device skipped may be more than all records together.
        "select coalesce(sum(s.upto - s.first + 1 - (select coalesce(sum(g.last + 1"
        " - case when g.first < s.first then s.first else g.first end), 0) from gaps g where g.device = s.device"
        " and g.epoch = s.epoch and g.stream = s.stream and g.last >= s.first)), 0) as n from streams s"
    )
    assert row is not None
    return Kept(
        int(row["n"]), _bytes(home), tuple(sorted(_flagged(home))), _count(home, "answers"), _count(home, "states")
    )


def _count(home: FleetHome, table: str) -> int:
    row = home.db.row(f"select count(*) as n from {table}")  # noqa: S608 -- our own names
    return 0 if row is None else int(row["n"])


def _bytes(home: FleetHome) -> int:
    row = home.db.row("select coalesce(sum(bytes), 0) as bytes from streams")
    return 0 if row is None else int(row["bytes"])


def _bytes_of_evidence(home: FleetHome) -> int:
    marks = ", ".join("?" * len(EVIDENCE))
    row = home.db.row(
        "select coalesce(sum(bytes), 0) as bytes from streams where device in"  # noqa: S608 -- our own words
        f" (select device from faults where what in ({marks})) or {_IS_SET_ASIDE}",
        EVIDENCE,
    )
    return 0 if row is None else int(row["bytes"])


def prune(home: FleetHome, now: datetime) -> bool:
    """Remove one portion of what the settings do not keep, the oldest first.

    Returns:
        Whether more is left to remove.
    """
    keep = home.settings.keep
    if keep.days is None and keep.bytes is None:
        return False
    before = "" if keep.days is None else iso(now - timedelta(days=keep.days))
    # What is kept as evidence is nobody else's to make room for; its streams are closed, and grow no more.
    excess = 0 if keep.bytes is None else _bytes(home) - _bytes_of_evidence(home) - keep.bytes
    removed_n = 0
    for stream in _oldest(home, _ANY_TIME if excess > 0 else before):
        if excess <= 0 and stream.received_at >= before:
            break
        gone_bytes = _remove(home, stream, _ANY_TIME if excess > 0 else before)
        excess -= gone_bytes
        removed_n += gone_bytes > 0
        if removed_n == PORTION_N:
            return True
    more = _remove_aged(home, before) if before else False
    more = (keep.bytes is not None and _remove_answers(home, keep.bytes // ANSWERS_PART)) or more
    return more or removed_n > 0


def _oldest(home: FleetHome, until: str) -> Iterator[_Stream]:
    """Yield the streams that something may go of which came before *until*, the one with the oldest record first."""
    _find_oldest(home)
    flagged = _flagged(home)
    last = ("", "", "", "")
    while page := home.db.rows(
        "select device, epoch, stream, first, upto, oldest_at from streams where oldest_at < ?"  # noqa: S608 -- our own words
        f" and not {_IS_SET_ASIDE} and (oldest_at, device, epoch, stream) > (?, ?, ?, ?)"
        " order by oldest_at, device, epoch, stream limit ?",
        [until, *last, _PAGE_N],
    ):
        for row in page:
            last = (row["oldest_at"], row["device"], row["epoch"], row["stream"])
            first, most = int(row["first"]), int(row["upto"])
            if row["device"] in flagged:
                continue
            if row["stream"] == "audit" and (most := most // WIDTH * WIDTH) >= first:
                most = min(most, _proved(home, row["device"], row["epoch"]) // WIDTH * WIDTH)
            if most >= first:
                yield _Stream(row["device"], row["epoch"], row["stream"], first, most, row["oldest_at"])


def _find_oldest(home: FleetHome) -> None:
    """Find when the first record that is left came, of streams of which it is not known."""
    unknown = "oldest_at is null and first <= upto"
    while home.db.row(f"select 1 as one from streams where {unknown}") is not None:  # noqa: S608 -- our own words
        with home.writing():
            rows = home.db.rows(
                f"select device, epoch, stream from streams where {unknown} order by device, epoch, stream limit ?",  # noqa: S608 -- the same
                [_PAGE_N],
            )
            for row in rows:
                place = [row["device"], row["epoch"], row["stream"]]
                # Where there is none (all that were committed are gone), one that is to come is younger than this.
                home.db.execute(
                    "update streams set oldest_at = coalesce((select r.received_at from records r where r.device = ?"
                    " and r.epoch = ? and r.stream = ? and r.seq >= streams.first order by r.seq limit 1), seen_at, '')"
                    " where device = ? and epoch = ? and stream = ?",
                    [*place, *place],
                )


def _proved(home: FleetHome, device: str, epoch: str) -> int:
    row = home.db.row(
        "select max(size) as size from checkpoints where device = ? and epoch = ? and checked = 1", [device, epoch]
    )
    return 0 if row is None else int(row["size"] or 0)


def _remove(home: FleetHome, stream: _Stream, before: str) -> int:
    """Remove the oldest records of *stream*, those received before *before* only.

    Returns:
        How many bytes of bodies went.
    """
    place = (stream.device, stream.epoch, stream.stream)
    with home.writing():
        ingest.locked(home, {place})
        row = home.db.row(
            "select max(seq) as n from (select seq, received_at from records where device = ? and epoch = ?"
            " and stream = ? and seq >= ? and seq <= ? order by seq limit ?) oldest where received_at < ?",
            [*place, stream.first, stream.most, CHUNK_N, before],
        )
        upto = 0 if row is None or row["n"] is None else int(row["n"])
        if stream.stream == "audit":
            upto = upto // WIDTH * WIDTH
        if upto < stream.first:
            return 0
        gone = [*place, upto]
        octets = home.db.words["octets"]
        size = home.db.row(
            f"select coalesce(sum({octets}), 0) as n from records where device = ? and epoch = ? and stream = ?"  # noqa: S608 -- our own word
            " and seq <= ?",
            gone,
        )
        home.db.execute("delete from records where device = ? and epoch = ? and stream = ? and seq <= ?", gone)
        gone_bytes = 0 if size is None else int(size["n"])
        home.db.execute(
            "update streams set first = ?, bytes = bytes - ?, oldest_at = null"
            " where device = ? and epoch = ? and stream = ?",
            [upto + 1, gone_bytes, *place],
        )
    return gone_bytes


def _remove_aged(home: FleetHome, before: str) -> bool:
    """Remove what has no number: answers, commands, states, and checkpoints that a newer one has made needless.

    Returns:
        Whether more is left to remove.
    """
    more = False
    for table, key, column in _AGED:
        if home.db.row(f"select 1 as one from {table} where {column} < ? limit 1", [before]) is None:  # noqa: S608 -- our own names
            continue
        removed_n = home.db.execute(
            f"delete from {table} where ({key}) in (select {key} from {table} where {column} < ? limit ?)",  # noqa: S608 -- the same
            [before, _AGED_N],
        )
        more = more or removed_n == _AGED_N
    if more:
        return True
    marks = ", ".join("?" * len(EVIDENCE))
    home.db.execute(
        "delete from checkpoints where checked = 1 and received_at < ? and size <"  # noqa: S608 -- only marks
        " (select max(n.size) from checkpoints n where n.device = checkpoints.device"
        " and n.epoch = checkpoints.epoch and n.checked = 1)"
        f" and device not in (select device from faults where what in ({marks})) and not {_IS_SET_ASIDE}",
        [before, *EVIDENCE],
    )
    return False


def _remove_answers(home: FleetHome, most_bytes: int) -> bool:
    """Remove the oldest answers while all of them are more than this.

    Returns:
        Whether more is left to remove.
    """
    size = "length(coalesce(text, '')) + length(coalesce(result, ''))"
    row = home.db.row(f"select coalesce(sum({size}), 0) as n from answers")  # noqa: S608 -- our own words
    excess = (0 if row is None else int(row["n"])) - most_bytes
    if excess <= 0:
        return False
    oldest = home.db.rows(
        f"select device, correlation, life, {size} as n from answers"  # noqa: S608 -- the same
        " order by received_at, device, correlation, life limit ?",
        [_AGED_N],
    )
    with home.writing():
        for one in oldest:
            if excess <= 0:
                return False
            excess -= int(one["n"])
            home.db.execute(
                "delete from answers where device = ? and correlation = ? and life = ?",
                [one["device"], one["correlation"], one["life"]],
            )
    return excess > 0


def _flagged(home: FleetHome) -> set[str]:
    marks = ", ".join("?" * len(EVIDENCE))
    rows = home.db.rows(f"select distinct device from faults where what in ({marks})", EVIDENCE)  # noqa: S608 -- only marks
    return {row["device"] for row in rows}
