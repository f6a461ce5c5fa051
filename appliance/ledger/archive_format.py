"""The file that an incident travels in: its parts, its one possible form, and how it is opened elsewhere.

Covers: a file that is not ours, cut short, inflated, or with parts added, removed, repeated, renamed or hidden between
the others (an archive has exactly one byte form for its contents, and no other is opened).
Does not cover: whether the contents are true; `archive_check` tells that.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from appliance.contracts.record import JsonObject, Record
from appliance.contracts.selection import Selection
from appliance.contracts.workflow import LawNamed
from appliance.errors import UsageError

FORMAT: Final = "appliance-incident/1"
HEADING: Final = "edge-agent-appliance incident archive v1"
"""First line of the signed note. It has spaces, so it can never be the origin that a checkpoint begins with."""

MAX_BYTES: Final = 128 * 2**20
"""Of the whole file; what a device decides in a month is a tenth of it."""

README: Final = "README.txt"
REPORT: Final = "report.html"
MANIFEST: Final = "MANIFEST.json"
SIGNATURE: Final = "MANIFEST.note"
CHECKPOINT: Final = "checkpoint.note"
RECORDS: Final = "records.jsonl"
PROOFS: Final = "proofs.jsonl"
PUBLIC_KEY: Final = "device-key.pem"
ROTATIONS: Final = "key-rotations.json"
"""The device's statements of its changes of key: whoever has an older key is led to the one that signed."""

BUNDLE: Final = "bundle-manifest.json"
SINCE: Final = "since.note"
SINCE_PROOF: Final = "since-proof.json"

ORDER: Final = (
    README,
    REPORT,
    MANIFEST,
    SIGNATURE,
    CHECKPOINT,
    RECORDS,
    PROOFS,
    PUBLIC_KEY,
    ROTATIONS,
    BUNDLE,
    SINCE,
    SINCE_PROOF,
)
"""How the parts lie in the file: what a person opens first comes first."""

OPTIONAL: Final = (CHECKPOINT, ROTATIONS, BUNDLE, SINCE, SINCE_PROOF)
"""The checkpoint is missing where the manifest says that none can be joined to what is left of a damaged ledger."""

REQUIRED: Final = tuple(name for name in ORDER if name not in OPTIONAL)

_STAMP: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest moment that a ZIP can say: times are in the manifest."""


class PackedFile(Record):
    """One part, as it was when the archive was made."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes_n: int = Field(ge=0, le=MAX_BYTES)


class Withheld(Record):
    """Personal values of one record that are not in the archive; the record still verifies without them."""

    seq: int
    names: tuple[str, ...]
    why: Literal["left out", "erased"]
    """`left out`: the device still has them. `erased`: nobody has them any more."""


class Manifest(Record):
    """`MANIFEST.json`: what the archive is, and every other part's hash."""

    format: Literal["appliance-incident/1"] = "appliance-incident/1"
    made_at: str
    """Wall clock of the device, UTC."""

    clock: Literal["trusted", "untrusted"]
    """Whether something that knows the time had set that clock."""

    software: str
    device: str
    epoch: str
    origin: str
    """Name of the log: what its checkpoints begin with."""

    key: str
    """The device's public key as C2SP verifier key. Take the one that counts from elsewhere, not from here."""

    size: int = Field(ge=0)
    """How many records the checkpoint in the archive covers; 0 where none can be joined to what is left of them."""

    root: str
    """Base64: the hash over all of them; empty where there is no checkpoint."""

    records_n: int = Field(ge=0)
    unproven_n: int = Field(default=0, ge=0)
    """Of these, how many no proof leads to: what it takes was lost with a damaged file."""

    selection: tuple[Selection, ...]
    """What was asked for: some requests, or one run of records."""

    words: Literal["left out", "included"]
    withheld: tuple[Withheld, ...] = ()
    configured_by: int | None = None
    """The record that holds tools, laws and thresholds as they were in force; None if the ledger has none."""

    bundles: dict[str, bool] = Field(default_factory=dict)
    """SHA-256 of the manifest of every model bundle that decided here, and whether that manifest is in the archive."""

    workflow: tuple[LawNamed, ...] | None = None
    """Every version of a law that was in force by the configurations that decisions here cite; None where there is no
    configuration, and in archives from before there were laws."""

    note: str = ""
    """What the person who exported it wrote."""

    files: dict[str, PackedFile]


