"""A ledger with a story in it, without a daemon: what was asked one night, with the forms that the software writes."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.contracts import decision
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.decision import Asker, CallFacts, CallResult, Latency, Rule, RuleVerdict
from appliance.contracts.manifest import Thresholds
from appliance.contracts.request import OriginKind
from appliance.contracts.selection import Selection
from appliance.contracts.toolcall import RefusalCode
from appliance.ledger import export
from appliance.storage import audit, database, tree
from appliance.trust import notes
from appliance.trust.keys import SigningKey
from appliance.trust.notes import Checkpoint, Verifier

BEGAN = datetime(2026, 11, 22, 3, 10, tzinfo=UTC)
HOSTILE = '=1+1 <script>alert(1)</script> \u202eevil\u2066 \x1b[31m & "quotes" \''
WORDS = "unlock the front door"


class Night:
    """The ledger of one night, and the key that vouches for it."""

    def __init__(self, path, epoch="0123456789abcdef"):
        self.db = database.open_database(path, epoch=epoch).db
        self.key = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
        self.origin = f"edge-agent-appliance/barn/{epoch}"
        self.verifier = Verifier(self.origin, self.key.public)
        self._at = BEGAN

    def write(self, kind, request_id=None, facts=None, personal=None, clock="trusted"):
        """Append one record, a minute after the one before."""
        self._at += timedelta(minutes=1)
        moment = Moment(at=self._at, monotonic_s=(self._at - BEGAN).total_seconds(), boot=3, clock=clock)
        body = facts.to_json() if isinstance(facts, decision.Facts) else facts or {}
        record = AuditRecord(kind=kind, moment=moment, request_id=request_id, facts=body, personal=personal or {})
        return audit.append(self.db, record)

    def checkpoint(self, size=None):
        """Return the signed note over the first *size* records, all when absent."""
        with self.db.reading() as connection:
            size = audit.size(connection) if size is None else size
            text = str(Checkpoint(self.origin, size, tree.root(connection, size)))
        return str(notes.sign(text, self.origin, self.key)).encode()

    def export(self, *selections, checkpoint=None, **occasion):
        """Export what *selections* mean, everything when there are none."""
        with self.db.reading() as connection:
            return export.export(
                connection,
                selections or [Selection(after=0)],
                checkpoint or self.checkpoint(),
                self.key,
                export.Occasion(at=BEGAN, clock_trusted=True, software="0.1.0", **occasion),
            )


def call(n, request_id, tool="unlock_door", verdict="allow", rule="default", **arguments):
    return CallFacts(
        tool=tool,
        call_id=f"{request_id}/{n}",
        arguments=arguments or {"door": "front door"},
        spans={"door": ((11, 21),)} if not arguments else {},
        confidence=0.91,
        verdict=RuleVerdict(verdict=verdict, rule=rule),
        rules={
            "risk": Rule(said="confirm" if verdict == "confirm" else "pass", values={"risk": "high"}),
            "confidence": Rule(said="pass", values={"act_at": 0.9, "confidence": 0.91, "confirmed": False}),
        },
    )


def judged(form, comes_to, *calls, **more):
    return form(
        operation="invoke_agent",
        model="pointer-small/0.1.0",
        origin=Asker(kind=OriginKind.OPERATOR, peer="uid:1000 pid:7"),
        asked_as="ask",
        received_at=BEGAN,
        context=decision.Context(now=BEGAN),
        configured="c" * 64,
        state="deciding",
        guards=decision.Guards(locked=False, recordable=True, confirmed=False, permitted=True),
        calls=calls,
        comes_to=comes_to,
        latency=Latency(reading_ms=20.0, total_ms=25.0),
        versions=decision.VersionFacts(software="0.1.0", bundle_sha256="b" * 64, runtime="litert"),
        **more,
    )


def tell(night):
    """Write the night: a door that was confirmed and opened, a stop, a hostile request, a power cut, two acts."""
    configuration = {
        "gen_ai.agent.id": "barn", "software": "0.1.0", "machine": "aarch64", "zone": "UTC", "policy": {},
        "thresholds": Thresholds(act=0.9, confirm=0.3, abstain=0.6).model_dump(), "tools": [],
    }  # fmt: skip
    night.write("epoch", facts={"device": "barn", "epoch": "0123456789abcdef", "origin": night.origin})
    night.write("boot", facts={"simulated": False})
    night.write("configured", facts={"digest": "c" * 64, "configuration": configuration})
    proposal = decision.ProposalFacts(
        abstain=0.02, candidates=(("unlock_door", 0.9), ("lock_door", 0.2)), input_tokens=9
    )
    waits = judged(decision.Parked, "confirm", call(0, "r1", verdict="confirm", rule="risk"), proposal=proposal,
                   status="waiting", code="risk", expires_at=BEGAN + timedelta(hours=1))  # fmt: skip
    night.write("parked", "r1", waits, {"text": WORDS, "reason": "Unlock door is risky. Do it?"})
    asker = Asker(kind=OriginKind.OPERATOR, peer="uid:1001 pid:9")
    night.write("note", "y1", decision.Answered(of="r1", origin=asker, asked_as="confirm", received_at=BEGAN))
    said_yes = decision.Approval(request_id="y1", note=5, origin=asker, at=BEGAN, asked_as="confirm")
    night.write("decided", "r1", judged(decision.Decided, "act", call(0, "r1"), approval=said_yes, continues=4))
    done = CallResult(tool="unlock_door", call_id="r1/0", state="done", postcondition="held", latency_ms=2.0)
    settled = decision.Settled(decided=6, status="done", calls=(done,), latency=Latency(total_ms=31.0))
    night.write("settled", "r1", settled, {"calls": [{"message": "Front door: unlocked."}]})
    night.write("emergency", facts={"latched": True, "peer": "uid:1000"}, personal={"reason": "smoke in the barn"})
    refusal = decision.RefusalFacts(code=RefusalCode.UNSURE)
    refused = judged(decision.Refused, "refuse", refusal=refusal, status="refused", code="unsure")
    night.write("settled", "r2", refused, {"text": HOSTILE, "reason": "Not sure enough."})
    night.write("emergency", facts={"latched": False, "peer": "uid:1000"})
    two = (call(0, "r3", "add_note", text="x"), call(1, "r3", "set_timer", minutes=5))
    night.write(
        "decided", "r3", judged(decision.Decided, "act", *two), {"text": "note x and a timer"}, clock="untrusted"
    )
    first = CallResult(tool="add_note", call_id="r3/0", state="done", postcondition="held")
    night.write(
        "step", "r3", decision.Step(decided=11, next_call=1, calls=(first,)), {"calls": [{"message": "Noted."}]}
    )
    doubt = decision.InDoubt(decided=11, doubtful_call=1, status="indeterminate", code="power-cut")
    night.write("indeterminate", "r3", doubt, {"reason": "The power went."})


@pytest.fixture
def night(tmp_path):
    """The ledger of one night."""
    made = Night(tmp_path / "night.db")
    tell(made)
    yield made
    made.db.close()


def b64(data):
    return base64.b64encode(data).decode()
