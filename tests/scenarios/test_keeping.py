"""A home can be kept in a file, brought back as a new epoch, and erased."""

from __future__ import annotations

import io
import json
import stat
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance import keeping
from appliance.contracts.bundle import Admitted
from appliance.contracts.home import Home
from appliance.contracts.toolcall import ToolCall
from appliance.errors import AlreadyRunning, StorageError, UsageError
from appliance.ledger.verify import verify
from appliance.storage import audit, bundles, database, inbox, meta, schedules, undo
from appliance.storage.ownership import own
from appliance.trust.slots import Shelf

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)


@pytest.fixture
def used(bench):
    """A home on which something was done, its daemon ended."""
    bench.configure('[device]\nname = "Barn"\n')
    bench.start()
    bench.client.call("set_light_level", {"room": "kitchen", "level_pct": 30})
    bench.stop()
    return bench


def names(home):
    """What lies in a home, but for the lock that a look at it leaves."""
    return sorted(path.name for path in home.root.iterdir() if path != home.lock)


def test_a_backup_beside_a_running_daemon_holds_the_ledger_to_its_last_record(appliance, tmp_path):
    appliance.client.call("set_light_level", {"room": "kitchen", "level_pct": 30})

    contents = keeping.backup(appliance.home, tmp_path / "kept.tar.gz", NOW)

    assert (contents.seq, contents.head) == audit.head(appliance.db.connection)
    assert set(contents.files) == {"appliance.db", "keys/device.key"}
    assert stat.S_IMODE((tmp_path / "kept.tar.gz").stat().st_mode) == 0o600


def test_a_restored_home_is_the_same_device_in_a_new_epoch_that_cites_the_old(used, tmp_path):
    contents = keeping.backup(used.home, tmp_path / "kept.tar.gz", NOW)
    home = Home(tmp_path / "elsewhere")

    keeping.restore(home, tmp_path / "kept.tar.gz", NOW)

    used.home = home
    used.start()
    first = json.loads(used.records[0].body)
    assert first["kind"] == "epoch"
    assert first["facts"]["epoch"] != contents.epoch
    assert first["facts"]["reason"] == "restored"
    cited = first["facts"]["predecessor"]
    assert (cited["epoch"], cited["size"], cited["root"]) == (contents.epoch, contents.seq, contents.head)
    assert f"\n{contents.seq}\n" in cited["checkpoint"]
    assert used.client.status()["name"] == "Barn"
    assert used.client.call("set_light_level", {"room": "kitchen", "level_pct": 40}).status == "done"


def test_the_ledger_until_the_backup_can_still_be_read(used, tmp_path):
    contents = keeping.backup(used.home, tmp_path / "kept.tar.gz", NOW)
    home = Home(tmp_path / "elsewhere")

    keeping.restore(home, tmp_path / "kept.tar.gz", NOW)

    found = verify(home.database, epoch=contents.epoch)
    assert (found.state, found.size, found.root) == ("consistent-unanchored", contents.seq, contents.head)
    assert verify(home.database).size == 0


def test_a_restore_keeps_whom_the_device_trusts_and_names_the_bundle_that_must_be_installed_again(used, tmp_path):
    sha256, key = "ab" * 32, "cd" * 32
    db = database.open_database(used.home.database).db
    bundles.keep_root(db, bundles.Document(3, b"a root"), NOW, {"pointer": 4}, forget_list=False)
    bundles.keep_revocations(db, bundles.Document(7, b"a list"), NOW)
    bundles.see(db, sha256, "pointer", 5, NOW)
    bundles.ran(db, 3600.0, until_s=7 * 86400.0)
    db.close()
    lies = Admitted(sha256=sha256, name="pointer", version="0.5.0", release=5, expires_at=NOW, signers=(key,))
    shelf = Shelf(used.home.bundles)
    shelf.clear().mkdir()
    shelf.put("a", lies)
    shelf.activate("a", None)

    contents = keeping.backup(used.home, tmp_path / "kept.tar.gz", NOW)
    keeping.restore(used.home, tmp_path / "kept.tar.gz", NOW)

    assert contents.bundle == f"pointer 0.5.0 (sha256 {sha256})"
    assert shelf.read().active == "shipped"
    db = database.open_database(used.home.database).db
    assert bundles.newest(db, "root") == (3, b"a root")
    assert bundles.newest(db, "revocations") == (7, b"a list")
    assert bundles.floor(db, "pointer") == (4, None)
    assert bundles.seen(db, sha256).powered_s == 3600.0
    db.close()
    assert (next(used.home.root.glob("before-restore-*")) / "bundles" / "a").is_dir()


def test_what_a_restore_replaces_is_set_aside(used, tmp_path):
    keeping.backup(used.home, tmp_path / "kept.tar.gz", NOW)
    (used.home.root / "enrolment.json").write_text("{}", encoding="utf-8")
    before = used.home.database.read_bytes()

    keeping.restore(used.home, tmp_path / "kept.tar.gz", NOW)

    aside = used.home.root / "before-restore-20261122T210000"
    assert (aside / "appliance.db").read_bytes() == before
    assert (aside / "enrolment.json").exists()
    assert not used.home.enrolment.exists()


