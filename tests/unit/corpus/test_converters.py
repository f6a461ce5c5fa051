"""Every public data set, read from a few lines in its own format."""

import json
import random

from firmware_models.corpus import checking
from firmware_models.corpus.converters import (
    clinc,
    evaluation,
    ha_devices,
    hwu,
    lu,
    metatool,
    restaurant8k,
    rows,
    schemas,
    snips,
    sources,
)
from firmware_models.corpus.converters.utterance import Utterance


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def test_snips_keeps_slots_and_leaves_the_validation_files_out(tmp_path):
    data = [{"text": "play "}, {"text": "Yo Ho", "entity": "track"}]
    _write(tmp_path / "snips" / "train_PlayMusic_full.json", json.dumps({"PlayMusic": [{"data": data}]}))
    _write(tmp_path / "snips" / "validate_PlayMusic.json", json.dumps({"PlayMusic": [{"data": [{"text": "stop"}]}]}))

    assert list(snips.read(tmp_path)) == [Utterance("snips", "snips.PlayMusic", (("play ", None), ("Yo Ho", "track")))]
    assert [u.text for u in snips.read(tmp_path, "validate")] == ["stop"]


def test_hwu_and_slurp_become_one_intent_space(tmp_path):
    entity = {"start": 20, "end": 29, "value": "seven pm.", "entity": "time"}
    good = {"start": 15, "end": 20, "value": "pizza", "entity": "food_type"}
    row = {"text": "place order to pizza takeout", "intent": "takeaway_order", "entities": [entity, good]}
    _write(tmp_path / "hwu64" / "utterances.jsonl", json.dumps(row) + "\n")
    marked = "order me [food_type : chinese] food"
    spoken = {"sentence": "order me chinese food", "sentence_annotation": marked, "intent": "takeaway_order"}
    _write(tmp_path / "slurp" / "devel.jsonl", json.dumps(spoken) + "\n")

    first, second = hwu.read(tmp_path)

    assert first.pieces == (("place order to ", None), ("pizza", "food_type"), (" takeout", None))
    assert second == Utterance(
        "slurp", "hwu.takeaway_order", (("order me ", None), ("chinese", "food_type"), (" food", None))
    )


def test_lu_files_give_intents_and_slots(tmp_path):
    text = "> comment\n## AddToDo\n- add {TaskContent=buy gum} to my {ListType=to do} list\n- add {TaskContent}\n"
    _write(tmp_path / "botframework-lu" / "x" / "en-us" / "ToDo.lu", text)

    [utterance] = lu.read(tmp_path)

    assert utterance.text == "add buy gum to my to do list"
    assert utterance.pieces[1] == ("buy gum", "TaskContent")


def test_clinc_uses_its_train_parts_only(tmp_path):
    parts = {
        "train": [["tell me a joke", "tell_joke"]],
        "oos_train": [["who am i to judge", "oos"]],
        "test": [["x", "y"]],
        "oos_val": [],
    }
    _write(tmp_path / "clinc150" / "data" / "data_full.json", json.dumps(parts))

    assert [(u.text, u.intent) for u in clinc.read(tmp_path)] == [
        ("tell me a joke", "clinc.tell_joke"),
        ("who am i to judge", "clinc.oos"),
    ]


def test_device_sentences_mark_device_area_and_number(tmp_path):
    row = {
        "device": "Bedroom Light",
        "area": "Attic",
        "action": "Set brightness",
        "sentences": ["Dim the bedroom light in the attic to 50%", "Make it bright"],
    }
    _write(tmp_path / "ha-devices" / "device_actions.jsonl", json.dumps(row) + "\n")

    [utterance] = ha_devices.read(tmp_path)

    assert utterance.intent == "home.set_brightness"
    assert [p for p in utterance.pieces if p[1]] == [
        ("bedroom light", "name"),
        ("attic", "area"),
        ("50%", "brightness"),
    ]


def test_restaurant_spans_may_start_at_zero(tmp_path):
    labels = [{"slot": "people", "valueSpan": {"endIndex": 8}}]
    row = {"userInput": {"text": "5 adults will come tonight"}, "labels": labels}
    _write(tmp_path / "polyai" / "span_extraction" / "restaurant8k" / "train_0.json", json.dumps([row]))
    _write(tmp_path / "polyai" / "span_extraction" / "restaurant8k" / "test.json", "not read")

    [utterance] = restaurant8k.read(tmp_path)

    assert utterance.pieces == (("5 adults", "people"), (" will come tonight", None))


