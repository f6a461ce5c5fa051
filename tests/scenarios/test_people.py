"""Enrolled people over the real socket, with the real daemon: who is believed, what is kept, and what attackers get."""

import json
import os
import pty
import select
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.agent.guesses import FREE_N
from appliance.agent.people import WAITING_N
from appliance.contracts.local import (
    ChangePin,
    EnrolPerson,
    GiveApproval,
    ListPeople,
    RemovePerson,
    Say,
    SayEvent,
    Status,
    Stop,
    UndoLast,
)
from appliance.contracts.request import Origin
from appliance.errors import ApplianceError
from appliance.storage.ownership import own
from appliance.transport.local import LocalClient

ANAS = "739154"
BOS = "boat-82"
WRONG = "zq-5507!"
LIGHT = "turn on the kitchen light"


@pytest.fixture
def ask(appliance):
    """Send a request over the socket: `ask(Say(text=...))`."""
    client = LocalClient(appliance.home.root)
    return lambda request: client.request(request, timeout_s=60)


@pytest.fixture
def staffed(appliance, ask):
    """Ana, an admin, and bo, an approver, on a running appliance."""
    assert ask(EnrolPerson(name="Ana", role="admin", new_pin=ANAS)).ok
    assert ask(EnrolPerson(name="bo", role="approver", new_pin=BOS, person="ana", pin=ANAS)).ok
    return appliance


def told(bench):
    return [json.loads(row.body)["facts"] for row in bench.records if row.kind == "people"]


def origins(bench):
    found = bench.db.rows("select body from inbox order by seq")
    origins = [Origin.model_validate(json.loads(row["body"])["origin"], strict=False) for row in found]
    return [(origin.person, origin.role) for origin in origins]


def locked_out(ask, name="bo"):
    for _ in range(FREE_N):
        ask(Say(text=LIGHT, person=name, pin=WRONG))


def test_a_request_with_a_pin_is_that_persons_from_the_inbox_to_the_ledger(staffed, ask):
    reply = ask(Say(text=LIGHT, person="BO", pin=BOS))

    assert reply.result["status"] == "done"
    assert origins(staffed)[-1] == ("bo", "approver")
    decided = [json.loads(row.body)["facts"] for row in staffed.records if row.kind == "decided"]
    assert (decided[-1]["origin"]["person"], decided[-1]["origin"]["role"]) == ("bo", "approver")


def test_a_request_without_a_pin_is_an_operators_of_no_name(staffed, ask):
    ask(Say(text=LIGHT))

    assert origins(staffed)[-1] == ("", "operator")


def test_the_owner_decides_as_what_somebody_counts_who_gives_no_pin(bench):
    bench.configure('[people]\nunnamed = "viewer"\n')
    bench.start()

    LocalClient(bench.home.root).request(Say(text=LIGHT, wait_s=0.0))

    assert origins(bench)[-1][1] == "viewer"
    assert LocalClient(bench.home.root).request(ListPeople()).result["unnamed"] == "viewer"


def test_with_a_wrong_pin_nothing_is_submitted_and_nothing_acts(staffed, ask):
    reply = ask(Say(text=LIGHT, person="bo", pin=WRONG))

    assert (reply.ok, reply.error) == (False, "not_allowed")
    assert "do not belong together" in reply.message
    assert origins(staffed) == []
    assert ask(Say(text=LIGHT, person="bo")).error == "not_allowed"
    assert ask(Say(text=LIGHT, pin=BOS)).error == "not_allowed"
    assert origins(staffed) == []


def test_a_lock_out_is_said_in_words_and_seconds_and_outlives_a_restart(staffed, ask):
    locked_out(ask)
    staffed.restart()

    reply = ask(Say(text=LIGHT, person="bo", pin=BOS))

    assert reply.error == "not_allowed"
    assert 0 < reply.result["wait_s"] <= 30
    assert "Wait" in reply.message
    assert ask(Say(text=LIGHT, person="ana", pin=ANAS)).result["status"] == "done"


def test_the_emergency_stop_asks_for_no_pin_also_of_somebody_who_is_locked_out(staffed, ask):
    locked_out(ask)

    assert ask(Stop(reason="fire")).ok
    assert staffed.daemon.parts.emergency.is_locked()


def test_whoever_wants_to_change_the_list_is_an_admin_with_a_pin(staffed, ask):
    # This process runs as the user that runs the daemon, which counts for nothing any more.
    assert ask(EnrolPerson(name="cy", role="admin", new_pin="cy-4411z")).error == "not_allowed"
    assert ask(EnrolPerson(name="cy", role="admin", new_pin="cy-4411z", person="bo", pin=BOS)).error == "not_allowed"
    assert ask(RemovePerson(name="Ana", person="bo", pin=BOS)).error == "not_allowed"
    assert ask(ChangePin(new_pin="x82-rtq", person="bo", pin=BOS)).ok
    assert ask(RemovePerson(name="bo", person="ana", pin=ANAS)).ok

    assert [p["name"] for p in ask(ListPeople()).result["people"]] == ["Ana"]
    assert [facts["what"] for facts in told(staffed)] == ["enrolled", "enrolled", "pin", "removed"]


