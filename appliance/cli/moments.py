"""Moments typed on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from appliance.errors import UsageError


def read_moment(text: str | None) -> datetime | None:
    """Read an ISO 8601 moment; without an offset it is UTC.

    Raises:
        UsageError: The text is no moment.
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time; write it like 2026-11-22T03:12 (UTC), or with an offset") from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