def test_metatool_gives_requests_and_first_sentences(tmp_path):
    _write(
        tmp_path / "metatool" / "data" / "all_clean_data.csv",
        "Query,Tool\nCan I find academic papers?,Helper\nCan I find academic papers?,Helper\n",
    )
    _write(tmp_path / "metatool" / "plugin_des.json", json.dumps({"Helper": "Finds papers. And more."}))

    assert [u.intent for u in metatool.read(tmp_path)] == ["metatool.Helper"]
    assert metatool.descriptions(tmp_path) == {"Helper": "Finds papers."}


def test_utterances_become_sound_rows_that_call_ask_and_refuse():
    known = Utterance(
        "snips",
        "snips.RateBook",
        (("rate ", None), ("Emma", "object_name"), (" ", None), ("four", "rating_value"), (" stars", None)),
    )
    short = Utterance("snips", "snips.RateBook", (("rate ", None), ("Emma", "object_name")))
    made = list(rows.build([known, short] * 200, schemas.human(), random.Random(1)))

    assert [fault for row in made for fault in checking.check(row)] == []
    assert {row["expect"] for row in made} == {"call", "ask", "refuse"}
    values = {a["value"] for row in made for c in row["calls"] for a in c["arguments"].values()}
    assert values == {"Emma", 4}


def test_a_negated_human_row_keeps_its_tool_and_calls_nothing():
    utterance = Utterance("snips", "snips.PlayMusic", (("Play ", None), ("Yo Ho", "track")))
    negated = [
        row for row in rows.build([utterance] * 300, schemas.human(), random.Random(2)) if row["kind"] == "negated"
    ]

    assert negated
    assert all(row["calls"] == [] and row["expect"] == "refuse" and "lay" in row["request"] for row in negated)


def test_a_request_is_not_refused_beside_a_tool_that_could_mean_it():
    utterance = Utterance("clinc150", "clinc.credit_score", (("what is my credit score", None),))
    made = rows.build([utterance] * 300, schemas.clinc(), random.Random(3), refused=1.0)
    near = {name for key in ("clinc.credit_limit", "clinc.apr") for name in schemas.clinc()[key].descriptions}

    assert all(tool["description"] not in near for row in made for tool in row["tools"])


def test_evaluation_rows_point_at_values_where_the_request_has_them():
    parameters = {"city": {"type": "str", "description": "City."}, "days": {"type": "int", "description": ""}}
    entry = {
        "query": [
            {"role": "user", "content": "Weather in Oslo"},
            {"role": "agent", "content": "Which days?"},
            {"role": "user", "content": "for 3 days"},
        ],
        "tools": [{"name": "Weather", "description": "Tells it.", "parameters": parameters}],
        "answers": [{"name": "Weather", "arguments": {"city": "oslo", "days": "3"}}],
    }

    [row] = evaluation.dialogues("dev_api_bank", [entry])

    assert row["request"] == "Weather in Oslo for 3 days"
    assert row["calls"][0]["arguments"] == {
        "city": {"value": "oslo", "spans": [[11, 15]]},
        "days": {"value": 3, "spans": [[20, 21]]},
    }
    assert checking.check(row, evaluation=True) == []


def test_seal_rows_offer_the_needed_tools_among_others(tmp_path):
    tools = [
        {"api_name": f"tool{n}", "api_description": "Does.", "parameters": {"x": {"type": "str"}}, "required": ["x"]}
        for n in range(9)
    ]
    _write(tmp_path / "tools.jsonl", "\n".join(json.dumps(t) for t in tools))
    calls = [{"api": "tool3", "parameters": {"x": "milk"}}]
    _write(tmp_path / "dev.jsonl", json.dumps({"id": "d1", "query": "Buy milk.", "calling": calls}))

    [row] = evaluation.seal(tmp_path)

    assert len(row["tools"]) == 4
    assert row["calls"][0]["name"] == "tool3"
    assert row["calls"][0]["arguments"]["x"]["spans"] == [[4, 8]]


def test_absent_data_sets_are_left_out(tmp_path):
    assert sources.convert(tmp_path, 100, 1) == []
    assert dict(sources.hashes(tmp_path)) == {}
