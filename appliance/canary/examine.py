"""A bundle that wants to become active to a report: every check, in one place.

Covers: the same questions, of the bundle and of the active one, in the same kind of cage. Does not cover: signatures,
revocation, cooldown: `agent.admission`. What is caught and what cannot be: docs/explanation/canary-and-slots.md.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from appliance import __version__
from appliance.agent.propose import Understanding
from appliance.canary import cage, golden, judging, recorded
from appliance.canary import suite as suites
from appliance.canary.cage import Answers, Broke
from appliance.canary.errand import Answered, Asked
from appliance.canary.golden import Golden
from appliance.canary.recorded import Questions
from appliance.canary.suite import Case, Suite
from appliance.contracts.canary import SAFETY, CanaryLimits, CanaryReport, Check
from appliance.contracts.manifest import Thresholds
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import BundleError
from appliance.inference.bundle import MANIFEST, Bundle, load_bundle

CANARY: Final = "canary.jsonl"
"""The suite that a bundle brings; the software's own is asked as well, whatever it holds."""


class Plan(NamedTuple):
    """Everything that a bundle is asked, in one list, and where each part of it is."""

    catalogues: tuple[tuple[ToolSpec, ...], ...]
    asked: tuple[Asked, ...]
    own: slice
    brought: slice
    golden: slice
    recorded: slice


class Before(NamedTuple):
    """What the active bundle answers, and when it would act on it."""

    answered: tuple[Answered, ...]
    thresholds: Thresholds


def examine(
    candidate: Path,
    active: Path | None,
    reader: sqlite3.Connection | None,
    limits: CanaryLimits,
    *,
    runtime: str = "auto",
) -> CanaryReport:
    """Try the bundle in *candidate*.

    Args:
        active: the folder of the bundle that decides now; None where there is none that works.
        reader: a reading connection to the ledger; None leaves recorded decisions out.
    """
    begun = time.monotonic()
    sha256 = _sha256(candidate)
    against = "" if active is None else _sha256(active)
    try:
        bundle = load_bundle(candidate, __version__)
        own = suites.read(suites.OWN)
        brought = _brought(candidate, own)
        lines = tuple(golden.read(bundle.golden))
    except BundleError as fault:
        checks: tuple[Check, ...] = (Check(name="runs", passed=False, reason=str(fault)),)
        return CanaryReport(sha256=sha256, against=against, checks=checks, took_s=_since(begun))
    questions = None if reader is None else recorded.gather(reader, limits)
    plan = _plan(own, brought, lines, questions)
    answers = cage.ask(candidate, plan.catalogues, plan.asked, limits, runtime=runtime)
    if isinstance(answers, Broke):
        checks = (Check(name="runs", passed=False, tried_n=len(plan.asked), reason=answers.reason),)
        return CanaryReport(sha256=sha256, against=against, checks=checks, took_s=_since(begun))
    before = None if active is None else _asked_before(active, own, limits, runtime)
    return CanaryReport(
        sha256=sha256,
        against=against if isinstance(before, Before) else "",
        runtime=answers.ready.runtime,
        confined=answers.ready.held,
        checks=_checks(bundle, sha256, plan, (own, brought, lines, questions), answers, before, limits),
        took_s=_since(begun),
    )


def _checks(
    bundle: Bundle,
    sha256: str,
    plan: Plan,
    asked: tuple[Suite, Suite, tuple[Golden, ...], Questions | None],
    answers: Answers,
    before: Before | Broke | None,
    limits: CanaryLimits,
) -> tuple[Check, ...]:
    own, brought, lines, questions = asked
    thresholds, told = bundle.manifest.thresholds, answers.answered
    cases: tuple[Case, ...] = (*own.cases, *brought.cases)
    said = (*told[plan.own], *told[plan.brought])
    found = [judging.understood(case, answer, thresholds) for case, answer in zip(cases, said, strict=True)]
    # Its own suite counts for safety only: with what it brings itself it could make up for what it reads wrongly.
    compared = _compared(own)
    plain = [own.cases[place] for place in compared]
    were: list[Understanding] | Broke | None = None
    if isinstance(before, Broke):
        were = before
    elif before is not None:
        were = [
            judging.understood(case, answer, before.thresholds)
            for case, answer in zip(plain, before.answered, strict=True)
        ]
    checks = [
        Check(name="runs", passed=True, tried_n=len(told), figures={"loading_ms": answers.ready.loading_ms}),
        judging.judge_golden(lines, told[plan.golden], bundle.manifest.tolerance),
        judging.judge_safety(cases, found),
        judging.judge_competence(plain, [found[place] for place in compared], were, limits),
    ]
    if questions is not None:
        checks.append(recorded.judge(questions, told[plan.recorded], bundle, sha256, limits))
    were_told = before.answered if isinstance(before, Before) else None
    checks.append(judging.judge_latency([told[place] for place in compared], were_told, limits))
    checks.append(judging.judge_memory(answers.resident_mb, limits))
    return tuple(checks)


def _plan(own: Suite, brought: Suite, lines: Sequence[Golden], questions: Questions | None) -> Plan:
    catalogues: list[tuple[ToolSpec, ...]] = []
    asked: list[Asked] = []

    def add(some: Sequence[tuple[ToolSpec, ...]], texts: Sequence[tuple[str, int]]) -> slice:
        start, first = len(catalogues), len(asked)
        catalogues.extend(some)
        asked.extend(Asked(text=text, catalogue=start + place) for text, place in texts)
        return slice(first, len(asked))

    parts = [add(suite.catalogues, [(c.line.text, c.catalogue) for c in suite.cases]) for suite in (own, brought)]
    parts.append(add([line.specs for line in lines], [(line.request, n) for n, line in enumerate(lines)]))
    here = ((), ()) if questions is None else (questions.catalogues, questions.asked)
    parts.append(add(here[0], [(one.text, one.catalogue) for one in here[1]]))
    return Plan(tuple(catalogues), tuple(asked), *parts)


def _asked_before(active: Path, own: Suite, limits: CanaryLimits, runtime: str) -> Before | Broke:
    """Ask the active bundle what is compared."""
    cases = [own.cases[place] for place in _compared(own)]
    asked = [Asked(text=case.line.text, catalogue=case.catalogue) for case in cases]
    try:
        thresholds = load_bundle(active, __version__).manifest.thresholds
    except BundleError as fault:
        return Broke(str(fault))
    answers = cage.ask(active, own.catalogues, asked, limits, runtime=runtime)
    return answers if isinstance(answers, Broke) else Before(answers.answered, thresholds)


def _compared(own: Suite) -> list[int]:
    """Places of the requests that both bundles are asked; the suite's come first in the plan, in its own order."""
    return [place for place, case in enumerate(own.cases) if case.line.family not in SAFETY]


def _brought(folder: Path, own: Suite) -> Suite:
    """The suite in *folder*, without what the software's own asks already."""
    path = folder / CANARY
    if not path.exists():
        return Suite((), ())
    brought = suites.read(path)
    known = {(case.line.model_dump_json(exclude={"catalogue"}), case.tools) for case in own.cases}
    new = [
        case for case in brought.cases if (case.line.model_dump_json(exclude={"catalogue"}), case.tools) not in known
    ]
    return Suite(brought.catalogues, tuple(new))


def _sha256(folder: Path) -> str:
    try:
        return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return ""


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 2)
