"""The command line as its users meet it: real processes, real exit codes."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.client import Appliance
from appliance.errors import DaemonUnavailable

LOCK_WAIT_S = 20


class Shell:
    """A home and the commands that are run on it."""

    def __init__(self, home):
        self.home = home

    def run(self, *words, stdin=None, timeout_s=60):
        return subprocess.run(
            [sys.executable, "-m", "appliance", "--home", self.home, *words],
            input=stdin,
            capture_output=True,
            text=not isinstance(stdin, bytes),
            timeout=timeout_s,
            check=False,
        )

    def start(self):
        """Start a daemon in the foreground of a process of its own and wait until it answers."""
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance", "--home", self.home, "run"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        until = time.monotonic() + LOCK_WAIT_S
        while time.monotonic() < until:
            with contextlib.suppress(DaemonUnavailable):
                Appliance(self.home).hello()
                return process
            time.sleep(0.05)
        raise AssertionError("the daemon does not answer")


@pytest.fixture
def shell(tmp_path):
    made = Shell(tmp_path / "home")
    yield made
    if (made.home / "daemon.lock").exists():
        pid = (made.home / "daemon.lock").read_text()
        made.run("quit")
        until = time.monotonic() + LOCK_WAIT_S
        while pid and Path(f"/proc/{pid}").exists() and time.monotonic() < until:
            time.sleep(0.05)


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    return process.returncode, said


def test_a_newcomer_needs_one_command_and_the_daemon_stays(shell):
    first = shell.run("call", "turn_light_on", '{"room": "kitchen"}', "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["status"] == "done"

    status = json.loads(shell.run("status", "--json").stdout)
    assert status["devices"]["lights"]["kitchen ceiling"]["level_pct"] == 100


def test_every_record_is_a_line_of_json_and_the_ledger_verifies(shell):
    shell.run("call", "turn_light_on", '{"room": "kitchen"}')

    lines = [json.loads(line) for line in shell.run("audit", "show", "--json").stdout.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert {"epoch", "boot", "decided", "settled"} <= {line["kind"] for line in lines}

    found = shell.run("audit", "verify", "--json")
    assert found.returncode == 0
    assert json.loads(found.stdout)["state"] == "consistent-unanchored"


def test_a_checkpoint_anchors_and_tampering_is_found(shell, tmp_path):
    shell.run("call", "turn_light_on", '{"room": "kitchen"}')
    (tmp_path / "checkpoint").write_text(shell.run("audit", "checkpoint").stdout)
    (tmp_path / "key").write_text(shell.run("audit", "key").stdout)
    anchors = ("--checkpoint", tmp_path / "checkpoint", "--key", tmp_path / "key")
    assert "anchored" in shell.run("audit", "verify", *anchors).stdout
    shell.run("quit")
    time.sleep(1)

    lines = (tmp_path / "checkpoint").read_text().splitlines(keepends=True)
    (tmp_path / "forged").write_text("".join([lines[0], "2\n", *lines[2:]]))
    found = shell.run("audit", "verify", "--checkpoint", tmp_path / "forged", "--key", tmp_path / "key")
    assert found.returncode == 7

    with sqlite3.connect(shell.home / "appliance.db") as raw:
        decided = raw.execute("select min(seq) from audit where kind = 'decided'").fetchone()[0]
        raw.execute("update audit set body = replace(body, 'kitchen', 'cellar') where kind = 'decided'")
    raw.close()
    found = shell.run("audit", "verify", *anchors)
    assert found.returncode == 4
    assert f"first bad record: {decided}\n" in found.stdout


def test_a_proof_is_checked_elsewhere_with_nothing_but_the_key(shell, tmp_path):
    shell.run("call", "turn_light_on", '{"room": "kitchen"}')
    key = shell.run("audit", "key").stdout.strip()
    (tmp_path / "older").write_text(shell.run("audit", "checkpoint").stdout)
    (tmp_path / "proof").write_text(shell.run("audit", "prove", "2", "--record", tmp_path / "record").stdout)
    shell.run("call", "turn_light_off", '{"room": "kitchen"}')
    shell.run("audit", "checkpoint")
    (tmp_path / "joined").write_text(shell.run("audit", "prove", "--from", tmp_path / "older").stdout)
    shell.run("quit")

    def check(*arguments):
        return shell.run("--home", tmp_path / "laptop", "audit", "verify", "--key", key, *arguments)

    assert "proven: it is record 2" in check("--proof", tmp_path / "proof", "--record", tmp_path / "record").stdout
    assert "proven: the" in check("--proof", tmp_path / "joined", "--checkpoint", tmp_path / "older").stdout
    (tmp_path / "record").write_bytes((tmp_path / "record").read_bytes().replace(b'"seq":2', b'"seq":3'))
    done = check("--proof", tmp_path / "proof", "--record", tmp_path / "record")
    assert (done.returncode, "are not record 2" in done.stderr) == (7, True)


def test_a_ledger_is_verified_on_a_laptop_from_a_copy_of_the_file(shell, tmp_path):
    shell.run("call", "turn_light_on", '{"room": "kitchen"}')
    key = shell.run("audit", "key", "--hex").stdout.strip()
    (tmp_path / "checkpoint").write_text(shell.run("audit", "checkpoint").stdout)
    shell.run("quit")
    time.sleep(1)
    (tmp_path / "copy.db").write_bytes((shell.home / "appliance.db").read_bytes())

    anchors = ("--checkpoint", tmp_path / "checkpoint", "--key", key)
    done = shell.run("--home", tmp_path / "laptop", "audit", "--database", tmp_path / "copy.db", "verify", *anchors)

    assert done.stdout.startswith("anchored"), done.stdout + done.stderr


def test_a_checkpoint_is_signed_without_a_daemon_too(shell, tmp_path):
    shell.run("call", "turn_light_on", '{"room": "kitchen"}')
    shell.run("quit")
    time.sleep(1)

    (tmp_path / "checkpoint").write_text(shell.run("audit", "checkpoint").stdout)

    key = shell.run("audit", "key").stdout.strip()
    assert "anchored" in shell.run("audit", "verify", "--checkpoint", tmp_path / "checkpoint", "--key", key).stdout


def test_two_daemons_cannot_own_one_home(shell):
    first = shell.start()

    second = shell.run("run")

    assert second.returncode == 6
    assert "already owns" in second.stderr
    assert end(first)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_daemon_in_good_order(shell, number):
    daemon = shell.start()
    Appliance(shell.home).call("turn_light_on", {"room": "kitchen"})

    code, said = end(daemon, number)

    assert code == 0
    assert "Traceback" not in said
    last = json.loads(shell.run("audit", "show", "--json").stdout.splitlines()[-1])
    assert (last["kind"], last["facts"]["finished"]) == ("shutdown", True)


def test_after_kill_9_it_starts_again_and_nothing_is_lost(shell):
    daemon = shell.start()
    Appliance(shell.home).call("turn_light_on", {"room": "kitchen"})
    daemon.kill()
    daemon.wait()
    daemon.stderr.close()

    again = shell.start()

    assert json.loads(shell.run("audit", "verify", "--json").stdout)["state"] == "consistent-unanchored"
    kinds = [json.loads(line)["kind"] for line in shell.run("audit", "show", "--json").stdout.splitlines()]
    assert kinds.count("boot") == 2
    assert kinds.count("settled") == 1
    end(again)


def test_a_daemon_whose_home_was_taken_away_ends(shell):
    daemon = shell.start()

    shutil.rmtree(shell.home)

    daemon.wait(timeout=20)
    daemon.stderr.close()


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (("sya", "hello"), 2, "Did you mean 'say'"),
        (("call", "turn_light_on", "{room: kitchen}"), 2, "not JSON"),
        (("call", "turn_light_on", "[1]"), 2, "JSON object"),
        (("confirm", "nothing"), 5, "start one"),
        (("audit", "show"), 4, "start the appliance once"),
        (("audit", "verify", "--key", "x"), 7, "not an Ed25519 public key"),
        (("audit", "verify", "--checkpoint", "x"), 2, "worth what its key is worth"),
        (("audit", "prove"), 2, "say which record"),
    ],
)
def test_a_wrong_command_says_what_to_do(shell, words, code, hint):
    done = shell.run(*words)

    assert done.returncode == code
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_ten_megabytes_of_words_are_refused_at_once(shell):
    begun = time.monotonic()

    done = shell.run("say", "-", stdin="turn on the light " * 600_000)

    assert done.returncode == 2
    assert "4000 characters" in done.stderr
    assert time.monotonic() - begun < 20


def test_bytes_that_are_no_text_are_refused(shell):
    done = shell.run("say", "-", stdin=b"\xff\xfe\x00turn on")

    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"UTF-8" in done.stderr


def test_a_typo_in_the_settings_names_file_line_and_key(shell):
    shell.home.mkdir()
    (shell.home / "appliance.toml").write_text("[policy]\n\nconfirm_expire_s = 3\n")

    done = shell.run("say", "hello")

    assert done.returncode != 0
    assert "appliance.toml:3" in done.stderr
    assert "confirm_expires_s" in done.stderr


def test_an_altered_bundle_is_refused_by_name_and_the_device_still_starts(shell, tmp_path):
    from appliance import settings

    copy = tmp_path / "bundle"
    shutil.copytree(settings.shipped_bundle(), copy)
    network = copy / "model.tflite"
    raw = bytearray(network.read_bytes())
    raw[len(raw) // 2] ^= 1
    network.write_bytes(raw)
    shell.home.mkdir()
    (shell.home / "appliance.toml").write_text(f'[model]\nbundle = "{copy}"\n')

    said = shell.run("say", "turn on the kitchen light", "--json")

    assert json.loads(said.stdout)["code"] == "no_model"
    degraded = json.loads(shell.run("status", "--json").stdout)["degraded"]
    assert any("model.tflite" in reason for reason in degraded)
    assert "model     none usable: words are not read" in shell.run("status").stdout
    assert shell.run("propose", "--bundle", copy, stdin="{}\n").returncode == 3


def test_help_lists_every_verb_and_tells_the_exit_codes(shell):
    said = shell.run("--help").stdout

    for verb in ("say", "console", "audit", "doctor", "propose", "fleet", "backup"):
        assert f"  {verb}" in said
    assert "Exit codes" in said


def test_the_shell_completes_commands(shell):
    done = subprocess.run(
        [shutil.which("appliance", path=Path(sys.executable).parent)],
        env={**os.environ, "COMP_WORDS": "appliance au", "COMP_CWORD": "1", "_APPLIANCE_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.strip() == "plain,audit"


def test_a_program_gets_its_object_also_when_nothing_came_of_it(shell):
    done = shell.run("say", "-", "--json", stdin="turn on the light " * 1000)

    assert done.returncode == 2
    assert json.loads(done.stdout)["status"] == "refused"


def test_rows_cut_off_at_the_end_are_missed_by_the_device_itself(shell):
    shell.run("call", "turn_light_on", '{"room": "kitchen"}')
    shell.run("quit")
    time.sleep(1.5)
    with sqlite3.connect(shell.home / "appliance.db") as raw:
        raw.execute("delete from audit where seq > 3")
    raw.close()

    found = shell.run("audit", "verify")

    assert found.returncode == 4
    assert "first bad record: 4" in found.stdout


def test_a_database_that_is_none_is_said_to_be_damaged(shell):
    shell.home.mkdir()
    (shell.home / "appliance.db").write_text("a letter to my aunt " * 400)

    for verb in ("show", "verify"):
        done = shell.run("audit", verb)
        assert done.returncode == 4
        assert "Traceback" not in done.stderr


def test_a_tool_that_is_switched_off_by_a_name_that_does_not_exist_is_an_error(shell):
    shell.home.mkdir()
    (shell.home / "appliance.toml").write_text('[policy]\ndisabled_tools = ["unlok_door"]\n')

    done = shell.run("say", "hello")

    assert done.returncode == 2
    assert "unlok_door" in done.stderr


def test_the_stop_reaches_a_daemon_whose_socket_is_gone(shell):
    daemon = shell.start()
    Appliance(shell.home).call("turn_light_on", {"room": "kitchen"})
    (shell.home / "run" / "appliance.sock").unlink()

    done = shell.run("stop", "smoke")

    assert done.returncode == 0, done.stderr
    daemon.communicate(timeout=20)
    assert daemon.returncode == 0
    assert (shell.home / "emergency.json").exists()
    (shell.home / "emergency.json").unlink()
