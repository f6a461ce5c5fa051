"""The owner's laws into force: at the start, and when somebody says that the files have changed.

Covers: the set, its record and the runs that it starts in one transaction; a reload by the worker itself, between two
requests, while whoever asked for it waits.
Does not cover: which set is acceptable (`law_sets`), and the runs (`laws`).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from appliance.agent import law_glance, law_sets
from appliance.agent.health import Health
from appliance.agent.law_acceptance import Here
from appliance.agent.law_sets import Chosen, InForceLaws
from appliance.agent.laws import Laws
from appliance.contracts.clock import Clock
from appliance.contracts.local import LocalReply
from appliance.contracts.record import JsonObject
from appliance.errors import StorageError
from appliance.policy.workflow import swap
from appliance.storage import laws as kept_laws
from appliance.storage import meta, people, runs
from appliance.storage.database import Database

LOAD_WITHIN_S: Final = 30.0

_KERNEL: Final = Path("/proc/sys/kernel/random/boot_id")
"""Another one after each start of the machine."""


_WHERE_ARE_THEY: Final = "where the workflows are is not known"
_LOOK: Final = "look at the machine, then `appliance workflow load` begins them anew"


class _Reload:
    """Somebody waits for the laws to be read again."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.chosen: Chosen | None = None


class Enforcement:
    """Reads the laws of this home and puts them into force."""

    def __init__(
        self,
        root: Path,
        db: Database,
        laws: Laws,
        here: Here,
        *,
        clock: Clock,
        health: Health,
        maintenance: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        self._root = root
        self._db = db
        self._laws = laws
        self._here = here
        self._clock = clock
        self._health = health
        self._maintenance = maintenance
        self._wake = wake
        self._wanted: queue.SimpleQueue[_Reload] = queue.SimpleQueue()
        self._in_force = InForceLaws()

    def start(self) -> None:
        """Put into force what is there, and take up every run; before the first request."""
        chosen = law_sets.choose(self._root, self._db, self._here)
        known = {law.digest for law in chosen.in_force.compiled}
        with self._db.atomic():
            law_sets.keep(self._root, self._db, chosen, self._clock.moment())
            judged = {run.digest for run in runs.live(self._db)} - known
            older = law_sets.earlier(self._db, judged, self._here)
            chosen = chosen._replace(in_force=self._doubted(chosen.in_force))
            self._laws.resume(
                chosen.in_force.compiled, older, barred=chosen.in_force.barred, same_kernel_since=self._same_kernel()
            )
        self._note(chosen.in_force)

    def tick(self) -> None:
        """Read the laws again for whoever waits for it, then look at clock and sensors; the worker calls it."""
        while not self._wanted.empty():
            reload = self._wanted.get_nowait()
            try:
                reload.chosen = self._reload()
            finally:
                reload.done.set()
        self._laws.tick()

    def load(self) -> LocalReply:
        """Have the laws read again; from any thread but the worker's."""
        reload = _Reload()
        self._wanted.put(reload)
        self._wake()
        if not reload.done.wait(LOAD_WITHIN_S):
            message = "The device is busy; the laws are read as soon as the request under way is done."
            return LocalReply(ok=False, error="busy", message=message)
        if reload.chosen is None:
            return LocalReply(ok=False, error="storage", message="The laws could not be recorded; nothing has changed.")
        in_force, new = reload.chosen
        names = ", ".join(f"{law.name} {law.version}" for law in in_force.compiled) or "no laws"
        if in_force.complaints and new is None:
            message = f"Not loaded; {names} stay in force. {in_force.complaints[0]}"
            return LocalReply(ok=False, error="not_allowed", message=message, result=self.glance())
        message = f"Accepted: {names}." if new is not None else f"Nothing has changed: {names}."
        message = " ".join((message, *self._waiting(), *in_force.remarks))
        return LocalReply(ok=True, message=message, result=self.glance())

    def describe(self, workflow: str) -> LocalReply:
        """Return the states and arrows of a law in force."""
        law = next((law for law, _ in self._laws.placed() if law.name == workflow), None)
        if law is None:
            return LocalReply(ok=False, error="not_allowed", message=f"No workflow called {workflow!r} is in force.")
        return LocalReply(ok=True, result=law_glance.described(law))

    def glance(self) -> JsonObject:
        """Return what `status` says of the laws; from any thread."""
        newest, now = self._laws.newest(), self._clock.moment()
        enrolled = people.roles(self._db)
        workflows = []
        for law, run in self._laws.placed():
            path = runs.path(self._db, run.run_id, law_glance.PATH_N)
            workflows.append(law_glance.shown(law, run, newest.get(law.name), path, now, enrolled))
        return {
            "barred": self._laws.barred,
            "number": self._in_force.number,
            "signed_by": self._in_force.signed_by,
            "complaints": list(self._in_force.complaints),
            "maintenance": self._maintenance(),
            "workflows": workflows,  # type: ignore[dict-item]
        }

    def configured(self) -> tuple[JsonObject, ...]:
        """Return the texts that decisions depend on, as a configuration has them."""
        needed = self._laws.needed()
        return tuple(
            {
                "name": law.name,
                "version": law.version,
                "digest": digest,
                "text": kept_laws.text_of(self._db, digest) or "",
            }
            for digest, law in sorted(needed.items(), key=lambda one: (one[1].name, one[1].version))
        )

    def _waiting(self) -> list[str]:
        """Say which runs still go by an earlier version, and why."""
        newest = self._laws.newest()
        found = []
        for law, run in self._laws.placed():
            new = newest.get(law.name)
            if new is None:
                found.append(f"{law.name} is withdrawn, and goes on in {run.state} until that state lets go.")
            elif new.digest != law.digest:
                why = swap.obstacle(run, law, new) or "it takes over in a moment"
                found.append(f"The run of {law.name} goes on by version {law.version}: {why}.")
        return found

    def _same_kernel(self) -> int | None:
        """Return the number of the last start, where the machine has not been restarted since."""
        try:
            kernel = _KERNEL.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        boot = self._clock.moment().boot
        kept = (meta.get(self._db, "kernel") or "").split(" ")
        meta.put(self._db, "kernel", f"{kernel} {boot}")
        return int(kept[1]) if len(kept) == 2 and kept[0] == kernel and kept[1].isdigit() else None

    def _reload(self) -> Chosen:
        chosen = law_sets.choose(self._root, self._db, self._here)
        kept = self._laws.kept()
        try:
            with self._db.atomic():
                law_sets.keep(self._root, self._db, chosen, self._clock.moment())
                if not chosen.in_force.barred:
                    self._laws.end_lost("the text of the version that judged it is lost")
                if not chosen.in_force.barred and (why := runs.doubted(self._db)):
                    self._laws.end_all(f"nobody knew where it was: {why}")
                    runs.trust(self._db)
                self._laws.adopt(chosen.in_force.compiled, barred=chosen.in_force.barred)
        except StorageError:
            self._laws.back_to(kept)
            raise
        self._note(chosen.in_force)
        return chosen

    def _doubted(self, in_force: InForceLaws) -> InForceLaws:
        """Bar everything where nobody knows where the runs are: a person looks at the machine and begins them anew."""
        why = runs.doubted(self._db)
        if not why or in_force.barred:
            return in_force
        if not in_force.compiled and not runs.live(self._db):
            runs.trust(self._db)  # there was nothing that could be in doubt
            return in_force
        return in_force._replace(barred=f"{_WHERE_ARE_THEY} ({why}); {_LOOK}")

    def _note(self, in_force: InForceLaws) -> None:
        self._in_force = in_force
        if in_force.barred:
            self._health.set("laws", f"nothing acts, because the laws cannot be used: {in_force.barred}")
        elif in_force.complaints:
            self._health.set("laws", f"the laws in the home are not in force: {in_force.complaints[0]}")
        else:
            self._health.clear("laws")
