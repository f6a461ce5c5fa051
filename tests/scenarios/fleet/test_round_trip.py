"""A command and its report, once each, over a real broker and real database files."""

from appliance.contracts.envelope import AskBody, CallBody, PingBody, StopBody
from appliance.contracts.request import Ask, Call
from appliance.fleet.devices import devices
from appliance.storage import outbox


def test_words_reach_the_device_and_the_outcome_comes_back(fleet):
    device = fleet.device()
    fleet.collect()

    sent = fleet.send("lamp", AskBody(text="turn on the light"))

    assert sent.final().life == "executed"
    order = ["received", "accepted", "executed"]  # an answer that is overtaken by a newer one is not sent
    assert [answer.life for answer in sent.answers] == [w for w in order if w in {a.life for a in sent.answers}]
    assert device.performed == [Ask(text="turn on the light")]


def test_a_call_reaches_the_device_as_a_call(fleet):
    device = fleet.device()

    sent = fleet.send("lamp", CallBody(tool="turn_on", arguments={"level": 30}))

    assert sent.final().status == 200
    assert isinstance(device.performed[0], Call)
    assert device.performed[0].call.literals == {"level": 30}


def test_a_ping_is_answered_without_an_act(fleet):
    device = fleet.device()

    assert fleet.send("lamp", PingBody()).final().code == "pong"
    assert device.performed == []


def test_an_emergency_stop_does_not_queue(fleet):
    device = fleet.device(working=False)

    sent = fleet.send("lamp", StopBody(reason="smoke"))

    assert sent.final().code == "stopped"
    assert device.stops == [("smoke", fleet.home.key.key_id)]


def test_every_device_of_the_site_answers_a_ping_to_all(fleet):
    for name in ("lamp", "fan"):
        fleet.device(name)

    sent = fleet.send("all", PingBody(), wait_s=15.0)

    assert {answer.device for answer in sent.answers} == {"lamp", "fan"}


def test_records_arrive_once_and_in_order_and_are_deleted_when_acknowledged(fleet):
    device = fleet.device()
    fleet.collect()
    for n in range(250):
        device.event(f"e{n}")

    fleet.until(lambda: fleet.upto("evt") == 250)
    fleet.until(lambda: outbox.mark(device.db, "evt").acked == 250)

    assert [row["id"] for row in fleet.records("evt")] == [f"e{n}" for n in range(250)]
    assert outbox.waiting(device.db, "evt", limit=10) == []


def test_the_ledger_arrives_and_gives_the_root_that_the_device_signed(fleet):
    device = fleet.device()
    fleet.collect()
    for n in range(30):
        device.note({"n": n})
    device.checkpointer.sign()

    fleet.until(lambda: any(row["checked"] == 1 for row in fleet.home.db.rows("select * from checkpoints")))

    assert fleet.home.db.rows("select * from faults") == []


def test_nothing_is_deleted_while_no_controller_has_it(fleet):
    device = fleet.device()
    for n in range(20):
        device.event(f"e{n}")

    fleet.until(lambda: outbox.mark(device.db, "evt").sent == 20)

    assert outbox.mark(device.db, "evt").acked == 0
    assert len(outbox.waiting(device.db, "evt", limit=100)) == 20


def test_a_collector_that_comes_late_gets_everything(fleet):
    device = fleet.device()
    for n in range(20):
        device.event(f"e{n}")
    fleet.until(lambda: outbox.mark(device.db, "evt").sent == 20)

    fleet.collect()

    fleet.until(lambda: fleet.upto("evt") == 20, wait_s=20)


def test_a_device_that_restarts_goes_on_where_it_was(fleet):
    device = fleet.device()
    fleet.collect()
    device.event("before")
    fleet.until(lambda: fleet.upto("evt") == 1)
    device.crash()
    device.start()
    device.event("after")

    fleet.until(lambda: fleet.upto("evt") == 2)

    assert [row["id"] for row in fleet.records("evt")] == ["before", "after"]


def test_the_same_command_twice_acts_once_and_gets_the_same_answer_also_after_a_restart(fleet):
    device = fleet.device()
    key_id = fleet.home.key.key_id
    tap = fleet.tap(f"edge/v1/site/lamp/rsp/{key_id}")
    command = fleet.command(body=AskBody(text="turn on the light"))
    message = fleet.message(command)
    tap.say(message)
    tap.until(lambda: any(b'"executed"' in m.payload for m in tap.heard))
    device.crash()
    device.start()
    tap.heard.clear()

    tap.say(message)
    tap.until(lambda: any(b'"executed"' in m.payload for m in tap.heard))

    assert len(device.performed) == 1
    assert device.refused == []


def test_the_controller_sees_who_is_there(fleet):
    device = fleet.device()
    fleet.collect()
    fleet.until(lambda: devices(fleet.home, fleet.now())[0].presence == "online")

    device.word = "locked"
    fleet.until(lambda: devices(fleet.home, fleet.now())[0].state == "locked")
    device.stop()
    device.db = None

    fleet.until(lambda: devices(fleet.home, fleet.now())[0].state == "disconnected")
