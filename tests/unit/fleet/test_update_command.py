"""`appliance fleet send --update`: what can be said, and how a wish that is not whole is explained."""

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.contracts.envelope import UpdateBody
from appliance.fleet import wishing
from appliance.fleet.home import make


@pytest.mark.parametrize(
    ("action", "name", "expected"),
    [
        ("install", "release-2.tar", UpdateBody(action="install", delivery="release-2.tar")),
        ("activate", "pointer-small/0.2.0", UpdateBody(action="activate", bundle="pointer-small/0.2.0")),
        ("rollback", "", UpdateBody(action="rollback")),
        ("rollback", "pointer-small/0.2.0", UpdateBody(action="rollback", bundle="pointer-small/0.2.0")),
    ],
)
def test_words_name_what_is_updated(action, name, expected):
    assert wishing.body_of(wishing.Wish(name, update=action)) == expected


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--update", "install"], "name the file"),
        (["--update", "activate"], "name the bundle"),
        (["--update", "install", "../../etc/shadow"], "delivery"),
        (["--update", "install", "a.tar", "--ping"], "say one of"),
        (["--update", "revoke"], "revoke"),
    ],
)
def test_what_is_missing_or_too_much_is_said(tmp_path, words, complaint):
    make(tmp_path / "fleet", site="home").close()

    result = CliRunner().invoke(cli.group, ["fleet", "send", "--fleet-home", str(tmp_path / "fleet"), "lamp", *words])

    assert result.exit_code != 0
    assert complaint in f"{result.output}{result.exception}"
