"""The safety suite over a second model: the table, and that a wrong offer is named."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance import cli, settings
from appliance.adapters import choosing, passing
from appliance.adapters.choosing import has_passed
from appliance.adapters.chosen import EscalationSettings
from appliance.adapters.needle import PINNED
from appliance.canary import second as examining
from appliance.canary import suite as suites
from appliance.contracts.canary import SAFETY


@pytest.fixture
def check(tmp_path):
    def run(section, *words):
        (tmp_path / "appliance.toml").write_text(section)
        return CliRunner().invoke(cli.group, ["--home", str(tmp_path), "escalation", "check", *words])

    return run


def test_every_family_is_among_the_chosen_cases_and_none_twice():
    suite = suites.read(suites.OWN)

    cases = examining.chosen(suite, 2)

    assert {case.line.family for case in cases} == {case.line.family for case in suite.cases}
    assert len({case.number for case in cases}) == len(cases)
    assert examining.chosen(suite, None) == suite.cases


def test_a_server_that_says_nothing_is_no_fault_and_nothing_forbidden_reaches_it(check, second):
    server = second.open_server()

    found = check(server.settings(), "--each", "3", "--json")

    told = json.loads(found.output)
    assert (found.exit_code, told["faults"]) == (0, 0)
    assert told["families"]["negated"]["not asked"] > 0
    assert told["answered"] == len(server.asked) > 0
    assert set(told["families"]) >= set(SAFETY)


def test_a_server_that_always_unlocks_is_offered_wrongly_at_most_where_words_carry_it_and_is_named(check, second):
    server = second.open_server()

    def unlock(handler):
        words = server.words()
        door = next((name for name in ("front door", "back door") if name in words), "front door")
        second.reply(handler, second.completion([{"tool": "unlock_door", "arguments": {"door": door}}]))

    server.answer = unlock
    found = check(server.settings(), "--each", "40", "--json")
    told = json.loads(found.output)

    came = [counts for family, counts in told["families"].items() if family in SAFETY]
    assert sum(counts.get("refused", 0) for counts in came) > sum(counts.get("offered wrongly", 0) for counts in came)
    assert found.exit_code == (1 if told["faults"] else 0)
    assert told["faults"] == sum(counts.get("offered wrongly", 0) for counts in came)


def test_nobody_there_ends_with_one(check, second):
    server = second.open_server()
    section = server.settings()
    server.close()

    found = check(section, "--all")

    assert found.exit_code == 1
    assert "0 answers" in found.output
    assert "no answer, 3 times: unreachable: Connection refused" in found.output, "and not hundreds of times"


def test_weights_with_another_hash_are_named_after_the_first_questions(check, tmp_path):
    pytest.importorskip("needle_rs", reason="needle-rs is not installed: pip install 'edge-agent-appliance[needle]'")
    (tmp_path / "n.cact").write_bytes(b"x")
    section = f'[escalation]\nproposer = "needle"\nweights = "n.cact"\nweights_sha256 = "{"0" * 64}"\n'

    found = check(section, "--all", "--json")

    told = json.loads(found.output)
    ((reason, times_n),) = told["silent"].items()
    assert (found.exit_code, times_n) == (1, examining.HOPELESS_N)
    assert "the file under `weights` has the hash" in reason


def test_failures_that_differ_or_come_late_end_nothing():
    case = suites.read(suites.OWN).cases[0]
    silent, other, answer = (
        examining.Tried(case, came, 0.0, told) for came, told in (("silent", "x"), ("silent", "y"), ("nothing", ""))
    )

    assert examining.is_hopeless([silent] * 3)
    assert not examining.is_hopeless([silent] * 2)
    assert not examining.is_hopeless([silent, other, silent])
    assert not examining.is_hopeless([answer, *[silent] * 9])


def test_needle_at_random_is_tried_by_the_same_suite_and_does_not_pass(check, tmp_path):
    pytest.importorskip("needle_rs", reason="needle-rs is not installed: pip install 'edge-agent-appliance[needle]'")
    weights = Path(__file__).parents[1] / "adapters" / "needle3_random.cact"
    (tmp_path / "n.cact").write_bytes(weights.read_bytes())
    sha256 = "220b3c8db58a8fff58950254229dacb6c32de6871ce3f42b6babef5dcbcf3d41"

    section = f'[escalation]\nproposer = "needle"\nweights = "n.cact"\nweights_sha256 = "{sha256}"\n'
    (tmp_path / "appliance.toml").write_text(section)
    chosen = settings.load(tmp_path).escalation
    passing.note(tmp_path, passing.of(chosen, PINNED))

    found = check(section, "--each", "1", "--json")

    told = json.loads(found.output)
    assert (found.exit_code, told["answered"]) == (1, 0)
    assert list(told["silent"]) == ["malformed: it wrote no call, and not that there is none"]
    assert not has_passed(chosen, tmp_path), "what did not pass now keeps no note of an earlier time"


def needle(weights="a" * 64, **more):
    said = {"proposer": "needle", "weights": "n.cact", "weights_sha256": weights, **more}
    return EscalationSettings.model_validate(said)


def test_a_pass_counts_for_the_weights_that_passed_and_for_no_others(tmp_path):
    assert not has_passed(needle(), tmp_path)

    choosing.note(needle(), tmp_path, is_passed=True, is_whole=False)
    assert not has_passed(needle(), tmp_path), "a part of the suite lets nothing pass"
    choosing.note(needle(), tmp_path, is_passed=True, is_whole=True)

    assert has_passed(needle(), tmp_path)
    assert not has_passed(needle("b" * 64), tmp_path)
    assert not has_passed(needle(generation=2), tmp_path)
    choosing.note(needle(), tmp_path, is_passed=False, is_whole=False)
    assert not has_passed(needle(), tmp_path)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"\xff", b"x" * 9999, b'{"format":"needle-passed/1"}'])
def test_a_note_that_cannot_be_read_is_no_pass(tmp_path, raw):
    (tmp_path / passing.NAME).write_bytes(raw)

    assert not has_passed(needle(), tmp_path)


def test_off_there_is_nothing_to_check(check):
    found = check("")

    assert found.exit_code != 0
    assert "off" in str(found.exception)
