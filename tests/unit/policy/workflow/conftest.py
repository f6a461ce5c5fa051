"""The demonstration's tools, a law from a text, and a run of it that is asked about calls."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance.contracts.audit import Moment
from appliance.contracts.request import Origin, OriginKind
from appliance.contracts.toolcall import GroundedCall
from appliance.policy.workflow import judge, load, step
from appliance.policy.workflow.complaint import Refused
from appliance.policy.workflow.run import Context
from appliance.tools import catalogue
from appliance.tools.site import Site


@pytest.fixture(scope="session")
def tools():
    return catalogue.of(Site.demonstration()).specs


@pytest.fixture
def law(tools):
    """Load a law from its text; a refused one fails the test with its complaints."""

    def loaded(text: str, zone=UTC):
        found = load.parse(text.encode(), "test.yaml", tools, zone)
        assert not isinstance(found, Refused), found.text()
        return found

    return loaded


@pytest.fixture
def at():
    """A moment, so many seconds after noon of a Monday."""

    def moment(after_s: float = 0.0, *, boot: int = 1, trusted: bool = True, wall_s: float | None = None) -> Moment:
        noon = datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp()
        wall = datetime.fromtimestamp(noon + (after_s if wall_s is None else wall_s), UTC)
        return Moment(at=wall, monotonic_s=1000.0 + after_s, boot=boot, clock="trusted" if trusted else "untrusted")

    return moment


class Desk:
    """One run, asked about calls."""

    def __init__(self, loaded, tools, at):
        self.law, self.at = loaded.compiled, at
        self.specs = {spec.name: spec for spec in tools}
        self.run = step.start(self.law, "run", at()).run

    def asks(self, tool, arguments=None, *, origin=None, after_s=1.0, context=None, **more):
        call = GroundedCall(tool=tool, arguments=arguments or {}, confidence=more.pop("confidence", 1.0))
        origin = origin or Origin(kind=OriginKind.OPERATOR, peer="otto", role="operator")
        context = context or Context(0, {})
        return judge.judge(self.law, self.run, call, self.specs[tool], origin, self.at(after_s), context, **more)

    def does(self, event, after_s=1.0):
        self.run = step.apply(self.law, self.run, event, self.at(after_s), Context(0, {})).run


@pytest.fixture
def desk(law, tools, at):
    return lambda text: Desk(law(text), tools, at)
