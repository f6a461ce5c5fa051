"""A command that proposes something to a row of the inbox: from there on it is a request like any other."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import AskBody, CallBody, Command, EventBody
from appliance.contracts.request import Ask, Body, Call, Event, Origin, OriginKind, Request, RequestId
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.topics import EVERY_DEVICE

_LAWFUL: Final = {Role.KEEPER: Role.OPERATOR}
"""What a law takes a role for: whoever keeps the bundles has no more to say about doors."""


def request(command: Command, request_id: RequestId, role: Role, now: datetime, until: datetime) -> Request:
    """Return the request that *command* makes.

    Args:
        until: by this device's own clock; looked at again when its turn comes.
    """
    origin = Origin(
        kind=OriginKind.CONTROLLER,
        peer=command.issuer,
        role=_LAWFUL.get(role, role).value,
        correlation=command.correlation,
        reply_to=command.response_topic,
        to_all=command.audience == EVERY_DEVICE,
        expires_at=until,
    )
    return Request(request_id=request_id, received_at=now, origin=origin, body=_body(command))


def _body(command: Command) -> Body:
    match command.body:
        case AskBody(text=text):
            return Ask(text=text)
        case CallBody(tool=tool, arguments=arguments, because=because):
            return Call(call=ToolCall(tool=tool, literals=arguments), because=because)
        case EventBody(event=event, workflow=workflow):
            return Event(event=event, workflow=workflow)
        case _ as other:
            raise AssertionError(f"{other.kind} is no request")
