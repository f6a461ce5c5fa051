"""The controller's tables, once for both databases: a list of steps that is only ever added to.

Covers: a new database, one that an earlier version made (upgraded where it lies, in one transaction), two programs that
are the first at once, a database that a later version made (refused). Does not cover: a way back; that is what a backup
is for.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from appliance.errors import StorageError
from appliance.fleet import before
from appliance.fleet.store import Store


class Step(NamedTuple):
    """What one version added; `{key}`, `{bytes}` and `{octets}` are what the database at hand calls them."""

    name: str
    sql: tuple[str, ...]


FLEET: Final = Step(
    "0001_fleet",
    (
        "create table meta (key {key} primary key, value text)",
        """create table devices (
    device {key} primary key,
    site text not null,
    public_key text not null,
    role text, -- of this controller at the device
    hardware_id text,
    enrolled_at text not null,
    state text,
    boot bigint,
    session bigint,
    nonce text,
    time text,
    epoch text,
    counter bigint, -- the highest of ours that the device has seen
    state_at text, -- by the device's clock
    seen_at text, -- by ours
    "desc" text
)""",
        """create table streams (
    device {key}, epoch {key}, stream {key},
    upto bigint not null, -- everything up to here is committed; what is acknowledged
    primary key (device, epoch, stream)
)""",
        """create table records (
    device {key}, epoch {key}, stream {key}, seq bigint,
    id text not null,
    kind text not null,
    at text,
    body text not null,
    received_at text,
    leaf {bytes}, -- of `audit` alone: what stands for it in the ledger's tree
    primary key (device, epoch, stream, seq)
)""",
        """create table gaps (
    device {key}, epoch {key}, stream {key}, first bigint,
    last bigint,
    noticed_at text,
    primary key (device, epoch, stream, first)
)""",
        """create table faults (
    device {key}, what {key},
    text text, first_at text, last_at text, times bigint,
    primary key (device, what)
)""",
        """create table commands (
    correlation {key} primary key,
    device text, kind text, body text, issued_at text, expires_at text
)""",
        """create table answers (
    device {key}, correlation {key}, life {key},
    status bigint, code text, text text, result text, at text, received_at text,
    primary key (device, correlation, life)
)""",
        """create table nodes (
    device {key}, epoch {key}, height bigint, n bigint,
    hash {bytes} not null, -- over the n-th complete run of 2**height records
    primary key (device, epoch, height, n)
)""",
        """create table checkpoints (
    device {key}, epoch {key}, size bigint, root {bytes},
    note text not null, -- as the device signed it
    received_at text,
    checked bigint not null, -- 1: agrees with the records, 0: they are not here yet, -1: it does not
    primary key (device, epoch, size, root)
)""",
        """create table epochs (
    device {key}, epoch {key},
    began_at text, cites text, standing text,
    primary key (device, epoch)
)""",
        """create table rotations (
    device {key}, new_key {key},
    old_key text, at text,
    statement text, -- as both keys signed it
    accepted_at text,
    primary key (device, new_key)
)""",
    ),
)
"""What a controller had when SQLite was its only database."""

COLLECTING: Final = Step(
    "0002_collecting",
    (
        # A word of SQL in one of the databases.
        'alter table devices rename column "desc" to description',
        # The lowest number that retention has left, how much the bodies from there on are, and when the last one came.
        "alter table streams add column first bigint not null default 1",
        "alter table streams add column bytes bigint not null default 0",
        "alter table streams add column seen_at text",
        """update streams set bytes = (
    select coalesce(sum({octets}), 0) from records r
    where r.device = streams.device and r.epoch = streams.epoch and r.stream = streams.stream
)""",
        """create table states (
    device {key}, boot bigint, session bigint, epoch {key}, state {key},
    time text,
    at text, -- by the device's clock; of a will: when the connection began
    received_at text not null, -- by ours, when it was said first
    primary key (device, epoch, boot, session, state)
)""",
        """create table collectors (
    collector {key} primary key,
    began_at text not null,
    seen_at text not null,
    records_n bigint not null
)""",
    ),
)

ACTING: Final = Step(
    "0003_acting",
    (
        # What the controller says of a device for itself: its groups.
        "create table tags (device {key}, tag {key}, primary key (device, tag))",
        """create table reported (
    device {key} primary key,
    version bigint not null, -- wholly in force
    accepted bigint not null,
    refused bigint not null, -- the newest version that it refused; 0 for none
    body text not null,
    received_at text not null
)""",
        """create table desired (
    device {key} primary key,
    version bigint not null,
    config text not null,
    message text not null, -- as it was signed
    wanted_at text not null,
    because text not null,
    left_at text -- when the broker took it; null while it has not
)""",
        """create table outgoing (
    correlation {key} primary key,
    device text not null, kind text not null,
    message text not null, -- as it was signed; the row goes when the broker has taken it
    because text not null, -- the rollout, or who asked
    expires_at text not null,
    handed_at text -- from here on it may have left
)""",
        """create table counted (
    device {key}, epoch {key}, stream {key},
    upto bigint not null, -- everything up to here is in `tallies`
    primary key (device, epoch, stream)
)""",
        """create table tallies (
    device {key}, bundle {key}, software {key}, day {key},
    requests bigint not null default 0, done bigint not null default 0, refused bigint not null default 0,
    failed bigint not null default 0, decided bigint not null default 0, corrected bigint not null default 0,
    primary key (device, bundle, software, day)
)""",
        """create table rollouts (
    rollout {key} primary key,
    state text not null,
    ring bigint not null,
    declared text not null, -- the file, as JSON
    begun_at text not null,
    soak_at text, -- when every device of this ring had ended
    excused bigint not null, -- rings up to this one are not judged: somebody said so
    looked_at text
)""",
        """create table rollout_members (
    rollout {key}, device {key},
    ring bigint not null,
    state text not null,
    step bigint not null default 0,
    correlation text, version bigint, wanted_before text,
    known text not null default '', -- what was wrong with it before
    code text not null default '', text text not null default '',
    asked_at text, ended_at text,
    requests bigint not null default 0, done bigint not null default 0, refused bigint not null default 0,
    failed bigint not null default 0, decided bigint not null default 0, corrected bigint not null default 0,
    alarms text not null default '', -- what its ledger said since
    primary key (rollout, device)
)""",
        """create table rollout_decisions (
    rollout {key}, n bigint,
    at text not null, what text not null, state text not null, ring bigint not null, who text not null,
    reason text not null,
    figures text not null,
    primary key (rollout, n)
)""",
    ),
)
"""What the controller wants of its devices, and what came of it."""

_NO_NUMBER: Final = 2**52

NUMBERING: Final = Step(
    "0004_numbering",
    (
        "create table counters (audience {key} primary key, issued bigint not null)",
        "alter table devices add column group_counter bigint not null default 0",
        # One number served them all, and each goes on from there.
        # What no command can have carried was some device's word, and counts no more.
        f"""insert into counters (audience, issued) select a.audience, cast(m.value as bigint) from meta m,
    (select 'all' as audience union select device from devices) a
    where m.key = 'counter' and cast(m.value as bigint) < {_NO_NUMBER}""",  # noqa: S608 -- our own number
        "delete from meta where key = 'counter'",
        f"update devices set counter = 0 where counter >= {_NO_NUMBER}",  # noqa: S608 -- our own number
        "create index devices_by_number on devices (group_counter)",
        # 0: an emergency stop, 1: what may leave, 2: the broker knows nobody who would get it.
        "alter table outgoing add column turn bigint not null default 1",
        "alter table outgoing add column queued_at text not null default ''",
        "alter table outgoing add column counter bigint not null default 0",
        "alter table outgoing add column unheard_at text",
        "update outgoing set turn = 0 where kind = 'stop'",
        "create index outgoing_by_turn on outgoing (turn, queued_at, counter)",
        "create index outgoing_by_end on outgoing (expires_at)",
    ),
)
"""Numbers for each device, and the order in which commands leave."""

FINDING: Final = Step(
    "0005_finding",
    (
        # By what is looked for every second: what is new for whoever watches, what leaves, who is in which ring.
        "create index answers_by_arrival on answers (received_at)",
        "create index states_by_arrival on states (received_at)",
        "create index gaps_by_arrival on gaps (noticed_at)",
        "create index faults_by_arrival on faults (last_at)",
        "create index decisions_by_time on rollout_decisions (at)",
        "create index commands_by_end on commands (expires_at)",
        "create index desired_by_leaving on desired (left_at, device)",
        "create index members_by_ring on rollout_members (rollout, state, ring, device)",
        "create index members_by_device on rollout_members (device)",
        # When the first record that is left came: found when retention looks, forgotten when it removes that record.
        "alter table streams add column oldest_at text",
        "create index streams_by_oldest on streams (oldest_at, device, epoch, stream)",
        # After how long without a word a device is called silent, by the period that it reports.
        "alter table devices add column silent_after_s bigint not null default 900",
        # No controller can have wanted so many: the device's word, which counts no more.
        f"delete from reported where version >= {_NO_NUMBER} or accepted >= {_NO_NUMBER} or refused >= {_NO_NUMBER}",  # noqa: S608 -- our own number
    ),
)
"""Ways to rows that the service looks for all the time, and how long each device may be silent."""

HISTORIES: Final = Step(
    "0006_histories",
    (
        # How an acknowledgement calls the record at `upto` (`contracts.receipts`); empty where that came before this.
        "alter table streams add column newest text not null default ''",
        """create table closures (
    device {key}, epoch {key}, n bigint,
    at text not null,
    because text not null,
    accepted_at text, -- null while nobody has decided: nothing of this history is taken or acknowledged
    reason text, -- of whoever decided
    kept_as text, -- the epoch under which what was here before stays
    primary key (device, epoch, n)
)""",
        # A row for each name that anybody had made up; from now on one for all of them.
        "delete from faults where what = 'unknown_device'",
    ),
)
"""Histories that contradict themselves, and what a person decided."""

STEPS: Final = (FLEET, COLLECTING, ACTING, NUMBERING, FINDING, HISTORIES)

TABLES: Final = (
    "meta", "devices", "streams", "records", "gaps", "faults", "commands", "answers", "nodes", "checkpoints", "epochs",
    "rotations", "states", "collectors", "tags", "reported", "desired", "outgoing", "counted", "tallies", "rollouts",
    "rollout_members", "rollout_decisions", "counters", "closures",
)  # fmt: skip
"""Every table but `migrations`; a move carries them in this order."""


def migrate(store: Store, steps: tuple[Step, ...] = STEPS) -> None:
    """Bring *store* to the last of *steps*.

    Raises:
        StorageError: a later version of this software has written it, or the database refuses; nothing was changed.
    """
    if _applied(store) == {step.name for step in steps}:
        return
    with store.alone():
        # Two programs may be the first: whoever waited finds everything done.
        store.execute("create table if not exists migrations (name {key} primary key)".format(**store.words))
        if before.is_from_before(store):
            before.bring_up(store)
            store.execute("insert into migrations (name) values (?) on conflict do nothing", [FLEET.name])
        applied = _applied(store)
        unknown = sorted(applied - {step.name for step in steps})
        if unknown:
            raise StorageError(
                f"{store.where}: a later version wrote it ({', '.join(unknown)}); use that version, or restore the"
                " backup from before the upgrade"
            )
        for step in steps:
            if step.name not in applied:
                for sql in step.sql:
                    store.execute(sql.format(**store.words))
                store.execute("insert into migrations (name) values (?)", [step.name])


def _applied(store: Store) -> set[str]:
    if not store.has_table("migrations"):
        return set()
    return {row["name"] for row in store.rows("select name from migrations")}
