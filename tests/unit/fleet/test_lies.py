"""Whatever an enrolled device says, signed with its own key: the service goes on, and everybody else is served."""

import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from appliance import cli
from appliance.contracts.canonical import canonical
from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import MAX_COUNTER, Signed
from appliance.errors import WireError
from appliance.fleet import desired, enrolling, rollout_rings, rollout_rows
from appliance.fleet.acting import Acting
from appliance.fleet.collector import Collector
from appliance.fleet.home import make
from appliance.fleet.rollout import Rollout
from appliance.transport.messages import Incoming
from appliance.trust import keys

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AT = NOW.isoformat()
WHAT = {
    "words": {"commands": [{"kind": "ping"}]},
    "wishes": {"configuration": {"uplink": {"batch_n": 50}}},
}


class Site:
    """A controller with a device that lies and one that does not, both in two rollouts that are under way."""

    def __init__(self, folder):
        self.home = make(folder / "controller", site="site")
        self.home.use_broker(enrolling.broker_at("127.0.0.1:1"))
        for name in ("evil", "lamp"):
            enrolling.enrol_here(self.home, folder / name, device=name, role=Role.OPERATOR, replace=False, now=NOW)
        self.key = keys.load(folder / "evil" / keys.DEVICE_KEY)
        self.now, self.clock_s, self.n = NOW, 0.0, 0
        chance = random.Random(1)
        self.collector = Collector(self.home, now=lambda: self.now, chance=chance)
        self.said = []
        self.acting = Acting(
            self.home, now=lambda: self.now, chance=chance, monotonic=lambda: self.clock_s, on_said=self.said.append
        )

    def hear(self, channel, payload):
        """Let evil say *payload*, as it is."""
        body = {"key": self.key.key_id, "payload": payload, "signature": ""}
        try:
            body["signature"] = self.key.sign(canonical(payload)).hex()
            message = canonical(Signed.model_validate(body).model_dump(mode="json"))
        except (ValueError, RecursionError, WireError):
            return  # nobody can sign it, so nobody can send it
        topic = f"edge/v1/site/evil/{channel}"
        self.collector.take(
            [Incoming(topic, message, retained=False, correlation=None, response_topic=None, expiry_s=None)]
        )

    def begin(self):
        self.n += 1
        names = [f"{what}-{self.n}" for what in WHAT]
        for name, what in zip(names, WHAT.values(), strict=True):
            file = {"rollout": name, "what": what, "rings": [{"name": "all", "percent": 100}], "answer_within": "1m"}
            rollout = Rollout.model_validate_json(json.dumps(file))
            rollout_rows.begin(self.home, rollout, rollout_rings.rings(self.home, rollout, NOW), now=NOW, who="t")
        return names

    def look(self):
        """Let the service look once at everything."""
        self.clock_s += 100.0
        self.now += timedelta(seconds=100)
        self.acting.step()

    def members(self, rollout):
        rows = self.home.db.rows("select device, state from rollout_members where rollout = ?", [rollout])
        return {row["device"]: row["state"] for row in rows}

    def faults(self):
        return {row["what"] for row in self.home.db.rows("select what from faults where device = 'evil'")}


@pytest.fixture
def site(tmp_path):
    one = Site(tmp_path)
    yield one
    one.acting.close()
    one.collector.close()
    one.home.close()


def reported(**more):
    return {
        "record": "reported", "form": 1, "site": "site", "device": "evil", "version": 0, "accepted": 0, "config": {},
        "hash": "0" * 64, "pending": [], "conflicts": [], "refused": {}, "revoked": [], "at": AT, **more,
    }  # fmt: skip


def state(**more):
    return {
        "record": "state", "version": 1, "site": "site", "device": "evil", "state": "ready", "boot": 1, "session": 0,
        "nonce": "n", "time": "trusted", "epoch": "e", "counters": {}, "at": AT, **more,
    }  # fmt: skip


def desc(**more):
    return {
        "record": "desc", "version": 1, "site": "site", "device": "evil", "software": "0.1", "schema_version": 1,
        "epoch": "e", "bundle": {}, "tools": [], "at": AT, **more,
    }  # fmt: skip


