"""The records of the wire to an AsyncAPI 3 document and to JSON Schemas, for whoever builds the other side.

Both are written to docs/reference by `make docs`. The document is the device's: it sends what rises, receives what
comes down.

Covers: every channel, record, binding and limit that the records say. Does not cover: what a signature is made over,
and the order of acknowledgements; docs/reference/wire.md says those.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from appliance import __version__
from appliance.contracts import envelope
from appliance.contracts.enrolment import BrokerSettings
from appliance.contracts.envelope import Signed
from appliance.contracts.packing import PACKED, PLAIN
from appliance.contracts.topics import DOWNWARD, EVERY_DEVICE, NAMED, RETAINED, ROOT, Channel

CARRIES: Final[dict[Channel, type[BaseModel] | None]] = {
    Channel.STATE: envelope.State,
    Channel.DESC: envelope.Desc,
    Channel.KEYS: envelope.Keys,
    Channel.REPORTED: envelope.Reported,
    Channel.DESIRED: envelope.Desired,
    Channel.CHECKPOINT: None,
    Channel.CMD: envelope.Command,
    Channel.RSP: envelope.Response,
    Channel.EVT: envelope.Batch,
    Channel.AUDIT: envelope.Batch,
    Channel.ACK: envelope.Ack,
}
"""What lies in `Signed` on each channel; a checkpoint is a signed note, without it."""

GROUP: Final = "cmdAll"
"""The channel of commands to a whole site, by the name it has in the document."""

_BINDING: Final = "0.2.0"
_SCHEMA: Final = "http://json-schema.org/draft-07/schema#"
_NAMES: Final = {Channel.CMD: "command", Channel.RSP: "controller", Channel.EVT: "kind"}
_PARAMETERS: Final = {
    "site": "The site: lower case, digits, inner hyphens, at most 64 characters; never `all`.",
    "device": "The device, written as a site is; the common name of its certificate.",
    "command": "The command; the same word as `body.kind`.",
    "controller": "The key id of the controller that asked.",
    "kind": "The kind of event, or `mixed`.",
}
_CLOUD_EVENT: Final = ("specversion", "id", "source", "type", "time", "firstseq", "lastseq")

Json = dict[str, Any]


def records(channels: frozenset[Channel] | set[Channel]) -> list[type[BaseModel]]:
    """Return the records that *channels* carry, each once, in the order of the channels."""
    found = (CARRIES[channel] for channel in Channel if channel in channels)
    return list(dict.fromkeys(record for record in found if record is not None))


def schemas() -> Json:
    """Return the JSON Schemas of everything on the wire, and which way each goes."""
    upward, downward = records(set(Channel) - DOWNWARD), records(DOWNWARD)
    return {
        "$schema": _SCHEMA,
        "title": "What crosses the broker",
        "version": envelope.VERSION,
        "upward": [record.__name__ for record in upward],
        "downward": [record.__name__ for record in downward],
        "$defs": _definitions("#/$defs/{model}"),
    }


def document() -> Json:
    """Return the AsyncAPI document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Offline agent appliance: a device on the wire",
            "version": __version__,
            "description": "MQTT 5. The document is written from the device's side; a controller does the inverse.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": PLAIN,
        "servers": {"site": _server()},
        "channels": {**{channel.value: _channel(channel) for channel in Channel}, GROUP: _group_channel()},
        "operations": {**{_verb(channel): _operation(channel) for channel in Channel}, "receiveCmdAll": _group()},
        "components": {
            "messages": {channel.value: _message(channel) for channel in Channel},
            "schemas": _definitions("#/components/schemas/{model}"),
        },
    }


def _definitions(template: str) -> Json:
    models: list[type[BaseModel]] = list(dict.fromkeys([Signed, *records(set(Channel))]))
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=template)
    definitions: Json = dict(sorted(found["$defs"].items()))
    for schema in list(definitions.values()):
        _plain(schema, definitions)
    return definitions


def _plain(schema: Any, definitions: Json) -> None:
    """Say OpenAPI's `discriminator`, which AsyncAPI has in another form, in plain words: each variant requires it."""
    if isinstance(schema, list):
        for each in schema:
            _plain(each, definitions)
    if not isinstance(schema, dict):
        return
    if "oneOf" in schema and isinstance(tag := schema.pop("discriminator", None), dict):
        for reference in tag["mapping"].values():
            variant = definitions[reference.rsplit("/", 1)[1]]
            variant["required"] = [tag["propertyName"], *variant.get("required", ())]
    for each in schema.values():
        _plain(each, definitions)


