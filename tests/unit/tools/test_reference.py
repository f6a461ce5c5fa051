"""The page about tools says what the tools say."""

from pathlib import Path

from appliance.tools import reference

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "tools.md"


def test_the_reference_page_is_what_the_declarations_print():
    assert PAGE.read_text(encoding="utf-8") == reference.page(), (
        "stale: run `python -m appliance.tools.reference docs/reference/tools.md`"
    )