def test_brute_force_through_many_sockets_at_once_gets_a_handful_of_looks(staffed, ask):
    said = []

    def attack(n):
        said.append(ask(Say(text=LIGHT, person="bo", pin=f"{n:06}-x")))

    # The thirtieth guess would be right.
    guesses = [threading.Thread(target=attack, args=(n,)) for n in range(60)]
    for guess in guesses:
        guess.start()
    for guess in guesses:
        guess.join()

    assert [reply.ok for reply in said] == [False] * 60
    assert {reply.error for reply in said} <= {"not_allowed", "busy"}
    wrong = [facts for facts in told(staffed) if facts["what"] == "wrong"]
    assert 1 <= len(wrong) <= FREE_N
    assert origins(staffed) == []
    # Somebody else is not held up, whatever is tried.
    assert ask(Say(text=LIGHT, person="ana", pin=ANAS)).result["status"] == "done"


def test_while_pins_are_hashed_the_device_goes_on_for_those_who_give_none(staffed, ask):
    over = threading.Event()

    def attack(name):
        while not over.is_set():
            ask(Say(text=LIGHT, person=name, pin=WRONG))

    attackers = [threading.Thread(target=attack, args=(f"nobody{n}",)) for n in range(2 * WAITING_N)]
    for attacker in attackers:
        attacker.start()
    try:
        answers = [ask(Say(text=LIGHT)).result["status"] for _ in range(3)]
    finally:
        over.set()
        for attacker in attackers:
            attacker.join()

    assert answers == ["done"] * 3


