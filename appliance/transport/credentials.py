"""Paths of certificates and passwords to what proves who we are, and whom we believe.

Covers: a broker of another authority (refused), a password file that others may read (refused), a clock that nobody
vouches for (only the dates are not looked at; authority and name are). Does not cover: revoked certificates; a site's
authority is small enough to be replaced.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final

from typing_extensions import override  # typing has it from Python 3.12

from appliance.contracts.enrolment import BrokerSettings
from appliance.errors import LinkError

NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python's `ssl` does not name."""


class RememberingContext(ssl.SSLContext):
    """Keeps the last socket it wrapped: when the handshake fails, paho forgets to close it."""

    last: ssl.SSLSocket | None = None
    dates: bool = True
    """Whether it looks at when certificates begin and end."""

    @override
    def wrap_socket(self, *arguments: Any, **more: Any) -> ssl.SSLSocket:
        self.last = super().wrap_socket(*arguments, **more)
        return self.last


def context(broker: BrokerSettings, *, dates: bool = True) -> RememberingContext | None:
    """Return how to speak TLS with *broker*; None when it is reached in the clear.

    Args:
        dates: False where the clock cannot be believed: a certificate that has ended, or not begun, counts too.

    Raises:
        LinkError: a file is absent, unreadable or not what it should be.
    """
    if broker.ca_file is None:
        return None
    # Only the site's own authority is believed; a client context checks certificate and name by default.
    made = RememberingContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.dates = dates
    if not dates:
        made.verify_flags |= NO_CHECK_TIME
    try:
        made.load_verify_locations(cafile=broker.ca_file)
        if broker.certificate_file is not None:
            made.load_cert_chain(broker.certificate_file, broker.key_file)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(f for f in (broker.ca_file, broker.certificate_file, broker.key_file) if f)
        raise LinkError(f"certificates {files}: {error}") from error
    return made


def mark(broker: BrokerSettings) -> tuple[tuple[str, int, int, int], ...]:
    """Return what changes when a file of *broker* is replaced; a file that is not there has none."""
    named = (broker.ca_file, broker.certificate_file, broker.key_file, broker.password_file)
    found = []
    for name in named:
        if name is not None:
            try:
                status = Path(name).stat()
            except OSError:
                continue
            found.append((name, status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def password(broker: BrokerSettings) -> str | None:
    """Return the password of *broker*'s user, read anew for each connection.

    Raises:
        LinkError: others may read it, or it cannot be read.
    """
    if broker.password_file is None:
        return None
    path = Path(broker.password_file)
    try:
        if path.stat().st_mode & 0o077:
            raise LinkError(f"{path}: others may read this password; chmod 0600 it")
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise LinkError(f"{path}: {error.strerror}") from error
    return lines[0] if lines else ""
