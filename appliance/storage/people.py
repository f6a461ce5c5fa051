"""Enrolled people, and how many wrong PINs in a row there were; what is kept of a PIN is opaque here.

Covers: names that differ only in case or accents (one key); a restart (wrong PINs stay counted).
Does not cover: who may change what, and for how long a wrong PIN bars; `agent.people` and `agent.guesses` know. A
database that was salvaged has nobody enrolled: rows that were deleted must not come back from a damaged file.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from pydantic import Field

from appliance.contracts.people import PersonRole
from appliance.contracts.record import Record
from appliance.storage.database import Database

MOST_N: Final = 200
"""More people than any device has at its socket."""


class Person(Record):
    """Somebody who is enrolled."""

    key: str
    name: str
    role: PersonRole
    pin: str = Field(repr=False)
    enrolled_at: str


def find(db: Database, key: str) -> Person | None:
    """Return the person with this key."""
    row = db.row("select key, name, role, pin, enrolled_at from people where key = ?", (key,))
    return None if row is None else _person(row)


def every(db: Database) -> list[Person]:
    """Return everybody, by key."""
    return [_person(row) for row in db.rows("select key, name, role, pin, enrolled_at from people order by key")]


def roles(db: Database) -> dict[str, PersonRole]:
    """Return everybody's role, by key."""
    return {str(row["key"]): row["role"] for row in db.rows("select key, role from people")}


def save(db: Database, person: Person) -> None:
    """Keep *person*, in place of whoever had the key."""
    db.execute(
        "insert into people (key, name, role, pin, enrolled_at) values (?, ?, ?, ?, ?) on conflict (key) do update set"
        " name = excluded.name, role = excluded.role, pin = excluded.pin, enrolled_at = excluded.enrolled_at",
        (person.key, person.name, person.role, person.pin, person.enrolled_at),
    )


def remove(db: Database, key: str) -> None:
    """Take a person off the list."""
    db.execute("delete from people where key = ?", (key,))


def failures(db: Database) -> dict[str, int]:
    """Return how many wrong PINs in a row there were, by whom they were given for."""
    return {str(row["who"]): int(row["failures"]) for row in db.rows("select who, failures from wrong_pins")}


def count(db: Database, who: str, failures_n: int) -> None:
    """Keep how many wrong PINs in a row there were."""
    if failures_n == 0:
        db.execute("delete from wrong_pins where who = ?", (who,))
        return
    db.execute(
        "insert into wrong_pins (who, failures) values (?, ?)"
        " on conflict (who) do update set failures = excluded.failures",
        (who, failures_n),
    )


def _person(row: sqlite3.Row) -> Person:
    return Person.model_validate(dict(row))
