"""What can be wrong between a device and its broker, as a table; and one device that lives through each."""

import random
import secrets
from collections import Counter

from appliance.storage import outbox

FLOOD_N = 200

QUOTA = 0x97
"""MQTT 5: quota exceeded."""


def _set(**faults):
    def begin(wire, _device):
        for name, value in faults.items():
            setattr(wire.faults, name, value)

    return begin


def _healthy(wire, _device):
    """Take every fault away."""
    wire.faults.__init__()


def _nothing(_wire, _device):
    """Mend nothing: it happened once."""


def _skip_minutes(wire, device):
    """Mend it, and let the pause that the broker asked for go by."""
    _healthy(wire, device)
    device.clock.skip(310.0)


def _refused(device):
    return lambda: (device.uplink.facts()["refused"] or {}).get("code")


SILENT = ("nothing heard", "confirmed nothing")
"""Whichever is noticed first: both take one and a half keepalives; the client library notices an unanswered ping."""

BROKEN = ("broke",)

FAULTS = {
    # what begins it, what the wire must have done at least so often, what the device must notice, what ends it
    "black hole": (_set(black_hole=True), {("swallowed", "up"): 500}, SILENT + BROKEN, _healthy),
    "half-open, nothing comes": (_set(deaf="down"), {("swallowed", "down"): 4}, SILENT + BROKEN, _healthy),
    "half-open, nothing arrives": (_set(deaf="up"), {("swallowed", "up"): 500}, SILENT + BROKEN, _healthy),
    "reset": (lambda wire, _device: wire.reset(), {"ended": 1}, BROKEN, _nothing),
    "hung up": (lambda wire, _device: wire.hang_up(), {"ended": 1}, BROKEN, _nothing),
    "a byte at a time": (_set(chunk_n=1), {"in pieces": 4}, (), _healthy),
    "slow": (_set(delay_s=0.02), {"slow": 8}, (), _healthy),
    "confirmations late": (_set(ack_delay_s=0.1), {"late": 3}, (), _healthy),
    "confirmations lost": (_set(drop_acks_n=25), {"dropped": 2}, SILENT[1:], _healthy),
    "acknowledgements of the controller lost": (_set(drop_word="/ack"), {"lost": 2}, (), _healthy),
    "quota used up": (_set(puback_code=QUOTA), {"not taken": 1}, QUOTA, _skip_minutes),
    "quota used up at the door": (
        lambda wire, device: (_set(refuse_code=QUOTA)(wire, device), wire.reset()),
        {"refused": 1},
        QUOTA,
        _skip_minutes,
    ),
    "taken over": (lambda wire, _device: wire.say(bytes([0xE0, 2, 0x8E, 0])), {"said": 1}, 0x8E, _nothing),
    "nobody there": (
        lambda wire, device: (_set(refuse_connections=True)(wire, device), wire.reset()),
        {"refused at the door": 1},
        BROKEN,
        _healthy,
    ),
}


def live_through(fleet, wire, device, name, *, events_n=FLOOD_N, wait_s=60.0):
    """Report before, during and after the fault called *name*; return the ids that were reported."""
    begin, felt, noticed, end = FAULTS[name]
    told = [f"{name} {n} {secrets.token_hex(4)}" for n in range(events_n)]
    chance = random.Random(name)
    third = events_n // 3
    for event in told[:third]:
        device.event(event)
    fleet.until(lambda: device.uplink.facts()["connected"])
    losses = _listen(device)
    before = Counter(wire.seen)
    begin(wire, device)
    for event in told[third : 2 * third]:
        device.event(event)
        if chance.random() < 0.1:
            fleet.until(lambda: True)
    # A fault that nothing ran into would show nothing: it stands until the wire has done it, and the device noticed.
    fleet.until(lambda: all(wire.seen[what] - before[what] >= n for what, n in felt.items()), wait_s=wait_s)
    if isinstance(noticed, int):
        fleet.until(lambda: _refused(device)() == noticed, wait_s=wait_s)
    elif noticed:
        fleet.until(lambda: any(words in loss for words in noticed for loss in losses), wait_s=wait_s)
    end(wire, device)
    for event in told[2 * third :]:
        device.event(event)
    return told


def _listen(device):
    """Hear of every loss of the connection; the status shows the last alone."""
    losses, link = [], device.uplink._link
    said = link._on_lost

    def lost(reason):
        losses.append(reason)
        said(reason)

    link._on_lost = lost
    return losses


def settled(fleet, device, wait_s=60.0):
    """Wait until the controller has everything, and the device knows it; lets a pause that a quota asks for go by."""
    newest = outbox.mark(device.db, "evt").newest
    for attempts_left in (2, 1, 0):
        try:
            fleet.until(lambda: fleet.upto("evt") == newest, wait_s=wait_s / 3)
            fleet.until(lambda: outbox.mark(device.db, "evt").acked == newest, wait_s=wait_s / 3)
            return
        except AssertionError:
            if not attempts_left:
                raise
            if _refused(device)() == QUOTA:
                # A refusal that was on its way when the minutes went by: the device waits once more, as it should.
                device.clock.skip(310.0)


def complaints(fleet):
    """Whatever the controller noted as missing or wrong."""
    return [dict(row) for table in ("gaps", "faults") for row in fleet.home.db.rows(f"select * from {table}")]
