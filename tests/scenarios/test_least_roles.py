"""What somebody may ask for over the socket without the role for it: nothing that acts or changes, by any way."""

import json
import re
import typing
from pathlib import Path

import pytest

from appliance.agent import least_roles
from appliance.contracts import local
from appliance.contracts.known import Known
from appliance.contracts.local import (
    ActivateBundle,
    CallTool,
    Checkpoint,
    EnrolPerson,
    GiveApproval,
    InstallBundle,
    LoadLaws,
    Quit,
    Release,
    RemovePerson,
    Reply,
    Resolve,
    RollBackBundle,
    RotateKey,
    Say,
    SetMaintenance,
    Stop,
    TrustDocument,
    UndoLast,
)
from appliance.contracts.retaining import HoldRecords, PruneRecords, RedactRecords, ReleaseHold
from appliance.contracts.selection import Selection
from appliance.transport.local import LocalClient

PINS = {"ana": "739154", "bo": "boat-82", "cy": "boat-82", "di": "boat-82", "vi": "boat-82"}
ROLES = {"bo": "approver", "cy": "approver", "di": "operator", "vi": "viewer"}
DOCS = Path(__file__).parents[2] / "docs"

TWO_APPROVE = """\
workflow: back
version: 1
initial: open
safe: open
governs: [unlock_door]
states:
  open:
    tools: [{tool: unlock_door, approve: {role: approver, people: 2, within: 2min}}]
"""

FOR_OPERATORS = [
    LoadLaws(),
    Release(),
    Resolve(request_id="x", happened=True),
    HoldRecords(records=Selection(after=0, before=2), reason="inquiry"),
    ReleaseHold(hold_id=1, reason="closed"),
    Quit(),
    InstallBundle(path="/media/stick/next.tar"),
    RollBackBundle(),
]
FOR_KEEPERS = [
    RotateKey(reason="yearly"),
    RedactRecords(seq=1, reason="asked for"),
    PruneRecords(),
    ActivateBundle(bundle="a"),
    TrustDocument(path="/media/stick/root.json", fingerprint="0" * 64),
]


class Staffed:
    """A running appliance with people, and what they ask of it."""

    def __init__(self, bench):
        self.bench = bench
        self.client = LocalClient(bench.home.root)

    def start(self):
        self.bench.start()
        self.ask(EnrolPerson(name="ana", role="admin", new_pin=PINS["ana"]))
        for name, role in ROLES.items():
            assert self.ask(EnrolPerson(name=name, role=role, new_pin=PINS[name]), "ana").ok
        return self

    def ask(self, request, person=""):
        if person:
            request = request.model_copy(update={"person": person, "pin": PINS[person]})
        return self.client.request(request, timeout_s=60)

    def records(self, kind):
        return [json.loads(row.body)["facts"] for row in self.bench.records if row.kind == kind]


@pytest.fixture
def staffed(bench):
    return Staffed(bench).start()


@pytest.fixture
def door(bench):
    """A door that two approvers let be unlocked."""
    laws = bench.home.root / "laws"
    laws.mkdir(parents=True)
    (laws / "back.yaml").write_text(TWO_APPROVE)
    return Staffed(bench).start()


def ops():
    """Every request of the protocol, by what it is called."""
    found = {}
    for record in typing.get_args(typing.get_args(local.LocalRequest)[0]):
        for op in typing.get_args(record.model_fields["op"].annotation):
            found[op] = record
    return found


# ---- the table


def test_the_table_has_every_request_and_whoever_needs_a_role_can_say_who_they_are():
    assert set(least_roles.FOR) == set(ops())
    unsigned = {op for op, record in ops().items() if not issubclass(record, Known)}
    assert {least_roles.FOR[op] for op in unsigned} == {"anybody"}


def test_the_page_about_people_has_the_table():
    page = (DOCS / "explanation" / "people.md").read_text("utf-8")
    told = {}
    for names, whom in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| \*\*(\w+)\*\*", page, re.MULTILINE):
        told |= dict.fromkeys(re.findall(r"`(\w+)`", names), whom)

    assert told == least_roles.FOR


@pytest.mark.parametrize("request_", [*FOR_OPERATORS, *FOR_KEEPERS], ids=lambda request: request.op)
def test_a_viewer_changes_nothing_of_the_device_itself(staffed, request_):
    before = len(staffed.bench.records)

    reply = staffed.ask(request_, "vi")

    assert (reply.ok, reply.error) == (False, "not_allowed")
    assert "not a viewer" in reply.message
    assert [row.kind for row in staffed.bench.records[before:]] == []


def test_where_nobody_without_a_pin_may_act_nobody_without_a_pin_changes_the_device(bench):
    bench.configure('[people]\nunnamed = "viewer"\n')
    staffed = Staffed(bench).start()
    staffed.ask(Stop(reason="smoke"))

    said = [staffed.ask(request) for request in (*FOR_OPERATORS, *FOR_KEEPERS)]

    assert {reply.error for reply in said} == {"not_allowed"}
    assert bench.daemon.parts.emergency.is_locked()
    assert staffed.ask(Checkpoint()).ok
    assert staffed.ask(Release(), "di").ok
    assert staffed.records("emergency")[-1]["peer"].endswith(" person:di")