def batch(stream, *items, after=0):
    return {
        "record": "batch", "version": 1, "device": "evil", "epoch": "e", "stream": stream, "after": after,
        "floor": after, "before": None,
        "items": [{"seq": after + n, "id": "i", "at": AT, **item} for n, item in enumerate(items, 1)],
    }  # fmt: skip


def test_a_configuration_that_nobody_can_have_wanted_is_not_believed_and_stops_no_wish(site):
    site.hear("reported", reported(version=MAX_COUNTER, accepted=MAX_COUNTER))
    site.hear("reported", reported(refused={"version": MAX_COUNTER}))
    _, wishes = site.begin()

    site.look()

    assert site.home.db.rows("select * from reported") == []
    assert site.faults() == {"malformed"}
    assert site.members(wishes) == {"evil": "asked", "lamp": "asked"}
    assert desired.want(site.home, "evil", {}, now=NOW, because="test") == 2


def test_another_controller_may_have_wanted_more_and_the_bound_moves_with_what_is_wanted(site):
    site.hear("reported", reported(version=desired.MOST_AHEAD_N, accepted=desired.MOST_AHEAD_N))

    version = desired.want(site.home, "evil", {}, now=NOW, because="test")

    assert version == desired.MOST_AHEAD_N + 1
    assert site.faults() == set()


def test_what_was_kept_before_it_was_bounded_gives_no_number(site):
    body = json.dumps(reported(version=MAX_COUNTER, accepted=MAX_COUNTER))
    site.home.db.add(
        "reported", ("device", "version", "accepted", "refused", "body", "received_at"),
        [("evil", MAX_COUNTER, MAX_COUNTER, 0, body, AT)],
    )  # fmt: skip

    assert desired.want(site.home, "evil", {}, now=NOW, because="test") == 1
    site.home.db.execute("update reported set body = '[]'")
    assert [one.heard_at for one in desired.drift(site.home, ["evil"])] == [""]


def test_a_refusal_with_any_text_ends_that_device_and_no_other(site):
    _, wishes = site.begin()
    site.look()
    site.hear("reported", reported(refused={"version": 1, "code": "a\0b" * 99, "text": "a\0b" * 999}))

    site.look()

    assert site.members(wishes)["evil"] == "refused"
    row = site.home.db.row("select code, text from rollout_members where state = 'refused'")
    assert (len(row["code"]), len(row["text"]), "\0" in row["text"]) == (64, 300, False)


def test_a_device_that_fits_into_no_command_is_named_and_the_others_are_told(site):
    site.hear("state", state(time="untrusted", nonce="n" * 1000))
    words, _ = site.begin()

    site.look()

    assert site.members(words) == {"evil": "unreached", "lamp": "asked"}
    row = site.home.db.row("select code from rollout_members where state = 'unreached'")
    assert row["code"] == "cannot_be_told"


def test_a_configuration_for_all_goes_on_past_one_that_cannot_be_set_and_says_which(site):
    desired.want(site.home, "evil", {}, now=NOW, because="test")
    site.home.db.execute("update desired set config = '{' where device = 'evil'")

    said = CliRunner().invoke(
        cli.group, ["fleet", "config", "set", "--fleet-home", str(site.home.path), "all", "uplink.batch_n=50"]
    )

    assert said.exit_code == 11
    assert "evil  not set: " in said.output
    assert "lamp  version 1" in said.output
    assert "1 of 2 devices were not set." in said.output
    assert desired.wanted(site.home, "lamp") == {"uplink": {"batch_n": 50}}


def test_a_record_with_a_nul_ends_nothing(site):
    said = {"status": "done", "software": "a\0b", "bundle_sha256": "x"}
    site.hear("evt/turn", batch("evt", {"kind": "turn", "body": said}))

    site.look()

    assert [row["software"] for row in site.home.db.rows("select software from tallies")] == ["a b"]


def test_a_version_far_above_is_refused_with_both_numbers(site):
    far = reported(version=MAX_COUNTER, accepted=MAX_COUNTER)
    with pytest.raises(WireError, match=r"reports version 9007199254740991 .*; 0 is the newest"):
        desired.store_reported(site.home, desired.Reported.model_validate_json(json.dumps(far)), NOW)


def anything(texts, numbers):
    """JSON of any form, of such texts and numbers."""
    return st.recursive(
        st.none() | st.booleans() | numbers | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    )


