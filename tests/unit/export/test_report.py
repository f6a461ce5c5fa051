"""The report explains the records in plain words, and nothing that anybody said becomes anything but text."""

import re
from html.parser import HTMLParser

import pytest

from appliance.contracts.selection import Selection
from appliance.ledger import archive_format, markup

from .conftest import HOSTILE

VOID = {"meta", "br", "hr"}


class Reading(HTMLParser):
    """What a browser makes of a page: its elements, their attributes, its text."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text, self.open = [], [], "", []
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


def report(night, *selections, **occasion):
    return archive_format.unpack(night.export(*selections, **occasion).data)["report.html"]


@pytest.fixture
def page(night):
    return Reading(report(night, with_words=True, note=HOSTILE))


def test_it_is_a_whole_page_that_needs_nothing_beside_it(page):
    assert page.open == []
    loading = {"script", "img", "link", "iframe", "object", "embed", "svg", "form", "input", "base", "video", "audio"}
    assert loading & set(page.tags) == set()
    assert [(tag, name) for tag, name, _ in page.attributes if name.startswith("on") or name in {"src", "srcset"}] == []
    assert all(value.startswith("#") for _, name, value in page.attributes if name == "href")


def test_its_policy_lets_nothing_load_and_no_script_run(page):
    (policy,) = [value for _, name, value in page.attributes if name == "content" and "default-src" in value]

    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_what_a_hostile_person_said_is_shown_as_text(page):
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in page.text
    assert "\x1b" not in page.text


@pytest.mark.parametrize(
    "hostile", ["</style><script>", "]]>", "<!--", "--><img src=x onerror=1>", "\ud800", "&lt;b&gt;"]
)
def test_no_text_can_leave_its_place_in_the_page(hostile):
    made = Reading(markup.page(hostile, "p { color: red }", markup.el("p", hostile, title=hostile)))

    assert made.tags == ["html", "head", "meta", "meta", "meta", "meta", "title", "style", "body", "p"]
    assert made.text.count(markup.fit(hostile)) == 2


def test_a_decision_is_explained_from_the_words_to_the_act(page):
    for said in (
        "A person at the device (uid:1000 pid:7, role operator) said:",
        "At first: unlock door only after a person's yes, by the rule risk (record 4).",
        "unlock door may happen: no rule had anything against it.",
        "A person at the device (uid:1001 pid:9, role operator) said yes",
        "unlock door: done in 2 ms; a look afterwards bore it out. \u201cFront door: unlocked.\u201d",
        "EMERGENCY STOP by uid:1000. smoke in the barn",
        "in doubt: it may or may not have happened",
        "set timer: indeterminate",
        "13 asked for, 0 more to understand them",
    ):
        assert said in page.text, said


def test_the_words_that_carry_a_value_are_marked(night):
    html = report(night, Selection(request_id="r1"), with_words=True).decode()

    assert re.search(r"<span>unlock the </span><mark>front door<sup>a</sup></mark>", html)


def test_without_words_the_page_says_that_they_are_withheld_and_where_they_stood(night):
    read = Reading(report(night, Selection(request_id="r1")))

    assert "unlock the front door" not in read.text
    assert "The words are withheld" in read.text
    assert "characters 11 to 21" in read.text


def test_a_clock_that_nobody_vouched_for_is_marked(page):
    assert "Nothing that knows the time had set it" in page.text
    assert page.text.count("(clock not trusted)") == 1


def test_records_of_other_software_are_told_by_their_kind(night):
    night.write("settled", "r9", {"status": "done", "calls": [{"name": "old"}]})
    night.write("gap", facts={"event": "three <b>events</b>"})

    read = Reading(report(night))

    assert "Something was dropped: three <b>events</b>." in read.text
    assert "No decision was needed" in read.text


def test_the_page_says_exactly_how_to_check_it(night):
    done = night.export()
    read = Reading(archive_format.unpack(done.data)["report.html"])

    assert f"appliance audit verify --export INCIDENT.zip --key '{night.verifier}'" in read.text
    assert "It does not prove that there are no other records" in read.text


def test_the_readme_is_plain_text_that_no_terminal_obeys(night):
    text = archive_format.unpack(night.export(note=HOSTILE).data)["README.txt"].decode()

    assert all(c.isprintable() or c == "\n" for c in text)
    assert str(night.verifier) in text
