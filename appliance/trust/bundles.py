"""A copied bundle folder to the knowledge that it is whole: data only, exactly the files that its manifest names.

Covers: a file missing, added, altered, of another size or kind; a manifest that can be read in two ways; code of any
kind (a name's ending says which data a file must hold, and it is held to that). Does not cover: who made it
(`admission`), and what the network answers (the canary, on the device, before it is activated).
"""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Final, NamedTuple

from appliance.contracts.manifest import FORMAT, BundleFile, Manifest
from appliance.trust import strict_json
from appliance.trust.untrusted import Untrusted

MANIFEST: Final = "manifest.json"
REQUIRED: Final = ("model.tflite", "vocab.txt", "golden.jsonl", "canary.jsonl", "card.md", "mlbom.json")
MAX_MANIFEST_BYTES: Final = 2**20
MAX_JSON_BYTES: Final = 2**20
"""Of a file, or a line of one, that is read as a whole: this is done before anybody's signature is looked at."""

_PIECE_BYTES: Final = 2**20


class WholeBundle(NamedTuple):
    """A folder that holds what its manifest says, and nothing else."""

    folder: Path
    manifest: Manifest
    sha256: str
    """Of the manifest: the bundle's name everywhere."""

    digests: Mapping[str, str]
    """SHA-256 of every file, the manifest among them: what release keys sign."""


def check(folder: Path) -> WholeBundle:
    """Look at every byte in *folder*.

    Raises:
        Untrusted: it is not whole, or holds something else than data; the message says which file and why.
    """
    try:
        there = {entry.name for entry in os.scandir(folder)}
        manifest, sha256 = read_manifest(folder)
        if MANIFEST in manifest.files:
            raise Untrusted("manifest", f"{MANIFEST} names itself among its files, and cannot know its own hash")
        if unnamed := [name for name in REQUIRED if name not in manifest.files]:
            raise Untrusted("manifest", f"{MANIFEST} does not name {unnamed[0]}, which every bundle has")
        if missing := sorted(set(manifest.files) - there):
            raise Untrusted("files", f"{missing[0]} is missing")
        if left_over := sorted(there - {*manifest.files, MANIFEST}):
            raise Untrusted("files", f"{left_over[0][:100]!a} is not in the manifest")
        for name, expected in manifest.files.items():
            _check_file(folder / name, expected)
    except OSError as error:
        raise Untrusted("unreadable", f"{error.filename or folder}: {error.strerror}") from error
    digests = {name: file.sha256 for name, file in manifest.files.items()}
    return WholeBundle(folder, manifest, sha256, {**digests, MANIFEST: sha256})


def told(bundle: WholeBundle) -> Iterator[str]:
    """Say what a bundle is, in lines."""
    manifest = bundle.manifest
    size = sum(file.bytes_n for file in manifest.files.values())
    yield f"bundle     {manifest.name} {manifest.version}, release {manifest.release}"
    yield f"sha256     {bundle.sha256}"
    yield f"made       {manifest.made_at}, expires {manifest.expires_at:%Y-%m-%d}"
    yield f"needs      software {manifest.minimum_software}, revocation list {manifest.minimum_revocations}"
    yield f"files      {len(manifest.files)}, {size:,} bytes, whole"


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Return the manifest in *folder*, and the hash of its bytes.

    Raises:
        Untrusted: there is none that can be read; the message says why.
        OSError: it cannot be read at all.
    """
    path = folder / MANIFEST
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise Untrusted("files", f"{MANIFEST} is no plain file")
    with path.open("rb") as file:
        data = file.read(MAX_MANIFEST_BYTES + 1)
    try:
        said = strict_json.parse_object(data, limit_bytes=MAX_MANIFEST_BYTES)
        if said.get("format") != FORMAT:
            raise Untrusted("manifest", f"the bundle is not of format {FORMAT}; this appliance cannot read it")
        return strict_json.read(data, Manifest, limit_bytes=MAX_MANIFEST_BYTES), hashlib.sha256(data).hexdigest()
    except ValueError as error:
        raise Untrusted("manifest", f"{MANIFEST}: {error}") from error


def _check_file(path: Path, expected: BundleFile) -> None:
    kind = _KINDS.get(path.suffix)
    if kind is None:
        raise Untrusted("files", f"{path.name} is of a kind that no bundle holds; {', '.join(_KINDS)} are data")
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise Untrusted("files", f"{path.name} is no plain file")
    with path.open("rb") as file:
        bytes_n = os.fstat(file.fileno()).st_size
        if bytes_n != expected.bytes_n:
            raise Untrusted("files", f"{path.name} has {bytes_n:,} bytes, not {expected.bytes_n:,}: altered or cut")
        if hashlib.file_digest(file, "sha256").hexdigest() != expected.sha256:
            raise Untrusted("files", f"{path.name} is not what the manifest says (sha256 differs): altered")
        file.seek(0)
        if fault := kind(file):
            raise Untrusted("files", f"{path.name} {fault}")


def _not_tflite(file: IO[bytes]) -> str | None:
    return None if file.read(8)[4:] == b"TFL3" else "is no TensorFlow Lite file"


def _not_json(file: IO[bytes]) -> str | None:
    try:
        strict_json.parse(file.read(MAX_JSON_BYTES + 1), limit_bytes=MAX_JSON_BYTES)
    except ValueError as error:
        return f"is no JSON that everybody reads alike: {error}"
    return None


def _not_json_lines(file: IO[bytes]) -> str | None:
    n = 0
    while line := file.readline(MAX_JSON_BYTES + 1):
        n += 1
        try:
            strict_json.parse_object(line, limit_bytes=MAX_JSON_BYTES)
        except ValueError as error:
            return f"line {n}: no JSON object that everybody reads alike: {error}"
    return None


def _not_text(file: IO[bytes]) -> str | None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while piece := file.read(_PIECE_BYTES):
            if "\0" in decoder.decode(piece):
                return "is no text: it has a NUL in it"
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "is no UTF-8 text"
    return None


_KINDS: Final[dict[str, Callable[[IO[bytes]], str | None]]] = {
    ".tflite": _not_tflite,
    ".json": _not_json,
    ".jsonl": _not_json_lines,
    ".txt": _not_text,
    ".md": _not_text,
}
"""What a file must hold, by its ending."""
