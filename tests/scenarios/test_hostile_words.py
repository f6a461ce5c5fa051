"""Somebody says, names and stores what a terminal would obey; whoever looks at it later only reads it."""

import sqlite3
import unicodedata

import click
import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.terminal import visible

# Clears the screen, fills the clipboard, rings, runs backwards.
HOSTILE = "\x1b[2J\x1b]52;c;cm0gLXJmIH4=\x07\x9b2J\u202egnp"


@pytest.fixture
def looked(bench):
    """Run a verb as on a terminal that takes every colour, and return what it would be sent."""

    def runs(*words):
        result = CliRunner().invoke(cli.group, ["--home", str(bench.home.root), *words], color=True)
        # A hostile file or a refusal may end a verb with a fault; its text goes the same way as that of `main`.
        said = result.output + ("" if result.exception is None else visible(cli.fault(result.exception), lines=True))
        own = said
        for style in ("red", "green", "yellow", "magenta"):
            own = own.replace(click.style("", fg=style, bold=True, reset=False), "")
            own = own.replace(click.style("", fg=style, reset=False), "")
        return own.replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[22m", "").replace("\x1b[0m", "")

    return runs


def obeyed(text):
    return [c for c in text if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


def test_nothing_that_was_said_is_obeyed_by_the_terminal_of_whoever_reads_it(bench, looked):
    bench.start()
    seen = [looked("say", "--yes", f"leave a note: buy {HOSTILE} milk")]
    request_id = bench.records[-1].request_id
    seen += [
        looked("audit", "hold", "add", "--request", request_id, "--reason", f"why {HOSTILE}"),
        looked("audit", "hold", "list"),
        looked("audit", "hold", "list", "--json"),
        looked("audit", "show"),
        looked("audit", "show", "--json"),
        looked("audit", "query", "select words from decisions"),
        looked("audit", "replay"),
        looked("audit", "verify"),
        looked("audit", "usage"),
        looked("keys", "rotate", "--reason", HOSTILE),
        looked("keys", "show"),
        looked("keys", "retired"),
        looked("stop", HOSTILE),
        looked("status"),
        looked("status", "--json"),
        looked("release"),
        looked("audit", "replay", "--request", HOSTILE),
        looked("audit", "verify", "--epoch", HOSTILE),
        looked("audit", "export", str(bench.home.root / "x.zip"), "--request", HOSTILE),
    ]

    assert [obeyed(text) for text in seen] == [[] for _ in seen]
    assert any("\\x1b" in text for text in seen)
    assert any("\\u202e" in text for text in seen)


@pytest.mark.parametrize(
    "sql",
    [
        "update meta set value = :hostile where key = 'epoch'",
        "update audit set at = :hostile where seq = 3",
        "update audit set kind = :hostile where seq = 3",
        "update audit set request_id = :hostile where seq > 1",
        "update audit set body = replace(body, '\"seq\":3', '\"seq\":\"' || :hostile || '\"') where seq = 3",
        "update checkpoints set note = :hostile || note",
        "insert into past select :hostile, seq, kind, request_id, at, leaf, body, personal from audit",
    ],
)
def test_a_hostile_file_is_only_read(bench, looked, tmp_path, sql):
    bench.start()
    bench.client.say("dim the workshop lights to 30 percent")
    bench.daemon.checkpoint()
    bench.stop()
    copy = tmp_path / "copy.db"
    with sqlite3.connect(bench.home.database) as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute(sql, {"hostile": HOSTILE} if ":hostile" in sql else {})

    for words in (["verify"], ["verify", "--json"], ["show"], ["show", "--json"], ["checkpoint"], ["usage"]):
        assert obeyed(looked("audit", "--database", str(copy), *words)) == []
