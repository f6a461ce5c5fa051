"""An incident leaves the device as one file that verifies elsewhere; whatever is changed in it is found and named."""

import base64
import hashlib
import io
import json
import random
import shutil
import subprocess
import zipfile
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.contracts.selection import Selection
from appliance.errors import StorageError, UsageError
from appliance.ledger import archive_check, archive_format
from appliance.trust import notes, rotation
from appliance.trust.keys import SigningKey

from .conftest import BEGAN, WORDS


def check(night, data, **given):
    """Look at *data* as an outsider does: the bytes and the key."""
    try:
        parts = archive_format.unpack(data)
    except UsageError as error:
        return archive_check.ArchiveVerdict(state="broken", faults=(str(error),))
    keys = given.get("keys", [night.key.public])
    return archive_check.verify_parts(parts, keys, given.get("origin", night.origin))


def again(night, parts, *, manifest=None, files=True):
    """Pack changed *parts* as somebody would who also has the device's key: listed and signed anew."""
    said = json.loads(parts["MANIFEST.json"]) | (manifest or {})
    if files:
        said["files"] = {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes_n": len(data)}
            for name, data in sorted(parts.items())
            if name not in {"MANIFEST.json", "MANIFEST.note"}
        }
    data = json.dumps(said, indent=2, sort_keys=True).encode() + b"\n"
    text = archive_check.signed_text(night.origin, data)
    signed = str(notes.sign(text, night.origin, night.key)).encode()
    return archive_format.pack(parts | {"MANIFEST.json": data, "MANIFEST.note": signed})


def changed_lines(data, change):
    """Apply *change* to every line of a JSON lines part."""
    lines = [change(json.loads(line)) for line in data.splitlines()]
    return b"".join(archive_check.canonical(line) + b"\n" for line in lines if line is not None)


def test_a_whole_night_verifies_with_nothing_but_the_file_and_the_key(night):
    done = night.export(with_words=True)

    found = check(night, done.data)

    assert (found.state, found.faults, found.records_n, found.size) == ("verified", (), 13, 13)
    assert (found.words_n, found.withheld_n) == (9, 0)


def test_the_same_input_gives_the_same_bytes(night):
    checkpoint = night.checkpoint()

    assert night.export(checkpoint=checkpoint).data == night.export(checkpoint=checkpoint).data


def test_words_stay_on_the_device_unless_they_are_asked_for(night):
    without = night.export()

    assert WORDS.encode() not in without.data
    assert b"smoke in the barn" not in without.data
    assert (check(night, without.data).state, check(night, without.data).withheld_n) == ("verified", 9)
    assert WORDS.encode() in night.export(with_words=True).data


def test_erased_words_are_said_to_be_erased_and_the_rest_verifies(night):
    night.db.execute("update audit set personal = null where request_id = 'r1'")

    done = night.export(with_words=True)

    assert check(night, done.data).state == "verified"
    assert {w.seq: w.why for w in done.manifest.withheld} == {4: "erased", 7: "erased"}


def test_a_request_brings_the_yes_that_it_waited_for_and_what_is_needed_to_understand_it(night):
    done = night.export(Selection(request_id="r1"))
    lines = [json.loads(line) for line in archive_format.unpack(done.data)["records.jsonl"].splitlines()]

    assert [line["seq"] for line in lines if line["asked"]] == [4, 5, 6, 7]
    assert [line["seq"] for line in lines if not line["asked"]] == [1, 2, 3]
    assert done.manifest.configured_by == 3
    assert check(night, done.data).state == "verified"


def test_records_are_chosen_by_number_or_by_time_too(night):
    by_number = night.export(Selection(after=7, before=9))
    since, until = BEGAN + timedelta(minutes=8), BEGAN + timedelta(minutes=8, seconds=30)
    by_time = night.export(Selection(since=since, until=until))

    for done in (by_number, by_time):
        lines = [json.loads(line) for line in archive_format.unpack(done.data)["records.jsonl"].splitlines()]
        assert [line["seq"] for line in lines if line["asked"]] == [8]


@pytest.mark.parametrize(
    ("selection", "says"),
    [
        (Selection(request_id="r99"), "no record of request 'r99'"),
        (Selection(after=900), "no record is meant"),
        (Selection(request_id="r1", after=3), "in one way"),
        (Selection(after=0, epoch="e9"), "no records of an epoch"),
    ],
)
def test_what_cannot_be_meant_is_said(night, selection, says):
    with pytest.raises(UsageError, match=says):
        night.export(selection)


