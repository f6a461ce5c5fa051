"""Moments of a run after the daemon was started again on a machine that was not."""

from datetime import UTC, datetime

from appliance.contracts.audit import Moment
from appliance.policy.workflow.rebase import rebased
from appliance.policy.workflow.run import Frame, Given, Level, Pending, RunState, Use, Who

WHO = Who(person="ana", role="operator")


def at(boot, up_s):
    return Moment(at=datetime(2026, 11, 23, tzinfo=UTC), monotonic_s=up_s, boot=boot, clock="untrusted")


def run(boot):
    return RunState(
        run_id="r",
        workflow="w",
        version=1,
        digest="d",
        levels=(Level(state="a", entered=at(boot, 10.0)), Level(state="a/b", entered=at(boot - 3, 7.0))),
        stack=(Frame(levels=(Level(state="c", entered=at(boot, 3.0)),), calls_n=1, visit=1, interrupt="i"),),
        pending=Pending(approval_id="p", way="k", visit=1, by=WHO, at=at(boot, 11.0),
                        given=(Given(of="p", who=WHO, at=at(boot, 12.5)),)),
        used={"rule": (Use(tool="t", role="operator", side="tools", at=at(boot - 3, 1.0).model_copy(
            update={"at": datetime(1970, 1, 1, tzinfo=UTC)})),
            Use(tool="t", role="operator", side="tools", at=at(boot, 2.0).model_copy(
                update={"at": datetime(1970, 1, 1, tzinfo=UTC)})))},
    )  # fmt: skip


def test_every_moment_of_the_last_start_is_one_of_this_start_and_older_ones_stay():
    after = rebased(run(5), 5, 6)

    assert [level.entered.boot for level in after.levels] == [6, 2]
    assert after.stack[0].levels[0].entered == at(6, 3.0)
    assert after.pending is not None
    assert (after.pending.at.boot, after.pending.given[0].at.boot) == (6, 6)
    assert [use.at.boot for use in after.used["rule"]] == [2, 6]


def test_nothing_else_changes():
    assert rebased(rebased(run(5), 5, 6), 6, 5) == run(5)
    assert rebased(run(5), 4, 9) == run(5)
