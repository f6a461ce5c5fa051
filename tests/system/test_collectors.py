"""Collectors on a real PostgreSQL and a real Mosquitto while things break: nothing is lost, nothing is there twice."""

import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.contracts import tree
from appliance.fleet import ledgers
from appliance.fleet.home import PostgresqlSettings, open_home
from appliance.storage import outbox
from appliance.storage import tree as own_tree

pytestmark = pytest.mark.system

NAMES = ("lamp", "fan", "door")


def _rig():
    path = Path(__file__).parents[1] / "rigs" / "postgresql_rig.py"
    spec = importlib.util.spec_from_file_location("postgresql_rig", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def server():
    postgresql = _rig().Postgresql()
    try:
        yield postgresql
    finally:
        postgresql.close()


class Programs:
    """`appliance fleet watch|collect --share NAME`, as often as a test wants."""

    def __init__(self, home, folder):
        self._home = home
        self._folder = folder
        self._running = {}

    def start(self, name, *verb):
        verb = verb or ("watch", "--json")
        command = [sys.executable, "-m", "appliance", "fleet", *verb, "--fleet-home", str(self._home)]
        with (self._folder / f"{name}.out").open("ab") as out, (self._folder / f"{name}.err").open("ab") as err:
            self._running[name] = subprocess.Popen(
                [*command, "--share", name], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip

    def kill(self, name):
        process = self._running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def lives(self, name):
        return self._running[name].poll() is None

    def new_batches(self, name):
        lines = (self._folder / f"{name}.out").read_text("utf-8").splitlines()
        found = [json.loads(line) for line in lines if line.endswith("}")]
        return [said for said in found if said["record"] == "batch" and said["new"]]

    def close(self):
        for process in self._running.values():
            process.terminate()
        for name, process in self._running.items():
            assert process.wait(30) == 0, (self._folder / f"{name}.err").read_text("utf-8")


@pytest.fixture
def programs(tmp_path):
    made = []

    def make(home):
        made.append(Programs(home, tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.close()


def until(done, wait_s=120.0):
    end_s = time.monotonic() + wait_s
    while not done():
        assert time.monotonic() < end_s, f"not so after {wait_s} s"
        time.sleep(0.1)


def report(rig, first, last, body=None):
    for n in range(first, last + 1):
        rig.event(f"{rig.enrolment.device}-{n}", body)
        if n % 10 == 0:
            rig.note({"n": n})


def is_drained(rig):
    marks = [outbox.mark(rig.db, stream) for stream in ("audit", "evt")]
    return all(mark.acked >= mark.newest for mark in marks)


def check(home, rig, last):
    """Hold what the controller has against what the device reported, each record once, and tree against tree."""
    device = rig.enrolment.device
    rows = home.db.rows("select epoch, stream, seq, id from records where device = ? order by stream, seq", [device])
    assert [row["id"] for row in rows if row["stream"] == "evt"] == [f"{device}-{n}" for n in range(1, last + 1)]
    audit = [row for row in rows if row["stream"] == "audit"]
    assert [row["seq"] for row in audit] == list(range(1, len(audit) + 1))
    with rig.db.reading() as connection:
        assert tree.root(len(audit), ledgers.subtrees(home, device, audit[0]["epoch"])) == own_tree.root(
            connection, len(audit)
        )
    assert home.db.rows("select * from gaps") == []
    assert home.db.rows("select device, what, text from faults") == []


@pytest.mark.timeout(280)
def test_two_collectors_share_the_work_and_one_is_killed_in_the_middle(server, broker, make_fleet, programs, tmp_path):
    rows_in = PostgresqlSettings(conninfo_file=str(server.database(tmp_path)))
    fleet = make_fleet(broker.port, postgresql=rows_in)
    rigs = [fleet.device(name) for name in NAMES]
    collecting = programs(fleet.home.path)
    for name in ("a", "b"):
        collecting.start(name)
    # Both are at it before it counts.
    until(lambda: len(fleet.home.db.rows("select collector from collectors")) == 2)
    for first in range(1, 201, 20):
        for rig in rigs:
            report(rig, first, first + 19)
    until(lambda: collecting.new_batches("a") and collecting.new_batches("b"))

    collecting.kill("a")
    for rig in rigs:
        report(rig, 201, 260)
    until(lambda: all(map(is_drained, rigs)))

    for rig in rigs:
        check(fleet.home, rig, 260)
    assert collecting.lives("b")


@pytest.mark.timeout(280)
def test_a_database_that_restarts_again_and_again_loses_nothing(server, broker, make_fleet, programs, tmp_path):
    rows_in = PostgresqlSettings(conninfo_file=str(server.database(tmp_path)))
    fleet = make_fleet(broker.port, postgresql=rows_in)
    rig = fleet.device("lamp")
    collecting = programs(fleet.home.path)
    collecting.start("a")
    until(lambda: fleet.upto("audit") > 0)

    for n, mode in enumerate(("immediate", "fast", "immediate")):
        report(rig, n * 60 + 1, n * 60 + 60)
        server.restart(mode)
    # The rig's own connection is broken as well, and finds the server again.
    until(lambda: is_drained(rig))

    again = open_home(fleet.home.path)
    check(again, rig, 180)
    again.close()
    assert collecting.lives("a")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MB; skipped where nobody may mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no mount here: {done.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.timeout(280)
@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_a_full_disk_keeps_everything_at_the_device_and_room_brings_it_in(
    broker, make_fleet, programs, tmp_path, small_disk, where, request
):
    rows_in = None
    if where == "postgresql":
        server = _rig().Postgresql()
        request.addfinalizer(server.close)
        # Only the tables: a server whose log has no room stops, which is the test before this one.
        space = server.space(small_disk)
        rows_in = PostgresqlSettings(conninfo_file=str(server.database(tmp_path, more=f"tablespace {space}")))
    else:
        (tmp_path / "controller").symlink_to(small_disk)
    fleet = make_fleet(broker.port, postgresql=rows_in)
    rig = fleet.device("lamp")
    collecting = programs(fleet.home.path)
    collecting.start("a", "collect")
    until(lambda: fleet.upto("audit") > 0)

    for n in range(1, 301):
        rig.event(f"lamp-{n}", {"noise": secrets.token_hex(50_000)})
    until(lambda: "nothing more is taken" in (tmp_path / "a.err").read_text("utf-8"))

    held = len(fleet.home.db.rows("select seq from records where stream = 'evt'"))
    assert 0 < held < 300
    assert outbox.mark(rig.db, "evt").acked <= held
    assert collecting.lives("a")
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    until(lambda: is_drained(rig), wait_s=200)
    check(fleet.home, rig, 300)


def test_the_programs_need_no_word_about_the_database_on_their_command_line(server, tmp_path):
    """Only a file says where it is, and what is printed does not repeat its password."""
    file = server.database(tmp_path)
    file.write_text(file.read_text().strip() + " password=very-secret\n")
    run = [sys.executable, "-m", "appliance", "fleet"]
    home = ["--fleet-home", str(tmp_path / "controller")]

    made = subprocess.run(
        [*run, "init", *home, "--site", "site", "--conninfo-file", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    shown = subprocess.run([*run, "database", *home], capture_output=True, text=True, check=False)
    file.chmod(0o644)
    refused = subprocess.run([*run, "database", *home], capture_output=True, text=True, check=False)

    assert (made.returncode, shown.returncode) == (0, 0), made.stderr + shown.stderr
    assert "postgresql fleet" in shown.stdout
    assert refused.returncode != 0
    assert "chmod 600" in refused.stderr
    assert (
        "very-secret" not in made.stdout + made.stderr + shown.stdout + shown.stderr + refused.stdout + refused.stderr
    )
    assert "very-secret" not in (tmp_path / "controller" / "fleet.json").read_text()
