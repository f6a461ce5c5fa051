"""The device's key from the command line: shown, changed with and without a daemon, kept by systemd."""

import json

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.errors import ApplianceError
from appliance.storage import checkpoints
from appliance.trust import keys, notes, rotation
from appliance.trust.notes import parse_verifier


@pytest.fixture
def run(bench):
    """Run the command line on the bench's home; a fault comes out as it is."""

    def runs(*words, **more):
        result = CliRunner().invoke(cli.group, ["--home", str(bench.home.root), *words], **more)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return runs


def shown(run):
    return json.loads(run("keys", "show", "--json").output)


def verified(run, *words):
    return json.loads(run("audit", "verify", *words, "--json").output)


def newest_note(bench):
    with bench.db.reading() as connection:
        return notes.parse(checkpoints.latest(connection).note.encode())


def test_a_running_daemon_takes_a_new_key_and_signs_with_it(bench, run):
    bench.start()
    old = parse_verifier(shown(run)["verifier"])

    said = run("keys", "rotate", "--reason", "yearly").output

    new = parse_verifier(shown(run)["verifier"])
    assert old.public.key_id in said
    assert new.public.key_id in said
    assert len(notes.verified(newest_note(bench), [old, new])) == 2
    facts = json.loads(bench.records[-1].body)["facts"]
    assert bench.records[-1].kind == "key_rotated"
    assert facts["peer"].startswith("uid:")
    assert "yearly" not in bench.records[-1].body
    assert bench.records[-1].personal["reason"]["value"] == "yearly"
    assert bench.client.status()["ledger"]["key_id"] == new.public.key_id


def test_a_key_is_changed_without_a_daemon_and_the_next_start_goes_on_with_it(bench, run):
    bench.start()
    name, epoch = bench.client.status()["device"], bench.client.status()["ledger"]["epoch"]
    bench.stop()

    changed = json.loads(run("keys", "rotate", "--reason", "service", "--json").output)
    bench.start()

    status = bench.client.status()
    assert (status["device"], status["ledger"]["epoch"]) == (name, epoch)
    assert status["ledger"]["key_id"] == changed["key_id"]
    assert status["degraded"] == []
    retired = json.loads(run("keys", "retired", "--json").output)
    assert [r["statement"]["n"] for r in retired] == [1]


def test_the_checkpoint_over_a_rotation_can_be_believed_with_either_key(bench, run):
    bench.start()
    before = parse_verifier(shown(run)["verifier"])
    run("keys", "rotate", "--reason", "one")
    run("keys", "rotate", "--reason", "two")

    rotations = rotation.kept(bench.home.root)

    assert rotation.followed(before.public, rotations).raw == rotation.current(bench.home.root).public.raw
    assert "vouched for" in run("keys", "retired").output


def test_a_compromised_key_asks_first_and_vouches_for_nothing(bench, run):
    bench.start()
    before = parse_verifier(shown(run)["verifier"])

    refused = run("keys", "rotate", "--compromised", "--reason", "stolen", input="n\n")
    assert refused.exit_code == 1
    assert rotation.kept(bench.home.root) == ()

    run("keys", "rotate", "--compromised", "--reason", "stolen", input="y\n")
    with pytest.raises(ApplianceError, match="compromised"):
        rotation.followed(before.public, rotation.kept(bench.home.root))
    assert "was compromised" in run("keys", "retired").output


def test_a_reason_of_nothing_is_none(bench, run):
    bench.start()

    with pytest.raises(ApplianceError, match="say why"):
        run("keys", "rotate", "--reason", "  ")


def test_a_rotation_without_a_ledger_says_what_to_do(run):
    with pytest.raises(ApplianceError, match="start the appliance once"):
        run("keys", "rotate", "--reason", "yearly")


