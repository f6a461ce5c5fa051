"""`kill -9` at random moments while records are pruned and words erased: what was promised holds, the rest verifies."""

import importlib.util
import random
import subprocess
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

RIGS = Path(__file__).parents[1] / "rigs"
KILLS_N = 12


def load(name):
    spec = importlib.util.spec_from_file_location(name, RIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_ledger_that_dies_while_it_is_pruned_and_erased_goes_on_whole(tmp_path):
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    chance, kept_ledger, pruned = random.Random(20261122), load("kept_ledger"), set()
    for _ in range(KILLS_N):
        command = [sys.executable, str(RIGS / "retaining_rig.py"), str(tmp_path), key.hex()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.05, 0.8))
            process.kill()
            said = [line.split() for line in process.stdout]
        pruned |= {int(n) for word, n in (line for line in said if len(line) == 2) if word == "pruned"}

        ledger = kept_ledger.KeptLedger(tmp_path, key=key)
        assert ledger.complaint is None
        found = ledger.verdict(ledger.sign())
        assert found.state == "anchored", found
        gone = {n for first, last in found.pruned for n in range((first - 1) // 256, last // 256)}
        assert pruned <= gone
        ledger.close()
    assert pruned