class RecordLine(Record):
    """A line of `records.jsonl`."""

    seq: int = Field(ge=1)
    asked: bool
    """False: not asked for, but needed to understand the others (configuration, boot, beginning of the log)."""

    body: str
    """Exactly the bytes that were hashed, as text."""

    leaf: str | None = None
    """Only of a record without proof: the hash that the ledger keeps of it, in hexadecimal (RFC 6962 leaf hash)."""

    personal: dict[str, JsonObject] | None = None
    """`{name: {"salt", "value"}}` behind the commitments in the body; absent where they are withheld."""


class ProofLine(Record):
    """A line of `proofs.jsonl`: from one record to the root (RFC 6962 section 2.1.1); an unproven record has none."""

    seq: int = Field(ge=1)
    path: tuple[str, ...]
    """Base64 hashes, nearest neighbour first."""


class SinceProof(Record):
    """`since-proof.json`: the tree of an older checkpoint is the beginning of this one (RFC 6962 section 2.1.2)."""

    old: int = Field(ge=0)
    new: int = Field(ge=1)
    path: tuple[str, ...]


def packed(data: bytes) -> PackedFile:
    """Return what the manifest says of a part."""
    return PackedFile(sha256=hashlib.sha256(data).hexdigest(), bytes_n=len(data))


def pack(parts: Mapping[str, bytes]) -> bytes:
    """Return the archive of *parts*: the same bytes for the same parts, on every machine.

    Nothing is compressed: then nothing can be inflated, and an archive can be read with a text editor if need be.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for name in ORDER:
            if name in parts:
                entry = zipfile.ZipInfo(name, _STAMP)
                entry.create_system = 3  # Unix, so that the next line means the same everywhere
                entry.external_attr = 0o100644 << 16
                target.writestr(entry, parts[name])
    return buffer.getvalue()


def open_archive(path: Path) -> dict[str, bytes]:
    """Read the parts of the archive at *path*; nothing is written anywhere.

    Raises:
        UsageError: it is not an archive of ours, or not in its one form; the message says what is wrong.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no regular file")  # a pipe would be waited for without end
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} is larger than {MAX_BYTES >> 20} MiB; no incident archive is")
    try:
        return unpack(data)
    except UsageError as error:
        raise UsageError(f"{path.name}: {error}") from error


def unpack(data: bytes) -> dict[str, bytes]:
    """Return the parts in *data*.

    Raises:
        UsageError: as for `open_archive`.
    """
    if not _has_short_directory(data):
        raise UsageError("not an incident archive: it does not end as one does")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as source:
            entries = source.infolist()
            if fault := _listing_fault(entries):
                raise UsageError(fault)
            # Stored, so that what is read is no larger than the file itself.
            parts = {entry.filename: source.read(entry) for entry in entries}
    except UsageError:
        raise
    except Exception as error:  # zipfile has no single class for what a hostile file makes it raise
        raise UsageError(f"not a whole ZIP file ({type(error).__name__}: {str(error)[:100]})") from error
    if missing := [name for name in REQUIRED if name not in parts]:
        raise UsageError(f"{missing[0]} is missing")
    if pack(parts) != data:
        raise UsageError("it holds bytes that belong to no part, or its parts lie otherwise than an export writes them")
    return parts


def _has_short_directory(data: bytes) -> bool:
    """Tell whether *data* ends with a directory of few parts and nothing behind it; zipfile would read millions."""
    return data[-22:-18] == b"PK\x05\x06" and int.from_bytes(data[-10:-6], "little") <= 100 * len(ORDER)


def _listing_fault(entries: list[zipfile.ZipInfo]) -> str | None:
    """Say what is wrong with the list of parts, before anything is read."""
    if len(entries) > len(ORDER):
        return f"{len(entries)} parts; an incident archive has at most {len(ORDER)}"
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        return "its parts lie over each other"
    seen: set[str] = set()
    for entry in entries:
        if entry.filename not in ORDER:
            return f"{entry.orig_filename[:100]!a} is not a part of an incident archive"
        if entry.filename in seen:
            return f"{entry.filename} is there twice"
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            return f"{entry.filename} is compressed; an incident archive is not"
        if entry.flag_bits & 0x1:
            return f"{entry.filename} is encrypted; an incident archive is not"
        if (entry.external_attr >> 16) & 0o170000 != 0o100000:
            return f"{entry.filename} is not a plain file"
        seen.add(entry.filename)
    return None
