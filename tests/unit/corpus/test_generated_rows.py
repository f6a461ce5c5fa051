"""What must be true of every generated row."""

import json
from collections import Counter
from itertools import islice

import pytest

from firmware_models.corpus import checking, splits
from firmware_models.corpus.generate import Generator
from firmware_models.corpus.maker import Families

ROWS_N = 1500


def _generator() -> Generator:
    return Generator(splits.training_world(), Families(held_out=False), "test")


@pytest.fixture(scope="module")
def rows():
    return list(islice(_generator().rows(7), ROWS_N))


def test_nearly_every_row_keeps_to_the_format(rows):
    faults = Counter(fault for row in rows for fault in checking.check(row))

    assert sum(faults.values()) <= ROWS_N // 500, faults


def test_free_text_is_exactly_its_span(rows):
    for row in rows:
        shapes = {tool["name"]: tool["parameters"]["properties"] for tool in row["tools"]}
        for call in row["calls"]:
            for name, argument in call["arguments"].items():
                shape = shapes[call["name"]][name]
                plain = set(shape) <= {"type", "description"} and shape["type"] == "string"
                if plain and isinstance(argument["value"], str) and argument["spans"]:
                    start, end = argument["spans"][0]
                    said = row["request"][start:end]
                    resolved = any(hint in shape.get("description", "") for hint in ("HH:MM", "YYYY", "ISO"))
                    assert said == argument["value"] or resolved or argument["value"][0].isdigit() or "PT" in said


def test_equal_seeds_make_equal_rows(rows):
    again = list(islice(_generator().rows(7), 200))

    assert json.dumps(again) == json.dumps(rows[:200])
    assert json.dumps(list(islice(_generator().rows(8), 200))) != json.dumps(rows[:200])


def test_all_kinds_occur(rows):
    kinds = Counter(row["kind"] for row in rows)

    assert set(kinds) == checking.KINDS


def test_a_third_of_the_rows_does_not_act(rows):
    share = sum(row["expect"] != "call" for row in rows) / len(rows)

    assert 0.25 < share < 0.5


def test_a_negated_row_has_a_twin_that_acts_on_the_same_tools(rows):
    by_id = {row["id"]: row for row in rows}
    pairs = [(row, by_id[row["id"] + "-1"]) for row in rows if row["kind"] == "negated" and row["id"] + "-1" in by_id]

    assert pairs
    for negated, positive in pairs:
        assert sorted(map(json.dumps, negated["tools"])) == sorted(map(json.dumps, positive["tools"]))
        assert (negated["expect"], positive["expect"]) == ("refuse", "call")


def test_what_is_missing_is_required_and_unsaid(rows):
    for row in rows:
        if row["kind"] == "missing":
            schema = next(t["parameters"] for t in row["tools"] if t["name"] == row["calls"][0]["name"])
            assert set(schema["required"]) - set(row["calls"][0]["arguments"])


def test_out_of_range_values_lie_outside_the_declared_bounds(rows):
    for row in rows:
        if row["kind"] == "out_of_range":
            call = row["calls"][0]
            properties = next(t["parameters"]["properties"] for t in row["tools"] if t["name"] == call["name"])
            said = [(argument["value"], properties[name]) for name, argument in call["arguments"].items()]
            bounded = [(value, shape) for value, shape in said if "maximum" in shape]
            assert any(not shape["minimum"] <= value <= shape["maximum"] for value, shape in bounded)


def test_calls_of_one_tool_differ(rows):
    for row in rows:
        if row["kind"] == "same_tool_twice":
            said = [json.dumps({k: v["value"] for k, v in c["arguments"].items()}) for c in row["calls"]]
            assert len({c["name"] for c in row["calls"]}) == 1
            assert len(set(said)) == len(said) >= 2


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"kind": "other"}, "kind 'other'"),
        ({"calls": []}, "nothing is called"),
        ({"expect": "refuse"}, "a refused row calls"),
        ({"expect": "ask"}, "nothing is missing"),
        ({"request": "set it to  5"}, "request is empty or badly spaced"),
    ],
)
def test_the_check_finds_what_is_wrong(change, fault):
    parameters = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    row = {
        "id": "1", "source": "s", "family": "f", "phrasing": "p", "kind": "call",
        "request": "set it to 5", "expect": "call",
        "tools": [{"name": "t", "description": "", "parameters": parameters}],
        "calls": [{"name": "t", "arguments": {"x": {"value": 5, "spans": [[10, 11]]}}, "anchor": [0, 3]}],
    }  # fmt: skip

    assert checking.check(row) == []
    assert fault in checking.check(row | change)
