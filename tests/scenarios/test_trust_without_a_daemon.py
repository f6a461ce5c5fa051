"""Whom a device trusts, changed while its daemon is stopped: recorded all the same, and no way around the PIN."""

import importlib.util
import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.contracts.local import EnrolPerson
from appliance.errors import ApplianceError
from appliance.storage import audit
from appliance.storage.database import open_reader
from appliance.transport.local import LocalClient
from appliance.trust import documents, dsse

RIG = Path(__file__).parents[1] / "rigs" / "ceremony.py"


@pytest.fixture
def people(tmp_path):
    """Two sites: the owner's, and a thief's."""
    spec = importlib.util.spec_from_file_location("ceremony", RIG)
    ceremony = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ceremony)
    made = []
    for name in ("owner", "thief"):
        (tmp_path / name).mkdir()
        made.append(ceremony.Site(tmp_path / name))
    return made


def written(site, name, content):
    path = site.folder / name
    path.write_bytes(content)
    return path


def install(bench, path, *more):
    fingerprint = documents.fingerprint(dsse.parse(path.read_bytes()))
    words = ["trust", "install", str(path), "--fingerprint", fingerprint, *more]
    return CliRunner().invoke(cli.group, ["--home", str(bench.home.root), *words])


def records(bench):
    with closing(open_reader(bench.home.database)) as reader:
        return [json.loads(row.body)["facts"] for row in audit.rows(reader) if row.kind == "bundle"]


def site_of(bench):
    told = CliRunner().invoke(cli.group, ["--home", str(bench.home.root), "trust", "status", "--json"]).output
    return json.loads(told)["root"]


def test_what_is_brought_to_a_stopped_device_is_recorded_with_who_did_it(bench, people):
    owner, thief = people
    bench.start()
    bench.stop()

    assert install(bench, written(owner, "root.json", owner.root())).exit_code == 0
    wrong = install(bench, written(thief, "root.json", thief.root(site="thief")))
    listed = install(bench, written(owner, "list.json", owner.revocations(1)))

    assert isinstance(wrong.exception, ApplianceError)
    assert listed.exit_code == 0
    told = records(bench)
    assert [one["event"] for one in told] == ["root accepted", "document refused", "revocations accepted"]
    assert [one.get("number") for one in told] == [1, None, 1]
    assert told[0]["signers"] == sorted([owner.dot.id, owner.eva.id])
    assert all(one["peer"].startswith("uid:") for one in told)


def test_a_root_and_its_record_are_both_there_or_neither(bench, people, monkeypatch):
    owner, _ = people
    bench.start()
    bench.stop()

    def full(*_):
        raise ApplianceError("the disk is full")

    monkeypatch.setattr(audit, "append", full)
    refused = install(bench, written(owner, "root.json", owner.root()))

    assert isinstance(refused.exception, ApplianceError)
    assert site_of(bench) is None
    assert records(bench) == []


def test_once_an_admin_is_enrolled_a_stopped_device_takes_no_root_and_no_list(bench, people):
    owner, thief = people
    bench.start()
    assert install(bench, written(owner, "root.json", owner.root())).exit_code == 0
    assert LocalClient(bench.home.root).request(EnrolPerson(name="ana", role="admin", new_pin="559302")).ok
    bench.stop()
    before = records(bench)

    for path in (
        written(thief, "root.json", thief.root(site="thief", cooldown_days=0)),
        written(owner, "list.json", owner.revocations(1)),
    ):
        refused = install(bench, path, "--replace")
        assert isinstance(refused.exception, ApplianceError)
        assert "--as NAME" in str(refused.exception)

    assert site_of(bench)["site"] == "workshop"
    assert records(bench) == before


def test_a_device_whose_unnamed_may_only_look_takes_nothing_without_its_daemon_either(bench, people):
    owner, _ = people
    bench.configure('[people]\nunnamed = "viewer"\n')
    bench.start()
    bench.stop()

    refused = install(bench, written(owner, "root.json", owner.root()))

    assert isinstance(refused.exception, ApplianceError)
    assert site_of(bench) is None