def test_two_enrolments_at_once_make_one_first_admin(appliance, ask):
    said = []
    together = threading.Barrier(2)

    def enrol(name, pin):
        together.wait()
        said.append(ask(EnrolPerson(name=name, role="admin", new_pin=pin)))

    threads = [threading.Thread(target=enrol, args=pair) for pair in (("ana", ANAS), ("bo", BOS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(reply.ok for reply in said) == [False, True]
    assert len(ask(ListPeople()).result["people"]) == 1


@pytest.mark.parametrize("name", ["\u0430na", "an\x00a", "a\u202ena", "\uff41na", "x" * 60_000, "482913", ""])
def test_a_name_that_looks_like_another_or_is_none_is_not_enrolled(staffed, ask, name):
    reply = ask(EnrolPerson(name=name, role="approver", new_pin="x82-rtq", person="ana", pin=ANAS))

    assert not reply.ok
    assert len(ask(ListPeople()).result["people"]) == 2


def test_a_pin_is_nowhere_in_what_the_appliance_keeps_or_writes(staffed, ask, caplog):
    ask(Say(text=LIGHT, person="bo", pin=BOS))
    ask(Say(text=LIGHT, person="bo", pin=WRONG))
    ask(Say(text=LIGHT, person=BOS, pin="bo"))  # the wrong way round
    ask(ChangePin(new_pin="tr4in-71", person="bo", pin=BOS))
    ask(ChangePin(new_pin="11112222", person="bo", pin="tr4in-71"))
    ask(EnrolPerson(name="cy", role="viewer", new_pin="cy-4411z", person="ana", pin=ANAS))
    ask(UndoLast(person="ana", pin=ANAS))
    root = staffed.home.root
    kept = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    staffed.stop()
    kept += b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())

    secrets = [ANAS, BOS, WRONG, "tr4in-71", "11112222", "cy-4411z"]
    assert [secret for secret in secrets if secret.encode() in kept] == []
    assert [secret for secret in secrets if secret in caplog.text] == []
    assert b"bo" in kept, "the search finds what is there"


def test_a_pin_is_in_no_text_of_a_request(appliance):
    requests = [
        Say(text="x", person="bo", pin=BOS),
        ChangePin(new_pin=BOS, person="bo", pin=BOS),
        EnrolPerson(name="bo", role="viewer", new_pin=BOS, person="ana", pin=BOS),
    ]

    assert [r for r in requests if BOS in repr(r) or BOS in str(r)] == []


def test_a_daemon_that_fails_in_the_middle_of_a_signed_request_logs_no_pin(bench, caplog):
    bench.start()
    client = LocalClient(bench.home.root)
    client.request(EnrolPerson(name="ana", role="admin", new_pin=ANAS))
    bench.db.execute("create trigger full before insert on inbox begin select raise(abort, 'full'); end")

    reply = client.request(Say(text=LIGHT, person="ana", pin=ANAS))

    assert not reply.ok
    assert ANAS not in caplog.text
    assert ANAS not in reply.model_dump_json()


def test_the_python_client_signs(staffed):
    done = staffed.client.say(LIGHT, person="bo", pin=BOS)

    assert done.status == "done"
    assert origins(staffed)[-1][0] == "bo"
    with pytest.raises(ApplianceError, match="do not belong together"):
        staffed.client.undo(person="bo", pin=WRONG)
    assert staffed.client.undo(person="bo", pin=BOS).status == "done"


# ---- approvals

TWO_UNLOCK = """\
workflow: back
version: 1
title: Two unlock the back door
danger: dangerous
initial: shut
safe: shut
governs: [unlock_door, lock_door]
events:
  ask: {about: Somebody wants it open, from: [operator, approver, admin]}
  shut: {about: Everybody is through}
states:
  shut:
    about: The door is locked
    swap: true
    tools: [lock_door]
    go:
      - event: ask
        to: opened
        approve: {role: approver, people: 2, within: 2min}
  opened:
    about: The door may be unlocked
    tools: [unlock_door]
    calls: {max: 2, to: shut}
    deadline: {after: 1min, to: shut}
    go:
      - {event: shut, to: shut}
"""


@pytest.fixture
def door(bench):
    """A door that two approvers unlock: `door(request)` asks, `door.approve(person)` and `door.state` follow."""
    laws = bench.home.root / "laws"
    laws.mkdir(parents=True)
    (laws / "back.yaml").write_text(TWO_UNLOCK)
    bench.start()
    made = Door(bench)
    assert made(EnrolPerson(name="ana", role="admin", new_pin=ANAS)).ok
    for name, role in (("bo", "approver"), ("cy", "approver"), ("di", "operator")):
        assert made(EnrolPerson(name=name, role=role, new_pin=BOS, person="ana", pin=ANAS)).ok
    made(SayEvent(event="ask"))
    return made


class Door:
    """The law of the door, through the socket."""

    def __init__(self, bench):
        self.bench = bench
        self.client = LocalClient(bench.home.root)

    def __call__(self, request):
        return self.client.request(request, timeout_s=60)

    @property
    def law(self):
        return self(Status()).result["laws"]["workflows"][0]

    @property
    def state(self):
        return self.law["state"]

    def approve(self, person="", pin=""):
        pending = self.law["pending"]
        return self(GiveApproval(of=pending["approval_id"], person=person, pin=pin))


def test_two_enrolled_people_with_their_pins_approve_and_nothing_less_does(door):
    said = [
        door.approve(),
        door.approve("bo", WRONG),
        door.approve("di", BOS),
        door.approve("bo", BOS),
        door.approve("bo", BOS),
    ]
    before = door.state
    last = door.approve("cy", BOS)

    assert [reply.ok and reply.result["status"] for reply in said] == ["refused", False, "refused", "done", "refused"]
    assert (before, door.state) == ("shut", "opened")
    assert last.result["status"] == "done"


def test_an_admin_is_an_approver_too(door):
    door.approve("ana", ANAS)
    door.approve("bo", BOS)

    assert door.state == "opened"


def test_a_person_who_is_removed_approves_no_more_and_has_approved_nothing(door):
    door.approve("bo", BOS)
    assert door.law["pending"]["given"] == ["bo"]

    door(RemovePerson(name="bo", person="ana", pin=ANAS))
    again = door.approve("bo", BOS)

    assert not again.ok
    assert door.law["pending"]["given"] == []
    door.approve("cy", BOS)
    assert (door.state, door.law["pending"]["given"]) == ("shut", ["cy"])
    door.approve("ana", ANAS)
    assert door.state == "opened"


def test_an_approval_of_somebody_whose_role_fell_does_not_count_until_it_is_given_in_the_role_again(door):
    door.approve("bo", BOS)
    door(EnrolPerson(name="bo", role="operator", person="ana", pin=ANAS))
    door.approve("cy", BOS)
    assert door.state == "shut"

    door(EnrolPerson(name="bo", role="approver", person="ana", pin=ANAS))
    door.approve("bo", BOS)
    assert door.state == "opened"


def test_somebody_enrolled_again_with_a_capital_is_no_second_person(door):
    door.approve("bo", BOS)
    door(RemovePerson(name="bo", person="ana", pin=ANAS))
    door(EnrolPerson(name="Bo", role="approver", new_pin=BOS, person="ana", pin=ANAS))

    again = door.approve("Bo", BOS)

    assert again.result["status"] == "refused"
    assert "has approved already" in again.result["reason"]
    assert door.state == "shut"


# ---- the command line


@pytest.fixture
def run(bench):
    """Run the command line on the bench's home; a fault comes out as it is."""

    def runs(*words, **more):
        result = CliRunner().invoke(cli.group, ["--home", str(bench.home.root), *words], **more)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return runs


def test_people_are_enrolled_changed_listed_and_removed_from_the_command_line(bench, run):
    bench.start()

    assert "Nobody is enrolled" in run("people", "list").output
    run("people", "add", "ana", "--role", "admin", "--pin-stdin", input=f"{ANAS}\n")
    run("people", "add", "bo", "--role", "viewer", "--as", "ana", "--pin-stdin", input=f"{ANAS}\n{BOS}\n")
    run("people", "role", "bo", "operator", "--as", "ana", "--pin-stdin", input=f"{ANAS}\n")
    run("people", "pin", "bo", "--pin-stdin", input=f"{BOS}\ntr4in-71\n")
    run("people", "pin", "bo", "--as", "ana", "--pin-stdin", input=f"{ANAS}\ntr4in-72\n")
    said = run("say", LIGHT, "--as", "bo", "--pin-stdin", input="tr4in-72\n").output
    listed = json.loads(run("people", "list", "--json").output)["people"]
    run("people", "remove", "bo", "--as", "ana", "--pin-stdin", input=f"{ANAS}\n")

    assert "done" in said
    assert [(p["name"], p["role"]) for p in listed] == [("ana", "admin"), ("bo", "operator")]
    assert [facts["what"] for facts in told(bench)] == ["enrolled", "enrolled", "role", "pin", "pin", "removed"]
    with pytest.raises(ApplianceError, match="do not belong together"):
        run("undo", "--as", "bo", "--pin-stdin", input="tr4in-72\n")


def test_words_from_standard_input_come_after_the_pin(bench, run):
    bench.start()
    run("people", "add", "ana", "--role", "admin", "--pin-stdin", input=f"{ANAS}\n")

    result = run("say", "-", "--as", "ana", "--pin-stdin", input=f"{ANAS}\n{LIGHT}\n")

    assert "done" in result.output
    assert origins(bench)[-1][0] == "ana"


def test_no_command_takes_a_pin_as_an_argument():
    def options(command):
        for name in getattr(command, "list_commands", lambda _: [])(None):
            yield from options(command.get_command(None, name))
        yield from ((command.name, o) for p in command.params for o in p.opts if "pin" in o.split("-"))

    assert {option for _, option in options(cli.group)} == {"--pin-stdin"}


def test_a_pin_without_a_terminal_or_a_line_is_a_clear_error(bench):
    def runs(*words, **more):
        command = [sys.executable, "-m", "appliance", "--home", str(bench.home.root), *words]
        return subprocess.run(
            command, capture_output=True, text=True, start_new_session=True, timeout=60, check=False, **more
        )

    bench.start()
    without_terminal = runs("people", "add", "ana", "--role", "admin", input="")
    without_line = runs("people", "add", "ana", "--role", "admin", "--pin-stdin", input="")

    assert (without_terminal.returncode, without_line.returncode) == (2, 2)
    assert "--pin-stdin" in without_terminal.stderr
    assert "no line with a PIN" in without_line.stderr


def test_a_forgotten_admins_pin_is_recovered_by_whoever_may_stop_the_appliance(bench, run):
    bench.start()
    run("people", "add", "ana", "--role", "admin", "--pin-stdin", input=f"{ANAS}\n")

    bench.stop()
    with own(bench.home), pytest.raises(ApplianceError, match="stop it first"):
        run("people", "recover", "ana", "--pin-stdin", input="tr4in-71\n")
    run("people", "recover", "ana", "--pin-stdin", input="tr4in-71\n")
    bench.start()

    assert "done" in run("say", LIGHT, "--as", "ana", "--pin-stdin", input="tr4in-71\n").output
    recovered = told(bench)[-1]
    assert (recovered["what"], recovered["name"]) == ("recovered", "ana")
    assert recovered["by_peer"].startswith(f"uid:{os.getuid()} ")


def test_on_a_terminal_a_pin_is_asked_for_twice_and_never_shown(bench):
    bench.start()
    command = [sys.executable, "-m", "appliance", "--home", str(bench.home.root)]
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], [*command, "people", "add", "ana", "--role", "admin"])
    shown = b""
    for prompt in (b"New PIN for ana: ", b"The same again: "):
        shown = until(terminal, shown, prompt)
        os.write(terminal, f"{ANAS}\n".encode())
    shown = until(terminal, shown, b"is enrolled as admin.")
    _, status = os.waitpid(child, 0)
    os.close(terminal)

    assert os.waitstatus_to_exitcode(status) == 0
    assert ANAS.encode() not in shown
    assert told(bench)[-1]["what"] == "enrolled"


def until(terminal, shown, wanted, patience_s=60):
    end = time.monotonic() + patience_s
    while wanted not in shown and time.monotonic() < end:
        if select.select([terminal], [], [], 1)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # the child has ended
                break
    assert wanted in shown, shown
    return shown
