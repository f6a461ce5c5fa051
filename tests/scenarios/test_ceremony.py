"""The key ceremony and a release, from OpenSSL's keys to a device that takes it, by the commands of the how-to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.errors import TrustError, UsageError
from appliance.settings import shipped_bundle
from appliance.storage import database

MODEL_SIGNING = Path(sys.executable).with_name("model_signing")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command line in a folder of its own; a fault comes out as it is."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    database.open_database(home / "appliance.db", epoch="e").db.close()

    def runs(*words, **more):
        result = CliRunner().invoke(cli.group, ["--home", str(home), *map(str, words)], **more)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return runs


@pytest.fixture
def people(tmp_path):
    """Keys as OpenSSL makes them: three release, two others keep the root."""
    for name in ("ann", "bob", "cem", "dot", "eva"):
        openssl = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.pem"]
        subprocess.run(openssl, cwd=tmp_path, check=True)
        (tmp_path / f"{name}.pem").chmod(0o600)
        public = ["openssl", "ec", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub"]
        subprocess.run(public, cwd=tmp_path, check=True, capture_output=True)


ROLES = (
    *("--root-key", "Dot=dot.pub", "--root-key", "Eva=eva.pub"),
    *("--release-key", "Ann=ann.pub", "--release-key", "Bob=bob.pub", "--release-key", "Cem=cem.pub"),
    *("--urgent-threshold", "3", "--revocation-key", "Dot=dot.pub"),
)


@pytest.fixture
def root(run, people):
    """A root that both root keys signed; returns its fingerprint."""
    run("trust", "new-root", "--site", "workshop", *ROLES, "--out", "root-1.json")
    run("trust", "cosign", "root-1.json", "--key", "dot.pem", "--yes")
    run("trust", "cosign", "root-1.json", "--key", "eva.pem", "--yes")
    shown = run("trust", "show", "root-1.json")
    assert "signed by    2 of 2 that are needed" in shown
    return next(line for line in shown.splitlines() if line.startswith("fingerprint")).removeprefix("fingerprint")


@pytest.fixture
def released(run, root, tmp_path):
    """The bundle that ships, released by two people as if it were new."""
    for name in ("ann", "bob"):
        run("bundle", "sign", shipped_bundle(), "--key", f"{name}.pem", "--out", "signatures", "--yes")
    run("bundle", "pack", shipped_bundle(), "--signatures", "signatures", "--out", "pointer-small-1.tar")
    return tmp_path / "pointer-small-1.tar"


def test_a_root_is_taken_with_its_fingerprint_and_its_successor_without(run, root):
    with pytest.raises(TrustError, match="this root has the fingerprint"):
        run("trust", "install", "root-1.json")
    assert "root 1 is in force" in run("trust", "install", "root-1.json", "--fingerprint", root)

    run("trust", "new-root", "--after", "root-1.json", "--cooldown-days", "3", "--out", "root-2.json")
    with pytest.raises(TrustError, match="signed by 0 of the present root's root keys"):
        run("trust", "install", "root-2.json")
    run("trust", "cosign", "root-2.json", "--key", "dot.pem", "--yes")
    run("trust", "cosign", "root-2.json", "--key", "eva.pem", "--yes")

    assert "root 2 is in force" in run("trust", "install", "root-2.json")
    assert "a bundle waits 3 days of running time" in run("trust", "status")


def test_the_status_says_how_long_a_bundle_waits_on_this_device(run, root, tmp_path):
    run("trust", "install", "root-1.json", "--fingerprint", root)

    (tmp_path / "home" / "appliance.toml").write_text("[bundles]\ncooldown_days = 10\n")

    waits = "a bundle waits 10 days (this device's settings; the root says 7) of running time"
    assert waits in run("trust", "status")
    assert json.loads(run("trust", "status", "--json"))["cooldown_days"] == 10
    assert "a bundle waits 7 days of running time" in run("trust", "show", "root-1.json")


def test_a_release_verifies_with_the_sites_root(run, released):
    told = run("bundle", "verify", released, "--root", "root-1.json")
    as_json = json.loads(run("bundle", "verify", released, "--root", "root-1.json", "--json"))

    assert "verified: enough different release keys" in told
    assert "Ann" in told
    assert "Bob" in told
    assert len(as_json["signers"]) == 2


def test_a_release_verifies_with_the_root_of_the_device(run, released, root):
    with pytest.raises(TrustError, match="trusts nobody's bundles yet"):
        run("bundle", "verify", released)
    run("trust", "install", "root-1.json", "--fingerprint", root)

    assert "verified" in run("bundle", "verify", released)


def test_the_public_command_signs_and_verifies_in_the_same_ceremony(run, root, tmp_path):
    run("bundle", "sign", shipped_bundle(), "--key", "ann.pem", "--out", "signatures", "--yes")
    other = [MODEL_SIGNING, "sign", "key", "--private_key", "bob.pem", "--signature", "signatures/bob.sig"]
    subprocess.run([*other, shipped_bundle()], cwd=tmp_path, check=True, capture_output=True)
    ours = next(path for path in (tmp_path / "signatures").iterdir() if path.name != "bob.sig")
    verify = [MODEL_SIGNING, "verify", "key", "--public_key", "ann.pub", "--signature", ours, shipped_bundle()]
    subprocess.run(verify, cwd=tmp_path, check=True, capture_output=True)

    run("bundle", "pack", shipped_bundle(), "--signatures", "signatures", "--out", "both.tar")

    assert "verified" in run("bundle", "verify", "both.tar", "--root", "root-1.json")


def test_one_signature_is_not_a_release(run, root):
    run("bundle", "sign", shipped_bundle(), "--key", "ann.pem", "--out", "signatures", "--yes")
    run("bundle", "pack", shipped_bundle(), "--signatures", "signatures", "--out", "one.tar")

    with pytest.raises(TrustError, match="signed by 1 release keys that count; 2 different ones are needed"):
        run("bundle", "verify", "one.tar", "--root", "root-1.json")


def test_a_revoked_key_no_longer_counts(run, released, root):
    revoke = ("trust", "new-revocations", "--root", "root-1.json", "--reason", "laptop stolen")
    run(*revoke, "--key", "bob.pub", "--out", "revocations-1.json")
    run("trust", "cosign", "revocations-1.json", "--key", "dot.pem", "--yes")

    with pytest.raises(TrustError, match="1 release keys were revoked"):
        run("bundle", "verify", released, "--root", "root-1.json", "--revocations", "revocations-1.json")
    run("trust", "install", "root-1.json", "--fingerprint", root)
    run("trust", "install", "revocations-1.json")
    with pytest.raises(TrustError, match="1 release keys were revoked"):
        run("bundle", "verify", released)
    assert "laptop stolen" in run("trust", "status")


def test_a_list_goes_on_from_the_one_before(run, root):
    revoke = ("trust", "new-revocations", "--root", "root-1.json", "--reason", "poisoned")
    run(*revoke, "--bundle", "a" * 64, "--out", "revocations-1.json")
    run(*revoke, "--after", "revocations-1.json", "--bundle", shipped_bundle(), "--out", "revocations-2.json")

    shown = run("trust", "show", "revocations-2.json", "--root", "root-1.json")

    assert "revocation list 2 of workshop" in shown
    assert shown.count("poisoned") == 2


def test_what_cannot_wait_is_said_by_more_people(run, released, root):
    write = ("trust", "new-urgent", shipped_bundle(), "--root", "root-1.json", "--reason", "it burns")
    run(*write, "--out", "urgent.json")
    for name in ("ann", "bob", "cem"):
        run("trust", "cosign", "urgent.json", "--key", f"{name}.pem", "--yes")
    pack = ("bundle", "pack", shipped_bundle(), "--signatures", "signatures", "--urgent", "urgent.json")
    run(*pack, "--out", "urgent.tar")

    assert "urgent     it burns" in run("bundle", "verify", "urgent.tar", "--root", "root-1.json")


def test_a_key_with_a_passphrase_is_asked_for_it(run, root, tmp_path):
    lock = ["openssl", "ec", "-in", "ann.pem", "-aes256", "-passout", "pass:over the hills", "-out", "locked.pem"]
    subprocess.run(lock, cwd=tmp_path, check=True, capture_output=True)
    sign = ("bundle", "sign", shipped_bundle(), "--key", "locked.pem", "--out", "signatures", "--yes")

    with pytest.raises(TrustError, match="the passphrase is wrong"):
        run(*sign, input="something else\n")
    assert "signed by" in run(*sign, input="over the hills\n")


def test_nobody_signs_without_being_asked(run, root):
    with pytest.raises(UsageError, match="say --yes"):
        run("bundle", "sign", shipped_bundle(), "--key", "ann.pem", "--out", "signatures")
    with pytest.raises(UsageError, match="say --yes"):
        run("trust", "cosign", "root-1.json", "--key", "dot.pem")


def test_a_private_key_that_others_may_read_is_refused(run, root, tmp_path):
    (tmp_path / "ann.pem").chmod(0o644)

    with pytest.raises(TrustError, match="others may read this private key"):
        run("bundle", "sign", shipped_bundle(), "--key", "ann.pem", "--out", "signatures", "--yes")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--root-key", "Dot=dot.pub", "--root-threshold", "3"), "cannot be reached"),
        (("--root-key", "Dot=dot.pub", "--root-key", "Also Dot=dot.pub"), "the same key twice is one"),
        (("--urgent-threshold", "9"), "urgent_threshold"),
        (("--root-key", "dot.pub"), "OWNER=FILE.pub"),
        (("--floor", "pointer-small"), "NAME=N"),
    ],
)
def test_a_root_that_cannot_work_is_not_written(run, people, tmp_path, more, told):
    run("trust", "new-root", "--site", "workshop", *ROLES, "--out", "root-1.json")

    with pytest.raises(UsageError, match=told):
        run("trust", "new-root", "--after", "root-1.json", *more, "--out", "root-2.json")
    assert not (tmp_path / "root-2.json").exists()


def test_inspecting_needs_no_root(run, released):
    told = run("bundle", "inspect", released)
    facts = json.loads(run("bundle", "inspect", released, "--json"))

    assert "release 1" in told
    assert told.count("signature ") == 2
    assert facts["manifest"]["name"] == "pointer-small"
    assert "signature  none here" in run("bundle", "inspect", shipped_bundle())
