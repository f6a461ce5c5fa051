"""The schema, as a list of steps; docs/reference/schema.md is printed from the result."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from appliance.contracts.tree import leaf_hash
from appliance.errors import StorageError
from appliance.storage import tree

Step = Callable[[sqlite3.Connection], None]


def m001_path(db: sqlite3.Connection) -> None:
    """Inbox, audit, outbox: what enters, what was decided, what leaves."""
    db.execute("create table meta (key text primary key, value text not null) without rowid")
    db.execute(
        "create table inbox ("
        " request_id text primary key,"
        " seq integer not null unique,"  # order of arrival
        " received_at text not null,"
        " status text not null check (status in ('queued', 'taken', 'parked', 'done')),"
        " body text not null,"  # the Request, canonical JSON; words are here only until the row is pruned
        " parked text,"  # what a parked request waits for
        " expires_at text,"
        " outcome text"  # what the asker was told: the same answer for the same id
        ") without rowid"
    )
    db.execute("create index inbox_status on inbox (status, seq)")
    db.execute(
        "create index inbox_indeterminate on inbox (seq)"
        " where status = 'done' and json_extract(outcome, '$.status') = 'indeterminate'"
    )
    db.execute(
        "create table audit ("
        " seq integer primary key,"
        " kind text not null,"
        " request_id text,"
        " at text not null,"
        " body text not null,"  # canonical JSON: exactly the bytes that are hashed
        " personal text,"  # salts and values behind the body's commitments; may be erased
        " hash text not null"
        ")"
    )
    db.execute("create index audit_request on audit (request_id)")
    db.execute(
        "create table outbox ("
        " seq integer primary key autoincrement,"  # never reused, also after the newest row was acknowledged
        " envelope_id text not null unique,"
        " kind text not null,"
        " at text not null,"
        " body text not null"
        ")"
    )
    db.execute(
        "create table streams (stream text primary key, sent integer not null, acked integer not null) without rowid"
    )
    db.execute("insert into streams values ('audit', 0, 0), ('evt', 0, 0)")
    db.execute(
        "create table undo ("
        " seq integer primary key autoincrement,"
        " request_id text not null,"
        " body text not null"  # the ToolCall that takes the act back
        ")"
    )


def m002_replies(db: sqlite3.Connection) -> None:
    """Replies and issuers: what controllers are owed, and which of their counters were used."""
    db.execute(
        "create table replies ("
        " seq integer primary key autoincrement,"
        " request_id text not null unique,"  # of the inbox row; derived from issuer and correlation
        " topic text not null,"
        " correlation text not null,"
        " digest text not null,"  # of the signed command
        " not_before text,"  # answers to a group command are spread
        " response text not null,"  # the newest answer, canonical JSON
        " sent integer not null,"  # whether a broker took that answer
        " final integer not null"
        ")"
    )
    db.execute("create index replies_unsent on replies (seq) where sent = 0")
    db.execute("create index replies_open on replies (seq) where final = 0")
    db.execute(
        "create table issuers ("
        " key_id text primary key,"
        " highest integer not null,"
        " used text not null"  # bit n, hexadecimal: the counter `highest - n` was used; 1,024 of them
        ") without rowid"
    )


def m003_schedules(db: sqlite3.Connection) -> None:
    """Schedules: what fires later; a row is there while it still has to."""
    db.execute(
        "create table schedules ("
        " schedule_id integer primary key autoincrement,"  # never reused: the id of the request it becomes holds it
        " kind text not null check (kind in ('countdown', 'reminder', 'weekly')),"
        " label text not null,"
        " call text not null,"  # the ToolCall, canonical JSON
        " due_at text not null,"  # UTC, one width: ordered as text
        " weekly text,"
        " duration_s real,"
        " due_monotonic_s real,"
        " boot integer"
        ")"
    )
    db.execute("create index schedules_due on schedules (due_at)")


def m004_notes(db: sqlite3.Connection) -> None:
    """Notes that people left."""
    db.execute(
        "create table notes (note_id integer primary key autoincrement, written_at text not null, text text not null)"
    )


def m005_tree(db: sqlite3.Connection) -> None:
    """The ledger becomes a tree: leaves in place of the per-row chain, signed checkpoints, earlier epochs, holds."""
    db.execute("drop index audit_request")
    db.execute("alter table audit rename to audit_chain")
    for name, key in (("audit", "seq integer primary key,"), ("past", "epoch text not null, seq integer not null,")):
        db.execute(
            f"create table {name} ("  # `past`: records of earlier epochs, restored or salvaged
            f" {key}"
            " kind text not null,"
            " request_id text,"
            " at text not null,"
            " leaf blob not null,"  # SHA-256 over a zero byte and the body (RFC 6962); before what fills several pages
            " body text not null,"  # canonical JSON: exactly the bytes that are hashed
            " personal text"  # salts and values behind the body's commitments; may be erased
            f"{', primary key (epoch, seq)' if name == 'past' else ''}"
            ")"
        )
    for row in db.execute("select seq, kind, request_id, at, body, personal from audit_chain order by seq").fetchall():
        seq, kind, request_id, at, body, personal = row
        leaf = leaf_hash(body.encode())
        db.execute("insert into audit values (?, ?, ?, ?, ?, ?, ?)", (seq, kind, request_id, at, leaf, body, personal))
    db.execute("drop table audit_chain")
    db.execute("create index audit_request on audit (request_id) where request_id is not null")
    db.execute("create index audit_configured on audit (seq) where kind = 'configured'")  # a handful of rows
    # For the views; none of them has an entry for a decision but every 256th.
    db.execute("create index audit_device on audit (kind) where request_id is null")
    db.execute("create index audit_time on audit (seq, at) where seq % 256 = 0")
    db.execute("create index past_request on past (request_id) where request_id is not null")
    db.execute("create index past_seq on past (seq)")
    db.execute(
        "create table tree ("
        " epoch text not null,"
        " level integer not null,"  # 1: over 256 records, 2: over 65,536
        " n integer not null,"  # the n-th complete run, from 0
        " hash blob not null,"
        " primary key (epoch, level, n)"
        ") without rowid"
    )
    for size in range(tree.WIDTH, db.execute("select count(*) from audit").fetchone()[0] + 1, tree.WIDTH):
        tree.grow(db, size)
    db.execute(
        "create table checkpoints ("
        " epoch text not null,"
        " size integer not null,"
        " at text not null,"
        " note text not null,"  # the signed note, whole
        " primary key (epoch, size)"
        ") without rowid"
    )
    db.execute(
        "create table holds ("
        " hold_id integer primary key autoincrement,"
        " epoch text not null,"
        " first integer not null,"  # records first..last of that epoch are neither pruned nor redacted
        " last integer not null,"
        " reason text not null,"
        " by text not null,"
        " at text not null,"
        " released_at text"
        ")"
    )


def m006_fewer_pages(db: sqlite3.Connection) -> None:
    """A turn touches fewer pages: the inbox lies in order of arrival, undo and outbox number themselves."""
    db.execute("drop index inbox_status")
    db.execute("drop index inbox_indeterminate")
    for name in ("inbox", "outbox", "undo"):
        db.execute(f"alter table {name} rename to {name}_before")
    db.execute(
        "create table inbox ("
        " seq integer primary key,"  # order of arrival: new rows lie side by side in the file
        " request_id text not null unique,"
        " received_at text not null,"
        " status text not null check (status in ('queued', 'taken', 'parked', 'done')),"
        " body text not null,"  # the Request, canonical JSON; words are here only until the row is pruned
        " parked text,"  # what a parked request waits for
        " expires_at text,"
        " outcome text"  # what the asker was told: the same answer for the same id
        ")"
    )
    db.execute(
        "insert into inbox select seq, request_id, received_at, status, body, parked, expires_at, outcome"
        " from inbox_before order by seq"
    )
    # Partial, so that a settled row is in none of them: an index entry is a page written and a page folded in.
    db.execute("create index inbox_parked on inbox (seq) where status = 'parked'")
    db.execute(
        "create index inbox_indeterminate on inbox (seq)"
        " where status = 'done' and json_extract(outcome, '$.status') = 'indeterminate'"
    )
    db.execute(
        "create table outbox ("
        " seq integer primary key,"  # never reused: above every row, and above what was acknowledged
        " envelope_id text not null unique,"
        " kind text not null,"
        " at text not null,"
        " body text not null"
        ")"
    )
    db.execute("insert into outbox select seq, envelope_id, kind, at, body from outbox_before order by seq")
    db.execute(
        "create table undo ("
        " seq integer primary key,"  # never reused while the row before it is kept
        " request_id text not null,"
        " body text"  # the ToolCall that takes the act back; null once it was
        ")"
    )
    db.execute("insert into undo select seq, request_id, body from undo_before order by seq")
    for name in ("inbox", "outbox", "undo"):
        db.execute(f"drop table {name}_before")


def m007_landmarks(db: sqlite3.Connection) -> None:
    """The few records that are looked for by kind: an index of those alone costs a decision nothing."""
    db.execute(
        "create index audit_landmarks on audit (kind, seq)"
        " where kind in ('epoch', 'configured', 'pruned', 'redacted', 'hold', 'key_rotated', 'salvaged')"
    )


def m008_runs(db: sqlite3.Connection) -> None:
    """Runs of declared workflows; their steps, denials and approvals are found in the ledger itself."""
    db.execute(
        "create table runs ("
        " run_id text primary key,"
        " workflow text not null,"
        " version integer not null,"
        " digest text not null,"  # of the law that judges it
        " started_at text not null,"
        " ended_at text,"  # null while it is the workflow's present one
        " seq integer not null,"  # counts the steps
        " state text not null,"
        " body text not null"  # the RunState: what a resumed run needs
        ") without rowid"
    )
    db.execute("create unique index runs_live on runs (workflow) where ended_at is null")
    denials = (
        "kind = 'settled' and (instr(body, '\"rule\":\"workflow:') or instr(body, '\"rule\":\"rule:')"
        ' or instr(body, \'"rule":"laws"\'))'
        ' or kind = \'run\' and (instr(body, \'"kind":"denied"\') or instr(body, \'"kind":"illegal"\')'
        ' or instr(body, \'"kind":"held"\'))'
    )
    approvals = (
        'kind = \'run\' and (instr(body, \'"event":{"kind":"approved"\') or instr(body, \'"kind":"parked"\')'
        ' or instr(body, \'"kind":"lapsed"\'))'
        " or kind = 'parked' and instr(body, '\"comes_to\":\"approve\"')"
        " or kind in ('note', 'settled') and instr(body, '\"asked_as\":\"approve\"')"
    )
    # No table beside the ledger: it would be a second account, which nothing signs. An ordinary decision is in none.
    for table in ("audit", "past"):
        db.execute(f"create index {table}_steps on {table} (seq) where kind = 'run'")
        for name in ("workflow", "run_id"):
            value = f"json_extract(iif(json_valid(body), body, null), '$.facts.{name}')"
            # The number is the row's own in `audit`. The epoch keeps an entry from looking like a row of `streams`,
            # which is what a salvage would take it for if a workflow were called `audit`.
            columns = value if table == "audit" else f"{value}, seq, epoch"
            db.execute(f"create index {table}_steps_{name} on {table} ({columns}) where kind = 'run'")
        db.execute(f"create index {table}_denials on {table} (seq) where {denials}")
        db.execute(f"create index {table}_approvals on {table} (seq) where {approvals}")


def m009_laws(db: sqlite3.Connection) -> None:
    """The owner's laws: the set in force, and every text that it or a run needs."""
    db.execute(
        "create table law_texts ("
        " digest text primary key,"  # SHA-256 of the text, by which decisions and runs cite it
        " text text not null"
        ") without rowid"
    )
    db.execute(
        "create table law_set ("
        " one integer primary key check (one = 1),"  # there is one set in force
        " number integer not null,"  # only grows; 0 where nobody signed
        " note text not null,"  # the signed note, whole; empty where nobody signed
        " owner text not null,"  # the verifier key that it was checked with
        " laws text not null,"  # JSON: name, version and digest of each
        " accepted_at text not null"
        ")"
    )


