"""The names and guards of a file of laws, looked up and typed; what is wrong is collected, to be seen all at once.

Covers: names that do not exist, guards that use each other in a circle, guards with wrong types, empty ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from rapidfuzz import process

from appliance.policy.workflow import expression, grammar
from appliance.policy.workflow.complaint import Complaint
from appliance.policy.workflow.expression import Declared, Guard
from appliance.policy.workflow.faults import Path, written
from appliance.policy.workflow.grammar import Faulty
from appliance.policy.workflow.language import Workflow
from appliance.policy.workflow.reader import Tree, shown
from appliance.policy.workflow.words import Bounds, Wanted

MAX_GUARD_PARTS_N: Final = 200


class Names:
    """What a file may speak of, and what is wrong with what it says."""

    def __init__(self, law: Workflow, tree: Tree) -> None:
        self.complaints: list[Complaint] = []
        self._law = law
        self._tree = tree
        self._measures = {
            name: Declared(measure.type, measure.unit, measure.words) for name, measure in law.measures.items()
        }
        self._named: dict[str, expression.Node] = {}
        self._guards: dict[str, Guard] = {}

    def complain(self, path: Path, what: str, remedy: str = "") -> None:
        """Collect a complaint about what stands at *path*."""
        self.complaints.append(Complaint(self._tree.place(*path), f"{written(path)}: {what}", remedy))

    def guard(self, text: str | None, path: Path) -> Guard | None:
        """Read a guard; None where there is none, or it is faulty."""
        if text is None:
            return None
        known = self._guards.get(text)
        if known is not None:
            return known
        try:
            node = grammar.parse(text, self._measures, self._named)
            if _size(node) > MAX_GUARD_PARTS_N:
                raise Faulty(f"a guard of more than {MAX_GUARD_PARTS_N} parts", "simplify what it is made of")
        except Faulty as fault:
            here = self._tree.value_place(*path)
            at = f" (character {fault.at + 1} of the guard)" if fault.at else ""
            self.complaints.append(Complaint(here, f"{written(path)}: {fault.what}{at}", fault.remedy))
            return None
        self._guards[text] = Guard(text, node)
        return self._guards[text]

    def name_guards(self) -> None:
        """Read the named guards, those first that others use."""
        for name in self._law.guards:
            if name in self._measures:
                self.complain(("guards", name), "a measure has this name too", "rename one of the two")
        waiting = dict(self._law.guards)
        while waiting:
            ready = [name for name, text in waiting.items() if not _words(text) & (waiting.keys() - {name})]
            ready = [name for name in ready if name not in _words(waiting[name])]
            if not ready:
                for name in waiting:
                    self.complain(
                        ("guards", name), "guards that use each other in a circle", "let one of them stand alone"
                    )
                return
            for name in ready:
                found = self.guard(waiting.pop(name), ("guards", name))
                if found is not None:
                    self._named[name] = found.node

    def unknown(self, path: Path, kind: str, name: str, known: Iterable[str]) -> None:
        """Complain of a name that does not exist, and name the nearest."""
        names = sorted(known)
        near = process.extractOne(name, names, score_cutoff=60)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names[:12]) or 'none'}"
        self.complain(path, f"there is no {kind} {shown(name)}", hint)

    def check_where(self, where: Mapping[str, Wanted], path: Path) -> None:
        """Complain of arguments that nothing could match."""
        for name, wanted in where.items():
            match wanted:
                case Bounds(min=None, max=None):
                    self.complain((*path, name), "a range without ends", "write {min: 0, max: 10}")
                case Bounds(min=float(low), max=float(high)) if low > high:
                    self.complain((*path, name), f"nothing is from {low:g} to {high:g}", "write the smaller as min")
                case list() if not wanted:
                    self.complain((*path, name), "a list without values", "name at least one")
                case _:
                    pass


def _words(text: str) -> set[str]:
    return set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())


def _size(node: expression.Node) -> int:
    """Count the parts of a guard, but not far beyond what is allowed: shared parts could be counted for ever."""
    waiting, n = [node], 0
    while waiting and n <= MAX_GUARD_PARTS_N:
        n += 1
        match waiting.pop():
            case expression.Not(of=inner):
                waiting.append(inner)
            case expression.Both(of=parts) | expression.Either(of=parts):
                waiting += parts
            case _:
                pass
    return n
