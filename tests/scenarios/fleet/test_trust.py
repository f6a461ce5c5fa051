"""What a controller believes over a real broker: signed checkpoints, changed keys, and nothing by keys of before."""

import sqlite3

from appliance.agent.announcing import Identity
from appliance.agent.uplink import UplinkSettings
from appliance.contracts.envelope import AskBody, Keys
from appliance.fleet.devices import devices
from appliance.storage import outbox
from appliance.transport.messages import Message
from appliance.trust import keys, notes, rotation
from appliance.trust.signature import sealed


def faults(fleet):
    return {row["what"] for row in fleet.home.db.rows("select what from faults")}


def known_key(fleet, device="lamp"):
    return fleet.home.device_keys()[device].key_id


def checked(fleet):
    return [row["size"] for row in fleet.home.db.rows("select size from checkpoints where checked = 1 order by size")]


def test_the_newest_checkpoint_stands_at_the_broker_as_any_tool_reads_it(fleet):
    device = fleet.device()
    device.note({"n": 1})
    device.checkpointer.sign()

    tap = fleet.tap("edge/v1/site/lamp/checkpoint")
    tap.until(lambda: tap.heard)

    note = notes.parse(tap.heard[-1].payload)
    said = notes.parse_checkpoint(note.text)
    assert notes.verified(note, [notes.Verifier(said.origin, rotation.current(device.home).public)])
    assert said.size == device.checkpointer._state.size


def test_a_busy_device_publishes_a_checkpoint_every_few_seconds_and_the_newest_in_the_end(fleet):
    device = fleet.device()
    tap = fleet.tap("edge/v1/site/lamp/checkpoint")
    for n in range(10):
        device.note({"n": n})
        device.checkpointer.sign()
    tap.pump(1.0)

    assert len(tap.heard) <= 2
    tap.until(lambda: tap.heard and tap.heard[-1].payload.decode() == device.newest_checkpoint())


def test_history_that_is_rewritten_behind_the_devices_back_is_a_fork_at_once(fleet):
    device = fleet.device()
    fleet.collect()
    for n in range(20):
        device.note({"n": n})
    device.checkpointer.sign()
    fleet.until(lambda: checked(fleet))
    upto = fleet.upto("audit")
    device.crash()

    # Somebody with a copy of the card goes on from an older copy of the ledger, with the right key.
    with sqlite3.connect(device.home / "appliance.db") as db:
        db.execute("delete from audit where seq > 15")
        db.execute("update streams set acked = 15")
        db.execute("delete from checkpoints")
    db.close()
    (device.home / "signed.jsonl").unlink()
    device.start()
    for n in range(upto):
        device.note({"another": n})
    device.checkpointer.sign()

    fleet.until(lambda: "forked" in faults(fleet))
    assert devices(fleet.home, fleet.now())[0].faults == ("forked",)


def test_a_controller_follows_a_new_key_and_commands_go_on(fleet):
    device = fleet.device()
    fleet.collect()
    before = known_key(fleet)

    new = device.rotate()
    fleet.until(lambda: known_key(fleet) == new.key_id, wait_s=20)
    sent = fleet.send("lamp", AskBody(text="turn on the light"))

    assert before != new.key_id
    assert sent.final().life == "executed"
    fleet.until(lambda: fleet.upto("audit") == outbox.mark(device.db, "audit").newest)
    device.checkpointer.sign()
    fleet.until(lambda: checked(fleet))
    assert faults(fleet) == set()
    assert [row["old_key"] for row in fleet.home.db.rows("select * from rotations")] != []


def test_a_controller_that_was_away_for_several_rotations_follows_them_all(fleet):
    device = fleet.device()
    fleet.collect()
    device.event("before")
    fleet.until(lambda: fleet.upto("evt") == 1)
    fleet.stop_collecting()

    for n in range(3):
        device.rotate()
        device.event(f"with key {n}")
    device.crash()
    device.start()
    device.event("after")
    fleet.collect()

    fleet.until(lambda: fleet.upto("evt") == 5, wait_s=20)
    fleet.until(lambda: known_key(fleet) == rotation.current(device.home).key_id)
    assert len(fleet.home.db.rows("select * from rotations")) == 3
    assert not faults(fleet) & {"bad_signature", "unknown_key", "key_refused", "forked"}


def test_a_statement_by_a_retired_key_is_refused(fleet, tmp_path):
    device = fleet.device()
    fleet.collect()
    stolen = keys.load(device.home / keys.DEVICE_KEY)
    new = device.rotate()
    fleet.until(lambda: known_key(fleet) == new.key_id, wait_s=20)

    thief = keys.load_or_make(tmp_path / "thief.key")
    made_up = rotation.stated(stolen, thief, device="lamp", n=2, at=fleet.now())
    said = Keys(site="site", device="lamp", rotations=(made_up,), at=fleet.now())
    tap = fleet.tap()
    tap.say(Message("edge/v1/site/lamp/keys", sealed(thief, said), retain=True))

    fleet.until(lambda: "key_refused" in faults(fleet))
    assert known_key(fleet) == new.key_id


def test_a_statement_by_a_key_that_nobody_knows_is_refused(fleet, tmp_path):
    fleet.device()
    fleet.collect()
    known = known_key(fleet)

    first, second = (keys.load_or_make(tmp_path / name) for name in ("a.key", "b.key"))
    made_up = rotation.stated(first, second, device="lamp", n=1, at=fleet.now())
    said = Keys(site="site", device="lamp", rotations=(made_up,), at=fleet.now())
    tap = fleet.tap()
    tap.say(Message("edge/v1/site/lamp/keys", sealed(second, said), retain=True))

    fleet.until(lambda: "key_refused" in faults(fleet))
    assert known_key(fleet) == known


def test_a_key_that_was_compromised_passes_no_trust_on(fleet):
    device = fleet.device()
    fleet.collect()
    known = known_key(fleet)

    device.rotate(compromised=True)

    fleet.until(lambda: "key_refused" in faults(fleet), wait_s=20)
    assert known_key(fleet) == known


def test_statements_are_said_again_with_the_state_for_controllers_that_missed_them(fleet):
    device = fleet.device(uplink=UplinkSettings(poll_s=0.02, stop_s=3.0, state_every_s=0.3))
    device.rotate()

    tap = fleet.tap("edge/v1/site/lamp/keys")
    tap.until(lambda: len(tap.heard) >= 3, wait_s=15)

    assert sum(message.retained for message in tap.heard) <= 1


def test_what_was_signed_with_a_new_key_before_its_statement_came_is_had_again(fleet):
    device = fleet.device()
    fleet.collect()
    fleet.until(lambda: devices(fleet.home, fleet.now())[0].presence == "online")
    new = rotation.prepare(device.home)
    stated = rotation.stated(rotation.current(device.home), new, device="lamp", n=1, at=fleet.now())
    # As after a queue that ran over: the statement is missing, the rest is there.
    device.uplink.rekey(Identity(new))
    device.event("with the new key")
    fleet.until(lambda: "unknown_key" in faults(fleet), wait_s=20)

    device.uplink.rekey(Identity(new, (stated,)))

    fleet.until(lambda: fleet.upto("evt") == 1, wait_s=20)
    assert faults(fleet) == set()
