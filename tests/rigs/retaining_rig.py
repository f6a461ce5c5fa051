"""Prunes and erases until it is killed: what `tests/scenarios/test_retaining_power_cuts.py` cuts the power of.

Prints `pruned N` or `erased N` after each durable step, so that the test knows what was promised.
"""

import importlib.util
import sys
from datetime import timedelta
from pathlib import Path

from appliance.contracts.retaining import RedactRecords
from appliance.storage import retention
from appliance.storage.retention import Gone, Limits

spec = importlib.util.spec_from_file_location("kept_ledger", Path(__file__).with_name("kept_ledger.py"))
kept_ledger = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kept_ledger)

folder, key = Path(sys.argv[1]), bytes.fromhex(sys.argv[2])
ledger = kept_ledger.KeptLedger(folder, key=key)
ledger.clock.at += timedelta(days=100)
print("ready", flush=True)
while True:
    ledger.fill(300, words="Zebedee " * 20)
    ledger.sign()
    ledger.clock.passes(days=2)
    by_quota = Limits(1, None, None, with_past=True)
    while isinstance(gone := retention.step(ledger.db, by_quota, moment=ledger.clock.moment()), Gone):
        print("pruned", gone.n, flush=True)
    said = ledger.retaining.handle(RedactRecords(older_than_days=1, reason="kill me"), "uid:1")
    print("erased", said.result["records_n"], flush=True)
