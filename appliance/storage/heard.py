"""How requests in words have fared since a record: what a bundle on trial is judged by.

Covers: requests of whoever counts as an operator or more, at the device or over the wire.
Does not cover: viewers, timers and laws: whoever may ask for nothing has no say in what decides; whether a request was
meant to be refused.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Final, NamedTuple

_VOICES: Final = ("operator", "approver", "admin")
"""Roles of people and of controllers that may ask for acts."""


class Heard(NamedTuple):
    """Requests in words, read for the first time."""

    n: int
    refused_n: int
    """Refused or asked back."""

    broken_n: int
    """Ended by a fault, or not read for want of a model."""


_ASKED: Final = (
    "select kind, json_extract(body, '$.facts.comes_to') as comes_to,"
    " json_extract(body, '$.facts.code') as code from audit"
    " where seq > ? and kind in ('decided', 'parked', 'settled') and json_valid(body)"
    " and json_extract(body, '$.facts.asked_as') = 'ask' and json_extract(body, '$.facts.continues') is null"
    " and json_extract(body, '$.facts.origin.kind') in ('operator', 'controller')"
    # A record leaves out what is usual: the role of an operator.
    " and coalesce(json_extract(body, '$.facts.origin.role'), 'operator') in (select value from json_each(?))"
    " order by seq desc limit ?"
)


def heard(connection: sqlite3.Connection, *, after: int = 0, last_n: int) -> Heard:
    """Count the newest *last_n* of them after record *after*."""
    n, refused_n, broken_n = 0, 0, 0
    for row in connection.execute(_ASKED, (after, json.dumps(_VOICES), last_n)):
        if row["comes_to"] is None:
            # A record without a decision of its own: declined, lapsed, or a fault.
            broken_n += row["code"] == "fault"
            continue
        n += 1
        refused_n += row["comes_to"] in {"refuse", "ask"}
        broken_n += row["code"] == "no_model"
    return Heard(n, refused_n, broken_n)
