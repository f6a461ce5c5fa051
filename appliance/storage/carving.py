"""Pages of a damaged database to the rows on them, without asking SQLite: for what no intact path leads to any more.

Reads every page that may be a leaf, with the write-ahead log laid over the file, and follows rows that are longer than
a page. Whose row it is, and whether it is whole, the caller tells by its shape and its leaf hash.

Source:
    The SQLite file format: sqlite.org/fileformat2.html, sections 1.5 (pages), 1.6 (overflow), 2.1 (records), 4 (log).
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

_TABLE_LEAF: Final = 0x0D
_INDEX_LEAF: Final = 0x0A
_PAGE_SIZES: Final = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
_LOG_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_LOOKED_AT_N: Final = 8192
"""Half kilobytes that a guess of the page size looks at."""

_MAX_ROW_BYTES: Final = 4 * 2**20
"""Longer than any row of ours; a damaged length must not make us read for ever."""

_INTEGER_BYTES: Final = (0, 1, 2, 3, 4, 6, 8)

Value = int | float | str | bytes | None


class Carved(NamedTuple):
    """A row as it lies on a page."""

    rowid: int | None
    """None on a page of an index, or of a table without row numbers."""

    values: tuple[Value, ...]


def rows(path: Path, *, with_log: bool = True) -> Iterator[Carved]:
    """Yield every row on every leaf page of *path*; the same row may come twice, from an old page and a new one."""
    pages = _Pages(path, with_log=with_log)
    try:
        for number in pages.numbers():
            page = pages.read(number)
            if page is not None:
                yield from _cells(pages, page, 100 if number == 1 else 0)
    finally:
        pages.close()


class _Pages:
    """The file's pages, as the log has them where it is newer."""

    def __init__(self, path: Path, *, with_log: bool) -> None:
        self._file = path.open("rb")
        header = self._file.read(100)
        log = path.with_name(f"{path.name}-wal")
        self._log = log.open("rb") if with_log and log.exists() else None
        self.size = _page_size(header, self._log.read(_LOG_HEADER_BYTES) if self._log else b"") or (
            _guessed_page_size(self._file)
        )
        reserved = int.from_bytes(header[20:21]) if header.startswith(b"SQLite format 3\x00") else 0
        self.reserved = reserved if reserved < 64 else 0
        self._newer = self._committed() if self._log else {}
        self.count = path.stat().st_size // self.size

    def numbers(self) -> Iterator[int]:
        """Yield the number of every page: those of the file, and those that only the log has.

        A torn frame of the log may name any page at all, so nothing is counted up to its number.
        """
        yield from range(1, self.count + 1)
        yield from sorted(number for number in self._newer if number > self.count)

    def read(self, number: int) -> bytes | None:
        """Return page *number*, counted from 1; None where there is none or the card cannot give it back."""
        try:
            if self._log is not None and number in self._newer:
                self._log.seek(self._newer[number])
                page = self._log.read(self.size)
            else:
                self._file.seek((number - 1) * self.size)
                page = self._file.read(self.size)
        except OSError:
            return None
        return page if len(page) == self.size else None

    def close(self) -> None:
        self._file.close()
        if self._log is not None:
            self._log.close()

    def _committed(self) -> dict[int, int]:
        """Return where in the log the newest committed version of each page lies."""
        assert self._log is not None  # the caller has looked
        self._log.seek(0)
        header = self._log.read(_LOG_HEADER_BYTES)
        if len(header) < _LOG_HEADER_BYTES or header[:3] != b"\x37\x7f\x06":
            return {}
        # The salt of the first frame, should the header's be damaged; what is carved is checked row by row anyway.
        salts = {header[16:24], self._log.read(_FRAME_HEADER_BYTES)[8:16]}
        self._log.seek(_LOG_HEADER_BYTES)
        committed: dict[int, int] = {}
        pending: dict[int, int] = {}
        at = _LOG_HEADER_BYTES
        while len(frame := self._log.read(_FRAME_HEADER_BYTES)) == _FRAME_HEADER_BYTES and frame[8:16] in salts:
            number, commits = struct.unpack(">II", frame[:8])
            pending[number] = at + _FRAME_HEADER_BYTES
            if commits:
                committed |= pending
                pending = {}
            at += _FRAME_HEADER_BYTES + self.size
            self._log.seek(at)
        return committed


