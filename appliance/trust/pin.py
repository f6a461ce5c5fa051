"""A PIN to what may be kept of it, and the check against that.

Covers: a copied database (salted scrypt, 16 MiB and 60 ms for each guess on a desktop, about half a second on a Pi Zero
2 W), PINs that everybody tries first, comparison in constant time, parameters in the file that ask for too much memory.
Does not cover: guessing through the daemon (`agent.guesses` makes it wait); a search through all PINs of six digits by
whoever has the database, which takes hours: a longer PIN with letters makes it centuries.

Source:
    RFC 7914, The scrypt Password-Based Key Derivation Function.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from typing import Final, NamedTuple

SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32


class Cost(NamedTuple):
    """What one guess costs: 2**log2_n * r * 128 bytes of memory, p times in a row."""

    log2_n: int
    r: int
    p: int


COST: Final = Cost(14, 8, 1)
"""16 MiB: what a Pi with 512 MiB can spare beside the network; measured at 60 ms, docs/explanation/people.md."""

_DEAREST_BYTES: Final = 64 * 2**20
"""A file that asks for more is not ours."""

_KEPT: Final = re.compile(r"scrypt\$(\d{1,2})\$(\d{1,2})\$(\d)\$([0-9a-f]{32})\$([0-9a-f]{64})")

MIN_CHARS: Final = 6
MAX_CHARS: Final = 12
RULE: Final = f"A PIN has {MIN_CHARS} to {MAX_CHARS} characters, digits or others, and no spaces."

_KEYBOARD: Final = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop")
_OFTEN: Final = """
112233 223344 332211 111222 222333 121314 123321 321123 147258 258369 147369 159753 159357 753951 357951 789456 456123
123654 147852 963852 741852 852456 101010 100100 112211 131313 123abc abc123 password passwort letmein changeme welcome
dragon monkey qwe123 1q2w3e 1qaz2wsx 007007 192837 246810 135790 135791 314159 271828
"""
"""First in every list of stolen PINs, and neither a run nor a repetition."""


_TELLING_CHARS: Final = 4
"""A shorter name is in many a PIN by chance."""


def fault(pin: str, name: str = "") -> str | None:
    """Return why *pin* cannot be a PIN of *name*, in words that hold nothing of it."""
    if len(pin) > 4 * MAX_CHARS:
        return RULE
    chosen = unicodedata.normalize("NFC", pin)
    if not MIN_CHARS <= len(chosen) <= MAX_CHARS or not all(c.isprintable() and not c.isspace() for c in chosen):
        return RULE
    plain = chosen.casefold()
    if _is_repeated(plain):
        return "That PIN repeats itself; take another."
    if any(plain in way or plain in way[::-1] for way in (run * 2 for run in _KEYBOARD)):
        return "That PIN is a row of the keyboard or of the alphabet; take another."
    tells_name = plain in name.casefold() or (len(name) >= _TELLING_CHARS and name.casefold() in plain)
    if tells_name or plain in _OFTEN.split():
        return "That PIN is among the first that anybody would try; take another."
    return None


def keep(pin: str, salt: bytes, cost: Cost = COST) -> str:
    """Return what is kept of *pin*: parameters, salt and hash."""
    return _written(cost, salt, _hash(pin, salt, cost))


def nobodys(cost: Cost = COST) -> str:
    """Return what no PIN matches, at the cost of a real one: for a name that nobody has."""
    return _written(cost, bytes(SALT_BYTES), bytes(_HASH_BYTES))


def matches(pin: str, kept: str) -> bool:
    """Return whether *pin* is the one that *kept* was made of; never for what this software did not write."""
    read = _KEPT.fullmatch(kept)
    if read is None:
        return False
    cost = Cost(int(read[1]), int(read[2]), int(read[3]))
    if 0 in cost or _memory_bytes(cost) > _DEAREST_BYTES:
        return False
    return hmac.compare_digest(_hash(pin, bytes.fromhex(read[4]), cost), bytes.fromhex(read[5]))


def _hash(pin: str, salt: bytes, cost: Cost) -> bytes:
    chosen = unicodedata.normalize("NFC", pin).encode("utf-8", "surrogatepass")
    # OpenSSL needs a little beside the blocks; it lets go of the interpreter meanwhile.
    most = _memory_bytes(cost) + 2**20
    return hashlib.scrypt(chosen, salt=salt, n=2**cost.log2_n, r=cost.r, p=cost.p, maxmem=most, dklen=_HASH_BYTES)


def _memory_bytes(cost: Cost) -> int:
    return 128 * cost.r * ((1 << cost.log2_n) + cost.p)


def _written(cost: Cost, salt: bytes, hashed: bytes) -> str:
    return f"scrypt${cost.log2_n}${cost.r}${cost.p}${salt.hex()}${hashed.hex()}"


def _is_repeated(plain: str) -> bool:
    """Return whether *plain* is a few characters, again and again."""
    return any(plain == (plain[:n] * len(plain))[: len(plain)] for n in range(1, len(plain) // 2 + 1))