def some(**fields):
    """An object with any of *fields*."""
    return st.fixed_dictionaries({}, optional=fields)


_TEXT = st.text(max_size=8) | st.sampled_from(["\0", "a\0b", "x" * 2000, "1970-01-01", AT, "done", "failed"])
_NUMBER = st.integers(-5, 5) | st.sampled_from([MAX_COUNTER, MAX_COUNTER - 1, -MAX_COUNTER, 0.1, 1e300])
_JSON = anything(_TEXT, _NUMBER)
_ANY = st.dictionaries(_TEXT, _JSON, max_size=4)
_MOMENT = st.sampled_from([AT, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1970-01-01T00:00:00", "soon"])
_KIND = st.sampled_from(["turn", "decided", "settled", "bundle", "salvaged", "emergency", "a\0b", ""])

# A record of a ledger is a text that holds JSON: in there stands what no message may hold.
_WILD = anything(_TEXT | st.just("\ud800"), _NUMBER | st.sampled_from([2**63, 10**400, float("inf")]))
_FACTS = some(
    comes_to=_WILD,
    versions=_WILD | some(software=_WILD, bundle_sha256=_WILD),
    approval=_WILD | some(edited=_WILD),
    undoes=_WILD,
    event=_WILD | st.just("sent back"),
    latched=_WILD,
)

_STATE = some(
    state=st.sampled_from(["ready", "updating", "degraded", "locked", "lost", "disconnected"]),
    boot=_NUMBER,
    session=_NUMBER,
    nonce=_TEXT,
    time=st.sampled_from(["trusted", "untrusted"]),
    epoch=_TEXT,
    counters=st.dictionaries(st.sampled_from(["0" * 16, "ours"]), _NUMBER),
    at=_MOMENT,
)
_DESC = some(software=_TEXT, bundle=_ANY, tools=st.lists(_ANY, max_size=3))
_REPORTED = some(
    version=_NUMBER,
    accepted=_NUMBER,
    config=_ANY | some(uplink=some(state_every_s=_JSON)),
    conflicts=st.lists(_ANY | some(key=_JSON, local=_JSON), max_size=2),
    refused=_ANY | some(version=_JSON, code=_JSON, text=_JSON),
    at=_MOMENT,
)
_EVENT = st.fixed_dictionaries(
    {"kind": _KIND, "at": _MOMENT, "body": _ANY | some(status=_TEXT, software=_JSON, bundle_sha256=_JSON)}
)
_RECORD = st.tuples(_KIND, _FACTS | _WILD)


def ledger(records):
    """A batch of a ledger with such kinds and facts."""
    texts = [json.dumps({"seq": n, "kind": k, "facts": facts}) for n, (k, facts) in enumerate(records, 1)]
    return batch("audit", *({"kind": k, "body": {"body": text}} for (k, _), text in zip(records, texts, strict=True)))


_SAID = st.one_of(
    _STATE.map(lambda more: ("state", state(**more))),
    _DESC.map(lambda more: ("desc", desc(**more))),
    _REPORTED.map(lambda more: ("reported", reported(**more))),
    st.lists(_EVENT, min_size=1, max_size=3).map(lambda items: ("evt/turn", batch("evt", *items))),
    st.lists(_RECORD, min_size=1, max_size=3).map(lambda records: ("audit", ledger(records))),
)


@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(before=st.lists(_SAID, max_size=4), after=st.lists(_SAID, min_size=1, max_size=4), epoch=st.uuids())
def test_nothing_that_a_device_can_say_ends_the_service_or_keeps_the_others_from_being_served(
    site, before, after, epoch
):
    def say(said):
        for channel, payload in said:
            # A ledger of its own for each time, so that what it says is taken and not only found to be old.
            site.hear(channel, {**payload, "epoch": epoch.hex} if "items" in payload else payload)

    say(before)
    names = site.begin()
    site.look()

    assert [site.members(name)["lamp"] for name in names] == ["asked", "asked"]
    say(after)
    site.look()
    site.look()
    desired.drift(site.home, ["evil", "lamp"])
    assert not [text for text in site.said if text.startswith("nothing is decided")]
    site.home.db.execute("delete from rollouts")
    site.home.db.execute("delete from rollout_members")
