"""`appliance audit replay`: what was decided, decided again; nothing is done and nothing is written."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Literal, TypeVar

import click

from appliance import settings
from appliance.cli.auditing import Ledger
from appliance.errors import ApplianceError
from appliance.replay import models, other_model, run
from appliance.replay.again import Replayer
from appliance.replay.models import Models
from appliance.replay.other_model import Would
from appliance.replay.recorded import Ledger as Decisions
from appliance.replay.run import Result
from appliance.storage.database import open_reader
from appliance.terminal import Styled, tell, tell_json

DIFFERS_EXIT: Final = 1
LAST_N: Final = 1000
_SHOWN_CHARS: Final = 60
_LONG_CHARS: Final = 160

T = TypeVar("T")


@click.command()
@click.option("--request", "request_id", help="Only the decisions of one request.")
@click.option("--last", "last_n", type=click.IntRange(1), help=f"Only the newest N decisions.  [default: {LAST_N}]")
@click.option("--after", type=click.IntRange(0), help="Only records after this number.")
@click.option("--before", type=click.IntRange(1), help="Only records before this number.")
@click.option("--epoch", help="Of an earlier epoch: before a restore, or from a file that was damaged.")
@click.option(
    "--bundle",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Decide by the bundle in this folder; if it is not the recorded one: what would it have done?",
)
@click.option("--runtime", type=click.Choice(["auto", "litert", "tflite-runtime"]), help="[default: settings]")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each decision, then one with the counts.")
@click.pass_obj
def replay(
    ledger: Ledger,
    request_id: str | None,
    last_n: int | None,
    after: int | None,
    before: int | None,
    epoch: str | None,
    bundle: Path | None,
    runtime: Literal["auto", "litert", "tflite-runtime"] | None,
    as_json: bool,  # noqa: FBT001 -- click passes flags
) -> None:
    r"""Decide again what was decided, by the recorded model, tools, time and policy, and say what differs.

    \b
      appliance audit replay --last 100
      appliance audit replay --bundle bundles/pointer-next      what would the new model have done?

    It takes the records as they are: whether they are the ones that were written, `appliance audit verify` tells.

    Exit code 0: every decision that could be replayed is equal; 1: one differs, or none could be replayed.
    """
    chosen = settings.load(ledger.home.root)
    with closing(open_reader(ledger.database)) as reader:
        decisions = Decisions(reader, epoch)
        if last_n is None and after is None and before is None and request_id is None:
            last_n = LAST_N
        seqs = decisions.decisions(after=after or 0, before=before, last_n=last_n, request_id=request_id)
        if not seqs and (request_id is not None or after is not None or before is not None or epoch is not None):
            raise ApplianceError(_nothing(reader, request_id))
        installed = settings.installed_bundles(chosen, ledger.home.root)
        found = Models(
            [*installed, *([bundle] if bundle else [])],
            runtime=runtime or chosen.model.runtime,
            threads_n=chosen.model.threads,
        )
        other = None if bundle is None else models.required(bundle)
        if other is not None and not decisions.were_all_read_by(other, seqs):
            # The last thousand that a model can be asked about, however many calls came between.
            seqs = decisions.decisions(
                after=after or 0, before=before, last_n=last_n, request_id=request_id, in_words=True
            )
            code = _show_would(decisions, Replayer(decisions, found, other=other), seqs, as_json=as_json)
        else:
            code = _show_compared(decisions, Replayer(decisions, found), seqs, as_json=as_json)
    raise click.exceptions.Exit(code)


def _nothing(reader: sqlite3.Connection, request_id: str | None) -> str:
    """Say why there is nothing to decide again."""
    if request_id is None:
        return "no decision lies there; `appliance audit show` lists the records"
    epochs = reader.execute("select distinct epoch from past where request_id = ?", (request_id,)).fetchall()
    where = "".join(f"; the epoch {epoch} has it: --epoch {epoch}" for (epoch,) in epochs)
    return f"no decision of a request {request_id} is here{where or '; `appliance audit show` lists the records'}"


def _show_compared(decisions: Decisions, replayer: Replayer, seqs: list[int], *, as_json: bool) -> int:
    counts: Counter[str] = Counter()
    cannot: Counter[str] = Counter()
    drift, begun = 0.0, time.perf_counter()
    with _progress(run.compared(decisions, replayer, seqs), len(seqs)) as results:
        for result in results:
            counts[result.verdict] += 1
            cannot[result.cannot] += bool(result.cannot)
            drift = max(drift, result.comparison.drift if result.comparison else 0.0)
            if as_json:
                tell_json(_result_json(result))
            elif result.verdict == "differs":
                _tell_difference(result)
    took_s = time.perf_counter() - begun
    summary = {
        "decisions": len(seqs),
        "equal": counts["equal"],
        "differs": counts["differs"],
        "not_replayed": counts["not replayed"],
        "not_replayed_because": {reason: n for reason, n in cannot.items() if n},
        "largest_drift": round(drift, 6),
        "a_second": round(len(seqs) / took_s, 1) if took_s and seqs else 0.0,
    }
    if as_json:
        tell_json(summary)
    else:
        word = Styled("differ" if counts["differs"] else "equal", fg="red" if counts["differs"] else "green")
        told = f"{counts['equal']} equal, {counts['differs']} differ, {counts['not replayed']} not replayed"
        tell(word, f": {len(seqs)} decisions, {told} ({summary['a_second']} a second)")
        tell("  the records were taken as they are; `appliance audit verify` tells whether they are what was written")
        for reason, n in cannot.items():
            if n:
                tell(f"  not replayed, {n}: {reason}")
        if drift:
            tell(f"  scores differ by at most {drift:.4f}, which another runtime or processor explains")
    return DIFFERS_EXIT if counts["differs"] or (seqs and counts["not replayed"] == len(seqs)) else 0


def _show_would(decisions: Decisions, replayer: Replayer, seqs: list[int], *, as_json: bool) -> int:
    found: list[Would] = []
    cannot: Counter[str] = Counter()
    begun = time.perf_counter()
    with _progress(run.imagined(decisions, replayer, seqs), len(seqs)) as results:
        for result in results:
            if result.would is None:
                cannot[result.cannot] += 1
            else:
                found.append(result.would)
    took_s = time.perf_counter() - begun
    changed = sorted((one for one in found if one.change != "same"), key=lambda one: one.danger)
    counts = other_model.counted(found)
    summary = {
        "decisions": len(found),
        **{change.replace(" ", "_"): n for change, n in counts.items()},
        "not_replayed": cannot.total(),
        "not_replayed_because": dict(cannot),
        "a_second": round((len(found) + cannot.total()) / took_s, 1) if took_s and found else 0.0,
    }
    if as_json:
        for one in changed:
            tell_json(_would_json(one))
        tell_json(summary)
    else:
        tell(f"{len(found)} requests in words, read by the other bundle ({summary['a_second']} a second)")
        tell("  the records were taken as they are; `appliance audit verify` tells whether they are what was written")
        for change, n in counts.items():
            tell(f"  {change:<16}{n:>6}")
        for reason, n in cannot.items():
            tell(f"  {'not replayed':<16}{n:>6}  {reason}")
        for one in changed:
            tell("")
            tell(f"#{one.seq}  {one.at:%Y-%m-%d %H:%M}  ", _colour(one.change), f"  “{_short(one.text)}”")
            tell(f"    was  {_short(other_model.described(one.was), _LONG_CHARS)}")
            tell(
                f"    now  {_short(other_model.described(one.now), _LONG_CHARS)}{f'  [{one.risk}]' if one.risk else ''}"
            )
    return DIFFERS_EXIT if changed or (cannot and not found) else 0


def _tell_difference(result: Result) -> None:
    assert result.recorded is not None  # what could be compared was read
    assert result.comparison is not None
    words = str(result.recorded.words.get("text", ""))
    said = f"“{_short(words)}”" if words else result.recorded.facts.asked_as
    tell(f"#{result.seq}  {result.recorded.at:%Y-%m-%d %H:%M}  ", Styled("differs", fg="red"), f"  {said}")
    for difference in result.comparison.differences:
        tell(f"    {_short(difference, _LONG_CHARS)}")
    for reason in result.comparison.why:
        tell(f"    why: {reason}")


def _result_json(result: Result) -> dict[str, object]:
    line: dict[str, object] = {"seq": result.seq, "verdict": result.verdict}
    if result.recorded is not None:
        line["request_id"] = result.recorded.request_id
    if result.comparison is None:
        return {**line, "because": result.cannot}
    return {
        **line,
        "differences": result.comparison.differences,
        "why": result.comparison.why,
        "drift": round(result.comparison.drift, 6),
        "not_compared": result.comparison.unchecked,
    }


def _would_json(one: Would) -> dict[str, object]:
    return {
        "seq": one.seq,
        "request_id": one.request_id,
        "change": one.change,
        "risk": one.risk,
        "was": other_model.described(one.was),
        "now": other_model.described(one.now),
    }


@contextmanager
def _progress(results: Iterable[T], n: int) -> Iterator[Iterable[T]]:
    """Show how far it is, on standard error, where a person looks."""
    if not sys.stderr.isatty():
        yield results
        return
    with click.progressbar(results, length=n, label="replaying", file=sys.stderr) as bar:
        yield bar


def _colour(change: str) -> Styled:
    dangerous = change in {"now acts", "other tool", "other arguments"}
    return Styled(change, fg="red" if dangerous else "yellow")


def _short(text: str, most: int = _SHOWN_CHARS) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
