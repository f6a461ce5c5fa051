"""A bundle is used only if it is exactly what its manifest says."""

import json
import shutil
from pathlib import Path

import pytest

from appliance.errors import BundleError
from appliance.inference.bundle import load_bundle

BUNDLES = Path(__file__).parents[3] / "firmware_models" / "bundles"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = next(path.parent for path in BUNDLES.glob("*/manifest.json"))
    return Path(shutil.copytree(source, tmp_path / source.name))


def rewrite(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    (folder / "manifest.json").write_text(json.dumps(manifest | changes), encoding="utf-8")


def test_the_released_bundle_is_whole_and_within_its_size(folder: Path) -> None:
    bundle = load_bundle(folder, "0.1.0")

    assert bundle.manifest.files["model.tflite"].bytes_n <= 30 * 2**20
    assert set(bundle.manifest.files) >= {"model.tflite", "vocab.txt", "golden.jsonl", "card.md", "mlbom.json"}


def test_one_changed_byte_is_noticed(folder: Path) -> None:
    with (folder / "model.tflite").open("r+b") as file:
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 1]))

    with pytest.raises(BundleError, match=r"model\.tflite is not what the manifest says"):
        load_bundle(folder)


def test_a_file_cut_short_is_noticed(folder: Path) -> None:
    with (folder / "vocab.txt").open("r+b") as file:
        file.truncate(1000)

    with pytest.raises(BundleError, match=r"vocab\.txt is 1000 bytes"):
        load_bundle(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "golden.jsonl").unlink()

    with pytest.raises(BundleError, match=r"golden\.jsonl cannot be read"):
        load_bundle(folder)


def test_an_empty_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        load_bundle(tmp_path)


def test_a_newer_format_is_refused_by_name(folder: Path) -> None:
    rewrite(folder, format="appliance-bundle/9")

    with pytest.raises(BundleError, match=r"not of format appliance-bundle/2"):
        load_bundle(folder)


def test_a_bundle_for_newer_software_is_refused(folder: Path) -> None:
    rewrite(folder, minimum_software="9.0.0")

    with pytest.raises(BundleError, match=r"needs appliance 9\.0\.0 or newer; this is 0\.1\.0"):
        load_bundle(folder, "0.1.0")


def test_an_unknown_field_is_refused(folder: Path) -> None:
    rewrite(folder, colour="red")

    with pytest.raises(BundleError, match="colour"):
        load_bundle(folder)


def test_a_file_name_cannot_lead_out_of_the_folder(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    rewrite(folder, files=manifest["files"] | {"../vocab.txt": manifest["files"]["vocab.txt"]})

    with pytest.raises(BundleError, match="files"):
        load_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_manifest_that_is_no_manifest_is_refused(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)

    with pytest.raises(BundleError, match=r"manifest\.json"):
        load_bundle(folder)
