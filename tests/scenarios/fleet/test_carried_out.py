"""Commands that show and change what a device is: evidence, a diagnosis, laws; on a whole device."""

import base64
import hashlib
import json
from datetime import UTC, datetime

import pytest

from appliance.agent import law_folder
from appliance.agent.commands import support
from appliance.agent.commands.diagnosing import MAX_ANSWER_BYTES, Diagnosing
from appliance.agent.commands.evidence import KEPT_N, Evidence
from appliance.agent.commands.lawgiving import Lawgiving
from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import Command, DiagnoseBody, ExportAuditBody, LawsBody
from appliance.contracts.evidence import ANSWER_PART_BYTES, MAX_ARCHIVE_BYTES
from appliance.errors import ApplianceError
from appliance.ledger import archive_check, archive_format
from appliance.trust import keys, owner
from appliance.trust.law_set import SignedLaw, law_set, sign_set

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LAW = """\
workflow: quiet
version: {version}
initial: idle
safe: idle
governs: ["family:lighting"]
states:
  idle:
    swap: true
    tools: ["family:lighting"]
"""


def command(body):
    return Command(
        audience="lamp",
        issuer="0" * 16,
        correlation="0" * 32,
        counter=1,
        issued_at=NOW,
        expires_at=NOW,
        response_topic="t",
        body=body,
    )


@pytest.fixture
def evidence(appliance):
    assert appliance.client.call("add_note", {"text": "swordfish"}).status == "done"

    def make(share="decisions"):
        home = appliance.home
        return Evidence(
            home.root,
            home.database,
            home.exports,
            share=share,
            software="0.1.0",
            clock=appliance.daemon._clock,
            checkpoint=appliance.daemon.checkpoint,
        )

    return make


def test_an_archive_is_made_and_fetched_in_parts_and_anyone_can_check_it(appliance, evidence, tmp_path):
    do = evidence()
    made = do(command(ExportAuditBody(after=0, note="the light")))
    assert made.status == 200

    data = b""
    for part in range(made.result["parts"]):
        done = do(command(ExportAuditBody(fetch=made.result["sha256"], part=part)))
        data += base64.b64decode(done.result["data"])
    (tmp_path / "x.zip").write_bytes(data)

    assert hashlib.sha256(data).hexdigest() == made.result["sha256"]
    verdict = archive_check.verify_archive(tmp_path / "x.zip", [appliance.daemon._custody._public])
    assert verdict.state == "verified"
    assert b"swordfish" not in data
    assert do(command(ExportAuditBody(fetch=made.result["sha256"], part=made.result["parts"]))).status == 416
    assert do(command(ExportAuditBody(fetch="0" * 64))).status == 404


def test_words_leave_only_where_the_owner_shares_words_and_nothing_where_only_counts(evidence):
    assert evidence("counts")(command(ExportAuditBody(after=0))).code == "not_shared"
    assert evidence("counts")(command(ExportAuditBody(fetch="0" * 64))).code == "not_shared"
    shared = evidence("words")(command(ExportAuditBody(after=0)))
    assert b"swordfish" in (evidence("words")._folder / f"{shared.result['sha256']}.zip").read_bytes()


@pytest.mark.parametrize(
    "body",
    [
        ExportAuditBody(),
        ExportAuditBody(after=0, requests=("r",)),
        ExportAuditBody(after=0, since=NOW),
        ExportAuditBody(requests=("nobody-has-this",)),
    ],
)
def test_records_must_be_meant_in_one_way(evidence, body):
    assert evidence()(command(body)).code == "say_which"


def test_only_the_newest_archives_are_kept(appliance, evidence):
    do = evidence()
    for n in range(KEPT_N + 3):
        do(command(ExportAuditBody(after=0, note=f"{n}")))

    assert len(list(appliance.home.exports.glob("*.zip"))) == KEPT_N
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in appliance.home.exports.iterdir())
    assert ANSWER_PART_BYTES * 4 / 3 < 64 * 1024
    assert MAX_ARCHIVE_BYTES == archive_format.MAX_BYTES


