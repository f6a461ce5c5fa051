"""An incident's archive names the laws that every act had to pass, and its report shows them as they were written."""

import hashlib
import json

import pytest

from appliance.contracts import decision, workflow
from appliance.contracts.manifest import Thresholds
from appliance.ledger import archive_check, archive_format, report_words, story
from appliance.ledger.archive_format import Manifest, RecordLine

from .conftest import HOSTILE, call, judged
from .test_report import Reading, report

GATE = f"# {HOSTILE}\nworkflow: gate\n"
OLDER = "workflow: gate\nversion: 1\n"


def law(text, version, **more):
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"name": "gate", "version": version, "digest": digest, "text": text, **more}


def act(night, *laws):
    """Write a configuration with *laws* and a decision under it."""
    request_id = f"law-{len(laws)}-{laws[0]['version']}"
    configuration = decision.Configuration(
        agent_id="barn", software="0.1.0", machine="aarch64", zone="UTC", policy={}, tools=(), laws=laws,
        thresholds=Thresholds(act=0.9, confirm=0.3, abstain=0.6),
    )  # fmt: skip
    cited = configuration.digest()
    night.write("configured", facts=decision.Configured(digest=cited, configuration=configuration))
    decided = judged(decision.Decided, "act", call(0, request_id)).model_copy(update={"configured": cited})
    night.write("decided", request_id, decided)


def test_every_version_that_was_in_force_is_named_once(night):
    act(night, law(OLDER, 1))
    act(night, law(GATE, 2))

    done = night.export()

    assert [(one.name, one.version) for one in done.manifest.workflow] == [("gate", 1), ("gate", 2)]
    assert done.manifest.workflow[1].digest == hashlib.sha256(GATE.encode()).hexdigest()
    verdict = archive_check.verify_parts(archive_format.unpack(done.data), [night.key.public], night.origin)
    assert verdict.faults == ()


def test_the_report_shows_the_law_as_it_was_written_and_nothing_of_it_is_obeyed(night):
    act(night, law(GATE, 2))

    page = Reading(report(night))

    assert "gate version 2" in page.text
    assert "1 law that every act had to pass" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert "script" not in page.tags
    assert "ANOTHER HASH" not in page.text


def test_a_text_that_is_not_the_cited_one_is_marked(night):
    act(night, law(GATE, 2, digest="0" * 64))

    assert "THE TEXT BELOW HAS ANOTHER HASH" in Reading(report(night)).text


def test_a_device_without_laws_says_so(night):
    assert night.export().manifest.workflow == ()
    assert "none were in force" in Reading(report(night)).text


def test_an_archive_from_before_there_were_laws_is_still_read(night):
    manifest = json.loads(archive_format.unpack(night.export().data)["MANIFEST.json"])
    manifest["workflow"] = None

    read = Manifest.model_validate_json(json.dumps(manifest))

    assert json.loads(archive_check.canonical_json(read)) == manifest


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (workflow.LawsRead(), "Laws in force: none."),
        (
            workflow.LawsRead(
                number=3, signed_by="ab12", laws=(workflow.LawNamed(name="gate", version=2, digest="0" * 64),)
            ),
            "Laws in force: gate version 2 (set 3, signed by ab12).",
        ),
        (workflow.LawsRead(complaints=("gate.yaml: broken",)), "What lay there was not used: gate.yaml: broken."),
        (workflow.LawsRead(barred="no set was ever signed"), "Nothing may act: no set was ever signed."),
    ],
)
def test_the_timeline_says_which_laws_came_into_force(facts, says):
    body = {
        "seq": 1, "kind": "laws", "at": "2026-11-22T03:10:00+00:00", "monotonic_s": 1.0, "boot": 1, "clock": "trusted",
        "request_id": None, "facts": facts.to_json(), "personal": {},
    }  # fmt: skip
    told = story.read(RecordLine(seq=1, asked=True, body=json.dumps(body)))

    assert says in report_words.line_of(told)
