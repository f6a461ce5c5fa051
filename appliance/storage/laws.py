"""The set of laws in force, and every text that it or a run needs, by digest.

A run finishes on the version that it began with, and a device whose folder of laws is damaged goes on with what it had:
both take the texts themselves, not the files that they came from.

Does not cover: whether a set may come into force; `agent.law_sets` decides, and calls this in its transaction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from appliance.errors import StorageError
from appliance.storage.database import Database


class KeptLaw(NamedTuple):
    """One law of the set in force."""

    name: str
    version: int
    digest: str


class KeptSet(NamedTuple):
    """The set in force."""

    number: int
    """0 where nobody signed."""

    note: str
    """The signed note; empty where nobody signed."""

    owner: str
    """The verifier key that the note was checked with."""

    laws: tuple[KeptLaw, ...]
    accepted_at: str


def accepted(db: Database) -> KeptSet | None:
    """Return the set in force; None where none ever was.

    Raises:
        StorageError: the row is damaged.
    """
    row = db.row("select number, note, owner, laws, accepted_at from law_set")
    if row is None:
        return None
    try:
        laws = tuple(KeptLaw(str(name), int(version), str(digest)) for name, version, digest in json.loads(row["laws"]))
    except (ValueError, TypeError) as error:
        raise StorageError(f"{db.path}: the set of laws in force is damaged: {error}") from error
    return KeptSet(row["number"], row["note"], row["owner"], laws, row["accepted_at"])


def accept(db: Database, number: int, note: str, owner: str, laws: Iterable[KeptLaw], at: datetime) -> None:
    """Put a set in the place of the one before; its texts are kept with `keep_text`, in the same transaction."""
    listed = json.dumps([list(law) for law in laws])
    db.execute(
        "insert into law_set values (1, ?, ?, ?, ?, ?) on conflict (one) do update set number = excluded.number,"
        " note = excluded.note, owner = excluded.owner, laws = excluded.laws, accepted_at = excluded.accepted_at",
        (number, note, owner, listed, at.isoformat()),
    )


def digest_of(raw: bytes) -> str:
    """Return what decisions, runs and signatures cite a file of laws by."""
    return hashlib.sha256(raw).hexdigest()


def keep_text(db: Database, text: str) -> None:
    """Keep the text of a law under its digest; one that was damaged is mended by that."""
    db.execute("insert or replace into law_texts values (?, ?)", (digest_of(text.encode()), text))


def text_of(db: Database, digest: str) -> str | None:
    """Return the text with *digest*; None where it is not kept, or is not that text any more."""
    row = db.row("select text from law_texts where digest = ?", (digest,))
    if row is None or digest_of(str(row["text"]).encode("utf-8", "surrogatepass")) != digest:
        return None
    return str(row["text"])


def forget_texts(db: Database) -> None:
    """Delete the texts that neither the set in force nor a run that goes on needs."""
    with db.atomic():
        kept = accepted(db)
        wanted = set() if kept is None else {law.digest for law in kept.laws}
        wanted |= {row["digest"] for row in db.rows("select digest from runs where ended_at is null")}
        for row in db.rows("select digest from law_texts"):
            if row["digest"] not in wanted:
                db.execute("delete from law_texts where digest = ?", (row["digest"],))


def highest_recorded(db: Database) -> int:
    """Return the highest number of a signed set that earlier epochs' records tell of: a salvaged file has no other."""
    row = db.row("select max(json_extract(body, '$.facts.number')) from past where kind = 'laws'")
    return int(row[0] or 0) if row is not None else 0
