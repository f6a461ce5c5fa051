"""What workflows did, denied and had approved, as rows: from the records alone, page by page, whatever is in them."""

from datetime import UTC, datetime

import pytest

from appliance.contracts import decision
from appliance.contracts.audit import Moment
from appliance.contracts.decision import Asker, Rule, RuleVerdict
from appliance.contracts.request import OriginKind
from appliance.contracts.steps_plainly import line, weighed
from appliance.contracts.workflow import Step, Weighed
from appliance.ledger import run_history
from appliance.ledger.run_history import Wanted
from appliance.storage import past, runs
from appliance.storage.past import Cited
from appliance.storage.runs import Run

from .conftest import BEGAN, call, judged

MARA = {"person": "mara", "role": "approver"}
HOT = Weighed(what="states.closed.go[0]", said="true", text="fridge_c > 8", values={"fridge_c": 9.5})


def step(kind, seq, event, before="closed", after="closed", **more):
    moment = Moment(at=BEGAN, monotonic_s=1.0, boot=3, clock="trusted")
    given = {"kind": kind, "run_id": "gate-1", "workflow": "gate", "version": 1, "seq": seq, "at": moment, **more}
    return Step.model_validate({**given, "event": event, "before": before, "after": after})


def denied(rule="workflow:gate/closed", said="deny"):
    """A refusal by a workflow, as the laws write it."""
    asked = [
        {"what": "states.closed.tools[0]", "said": "true", "text": "unlock_door"},
        {"what": "rules.night", "said": "unknown", "text": "quiet from 22:00", "why": "the clock is not trusted"},
    ]  # fmt: skip
    law = Rule(said=said, values={"state": "closed", "asked": asked})
    one = call(0, "r5").model_copy(
        update={"verdict": RuleVerdict(verdict="deny", rule=rule), "rules": {"workflow:gate": law}}
    )
    asker = Asker(kind=OriginKind.OPERATOR, peer="uid:1000 pid:7", person="ben")
    return judged(decision.Refused, "refuse", one, status="refused", code=rule).model_copy(update={"origin": asker})


@pytest.fixture
def gated(night):
    """The night, and a gate that two people open."""
    night.write("run", None, step("started", 0, {"kind": "started"}, before=""))
    night.write("run", "e1", step("parked", 1, {"kind": "said", "event": "open_up", "who": MARA}, cause="say open_up"))
    night.write("run", "e2", step("approved", 2, {"kind": "approved", "of": "gate-1:1", "who": MARA, "yes": True}))
    night.write("run", "e3", step("denied", 3, {"kind": "approved", "of": "gate-1:1", "who": MARA, "yes": True}))
    night.write("run", "e4", step("moved", 4, {"kind": "looked"}, after="open", cause="fridge_c > 8", weighed=(HOT,)))
    night.write("run", "e5", step("illegal", 5, {"kind": "said", "event": "open_up", "who": MARA}, "open", "open"))
    night.write("settled", "r5", denied())
    night.write("settled", "r6", denied(rule="rule:night"))
    return night


def rows(night, sql, *parameters):
    return [dict(row) for row in night.db.connection.execute(sql, parameters)]


def test_every_step_is_a_row_with_its_event_its_guards_and_who_said_it(gated):
    found = rows(gated, "select * from workflow_steps order by seq")

    assert [row["kind"] for row in found] == ["started", "parked", "approved", "denied", "moved", "illegal"]
    assert (found[1]["event"], found[1]["person"], found[1]["role"]) == ("open_up", "mara", "approver")
    assert (found[4]["before"], found[4]["after"], found[4]["request_id"]) == ("closed", "open", "e4")
    page = run_history.page(gated.db.connection, "workflow_steps", Wanted(after=found[3]["seq"], limit=1))
    told = run_history.as_step(page[0])
    assert line(told) == "gate goes from closed to open (clock and sensors: fridge_c > 8)"
    assert [weighed(one) for one in told.weighed] == ["fridge_c > 8: true (fridge c 9.5)"]


def test_a_stop_that_finds_the_safe_state_reads_as_no_move():
    stop = {"kind": "emergency"}
    more = {"cause": "emergency", "reason": "emergency stop"}

    assert line(step("moved", 2, stop, "idle", "idle", **more)) == "gate stays in idle (the emergency stop)"
    assert line(step("moved", 2, stop, "open", "idle", **more)) == "gate goes from open to idle (the emergency stop)"


def test_an_arrow_back_to_where_it_was_reads_as_a_visit_of_its_own():
    told = step("moved", 2, {"kind": "looked"}, "idle", "idle", cause="after 10 min")

    assert line(told) == "gate enters idle again (clock and sensors: after 10 min)"