def test_a_credential_of_systemd_is_used_changed_with_its_successor_and_never_written(
    bench, run, tmp_path, monkeypatch
):
    folder = tmp_path / "credentials"
    folder.mkdir()
    given = keys.load_or_make(folder / keys.CREDENTIAL)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    bench.start()
    assert bench.client.status()["ledger"]["key_id"] == given.key_id
    assert shown(run)["kept_by"] == "systemd"

    with pytest.raises(ApplianceError, match=r"LoadCredential=device\.key\.next"):
        run("keys", "rotate", "--reason", "yearly")
    following = keys.load_or_make(folder / keys.NEXT_CREDENTIAL)
    run("keys", "rotate", "--reason", "yearly")
    bench.restart()

    assert bench.client.status()["ledger"]["key_id"] == following.key_id
    assert not (bench.home.root / keys.DEVICE_KEY).exists()
    assert keys.load(folder / keys.CREDENTIAL).key_id == given.key_id


def test_whoever_has_the_old_verifier_goes_on_verifying(bench, run, tmp_path):
    bench.start()
    verifier = shown(run)["verifier"]
    run("keys", "rotate", "--reason", "yearly")
    bench.client.say("dim the workshop lights to 30 percent")
    (tmp_path / "note.txt").write_text(bench.daemon.checkpoint())

    found = run("audit", "verify", "--checkpoint", str(tmp_path / "note.txt"), "--key", verifier)

    assert found.exit_code == 0
    assert "anchored" in found.output


def test_an_archive_made_after_a_change_of_the_key_verifies_with_the_old_verifier(bench, run, tmp_path):
    bench.start()
    verifier = shown(run)["verifier"]
    bench.client.say("dim the workshop lights to 30 percent")
    run("keys", "rotate", "--reason", "yearly")
    run("audit", "export", str(tmp_path / "r.zip"), "--after", "1")

    found = run("audit", "verify", "--export", str(tmp_path / "r.zip"), "--key", verifier)
    stranger = run("audit", "verify", "--export", str(tmp_path / "r.zip"), "--key", "11" * 32)

    assert (found.exit_code, found.output.split(":")[0]) == (0, "verified")
    assert "passed its trust on" in found.output
    assert (stranger.exit_code, stranger.output.split("\n")[0]) == (7, "unknown key")


def test_a_checkpoint_from_before_a_change_says_which_key_it_wants(bench, run, tmp_path):
    bench.start()
    old = shown(run)["verifier"]
    (tmp_path / "note.txt").write_text(bench.daemon.checkpoint())
    run("keys", "rotate", "--reason", "yearly")
    bench.client.say("dim the workshop lights to 30 percent")
    bench.daemon.checkpoint()

    with pytest.raises(ApplianceError, match="verifier of that time"):
        run("audit", "verify", "--checkpoint", str(tmp_path / "note.txt"), "--key", shown(run)["verifier"])
    assert (
        "anchored up to record"
        in run("audit", "verify", "--checkpoint", str(tmp_path / "note.txt"), "--key", old).output
    )


def test_a_key_that_was_lost_begins_an_epoch_that_says_so_and_verifying_explains_it(bench, run, tmp_path):
    bench.start()
    bench.client.say("dim the workshop lights to 30 percent")
    before, old = shown(run)["verifier"], bench.client.status()["ledger"]["epoch"]
    note = tmp_path / "note.txt"
    note.write_text(bench.daemon.checkpoint())
    bench.stop()
    (bench.home.root / keys.DEVICE_KEY).unlink()

    bench.start()

    status, after = bench.client.status(), shown(run)["verifier"]
    assert status["ledger"]["epoch"] != old
    assert any("key was gone" in reason for reason in status["degraded"])
    # The old epoch is as it was for whoever has the old key; the new one says what happened to whoever has not.
    told = verified(run, "--epoch", old, "--key", before, "--checkpoint", str(note))
    assert told["state"] == "anchored"
    for key, words in ((after, ["--epoch", old]), (before, [])):
        told = verified(run, *words, "--key", key)
        assert told["state"] == "consistent-unanchored", told["reason"]
        assert f"key {parse_verifier(before).public.key_id} was lost in epoch {old}" in told["reason"]
    assert verified(run, "--key", after)["signed_size"] > 0
