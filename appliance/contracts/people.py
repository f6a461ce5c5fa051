"""Enrolled people: which roles there are, what a name may be, and what the ledger says of them."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal

from appliance.contracts.decision import Facts

PersonRole = Literal["viewer", "operator", "approver", "admin"]
"""Each may do what the one before it may."""

ROLES: Final[tuple[PersonRole, ...]] = ("viewer", "operator", "approver", "admin")

MAX_NAME_CHARS: Final = 32

NAME_RULE: Final = (
    f"A name begins with a letter and has up to {MAX_NAME_CHARS} letters (a to z, with or without accents), digits,"
    " '-', '_' or '.'."
)

_KEY: Final = re.compile(r"[a-z][a-z0-9._-]{0,31}")


def spelled(name: str) -> str:
    """Return *name* as it is kept: composed letters."""
    return unicodedata.normalize("NFC", name)


def name_key(name: str) -> str | None:
    """Return what makes *name* unique, or None where it is no name.

    Case and accents do not tell people apart, and letters are Latin: two names that look alike in a record are one.

    >>> name_key("José"), name_key("jose"), name_key("\u0430na")
    ('jose', 'jose', None)
    """
    if len(name) > 4 * MAX_NAME_CHARS:
        return None
    composed = spelled(name)
    if len(composed) > MAX_NAME_CHARS or any(unicodedata.combining(c) for c in composed):
        return None
    # Canonical decomposition only: letters that merely look like others (full width, mathematical) stay what they are.
    bare = "".join(c for c in unicodedata.normalize("NFD", composed) if not unicodedata.combining(c))
    key = bare.lower()
    return key if bare.isascii() and _KEY.fullmatch(key) else None


Happened = Literal["enrolled", "removed", "role", "pin", "recovered", "wrong"]
"""`role` and `pin` were changed; `recovered`: a new PIN, given by whoever runs the device; `wrong`: a wrong name or
PIN."""


class PersonFacts(Facts):
    """`people`: somebody was enrolled, removed or changed, or gave a wrong PIN; nothing of a PIN is here."""

    what: Happened
    name: str = ""
    """Of whom; empty where nobody has the name that was given, which is not kept: a PIN may have slipped into it."""

    role: str = ""
    """From now on; of somebody who is removed, until now."""

    role_before: str = ""
    by_peer: str
    """The process that asked, as the kernel says."""

    by_person: str = ""
    """The admin, or the person themselves; empty for a wrong PIN, and for whoever runs the device."""

    failures: int = 0
    """Wrong PINs in a row."""

    wait_s: float = 0.0
    """For how long no PIN is looked at; 0 while there is another try."""
