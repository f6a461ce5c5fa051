"""The one byte form of a delivery's tar file: written here, read here, and every other tar is refused.

A file of this form is what `tar --format=ustar --owner=0 --group=0 --numeric-owner --mode=0644 --mtime=@0` writes of
plain files in order of their names. Tar has many dialects (pax, GNU long names, sparse maps, links, devices), and
readers differ in what they make of them; a header that is not byte for byte the one that belongs to its name and size
is none of ours.

Covers: paths that lead out, links, devices, FIFOs, sparse files, pax and GNU extensions, names twice or only different
in case, names in other alphabets, wrong checksums, sizes that lie, files that are cut short, bytes behind the end,
compressed files. Does not cover: what the files hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import IO, Final, NamedTuple

from appliance.trust.untrusted import Untrusted

BLOCK: Final = 512
RECORD: Final = 20 * BLOCK
"""Tar pads a file with zeros to a multiple of this."""

NAME: Final = re.compile(r"(bundle/[a-z0-9][a-z0-9_.-]{0,63}|signatures/[a-z0-9][a-z0-9_.-]{0,79}\.sig|urgent\.json)")
"""Everything that can be in a delivery."""

_KINDS: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a folder",
    b"6": "a FIFO",
    b"g": "a pax header",
    b"x": "a pax header",
    b"L": "a GNU long name",
    b"K": "a GNU long name",
    b"S": "a sparse file",
}
_COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"(\xb5": "zstd", b"PK": "zip"}


class Entry(NamedTuple):
    """A file in the tar; its bytes follow."""

    name: str
    bytes_n: int


def header(name: str, bytes_n: int) -> bytes:
    """Return the 512 bytes that stand before a file, the same everywhere and always."""
    fields = (
        name.encode("ascii").ljust(100, b"\0"),
        b"0000644\0" + b"0000000\0" * 2,  # mode, owner, group
        b"%011o\0" % bytes_n,
        b"%011o\0" % 0,  # time
        b" " * 8,  # the checksum is counted with blanks in its place
        b"0" + bytes(100),  # a plain file; no link
        b"ustar\x0000" + bytes(64),  # no names of owner and group
        b"0000000\0" * 2 + bytes(167),
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padding(bytes_n: int) -> bytes:
    """Return the zeros between the end of a file and the next block."""
    return bytes(-bytes_n % BLOCK)


def ending(bytes_n: int) -> bytes:
    """Return the zeros at the end of a tar with *bytes_n* before them."""
    return bytes(2 * BLOCK + -(bytes_n + 2 * BLOCK) % RECORD)


def entries(file: IO[bytes], take: Callable[[Entry], None]) -> Iterator[Entry]:
    """Yield what is in *file*, each after *take* has read exactly its bytes from it.

    Raises:
        Untrusted: it is not of the one form; what was taken until then counts for nothing.
    """
    last = ""
    read_n = 0
    while True:
        block = file.read(BLOCK)
        read_n += len(block)
        if not block.strip(b"\0"):
            _check_end(block + file.read(RECORD + BLOCK), read_n - len(block))
            return
        entry = _entry(block)
        if entry.name <= last:
            raise _wrong(f"{entry.name} comes after {last}: a name twice, or not in order")
        last = entry.name
        take(entry)
        gap = padding(entry.bytes_n)
        if file.read(len(gap)) != gap:
            raise _wrong(f"the file ends within {entry.name}, or bytes are hidden behind it")
        read_n += entry.bytes_n + len(gap)
        yield entry


def _entry(block: bytes) -> Entry:
    for magic, name in _COMPRESSED.items():
        if block.startswith(magic):
            raise _wrong(f"it looks compressed ({name}); a delivery never is, unpack it first")
    if len(block) < BLOCK:
        raise _wrong("it is cut off in the middle of a header")
    kind = _KINDS.get(block[156:157])
    raw = block[:100].rstrip(b"\0")
    name = raw.decode("ascii", "backslashreplace")
    if kind is not None:
        raise _wrong(f"{name[:100]!a} is {kind}; only plain files are taken")
    if NAME.fullmatch(name) is None:
        raise _wrong(f"{name[:100]!a} is no file of a delivery")
    size = re.fullmatch(rb"[0-7]{11}\0", block[124:136])
    if size is None or block != header(name, int(block[124:135], 8)):
        raise _wrong(
            f"the header of {name} is not the one that belongs there; pack it with `appliance bundle pack`, or tar"
            " --format=ustar --owner=0 --group=0 --numeric-owner --mode=0644 --mtime=@0"
        )
    return Entry(name, int(block[124:135], 8))


def _check_end(rest: bytes, before_n: int) -> None:
    if len(rest) not in {2 * BLOCK, len(ending(before_n))}:
        raise _wrong("it is cut off before its end" if len(rest) < 2 * BLOCK else "there are bytes behind its end")
    if rest.strip(b"\0"):
        raise _wrong("there are bytes behind its end")


def _wrong(what: str) -> Untrusted:
    return Untrusted("archive", f"not a delivery in its one form: {what}")
