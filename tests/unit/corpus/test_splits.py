"""What development rows share with training rows, and what they never share."""

import hashlib
import json
from itertools import islice

from firmware_models.corpus import __main__ as command
from firmware_models.corpus import phrasing, splits
from firmware_models.corpus.firewall import Firewall
from firmware_models.corpus.generate import Generator
from firmware_models.corpus.maker import Families


def test_no_domain_is_on_both_sides():
    training, unseen = splits.training_world(), splits.development_world()

    assert not {p.name for p in training.places} & {p.name for p in unseen.places}
    assert not set(training.groups) & set(unseen.groups)
    assert {p.name for p in unseen.places} == splits.HELD_OUT_DOMAINS
    assert set(unseen.groups) == splits.HELD_OUT_SERVICES


def test_held_out_phrasings_exist_and_stay_out_of_training():
    known, held = Families(held_out=False), Families(held_out=True)

    assert {name for name, _ in held.positive} == phrasing.HELD_OUT <= set(phrasing.POSITIVE)
    assert {name for name, _ in held.negative} == phrasing.NEGATIVE_HELD_OUT <= set(phrasing.NEGATIVE)
    assert not {name for name, _ in known.positive} & phrasing.HELD_OUT


def test_rows_of_a_split_come_from_its_domains():
    rows = islice(Generator(splits.development_world(), Families(held_out=True), "test").rows(1), 300)

    assert {row["family"] for row in rows} <= splits.HELD_OUT_DOMAINS | splits.HELD_OUT_SERVICES


def test_the_firewall_stops_equal_requests_and_shared_runs_of_eight_words():
    firewall = Firewall(["Open the gate!", "one two three four five six seven eight nine"])

    assert firewall.stops("open the gate")
    assert firewall.stops("please say two three four five six seven eight nine and ten")
    assert not firewall.stops("open the gate now")
    assert not firewall.stops("one two three four five six seven")


def test_the_command_writes_every_file_with_its_hash_and_nothing_twice(tmp_path):
    command.main(["--out", str(tmp_path), "--rows", "150", "--development", "0.1", "--data", str(tmp_path / "none")])

    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["files"]["train.jsonl"]["rows"] == 150
    assert manifest["files"]["dev_unseen_tools.jsonl"]["rows"] == 80
    for name, told in manifest["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == told["sha256"]
    trained = _said(tmp_path / "train.jsonl")
    for held in ("dev_in_template", "dev_unseen_tools", "dev_unseen_phrasing"):
        assert not trained & _said(tmp_path / f"{held}.jsonl")


def _said(path):
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {row["request"].lower() for row in rows if row["kind"] != "unrelated"}
