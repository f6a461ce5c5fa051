"""An old key passes its trust to a new one, and nothing else does."""

import itertools
import json
import os
from datetime import UTC, datetime

import pytest

from appliance.contracts.canonical import canonical
from appliance.contracts.enrolment import BrokerSettings, DeviceIdentity, Role
from appliance.errors import TrustError
from appliance.trust import enrolment, keys, rotation
from appliance.trust.keys import PublicKey

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def chain(tmp_path):
    """Four keys, each vouched for by the one before, and the statements."""
    made = [keys.load_or_make(tmp_path / f"{n}.key") for n in range(4)]
    stated = [
        rotation.stated(old, new, device="lamp", n=n, at=NOW)
        for n, (old, new) in enumerate(itertools.pairwise(made), start=1)
    ]
    return made, stated


def altered(rotated, **changes):
    return rotated.model_copy(update={"statement": rotated.statement.model_copy(update=changes)})


def rotate(home):
    old, new = rotation.current(home), rotation.prepare(home)
    stated = rotation.stated(old, new, device="lamp", n=len(rotation.kept(home)) + 1, at=NOW)
    rotation.keep(home, stated)
    rotation.install(home)
    return old, new


@pytest.mark.parametrize("known", range(4))
def test_any_key_leads_to_the_present_one(chain, known):
    made, stated = chain

    assert rotation.followed(made[known].public, stated, device="lamp").key_id == made[3].key_id


def test_a_statement_about_another_device_counts_for_nothing(chain):
    made, stated = chain

    assert rotation.followed(made[0].public, stated, device="fan").key_id == made[0].key_id


def test_a_key_that_no_statement_names_leads_nowhere(chain, tmp_path):
    _, stated = chain
    stranger = keys.load_or_make(tmp_path / "stranger.key")

    assert rotation.followed(stranger.public, stated).key_id == stranger.key_id


@pytest.mark.parametrize("which", ["old_signature", "new_signature"])
def test_a_statement_without_both_signatures_is_refused(chain, tmp_path, which):
    made, stated = chain
    stranger = keys.load_or_make(tmp_path / "stranger.key")
    forged = stranger.sign(canonical(stated[0].statement.model_dump(mode="json"))).hex()

    with pytest.raises(TrustError, match="not signed by"):
        rotation.followed(made[0].public, [stated[0].model_copy(update={which: forged})])


@pytest.mark.parametrize("changes", [{"n": 9}, {"at": datetime(2027, 1, 1, tzinfo=UTC)}, {"device": "fan"}], ids=str)
def test_a_statement_that_was_altered_is_refused(chain, changes):
    made, stated = chain

    with pytest.raises(TrustError, match="not signed by"):
        rotation.followed(made[0].public, [altered(stated[0], **changes)])


def test_a_new_key_that_was_put_in_is_refused(chain, tmp_path):
    made, stated = chain
    thief = keys.load_or_make(tmp_path / "thief.key")

    with pytest.raises(TrustError):
        rotation.followed(made[0].public, [altered(stated[0], new_key=thief.public.raw.hex())])


def test_a_compromised_key_vouches_for_nothing(chain, tmp_path):
    made, _ = chain
    said = rotation.stated(made[0], made[1], device="lamp", n=1, at=NOW, compromised=True)

    assert said.old_signature is None
    with pytest.raises(TrustError, match="compromised"):
        rotation.followed(made[0].public, [said])


def test_statements_that_lead_in_a_circle_end(chain):
    made, stated = chain
    back = rotation.stated(made[3], made[0], device="lamp", n=4, at=NOW)

    assert rotation.followed(made[0].public, [*stated, back]).key_id == made[0].key_id


def test_the_new_key_takes_the_place_of_the_old_and_the_old_private_key_is_gone(tmp_path):
    first = keys.load_or_make(tmp_path / keys.DEVICE_KEY)
    before = (tmp_path / keys.DEVICE_KEY).read_bytes()

    _, new = rotate(tmp_path)

    assert rotation.current(tmp_path).key_id == new.key_id
    assert (tmp_path / keys.DEVICE_KEY).stat().st_mode & 0o777 == 0o400
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["device.key", "rotations.json"]
    assert all(before not in path.read_bytes() for path in (tmp_path / "keys").iterdir())
    assert [r.statement.old_key for r in rotation.kept(tmp_path)] == [first.public.raw.hex()]


def test_the_old_keys_bytes_are_overwritten_where_they_lay(tmp_path):
    keys.load_or_make(tmp_path / keys.DEVICE_KEY)
    secret = (tmp_path / keys.DEVICE_KEY).read_bytes()
    with (tmp_path / keys.DEVICE_KEY).open("rb") as still_open:
        rotate(tmp_path)
        still_open.seek(0)

        assert still_open.read() != secret


def test_a_second_name_of_the_present_key_is_removed_and_the_key_is_not(tmp_path):
    key = keys.load_or_make(tmp_path / keys.DEVICE_KEY)
    os.link(tmp_path / keys.DEVICE_KEY, tmp_path / rotation.OLD_KEY)

    rotation.drop(tmp_path)

    assert rotation.current(tmp_path).key_id == key.key_id
    assert not (tmp_path / rotation.OLD_KEY).exists()


