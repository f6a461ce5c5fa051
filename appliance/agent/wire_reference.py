"""The wire's topics, records and codes to docs/reference/wire.md."""

from __future__ import annotations

import inspect
import types
import typing
from typing import Any, Final

from pydantic import BaseModel

from appliance.agent.commands.table import KINDS
from appliance.agent.refusals import MOST_PER_MINUTE, UNRECORDED, Codes
from appliance.agent.replying import REFUSED
from appliance.contracts import envelope, topics
from appliance.contracts.enrolment import MAY, BrokerSettings, DeviceIdentity, Enrolment
from appliance.contracts.rotation import KeyRotation, SignedRotation
from appliance.contracts.topics import DOWNWARD, NAMED, RETAINED, Channel

_SAYS: Final[dict[Channel, str]] = {
    Channel.STATE: "`State`; the last will is the same record with `lost`",
    Channel.DESC: "`Desc`",
    Channel.KEYS: "`Keys`; only of a device whose key was changed",
    Channel.REPORTED: "`Reported`: the configuration in force",
    Channel.DESIRED: "`Desired`: the configuration wanted, the only retained thing that a device obeys",
    Channel.CHECKPOINT: "the newest signed checkpoint of the ledger: the note as it is, not in `Signed`",
    Channel.CMD: "`Command`; correlation data, response topic and message expiry are required",
    Channel.RSP: "`Response`, with the command's correlation data",
    Channel.EVT: "`Batch` of the stream `evt`; the name is the kind, or `mixed`",
    Channel.AUDIT: "`Batch` of the stream `audit`",
    Channel.ACK: "`Ack`; only this deletes outbox rows, never beyond what was sent",
}

_PLAIN: Final = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "datetime": "time",
    "AwareDatetime": "time with zone",
}

_RECORDS: Final = (
    envelope.Signed,
    envelope.Command,
    envelope.AskBody,
    envelope.CallBody,
    envelope.PingBody,
    envelope.StopBody,
    envelope.EventBody,
    envelope.TrustBody,
    envelope.UpdateBody,
    envelope.SetConfigBody,
    envelope.LawsBody,
    envelope.ExportAuditBody,
    envelope.DiagnoseBody,
    envelope.Desired,
    envelope.Reported,
    envelope.Response,
    envelope.State,
    envelope.Desc,
    envelope.Keys,
    SignedRotation,
    KeyRotation,
    envelope.Batch,
    envelope.Item,
    envelope.Ack,
    DeviceIdentity,
    Enrolment,
    BrokerSettings,
)


def page(stamp: str) -> str:
    """Return the page; *stamp* says how it is made."""
    return "\n".join(
        [
            "# The wire\n",
            stamp,
            "MQTT 5, QoS 1. Every payload but a checkpoint is canonical JSON (RFC 8785) in the wrapper `Signed`; a",
            "checkpoint is a C2SP signed note, so that any tool that reads such notes checks it. A message is at most",
            f"{envelope.MAX_MESSAGE_BYTES // 1024} KiB, a command {envelope.MAX_COMMAND_BYTES // 1024} KiB.",
            "A record of a stream is named for ever by (device, epoch, stream, seq).\n",
            "## Topics\n",
            "| topic | writes | retained | what |",
            "|---|---|---|---|",
            *_topic_rows(),
            "",
            f"`{topics.ROOT}/{{site}}/all/cmd/{{command}}` goes to every device of a site; its response topic is",
            "`.../all/rsp/{controller}`, in which each device puts its own name for `all`, and the answers are spread",
            "over `spread_s`. Tools above `[policy] group_risk` are refused.\n",
            "## Commands\n",
            "`request`: a row of the inbox, judged by the laws like everybody's. `now`: done before it is",
            "acknowledged. `errand`: kept, and done beside the requests. `local`: refused with 403, only a person at",
            "the device does it. What acts needs the nonce of this start while the device's time is untrusted.\n",
            "| command | how | acts | to `all` |",
            "|---|---|---|---|",
            *(
                f"| `{kind.name}` | `{kind.way}` | {'yes' if kind.acts else 'no'} | {'yes' if kind.to_all else 'no'} |"
                for kind in KINDS.values()
            ),
            "",
            "## Who may\n",
            "| role | commands |",
            "|---|---|",
            *(f"| `{role.value}` | {', '.join(f'`{c}`' for c in sorted(MAY[role]))} |" for role in MAY),
            "",
            "The site's laws judge every act besides. `ack` is the right to have records deleted by acknowledging.\n",
            "## Refusals\n",
            "Each is recorded as `refused_message` and, where the command says where to, answered.",
            f"Beyond {MOST_PER_MINUTE} in a minute of what a controller signed, and {MOST_PER_MINUTE} of what nobody",
            f"did, they are numbers by code in one record, `{UNRECORDED}`.\n",
            "| status | code |",
            "|---:|---|",
            *(f"| {code.status} | `{code.word}` |" for code in Codes),
            "",
            "A request that the laws or the device refuse is answered with 422, or:\n",
            "| status | code |",
            "|---:|---|",
            "| 403 | `workflow:NAME` |",
            *(f"| {status} | `{code}` |" for code, (_, status) in REFUSED.items()),
            "",
            "## Life of a command\n",
            f"{', '.join(f'`{word}`' for word in typing.get_args(envelope.LifeCycle))}; nothing comes after",
            f"{', '.join(f'`{word}`' for word in sorted(envelope.FINAL))}.",
            "An answer that a newer one overtakes is not sent.\n",
            "## Records\n",
            *(part for record in _RECORDS for part in _record(record)),
        ]
    )


def _topic_rows() -> list[str]:
    rows = []
    for channel in Channel:
        name = "/{name}" if channel in NAMED else ""
        writer = "controller" if channel in DOWNWARD else "device"
        retained = "yes" if channel in RETAINED else "never" if channel is Channel.CMD else "no"
        rows.append(
            f"| `{topics.ROOT}/{{site}}/{{device}}/{channel}{name}` | {writer} | {retained} | {_SAYS[channel]} |"
        )
    return rows


def _record(record: type[BaseModel]) -> list[str]:
    summary = inspect.getdoc(record) or ""
    lines = [
        f"### {record.__name__}\n",
        summary.split("\n\n", 1)[0].replace("\n", " ") + "\n",
        "| field | type | |",
        "|---|---|---|",
    ]
    for name, field in record.model_fields.items():
        told = (field.description or "").replace("\n", " ")
        needed = "" if field.is_required() else " (optional)"
        lines.append(f"| `{name}`{needed} | {_type(field.annotation)} | {told} |")
    return [*lines, ""]


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{a}`" for a in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(a) for a in arguments)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (tuple, list):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return "object"
    if annotation is type(None):
        return "null"
    return _PLAIN.get(getattr(annotation, "__name__", ""), f"`{getattr(annotation, '__name__', annotation)}`")
