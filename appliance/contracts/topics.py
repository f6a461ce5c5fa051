"""A topic to its parts and back: the layout of everything on the wire.

edge/v1/{site}/{device}/{channel}           state desc keys reported desired checkpoint audit ack
edge/v1/{site}/{device}/{channel}/{name}    cmd/{command} rsp/{controller} evt/{kind}
edge/v1/{site}/all/cmd/{command}            every device of the site; `all` names no device
edge/v1/{site}/all/rsp/{controller}         response topic of such a command: each device puts its own name for `all`
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final, NamedTuple

from pydantic import StringConstraints
from typing_extensions import override

from appliance.errors import MalformedTopic

ROOT: Final = "edge/v1"
EVERY_DEVICE: Final = "all"
"""Reserved: as a device it means every device of the site, and only for commands."""

NAME_PATTERN: Final = r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$"
MAX_TOPIC_CHARS: Final = 256

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""A site, a device, a command, a kind of event: lower case, digits, inner hyphens, at most 64."""

_NAME = re.compile(NAME_PATTERN)


class Channel(StrEnum):
    """What kind of message; the order is the order of the documentation."""

    STATE = "state"
    DESC = "desc"
    KEYS = "keys"
    REPORTED = "reported"
    DESIRED = "desired"
    CHECKPOINT = "checkpoint"
    CMD = "cmd"
    RSP = "rsp"
    EVT = "evt"
    AUDIT = "audit"
    ACK = "ack"


NAMED: Final = frozenset({Channel.CMD, Channel.RSP, Channel.EVT})
"""Channels with a name after them."""

DOWNWARD: Final = frozenset({Channel.CMD, Channel.DESIRED, Channel.ACK})
"""Channels that a controller writes; a device writes all the others of its own subtree."""

RETAINED: Final = frozenset(
    {Channel.STATE, Channel.DESC, Channel.KEYS, Channel.REPORTED, Channel.DESIRED, Channel.CHECKPOINT}
)


class Topic(NamedTuple):
    """Where a message belongs."""

    site: str
    device: str
    channel: Channel
    name: str | None = None

    @override
    def __str__(self) -> str:
        """Write it as the broker knows it."""
        path = f"{ROOT}/{self.site}/{self.device}/{self.channel}"
        return path if self.name is None else f"{path}/{self.name}"

    @classmethod
    def make(cls, site: str, device: str, channel: Channel, name: str | None = None) -> Topic:
        """Put a topic together from parts that are checked.

        Raises:
            MalformedTopic: a part is not a name, or the channel wants a name, or none.
        """
        for what, value in (("site", site), ("device", device), ("name", name)):
            if value is not None and not is_name(value):
                raise MalformedTopic(f"{what} {value[:80]!r}: use a-z, 0-9 and inner hyphens, at most 64 characters")
        if (channel in NAMED) != (name is not None):
            raise MalformedTopic(f"channel {channel} takes {'a' if channel in NAMED else 'no'} name after it")
        if site == EVERY_DEVICE:
            raise MalformedTopic(f"no site may be called {EVERY_DEVICE!r}")
        if device == EVERY_DEVICE and channel not in (Channel.CMD, Channel.RSP):
            raise MalformedTopic(f"{EVERY_DEVICE!r} is no device; only commands go to it")
        return cls(site, device, channel, name)

    @classmethod
    def parse(cls, text: str) -> Topic:
        """Read a topic as the broker delivers it.

        Raises:
            MalformedTopic: it lies outside our layout.
        """
        if len(text) > MAX_TOPIC_CHARS:
            raise MalformedTopic(f"a topic of {len(text)} characters; at most {MAX_TOPIC_CHARS}")
        parts = text.split("/")
        if "/".join(parts[:2]) != ROOT or len(parts) not in (5, 6):
            raise MalformedTopic(f"{text[:80]!r} is not {ROOT}/site/device/channel, with a name for some channels")
        try:
            channel = Channel(parts[4])
        except ValueError:
            raise MalformedTopic(f"{text[:80]!r}: no channel is called {parts[4]!r}") from None
        return cls.make(parts[2], parts[3], channel, parts[5] if len(parts) == 6 else None)


def is_name(text: str) -> bool:
    """Tell whether *text* can be a site, a device or another part of a topic."""
    return _NAME.fullmatch(text) is not None


def device_filters(site: str, device: str) -> tuple[str, ...]:
    """Return what a device subscribes to: its commands, the group's, its acknowledgements, its configuration."""
    return (
        f"{ROOT}/{site}/{device}/{Channel.CMD}/+",
        f"{ROOT}/{site}/{EVERY_DEVICE}/{Channel.CMD}/+",
        f"{ROOT}/{site}/{device}/{Channel.ACK}",
        f"{ROOT}/{site}/{device}/{Channel.DESIRED}",
    )


def controller_filters(site: str, controller: str, *, shared: bool = False) -> tuple[str, ...]:
    """Return what a controller subscribes to: what its site's devices say, and answers to itself.

    Shared, each batch goes to one of the collectors that say so. What is retained goes to all of them: a broker keeps
    retained messages from shared subscriptions.
    """
    # The keys come first: what follows may be signed with one that is only known from there.
    upward = (Channel.KEYS, Channel.STATE, Channel.DESC, Channel.REPORTED, Channel.CHECKPOINT, Channel.AUDIT)
    among = f"$share/{controller}/" if shared else ""
    return (
        *(f"{'' if channel in RETAINED else among}{ROOT}/{site}/+/{channel}" for channel in upward),
        f"{among}{ROOT}/{site}/+/{Channel.EVT}/+",
        f"{among}{ROOT}/{site}/+/{Channel.RSP}/{controller}",
    )
