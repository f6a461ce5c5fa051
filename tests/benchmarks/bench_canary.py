"""Time and memory of the canary on a bundle of 30 MB, with the active bundle asked the same.

    .venv/bin/python tests/benchmarks/bench_canary.py [--alone]

Processor time is what compares between machines; the clock also counts what else the machine does.
"""

import argparse
import json
import resource
import tempfile
import time
from contextlib import closing
from pathlib import Path

from appliance.canary.examine import examine
from appliance.contracts.canary import CanaryLimits
from appliance.inference.bundle import load_bundle
from appliance.settings import shipped_bundle
from appliance.storage.database import open_reader
from firmware_models import poison

BYTES = 30 * 10**6


def cpu_s():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--alone", action="store_true", help="without a ledger")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        network = (shipped_bundle() / "model.tflite").read_bytes()
        # Behind the network's own bytes: mapped and hashed like them, and never looked at.
        bundle = poison.poisoned(shipped_bundle(), folder / "bundle", network.ljust(BYTES, b"\0"))
        begun = time.perf_counter()
        load_bundle(bundle)
        hashing_s = time.perf_counter() - begun
        if options.alone:
            report, clock, used = measured(bundle, None)
        else:
            with poison.ledger(folder) as database, closing(open_reader(database)) as reader:
                report, clock, used = measured(bundle, reader)
    checks = {check.name: check for check in report.checks}
    print(
        json.dumps(
            {
                "passed": report.passed,
                "requests": checks["runs"].tried_n,
                "of them recorded": checks["recorded"].tried_n if "recorded" in checks else 0,
                "clock_s": round(clock, 1),
                "processor_s": round(used, 1),
                "hashing_s": round(hashing_s, 2),
                "resident_mb": checks["memory"].figures["resident_mb"],
                "median_ms": round(checks["latency"].figures["median_ms"], 1),
                "confined": report.confined,
            }
        )
    )


def measured(bundle, reader):
    begun, before = time.perf_counter(), cpu_s()
    report = examine(bundle, shipped_bundle(), reader, CanaryLimits(niceness=0))
    return report, time.perf_counter() - begun, cpu_s() - before


if __name__ == "__main__":
    main()