def m010_people(db: sqlite3.Connection) -> None:
    """Enrolled people, and wrong PINs."""
    db.execute(
        "create table people ("
        " key text primary key,"  # the name without case and accents: two that look alike are one
        " name text not null,"
        " role text not null check (role in ('viewer', 'operator', 'approver', 'admin')),"
        " pin text not null,"  # scrypt: parameters, salt and hash
        " enrolled_at text not null"
        ") without rowid"
    )
    db.execute(
        "create table wrong_pins ("
        " who text primary key,"  # a person's key, or ?N for names that nobody has
        " failures integer not null"  # in a row; a restart does not forget them
        ") without rowid"
    )


def m011_bundles(db: sqlite3.Connection) -> None:
    """Whose bundles this device takes, what it has had, and how long one has lain here."""
    db.execute(
        "create table trust_documents ("
        " kind text primary key check (kind in ('root', 'revocations')),"
        " number integer not null,"  # version of a root, number of a list
        " accepted_at text not null,"
        " body text not null"  # the signed file as it came
        ") without rowid"
    )
    db.execute(
        "create table bundles_seen ("
        " sha256 text primary key,"  # of the manifest
        " name text not null,"
        " release integer not null,"
        " first_at text not null,"  # wall clock, for people; nothing is counted from it
        " powered_s real not null"  # time that the device ran since then: what the cooldown counts
        ") without rowid"
    )
    db.execute(
        "create table bundle_floors ("
        " name text primary key,"
        " release integer not null,"  # no lower one is taken
        " sha256 text,"  # of the bundle that had this number here; null where a root has set it
        " at text not null"
        ") without rowid"
    )


