"""Text to a signed note and back; checkpoints of a ledger are such notes.

Covers: a note that was altered, cut or extended (its signature fails), text that only looks like a note (strict: UTF-8,
no control characters, canonical base64, no leading zeroes, bounded in size and in signatures), a signature by a known
key that does not hold beside one that does (the whole note is refused), signatures by keys that nobody here knows
(kept and ignored: key rotation, witnesses).
Does not cover: whether two checkpoints of one origin fit together; that takes a consistency proof (`contracts.tree`).

Source:
    c2sp.org/signed-note, c2sp.org/tlog-checkpoint. The verifier key format `name+hash+key` is that of the Go package
    golang.org/x/mod/sumdb/note, which C2SP tools share.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from appliance.errors import TrustError, WireError
from appliance.trust.keys import PublicKey, SigningKey

MAX_NOTE_BYTES: Final = 64 * 1024
"""A post-quantum signature takes 5 kB; a dozen of them and a text fit."""

MAX_SIGNATURES_N: Final = 64

_ED25519: Final = b"\x01"
_DASH: Final = "\u2014 "
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_VKEY: Final = re.compile(r"(?P<name>[^+]+)\+(?P<hash>[0-9a-f]{8})\+(?P<key>.+)")


class Signature(NamedTuple):
    """One signature line."""

    name: str
    key_hash: bytes
    """Four bytes that say which key of that name."""

    signature: bytes


class Note(NamedTuple):
    """A text and who signed it; worth nothing before `verified`."""

    text: str
    """Ends with a newline."""

    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        lines = (f"{_DASH}{s.name} {base64.b64encode(s.key_hash + s.signature).decode()}\n" for s in self.signatures)
        return f"{self.text}\n{''.join(lines)}"


class Verifier(NamedTuple):
    """A public key under the name that it signs as."""

    name: str
    public: PublicKey

    @property
    def key_hash(self) -> bytes:
        """Four bytes that say which key of that name."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public.raw).digest()[:4]

    def __str__(self) -> str:
        """Return the verifier key, `name+hash+key`, as other tools take it."""
        return f"{self.name}+{self.key_hash.hex()}+{base64.b64encode(_ED25519 + self.public.raw).decode()}"


class Checkpoint(NamedTuple):
    """How far a ledger is: the text of a checkpoint's note."""

    origin: str
    """Which ledger."""

    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse(data: bytes) -> Note:
    """Read a note.

    Raises:
        WireError: too long, or not exactly the form.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise WireError(f"a note of {len(data):,} bytes; {MAX_NOTE_BYTES:,} are allowed")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError(f"not a signed note: not UTF-8 text (byte {error.start})") from error
    if bad := next((character for character in whole if character < " " and character != "\n"), None):
        raise WireError(f"not a signed note: control character 0x{ord(bad):02x}")
    head, blank, tail = whole.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise WireError("not a signed note: no empty line with signature lines after it")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES_N:
        raise WireError(f"a note with {len(lines)} signatures; {MAX_SIGNATURES_N} are allowed")
    return Note(head + "\n", tuple(_signature(line) for line in lines))


def sign(text: str, name: str, key: SigningKey) -> Note:
    """Return *text* as a note signed by *key* under *name*.

    Raises:
        ValueError: *text* does not end with a newline or has control characters, or *name* cannot be a key's name.
    """
    if not text.endswith("\n") or any(character < " " and character != "\n" for character in text):
        raise ValueError("the text of a note ends with a newline and has no control characters")
    if not _is_name(name):
        raise ValueError(f"not a key's name: {name!r}")
    verifier = Verifier(name, key.public)
    return Note(text, (Signature(name, verifier.key_hash, key.sign(text.encode())),))


def verified(note: Note, verifiers: Iterable[Verifier]) -> tuple[Verifier, ...]:
    """Return those of *verifiers* that signed *note*, at least one.

    Raises:
        TrustError: none of them did, or the signature of one of them does not hold.
    """
    known = {(verifier.name, verifier.key_hash): verifier for verifier in verifiers}
    signers: dict[Verifier, None] = {}
    for signature in note.signatures:
        verifier = known.get((signature.name, signature.key_hash))
        if verifier is None:
            continue
        if not verifier.public.accepts(signature.signature, note.text.encode()):
            raise TrustError(f"the signature of {signature.name} ({signature.key_hash.hex()}) does not hold")
        signers[verifier] = None
    if not signers:
        by = ", ".join(f"{s.name} ({s.key_hash.hex()})" for s in note.signatures)
        raise TrustError(f"not signed by a known key, but by {by}")
    return tuple(signers)


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint's note.

    Raises:
        WireError: not exactly the form.
    """
    lines = text.split("\n")
    if lines.pop() != "" or len(lines) < 3 or not all(lines):
        raise WireError("not a checkpoint: three lines or more, none empty: origin, size, root")
    origin, size, root, *extensions = lines
    if not _SIZE.fullmatch(size):
        raise WireError(f"not a checkpoint: {size[:40]!r} is not a number of records")
    hashed = decoded(root, "the root")
    if len(hashed) != hashlib.sha256().digest_size:
        raise WireError(f"not a checkpoint: a root of {len(hashed)} bytes; 32 wanted")
    return Checkpoint(origin, int(size), hashed, tuple(extensions))


def parse_verifier(text: str) -> Verifier:
    """Read a verifier key, `name+hash+key`.

    Raises:
        TrustError: not of that form, or its parts contradict each other.
    """
    found = _VKEY.fullmatch(text) if len(text) <= MAX_NOTE_BYTES else None
    if found is None or not _is_name(found["name"]):
        raise TrustError(f"not a verifier key (name+hash+key): {text[:80]!r}")
    try:
        raw = decoded(found["key"], "the key")
    except WireError as error:
        raise TrustError(f"not a verifier key: {error}") from error
    if raw[:1] != _ED25519 or len(raw) != 33:
        raise TrustError(
            f"the verifier key of {found['name']} is not an Ed25519 key, which is the only kind known here"
        )
    verifier = Verifier(found["name"], PublicKey(raw[1:]))
    if verifier.key_hash.hex() != found["hash"]:
        raise TrustError(f"the verifier key of {found['name']} was mistyped or altered: its hash does not fit its key")
    return verifier


def decoded(text: str, what: str) -> bytes:
    """Return the bytes of canonical base64; other spellings of the same bytes are refused.

    Raises:
        WireError: it is not such text; the message begins with *what* it is.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise WireError(f"{what} is not base64: {text[:80]!r}") from error
    if base64.b64encode(raw).decode() != text:
        raise WireError(f"{what} is not canonical base64: {text[:80]!r}")
    return raw


def _signature(line: str) -> Signature:
    dash, space, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash + space != _DASH or not _is_name(name):
        raise WireError(f"not a signature line: {line[:80]!r}")
    raw = decoded(encoded, "a signature")
    if len(raw) < 5:
        raise WireError(f"not a signature line: {line[:80]!r} holds no signature")
    return Signature(name, raw[:4], raw[4:])


def _is_name(text: str) -> bool:
    return bool(text) and "+" not in text and not any(c.isspace() or c < " " or "\ud800" <= c <= "\udfff" for c in text)