@pytest.mark.parametrize("content", ["{", "[1]", '[{"statement": {}}]', "5"])
def test_a_damaged_file_of_statements_is_named(tmp_path, content):
    (tmp_path / "keys").mkdir()
    (tmp_path / rotation.ROTATIONS).write_text(content)

    with pytest.raises(TrustError, match=r"rotations\.json"):
        rotation.kept(tmp_path)


def test_a_device_keeps_the_name_that_its_first_key_gave_it(tmp_path):
    first = keys.load_or_make(tmp_path / keys.DEVICE_KEY)
    name = enrolment.device_name(tmp_path, first)
    rotate(tmp_path)

    _, newest = rotate(tmp_path)

    assert enrolment.device_name(tmp_path, newest) == name == f"dev-{first.key_id}"


def test_a_grant_for_the_old_key_is_good_for_the_new_one(tmp_path):
    home, controller = tmp_path / "home", keys.load_or_make(tmp_path / "controller.key")
    key = keys.load_or_make(home / keys.DEVICE_KEY)
    identity = DeviceIdentity(site="home", device="lamp", public_key=key.public.raw.hex())
    broker = BrokerSettings(host="127.0.0.1", port=1883)
    enrolment.write_grant(controller, "shed", identity, broker, tmp_path / "grant.json", role=Role.OPERATOR)
    enrolment.install(home, tmp_path / "grant.json")

    rotate(home)
    rotate(home)

    assert enrolment.load(home).device == "lamp"


def test_a_grant_for_a_compromised_key_is_good_no_more(tmp_path):
    home, controller = tmp_path / "home", keys.load_or_make(tmp_path / "controller.key")
    key = keys.load_or_make(home / keys.DEVICE_KEY)
    identity = DeviceIdentity(site="home", device="lamp", public_key=key.public.raw.hex())
    broker = BrokerSettings(host="127.0.0.1", port=1883)
    enrolment.write_grant(controller, "shed", identity, broker, tmp_path / "grant.json", role=Role.OPERATOR)
    enrolment.install(home, tmp_path / "grant.json")

    new = rotation.prepare(home)
    rotation.keep(home, rotation.stated(key, new, device="lamp", n=1, at=NOW, compromised=True))
    rotation.install(home)

    with pytest.raises(TrustError, match="enrol this device again"):
        enrolment.load(home)


@pytest.fixture
def credentials(tmp_path, monkeypatch):
    """A folder as systemd hands it to a service."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def test_a_credential_of_systemd_is_the_key_and_nothing_is_written(tmp_path, credentials):
    given = keys.load_or_make(tmp_path / "elsewhere" / "device.key")
    (credentials / keys.CREDENTIAL).write_bytes((tmp_path / "elsewhere" / "device.key").read_bytes())
    (credentials / keys.CREDENTIAL).chmod(0o440)  # the mask of systemd's access list

    assert rotation.current(tmp_path / "home", make=True).key_id == given.key_id
    assert not (tmp_path / "home").exists()


def test_a_credential_that_everybody_may_read_is_refused(credentials, tmp_path):
    keys.load_or_make(credentials / keys.CREDENTIAL).sign(b"")
    (credentials / keys.CREDENTIAL).chmod(0o444)

    with pytest.raises(TrustError, match="others may read"):
        rotation.current(tmp_path)


def test_a_rotation_of_a_credential_says_how_it_is_done(credentials, tmp_path):
    keys.load_or_make(credentials / keys.CREDENTIAL)

    with pytest.raises(TrustError, match=r"LoadCredential=device\.key\.next"):
        rotation.prepare(tmp_path)


def test_the_next_credential_is_the_key_once_the_rotation_is_kept_and_stays_it_when_moved(credentials, tmp_path):
    old = keys.load_or_make(credentials / keys.CREDENTIAL)
    following = keys.load_or_make(credentials / keys.NEXT_CREDENTIAL)
    assert rotation.current(tmp_path).key_id == old.key_id

    new = rotation.prepare(tmp_path)
    rotation.keep(tmp_path, rotation.stated(old, new, device="lamp", n=1, at=NOW))
    rotation.install(tmp_path)

    assert new.key_id == following.key_id
    assert rotation.current(tmp_path).key_id == new.key_id
    (credentials / keys.NEXT_CREDENTIAL).replace(credentials / keys.CREDENTIAL)
    assert rotation.current(tmp_path).key_id == new.key_id


def test_statements_are_kept_as_json_that_other_programs_read(tmp_path):
    keys.load_or_make(tmp_path / keys.DEVICE_KEY)
    rotate(tmp_path)

    said = json.loads((tmp_path / rotation.ROTATIONS).read_text())[0]
    old = PublicKey.from_hex(said["statement"]["old_key"])

    assert old.accepts(bytes.fromhex(said["old_signature"]), canonical(said["statement"]))
