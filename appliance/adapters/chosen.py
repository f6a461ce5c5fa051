"""The owner's word on a second model: which one, where, and for how long it may be waited for."""

from __future__ import annotations

import ipaddress
from typing import Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from appliance.contracts.record import Record


class EscalationSettings(Record):
    """A second model, asked where the device's own does not know; what it says is a proposal, confirmed by a person."""

    proposer: Literal["off", "server", "needle"] = "off"
    """`server` asks the OpenAI-compatible server at `endpoint`, with personal words blanked; `needle` asks Needle
    weights of your own on this device (install the extra `needle`)."""

    endpoint: str = Field(default="", max_length=300)
    """Where the server's API begins: `http://127.0.0.1:8080/v1`. Without TLS only to this device or a private address,
    written as a number."""

    model: str = Field(default="", max_length=100, pattern=r"^[\w.:/@+-]*$")
    """What the server calls the model."""

    key_file: str = Field(default="", max_length=300)
    """File with the key for the server, relative to the home, readable by nobody else; none when empty."""

    ca_file: str = Field(default="", max_length=300)
    """Certificates to trust in place of the system's, for a server of your own; relative to the home."""

    time_limit_s: float = Field(default=10.0, ge=0.5, le=120.0)
    """For the whole of one question, whatever the server does; only the request that asked waits."""

    tools_n: int = Field(default=16, ge=1, le=64)
    """So many of the tools that seem nearest are described to it."""

    weights: str = Field(default="", max_length=300)
    """Needle's file: `needle.safetensors` (v1) or a `.cact` (v2, v3), relative to the home."""

    weights_sha256: str = Field(default="", pattern=r"^(|[0-9a-f]{64})$")
    """Of that file: another one is not loaded."""

    vocabulary: str = Field(default="", max_length=300)
    """Needle v1 only: its `vocab.txt`."""

    vocabulary_sha256: str = Field(default="", pattern=r"^(|[0-9a-f]{64})$")
    """Of that file."""

    generation: Literal[1, 2, 3] = 3
    """Of the Needle weights."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.proposer == "server":
            why = _unfit(self.endpoint) or ("" if self.model else "`model` is missing: what the server calls it")
        elif self.proposer == "needle":
            why = self._needle_lacks()
        else:
            why = ""
        if why:
            raise PydanticCustomError("escalation", "{why}", {"why": why})
        return self

    def _needle_lacks(self) -> str:
        wanted = {"weights": self.weights, "weights_sha256": self.weights_sha256}
        if self.generation == 1:
            wanted |= {"vocabulary": self.vocabulary, "vocabulary_sha256": self.vocabulary_sha256}
        missing = [f"`{name}`" for name, value in wanted.items() if not value]
        return f"{' and '.join(missing)} missing: Needle weights are named with their hash" if missing else ""


def split(endpoint: str) -> SplitResult:
    """Take an endpoint apart that was found fit."""
    return urlsplit(endpoint.rstrip("/"))


def _unfit(endpoint: str) -> str:
    """Say why *endpoint* cannot be asked; empty where it can."""
    try:
        parts = split(endpoint)
        port = parts.port
    except ValueError as error:
        return f"`endpoint` is no address: {error}"
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        return "`endpoint` is missing or no address; it looks like http://127.0.0.1:8080/v1"
    if parts.username or parts.password or parts.query or parts.fragment:
        return "`endpoint` holds a password, a query or a fragment; the key goes into `key_file`"
    if not endpoint.isascii() or any(letter.isspace() for letter in endpoint):
        return "`endpoint` holds a space or a letter that is not ASCII"
    if parts.scheme == "http" and not _is_near(parts.hostname):
        return "`endpoint` without TLS may only be this device or a private address (a number); use https://"
    return ""


def _is_near(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (address.is_private or address.is_loopback) and not address.is_unspecified
