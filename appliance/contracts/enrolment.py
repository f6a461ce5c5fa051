"""Who belongs to whom: a device's identity, and the grant that binds it to a site and its controllers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from appliance.contracts.envelope import KeyId
from appliance.contracts.record import Record
from appliance.contracts.topics import Name

PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""The raw 32 bytes of an Ed25519 public key, hexadecimal."""


Pem = Annotated[str, StringConstraints(max_length=16 * 1024)]
"""Certificates, or a request for one, as text."""


class Role(StrEnum):
    """What a controller's key may do."""

    OBSERVER = "observer"  # ping
    SAFETY = "safety"  # ping, stop
    AUDITOR = "auditor"  # ping, and what shows without changing
    OPERATOR = "operator"  # everything that changes no bundle; and its acknowledgement deletes
    KEEPER = "keeper"  # all that, and says which bundle decides


_OPERATOR = frozenset(
    {
        "ping",
        "stop",
        "ask",
        "call",
        "event",
        "trust",
        "update install",
        "update rollback",
        "set-config",
        "desired",
        "laws",
        "export-audit",
        "diagnose",
        "ack",
    }
)

MAY: dict[Role, frozenset[str]] = {
    Role.OBSERVER: frozenset({"ping"}),
    Role.SAFETY: frozenset({"ping", "stop"}),
    Role.AUDITOR: frozenset({"ping", "diagnose", "export-audit"}),
    Role.OPERATOR: _OPERATOR,
    Role.KEEPER: _OPERATOR | {"update activate"},
}
"""Commands by role, as at the device itself; the site's laws still judge every act."""


class BrokerSettings(Record):
    """How to reach the broker; secrets are named by path, never held here.

    Of a device, paths that are not absolute begin in its home.
    """

    host: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65535)] = 8883
    ca_file: str | None = None
    """The site's certificate authority; TLS is used when it is given."""

    certificate_file: str | None = None
    key_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    """A file of mode 0600 or stricter; its first line is the password."""

    keepalive_s: Annotated[int, Field(ge=1, le=3600)] = 60
    connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """For TCP, TLS and the broker's first answer, each."""

    session_expiry_s: Annotated[int, Field(ge=0)] = 7 * 86_400
    receive_max: Annotated[int, Field(ge=1, le=65535)] = 20
    will_delay_s: Annotated[int, Field(ge=0, le=300)] = 10
    first_connect_s: Annotated[float, Field(ge=0, le=300)] = 30.0
    """The first connection, and the first after one that had lasted, are spread over this, so that a site does not come
    back at once; 0 in demos."""

    reconnect_s: tuple[float, float] = (1.0, 120.0)
    """Attempts that fail are followed by a pause between nothing and the first of these, doubled each time up to the
    second."""


class DeviceIdentity(Record):
    """What a device says of itself when it asks to be enrolled; signed with its own key."""

    record: Literal["identity"] = "identity"
    version: Literal[1] = 1
    site: Name
    device: Name
    public_key: PublicKey
    epoch: str | None = None
    """None before the appliance's first start."""

    hardware_id: str = ""
    certificate_request: Pem = ""
    """For the connection to the broker: the device's name and the public half of a key of its own (PKCS #10)."""


class EnrolledController(Record):
    """A key that a device listens to."""

    public_key: PublicKey
    name: Name
    role: Role = Role.OPERATOR
    sealing_key: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    """The raw 32 bytes of its X25519 public key: what travels on a stick is encrypted to it."""

    counter: Annotated[int, Field(ge=0)] = 0
    """Its counter for this device when the grant was made: only higher ones count."""

    group_counter: Annotated[int, Field(ge=0)] = 0
    """Its counter for `all` then."""


class Enrolment(Record):
    """`HOME/enrolment.json`: the grant of a controller to one device; signed by the controller."""

    record: Literal["enrolment"] = "enrolment"
    version: Literal[1] = 1
    site: Name
    device: Name
    device_key: KeyId
    """For which key this grant was made; another device cannot use it."""

    hardware_id: str = ""
    """For which board, where the device could say: a copy of its card is recognised by it."""

    grant: str = ""
    """Random: another one for each grant, so that an old grant is never taken for a new one."""

    controllers: Annotated[tuple[EnrolledController, ...], Field(min_length=1, max_length=16)]
    broker: BrokerSettings
    certificate: Pem = ""
    """What was issued to the device's request, with whatever leads from it to the authority."""

    authority: Pem = ""
    """Whom the device believes, and who issued *certificate*."""

    @property
    def is_collected(self) -> bool:
        """Whether any controller may acknowledge what the device reports: for nobody else it is kept, or sent."""
        return any("ack" in MAY[controller.role] for controller in self.controllers)
