"""A configuration is taken once for each version, only forward, and what is in force is said as it is."""

from datetime import UTC, datetime

import pytest

from appliance import settings
from appliance.agent.commands.configuring import Configuring
from appliance.agent.downlink_memory import Memory
from appliance.agent.refusals import Codes, Refused
from appliance.contracts.canonical import digest
from appliance.contracts.enrolment import BrokerSettings, EnrolledController, Enrolment
from appliance.contracts.envelope import Command, Desired, SetConfigBody
from appliance.settingsfile.remote import Wishes
from appliance.storage import database, floors
from appliance.trust import keys

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Clock:
    def now(self):
        return NOW


class Device:
    """A home that is configured, start after start."""

    def __init__(self, home):
        self.home = home
        home.mkdir()
        self.key = keys.load_or_make(home / "c.key")
        controller = EnrolledController(public_key=self.key.public.raw.hex(), name="boss")
        broker = BrokerSettings(host="h")
        self.enrolment = Enrolment(
            site="home", device="lamp", device_key="0" * 16, controllers=(controller,), broker=broker
        )
        self.restarts = self.said = 0
        floors.begin(home / "floors", "g")
        self.start()

    def start(self, *, new_database=False):
        name = f"{len(list(self.home.glob('*.db')))}.db" if new_database else "a.db"
        self.db = database.open_database(self.home / name).db
        self.memory = Memory(self.db, self.enrolment, Clock(), self.home / "floors")
        self.memory.open()
        self.configuring = Configuring(
            Wishes(self.home, settings.FILE_NAME, settings.load(self.home)),
            lambda: self.memory,
            site="home",
            device="lamp",
            clock=Clock(),
            restart=self._restart,
            changed=self._changed,
        )
        return self

    def _restart(self):
        self.restarts += 1

    def _changed(self):
        self.said += 1

    def stop(self):
        self.memory.keep()
        self.db.close()

    def wanted(self, version, config=None, **more):
        return Desired(
            audience="lamp", issuer=self.key.key_id, version=version, issued_at=NOW, config=config or {}, **more
        )

    def take(self, *args, **more):
        return self.configuring.take(self.wanted(*args, **more))

    def refusal(self, *args, **more):
        with pytest.raises(Refused) as caught:
            self.take(*args, **more)
        return caught.value.code


@pytest.fixture
def device(tmp_path):
    made = Device(tmp_path / "home")
    yield made
    made.stop()


BATCH = {"uplink": {"batch_n": 7}}


def test_a_version_is_taken_and_waits_for_the_next_start(device):
    done = device.take(3, BATCH)

    said = device.configuring.reported()
    assert (done.status, done.result["pending"]) == (200, ["uplink.batch_n"])
    assert (said.version, said.accepted, said.pending) == (0, 3, ("uplink.batch_n",))
    assert said.config["uplink"]["batch_n"] == 100
    assert said.hash == digest(said.config)

    device.stop()
    said = device.start().configuring.reported()

    assert (said.version, said.accepted, said.pending) == (3, 3, ())
    assert said.config["uplink"]["batch_n"] == 7


def test_what_changes_nothing_is_in_force_at_once(device):
    device.take(3, {})

    assert device.configuring.reported().version == 3


def test_the_same_version_again_is_as_once_and_another_content_is_refused(device):
    device.take(3, BATCH)

    assert device.configuring.knows(device.wanted(3, BATCH))
    assert device.take(3, BATCH).status == 200
    assert device.refusal(3, {}) is Codes.OTHER_VERSION
    assert device.configuring.reported().refused["code"] == "version_used"


def test_only_forward_also_with_a_new_database(device):
    device.take(3, BATCH)
    device.stop()
    device.start(new_database=True)

    assert device.refusal(2, {}) is Codes.OLD_VERSION
    assert device.take(4, {}).status == 200


def test_what_is_the_owners_is_refused_whole(device):
    assert device.refusal(3, {**BATCH, "privacy": {"share": "words"}}) is Codes.OWNER_ONLY
    assert device.refusal(3, {"uplink": {"batch_n": 0}}) is Codes.BAD_CONFIG
    assert device.memory.desired == 0
    assert device.configuring.reported().refused["version"] == 3


def test_a_conflict_with_the_owners_file_is_reported(device):
    (device.home / "appliance.toml").write_text("[uplink]\nbatch_n = 9\n")
    device.stop()
    device.start()

    device.take(3, BATCH)

    (conflict,) = device.configuring.reported().conflicts
    assert conflict == {"key": "uplink.batch_n", "desired": 7, "local": 9}


def test_it_begins_again_only_where_that_is_asked_and_needed(device):
    device.take(1, BATCH)
    assert device.restarts == 0
    device.take(2, {"uplink": {"batch_n": 8}}, restart=True)
    assert device.restarts == 1
    device.take(2, {"uplink": {"batch_n": 8}}, restart=True)
    assert device.restarts == 1
    device.take(3, {}, restart=True)
    assert device.restarts == 1


def test_revoked_keys_only_become_more(device):
    device.take(1, {}, revoked=("a" * 16,))
    device.take(2, {}, revoked=("b" * 16,))

    assert device.configuring.reported().revoked == ("a" * 16, "b" * 16)


def test_a_command_says_the_same_as_what_stands_at_the_broker(device):
    command = Command(
        audience="lamp",
        issuer=device.key.key_id,
        correlation="0" * 32,
        counter=1,
        issued_at=NOW,
        expires_at=NOW,
        response_topic="t",
        body=SetConfigBody(version=3, config=BATCH),
    )

    assert device.configuring.command(command).code == "configured"
    assert device.configuring.knows(device.wanted(3, BATCH))
    assert device.said == 1


def test_a_file_of_wishes_that_was_lost_is_taken_again_at_its_version(device):
    device.take(3, BATCH)
    (device.home / "desired.json").unlink()

    assert not device.configuring.knows(device.wanted(3, BATCH))
    assert device.take(3, BATCH).status == 200
    assert (device.home / "desired.json").exists()
