"""A process that misbehaves costs its own time and no memory here."""

import sys

import pytest

from appliance.adapters import bounded
from appliance.adapters.bounded import TooMuch


def run(code, told=b"", *, limit_s=60.0, most_bytes=1000):
    return bounded.run((sys.executable, "-I", "-c", code), told, limit_s=limit_s, most_bytes=most_bytes)


def test_what_it_is_told_and_what_it_says_arrive_whole():
    echo = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()); sys.exit(4)"

    assert run(echo, b"x" * 1000) == (4, b"x" * 1000)


def test_one_byte_too_many_is_too_much():
    with pytest.raises(TooMuch):
        run("print('x' * 1000)")


@pytest.mark.parametrize("channel", ["stdout", "stderr"])
def test_a_flood_ends_and_does_not_fill_the_memory(channel):
    # What is written to stderr is nobody's: it goes on until its time is over.
    flood = f"import sys\nwhile True: sys.{channel}.write('x' * 65536)"

    with pytest.raises(TooMuch if channel == "stdout" else TimeoutError):
        run(flood, limit_s=60.0 if channel == "stdout" else 1.0)


def test_a_process_that_never_reads_does_not_hold_up():
    assert run("print('done')", b"x" * 2**22).said == b"done\n"


@pytest.mark.parametrize("closing", ["", "import os; os.close(1)"])
def test_a_process_that_does_not_end_is_ended(closing):
    with pytest.raises(TimeoutError):
        run(f"{closing}\nimport time; time.sleep(600)", limit_s=1.0)


def test_a_program_that_is_not_there_is_said():
    with pytest.raises(FileNotFoundError):
        bounded.run(("/nowhere/at/all",), b"", limit_s=1.0, most_bytes=1)
