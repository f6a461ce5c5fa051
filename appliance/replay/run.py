"""A ledger's decisions through a replay, one after the other; one that cannot be replayed says why and ends nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from appliance.errors import ApplianceError
from appliance.replay.again import Replayer
from appliance.replay.differences import Comparison, compare
from appliance.replay.other_model import Would, is_asked_of_a_model, would
from appliance.replay.recorded import UNREADABLE, CannotReplay, Ledger, Recorded

_log = logging.getLogger(__name__)


class Result(NamedTuple):
    """What a replay found of one decision: a comparison, or why there is none."""

    seq: int
    recorded: Recorded | None
    comparison: Comparison | None = None
    cannot: str = ""

    @property
    def verdict(self) -> str:
        """Return `equal`, `differs` or `not replayed`."""
        if self.comparison is None:
            return "not replayed"
        return "differs" if self.comparison.differences else "equal"


class WouldResult(NamedTuple):
    """What another bundle would have done with one decision, or why nobody knows."""

    seq: int
    would: Would | None = None
    cannot: str = ""


def compared(ledger: Ledger, replayer: Replayer, seqs: Iterable[int]) -> Iterator[Result]:
    """Decide each again and compare.

    Raises:
        BundleError: a bundle that is needed is here and cannot be used.
    """
    for seq in seqs:
        recorded = None
        try:
            recorded = ledger.decision(seq)
            yield Result(seq, recorded, compare(recorded, replayer.again(recorded)))
        except CannotReplay as reason:
            yield Result(seq, recorded, cannot=str(reason))
        except ApplianceError:
            raise
        except Exception as error:  # noqa: BLE001 -- an altered record can hold anything, and must not end the others' replay
            yield Result(seq, recorded, cannot=_stopped_by(error))


def imagined(ledger: Ledger, replayer: Replayer, seqs: Iterable[int]) -> Iterator[WouldResult]:
    """Say what the replayer's bundle would have made of the words in each; what was no first look at words is skipped.

    Raises:
        BundleError: the bundle cannot be used.
    """
    for seq in seqs:
        try:
            recorded = ledger.decision(seq)
            if is_asked_of_a_model(recorded):
                yield WouldResult(seq, would(recorded, replayer.again(recorded)))
        except CannotReplay as reason:
            yield WouldResult(seq, cannot=str(reason))
        except ApplianceError:
            raise
        except Exception as error:  # noqa: BLE001 -- as above
            yield WouldResult(seq, cannot=_stopped_by(error))


def _stopped_by(error: Exception) -> str:
    """Name the fault: an altered record, or a mistake in this software, which must not pass for one."""
    _log.warning("a decision could not be replayed", exc_info=error)
    return f"{UNREADABLE}; if it is sound, this is a fault of the replay ({type(error).__name__})"
