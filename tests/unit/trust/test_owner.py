"""A device has one owner; only that owner's key makes another one."""

import pytest

from appliance.errors import TrustError
from appliance.trust import keys, notes, owner


class Owner:
    """A key at a desk."""

    def __init__(self, path):
        self.public = owner.make(path)
        self.key = keys.load(path)

    def hands_over_to(self, other):
        return str(owner.hand_over(self.key, other.public)).encode()


@pytest.fixture
def people(tmp_path):
    """Three owners: first, second, third."""
    return [Owner(tmp_path / f"{n}.pem") for n in range(3)]


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def named(verifier):
    return str(verifier)


def test_an_owners_key_is_for_its_user_alone_and_is_never_overwritten(tmp_path):
    path = tmp_path / "owner.pem"
    owner.make(path)
    before = path.read_bytes()

    with pytest.raises(TrustError, match="never overwritten"):
        owner.make(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == before


def test_a_key_is_not_written_through_a_link(tmp_path):
    (tmp_path / "owner.pem").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(TrustError):
        owner.make(tmp_path / "owner.pem")

    assert not (tmp_path / "elsewhere").exists()


def test_a_device_that_was_given_an_owner_keeps_that_one(home, people):
    first, second, _ = people
    assert owner.current(home, None) is None

    owner.trust(home, first.public)
    owner.trust(home, first.public)
    with pytest.raises(TrustError, match="only that key can hand it over"):
        owner.trust(home, second.public)

    assert named(owner.current(home, None)) == named(first.public)


def test_an_owner_hands_over_to_another(home, people):
    first, second, third = people
    owner.trust(home, first.public)

    owner.take_over(home, first.hands_over_to(second))
    owner.take_over(home, second.hands_over_to(third))

    for remembered in (None, first.public, second.public, third.public):
        assert named(owner.current(home, remembered)) == named(third.public)


@pytest.mark.parametrize("forged", ["another signs", "nobody signs", "altered", "empty", "not text"])
def test_nobody_else_hands_over(home, people, forged):
    first, second, third = people
    owner.trust(home, first.public)
    made = first.hands_over_to(second)
    data = {
        "another signs": third.hands_over_to(second),
        "nobody signs": made.rpartition(b"\n\n")[0] + b"\n",
        "altered": made.replace(str(second.public).encode(), str(third.public).encode()),
        "empty": b"",
        "not text": b"\xff\xfe",
    }[forged]

    with pytest.raises(TrustError, match="not a hand-over by this device's owner"):
        owner.take_over(home, data)

    assert named(owner.current(home, None)) == named(first.public)


def test_another_text_that_the_owner_signed_is_no_hand_over(home, people):
    first, second, _ = people
    owner.trust(home, first.public)
    for text in (f"something\n{second.public}\n", f"{owner.ORIGIN}\n{second.public}\n\n", f"{owner.ORIGIN}\n"):
        with pytest.raises(TrustError):
            owner.take_over(home, str(notes.sign(text, owner.NAME, first.key)).encode())


def test_a_device_without_an_owner_follows_no_hand_over(home, people):
    first, second, _ = people

    with pytest.raises(TrustError, match="no owner who could hand it over"):
        owner.take_over(home, first.hands_over_to(second))


def test_an_exchanged_file_does_not_make_another_owner_of_a_device_that_remembers(home, people):
    first, second, _ = people
    owner.trust(home, first.public)
    (home / owner.OWNER).write_text(f"{second.public}\n")

    with pytest.raises(TrustError, match="never handed over"):
        owner.current(home, first.public)


def test_a_removed_file_does_not_set_a_device_free_that_remembers(home, people):
    first, second, _ = people
    owner.trust(home, first.public)
    owner.take_over(home, first.hands_over_to(second))
    (home / owner.OWNER).unlink()

    assert named(owner.current(home, first.public)) == named(second.public)


def test_a_power_cut_between_the_two_files_leaves_the_old_owner(home, people):
    first, second, _ = people
    owner.trust(home, first.public)
    before = (home / owner.OWNER).read_bytes()
    owner.take_over(home, first.hands_over_to(second))
    (home / owner.OWNER).write_bytes(before)  # as it was before the second file's rename

    assert named(owner.current(home, first.public)) == named(first.public)
    owner.take_over(home, first.hands_over_to(second))
    assert named(owner.current(home, first.public)) == named(second.public)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"x", b"owner+00000000+AAAA\n", b"\xff\n", b"a" * 5000], ids=lambda c: repr(c[:20])
)
def test_a_damaged_file_is_a_clear_error_and_nobody_becomes_owner(home, people, content):
    owner.trust(home, people[0].public)
    (home / owner.OWNER).write_bytes(content)

    with pytest.raises(TrustError, match=r"owner\.pub"):
        owner.current(home, None)


def test_a_second_line_in_the_file_is_refused(home, people):
    owner.trust(home, people[0].public)
    (home / owner.OWNER).write_text(f"{people[0].public}\n{people[1].public}\n")

    with pytest.raises(TrustError, match="one line"):
        owner.current(home, None)


def test_damaged_hand_overs_are_a_clear_error(home, people):
    owner.trust(home, people[0].public)
    (home / owner.HANDED).write_text("[1]")

    with pytest.raises(TrustError, match="it is damaged"):
        owner.current(home, people[0].public)


def test_the_public_half_can_be_read_by_the_service_whoever_installed_it(home, people):
    owner.trust(home, people[0].public)

    assert (home / owner.OWNER).stat().st_mode & 0o777 == 0o644
