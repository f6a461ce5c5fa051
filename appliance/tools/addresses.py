"""The kernel's tables to the addresses of this device: read from files, so that no network socket is opened for it.

The usual call opens an AF_INET and an AF_NETLINK socket, and a device that belongs to nobody opens none at all.

Covers: IPv4 and IPv6 of interfaces that are up, loopback aside; a table that is absent (no addresses of that kind).
Does not cover: systems other than Linux; an IPv4 address without a route of its own network.
"""

from __future__ import annotations

import re
from collections import defaultdict
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final, NamedTuple

_LOCAL: Final = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")
_UP: Final = frozenset({"up", "unknown"})
"""A tunnel does not say; one that is taken down says so."""


class _Route(NamedTuple):
    interface: str
    network: int
    mask: int


def addresses(proc: Path = Path("/proc/net"), interfaces: Path = Path("/sys/class/net")) -> dict[str, list[str]]:
    """Return the addresses of each interface that is up and has one."""
    found: dict[str, list[str]] = defaultdict(list)
    routes = _routes(_text(proc / "route"))
    for address in dict.fromkeys(_LOCAL.findall(_text(proc / "fib_trie"))):
        number = int(IPv4Address(address))
        of = [route for route in routes if route.mask and number & route.mask == route.network]
        if of:
            found[max(of, key=lambda route: route.mask).interface].append(address)
    for line in _text(proc / "if_inet6").splitlines():
        number_hex, *_, name = line.split()
        found[name].append(str(IPv6Address(int(number_hex, 16))))
    return {
        name: numbers
        for name, numbers in found.items()
        if name != "lo" and _text(interfaces / name / "operstate").strip() in _UP
    }


def _routes(table: str) -> list[_Route]:
    rows = [line.split() for line in table.splitlines()[1:]]
    return [_Route(row[0], _number(row[1]), _number(row[7])) for row in rows if len(row) > 7]


def _number(little_endian: str) -> int:
    return int.from_bytes(bytes.fromhex(little_endian), "little")


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""
