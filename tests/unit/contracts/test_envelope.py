"""The signed wrapper is read strictly, and a signature covers every byte of meaning."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from appliance.contracts.envelope import Ack, AskBody, Command, parse_payload, parse_signed
from appliance.errors import TrustError, WireError
from appliance.trust import keys
from appliance.trust.signature import opened, sealed, sign

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def key(tmp_path):
    return keys.load_or_make(tmp_path / "keys" / "a.key")


@pytest.fixture
def command(key):
    return Command(
        audience="lamp",
        issuer=key.key_id,
        correlation="0" * 32,
        counter=1,
        issued_at=NOW,
        expires_at=NOW + timedelta(seconds=60),
        response_topic="edge/v1/home/lamp/rsp/x",
        body=AskBody(text="turn it on"),
    )


def test_a_sealed_record_opens_for_who_knows_the_key(key, command):
    assert opened(sealed(key, command), Command, {key.key_id: key.public}) == command


def test_every_changed_byte_of_the_payload_breaks_the_signature(key, command):
    data = json.loads(sealed(key, command))
    for field in data["payload"]:
        altered = json.loads(json.dumps(data))
        altered["payload"][field] = 2 if field == "counter" else "x"

        with pytest.raises(TrustError, match="does not hold"):
            opened(json.dumps(altered).encode(), Command, {key.key_id: key.public})


def test_a_key_that_is_not_enrolled_opens_nothing(key, command):
    with pytest.raises(TrustError, match="not enrolled"):
        opened(sealed(key, command), Command, {})


def test_an_acknowledgement_cannot_be_read_as_a_command(key):
    ack = Ack(audience="lamp", issuer=key.key_id, stream="evt", epoch="e", upto=1)

    with pytest.raises(WireError, match="not a command"):
        opened(sealed(key, ack), Command, {key.key_id: key.public})


def test_spaces_and_order_do_not_matter_to_the_signature(key, command):
    loose = json.dumps(dict(reversed(json.loads(sealed(key, command)).items())), indent=3).encode()

    assert opened(loose, Command, {key.key_id: key.public}) == command


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"key": 1}',
        b"[" * 100_000,
        b'{"key":"0123456789abcdef","payload":{"a":NaN},"signature":"' + b"0" * 128 + b'"}',
        b'{"key":"0123456789abcdef","payload":{"a":1e999},"signature":"' + b"0" * 128 + b'"}',
        b'{"key":"0123456789abcdef","payload":{"a":9007199254740993},"signature":"' + b"0" * 128 + b'"}',
        b'{"key":"0123456789abcdef","payload":{"a":-' + b"9" * 5000 + b'},"signature":"' + b"0" * 128 + b'"}',
        b'{"key":"0123456789abcdef","key":"0123456789abcdef","payload":{},"signature":"' + b"0" * 128 + b'"}',
        b'{"key":"0123456789abcdef","payload":{},"signature":"' + b"0" * 128 + b'","more":1}',
        b'{"key":"0123456789ABCDEF","payload":{},"signature":"' + b"0" * 128 + b'"}',
    ],
)
def test_what_is_no_wrapper_is_a_wire_error(data):
    with pytest.raises(WireError):
        parse_signed(data)


def test_a_message_that_is_too_long_is_not_even_parsed():
    with pytest.raises(WireError, match="at most 10"):
        parse_signed(b"x" * 11, limit_bytes=10)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("counter", 0),
        ("counter", "1"),
        ("counter", True),
        ("correlation", "zz"),
        ("issued_at", "2026-11-22T00:00:00"),
        ("audience", "../lamp"),
        ("version", 2),
        ("record", "ack"),
        ("body", {"kind": "ask", "text": "x" * 4001}),
        ("body", {"kind": "ask", "text": "x", "more": 1}),
        ("body", {"kind": "format-disk"}),
        ("more", 1),
    ],
)
def test_a_command_with_one_wrong_field_is_refused_by_name(key, command, field, value):
    payload = {**command.model_dump(mode="json"), field: value}

    with pytest.raises(WireError, match="not a command: ") as caught:
        parse_payload(sign(key, payload), Command)

    assert field in str(caught.value)