def test_nothing_that_was_under_way_or_was_done_since_happens_a_second_time(used, tmp_path):
    opened = database.open_database(used.home.database)
    db = opened.db
    request = inbox.find(db, db.row("select request_id from inbox")["request_id"])
    for n, status in enumerate(("queued", "taken", "parked")):
        again = request.model_copy(update={"request_id": f"again-{n}"})
        inbox.submit(db, again)
        db.execute("update inbox set status = ? where request_id = ?", (status, f"again-{n}"))
    call = ToolCall(tool="announce", literals={"text": "tea"}, confidence=1.0)
    schedules.add_reminder(db, "gone", call, NOW - timedelta(hours=1))
    schedules.add_reminder(db, "to come", call, NOW + timedelta(hours=1))
    db.close()
    keeping.backup(used.home, tmp_path / "kept.tar.gz", NOW)

    keeping.restore(used.home, tmp_path / "kept.tar.gz", NOW)

    db = database.open_database(used.home.database).db
    assert [row["status"] for row in db.rows("select status from inbox")] == ["done"]
    assert [row.label for row in schedules.waiting(db)] == ["to come"]
    assert undo.last(db) is None
    assert meta.get(db, "boot") == "1"
    db.close()


def test_without_the_key_a_restore_becomes_a_new_device(used, tmp_path):
    before = used.start().client.status()["device"]
    used.stop()
    keeping.backup(used.home, tmp_path / "kept.tar.gz", NOW, with_key=False)
    used.home = Home(tmp_path / "elsewhere")

    keeping.restore(used.home, tmp_path / "kept.tar.gz", NOW)

    assert used.start().client.status()["device"] != before


def test_a_restored_key_is_private(used, tmp_path):
    keeping.backup(used.home, tmp_path / "kept.tar.gz", NOW)
    home = Home(tmp_path / "elsewhere")

    keeping.restore(home, tmp_path / "kept.tar.gz", NOW)

    assert stat.S_IMODE((home.root / "keys" / "device.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((home.root / "keys").stat().st_mode) == 0o700


def test_neither_restore_nor_reset_touches_the_home_of_a_running_daemon(tmp_path):
    home = Home(tmp_path / "home")
    home.root.mkdir()
    with own(home):
        with pytest.raises(AlreadyRunning, match="appliance quit"):
            keeping.restore(home, tmp_path / "any.tar.gz", NOW)
        with pytest.raises(AlreadyRunning):
            keeping.reset(home)


def test_a_backup_is_never_overwritten(used, tmp_path):
    (tmp_path / "kept.tar.gz").write_text("precious", encoding="utf-8")

    with pytest.raises(UsageError, match="never overwritten"):
        keeping.backup(used.home, tmp_path / "kept.tar.gz", NOW)

    assert (tmp_path / "kept.tar.gz").read_text(encoding="utf-8") == "precious"


def test_a_home_without_a_database_has_nothing_to_keep(tmp_path):
    (tmp_path / "home").mkdir()

    with pytest.raises(StorageError, match="start the appliance once"):
        keeping.backup(Home(tmp_path / "home"), tmp_path / "kept.tar.gz", NOW)

    assert not (tmp_path / "kept.tar.gz").exists()


def rewritten(source: Path, target: Path, change) -> None:
    """Copy a backup with every member passed through *change*, which may answer None to leave it out."""
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        for member in old:
            changed = change(member, old.extractfile(member).read())
            if changed is not None:
                member, data = changed  # noqa: PLW2901  # the renamed member
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))


def flipped(member, data):
    middle = len(data) // 2
    return (
        (member, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
        if member.name == "appliance.db"
        else (member, data)
    )


def escaping(member, data):
    if member.name == "appliance.db":
        member.name = "../../appliance.db"
    return member, data


def linked(member, data):
    if member.name == "appliance.db":
        member.type, member.linkname, data = tarfile.SYMTYPE, "/etc/passwd", b""
    return member, data


def unlisted(member, data):
    return (
        (member, data.replace(b'"appliance.db"', b'"notmine.db"')) if member.name == "backup.json" else (member, data)
    )


def relabelled(member, data):
    return (member, data.replace(b'"seq": ', b'"seq": 1')) if member.name == "backup.json" else (member, data)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (flipped, "was altered"),
        (escaping, "not in its list"),
        (linked, "not in its list"),
        (unlisted, "which no backup does"),
        (relabelled, "does not end where its list says"),
        (lambda member, data: None if member.name == "appliance.db" else (member, data), "cut short"),
        (lambda member, data: None if member.name == "backup.json" else (member, data), "not a backup"),
    ],
    ids=["flipped bit", "path out", "link", "unknown name", "other head", "missing file", "no list"],
)
def test_a_backup_that_is_not_whole_is_refused_before_anything_is_touched(used, tmp_path, change, complaint):
    keeping.backup(used.home, tmp_path / "kept.tar.gz", NOW)
    rewritten(tmp_path / "kept.tar.gz", tmp_path / "bad.tar.gz", change)
    before = names(used.home)

    with pytest.raises(UsageError, match=complaint):
        keeping.restore(used.home, tmp_path / "bad.tar.gz", NOW)

    assert names(used.home) == before


@pytest.mark.parametrize("data", [b"", b"no archive", b"\x1f\x8b" + b"\0" * 100], ids=["empty", "text", "torn gzip"])
def test_a_file_that_is_no_backup_is_refused(tmp_path, data):
    (tmp_path / "any").write_bytes(data)

    with pytest.raises(UsageError, match="not a whole backup"):
        keeping.restore(Home(tmp_path / "home"), tmp_path / "any", NOW)


def test_a_reset_leaves_the_settings_and_nothing_else(used):
    keeping.reset(used.home)

    assert names(used.home) == ["appliance.toml"]


def test_a_reset_of_everything_leaves_an_empty_home_that_starts_again(used):
    before = used.start().client.status()["device"]
    used.stop()

    keeping.reset(used.home, keep_settings=False)

    assert used.start().client.status()["device"] != before
