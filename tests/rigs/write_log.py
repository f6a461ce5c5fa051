"""A recorded write log to every disk that a power cut may leave behind.

`Log.read` reads what write_log.c wrote down; `Disk` follows it and builds, at any moment, what may be found after the
power went there.

The disk that is assumed. What lay in a file when its fsync returned is there. Of everything written since, each sector
of 512 bytes arrives or not, in any order; a file that grew may have its new size and rubbish in place of the data; a
truncation arrives or not. A name (made, linked, renamed, removed) lasts from the fsync of its folder on; until then
each change arrives or not, by itself. A rename is one change. Bytes outside a write's range are not changed by a cut
(SQLite's "powersafe overwrite"), and an fsync that returned has told the truth.
"""

import struct
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
HEAD = struct.Struct("<IIIIQQ")

KINDS = {
    "C": "create",
    "T": "truncate",
    "W": "write",
    "F": "fsync",
    "D": "fsync of a folder",
    "R": "rename",
    "L": "link",
    "U": "unlink",
    "M": "mkdir",
    "S": "said",
    "H": "heard",
}

LOSSES = ("everything", "nothing", "torn", "one", "some", "most", "few")
"""How much of what is not synced a cut takes; `torn` lets all arrive but a part of the last write."""


class Op(NamedTuple):
    kind: str
    path: str
    other: str
    file: int
    offset: int
    data: bytes


def read(path):
    """Return every operation of the log at *path*, in order."""
    raw, at, ops = Path(path).read_bytes(), 0, []
    while at < len(raw):
        kind, path_n, other_n, data_n, file, offset = HEAD.unpack_from(raw, at)
        at += HEAD.size
        name, at = raw[at : at + path_n].decode(), at + path_n
        other, at = raw[at : at + other_n].decode(), at + other_n
        data, at = raw[at : at + data_n], at + data_n
        assert chr(kind) in KINDS, f"not a record of ours at byte {at}"
        ops.append(Op(chr(kind), name, other, file, offset, data))
    return ops


class _File:
    """What one file durably holds, and what was done to it since."""

    def __init__(self, *, is_folder=False):
        self.is_folder = is_folder
        self.names = {}  # of a folder: what lies in it durably
        self.durable = bytearray()
        self.pending = []  # (offset, data), or (size, None) for a truncation

    def sync(self):
        for change in self.pending:
            _apply(self.durable, *change)
        self.pending.clear()

    def arrived(self, keeps, chance):
        """Return what it may hold after a cut; *keeps* says of each sector, in order, whether it arrives."""
        found = bytearray(self.durable)
        for offset, data in self.pending:
            if data is None:
                if keeps():
                    _apply(found, offset, None)
                continue
            end = offset + len(data)
            for start, stop in _sectors(offset, end):
                if keeps():
                    _apply(found, start, data[start - offset : stop - offset], chance)
            if len(found) < end and chance is not None and chance.random() < 0.1:
                _grow(found, end, chance)
        return bytes(found)


