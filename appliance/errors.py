"""What can go wrong, as a tree; a refusal is a value, never one of these.

ApplianceError            exit 1    something a person must look at
|-- UsageError            exit 2    the command line or a request line cannot be read
|-- SettingsError         exit 2    appliance.toml cannot be used
|-- BundleError           exit 3    model bundle missing, altered, or made for another version
|-- InputTooLong          exit 2    request and tools do not fit the network; says the token counts
|-- StorageError          exit 4    database unreadable, ledger broken, disk full
|   `-- DatabaseDamaged   exit 4    pages of the database do not hold together; a restart salvages it
|-- DaemonUnavailable     exit 5    no daemon answers on this home's socket
|-- AlreadyRunning        exit 6    another daemon owns this home
|-- TrustError            exit 7    a key or signature is missing, unreadable or wrong
|-- LinkError             retried   broker unreachable; never ends the daemon
|-- ToolSchemaError       exit 2    a tool's declaration cannot be used
`-- WireError             recorded  a message that is not ours or not well formed
    `-- MalformedTopic
"""

from __future__ import annotations

from typing import ClassVar


class ApplianceError(Exception):
    """Something a person must look at; the message says what, where and what to do."""

    exit_code: ClassVar[int] = 1


class UsageError(ApplianceError):
    """The command line, or a line of a request stream, cannot be read."""

    exit_code = 2


class SettingsError(ApplianceError):
    """`appliance.toml` cannot be used; the message names key and line."""

    exit_code = 2


class BundleError(ApplianceError):
    """The model bundle is missing, altered, or made for another version."""

    exit_code = 3


class InputTooLong(ApplianceError):
    """Request and tools together do not fit the network; nothing is ever cut in silence."""

    exit_code = 2


class StorageError(ApplianceError):
    """The database cannot be read or written, or its ledger does not hold together."""

    exit_code = 4


class DatabaseDamaged(StorageError):
    """Pages of the database do not hold together; the next start sets the file aside and salvages it."""

    exit_code = 4


class DaemonUnavailable(ApplianceError):
    """No daemon answers on this home's socket."""

    exit_code = 5


class AlreadyRunning(ApplianceError):
    """Another daemon owns this home."""

    exit_code = 6


class TrustError(ApplianceError):
    """A key or a signature is missing, unreadable or wrong."""

    exit_code = 7


class LinkError(ApplianceError):
    """The broker cannot be reached; retried, never the end of the daemon."""


class ToolSchemaError(ApplianceError):
    """A tool's declaration cannot be used."""

    exit_code = 2


class WireError(ApplianceError):
    """A message that is not ours or not well formed; refused and recorded."""


class MalformedTopic(WireError):
    """A topic outside our layout."""
