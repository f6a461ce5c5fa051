"""Nothing runs unasked: not when the package or what it needs is installed, nor when an interpreter starts."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

STARTS_BY_ITSELF = {
    "a1_coverage.pth": "coverage, not on a device: measures child processes when a variable asks for it",
    "distutils-precedence.pth": "setuptools, which colorzero asks for: its own distutils in place of Python's",
}
"""Files that run code whenever an interpreter starts, and what they are for. One more is a reason to look at it."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_has_one_command_and_nothing_that_starts_by_itself(wheel):
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    (entry_points,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
    groups = configparser.ConfigParser()
    groups.read_string(archive.read(entry_points).decode())

    starting = [n for n in names if n.endswith((".pth", ".start", "customize.py", "setup.py")) or ".data/" in n]

    assert starting == []
    assert {group: dict(groups[group]) for group in groups.sections()} == {
        "console_scripts": {"appliance": "appliance.cli:main"}
    }


def test_no_tool_of_another_kind_can_build_it():
    assert [name for name in ("setup.py", "setup.cfg", "MANIFEST.in") if (ROOT / name).exists()] == []


def test_installing_the_wheel_runs_none_of_its_code(wheel, tmp_path):
    # An audit hook in pip's own process: what is executed, and which processes are started.
    watched = """
import json, sys
ran, started = [], []
def hook(event, args):
    if event == "exec":
        ran.append(args[0].co_filename)
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"):
        started.append(str(args[0]))
sys.addaudithook(hook)
from pip._internal.cli.main import main
code = main(sys.argv[2:])
open(sys.argv[1], "w").write(json.dumps({"code": code, "ran": ran, "started": started}))
"""
    target, told = tmp_path / "target", tmp_path / "told.json"
    options = ["install", "-q", "--no-index", "--no-deps", "--disable-pip-version-check", "--target", target]

    subprocess.run([sys.executable, "-c", watched, told, *options, wheel], check=True, capture_output=True)

    result = json.loads(told.read_text())
    assert (target / "appliance" / "__init__.py").exists()
    assert result["code"] == 0
    assert set(result["started"]) <= {"lsb_release", "uname", "rustc"}  # pip tells an index what it runs on
    assert len(result["ran"]) > 50  # the hook was there: pip's own modules
    assert [path for path in result["ran"] if "appliance" in Path(path).parts[-3:] or str(tmp_path) in path] == []


def test_what_starts_by_itself_is_what_we_know_of():
    site = Path(sysconfig.get_path("purelib"))
    starting = {path.name for pattern in ("*.pth", "*.start", "*customize.py") for path in site.glob(pattern)}
    ours = {Path(str(file)).name for file in metadata.files("edge-agent-appliance") or []}

    assert starting - ours <= STARTS_BY_ITSELF.keys()


def test_every_file_that_starts_by_itself_belongs_to_a_package():
    site = Path(sysconfig.get_path("purelib"))
    known = {str(file) for found in metadata.distributions(path=[str(site)]) for file in found.files or []}

    assert {path.name for path in site.glob("*.pth")} - known == set()


def test_set_up_installs_wheels_that_are_locked_and_nothing_else():
    lines = (ROOT / ".ci" / "setup").read_text(encoding="utf-8").splitlines()
    installing = [line for line in lines if "pip install" in line and not line.lstrip().startswith("#")]

    def locked(line):
        return "--require-hashes" in line and "--only-binary :all:" in line

    def of_here(line):
        return "--no-index" in line and "--no-deps" in line and line.rstrip().endswith(" .")

    assert len(installing) == 2
    assert [line for line in installing if not (locked(line) or of_here(line))] == []


def test_a_source_package_is_refused_by_the_options_of_set_up(tmp_path):
    # What would run: a package whose set-up leaves a mark. `pip` is told what `.ci/setup` tells it.
    (tmp_path / "evil-1").mkdir()
    (tmp_path / "evil-1" / "setup.py").write_text(
        f"open({str(tmp_path / 'mark')!r}, 'w').close()\nimport setuptools\nsetuptools.setup(name='evil')\n"
    )
    shutil.make_archive(str(tmp_path / "evil-1"), "gztar", tmp_path, "evil-1")
    where = ["--no-index", "--find-links", tmp_path, "--target", tmp_path / "target"]
    command = [sys.executable, "-m", "pip", "install", *where]

    subprocess.run([*command, "--no-build-isolation", "evil"], check=False, capture_output=True)
    assert (tmp_path / "mark").exists()  # so it would
    (tmp_path / "mark").unlink()
    asked = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_BINARY": "evil"}
    options = ["--no-build-isolation", "--only-binary", ":all:", "evil"]
    said = subprocess.run([*command, *options], check=False, capture_output=True, text=True, env=asked)

    assert said.returncode != 0
    assert "No matching distribution" in said.stderr
    assert not (tmp_path / "mark").exists()
