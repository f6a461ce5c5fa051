"""What runs beside a simulation ends with it, and without a word."""

import signal
import subprocess
import sys

ENDED_IN_ORDER = """
import signal, time
from appliance.agent.uplink import UplinkSettings
from appliance.simulation.processes import CrowdProcess, SlowProcess

signal.signal(signal.SIGTERM, signal.default_int_handler)  # as `appliance fleet simulate` does
slow = SlowProcess(9, delay_s=0.1, bytes_per_s=1000.0)
crowd = CrowdProcess([], UplinkSettings())
{wait}
slow.end()
crowd.end()
print(slow._process.exitcode, crowd._process.exitcode)
"""
UNTIL_THEY_RUN = """
while not crowd.pipe.poll(0.05):
    pass
time.sleep(0.2)
"""


def test_a_slow_link_is_ended_without_a_traceback():
    done = subprocess.run(
        [sys.executable, "-c", ENDED_IN_ORDER.format(wait=UNTIL_THEY_RUN)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.split() == [str(-signal.SIGTERM), "0"]
    assert done.stderr == ""