def test_denials_are_of_calls_and_of_events_and_name_what_in_the_file_said_no(gated):
    found = rows(gated, "select * from workflow_denials order by seq")

    assert [(row["what"], row["tool"], row["state"]) for row in found] == [
        ("event", "approval", "closed"),
        ("event", "open_up", "open"),
        ("call", "unlock_door", "closed"),
        ("call", "unlock_door", "closed"),
    ]
    assert found[2]["rule"] == "rules.night"
    assert found[2]["reason"] == "quiet from 22:00: the clock is not trusted"
    assert (found[2]["workflow"], found[2]["person"], found[2]["request_id"]) == ("gate", "ben", "r5")


def test_a_denial_by_unusable_laws_is_of_no_workflow(gated):
    one = call(0, "r7").model_copy(
        update={
            "verdict": RuleVerdict(verdict="deny", rule="laws"),
            "rules": {"laws": Rule(said="deny", values={"state": "", "asked": []})},
        }
    )
    gated.write("settled", "r7", judged(decision.Refused, "refuse", one, status="refused", code="laws", barred="torn"))

    (row,) = rows(gated, "select * from workflow_denials where request_id = 'r7'")

    assert (row["workflow"], row["rule"], row["reason"]) == (None, "laws", "torn")


def test_approvals_are_asked_for_given_and_not_counted(gated):
    waits = judged(decision.Parked, "approve", call(0, "r8"), status="waiting", code="workflow:gate/closed",
                   expires_at=BEGAN)  # fmt: skip
    gated.write("parked", "r8", waits)
    ann = Asker(kind=OriginKind.OPERATOR, peer="uid:1", person="ann", role="approver")
    given = {"of": "r8", "origin": ann, "asked_as": "approve", "received_at": BEGAN}
    gated.write("note", "a1", decision.Answered(**given))
    gated.write("note", "a2", decision.Answered(**given, yes=False))

    found = rows(gated, "select what, of, said, person from workflow_approvals order by seq")

    assert [tuple(row.values()) for row in found] == [
        ("arrow", "gate-1:1", "asked", "mara"),
        ("arrow", "gate-1:1", "approved", "mara"),
        ("arrow", "gate-1:1", "not counted", "mara"),
        ("call", "r8", "asked", "uid:1000 pid:7"),
        ("call", "r8", "approved", "ann"),
        ("call", "r8", "refused", "ann"),
    ]


def test_steps_of_an_earlier_epoch_are_told_under_its_name(gated):
    before = {name: rows(gated, f"select * from {name} order by seq") for name in run_history.VIEWS}
    past.end_epoch(gated.db, datetime(2026, 11, 23, tzinfo=UTC), Cited("restored", None))

    assert {name: rows(gated, f"select * from {name} order by seq") for name in run_history.VIEWS} == before


def test_a_step_whose_bytes_are_not_json_hides_itself_and_no_other(gated):
    (broken,) = rows(gated, "select seq from workflow_steps where kind = 'approved'")
    gated.db.connection.execute("update audit set body = substr(body, 1, 200) where seq = ?", (broken["seq"],))

    assert len(rows(gated, "select * from workflow_steps")) == 5
    assert len(rows(gated, "select * from timeline")) == 13 + 8


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        ("select * from workflow_steps order by seq desc limit 50", "{}_steps"),
        ("select * from workflow_steps where workflow = 'gate' and seq < 9 order by seq desc limit 50",
         "{}_steps_workflow"),
        ("select * from workflow_steps where run_id = 'gate-1' and seq > 9 order by seq limit 50", "{}_steps_run_id"),
        ("select * from workflow_denials where workflow = 'gate' order by seq desc limit 50", "{}_denials"),
        ("select * from workflow_approvals where seq < 9 order by seq desc limit 50", "{}_approvals"),
    ],
)  # fmt: skip
def test_a_page_is_found_by_an_index_that_has_only_such_records(gated, sql, index):
    plan = [row["detail"] for row in rows(gated, f"explain query plan {sql}")]

    used = [step.split("INDEX ")[1].split(" ")[0] for step in plan if " r USING " in step]
    assert set(used) == {index.format(table) for table in ("audit", "past")}
    assert not any("TEMP B-TREE" in step for step in plan)


def test_a_run_is_a_row_with_what_it_waits_for_and_what_was_interrupted(night):
    levels = '{"levels": [{"state": "heating"}, {"state": "heating/up"}]}'
    body = f'{{"pending": {{"approval_id": "gate-1:4"}}, "stack": [{levels}]}}'
    runs.save(night.db, Run("gate-1", "gate", 2, "d" * 64, BEGAN.isoformat(), None, 5, "held", body))
    runs.save(night.db, Run("gate-0", "gate", 1, "c" * 64, BEGAN.isoformat(), BEGAN.isoformat(), 9, "closed", "{}"))

    live, ended = run_history.runs(night.db.connection, "gate")

    assert (live["run_id"], live["state"], live["steps_n"], live["version"]) == ("gate-1", "held", 5, 2)
    assert (live["waits_for"], live["interrupted"]) == ("gate-1:4", ["heating/up"])
    assert (ended["waits_for"], ended["interrupted"]) == (None, [])
