"""An owner signs laws at a desk and loads them on a device; what anybody else brings changes nothing."""

import json
import os
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from appliance import cli, keeping
from appliance.contracts.home import Home
from appliance.errors import ApplianceError, TrustError, UsageError
from appliance.storage import laws as kept_laws

SITE = '[device]\nid = "lamp-1"\nsite = "plant-1"\n'


def law(name="lamps", version=1, tools="family:lighting"):
    return (
        f"workflow: {name}\nversion: {version}\ninitial: idle\nsafe: idle\n"
        f'governs: ["family:lighting"]\nstates:\n  idle:\n    swap: true\n    tools: ["{tools}"]\n'
    )


@pytest.fixture
def run(bench):
    """Run the command line on the bench's home; a fault comes out as it is."""
    bench.configure(SITE)

    def runs(*words, code=0, **more):
        result = CliRunner().invoke(cli.group, ["--home", str(bench.home.root), "workflow", *map(str, words)], **more)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.output

    return runs


@pytest.fixture
def desk(tmp_path, run):
    """A folder with an owner's key, its public half and a folder of laws."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "lamps.yaml").write_text(law())
    (tmp_path / "owner.pub").write_text(run("owner", "new", tmp_path / "owner.pem"))
    return tmp_path


def signed(run, desk, *more, site="plant-1"):
    return run("sign", desk / "set", "--key", desk / "owner.pem", "--site", site, *more)


def shown(bench):
    """Return what the daemon says of the laws: number, signer and versions."""
    laws = bench.client.status()["laws"]
    return laws["number"], laws["signed_by"], {one["workflow"]: one["version"] for one in laws["workflows"]}


def kinds(bench):
    return [json.loads(row.body)["facts"] for row in bench.records if row.kind == "laws"]


def test_laws_are_signed_verified_loaded_and_in_force(bench, run, desk):
    run("owner", "trust", desk / "owner.pub")
    bench.start()
    denied = bench.client.call("turn_light_on", {"room": "kitchen"}, yes=True)
    assert (denied.status, denied.code) == ("refused", "laws")

    said = signed(run, desk)
    assert "Set 1 for site plant-1, every device, signed by" in said
    assert run("verify", desk / "set", "--owner", desk / "owner.pub") == said
    loaded = run("load", desk / "set")

    assert "Accepted: lamps 1." in loaded
    number, signer, versions = shown(bench)
    assert (number, versions) == (1, {"lamps": 1})
    assert signer in said
    assert bench.client.call("turn_light_on", {"room": "kitchen"}, yes=True).status == "done"
    assert kinds(bench)[-1]["signed_by"] == signer
    assert run("owner", "show") == (desk / "owner.pub").read_text()


def test_the_next_set_counts_on_and_is_in_force_at_once(bench, run, desk):
    run("owner", "trust", desk / "owner.pub")
    bench.start()
    signed(run, desk)
    run("load", desk / "set")
    (desk / "set" / "lamps.yaml").write_text(law(version=2))

    assert "Set 2" in signed(run, desk)
    assert "Accepted: lamps 2." in run("load", desk / "set")
    assert shown(bench)[0] == 2


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        ("unsigned", "takes only what its owner"),
        ("altered", "is not one of the files that were signed"),
        ("another key", "not signed by a known key"),
    ],
)
def test_what_the_owner_did_not_sign_is_refused_before_it_is_copied(bench, run, desk, attack, why):
    run("owner", "trust", desk / "owner.pub")
    bench.start()
    signed(run, desk)
    run("load", desk / "set")
    before = {path.name: path.read_bytes() for path in bench.home.laws.iterdir()}
    (desk / "set" / "lamps.yaml").write_text(law(version=2))
    if attack == "unsigned":
        (desk / "set" / "laws.note").unlink()
    if attack == "another key":
        run("owner", "new", desk / "thief.pem")
        run("sign", desk / "set", "--key", desk / "thief.pem", "--site", "plant-1", "--number", 9)

    assert why in run("load", desk / "set", code=1)

    assert {path.name: path.read_bytes() for path in bench.home.laws.iterdir()} == before
    assert shown(bench)[2] == {"lamps": 1}


@pytest.mark.parametrize(
    ("more", "site", "why"),
    [((), "plant-2", "signed for site plant-2"), (("--device", "lamp-9"), "plant-1", "lamp-9; this is lamp-1")],
)
def test_a_set_for_elsewhere_is_refused_by_the_device(bench, run, desk, more, site, why):
    run("owner", "trust", desk / "owner.pub")
    bench.start()
    signed(run, desk)
    run("load", desk / "set")
    (desk / "set" / "lamps.yaml").write_text(law(version=2))
    signed(run, desk, *more, site=site)

    with pytest.raises(ApplianceError, match=why):
        run("load", desk / "set")

    assert shown(bench)[2] == {"lamps": 1}
    assert "laws" in " ".join(bench.client.status()["degraded"])


def test_an_older_set_is_refused_also_after_a_restart(bench, run, desk):
    run("owner", "trust", desk / "owner.pub")
    bench.start()
    signed(run, desk)
    older = {path.name: path.read_bytes() for path in (desk / "set").iterdir()}
    (desk / "set" / "lamps.yaml").write_text(law(version=2))
    signed(run, desk)
    run("load", desk / "set")
    bench.stop()
    for name, raw in older.items():
        (bench.home.laws / name).write_bytes(raw)

    bench.start()

    assert shown(bench)[::2] == (2, {"lamps": 2})
    assert "older than set 2" in kinds(bench)[-1]["complaints"][0]


def test_the_accepted_set_rules_when_the_folder_is_gone_at_the_next_start(bench, run, desk):
    run("owner", "trust", desk / "owner.pub")
    bench.start()
    signed(run, desk)
    run("load", desk / "set")
    bench.stop()
    for path in bench.home.laws.iterdir():
        path.unlink()
    bench.home.laws.rmdir()

    bench.start()

    assert shown(bench)[::2] == (1, {"lamps": 1})
    assert bench.client.status()["degraded"]


def test_without_a_daemon_the_next_start_reads_what_was_loaded(bench, run, desk):
    run("owner", "trust", desk / "owner.pub")
    signed(run, desk)

    assert "its next start reads" in run("load", desk / "set")

    bench.start()
    assert shown(bench)[2] == {"lamps": 1}


def test_a_broken_set_is_not_signed(run, desk):
    (desk / "set" / "lamps.yaml").write_text(law(tools="no_such_tool"))

    assert "[unknown-tool]" in signed_code(run, desk)
    assert not (desk / "set" / "laws.note").exists()


def signed_code(run, desk):
    return run("sign", desk / "set", "--key", desk / "owner.pem", "--site", "plant-1", code=1)


def test_a_changed_text_under_the_same_version_is_not_signed(run, desk):
    signed(run, desk)
    (desk / "set" / "lamps.yaml").write_text(law() + "# changed\n")

    assert "write `version: 2`" in signed_code(run, desk)


def test_a_folder_with_something_else_in_it_is_not_signed(run, desk):
    (desk / "set" / "notes.txt").write_text("x")

    with pytest.raises(ApplianceError, match=r"take away notes\.txt"):
        signed(run, desk)


@pytest.mark.parametrize("site", ["Plant 1", "", "../x", "a+b"])
def test_a_site_that_cannot_be_one_is_refused(run, desk, site):
    with pytest.raises(UsageError, match="site"):
        signed(run, desk, site=site)


def test_a_note_by_somebody_else_is_not_gone_on_from(run, desk):
    signed(run, desk)
    run("owner", "new", desk / "other.pem")

    with pytest.raises(UsageError, match="say --number"):
        run("sign", desk / "set", "--key", desk / "other.pem", "--site", "plant-1")


def test_a_device_keeps_its_owner_until_that_one_hands_over(bench, run, desk):
    run("owner", "trust", desk / "owner.pub")
    bench.start()
    signed(run, desk)
    run("load", desk / "set")
    (desk / "heir.pub").write_text(run("owner", "new", desk / "heir.pem"))
    with pytest.raises(TrustError, match="only that key can hand it over"):
        run("owner", "trust", desk / "heir.pub")

    (desk / "handed").write_text(run("owner", "pass", desk / "heir.pub", "--key", desk / "owner.pem"))
    run("owner", "trust", desk / "handed")
    (desk / "set" / "lamps.yaml").write_text(law(version=2))
    run("sign", desk / "set", "--key", desk / "heir.pem", "--site", "plant-1", "--number", 2)

    assert "Accepted: lamps 2." in run("load", desk / "set")


def test_a_device_without_an_owner_says_so(run):
    with pytest.raises(TrustError, match="this device has no owner"):
        run("owner", "show")


def test_a_signed_empty_set_takes_the_laws_out_of_force(bench, run, desk):
    run("owner", "trust", desk / "owner.pub")
    bench.start()
    signed(run, desk)
    run("load", desk / "set")
    (desk / "set" / "lamps.yaml").unlink()

    assert "nothing is governed any more" in signed(run, desk)
    assert "Accepted: no laws." in run("load", desk / "set")

    assert shown(bench)[::2] == (2, {})
    assert kept_laws.accepted(bench.db).laws == ()


def test_what_is_loaded_can_be_read_whatever_the_mask(bench, run, desk):
    before = os.umask(0o077)
    try:
        run("load", desk / "set")
    finally:
        os.umask(before)

    assert (bench.home.laws / "lamps.yaml").stat().st_mode & 0o777 == 0o644


def test_reading_the_homes_own_folder_again_copies_nothing(bench, run, desk):
    run("load", desk / "set")
    bench.start()
    (bench.home.laws / "lamps.yaml").write_text(law(version=2))
    (bench.home.laws / "lamps.script.yaml").write_text("x")

    assert "Accepted: lamps 2." in run("load", bench.home.laws)

    assert (bench.home.laws / "lamps.script.yaml").exists()


@pytest.mark.parametrize("owned", [True, False], ids=["an owner's device", "a device without an owner"])
def test_a_restored_device_has_the_laws_that_were_in_force(bench, run, desk, tmp_path, owned):
    if owned:
        run("owner", "trust", desk / "owner.pub")
        signed(run, desk)
    bench.start()
    run("load", desk / "set")
    before = shown(bench)
    keeping.backup(bench.home, tmp_path / "kept.tar.gz", datetime(2026, 11, 23, tzinfo=UTC))
    bench.stop()

    bench.home = Home(tmp_path / "elsewhere")
    keeping.restore(bench.home, tmp_path / "kept.tar.gz", datetime(2026, 11, 24, tzinfo=UTC))
    bench.start()

    assert "not known" in bench.client.status()["laws"]["barred"]  # a backup is older than the machine
    assert "lamps 1" in run("load")
    assert shown(bench) == before
    assert [path.name for path in bench.home.laws.glob("*.yaml")] == ["lamps.yaml"]
    assert (bench.home.keys / "owner.pub").exists() is owned
