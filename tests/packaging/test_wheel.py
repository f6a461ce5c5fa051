"""The wheel works alone: same bytes every time, the bundle and its bills inside, one command to a done request."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def build(tree: Path, folder: Path, *, umask: int = -1, **environment: str) -> Path:
    """Build as `make wheel` does, which takes this variable away: it would date the files."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    clean = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"} | environment
    subprocess.run(command, cwd=tree, check=True, capture_output=True, env=clean, umask=umask)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """What the wheel is made of, as it is now."""
    folder = tmp_path_factory.mktemp("tree")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("appliance", "firmware_models/bundles"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    (folder / ".ci").mkdir()
    (folder / "requirements").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".ci/bundle_hook.py", "requirements/appliance.cdx.json"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory) -> Path:
    return build(tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin folder of a fresh environment: the package from the wheel, its dependencies from the locked environment.

    A `.pth` names the folder of the locked environment, and Python does not follow the `.pth` files in there: the
    checkout, which is installed as editable there, cannot be seen from here.
    """
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    return folder / "bin"


def test_the_same_files_make_the_same_bytes_elsewhere_and_later(tree, wheel, tmp_path):
    shutil.copytree(tree, tmp_path / "elsewhere", copy_function=shutil.copyfile)

    assert build(tmp_path / "elsewhere", tmp_path / "dist").read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_another_umask_clock_language_and_order_make_the_same_bytes(tree, wheel, tmp_path, umask):
    other = tmp_path / "a folder with a name of its own"
    # Written again under this mask, last file first, with a date of its own each.
    before = os.umask(umask)
    try:
        for at, path in enumerate(sorted(tree.rglob("*"), reverse=True)):
            if path.is_file():
                copy = other / path.relative_to(tree)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
                os.utime(copy, (at * 86_400, at * 86_400))
    finally:
        os.umask(before)
    told = {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "7", "HOME": str(tmp_path), "USER": "somebody"}

    built = build(other, tmp_path / "dist", umask=umask, **told)

    assert stat.S_IMODE((other / "pyproject.toml").stat().st_mode) == 0o666 & ~umask
    assert built.read_bytes() == wheel.read_bytes()


def test_one_more_blank_is_another_wheel(tree, wheel, tmp_path):
    shutil.copytree(tree, tmp_path / "elsewhere")
    with (tmp_path / "elsewhere" / "appliance" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write("\n")

    assert build(tmp_path / "elsewhere", tmp_path / "dist").read_bytes() != wheel.read_bytes()


def test_make_builds_as_the_tests_do():
    said = subprocess.run(["make", "-n", "wheel"], cwd=ROOT, check=True, capture_output=True, text=True)

    assert "env -u SOURCE_DATE_EPOCH" in said.stdout


def test_its_list_holds_the_hash_of_every_file(wheel):
    archive = zipfile.ZipFile(wheel)
    (record,) = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
    listed = {name: told for name, told, _ in csv.reader(archive.read(record).decode().splitlines())}

    def told(name):
        digest = hashlib.sha256(archive.read(name)).digest()
        return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"

    assert listed == {name: "" if name == record else told(name) for name in archive.namelist()}


def test_its_bill_of_materials_lies_where_tools_look_for_it(wheel):
    archive = zipfile.ZipFile(wheel)
    (bill,) = [name for name in archive.namelist() if ".dist-info/sboms/" in name]

    assert archive.read(bill) == (ROOT / "requirements" / "appliance.cdx.json").read_bytes()


def test_the_wheel_carries_the_package_the_bundle_and_the_licence_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names} == {"appliance", "edge_agent_appliance-0.1.0.dist-info"}
    assert [name for name in names if name.endswith("/model.tflite")] != []
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert [name for name in names if "__pycache__" in name] == []


def test_the_installed_package_is_the_one_of_the_wheel(installed, tmp_path):
    code = "import appliance, sys; print(appliance.__file__)"

    said = subprocess.run([installed / "python", "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)

    assert Path(said.stdout.strip()).is_relative_to(installed.parent)


def test_an_installed_package_does_what_it_is_told(installed, tmp_path):
    home = ["--home", tmp_path / "home"]
    command = [installed / "appliance", *home, "say", "dim the workshop lights to 30 percent", "--yes", "--json"]

    said = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    subprocess.run([installed / "appliance", *home, "quit"], cwd=tmp_path, check=True, capture_output=True)

    outcome = json.loads(said.stdout)
    assert (said.returncode, outcome["status"]) == (0, "done"), said
    assert outcome["calls"][0]["arguments"] == {"room": "workshop lights", "level_pct": 30}