def test_a_record_that_no_checkpoint_covers_yet_is_not_exported(night):
    early = night.checkpoint(size=7)

    with pytest.raises(StorageError, match="not under a checkpoint yet"):
        night.export(checkpoint=early)


def test_a_ledger_that_was_edited_is_not_exported(night):
    checkpoint = night.checkpoint()
    night.db.execute("update audit set body = replace(body, 'front door', 'back door') where seq = 6")

    with pytest.raises(StorageError, match="record 6: the log of 13 records that the device signed does not hold it"):
        night.export(checkpoint=checkpoint)


def test_an_older_checkpoint_shows_that_nothing_was_rewritten_since(night):
    older = night.checkpoint(size=5)

    found = check(night, night.export(since=older).data)

    assert (found.state, found.since) == ("verified", 5)


def test_a_history_that_was_rewritten_since_an_older_checkpoint_is_found(night):
    older = night.checkpoint(size=5)
    night.db.execute("update audit set leaf = randomblob(32) where seq = 4")

    with pytest.raises(StorageError, match=r"history was rewritten|does not hold it"):
        night.export(Selection(after=11), since=older)


def test_another_key_does_not_verify_it_and_another_log_is_not_this_one(night):
    data = night.export().data
    stranger = SigningKey(Ed25519PrivateKey.generate())

    assert check(night, data, keys=[stranger.public]).state == "unknown key"
    assert stranger.public.key_id in check(night, data, keys=[stranger.public]).faults[0]
    elsewhere = check(night, data, origin="edge-agent-appliance/barn/other")
    assert elsewhere.state == "another log"
    assert "barn/other" in elsewhere.faults[0]
    assert check(night, data, keys=[stranger.public, night.key.public]).state == "verified"


def changed_key(night, *, compromised=False):
    """Let the device have come to its key by a change, and return the key of before."""
    old = SigningKey(Ed25519PrivateKey.generate())
    said = rotation.stated(old, night.key, device="barn", n=1, at=BEGAN, compromised=compromised)
    night.write("key_rotated", None, {"rotation": said.model_dump(mode="json")})
    return old


def test_whoever_has_the_key_from_before_a_change_is_led_to_the_one_that_signed(night):
    old = changed_key(night)

    found = check(night, night.export(Selection(after=3, before=6)).data, keys=[old.public])

    assert (found.state, found.rotations_n) == ("verified", 1)


def test_a_compromised_key_leads_nowhere_and_that_is_said(night):
    old = changed_key(night, compromised=True)

    found = check(night, night.export().data, keys=[old.public])

    assert found.state == "unknown key"
    assert "compromised" in found.faults[0]


def test_a_change_of_the_key_that_the_old_one_did_not_sign_leads_nowhere(night):
    old, thief = changed_key(night), SigningKey(Ed25519PrivateKey.generate())
    parts = archive_format.unpack(night.export().data)
    forged = json.loads(parts["key-rotations.json"])
    forged[0]["statement"]["old_key"] = thief.public.raw.hex()

    found = check(
        night, again(night, parts | {"key-rotations.json": archive_check.canonical(forged)}), keys=[thief.public]
    )

    assert found.state == "unknown key"
    assert "not signed by" in found.faults[0]
    assert check(night, night.export().data, keys=[old.public]).state == "verified"


@pytest.mark.parametrize("name", ["report.html", "README.txt"])
def test_a_page_that_tells_something_else_than_the_records_is_found_whoever_signed_it(night, name):
    parts = archive_format.unpack(night.export().data)
    lying = parts[name].replace(b"appliance", b"APPLIANCE").replace(b"Incident", b"Holiday")
    assert lying != parts[name]

    found = check(night, again(night, parts | {name: lying}))

    assert found.state == "broken"
    assert found.faults[0].startswith(f"{name}: it does not tell what the records say")


def test_pages_of_other_software_are_said_to_be_unchecked(night):
    parts = archive_format.unpack(night.export().data)

    found = check(night, again(night, parts, manifest={"software": "99.0.0"}))

    assert (found.state, found.is_report_checked, found.software) == ("verified", False, "99.0.0")