def _server() -> Json:
    defaults = BrokerSettings(host="broker")
    return {
        "host": "{broker}:{port}",
        "protocol": "secure-mqtt",
        "protocolVersion": "5",
        "description": "The site's broker: mutual TLS, rights from the name in the certificate.",
        "variables": {
            "broker": {"default": "broker.example", "description": "The site's broker."},
            "port": {"default": str(defaults.port)},
        },
        "bindings": {
            "mqtt": {
                "clientId": "{device}",
                "cleanSession": False,
                "keepAlive": defaults.keepalive_s,
                "sessionExpiryInterval": defaults.session_expiry_s,
                "maximumPacketSize": envelope.MAX_MESSAGE_BYTES + 4096,
                "lastWill": {
                    "topic": f"{ROOT}/{{site}}/{{device}}/{Channel.STATE}",
                    "qos": 1,
                    "retain": True,
                    "message": "The signed state of this start and connection, with the word `lost`.",
                },
                "bindingVersion": _BINDING,
            }
        },
    }


def _channel(channel: Channel) -> Json:
    names = ["site", "device", *([_NAMES[channel]] if channel in NAMED else [])]
    return {
        "address": "/".join([ROOT, "{site}", "{device}", channel, *(f"{{{name}}}" for name in names[2:])]),
        "messages": {channel.value: {"$ref": f"#/components/messages/{channel}"}},
        "parameters": {name: {"description": _PARAMETERS[name]} for name in names},
    }


def _group_channel() -> Json:
    return {
        "address": f"{ROOT}/{{site}}/{EVERY_DEVICE}/{Channel.CMD}/{{command}}",
        "messages": {Channel.CMD.value: {"$ref": f"#/components/messages/{Channel.CMD}"}},
        "parameters": {name: {"description": _PARAMETERS[name]} for name in ("site", "command")},
    }


def _verb(channel: Channel) -> str:
    return f"{'receive' if channel in DOWNWARD else 'send'}{channel.value.capitalize()}"


def _operation(channel: Channel, at: str | None = None) -> Json:
    of = at or channel.value
    binding: Json = {"qos": 1, "retain": channel in RETAINED, "bindingVersion": _BINDING}
    if channel is Channel.CMD:
        longest = {"type": "integer", "minimum": 1, "maximum": envelope.MAX_LIFETIME_S}
        binding["messageExpiryInterval"] = longest
    made: Json = {
        "action": "receive" if channel in DOWNWARD else "send",
        "channel": {"$ref": f"#/channels/{of}"},
        "messages": [{"$ref": f"#/channels/{of}/messages/{channel}"}],
        "bindings": {"mqtt": binding},
    }
    if channel is Channel.CMD:
        # `all` in a group command's response topic stands for the device's own name.
        made["reply"] = {
            "address": {"location": "$message.payload#/payload/response_topic"},
            "channel": {"$ref": f"#/channels/{Channel.RSP}"},
            "messages": [{"$ref": f"#/channels/{Channel.RSP}/messages/{Channel.RSP}"}],
        }
    return made


def _group() -> Json:
    return _operation(Channel.CMD, GROUP)


def _message(channel: Channel) -> Json:
    record = CARRIES[channel]
    if record is None:
        return {
            "title": "A checkpoint of the ledger",
            "summary": "A signed note, as C2SP's tlog-checkpoint says; not in `Signed`.",
            "contentType": "text/plain",
            "payload": {"type": "string"},
            "bindings": {"mqtt": {"payloadFormatIndicator": 1, "bindingVersion": _BINDING}},
        }
    signed = _definitions("#/components/schemas/{model}")[Signed.__name__]
    told: Json = {
        "title": record.__name__,
        "summary": (record.__doc__ or "").strip().split("\n")[0],
        "contentType": PLAIN,
        "payload": {
            **signed,
            "properties": {
                **signed["properties"],
                "payload": {"$ref": f"#/components/schemas/{record.__name__}"},
            },
        },
        "bindings": {"mqtt": {"payloadFormatIndicator": 1, "bindingVersion": _BINDING}},
    }
    if channel in (Channel.CMD, Channel.RSP):
        size = {"type": "string", "minLength": envelope.CORRELATION_BYTES, "maxLength": envelope.CORRELATION_BYTES}
        told["bindings"]["mqtt"]["correlationData"] = size
        told["correlationId"] = {
            "description": "The MQTT correlation data, in hexadecimal.",
            "location": "$message.payload#/payload/correlation",
        }
    if channel is Channel.CMD:
        address = _channel(Channel.RSP)["address"]
        told["bindings"]["mqtt"]["responseTopic"] = address
    if record is envelope.Batch:
        told["description"] = f"Long ones as `{PACKED}`. The user properties are those of a CloudEvent."
        told["headers"] = {"type": "object", "properties": {name: {"type": "string"} for name in _CLOUD_EVENT}}
    return told
