"""One of two programs on a controller's database: takes batches as its collector, or writes what a sender writes.

Run with: folder, `collects` or `sends`, how often. Prints nothing when all of it could be written.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from appliance.contracts.envelope import Batch, Item, State
from appliance.fleet import ingest, numbering
from appliance.fleet.home import open_home

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def main(folder, what, times):
    home = open_home(folder)
    for n in range(1, times + 1):
        if what == "collects":
            item = Item(seq=n, id=f"evt-{n}", kind="turn", at=NOW, body={"n": n})
            ingest.store_batch(
                home, Batch(device="lamp", epoch="e", stream="evt", after=n - 1, floor=0, items=(item,)), NOW
            )
        else:
            said = {"boot": 1, "session": n, "nonce": "n", "time": "trusted", "epoch": "e", "at": NOW}
            ingest.store_state(home, State(site="site", device="lamp", state="ready", **said), NOW)
            numbering.next_number(home, "lamp")
    home.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