def test_a_diagnosis_is_bounded_and_says_nobodys_words(appliance):
    appliance.client.say("take a note that the secret word is swordfish")
    do = Diagnosing(appliance.home.root, lambda into: support.archive(appliance.home.root, into))

    done = do(command(DiagnoseBody()))

    told = canonical(done.result)
    assert len(told) <= MAX_ANSWER_BYTES + 1024
    assert b"swordfish" not in told
    assert str(appliance.home.root).encode() not in told
    assert done.result["counts"]["records"]["boot"] == 1
    assert list(appliance.home.root.glob(".diagnose-*")) == []


def test_more_log_than_fits_leaves_the_newest(tmp_path):
    def make(into):
        import io
        import tarfile

        lines = "".join(json.dumps({"n": n, "text": "x" * 100}) + "\n" for n in range(5000)).encode()
        with tarfile.open(into, "w:gz") as tar:
            member = tarfile.TarInfo("a/journal.jsonl")
            member.size = len(lines)
            tar.addfile(member, io.BytesIO(lines))

    done = Diagnosing(tmp_path, make)(command(DiagnoseBody()))

    assert done.result["journal"][-1]["n"] == 4999
    assert "journal" in done.result["left_out"]
    assert len(canonical(done.result)) <= MAX_ANSWER_BYTES + 1024


def test_an_archive_that_cannot_be_made_is_a_failure(tmp_path):
    (tmp_path / "appliance.toml").write_bytes(b"\xff")
    with pytest.raises(ApplianceError):
        support.archive(tmp_path, tmp_path / "missing" / "x.tar.gz")


class Governed:
    """A running device with an owner."""

    def __init__(self, appliance, tmp_path):
        self.appliance = appliance
        self.key_file = tmp_path / "owner.key"
        self.public = owner.make(self.key_file)
        self.key = keys.load(self.key_file)
        owner.trust(appliance.home.root, self.public)
        daemon = appliance.daemon
        self.do = Lawgiving(appliance.home.root, daemon.parts.db, daemon._enforcement._here, daemon.load_laws)

    def body(self, number, version, *, key=None, site="home", **changes):
        text = LAW.format(version=version)
        law = SignedLaw("quiet", version, hashlib.sha256(text.encode()).hexdigest(), len(text.encode()))
        note = str(sign_set(law_set(number, site, (), [law]), key or self.key))
        return LawsBody(**{"files": {"quiet.yaml": text}, "note": note, **changes})

    def give(self, *args, **more):
        return self.do(command(self.body(*args, **more)))


@pytest.fixture
def governed(appliance, tmp_path):
    return Governed(appliance, tmp_path)


def test_laws_that_the_owner_signed_come_into_force_from_afar(governed):
    done = governed.give(1, 1)

    assert (done.status, done.result) == (200, {"number": 1}), done.text
    (law,) = governed.appliance.daemon.status()["laws"]["workflows"]
    assert law["workflow"] == "quiet"
    assert governed.give(1, 1).status == 200  # the same again, after a power cut
    assert governed.give(2, 2).result == {"number": 2}


def test_a_device_without_an_owner_takes_no_laws_from_afar(appliance, tmp_path):
    daemon = appliance.daemon
    do = Lawgiving(appliance.home.root, daemon.parts.db, daemon._enforcement._here, daemon.load_laws)

    assert do(command(LawsBody(files={}, note="x"))).code == "no_owner"


def test_what_the_owner_did_not_sign_changes_nothing(governed, tmp_path):
    governed.give(5, 5)
    before = law_folder.read(governed.appliance.home.laws)
    stranger = tmp_path / "stranger.key"
    owner.make(stranger)

    for refused in (
        governed.give(6, 6, key=keys.load(stranger)),
        governed.give(4, 4),
        governed.give(6, 6, site="elsewhere"),
        governed.give(6, 6, files={"quiet.yaml": LAW.format(version=7)}),
        governed.give(6, 6, files={"../quiet.yaml": LAW.format(version=6)}),
        governed.give(6, 6, note="no note"),
    ):
        assert refused.code == "laws_not_accepted", refused
    assert law_folder.read(governed.appliance.home.laws) == before
    assert governed.appliance.daemon.status()["laws"]["number"] == 5
