"""Whatever bytes come as a delivery or a document: the same yes, or no; never a crash, never an escape."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.trust import documents, opening, roots
from appliance.trust.untrusted import Untrusted

RIG = Path(__file__).parents[1] / "rigs" / "ceremony.py"
_spec = importlib.util.spec_from_file_location("ceremony", RIG)
ceremony = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(ceremony)

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole delivery's tar, and a root, as bytes."""
    folder = tmp_path_factory.mktemp("site")
    site = ceremony.Site(folder)
    return ceremony.packed(site.delivery(), folder / "delivery.tar").read_bytes(), site.root()


@FEW
@given(data=st.data())
def test_a_tar_with_other_bytes_somewhere_is_the_same_delivery_or_none(whole, data):
    tar = bytearray(whole[0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(tar) - 1))
        piece = data.draw(st.binary(min_size=1, max_size=40))
        tar[at : at + len(piece)] = piece
    end = data.draw(st.integers(len(tar) - 2000, len(tar)))

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "d.tar").write_bytes(tar[:end])
        try:
            opening.open_delivery(folder / "d.tar", folder / "copy")
        except Untrusted as no:
            assert no.code in {"archive", "unreadable"}
        assert {path.name for path in folder.iterdir()} == {"d.tar", "copy"}
        assert {path.parent.name for path in (folder / "copy").rglob("*") if path.is_file()} <= {"bundle", "signatures"}


@FEW
@given(st.binary(max_size=3000))
def test_any_bytes_are_a_delivery_or_none(content):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "d.tar").write_bytes(content)
        with pytest.raises(Untrusted):
            opening.open_delivery(folder / "d.tar", folder / "copy")


@FEW
@given(data=st.data())
def test_a_root_with_other_bytes_somewhere_is_the_same_root_or_none(whole, data):
    original = whole[1]
    said = documents.fingerprint(documents.envelope(original))
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))

    try:
        root = roots.first(documents.envelope(bytes(changed)), said)
    except Untrusted:
        return
    assert root == roots.first(documents.envelope(original), said)
