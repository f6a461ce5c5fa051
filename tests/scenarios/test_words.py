"""Plain words at the demonstration site, through the bundle that ships."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from appliance.agent import propose

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "firmware_models/evaluation/site.jsonl").read_text().splitlines()
]
MUST_NOT_ACT = [row for row in ROWS if row["expect"] != "call"]


@pytest.fixture(scope="module")
def understand(tmp_path_factory):
    from appliance import settings
    from appliance.agent import model
    from appliance.agent.clock import SystemClock
    from appliance.storage import database
    from appliance.tools.toolbox import open_toolbox

    home = tmp_path_factory.mktemp("home")
    db = database.open_database(home / "a.db").db
    site = settings.Settings().site
    box = open_toolbox(site, db=db, clock=SystemClock(1), home=home, understand=lambda words: words)
    loaded = model.load(settings.shipped_bundle())
    tools = box.registry.specs()

    def read(row):
        now = datetime.fromisoformat(row["now"])
        return propose.propose(loaded.decoder, row["request"], tools, now, loaded.bundle.manifest.thresholds)

    yield read
    box.registry.close()
    db.close()


@pytest.mark.parametrize("row", MUST_NOT_ACT, ids=[row["request"] for row in MUST_NOT_ACT])
def test_what_must_not_act_does_not(understand, row):
    assert understand(row).decision != "act"


def test_the_two_sentences_of_the_readme_are_understood(understand):
    now = ROWS[0]["now"]
    dim = understand({"request": "dim the workshop lights to 30 percent", "now": now})
    run = understand({"request": "start the extractor for ten minutes", "now": now})

    assert [(c.tool, c.arguments["level_pct"]) for c in dim.calls] == [("set_light_level", 30)]
    assert "workshop" in dim.calls[0].arguments["room"]
    assert [(c.tool, c.arguments) for c in run.calls] == [("start_machine", {"machine": "extractor", "minutes": 10})]


def test_a_say_is_carried_from_words_to_a_lamp_and_its_record(appliance):
    said = appliance.client.say("dim the workshop lights to 30 percent", yes=True)

    assert said.status == "done", said
    assert appliance.client.status()["devices"]["lights"]["workshop ceiling"]["level_pct"] == 30
    decided = json.loads(next(r.body for r in appliance.records if r.kind == "decided"))["facts"]
    assert decided["versions"]["bundle_sha256"]
    assert decided["proposal"]["candidates"][0][0] == "set_light_level"
    assert decided["calls"][0]["spans"]["level_pct"]
