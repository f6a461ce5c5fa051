"""A real toolbox over the demonstration site, with a clock that stands still until it is told otherwise."""

from datetime import UTC, datetime, timedelta

import pytest

from appliance.contracts.audit import Moment
from appliance.contracts.toolcall import GroundedCall
from appliance.storage import database
from appliance.tools.site import Site
from appliance.tools.toolbox import open_toolbox


class HandClock:
    """A clock moved by hand."""

    def __init__(self):
        self.at = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday
        self.since_start_s = 1000.0
        self.boot = 1

    def now(self):
        return self.at

    def monotonic_s(self):
        return self.since_start_s

    def is_trusted(self):
        return True

    def moment(self):
        return Moment(at=self.at, monotonic_s=self.since_start_s, boot=self.boot, clock="trusted")

    def passes(self, **spans):
        self.at += timedelta(**spans)
        self.since_start_s += timedelta(**spans).total_seconds()


class Bench:
    """A site's tools, called as a turn calls them."""

    def __init__(self, folder, site, understand):
        self.clock = HandClock()
        self.db = database.open_database(folder / "a.db").db
        self.toolbox = open_toolbox(site, db=self.db, clock=self.clock, home=folder, understand=understand)
        self.registry = self.toolbox.registry

    def call(self, tool, **arguments):
        return self.registry.perform(GroundedCall(tool=tool, arguments=arguments))

    def take_back(self, result):
        """Perform the undo of *result*, as the gate would."""
        assert result.undo is not None
        return self.call(result.undo.tool, **result.undo.literals)

    def close(self):
        self.registry.close()
        self.db.close()


def understand(words):
    """Read one sentence; the model's place is taken by the test, its refusals too."""
    if words == "turn on the hall light":
        return GroundedCall(tool="turn_light_on", arguments={"room": "hall"})
    return "nothing here does that"


@pytest.fixture
def make_bench(tmp_path):
    made = []

    def make(site=None):
        folder = tmp_path / str(len(made))
        made.append(Bench(folder, site or Site.demonstration().model_copy(update={"timezone": "UTC"}), understand))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench):
    return make_bench()
