"""Rules about the files of the repository, beyond what the Python tools look at."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Written in halves, or this file would name what it forbids.
REGISTRY_HOSTS = tuple("".join(halves) for halves in [("py", "pi.org"), ("pythonho", "sted.org"), ("ana", "conda.org")])
THIS_MACHINE = tuple(
    "".join(halves) for halves in [("/wo", "rk/main"), ("/wo", "rk/shared"), ("/tmp/", "team"), ("/root", "/.")]
)


def text_files() -> list[Path]:
    """Every text file that is or would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    binary = {".tflite", ".png", ".gz", ".npz", ".safetensors", ".zip"}
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix not in binary]


@pytest.mark.parametrize(
    "forbidden", [REGISTRY_HOSTS, THIS_MACHINE], ids=["a registry's host", "a path of one machine"]
)
def test_no_file_names(forbidden: tuple[str, ...]) -> None:
    found = [
        (path.relative_to(ROOT).as_posix(), name)
        for path in text_files()
        for name in forbidden
        if name in path.read_text(encoding="utf-8", errors="replace")
    ]

    assert found == []


def test_every_requirement_is_locked_with_a_hash() -> None:
    for lock in ("dev.txt", "runtime.txt"):
        text = (ROOT / "requirements" / lock).read_text(encoding="utf-8").replace("\\\n", " ")
        requirements = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        assert requirements
        assert [line for line in requirements if "==" not in line or "--hash=sha256:" not in line] == []


def test_every_exception_from_the_rules_says_why() -> None:
    ruff_section = (
        (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[tool.ruff.lint]")[1].split("[tool.mypy]")[0]
    )
    ignored = [
        line for line in ruff_section.splitlines() if line.strip().startswith('"') and line.rstrip().endswith(",")
    ]

    assert [line for line in ignored if "#" not in line] == []


def test_the_version_is_said_once() -> None:
    import appliance

    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert metadata["version"] == appliance.__version__


def test_every_message_of_the_journal_is_a_constant_of_the_source() -> None:
    spoken = []
    for path in sorted(set((ROOT / "appliance").rglob("*.py")) - {ROOT / "appliance" / "journal.py"}):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name(id="journal" | "_log") | ast.Attribute(attr="journal" | "_log"),
                        attr="debug" | "info" | "warning" | "error" | "critical" | "exception",
                    )
                ):
                    spoken.append((path.name, node.lineno, node.args[:1]))

    variable = [(name, line) for name, line, args in spoken if args and not isinstance(args[0], ast.Constant)]

    assert spoken
    assert variable == []


def test_the_command_line_speaks_through_the_one_way_to_a_terminal() -> None:
    past_it = []
    folders = [ROOT / "appliance" / name for name in ("cli", "fleet", "simulation")]
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case (
                    ast.Call(func=ast.Name(id="print"))
                    | ast.Call(
                        func=ast.Attribute(
                            value=ast.Name(id="click"), attr="echo" | "secho" | "style" | "echo_via_pager"
                        )
                    )
                ):
                    past_it.append((path.name, node.lineno))

    assert past_it == []
