"""What was counted of each bundle and software, and how sure one can be of it."""

from __future__ import annotations

from math import sqrt
from typing import Final, NamedTuple

from appliance.contracts.record import JsonObject
from appliance.fleet.home import FleetHome

Z: Final = 1.959963984540054
"""Of the normal distribution: two-sided 95 %."""


class Rate(NamedTuple):
    """A share of what happened, with Wilson's interval around it."""

    k: int
    n: int

    @property
    def share(self) -> float:
        """The share itself; 0 of nothing."""
        return self.k / self.n if self.n else 0.0

    def interval(self, z: float = Z) -> tuple[float, float]:
        """Return between what the true share lies.

        Source:
            E. B. Wilson 1927, Journal of the American Statistical Association 22, 209-212.
        """
        if not self.n:
            return 0.0, 1.0
        share, z2 = self.share, z * z
        middle = (share + z2 / (2 * self.n)) / (1 + z2 / self.n)
        half = z / (1 + z2 / self.n) * sqrt(share * (1 - share) / self.n + z2 / (4 * self.n * self.n))
        # At the ends the formula gives exactly 0 and 1; floating point only nearly.
        low = 0.0 if self.k == 0 else middle - half
        high = 1.0 if self.k == self.n else middle + half
        return low, high

    def facts(self) -> JsonObject:
        """Return it as JSON."""
        low, high = self.interval()
        return {"k": self.k, "n": self.n, "share": self.share, "low": low, "high": high}


class Version(NamedTuple):
    """Everything that devices reported under one bundle and software."""

    bundle: str
    """SHA-256 of the bundle's manifest."""

    software: str
    devices_n: int
    success: Rate
    """Of all requests that came to an end."""

    refusal: Rate
    failure: Rate
    correction: Rate
    """Of all decisions: taken back, or an argument corrected by hand."""

    def facts(self) -> JsonObject:
        """Return it as JSON."""
        return {
            **{name: getattr(self, name) for name in ("bundle", "software", "devices_n")},
            **{name: getattr(self, name).facts() for name in ("success", "refusal", "failure", "correction")},
        }


def apart(one: Rate, other: Rate) -> bool:
    """Tell whether the intervals of two rates have nothing in common."""
    (low, high), (other_low, other_high) = one.interval(), other.interval()
    return high < other_low or other_high < low


def versions(home: FleetHome, devices: set[str], *, since: str = "") -> list[Version]:
    """Return what *devices* reported from the day *since* on, by version, the busiest first."""
    found: dict[tuple[str, str], list[dict[str, int]]] = {}
    names: dict[tuple[str, str], set[str]] = {}
    for row in home.db.rows("select * from tallies where day >= ?", [since]):
        if row["device"] in devices:
            place = (row["bundle"], row["software"])
            found.setdefault(place, []).append(row)
            names.setdefault(place, set()).add(row["device"])
    return sorted(
        (_version(place, rows, len(names[place])) for place, rows in found.items()),
        key=lambda one: (-one.success.n, one.bundle, one.software),
    )


def _version(place: tuple[str, str], rows: list[dict[str, int]], devices_n: int) -> Version:
    def total(column: str) -> int:
        return sum(int(row[column]) for row in rows)

    requests_n = total("requests")
    return Version(
        *place,
        devices_n=devices_n,
        success=Rate(total("done"), requests_n),
        refusal=Rate(total("refused"), requests_n),
        failure=Rate(total("failed"), requests_n),
        correction=Rate(total("corrected"), total("decided")),
    )