def test_keys_and_records_are_for_admins_once_there_is_one(bench):
    bench.start()
    alone = Staffed(bench)
    assert alone.ask(PruneRecords()).ok
    alone.ask(EnrolPerson(name="ana", role="admin", new_pin=PINS["ana"]))
    alone.ask(EnrolPerson(name="di", role="operator", new_pin=PINS["di"]), "ana")

    said = [alone.ask(request, person) for request in FOR_KEEPERS for person in ("", "di")]

    assert {reply.error for reply in said} == {"not_allowed"}
    assert alone.ask(RotateKey(reason="yearly"), "ana").ok
    assert alone.records("key_rotated")[-1]["peer"].endswith(" person:ana")


# ---- words on requests of others


def asked_about_a_light(staffed, person=""):
    reply = staffed.ask(Say(text="turn on the light"), person)
    assert reply.result["status"] == "asked"
    return reply.result["request_id"]


def test_a_viewer_answers_no_question_of_an_operator(staffed):
    of = asked_about_a_light(staffed)

    reply = staffed.ask(Reply(op="answer", request_id=of, text="kitchen"), "vi")

    assert (reply.result["status"], reply.result["code"]) == ("refused", "roles")
    assert staffed.records("decided") == []
    assert staffed.ask(Reply(op="answer", request_id=of, text="kitchen"), "di").result["status"] == "done"


def test_a_viewer_who_answers_their_own_question_acts_no_more_than_a_viewer_may(staffed):
    of = asked_about_a_light(staffed, "vi")

    reply = staffed.ask(Reply(op="answer", request_id=of, text="kitchen"), "vi")

    assert (reply.result["status"], reply.result["code"]) == ("refused", "roles")
    assert staffed.records("decided") == []


def test_nobody_puts_words_into_the_request_of_somebody_who_may_do_more(staffed):
    of = asked_about_a_light(staffed, "bo")
    waits = staffed.ask(CallTool(tool="unlock_door", arguments={"door": "front door"}), "bo").result
    assert waits["status"] == "waiting"

    answered = staffed.ask(Reply(op="answer", request_id=of, text="kitchen"), "di")
    edits = {"door": "garage door"}
    edited = staffed.ask(Reply(op="confirm", request_id=waits["request_id"], edits=edits), "di")
    confirmed = staffed.ask(Reply(op="confirm", request_id=waits["request_id"]), "di")

    assert [r.result["code"] for r in (answered, edited)] == ["roles", "roles"]
    assert confirmed.result["status"] == "done"


def test_a_viewer_does_nothing_by_any_other_way(staffed):
    act = CallTool(tool="turn_light_on", arguments={"room": "kitchen"}, request_id="mine")
    done = staffed.ask(act, "di").result
    assert done["status"] == "done"
    waits = staffed.ask(CallTool(tool="unlock_door", arguments={"door": "front door"}), "di").result["request_id"]
    decided_n = len(staffed.records("decided"))

    said = [
        staffed.ask(UndoLast(), "vi"),
        staffed.ask(Reply(op="confirm", request_id=waits), "vi"),
        staffed.ask(Reply(op="confirm", request_id=waits, yes=False), "vi"),
        staffed.ask(GiveApproval(of=waits), "vi"),
        staffed.ask(SetMaintenance(on=True), "vi"),
        staffed.ask(CallTool(tool="turn_light_on", arguments={"room": "kitchen"}, yes=True), "vi"),
    ]

    assert {reply.result["status"] for reply in said} == {"refused"}
    assert len(staffed.records("decided")) == decided_n
    assert staffed.ask(Reply(op="confirm", request_id=waits), "di").result["status"] == "done"


def test_an_id_is_one_persons(staffed):
    act = CallTool(tool="turn_light_on", arguments={"room": "kitchen"}, request_id="mine")
    first = staffed.ask(act, "vi").result

    other = staffed.ask(act, "di")

    assert first["status"] == "refused"
    assert (other.error, "somebody else" in other.message) == ("not_allowed", True)
    assert staffed.ask(act, "vi").result == first


# ---- approvals of a call


def unlock(door):
    reply = door.ask(CallTool(tool="unlock_door", arguments={"door": "front door"}), "di")
    assert reply.result["status"] == "waiting"
    return reply.result["request_id"]


@pytest.mark.parametrize("change", [RemovePerson(name="bo"), EnrolPerson(name="bo", role="operator")])
def test_a_call_is_not_carried_by_the_approval_of_somebody_who_may_not_approve_any_more(door, change):
    of = unlock(door)
    assert door.ask(GiveApproval(of=of), "bo").result["approval"]["given"] == ["bo"]
    assert door.ask(change, "ana").ok

    second = door.ask(GiveApproval(of=of), "cy").result

    assert (second["status"], second["approval"]["given"]) == ("waiting", ["cy"])
    assert door.records("decided") == []
    assert door.ask(GiveApproval(of=of), "ana").result["status"] == "done"
    assert [one["person"] for one in door.records("decided")[-1]["given"]] == ["cy", "ana"]


def test_a_call_is_approved_once_by_one_person_however_the_name_is_written(door):
    of = unlock(door)
    door.ask(GiveApproval(of=of), "bo")
    door.ask(RemovePerson(name="bo"), "ana")
    door.ask(EnrolPerson(name="Bo", role="approver", new_pin=PINS["bo"]), "ana")

    again = door.ask(GiveApproval(of=of), "bo").result

    assert (again["status"], again["code"]) == ("refused", "roles")
    assert door.records("decided") == []
