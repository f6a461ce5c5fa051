"""How long a device looks at a bundle before it takes it, and what memory that takes.

python tests/benchmarks/bench_bundles.py [MEGABYTES]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from appliance.trust import admission, bundles, documents, opening, roots
from appliance.trust.admission import Standing

HERE = Path(__file__).parent
ROUNDS_N = 7


def ceremony():
    """The rig's module."""
    spec = importlib.util.spec_from_file_location("ceremony", HERE.parent / "rigs" / "ceremony.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(folder, megabytes):
    """A delivery's tar of a network of so many megabytes, and the site that signed it."""
    rig = ceremony()
    site = rig.Site(folder)
    network = b"\x1c\0\0\0TFL3" + os.urandom(megabytes * 10**6)
    delivery = site.delivery(files={"model.tflite": network})
    return site, rig.packed(delivery, folder / "delivery.tar")


def highest_mb():
    """The most memory that this process ever had."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def timed(step):
    """Milliseconds of CPU and of wall time that *step* took."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = step()
    return result, 1000 * (time.process_time() - cpu), 1000 * (time.perf_counter() - wall)


def looked_at(tar, root, folder):
    """Open, check and judge once; milliseconds of each."""
    rig = ceremony()
    envelope = documents.envelope(root)
    standing = Standing(roots.first(envelope, documents.fingerprint(envelope)), None, None, rig.NOW, "0.1.0")
    _, *opened = timed(lambda: opening.open_delivery(tar, folder))
    whole, *checked = timed(lambda: bundles.check(folder / opening.BUNDLE))
    _, *judged = timed(lambda: admission.judge(whole, folder, standing))
    return opened, checked, judged


def main():
    """Print a table."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("megabytes", type=int, nargs="?", default=30, help="of the network in the bundle")
    asked.add_argument("child", type=Path, nargs="*", help=argparse.SUPPRESS)
    given = asked.parse_args()
    megabytes = given.megabytes
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if given.child:  # its memory is its own
            tar, site_root = given.child
            root = site_root.read_bytes()
            before = highest_mb()
            rounds = [looked_at(tar, root, folder / str(n)) for n in range(ROUNDS_N)]
            after = highest_mb()
            for name, n in (("copy", 0), ("check every byte", 1), ("signatures of two, root", 2)):
                cpu, wall = (statistics.median(r[n][k] for r in rounds) for k in (0, 1))
                print(f"| {name} | {cpu:.0f} | {wall:.0f} |")
            print(f"\npeak memory of the process {after:.0f} MB, of which {after - before:.1f} MB for this")
            return
        site, tar = made(folder, megabytes)
        (folder / "root.json").write_bytes(site.root())
        print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, network {megabytes} MB\n")
        print("| step | CPU ms | wall ms |\n|---|---:|---:|", flush=True)
        os.spawnv(
            os.P_WAIT, sys.executable, [sys.executable, __file__, str(megabytes), str(tar), str(folder / "root.json")]
        )


if __name__ == "__main__":
    main()
