"""Rings go on when it is time and the figures allow it; the clock and the devices' answers are the test's own."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import Batch, Item, Reported, Response
from appliance.contracts.envelope import State as Said
from appliance.errors import UsageError
from appliance.fleet import counting, desired, enrolling, ingest, outgoing, rollout_driving, rollout_rings, rollout_rows
from appliance.fleet.acting import Acting
from appliance.fleet.home import open_home
from appliance.fleet.rollout import Rollout
from appliance.fleet.rollout_states import EDGES, State, after, mermaid

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
COMMANDS = {"commands": [{"kind": "call", "tool": "turn_on", "arguments": {"level": 30}}]}
RINGS = [{"name": "first", "percent": 25, "soak": "1h"}, {"name": "rest", "percent": 100, "soak": "10m"}]


class Fleet:
    """Eight devices that answer what a test says, at the time that it says."""

    def __init__(self, home, folder):
        self.home, self.now = home, NOW
        self.names = [f"d{n}" for n in range(8)]
        for name in self.names:
            enrolling.enrol_here(home, folder / name, device=name, role=Role.OPERATOR, replace=False, now=NOW)
            self.say(name, "ready")
        self.seq = 0

    def begin(self, **file):
        fields = {"rollout": "dim", "what": COMMANDS, "among": f"device={',device='.join(self.names)}", "rings": RINGS}
        declared = Rollout.model_validate_json(json.dumps({**fields, **file}))
        self.rings = rollout_rings.rings(self.home, declared, self.now)
        rollout_rows.begin(self.home, declared, self.rings, now=self.now, who="test")

    def look(self, name="dim"):
        return rollout_driving.look(self.home, name, self.now)

    def later(self, *, silent=(), **time):
        """Let time go by, in which every device but the silent ones says that it is as it was."""
        self.now += timedelta(**time)
        for row in self.home.db.rows("select device, state, session from devices where state is not null"):
            if row["device"] not in silent:
                self.say(row["device"], row["state"], session=row["session"])
        return self.look()

    def sent(self):
        """Correlation by device of what would leave now; it has left after this."""
        waiting = outgoing.hand_over(self.home, self.now, 100)
        outgoing.gone(self.home, [one.correlation for one in waiting])
        return {one.message.topic.split("/")[3]: one.correlation for one in waiting}

    def answer(self, device, correlation, life="executed", text="Done."):
        status = 200 if life == "executed" else 422
        answer = Response(
            device=device, correlation=correlation, life=life, status=status, code="c", text=text, at=self.now
        )
        ingest.store_answer(self.home, answer, self.now)

    def answer_all(self, life="executed"):
        sent = self.sent()
        for device, correlation in sent.items():
            self.answer(device, correlation, life)
        return set(sent)

    def say(self, device, word, boot=1, session=1):
        state = Said(
            site="site", device=device, state=word, boot=boot, session=session, nonce="n", time="trusted", epoch="e",
            at=self.now,
        )  # fmt: skip
        ingest.store_state(self.home, state, self.now)

    def turn(self, device, *statuses):
        row = self.home.db.row("select upto from streams where device = ? and stream = 'evt'", [device])
        self.reported(device, *statuses, after=0 if row is None else row["upto"])
        while counting.count(self.home, self.now):
            pass

    def reported(self, device, *statuses, after=0):
        """Let requests of *device* end so; nothing is counted by that."""
        items = tuple(
            Item(seq=after + n, id=f"i{n}", kind="turn", at=self.now, body={"status": s, "bundle_sha256": "b"})
            for n, s in enumerate(statuses, start=1)
        )
        batch = Batch(device=device, epoch="e", stream="evt", after=after, floor=0, items=items)
        ingest.store_batch(self.home, batch, self.now)

    def report(self, device, version, *, refused=None, config=None):
        config = config or {}
        no = {} if refused is None else {"version": refused, "code": "bad_config", "text": "no such setting"}
        reported = Reported(
            site="site", device=device, version=version, accepted=version, config=config, hash="0" * 64, refused=no,
            at=self.now,
        )  # fmt: skip
        desired.store_reported(self.home, reported, self.now)

    def members(self, name="dim"):
        rows = self.home.db.rows("select device, state from rollout_members where rollout = ?", [name])
        return {row["device"]: row["state"] for row in rows}

    def decisions(self, name="dim"):
        return [(one.what, one.state) for one in rollout_rows.history(self.home, name)]

    def reason(self, name="dim"):
        return rollout_rows.history(self.home, name)[-1].reason


@pytest.fixture
def fleet(home, tmp_path):
    return Fleet(home, tmp_path)


def test_a_good_one_goes_through_its_rings_and_every_decision_is_kept_with_figures_and_reason(fleet):
    fleet.begin()
    fleet.look()
    first = fleet.answer_all()
    assert fleet.look().state is State.SOAKING
    assert fleet.later(minutes=59).state is State.SOAKING
    assert fleet.members() == {d: "done" if d in first else "waiting" for d in fleet.names}

    assert fleet.later(minutes=1).ring == 1
    assert fleet.answer_all() == set(fleet.names) - first
    fleet.look()
    assert fleet.later(minutes=10).state is State.COMPLETED

    assert fleet.decisions() == [
        ("begin", "asking"), ("settle", "soaking"), ("advance", "asking"), ("settle", "soaking"),
        ("complete", "completed"),
    ]  # fmt: skip
    last = rollout_rows.history(fleet.home, "dim")[-1]
    assert last.figures["devices"] == last.figures["done"] == 6
    assert "soaked for 10m" in last.reason


def test_what_devices_refuse_halts_it_in_the_first_ring_and_nobody_else_is_told(fleet):
    fleet.begin()
    fleet.look()
    first = fleet.answer_all("rejected")

    assert fleet.look().state is State.HALTED
    fleet.later(days=3)

    assert fleet.sent() == {}
    assert {d for d, state in fleet.members().items() if state == "waiting"} == set(fleet.names) - first
    assert (
        fleet.reason() == "ring first: success: 2 of 2 devices refused or failed, at most 5 % were to: Done. (2 times)"
    )


def test_requests_that_are_refused_afterwards_halt_it_while_it_soaks(fleet):
    fleet.begin(expect={"refusals": 0.3, "least_requests": 4})
    fleet.look()
    device = min(fleet.answer_all())
    fleet.look()
    fleet.turn(device, "refused", "refused", "done")
    assert fleet.look().state is State.SOAKING  # three are not enough to judge

    fleet.turn(device, "refused")

    assert fleet.look().state is State.HALTED
    assert fleet.reason() == "ring first: refusals: 3 of 4 requests were refused, at most 30 % were to be"


def test_what_was_reported_before_a_device_did_it_does_not_count(fleet):
    fleet.begin(expect={"refusals": 0.3, "least_requests": 1, "patience": "1h"})
    fleet.turn(fleet.rings[0][0], "refused", "refused")
    fleet.look()
    fleet.now += timedelta(seconds=5)
    fleet.answer_all()
    fleet.look()
    fleet.turn(fleet.rings[0][0], "done")

    assert fleet.later(hours=1).ring == 1


def test_too_little_to_judge_makes_the_soak_longer_and_then_halts(fleet):
    fleet.begin(expect={"failures": 0.1, "least_requests": 10, "patience": "2h"})
    fleet.look()
    fleet.answer_all()
    fleet.look()

    assert fleet.later(hours=2).state is State.SOAKING
    assert fleet.later(hours=1).state is State.HALTED
    assert "only 0 requests of 10 came" in fleet.reason()


def test_a_device_that_is_lost_afterwards_halts_it_and_one_that_was_before_does_not(fleet):
    fleet.begin()
    one, other = fleet.rings[0]
    fleet.say(one, "degraded")
    fleet.look()
    fleet.answer_all()
    assert fleet.look().state is State.SOAKING

    fleet.say(other, "lost")

    assert fleet.look().state is State.HALTED
    assert fleet.reason().endswith(f"1 of 2 devices, at most 2 % were to be: {other} lost")


def test_a_device_that_falls_silent_afterwards_halts_it_before_the_next_ring(fleet):
    fleet.begin()
    fleet.look()
    device = min(fleet.answer_all())
    fleet.look()

    assert fleet.later(hours=1, silent=[device]).state is State.HALTED
    assert fleet.reason().endswith(f"{device} silent")


def test_a_device_that_does_not_answer_in_time_is_unreached_and_counts_when_it_answers_late(fleet):
    fleet.begin(answer_within="10m", expect={"unreached": 0.5})
    fleet.look()
    sent = fleet.sent()
    one, other = sorted(sent)
    fleet.answer(one, sent[one])
    assert fleet.later(minutes=11).state is State.SOAKING
    assert fleet.members()[other] == "unreached"

    fleet.answer(other, sent[other])
    fleet.look()

    assert fleet.members()[other] == "done"


def test_too_many_that_are_not_reached_halt_it(fleet):
    fleet.begin(answer_within="10m")
    fleet.look()
    fleet.sent()

    assert fleet.later(minutes=11).state is State.HALTED
    assert "2 of 2 devices did not answer, at most 50 % were to" in fleet.reason()


def test_steps_follow_each_other_on_each_device(fleet):
    fleet.begin(what={"commands": [{"kind": "ping"}, {"kind": "ask", "text": "turn on the light"}]})
    fleet.look()
    fleet.answer_all()
    assert fleet.look().state is State.ASKING

    assert len(fleet.answer_all()) == 2
    assert fleet.look().state is State.SOAKING
    kinds = [r["kind"] for r in fleet.home.db.rows("select kind from commands order by issued_at, kind")]
    assert sorted(kinds) == ["ask", "ask", "ping", "ping"]


def test_a_pause_takes_back_what_cannot_have_left_and_a_soak_goes_on_where_it_was(fleet):
    fleet.begin()
    fleet.look()
    left = fleet.sent()
    assert len(left) == 2
    fleet.answer_all()
    rollout_driving.say(fleet.home, "dim", "pause", who="eve", reason="dinner", now=fleet.now)
    for device, correlation in left.items():
        fleet.answer(device, correlation)
    assert fleet.look().state is State.PAUSED
    assert fleet.later(hours=5).state is State.PAUSED

    rollout_driving.say(fleet.home, "dim", "resume", who="eve", reason="", now=fleet.now)

    assert fleet.look().state is State.SOAKING
    assert ("pause", "paused") in fleet.decisions()


def test_a_command_that_was_taken_back_is_not_sent_and_its_device_is_asked_once_later(fleet):
    fleet.begin()
    fleet.look()
    rollout_driving.say(fleet.home, "dim", "pause", who="eve", reason="", now=fleet.now)
    assert fleet.sent() == {}

    rollout_driving.say(fleet.home, "dim", "resume", who="eve", reason="", now=fleet.now)
    fleet.look()

    assert len(fleet.sent()) == 2
    assert len(fleet.home.db.rows("select * from commands")) == 2


def test_a_halted_one_halts_again_unless_somebody_excuses_the_ring(fleet):
    fleet.begin()
    fleet.look()
    fleet.answer_all("failed")
    fleet.look()
    rollout_driving.say(fleet.home, "dim", "resume", who="eve", reason="", now=fleet.now)
    assert fleet.look().state is State.HALTED

    rollout_driving.excuse(fleet.home, "dim", who="eve", reason="a known lamp", now=fleet.now)
    fleet.look()

    assert fleet.later(hours=1).ring == 1
    assert ("eve", "a known lamp") in [(d.who, d.reason) for d in rollout_rows.history(fleet.home, "dim")]


def test_an_abort_with_return_tells_those_that_did_it_and_only_those(fleet):
    fleet.begin(undo={"commands": [{"kind": "call", "tool": "turn_off"}]})
    fleet.look()
    first = fleet.answer_all()
    fleet.look()
    rollout_driving.say(fleet.home, "dim", "go_back", who="eve", reason="no", now=fleet.now)
    fleet.look()

    assert fleet.answer_all() == first
    assert fleet.look().state is State.RETURNED
    assert fleet.reason() == "2 devices have taken it back, 0 have not"
    assert set(fleet.members().values()) == {"returned", "waiting"}


def test_without_a_way_back_there_is_no_return(fleet):
    fleet.begin()

    with pytest.raises(UsageError, match="without --return"):
        rollout_driving.say(fleet.home, "dim", "go_back", who="eve", reason="", now=fleet.now)


def test_a_configuration_is_merged_and_one_that_is_halted_returns_by_itself(fleet):
    desired.want(fleet.home, "d0", {"device": {"name": "x"}}, now=NOW, because="before")
    rings = [{"name": "first", "where": "device=d0,device=d1"}, {"name": "rest", "percent": 100}]
    what = {"configuration": {"uplink": {"batch_n": 7}}}
    fleet.begin(what=what, rings=rings, return_when_halted=True, expect={"success": 1.0})
    fleet.look()
    assert desired.wanted(fleet.home, "d0") == {"device": {"name": "x"}, "uplink": {"batch_n": 7}}
    fleet.report("d0", 2)
    fleet.report("d1", 0, refused=1)

    assert fleet.look().state is State.RETURNING
    assert desired.wanted(fleet.home, "d0") == {"device": {"name": "x"}}
    assert desired.wanted(fleet.home, "d1") == {}
    fleet.report("d0", 3)
    fleet.report("d1", 2)
    assert fleet.look().state is State.RETURNED
    assert "no such setting" in next(d.reason for d in rollout_rows.history(fleet.home, "dim") if d.what == "halt")
    assert desired.wanted(fleet.home, "d5") == {}


def test_a_name_is_used_once_and_a_ring_without_a_device_is_said_so(fleet):
    fleet.begin()
    with pytest.raises(UsageError, match="a name of its own"):
        fleet.begin()
    with pytest.raises(UsageError, match="ring 'empty' has no device of its own"):
        fleet.begin(rollout="other", rings=[{"name": "all", "percent": 100}, {"name": "empty", "where": "device=d1"}])


def test_who_is_in_which_ring_depends_on_nothing_but_the_names(fleet):
    file = {"rollout": "a", "what": COMMANDS, "rings": [{"name": n, "percent": p} for n, p in (("x", 10), ("y", 100))]}
    declared = Rollout.model_validate_json(json.dumps(file))
    rings = rollout_rings.rings(fleet.home, declared, NOW)

    assert rings == rollout_rings.rings(fleet.home, declared, NOW + timedelta(days=9))
    assert [len(ring) for ring in rings] == [1, 8]  # lamp is there too; a tenth of nine is one
    others = [
        rollout_rings.rings(fleet.home, declared.model_copy(update={"rollout": f"a{n}"}), NOW)[0][0] for n in range(20)
    ]
    assert len(set(others)) > 1


def test_a_service_that_dies_in_the_middle_of_a_decision_has_decided_nothing(fleet):
    fleet.begin()

    class Died(BaseException):
        pass

    def dies():
        with fleet.home.writing():
            fleet.look()
            assert len(fleet.home.db.rows("select * from outgoing")) == 2
            raise Died

    with pytest.raises(Died):
        dies()

    assert fleet.sent() == {}
    assert set(fleet.members().values()) == {"waiting"}
    fleet.look()
    assert len(fleet.sent()) == 2


def test_two_services_that_look_at_the_same_time_ask_each_device_once(fleet):
    fleet.begin()
    other = open_home(fleet.home.path)
    try:
        for home in (fleet.home, other, fleet.home, other):
            rollout_driving.look(home, "dim", fleet.now)
    finally:
        other.close()

    assert len(fleet.home.db.rows("select * from commands")) == 2


def test_what_had_left_when_the_sender_died_leaves_again_as_it_was_and_only_after_a_while(fleet):
    fleet.begin()
    fleet.look()
    before = {one.correlation: one.message.payload for one in outgoing.hand_over(fleet.home, fleet.now, 10)}
    assert outgoing.hand_over(fleet.home, fleet.now, 10) == []

    again = outgoing.hand_over(fleet.home, fleet.now + timedelta(seconds=31), 10)

    assert {one.correlation: one.message.payload for one in again} == before


def test_one_that_cannot_be_read_is_named_and_the_others_go_on(fleet):
    fleet.begin()
    fleet.begin(rollout="other")
    fleet.home.db.execute("update rollouts set declared = '{}' where rollout = 'dim'")
    said = []
    acting = Acting(fleet.home, now=lambda: fleet.now, chance=random.Random(1), on_said=said.append, look_s=0.0)

    for _ in range(2):
        fleet.now += timedelta(seconds=1)
        acting.step()
    acting.close()

    assert [text.split(":")[1].strip() for text in sorted(said)] == ["rollout dim", "asking, ring first"]
    assert "asked" in fleet.members("other").values()


def test_a_ring_halts_by_its_last_devices_by_name_though_fifty_others_are_busy(fleet):
    busy = [f"a{n:02}" for n in range(50)]
    rings = [{"name": "first", "where": "device=d6,device=d7", "soak": "1h"}, {"name": "rest", "percent": 100}]
    clock_s = 0.0
    acting = Acting(fleet.home, now=lambda: fleet.now, chance=random.Random(1), monotonic=lambda: clock_s)
    fleet.begin(rings=rings, expect={"failures": 0.1, "least_requests": 4})
    fleet.look()
    assert fleet.answer_all() == {"d6", "d7"}
    for second in range(3):
        fleet.now += timedelta(seconds=1)
        clock_s += 10.0
        with fleet.home.writing():
            for device in (*busy, "d6", "d7"):
                fleet.reported(device, "failed" if device > "d5" else "done", after=second)
        acting.step()
    acting.close()

    assert fleet.reason() == "ring first: failures: 4 of 4 requests failed, at most 10 % were to be"
    assert fleet.members()["d0"] == "waiting"


def test_a_ring_goes_on_only_when_everything_is_added_up_that_came_while_it_soaked(fleet):
    fleet.begin(expect={"failures": 0.1, "least_requests": 1})
    fleet.look()
    device = max(fleet.answer_all())
    fleet.look()
    fleet.now += timedelta(seconds=1)
    fleet.reported(device, "done")
    while counting.count(fleet.home, fleet.now):
        pass
    fleet.now += timedelta(minutes=59)
    fleet.reported(device, "failed", after=1)
    assert fleet.later(minutes=5).ring == 0

    fleet.reported(device, "failed", after=2)  # when the soak was over
    while counting.count(fleet.home, fleet.now):
        pass

    assert fleet.look().state is State.HALTED
    assert fleet.reason() == "ring first: failures: 2 of 3 requests failed, at most 10 % were to be"


def test_what_never_can_be_added_up_halts_it_when_patience_ends(fleet):
    fleet.begin(expect={"patience": "1h"})
    fleet.look()
    device = max(fleet.answer_all())
    fleet.look()
    fleet.reported(device, "done")

    assert fleet.later(minutes=90).state is State.SOAKING
    assert fleet.later(minutes=30).state is State.HALTED
    assert fleet.reason() == "ring first: what 1 devices have sent is not added up yet"


def test_what_comes_while_it_is_halted_counts_when_it_goes_on(fleet):
    fleet.begin(expect={"success": 1.0, "failures": 0.5, "least_requests": 2})
    fleet.look()
    sent = sorted(fleet.sent().items())
    fleet.answer(*sent[0])
    fleet.answer(*sent[1], life="failed")
    assert fleet.look().state is State.HALTED
    fleet.now += timedelta(seconds=1)
    fleet.turn(sent[0][0], "failed", "failed")

    assert rollout_rows.figures(fleet.home, "dim", 0, fleet.now).requests_failed == 2


def test_a_device_that_says_how_it_is_more_seldom_is_silent_later(fleet):
    fleet.begin()
    fleet.look()
    seldom, often = sorted(fleet.answer_all())
    fleet.look()
    fleet.report(seldom, 0, config={"uplink": {"state_every_s": 3000.0}})

    assert fleet.later(minutes=40, silent=[seldom, often]).state is State.HALTED
    assert fleet.reason().endswith(f"1 of 2 devices, at most 2 % were to be: {often} silent")


def test_a_rollout_that_cannot_be_looked_at_stops_no_other(fleet):
    fleet.begin()
    fleet.begin(rollout="other")
    fleet.home.db.execute("update rollouts set soak_at = 'no time' where rollout = 'dim'")
    clock_s = 0.0
    said = []
    acting = Acting(
        fleet.home, now=lambda: fleet.now, chance=random.Random(1), monotonic=lambda: clock_s, on_said=said.append
    )

    acting.step()
    acting.close()

    assert sorted(text.split(":")[0] for text in said) == ["rollout dim", "rollout other"]
    assert "asked" in fleet.members("other").values()


def test_what_lies_on_a_stick_is_not_taken_back_and_leaves_over_the_network_as_well(fleet):
    fleet.begin()
    fleet.look()
    carried = {correlation for _, correlation, _ in outgoing.carried(fleet.home)}

    rollout_driving.say(fleet.home, "dim", "pause", who="eve", reason="", now=fleet.now)

    assert set(fleet.sent().values()) == carried
    assert sorted(fleet.members().values()).count("asked") == len(carried) == 2


def test_the_page_draws_the_table():
    page = Path(__file__).parents[3] / "docs" / "explanation" / "rollouts.md"

    drawn = page.read_text().split("```mermaid\n")[1].split("\n```")[0]
    assert sorted(drawn.splitlines()) == sorted(mermaid().splitlines())


def test_from_every_state_only_the_arrows_of_the_table_lead_away():
    arrows = {(source, edge.trigger): edge.dest for edge in EDGES for source in edge.sources}

    found = {(s, t): after(s, t) for s in State for t in {edge.trigger for edge in EDGES}}

    assert {place: dest for place, dest in found.items() if dest is not None} == arrows
    assert not any(s in (State.COMPLETED, State.ABORTED, State.RETURNED) for s, _ in arrows)
