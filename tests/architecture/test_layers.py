"""The import contracts of pyproject.toml, and what a static linter cannot see."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "appliance"


class FrontDoor(NamedTuple):
    """A library, and the only places that may import it."""

    library: str
    doors: tuple[str, ...]
    because: str


FRONT_DOORS = (
    FrontDoor("ai_edge_litert", ("inference/interpreter.py",), "which runtime is chosen once"),
    FrontDoor("tflite_runtime", ("inference/interpreter.py",), "which runtime is chosen once"),
    FrontDoor("paho", ("transport/mqtt.py",), "its queue must never be used"),
    FrontDoor("needle_rs", ("adapters/needle_child.py",), "where it faults it ends the process that it runs in"),
    FrontDoor("transitions", ("policy/", "fleet/rollout_states.py"), "states are laws"),
    FrontDoor("yaml", ("policy/workflow/reader.py",), "what is YAML is decided once, and strictly"),
    FrontDoor("textual", ("tui/",), "the daemon loads no console"),
    FrontDoor("sqlite_utils", ("storage/",), "tables are the ports"),
    FrontDoor("psycopg", ("fleet/store_postgresql.py",), "the controller's statements are written once, for both"),
    FrontDoor("cryptography", ("trust/",), "one place signs and verifies"),
    FrontDoor("rfc8785", ("contracts/canonical.py",), "one definition of canonical bytes"),
    FrontDoor("gpiozero", ("tools/",), "pins belong to tools"),
    FrontDoor("dateparser", ("grounding/",), "values are read from words in one step"),
    FrontDoor("text_to_num", ("grounding/",), "values are read from words in one step"),
    FrontDoor("pint", ("grounding/",), "values are read from words in one step"),
    FrontDoor("model_signing", (), "the outside verifier; a device does without its forty packages"),
    FrontDoor("iotcore", ("transport/broker.py",), "a broker for trying, never part of a device"),
    FrontDoor("firmware_models", (), "the appliance runs without the recipe that made its bundle"),
)


def imported_modules(path: Path) -> Iterator[str]:
    """Every absolute module name that *path* imports, deferred imports too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize("door", FRONT_DOORS, ids=lambda door: door.library)
def test_a_library_is_imported_through_its_front_door_only(door: FrontDoor) -> None:
    intruders = [
        name
        for path in sorted(PACKAGE.rglob("*.py"))
        if any(module.split(".")[0] == door.library for module in imported_modules(path))
        and not (name := path.relative_to(PACKAGE).as_posix()).startswith(door.doors or ("\0",))
    ]

    assert intruders == [], f"{door.library} belongs in {door.doors}: {door.because}"


def test_the_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")

    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_no_file_is_a_hub() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    largest = max(lengths, key=lengths.__getitem__)

    # Nine percent is the best of the projects we measured; a young package needs a floor instead.
    assert lengths[largest] <= max(500, 0.09 * sum(lengths.values())), largest


def test_no_module_is_a_drawer_for_leftovers() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "base", "manager", "const"}

    assert [p for p in PACKAGE.rglob("*.py") if p.stem in drawers or p.parent.name in drawers] == []


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in `sys.modules` after *statement*, in a process of its own."""
    probe = f"{statement}\nimport sys\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


RUNTIMES = {"ai_edge_litert", "tflite_runtime", "tensorflow"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import appliance.daemon", {"textual", "iotcore"}),
        ("import appliance.tui.app", RUNTIMES | {"paho"}),
        ("import appliance.fleet.collector", RUNTIMES | {"textual", "psycopg"}),
        ("import appliance.cli", RUNTIMES | {"textual", "paho", "dateparser"}),
    ],
    ids=["daemon", "console", "collector", "command line"],
)
def test_a_process_loads_only_its_own_libraries(statement: str, absent: set[str]) -> None:
    assert loaded_by(statement) & absent == set()


def test_importing_the_package_opens_no_socket_and_no_file_of_ours() -> None:
    probe = (
        "import sys\n"
        "seen = []\n"
        "sys.addaudithook(lambda event, args: seen.append((event, args)) if event.startswith('socket.') else None)\n"
        "import appliance, appliance.contracts, appliance.errors, appliance.storage.database\n"
        "print(seen)"
    )

    result = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"
