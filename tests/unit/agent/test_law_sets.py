"""Laws come into force as a whole set by the device's owner, or what was in force stays."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.agent import law_acceptance, law_folder, law_sets
from appliance.agent.law_acceptance import Accepted, Here, NotAccepted
from appliance.contracts.audit import Moment
from appliance.contracts.workflow import LawsRead
from appliance.policy.workflow import templates
from appliance.policy.workflow.world import World
from appliance.storage import audit, database
from appliance.storage import laws as kept_laws
from appliance.tools import catalogue
from appliance.tools.site import Site
from appliance.trust import keys, owner
from appliance.trust.law_set import SignedLaw, law_set, sign_set

NOW = Moment(at=datetime(2026, 11, 23, 12, 0, tzinfo=UTC), monotonic_s=5.0, boot=1, clock="trusted")


def law(name="lamps", version=1, about="", tools='"family:lighting"'):
    return (
        f"workflow: {name}\nversion: {version}\nabout: {json.dumps(about)}\ninitial: idle\nsafe: idle\n"
        f'governs: ["family:lighting"]\nstates:\n  idle:\n    tools: [{tools}]\n'
    ).encode()


@pytest.fixture(scope="module")
def known():
    return catalogue.of(Site.demonstration())


class Desk:
    """Where laws are written and signed."""

    def __init__(self, path):
        self.public = owner.make(path)
        self.key = keys.load(path)

    def signed(self, files, number=1, site="plant-1", devices=()):
        """Return *files* with a note over them, whatever is in them."""
        lines = []
        for raw in files.values():
            fields = dict(line.split(": ", 1) for line in raw.decode().split("\n")[:2])
            digest = kept_laws.digest_of(raw)
            lines.append(SignedLaw(fields["workflow"], int(fields["version"]), digest, len(raw)))
        return {**files, "laws.note": str(sign_set(law_set(number, site, devices, lines), self.key)).encode()}


class Device:
    """A home with a database, and what its daemon does at a start or at `load_laws`."""

    def __init__(self, root, known, site="plant-1", device="lamp-1"):
        self.root = root
        self.root.mkdir()
        self.db = database.open_database(root / "appliance.db").db
        world = World(times_s=known.times_s, sensors=known.sensors, devices=known.devices)
        self.here = Here(site, device, known.specs, world, UTC)

    def lay(self, files):
        law_folder.replace(self.root, files)

    def read(self):
        chosen = law_sets.choose(self.root, self.db, self.here)
        law_sets.keep(self.root, self.db, chosen, NOW)
        return chosen.in_force

    def load(self, files):
        self.lay(files)
        return self.read()

    @property
    def records(self):
        rows = [json.loads(row.body) for row in audit.rows(self.db.connection)]
        return [LawsRead.from_json(row["facts"]) for row in rows if row["kind"] == "laws"]

    @property
    def texts(self):
        return {row["digest"] for row in self.db.rows("select digest from law_texts")}


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "owner.pem")


@pytest.fixture
def device(tmp_path, known):
    """A device that nobody owns yet."""
    made = Device(tmp_path / "home", known)
    yield made
    made.db.close()


@pytest.fixture
def owned(device, desk):
    """A device that takes only what the desk signed."""
    owner.trust(device.root, desk.public)
    return device


def names(in_force):
    return [(one.name, one.version) for one in in_force.compiled]


TWO = {"a.yaml": law(), "b.yaml": law("doors")}


# What a device without an owner does.


def test_a_device_without_laws_has_none_and_writes_nothing(device):
    assert device.read() == law_sets.InForceLaws()
    assert device.records == []
    assert kept_laws.accepted(device.db) is None


def test_laws_that_nobody_signed_are_in_force_on_a_device_without_an_owner(device):
    in_force = device.load(TWO)

    assert names(in_force) == [("doors", 1), ("lamps", 1)]
    assert (in_force.number, in_force.signed_by, in_force.barred, in_force.complaints) == (0, "", "", ())
    assert {text.encode() for text in in_force.texts.values()} == set(TWO.values())
    assert set(in_force.texts) == {one.digest for one in in_force.compiled} == device.texts
    assert [(law.name, law.version, law.digest) for law in device.records[0].laws] == [
        (one.name, one.version, one.digest) for one in in_force.compiled
    ]


def test_the_same_laws_again_are_no_change_and_no_record(device):
    device.load(TWO)

    assert names(device.read()) == [("doors", 1), ("lamps", 1)]
    assert len(device.records) == 1


def test_laws_that_are_taken_away_are_withdrawn(device):
    device.load(TWO)

    for in_force in (device.load({}), device.read()):
        assert in_force.compiled == ()
        assert in_force.barred == ""
    assert [len(record.laws) for record in device.records] == [2, 0]
    assert device.texts == set()


def test_a_broken_file_keeps_the_whole_set_out_and_the_accepted_one_in_force(device):
    device.load(TWO)

    in_force = device.load({"a.yaml": law(version=2), "b.yaml": law("doors").replace(b"idle:", b"idel:")})

    assert names(in_force) == [("doors", 1), ("lamps", 1)]
    assert in_force.barred == ""
    assert in_force.complaints[0].startswith("b.yaml:")
    assert device.records[-1].complaints == in_force.complaints
    assert names(in_force) == [(law.name, law.version) for law in device.records[-1].laws]


def test_where_no_laws_were_ever_accepted_a_broken_file_bars_everything(device):
    in_force = device.load({"a.yaml": b"workflow: [\n"})

    assert in_force.compiled == ()
    assert "no laws were ever accepted" in in_force.barred
    assert device.records[-1].barred == in_force.barred
    device.load(TWO)
    assert device.read().barred == ""


def test_a_finding_of_the_validator_keeps_a_set_out(device):
    in_force = device.load({"a.yaml": law(tools='"no_such_tool"')})

    assert "[unknown-tool]" in " ".join(in_force.complaints)
    assert in_force.barred


def test_two_files_for_one_workflow_are_refused(device):
    in_force = device.load({"a.yaml": law(), "copy of a.yaml": law()})

    assert in_force.complaints == ("two files are the workflow lamps; keep one of them",)


def test_what_else_lies_there_is_named_and_harmless(device):
    in_force = device.load({**TWO, "README": b"x"})

    assert len(in_force.compiled) == 2
    assert in_force.complaints == ()
    assert "README" in in_force.remarks[0]


@pytest.mark.parametrize("version", [1, 2])
def test_another_text_needs_a_higher_version(device, version):
    device.load({"a.yaml": law(version=2)})

    in_force = device.load({"a.yaml": law(version=version, about="changed")})

    assert in_force.complaints == (
        f"lamps is another text than the one in force, and its version {version} is not above 2; write `version: 3`",
    )
    assert names(in_force) == [("lamps", 2)]
    assert names(device.load({"a.yaml": law(version=3, about="changed")})) == [("lamps", 3)]


def test_laws_that_are_too_much_for_a_record_are_refused(device):
    large = {f"{n}.yaml": law(f"law_{n}") + b"# " + b"y" * 12000 + b"\n" for n in range(14)}

    in_force = device.load(large)

    assert "at most 160" in in_force.complaints[0]
    assert in_force.barred


def test_the_texts_of_runs_that_go_on_are_kept(device):
    device.load({"a.yaml": law()})
    old = device.read().compiled[0]
    device.db.execute("insert into runs values ('r1', 'lamps', 1, ?, '2026', null, 1, 'idle', '{}')", (old.digest,))
    device.load({"a.yaml": law(version=2)})

    assert [one.version for one in law_sets.earlier(device.db, [old.digest], device.here)] == [1]

    device.db.execute("update runs set ended_at = '2026'")
    device.load({"a.yaml": law(version=3)})
    assert law_sets.earlier(device.db, [old.digest], device.here) == ()
    assert len(device.texts) == 1


def test_every_template_that_ships_is_accepted_at_the_demonstrations_site(device):
    files = {f"{name}.yaml": templates.text(name).encode() for name in templates.titles()}

    in_force = device.load(files)

    assert len(in_force.compiled) == len(files)
    assert in_force.complaints == ()


def test_a_note_that_nobody_can_check_is_said_and_changes_nothing(device, desk):
    in_force = device.load(desk.signed(TWO, number=9))

    assert (len(in_force.compiled), in_force.number, in_force.signed_by) == (2, 0, "")
    assert "was not checked" in in_force.remarks[0]


# What a device with an owner does.


def test_a_signed_set_is_in_force_on_its_owners_device(owned, desk):
    in_force = owned.load(desk.signed(TWO, number=4))

    assert names(in_force) == [("doors", 1), ("lamps", 1)]
    assert (in_force.number, in_force.signed_by) == (4, desk.key.key_id)
    assert owned.records == [LawsRead(number=4, signed_by=desk.key.key_id, laws=owned.records[0].laws)]
    assert names(owned.read()) == names(in_force)
    assert len(owned.records) == 1


def test_a_device_with_an_owner_who_signed_nothing_yet_is_barred(owned):
    assert "no laws were ever accepted" in owned.read().barred
    assert "takes only what its owner" in owned.load(TWO).barred


@pytest.mark.parametrize("files", [TWO, {}], ids=["unsigned laws", "an empty folder"])
def test_without_a_signature_the_accepted_set_stays(owned, desk, files):
    owned.load(desk.signed({"a.yaml": law()}))

    in_force = owned.load(files)

    assert names(in_force) == [("lamps", 1)]
    assert "takes only what its owner" in in_force.complaints[0]


def test_a_signed_empty_set_withdraws_the_laws(owned, desk):
    owned.load(desk.signed(TWO))

    in_force = owned.load(desk.signed({}, number=2))

    assert (in_force.compiled, in_force.barred, in_force.number) == ((), "", 2)


def refused(owned, desk, files, why):
    """Load *files* over an accepted set 5 and expect that it stays, for a reason with *why* in it."""
    before = owned.load(desk.signed(TWO, number=5))

    in_force = owned.load(files)

    assert names(in_force) == names(before)
    assert in_force.number == 5
    assert in_force.texts == before.texts
    assert in_force.barred == ""
    assert why in " ".join(in_force.complaints)
    assert owned.records[-1].complaints == in_force.complaints


NEXT = {"a.yaml": law(version=2), "b.yaml": law("doors", 2)}


def test_an_older_set_is_refused(owned, desk):
    refused(owned, desk, desk.signed(NEXT, number=4), "set 4 is older than set 5")


def test_another_set_of_the_same_number_is_refused(owned, desk):
    refused(owned, desk, desk.signed(NEXT, number=5), "is not the set 5 that this device has")


def test_a_set_for_another_site_is_refused(owned, desk):
    refused(owned, desk, desk.signed(NEXT, number=6, site="plant-2"), "signed for site plant-2")


def test_a_set_for_another_device_is_refused(owned, desk):
    refused(owned, desk, desk.signed(NEXT, number=6, devices=("lamp-2",)), "devices lamp-2; this is lamp-1 at plant-1")


def test_a_set_by_another_key_is_refused(owned, desk, tmp_path):
    refused(owned, desk, Desk(tmp_path / "other.pem").signed(NEXT, number=6), "not signed by a known key")


def test_a_file_beside_the_signed_ones_is_refused(owned, desk):
    refused(owned, desk, {**desk.signed(NEXT, number=6), "c.yaml": law("more")}, "'c.yaml' is not one of the files")


def test_anything_else_beside_the_signed_ones_is_refused(owned, desk):
    refused(owned, desk, {**desk.signed(NEXT, number=6), "README": b"x"}, "'README' is not one of the files")


def test_a_second_note_is_refused(owned, desk):
    more = desk.signed(NEXT, number=7)["laws.note"]
    refused(owned, desk, {**desk.signed(NEXT, number=6), "more.note": more}, "'more.note' is not one of the files")


def test_a_missing_file_is_refused(owned, desk):
    files = desk.signed(NEXT, number=6)
    del files["b.yaml"]
    refused(owned, desk, files, "doors version 2 is signed, and its file is not here")


def test_a_file_twice_is_refused(owned, desk):
    refused(owned, desk, {**desk.signed(NEXT, number=6), "c.yaml": NEXT["a.yaml"]}, "two files are the workflow lamps")


def test_a_signed_text_under_a_version_that_did_not_grow_is_refused(owned, desk):
    refused(owned, desk, desk.signed({"a.yaml": law(about="other")}, number=6), "its version 1 is not above 1")


def test_a_signed_file_that_breaks_the_language_is_refused(owned, desk):
    refused(owned, desk, desk.signed({"a.yaml": law(version=2) + b"more: 1\n"}, number=6), "a.yaml:")


@pytest.mark.parametrize("field", ["name", "version", "bytes_n"])
def test_a_note_that_calls_a_file_something_else_is_refused(owned, desk, field):
    one = SignedLaw("lamps", 2, kept_laws.digest_of(NEXT["a.yaml"]), len(NEXT["a.yaml"]))
    wrong = one._replace(**{field: {"name": "pumps", "version": 3, "bytes_n": 7}[field]})
    note = str(sign_set(law_set(6, "plant-1", (), [wrong]), desk.key)).encode()
    refused(owned, desk, {"a.yaml": NEXT["a.yaml"], "laws.note": note}, "is signed, and its file is not here")


def test_files_may_be_called_anything_for_their_content_is_signed(owned, desk):
    files = desk.signed(TWO)
    swapped = {"b.yaml": files["a.yaml"], "z.json.yaml": files["b.yaml"], "laws.note": files["laws.note"]}

    assert names(owned.load(swapped)) == [("doors", 1), ("lamps", 1)]


def test_files_whose_contents_were_swapped_between_two_sets_are_refused(owned, desk):
    older, newer = desk.signed(NEXT, number=6), desk.signed({"a.yaml": law(version=3), "b.yaml": NEXT["b.yaml"]}, 7)
    refused(owned, desk, {**newer, "a.yaml": older["a.yaml"]}, "'a.yaml' is not one of the files that were signed")


def test_every_flipped_byte_of_a_file_is_refused(owned, desk):
    files = desk.signed(TWO)
    found = law_acceptance.Found(tuple(law_folder.LawFile(n, r) for n, r in TWO.items()), files["laws.note"])
    assert isinstance(law_acceptance.read_folder(found, desk.public, owned.here), Accepted)

    for file in found.files:
        for n in range(len(file.raw)):
            changed = file._replace(raw=bytes((*file.raw[:n], file.raw[n] ^ 1, *file.raw[n + 1 :])))
            others = tuple(changed if one == file else one for one in found.files)
            read = law_acceptance.read_folder(found._replace(files=others), desk.public, owned.here)
            assert isinstance(read, NotAccepted)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_done_to_a_signed_set_it_is_the_signed_one_or_refused(owned, desk, data):
    files = desk.signed(TWO, number=3)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from([*files, "new.yaml"]))
        raw = files.get(name, b"")
        match data.draw(st.sampled_from(["cut", "remove", "patch", "copy", "append"])):
            case "cut":
                files[name] = raw[: data.draw(st.integers(0, len(raw)))]
            case "remove":
                files.pop(name, None)
            case "patch":
                at = data.draw(st.integers(0, len(raw)))
                files[name] = raw[:at] + data.draw(st.binary(max_size=4)) + raw[at + 2 :]
            case "copy":
                files[data.draw(st.sampled_from(["a.yaml", "b.yaml", "c.yaml", "laws.note", "x"]))] = raw
            case "append":
                files[name] = raw + data.draw(st.sampled_from([b"\n", b" ", b"#", raw]))
    found = law_acceptance.Found(
        tuple(law_folder.LawFile(n, r) for n, r in files.items() if n.endswith(".yaml")),
        files.get("laws.note"),
        tuple(n for n in files if n == "x"),
    )

    read = law_acceptance.read_folder(found, desk.public, owned.here)

    if isinstance(read, Accepted):
        assert {one.text.encode() for one in read.laws} == set(TWO.values())
        assert read.number == 3
    else:
        assert read.complaints


# Owners come and go.


def test_laws_from_before_there_was_an_owner_are_not_enough(device, desk):
    device.load(TWO)
    owner.trust(device.root, desk.public)

    in_force = device.read()

    assert in_force.compiled == ()
    assert "nobody signed" in in_force.barred
    assert names(device.load(desk.signed(TWO))) == [("doors", 1), ("lamps", 1)]


def test_removing_the_owners_file_does_not_set_a_device_free(owned, desk):
    owned.load(desk.signed(TWO))
    (owned.root / owner.OWNER).unlink()

    in_force = owned.load({"a.yaml": law(version=9)})

    assert names(in_force) == [("doors", 1), ("lamps", 1)]
    assert in_force.complaints


def test_exchanging_the_owners_file_does_not_make_another_owner(owned, desk, tmp_path):
    owned.load(desk.signed(TWO))
    thief = Desk(tmp_path / "thief.pem")
    (owned.root / owner.OWNER).write_text(f"{thief.public}\n")

    in_force = owned.load(thief.signed(NEXT, number=9))

    assert in_force.signed_by == desk.key.key_id
    assert "never handed over" in in_force.complaints[0]


def test_after_a_hand_over_the_new_owner_signs_and_the_old_set_stays_until_then(owned, desk, tmp_path):
    owned.load(desk.signed(TWO, number=2))
    heir = Desk(tmp_path / "heir.pem")
    owner.take_over(owned.root, str(owner.hand_over(desk.key, heir.public)).encode())

    waiting = owned.read()
    assert names(waiting) == [("doors", 1), ("lamps", 1)]
    assert "not signed by a known key" in waiting.complaints[0]
    assert owned.load(heir.signed(TWO, number=2)).signed_by == heir.key.key_id
    assert owned.load(desk.signed(NEXT, number=3)).signed_by == heir.key.key_id


@pytest.mark.parametrize("content", [b"", b"x\n", b"\xff"])
def test_a_damaged_owners_file_lets_nothing_new_in(owned, desk, content):
    owned.load(desk.signed(TWO))
    (owned.root / owner.OWNER).write_bytes(content)

    in_force = owned.load(desk.signed(NEXT, number=2))

    assert names(in_force) == [("doors", 1), ("lamps", 1)]
    assert "owner.pub" in in_force.complaints[0]


def test_a_damaged_owners_file_bars_a_device_whose_laws_nobody_signed(device):
    device.load(TWO)
    (device.root / "keys").mkdir()
    (device.root / owner.OWNER).write_bytes(b"x")

    assert device.read().barred


# What was accepted is taken from the database again.


@pytest.mark.parametrize("gone", ["folder", "files"])
def test_a_damaged_folder_leaves_the_accepted_set_in_force_over_a_restart(owned, desk, gone):
    owned.load(desk.signed(TWO))
    if gone == "folder":
        law_folder.replace(owned.root, {})
        (owned.root / "laws").rmdir()
    else:
        (owned.root / "laws" / "a.yaml").write_bytes(b"")

    in_force = owned.read()

    assert names(in_force) == [("doors", 1), ("lamps", 1)]
    assert in_force.complaints
    assert in_force.signed_by == desk.key.key_id


@pytest.mark.parametrize(
    "damage",
    [
        "delete from law_texts",
        "update law_texts set text = text || '#'",
        "update law_set set note = replace(note, 'set 5', 'set 6')",
        "update law_set set owner = ''",
        "update law_set set owner = 'x'",
        "update law_set set laws = '[]'",
    ],
)
def test_an_accepted_set_that_was_damaged_is_not_used_in_part(owned, desk, damage):
    owned.load(desk.signed(TWO, number=5))
    owned.db.execute(damage)
    (owned.root / "laws" / "a.yaml").write_bytes(b"x")

    in_force = owned.read()

    assert in_force.compiled == ()
    assert in_force.barred


def test_an_accepted_set_that_no_longer_fits_the_device_bars_it(owned, desk, known):
    owned.load(desk.signed({"a.yaml": law()}))
    owned.here = owned.here._replace(site="plant-2")

    in_force = owned.read()

    assert in_force.compiled == ()
    assert "this is lamp-1 at plant-2" in in_force.barred


def test_an_older_set_stays_refused_after_the_database_was_lost_as_long_as_its_records_were_saved(owned, desk):
    owned.db.execute(
        "insert into past values ('e0', 7, 'laws', null, '2026', x'00', ?, null)",
        (json.dumps({"facts": {"number": 5}}),),
    )

    assert "set 4 is older than set 5" in owned.load(desk.signed(TWO, number=4)).barred
    assert owned.load(desk.signed(TWO, number=5)).number == 5


def test_a_power_cut_before_the_set_was_kept_changes_nothing(owned, desk):
    owned.load(desk.signed(TWO))
    owned.lay(desk.signed(NEXT, number=2))
    chosen = law_sets.choose(owned.root, owned.db, owned.here)

    with pytest.raises(RuntimeError), owned.db.atomic():
        law_sets.keep(owned.root, owned.db, chosen, NOW)
        raise RuntimeError("the power went")

    assert kept_laws.accepted(owned.db).number == 1
    assert len(owned.records) == 1
    assert owned.read().number == 2


def test_an_older_set_stays_refused_after_the_whole_database_was_lost(owned, desk):
    owned.load(desk.signed(TWO, number=5))
    owned.db.close()
    for file in owned.root.glob("appliance.db*"):
        file.unlink()
    owned.db = database.open_database(owned.root / "appliance.db").db

    assert "set 4 is older than set 5" in owned.load(desk.signed(TWO, number=4)).barred
    assert owned.load(desk.signed(TWO, number=5)).number == 5


def test_a_damaged_note_of_the_newest_number_is_a_complaint_and_the_accepted_set_stays(owned, desk):
    owned.load(desk.signed(TWO, number=5))
    (owned.root / owner.FLOOR).write_text("five\n")

    in_force = owned.read()

    assert (in_force.number, in_force.barred) == (5, "")
    assert "laws.floor" in in_force.complaints[0]
