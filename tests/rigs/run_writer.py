"""Takes steps of a workflow until it is killed: `run_writer.py DATABASE`; prints the number of each committed one."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.workflow import Step
from appliance.storage import audit, database, runs
from appliance.storage.runs import Run

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MOMENT = Moment(at=NOW, monotonic_s=1.0, boot=1, clock="trusted")


def take(db, n):
    """Commit step number *n*: its record and where the run is now, together."""
    before, after = f"state_{n - 1}", f"state_{n}"
    step = Step(
        kind="moved", run_id="shop-1", workflow="shop", version=1, seq=n, at=MOMENT, event={"kind": "looked"},
        before=before, after=after,
    )  # fmt: skip
    with db.atomic():
        audit.append(db, AuditRecord(kind="run", moment=MOMENT, facts=step.to_json()))
        body = f'{{"seq": {n}}}'
        runs.save(db, Run("shop-1", "shop", 1, "d" * 64, NOW.isoformat(), None, n, after, body))


def main(path):
    db = database.open_database(Path(path)).db
    taken = runs.numbers(db).get("shop-1", 0)
    while True:
        taken += 1
        take(db, taken)
        print(taken, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
