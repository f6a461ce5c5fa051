"""One life of a device whose every write is recorded: the daemon as `daemon.run` runs it, and a tool that acts.

Run under write_log.c with: folder (its `home` is the device's), how to be wrong on purpose, if at all, and
`keeps` for a device whose ledger may hold next to nothing: every sealed segment is too much.
"""

import signal
import sys
from pathlib import Path

import wrong_on_purpose
from plant import plant

from appliance import settings
from appliance.contracts.home import Home
from appliance.daemon import Daemon
from appliance.storage import inbox, redaction
from appliance.storage.ownership import own

WRONG = ("no", "synchronous-off", "act-first", "copies-kept", "never-taken")


def main(folder, wrong, site):
    home = Home(folder / "home")
    tool = plant(folder / "world")
    with own(home):
        chosen = settings.load(home.root)
        settings.write_default_file(home.root)
        if site == "keeps":
            # Less than a person may set, so that a small ledger is over it.
            chosen = chosen.model_copy(update={"ledger": chosen.ledger.model_copy(update={"quota_mb": 2**-10})})
        daemon = None

        def step(name):
            if wrong == "act-first" and name == "read":
                _act_before_the_record(daemon.parts.db, folder / "world")

        daemon = Daemon(home, chosen, more=[tool], step=step)
        if wrong == "synchronous-off":
            daemon.parts.db.connection.execute("pragma synchronous = off")
        if wrong == "never-taken":
            wrong_on_purpose.break_it(wrong)
        if wrong == "copies-kept":
            redaction.erase_copies = lambda *_: 0
        signal.signal(signal.SIGTERM, lambda *_: daemon.end())
        daemon.start()
        print("ready", flush=True)
        daemon.wait()
        daemon.stop()


def _act_before_the_record(db, world):
    request = inbox.next_queued(db)
    if request is not None and request.body.kind == "call" and "button" in request.body.call.literals:
        with world.open("a") as file:
            file.write(f"{request.body.call.literals['button']}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4])
