"""The table of commands, the roles, the bodies and the page say the same."""

import typing

from appliance.agent import wire_reference
from appliance.agent.commands.table import KINDS, WHY_LOCAL
from appliance.contracts import envelope
from appliance.contracts.enrolment import MAY, Role

BODIES = {
    body.model_fields["kind"].default for body in typing.get_args(typing.get_args(envelope.CommandBody)[0])
}  # fmt: skip
PROTOCOL = {"ask", "call", "set-config", "stop", "release", "update", "export-audit", "diagnose", "ping"}


def test_every_command_of_the_protocol_is_known():
    assert set(KINDS) >= PROTOCOL


def test_every_body_has_its_row_and_every_row_its_body_or_its_reason():
    assert {kind.name for kind in KINDS.values() if kind.way != "local"} == BODIES
    assert set(WHY_LOCAL) == {kind.name for kind in KINDS.values() if kind.way == "local"}


def test_every_command_is_some_roles_and_no_role_has_one_that_is_not_there():
    rights = {right.partition(" ")[0] for right in set().union(*MAY.values())}

    assert rights - {"ack", "desired"} == {kind.name for kind in KINDS.values() if kind.way != "local"}


def test_who_only_looks_changes_nothing():
    for role in (Role.OBSERVER, Role.AUDITOR):
        assert MAY[role] <= {"ping", "diagnose", "export-audit"}


def test_the_page_names_each():
    page = wire_reference.page("")

    assert all(f"| `{name}` |" in page for name in KINDS)
