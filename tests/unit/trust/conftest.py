"""What tests of trust share: a site's people, and a device that is brought things."""

import importlib.util
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.agent.admission import Admission
from appliance.contracts.audit import Moment
from appliance.storage import database

RIG = Path(__file__).parents[2] / "rigs" / "ceremony.py"


@pytest.fixture(scope="session")
def ceremony():
    """The rig's module."""
    spec = importlib.util.spec_from_file_location("ceremony", RIG)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Clock:
    """Clocks that stand still until they are set."""

    def __init__(self, now):
        self.at = now
        self.running_s = 1000.0
        self.trusted = False

    def now(self):
        return self.at

    def monotonic_s(self):
        return self.running_s

    def is_trusted(self):
        return self.trusted

    def moment(self):
        return Moment(at=self.at, monotonic_s=self.running_s, boot=1, clock="untrusted")


class Device:
    """A device with a real database, a clock that is set by hand, and a root of trust."""

    def __init__(self, folder, clock, software="0.1.0"):
        self.folder = folder
        self.clock = clock
        self.software = software
        self.copies_n = 0
        self.db = None
        self.start()

    def start(self):
        """Start, or start again: a new monotonic clock, the same database."""
        self.stop()
        self.db = database.open_database(self.folder / "appliance.db", epoch="e").db
        self.admission = Admission(self.db, self.clock, software=self.software)
        return self

    def stop(self):
        if self.db is not None:
            self.db.close()
            self.db = None

    def admit(self, source):
        """Bring it a delivery; returns the answer and where the copy lies."""
        self.copies_n += 1
        slot = self.folder / f"copy-{self.copies_n}"
        return self.admission.admit(source, slot), slot

    def runs(self, days, step_s=60.0):
        """Let it run for a while, as the daemon does: looking at the clock once a minute."""
        end_s = self.clock.running_s + days * 86_400
        while self.clock.running_s < end_s:
            self.clock.running_s = min(end_s, self.clock.running_s + step_s)
            self.admission.ran()

    def cut(self):
        """Take its power away: the monotonic clock begins anew, what was not written is lost."""
        self.clock.running_s = 5.0
        return self.start()

    def waited(self, days):
        """Let wall clock and power go on together."""
        self.clock.at += timedelta(days=days)
        self.runs(days, step_s=6 * 3600)


@pytest.fixture
def site(tmp_path, ceremony):
    folder = tmp_path / "site"
    folder.mkdir()
    return ceremony.Site(folder)


@pytest.fixture
def fresh(tmp_path, ceremony):
    """A device that trusts nobody yet."""
    folder = tmp_path / "device"
    folder.mkdir()
    made = Device(folder, Clock(ceremony.NOW))
    yield made
    made.stop()


@pytest.fixture
def device(fresh, site):
    """A device that belongs to the site."""
    from appliance.trust import documents

    root = site.root()
    answer = fresh.admission.accept(root, fingerprint=documents.fingerprint(documents.envelope(root)))
    assert answer.kind == "root"
    return fresh