@pytest.mark.parametrize("name", archive_format.ORDER)
def test_one_changed_letter_in_any_part_is_found_and_the_part_is_named(night, name):
    bundle = b'{"format": "appliance-bundle/1"}\n'
    night.write("settled", "r4", {"versions": {"bundle_sha256": hashlib.sha256(bundle).hexdigest()}})
    found = {hashlib.sha256(bundle).hexdigest(): bundle}
    changed_key(night)
    done = night.export(with_words=True, since=night.checkpoint(size=5), bundle=found.get)
    parts = archive_format.unpack(done.data)
    assert check(night, done.data).state == "verified"
    chance = random.Random(name)

    for _ in range(40):
        data = bytearray(parts[name])
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        found = check(night, archive_format.pack(parts | {name: bytes(data)}))
        assert (found.state, any(name in fault for fault in found.faults)) == ("broken", True), found


@pytest.mark.parametrize("name", archive_format.ORDER)
def test_a_part_that_is_missing_is_named(night, name):
    done = night.export(since=night.checkpoint(size=5))
    parts = archive_format.unpack(done.data)
    if name in parts:
        del parts[name]
        found = check(night, archive_format.pack(parts))
        assert found.state == "broken"
        assert name in found.faults[0]


def body_of(line, **changes):
    return line | {"body": archive_check.canonical(json.loads(line["body"]) | changes).decode()}


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        ("records.jsonl", lambda r: body_of(r, at="2027") if r["seq"] == 6 else r, "record 6: the log of 13 records"),
        ("records.jsonl", lambda r: None if r["seq"] == 6 else r, "proof of record 7 is missing or out of order"),
        ("records.jsonl", lambda r: r | {"seq": 5} if r["seq"] == 6 else r, "record 5 is there twice, or out of order"),
        ("records.jsonl", lambda r: body_of(r, seq=7) if r["seq"] == 6 else r, "its body is that of record 7"),
        ("records.jsonl", lambda r: r | {"body": r["body"] + " "}, "not in canonical form"),
        ("records.jsonl", lambda r: r | {"body": "[" * 100_000}, "cannot be read"),
        ("records.jsonl", lambda r: r | {"body": "1"}, "cannot be read"),
        ("records.jsonl", lambda r: r | {"more": 1}, "more"),
        ("records.jsonl", lambda r: {k: v for k, v in r.items() if k != "personal"}, "said to be withheld"),
        ("proofs.jsonl", lambda p: p | {"path": p["path"][1:]}, "does not hold it"),
        ("proofs.jsonl", lambda p: p | {"path": ["AAAA"]}, "a hash of 3 bytes"),
        ("proofs.jsonl", lambda p: p | {"path": ["!"]}, "not base64"),
        ("since-proof.json", lambda p: p | {"old": 4}, "history was rewritten"),
        ("since-proof.json", lambda p: p | {"path": p["path"][1:]}, "history was rewritten"),
    ],
)
def test_a_lie_that_is_signed_by_whoever_has_the_key_still_has_to_fit_the_log(night, part, change, says):
    done = night.export(with_words=True, since=night.checkpoint(size=5))
    parts = archive_format.unpack(done.data)

    found = check(night, again(night, parts | {part: changed_lines(parts[part], change)}))

    assert found.state == "broken"
    assert any(says in fault for fault in found.faults), found.faults


def test_other_words_than_those_that_were_said_are_found(night):
    parts = archive_format.unpack(night.export(with_words=True).data)
    forged = parts["records.jsonl"].replace(b"unlock the front door", b"unlock the other door")

    found = check(night, again(night, parts | {"records.jsonl": forged}))

    assert "record 4: its personal value 'text' is not the one that was committed to" in found.faults[0]


def test_a_manifest_that_claims_what_is_not_so_is_found(night):
    parts = archive_format.unpack(night.export().data)

    for claim in ({"records_n": 5}, {"size": 12}, {"withheld": []}, {"epoch": "e9"}, {"key": "x+00000000+AAAA"}):
        assert check(night, again(night, parts, manifest=claim)).state == "broken", claim


def test_a_checkpoint_of_another_log_does_not_count(night):
    parts = archive_format.unpack(night.export().data)
    text = notes.parse(parts["checkpoint.note"]).text.replace("barn", "shed")
    other = str(notes.sign(text, night.origin, night.key)).encode()

    assert "of another log" in check(night, again(night, parts | {"checkpoint.note": other})).faults[0]


