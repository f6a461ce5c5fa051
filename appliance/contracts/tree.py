"""Leaves to one root, and the proofs that lead there: the Merkle tree of RFC 6962 over whatever gives subtrees.

Covers: root, inclusion and consistency proofs of a tree of any size, and their verification.
Does not cover: where the hashes lie; callers hand in a `Subtree`.

Source:
    RFC 6962 section 2.1 (hashes, proofs); RFC 9162 section 2.1.3.2 and 2.1.4.2 (verification).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

Subtree = Callable[[int, int], bytes]
"""`subtree(height, n)`: hash of the n-th complete run of 2**height leaves, counted from 0."""

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""Root of a tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Return the 32 bytes that stand for one record."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the 32 bytes that stand for two neighbours."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def over(leaves: Sequence[bytes]) -> Subtree:
    """Return the subtrees over *leaves* (their hashes) held in memory."""

    def subtree(height: int, n: int) -> bytes:
        return folded(leaves[n << height : (n + 1) << height])

    return subtree


def folded(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a power of two of neighbours of one height."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


class Frontier:
    """The complete runs that a growing tree consists of, largest first: all that is needed to grow it and for its root.

    Memory is the logarithm of the size.
    """

    def __init__(self, runs: Sequence[tuple[int, bytes]] = ()) -> None:
        self._runs = list(runs)  # (height, hash), heights falling

    @property
    def size(self) -> int:
        """How many leaves it has."""
        return sum(1 << height for height, _ in self._runs)

    def push(self, hashed: bytes, height: int = 0) -> None:
        """Add the next run of 2**height leaves; the size so far is a multiple of that."""
        while self._runs and self._runs[-1][0] == height:
            hashed = node_hash(self._runs.pop()[1], hashed)
            height += 1
        self._runs.append((height, hashed))

    def extended(self, runs: Sequence[tuple[int, bytes]]) -> Frontier:
        """Return this tree with *runs*, another frontier's, after it; this one stays."""
        longer = Frontier(self._runs)
        for height, hashed in runs:
            longer.push(hashed, height)
        return longer

    @property
    def runs(self) -> tuple[tuple[int, bytes], ...]:
        """Return `(height, hash)` of each run."""
        return tuple(self._runs)

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._runs:
            return EMPTY_ROOT
        result = self._runs[-1][1]
        for _, hashed in reversed(self._runs[:-1]):
            result = node_hash(hashed, result)
        return result


def root(size: int, subtree: Subtree) -> bytes:
    """Return the root over the first *size* leaves."""
    return _over_range(0, size, subtree) if size else EMPTY_ROOT


def peaks(size: int) -> list[tuple[int, int]]:
    """Return height and number of the complete runs that make up *size* leaves, largest first."""
    found, done = [], 0
    for height in reversed(range(size.bit_length())):
        if size >> height & 1:
            found.append((height, done >> height))
            done += 1 << height
    return found


def inclusion(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """Return the proof that leaf *index* (from 0) is in the tree of *size* leaves, nearest neighbour first.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    lo, hi, path = 0, size, []
    while hi - lo > 1:
        middle = lo + _split(hi - lo)
        if index < middle:
            path.append(_over_range(middle, hi, subtree))
            hi = middle
        else:
            path.append(_over_range(lo, middle, subtree))
            lo = middle
    return path[::-1]


def consistency(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """Return the proof that the tree of *old* leaves is the beginning of the tree of *new* leaves.

    Raises:
        ValueError: *old* is larger than *new*.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} leaves is not the beginning of one of {new}")
    if old in (0, new):
        return []
    lo, hi, whole, path = 0, new, True, []
    while hi != old:
        middle = lo + _split(hi - lo)
        if old <= middle:
            path.append(_over_range(middle, hi, subtree))
            hi = middle
        else:
            path.append(_over_range(lo, middle, subtree))
            lo, whole = middle, False
    if not whole:
        path.append(_over_range(lo, hi, subtree))
    return path[::-1]


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> bool:
    """Tell whether *proof* leads from *leaf* at *index* to the root of a tree of *size* leaves."""
    if not 0 <= index < size:
        return False
    fn, sn, result = index, size - 1, leaf
    for node in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            result = node_hash(node, result)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            result = node_hash(result, node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and result == expected_root


def is_consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether *proof* shows that the tree with *old_root* is the beginning of the one with *new_root*."""
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    seen_old = seen_new = path[0]
    for node in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            seen_old, seen_new = node_hash(node, seen_old), node_hash(node, seen_new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            seen_new = node_hash(seen_new, node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and seen_old == old_root and seen_new == new_root


def _over_range(lo: int, hi: int, subtree: Subtree) -> bytes:
    """Return the root over leaves lo..hi-1; the RFC's splits make every left part complete and aligned."""
    n = hi - lo
    if n & (n - 1) == 0:
        height = n.bit_length() - 1
        return subtree(height, lo >> height)
    middle = lo + _split(n)
    return node_hash(_over_range(lo, middle, subtree), _over_range(middle, hi, subtree))


def _split(n: int) -> int:
    """Return the largest power of two smaller than *n*."""
    return 1 << ((n - 1).bit_length() - 1)