def m012_updates(db: sqlite3.Connection) -> None:
    """What a controller wants done with bundles, until it is done: one thing at a time."""
    db.execute(
        "create table updates ("
        " one integer primary key check (one = 1),"
        " request_id text not null,"  # whose answer is owed in `replies`
        " peer text not null,"
        " action text not null,"
        " name text not null,"
        " expires_at text,"
        " begun integer not null"  # set before anything is done: after a power cut it is not done again
        ")"
    )


def m013_errands(db: sqlite3.Connection) -> None:
    """Errands: what a controller commanded and the device does beside its turns; a row is there while it is owed."""
    db.execute(
        "create table errands ("
        " seq integer primary key,"
        " request_id text not null unique,"  # of the row in `replies` that owes the answer
        " expires_at text,"  # null where the time could not be trusted
        " command text not null"  # as it was signed, canonical JSON
        ")"
    )


def m014_group_windows(db: sqlite3.Connection) -> None:
    """Issuers: what is for `all` has a window of its own; nothing up to the highest that was seen counts in it."""
    db.execute(
        "insert or ignore into issuers (key_id, highest, used) select key_id || '/all', highest, ? from issuers",
        (f"{(1 << 1024) - 1:x}",),
    )


STEPS: Final[tuple[Step, ...]] = (
    m001_path,
    m002_replies,
    m003_schedules,
    m004_notes,
    m005_tree,
    m006_fewer_pages,
    m007_landmarks,
    m008_runs,
    m009_laws,
    m010_people,
    m011_bundles,
    m012_updates,
    m013_errands,
    m014_group_windows,
)


def apply(db: sqlite3.Connection, *, epoch: str) -> None:
    """Bring *db* to the newest schema, each step in its own transaction.

    Raises:
        StorageError: the file was written by newer software.
    """
    version = db.execute("pragma user_version").fetchone()[0]
    if version > len(STEPS):
        raise StorageError(
            f"the database has schema {version}, this software knows {len(STEPS)}; install the newer one"
        )
    for number, step in enumerate(STEPS[version:], start=version + 1):
        db.execute("begin immediate")
        try:
            step(db)
            if number == 1:
                db.execute("insert into meta values ('epoch', ?)", (epoch,))
            db.execute(f"pragma user_version = {number}")
        except BaseException:
            db.rollback()
            raise
        db.commit()