def zipped(parts, **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", options.get("method", zipfile.ZIP_STORED)) as target:
        for entry, data in parts:
            target.writestr(entry, data)
    return buffer.getvalue()


def entry(name, mode=0o100644):
    made = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    made.create_system, made.external_attr = 3, mode << 16
    return made


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([("../../etc/passwd", b"x")], "is not a part"),
        ([("/etc/passwd", b"x")], "is not a part"),
        ([("C:\\evil.exe", b"x")], "is not a part"),
        ([("records.jsonl\u200b", b"x")], "is not a part"),
        ([("r\u0435port.html", b"x")], "is not a part"),  # a Cyrillic letter
        ([("REPORT.HTML", b"x")], "is not a part"),
        ([("report.html\x00.exe", b"x")], "report.html is there twice|is not a part"),
        ([("folder/", b"")], "is not a part"),
        ([("report.html", b"another")], "report.html is there twice"),
        ([(f"{n}.txt", b"x") for n in range(6)], "parts; an incident archive has at most"),
    ],
)
def test_foreign_repeated_and_misleading_names_are_refused(night, more, says):
    parts = archive_format.unpack(night.export().data)
    data = zipped([(entry(name), data) for name, data in [*parts.items(), *more]])

    (fault,) = check(night, data).faults

    assert any(option in fault for option in says.split("|")), fault


def test_links_and_folders_are_refused(night):
    parts = archive_format.unpack(night.export().data)
    for mode in (0o120777, 0o040755, 0o020666):
        data = zipped([(entry(n, mode if n == "report.html" else 0o100644), d) for n, d in parts.items()])
        assert check(night, data).faults == ("report.html is not a plain file",)


def test_a_compressed_archive_is_refused_before_anything_is_inflated(night):
    parts = archive_format.unpack(night.export().data)
    bomb = zipped([(n, b"\0" * 50_000_000 if n == "report.html" else d) for n, d in parts.items()],
                  method=zipfile.ZIP_DEFLATED)  # fmt: skip

    assert "is compressed" in check(night, bomb).faults[0]


@pytest.mark.parametrize("hide", [
    lambda data: b"MZ\x90" + data,
    lambda data: data + b"trailing",
    lambda data: data[:-2] + b"\x05\x00hello",
    lambda data: data[:-30],
    lambda data: data[: len(data) // 2],
    lambda _: b"",
    lambda _: b"PK\x05\x06" + b"\0" * 18,
    lambda _: b"not a zip at all" * 1000,
])  # fmt: skip
def test_bytes_before_behind_or_between_the_parts_are_refused(night, hide):
    found = check(night, hide(night.export().data))

    assert found.state == "broken"
    assert len(found.faults[0]) < 300


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.truncate(archive_format.MAX_BYTES + 1)

    with pytest.raises(UsageError, match="larger than 128 MiB"):
        archive_format.open_archive(path)


def test_no_flipped_cut_or_doubled_byte_goes_unnoticed_and_none_crashes_the_check(night):
    data = night.export(with_words=True).data
    chance = random.Random(4)

    for _ in range(400):
        broken = bytearray(data)
        at = chance.randrange(len(broken))
        match chance.randrange(4):
            case 0:
                broken[at] ^= 1 << chance.randrange(8)
            case 1:
                del broken[at : at + chance.randrange(1, 200)]
            case 2:
                broken[at:at] = chance.randbytes(chance.randrange(1, 200))
            case _:
                end = at + chance.randrange(1, 200)
                broken[at:end] = chance.randbytes(end - at)
        assert check(night, bytes(broken)).state == "broken" or bytes(broken) == data


def test_common_tools_verify_it_as_the_page_says(night, tmp_path):
    tools = ["unzip", "openssl", "jq", "sha256sum", "sed", "base64"]
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    (tmp_path / "INCIDENT.zip").write_bytes(night.export(with_words=True).data)
    parts = archive_format.unpack((tmp_path / "INCIDENT.zip").read_bytes())
    readme = parts["README.txt"].decode()
    script = readme[readme.index("unzip INCIDENT") : readme.index("\nThe log is called")]

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Signature Verified Successfully") == 2
    assert done.stdout.count(": OK") == 1 + len(parts) - 2
    assert base64.b64encode(b"\x01" + night.key.public.raw).decode() in done.stdout