class Disk:
    """The files under one folder as an operation after the other is applied."""

    def __init__(self, root, ignored=lambda _path: False):
        self.root = str(root)
        self._ignored = ignored
        self._files = {}  # inode -> _File
        self._top = _File(is_folder=True)
        self._now = {self.root: self._top}  # paths as the running system has them
        self._changes = []  # (folder, removed names, added name, file), not durable

    def place(self, present):
        """Begin with files that lie there durably: {path below the root: (inode, hexadecimal, None for a folder)}."""
        for name, (inode, content) in sorted(present.items()):
            file = _File(is_folder=content is None)
            file.durable = bytearray.fromhex(content or "")
            path = f"{self.root}/{name}"
            self._files[inode] = self._now[path] = file
            self._now[_folder(path)].names[_name(path)] = file

    def apply(self, op):
        """Let one operation happen."""
        if op.kind in "SH" or self._ignored(op.path):
            return
        match op.kind:
            case "C" | "M":
                self._files[op.file] = _File(is_folder=op.kind == "M")
                self._change((), op.path, self._files[op.file])
            case "W":
                self._files[op.file].pending.append((op.offset, op.data))
            case "T":
                self._files[op.file].pending.append((op.offset, None))
            case "F":
                self._files[op.file].sync()
            case "D":
                self._sync_folder(self._now[op.path])
            case "L":
                self._change((), op.other, self._files[op.file])
            case "R":
                assert _folder(op.path) == _folder(op.other), f"{op.path}: a rename across folders is not modelled"
                self._change((op.path,), op.other, self._files[op.file])
            case "U":
                self._change((op.path,), None, None)

    def _change(self, removed, added, file):
        folder = self._now[_folder(added or removed[0])]
        self._changes.append((folder, [_name(path) for path in removed], added and _name(added), file))
        moved = {}
        for path in removed:
            within = [below for below in self._now if below == path or below.startswith(f"{path}/")]
            moved |= {below[len(path) :]: self._now.pop(below) for below in within}
        if added is not None:
            self._now |= {added + below: lies for below, lies in moved.items() if below}
            self._now[added] = file

    def _sync_folder(self, folder):
        for change in self._changes:
            if change[0] is folder:
                _rename(folder.names, *change[1:])
        self._changes = [change for change in self._changes if change[0] is not folder]

    def image(self, loss, chance):
        """Return {path below the root: bytes, or None for a folder} as a cut may leave it."""
        share = {"everything": 0.0, "some": 0.5, "most": 0.15, "few": 0.85}.get(loss, 1.0)
        lost = None
        if loss == "one":
            units = sum(_units(f) for f in set(self._now.values())) + len(self._changes)
            lost = chance.randrange(units) if units else None
        counted = iter(range(1 << 60))

        def keeps():
            if loss == "one":
                return next(counted) != lost
            return share == 1.0 or (share > 0.0 and chance.random() < share)

        names = {}  # of a folder that changes arrived in
        for folder, *change in self._changes:
            if keeps():
                _rename(names.setdefault(folder, dict(folder.names)), *change)
        torn = self._last_written() if loss == "torn" else None
        rubbish = chance if share not in (0.0, 1.0) or loss == "one" else None
        found = {}
        for path, file in _below(self._top, names, ""):
            content = None if file.is_folder else file.arrived(keeps, rubbish)
            if file is torn:
                content = _torn(file, chance)
            found[path] = content
        return found

    def touched(self, op):
        """Remember which file *op* wrote to, for `torn`."""
        self._last = self._files.get(op.file) if op.kind == "W" and not self._ignored(op.path) else None

    _last = None

    def _last_written(self):
        return self._last if self._last is not None and self._last.pending else None


def _torn(file, chance):
    """Everything arrived but the end of the last write, which stops at a sector, or anywhere in its last sector."""
    found = bytearray(file.durable)
    for change in file.pending[:-1]:
        _apply(found, *change)
    offset, data = file.pending[-1]
    if data is None:
        return bytes(found)
    cuts = [start - offset for start, _ in _sectors(offset, offset + len(data))]
    kept = chance.choice(cuts)
    if chance.random() < 0.5:
        kept = min(len(data), kept + chance.randrange(SECTOR))
    _apply(found, offset, data[:kept], chance)
    if chance.random() < 0.3:
        _grow(found, offset + len(data), chance)
    return bytes(found)


def _units(file):
    return sum(1 if data is None else len(_sectors(o, o + len(data))) for o, data in file.pending)


def _sectors(start, end):
    edges = [start, *range((start // SECTOR + 1) * SECTOR, end, SECTOR), end]
    return list(pairwise(edges))


def _apply(content, offset, data, chance=None):
    if data is None:
        del content[offset:]
        _grow(content, offset, None)
        return
    if not data:
        return
    _grow(content, offset, chance)
    content[offset : offset + len(data)] = data


def _grow(content, size, chance):
    """Reach *size*; where nothing arrived there are zeros, or whatever lay there before."""
    if size > len(content):
        missing = size - len(content)
        content.extend(chance.randbytes(missing) if chance is not None and chance.random() < 0.5 else bytes(missing))


def _rename(names, removed, added, file):
    for name in removed:
        names.pop(name, None)
    if added is not None:
        names[added] = file


def _below(folder, changed, above):
    """Yield every path under *folder* that a cut has left, a folder before what is in it."""
    for name, file in sorted(changed.get(folder, folder.names).items()):
        yield f"{above}{name}", file
        if file.is_folder:
            yield from _below(file, changed, f"{above}{name}/")


def _folder(path):
    return path.rsplit("/", 1)[0]


def _name(path):
    return path.rsplit("/", 1)[1]
