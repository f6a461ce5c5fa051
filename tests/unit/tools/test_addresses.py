"""Addresses from the kernel's tables."""

import socket

import psutil

from appliance.tools.addresses import addresses

TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 192.168.7.2
        /32 host LOCAL
     |-- 192.168.7.255
        /32 link BROADCAST
     |-- 10.9.0.4
        /32 host LOCAL
     |-- 172.16.0.9
        /32 host LOCAL
"""
ROUTE = """Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
eth0	0007A8C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
wlan0	0000090A	00000000	0001	0	0	0	0000FFFF	0	0	0
gone0	000010AC	00000000	0001	0	0	0	0000FFFF	0	0	0
"""
SIX = """fe8000000000000000fc00fffe000001 04 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""


def made(folder, **tables):
    proc, interfaces = folder / "proc", folder / "interfaces"
    proc.mkdir()
    for name, text in tables.items():
        (proc / name).write_text(text)
    for name, state in {"eth0": "up", "wlan0": "unknown", "gone0": "down", "lo": "unknown"}.items():
        (interfaces / name).mkdir(parents=True)
        (interfaces / name / "operstate").write_text(f"{state}\n")
    return addresses(proc, interfaces)


def test_each_interface_that_is_up_has_its_addresses(tmp_path):
    assert made(tmp_path, fib_trie=TRIE, route=ROUTE, if_inet6=SIX) == {
        "eth0": ["192.168.7.2", "fe80::fc:ff:fe00:1"],
        "wlan0": ["10.9.0.4"],
    }


def test_without_tables_there_are_no_addresses(tmp_path):
    assert made(tmp_path) == {}


def test_they_are_those_that_the_system_itself_would_name():
    wanted = {
        name: {a.address.split("%")[0] for a in found if a.family in {socket.AF_INET, socket.AF_INET6}}
        for name, found in psutil.net_if_addrs().items()
    }

    for name, found in addresses().items():
        assert set(found) == wanted[name]
