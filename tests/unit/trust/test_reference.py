"""The page about bundles tells of every code, and every attack that it names is shown by tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from appliance.contracts.bundle import Code
from appliance.contracts.manifest import Manifest
from appliance.trust import bundles, reference


def test_every_code_is_told():
    assert set(reference.CODES) == set(get_args(Code))


def test_every_file_that_a_bundle_must_have_is_told():
    assert set(reference.FILES) == {*bundles.REQUIRED, bundles.MANIFEST}


def test_every_field_of_the_manifest_is_told():
    records = [Manifest, *reference.PARTS.values()]

    assert [(one.__name__, name) for one in records for name, field in one.model_fields.items() if not field.description
            ] == []  # fmt: skip


def test_every_test_that_the_explanation_names_is_there():
    root = Path(__file__).parents[3]
    page = (root / "docs" / "explanation" / "trust.md").read_text("utf-8")
    table = page.split("## Which test shows what")[1].split("\n## ")[0]
    named = [
        (path, name)
        for part in re.split(r"[;|]", table)
        for path in re.findall(r"`(tests/[\w/]+\.py)`", part)
        for name in re.findall(r"`(test_\w+)`", part)
    ]

    assert len(named) > 40
    assert [(path, name) for path, name in named if f"def {name}(" not in (root / path).read_text("utf-8")] == []