def _page_size(header: bytes, log_header: bytes) -> int | None:
    """Return the size of a page, by the file's header or, where that is gone, by the log's."""
    said = [int.from_bytes(header[16:18], "big") if header.startswith(b"SQLite format 3\x00") else 0]
    said.append(int.from_bytes(log_header[8:12], "big") if log_header[:3] == b"\x37\x7f\x06" else 0)
    for size in said:
        if size in _PAGE_SIZES or size == 1:
            return 65536 if size == 1 else size
    return None


def _guessed_page_size(file: BinaryIO) -> int:
    """Return the size of a page as the pages show it: rows fill a leaf from its end, so the first one's place is near.

    For a file whose header is gone. Offsets that are no page's beginning rarely look like one.
    """
    votes: Counter[int] = Counter()
    file.seek(0)
    for _ in range(_LOOKED_AT_N):
        block = file.read(512)
        if len(block) < 512:
            break
        cells_n = int.from_bytes(block[3:5], "big")
        if block[0] not in {_TABLE_LEAF, _INDEX_LEAF} or not 0 < cells_n <= 60:
            continue
        farthest = max(int.from_bytes(block[8 + 2 * n : 10 + 2 * n], "big") for n in range(cells_n))
        votes[next((size for size in _PAGE_SIZES if size > farthest), 0)] += 1
    return max(votes, key=lambda size: (votes[size], -size), default=0) or _PAGE_SIZES[0]


def _cells(pages: _Pages, page: bytes, at: int) -> Iterator[Carved]:
    kind = page[at]
    if kind not in {_TABLE_LEAF, _INDEX_LEAF}:
        return
    cells_n = int.from_bytes(page[at + 3 : at + 5], "big")
    if at + 8 + 2 * cells_n > pages.size:
        return
    for n in range(cells_n):
        start = int.from_bytes(page[at + 8 + 2 * n : at + 10 + 2 * n], "big")
        try:
            payload_n, start = _varint(page, start)
            rowid = None
            if kind == _TABLE_LEAF:
                rowid, start = _varint(page, start)
            payload = _payload(pages, page, start, payload_n, table=kind == _TABLE_LEAF)
            yield Carved(rowid, _record(payload))
        except (IndexError, ValueError, struct.error, UnicodeDecodeError):
            continue  # this row is damaged; its neighbours may not be


def _payload(pages: _Pages, page: bytes, start: int, n: int, *, table: bool) -> bytes:
    usable = pages.size - pages.reserved
    if not 0 < n <= _MAX_ROW_BYTES:
        raise ValueError(n)
    most = usable - 35 if table else (usable - 12) * 64 // 255 - 23
    if n <= most:
        return _exactly(page[start : start + n], n)
    least = (usable - 12) * 32 // 255 - 23
    local = least + (n - least) % (usable - 4)
    if local > most:
        local = least
    parts = [_exactly(page[start : start + local], local)]
    following = int.from_bytes(_exactly(page[start + local : start + local + 4], 4), "big")
    missing = n - local
    while missing > 0:
        if following < 1 or (overflow := pages.read(following)) is None:
            raise ValueError(following)
        parts.append(overflow[4 : 4 + min(missing, usable - 4)])
        missing -= len(parts[-1])
        following = int.from_bytes(overflow[:4], "big")
    return b"".join(parts)


def _record(payload: bytes) -> tuple[Value, ...]:
    header_n, at = _varint(payload, 0)
    if not at <= header_n <= len(payload):
        raise ValueError(header_n)
    body, values = header_n, []
    while at < header_n:
        kind, at = _varint(payload, at)
        value, body = _value(payload, kind, body)
        values.append(value)
    return tuple(values)


def _value(payload: bytes, kind: int, at: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind <= 6:
        n = _INTEGER_BYTES[kind]
        return int.from_bytes(_exactly(payload[at : at + n], n), "big", signed=True), at + n
    if kind == 7:
        return float(struct.unpack(">d", payload[at : at + 8])[0]), at + 8
    if kind in {8, 9}:
        return kind - 8, at
    if kind < 12:
        raise ValueError(kind)
    n = (kind - 12) // 2
    raw = _exactly(payload[at : at + n], n)
    return (raw.decode() if kind % 2 else raw), at + n


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for n in range(8):
        value = value << 7 | data[at + n] & 0x7F
        if data[at + n] < 0x80:
            return value, at + n + 1
    value = value << 8 | data[at + 8]
    return (value - 2**64 if value >= 2**63 else value), at + 9


def _exactly(data: bytes, n: int) -> bytes:
    if len(data) != n:
        raise ValueError(n)
    return data
