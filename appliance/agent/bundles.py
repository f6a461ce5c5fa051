"""The bundles of a device while its daemon runs: brought, admitted, tried, put on trial, kept or sent back.

    install    a file or folder -> admission -> a free slot
    activate   admission again -> canary -> decides from the next start, on trial
    tick       the trial's gates: crashes, faults, refusals; it ends by passing or by going back
    roll back  the one before decides again

USB and network end in the same `install`, so they have the same checks.

Covers: every no is an answer, recorded; a bundle that cannot be loaded, was altered or revoked, or that keeps crashing
the appliance gives way to the one before, and that to what shipped, without anybody's help.
Does not cover: how a delivery gets here, what the canary asks, and the restart that makes a change take effect: the
daemon does that when no turn is under way.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

from appliance.agent import bundle_list, deliveries, named_bundle
from appliance.agent import trial as trials
from appliance.agent.admission import Looked
from appliance.agent.bundle_list import Decides, Now, Trying
from appliance.agent.named_bundle import Named
from appliance.agent.trial import Fared
from appliance.contracts.audit import RecordKind
from appliance.contracts.bundle import Accepted, Admitted, DocumentKind, NotAdmitted
from appliance.contracts.canary import CanaryReport
from appliance.contracts.clock import Clock
from appliance.contracts.local import LocalReply
from appliance.contracts.pinned import SHIPPED
from appliance.contracts.record import JsonObject
from appliance.contracts.slots import BUNDLE, Place, Returned, Slot, Slots, Trial, TrialLimits
from appliance.contracts.trustroot import Revocations, Root
from appliance.errors import StorageError, TrustError
from appliance.storage import audit
from appliance.storage.database import Database
from appliance.storage.heard import heard
from appliance.trust.dsse import MAX_ENVELOPE_BYTES
from appliance.trust.slots import Shelf

LOOK_S: Final = 60.0
"""How often the trial is judged and its time written."""

USUAL_N: Final = 200


class Admits(Protocol):
    """What decides whether a delivery may be taken."""

    def admit(self, source: Path, into: Path) -> Admitted | NotAdmitted:
        """Copy and judge a delivery."""

    def look(self, source: Path) -> Looked:
        """Judge a delivery, and remember nothing."""

    def may_activate(self, slot: Path) -> Admitted | NotAdmitted:
        """Judge a copy again, and whether it has waited long enough."""

    def still_good(self, slot: Path) -> str | None:
        """Say why what runs here must go."""

    def activated(self, admitted: Admitted) -> None:
        """Take nothing older from here on."""

    def accept(
        self, data: bytes, *, fingerprint: str = "", replace: bool = False, kind: DocumentKind | None = None
    ) -> Accepted | NotAdmitted:
        """Take a root of trust or a revocation list."""

    def why_revoked(self, sha256: str) -> str | None:
        """Return why a bundle must not run."""

    def root(self) -> Root | None:
        """Return the root of trust in force."""

    def revocations(self) -> Revocations | None:
        """Return the revocation list in force."""

    def waits_s(self, sha256: str, *, urgent: bool) -> float:
        """Return how much longer a bundle has to lie here."""

    def ran(self) -> None:
        """Count powered time."""

    def write_time(self) -> None:
        """Keep what was counted."""


class Append(Protocol):
    """Writes a record that belongs to no request."""

    def __call__(self, kind: RecordKind, facts: JsonObject) -> None:
        """Append it to the ledger."""


class Candidate(NamedTuple):
    """A bundle that may decide, the likeliest first."""

    place: Place | Literal["settings"]
    folder: Path


class Chosen(NamedTuple):
    """A bundle that may be tried, and how everything stood when that was decided."""

    slot: Slot
    folder: Path
    found: Admitted
    slots: Slots


class Bundles:
    """Everything that is done with bundles on one device."""

    def __init__(
        self,
        db: Database,
        shelf: Shelf,
        admission: Admits,
        *,
        clock: Clock,
        append: Append,
        examine: Callable[[Path, Path | None], CanaryReport],
        shipped: Path | None,
        restart: Callable[[], None],
        named: Path | None = None,
        limits: TrialLimits | None = None,
        incoming: Path | None = None,
    ) -> None:
        """Keep what is handed in.

        Args:
            shipped: where the bundle that came with the software lies; None where none came.
            named: the model's folder that the owner's settings name: if it may decide, no slot does.
            incoming: where deliveries are put by whoever brings them over a network.
        """
        self._db = db
        self._shelf = shelf
        self._admission = admission
        self._clock = clock
        self._append = append
        self._examine = examine
        self._shipped = shipped
        self._named_folder = named
        self._named: Named | None = None
        self._restart = restart
        self._limits = limits or TrialLimits()
        self._incoming = incoming
        self._trying: tuple[str, float] | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._doubted = threading.Event()
        self._decides: Decides = "nothing"
        self._looked_s = clock.monotonic_s()

    def start(self, machine_start: str) -> Iterator[Candidate]:
        """Take note of a start; yield where a bundle may be loaded from, until one is taken with `decides`.

        One that is passed over has been sent back by the time the next is yielded.
        """
        if (named := self._look_at_named()) is not None:
            if not named.bad:
                yield Candidate("settings", named.folder)
                named = named._replace(bad="it cannot be loaded")
            self._named = named
            if not named.is_bound:
                return  # whoever develops wants the folder that they named, or to hear what is wrong with it
        if self._shelf.is_damaged():
            self._append("bundle", {"event": "the file of slots cannot be read", "to": "shipped"})
        try:
            self._shelf.tidy()
            slots = self._shelf.start(machine_start)
        except StorageError:
            # A full disk: what is here can be read all the same.
            slots = self._shelf.read()
        if (
            slots.trial is not None
            and (verdict := trials.judge(slots.trial, self._fared(slots.trial), self._limits)).what == "goes back"
        ):
            slots = self._back(slots, verdict.why)
        while slots.active != "shipped":
            folder = self._shelf.folder(slots.active)
            assert folder is not None
            bad = self._admission.still_good(folder)
            if bad is None:
                yield Candidate(slots.active, folder / BUNDLE)
                bad = "it cannot be loaded"
            slots = self._back(slots, bad)
        if self._shipped is not None and self.shipped_revoked() is None:
            yield Candidate("shipped", self._shipped)

    def shipped_revoked(self) -> str | None:
        """Say why the bundle that came with the software must not run; None when it may."""
        try:
            return self._admission.why_revoked(SHIPPED.sha256)
        except TrustError:
            return None  # a list that cannot be read any more takes no word from a device that has no other bundle

    def decides(self, candidate: Candidate) -> None:
        """Take note of which bundle was loaded."""
        self._decides = candidate.place

    def tell_named(self) -> None:
        """Record that the folder in the settings decides, or why not; at each start, once the ledger's epoch is open.

        Before that, a record would make a new ledger look like one whose signed state was lost.
        """
        named = self._named
        if named is None:
            return
        called: JsonObject = {"sha256": named.sha256, "called": named.called}
        if self._decides == "settings":
            self._append("bundle", {"event": "the settings' bundle decides", "vouched": named.vouched, **called})
        else:
            self._append("bundle", {"event": "the settings' bundle is passed over", "why": named.bad, **called})

    def about_named(self) -> str:
        """Say what a person has to know of the folder that the settings name; empty where there is nothing."""
        named = self._named
        if named is None:
            return ""
        if named.bad and named.is_bound:
            return f"the bundle that is named in the settings is passed over: {named.bad}"
        if named.bad:
            return f"the bundle that is named in the settings cannot be used: {named.bad}"
        if self._decides == "settings" and named.vouched == named_bundle.BY_NOBODY:
            return f"the bundle that decides ({named.called}) is named in the settings, {named.vouched}"
        return ""

    def end(self) -> None:
        """Change nothing any more: what asks now, or a canary that is under way, comes too late."""
        self._ended.set()

    def stop(self) -> None:
        """Take note of an orderly end."""
        try:
            self._admission.write_time()
            self._shelf.stop()
        except StorageError:
            return  # counted as a crash at the next start, and no more can be done on a full disk

    def tick(self) -> None:
        """Count time, and judge the bundle on trial; about once a minute.

        Raises:
            StorageError: the disk does not take it.
        """
        now_s = self._clock.monotonic_s()
        elapsed_s = now_s - self._looked_s
        # What the network said of the bundle that decides waits for no minute.
        is_due = elapsed_s >= LOOK_S or self._doubted.is_set()
        if not is_due or not self._lock.acquire(blocking=False):
            return
        try:
            self._looked_s = now_s
            self._admission.ran()
            self._look_again()
            if self._shelf.read().trial is not None and self._decides != "settings":
                self._judge(elapsed_s)
        finally:
            self._lock.release()

    def judge_now(self) -> None:
        """Judge the bundle on trial without waiting for the minute."""
        with self._lock:
            if self._shelf.read().trial is not None:
                self._judge(0.0)

    def list(self) -> JsonObject:
        """Return what lies where, what decides, how its trial does, and what was brought."""
        slots, trying = self._shelf.read(), self._trying
        now = Now(
            slots=slots,
            decides=self._decides,
            named=self._named,
            is_named=self._is_named(),
            fared=None if slots.trial is None else self._fared(slots.trial),
            trying=None if trying is None else Trying(trying[0], round(self._clock.monotonic_s() - trying[1], 1)),
            deliveries=() if self._incoming is None else deliveries.found(self._incoming),
        )
        return bundle_list.described(now, self._admission, self._limits)

    def bring(self, name: str, peer: str) -> LocalReply:
        """Install the delivery that was put into the folder for that under *name*: the same checks as from a stick."""
        if self._incoming is None or not (self._incoming / name).exists():
            return _no(
                "unknown", f"There is no {name!r} in bundles/incoming of this device's home; put it there first."
            )
        return self.install(self._incoming / name, peer)

    def look(self, source: Path) -> LocalReply:
        """Say what the delivery at *source* is, who signed it, and whether it would be taken: changes nothing."""
        lines, found = self._admission.look(source)
        told: JsonObject = {"lines": [*lines]}
        if isinstance(found, NotAdmitted):
            return _no(found.code, "\n".join([f"no: {found.reason}", *lines]), told)
        root = self._admission.root()
        signers = [f"signed by  {key[:16]}  {root.keys[key].owner if root else ''}" for key in found.signers]
        verdict = "verified: enough different release keys signed exactly these files"
        said = "\n".join([verdict, *signers, *lines])
        return LocalReply(ok=True, message=said, result={**told, **found.model_dump(mode="json")})

    def install(self, source: Path, peer: str) -> LocalReply:
        """Take the delivery at *source* into a free slot; it decides nothing yet."""
        with self._lock:
            if self._ended.is_set():
                return _ENDING
            if self._trying is not None:
                return _under_way(self._trying)
            slot = self._shelf.read().free()
            if slot is None:
                return _no(
                    "busy", "A bundle is on trial and the other slot is where it would go back to; wait, or roll back."
                )
            arriving = self._shelf.clear()
            found = self._admission.admit(source, arriving)
            if isinstance(found, NotAdmitted):
                self._append("bundle", {"event": "not installed", "code": found.code, "peer": peer})
                self._shelf.tidy()
                return _no(found.code, found.reason)
            slots = self._shelf.read()
            held = slots.find(found.sha256)
            if held is not None:
                lies = slots.at(held)
                assert lies is not None
                told_more = (found.urgent, found.signers) != (lies.urgent, lies.signers)
                if not told_more or held == slots.active or slots.trial is not None:
                    self._shelf.tidy()
                    return _no("installed", f"{found.name} {found.version} is installed already.")
                # The same bundle, and more people who stand for it, or say that it cannot wait.
                slot = held
            self._shelf.put(slot, found)
            self._append("bundle", {"event": "installed", "slot": slot, "peer": peer, **_named(found)})
            waits = (
                f"; it may be activated after {found.waits_s / 3600:.0f} hours of running time" if found.waits_s else ""
            )
            return LocalReply(
                ok=True,
                message=f"{found.name} {found.version} lies in slot {slot}{waits}.",
                result={"slot": slot, **found.model_dump(mode="json")},
            )

    def activate(self, wanted: str, peer: str, *, again: bool = False) -> LocalReply:
        """Try the bundle called *wanted*, and let it decide, on trial, from the restart that follows.

        Args:
            again: also one that was sent back before.
        """
        with self._lock:
            chosen = self._chosen(wanted, peer, again=again)
            if isinstance(chosen, LocalReply):
                return chosen
            self._trying = (chosen.slot, self._clock.monotonic_s())
        slot, found = chosen.slot, chosen.found
        try:
            # Minutes, and not under the lock: a revocation, a way back and the trial's minute wait for no canary.
            report = self._examine(chosen.folder / BUNDLE, self._folder_of(chosen.slots.active))
        finally:
            self._trying = None
        with self._lock:
            if self._ended.is_set():
                return _ENDING
            told: JsonObject = report.model_dump(mode="json")
            facts: JsonObject = {"event": "canary", "slot": slot, "passed": report.passed, "peer": peer, "report": told}
            self._append("bundle", {**facts, **_named(found)})
            if not report.passed:
                return _no("canary", f"The canary says no: {report.reason}", told)
            if (changed := self._changed_since(chosen)) is not None:
                self._append("bundle", {"event": "not activated", "code": changed.error, "peer": peer})
                return changed
            self._shelf.activate(slot, self._trial())
            self._append("bundle", {"event": "activated", "slot": slot, "peer": peer, **_named(found)})
        self._restart()
        return LocalReply(
            ok=True,
            message=f"{found.name} {found.version} decides from the restart that happens now, on trial.",
            result={"report": told},
        )

    def _chosen(self, wanted: str, peer: str, *, again: bool) -> Chosen | LocalReply:
        """Return the bundle called *wanted* if it may be tried now, or why not."""
        if self._ended.is_set():
            return _ENDING
        if self._trying is not None:
            return _under_way(self._trying)
        slots = self._shelf.read()
        slot = slots.find(wanted)
        if self._is_named():
            return _no("settings", "appliance.toml names a bundle under [model]; take that line out first.")
        if slot is None:
            return _no("unknown", f"No one bundle here is called {wanted!r}; `appliance bundle list` shows them.")
        if slots.active == slot:
            return _no("active", "It decides already.")
        if slots.trial is not None:
            return _no("busy", "Another bundle is on trial; wait until it has passed, or roll back.")
        folder = self._shelf.folder(slot)
        assert folder is not None
        found = self._admission.may_activate(folder)
        if isinstance(found, NotAdmitted):
            self._append("bundle", {"event": "not activated", "code": found.code, "peer": peer})
            return _no(found.code, found.reason)
        sent_back = next((one for one in slots.returned if one.sha256 == found.sha256), None)
        if sent_back is not None and not again:
            return _no("returned", f"It was sent back on {sent_back.at:%Y-%m-%d}: {sent_back.reason}. --again insists.")
        return Chosen(slot, folder, found, slots)

    def _changed_since(self, chosen: Chosen) -> LocalReply | None:
        """Say no if what was decided before the canary holds no longer: it saw one bundle, and another would decide."""
        found = self._admission.may_activate(chosen.folder)
        if isinstance(found, NotAdmitted):
            return _no(found.code, f"While the canary tried it something changed: {found.reason}")
        if found.sha256 != chosen.found.sha256 or self._shelf.read() != chosen.slots:
            return _no("changed", "While the canary tried it the slots were changed; look, and activate again.")
        return None

    def roll_back(self, peer: str, expected: str = "") -> LocalReply:
        """Let the bundle before decide again.

        Args:
            expected: which one is to go, as `activate` takes it; where another decides, nothing is done.
        """
        with self._lock:
            if self._ended.is_set():
                return _ENDING
            slots = self._shelf.read()
            if expected and (slots.active == "shipped" or slots.find(expected) != slots.active):
                return _no("gone", f"{expected} does not decide here: {self._told(slots)} does.")
            if slots.active == "shipped":
                return _no("shipped", "What came with the software decides; there is nothing before it.")
            left = slots.at(slots.active)
            back = self._shelf.go_back(None)
            self._append("bundle", {"event": "rolled back", "to": back.active, "peer": peer, **_named(left)})
        self._restart()
        return LocalReply(ok=True, message=f"Back to {self._told(back)}, from the restart that happens now.")

    def accept(
        self, path: Path, fingerprint: str, peer: str, *, replace: bool, kind: DocumentKind | None = None
    ) -> LocalReply:
        """Take a root of trust or a revocation list; a bundle that decides and is revoked goes at once."""
        with self._lock:
            found = self._accepted(path, fingerprint, replace=replace, kind=kind)
            if isinstance(found, NotAdmitted):
                self._append("bundle", {"event": "document refused", "code": found.code, "peer": peer})
                return LocalReply(ok=True, result={"accepted": None, "refused": found.model_dump(mode="json")})
            facts: JsonObject = {"event": f"{found.kind} accepted", "number": found.number, "peer": peer}
            self._append("bundle", {**facts, "signers": list(found.signers)})
            bad = self._must_go()
        if bad is not None:
            # The start that follows looks again, and sends it back.
            self._restart()
        return LocalReply(ok=True, result={"accepted": found.model_dump(mode="json"), "refused": None})

    def told(self, data: bytes, peer: str) -> Accepted | NotAdmitted:
        """Take a root of trust or a revocation list that came by the network.

        Never waits: an installation that is under way would hold up the connection, and the stop that may come next on
        it. So the bundle that decides is looked at again by the next tick.
        """
        found = self._admission.accept(data)
        if isinstance(found, NotAdmitted):
            self._append("bundle", {"event": "document refused", "code": found.code, "peer": peer})
            return found
        facts: JsonObject = {"event": f"{found.kind} accepted", "number": found.number, "peer": peer}
        self._append("bundle", {**facts, "signers": list(found.signers)})
        self._doubted.set()
        return found

    def standing(self) -> str:
        """Say in a sentence what decides from the next start on."""
        if self._decides == "settings" and self._named is not None:
            return f"{self._named.called}, named in the settings and {self._named.vouched}, decides"
        slots = self._shelf.read()
        return f"{self._told(slots)} decides{', on trial' if slots.trial is not None else ''}"

    def _look_at_named(self) -> Named | None:
        """Judge the folder that the settings name, as it is now; None where they name none."""
        if self._named_folder is None:
            return None
        self._named = named_bundle.judge(
            self._named_folder, lambda: (self._admission.root(), self._admission.revocations())
        )
        return self._named

    def _is_named(self) -> bool:
        """Tell whether the settings keep every slot from deciding."""
        return self._decides == "settings" or (self._named is not None and not self._named.is_bound)

    def _look_again(self) -> None:
        """Begin again if what the network said makes the bundle that decides one that must go."""
        if not self._doubted.is_set():
            return
        self._doubted.clear()
        if self._must_go() is not None:
            self._restart()

    def _must_go(self) -> str | None:
        """Say why what decides now may do so no longer; where nothing does, no start would change that."""
        if self._decides == "nothing":
            return None
        if self._decides == "settings":
            named = self._look_at_named()
            return None if named is None else named.bad or None
        folder = self._shelf.folder(self._decides)
        return self.shipped_revoked() if folder is None else self._admission.still_good(folder)

    def _accepted(
        self, path: Path, fingerprint: str, *, replace: bool, kind: DocumentKind | None
    ) -> Accepted | NotAdmitted:
        try:
            # A pipe that nobody writes into must not keep everything else waiting.
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return NotAdmitted(code="unreadable", reason=f"{path} is no plain file")
                data = file.read(MAX_ENVELOPE_BYTES + 1)
        except OSError as error:
            return NotAdmitted(code="unreadable", reason=f"{path} cannot be read: {error.strerror}")
        return self._admission.accept(data, fingerprint=fingerprint, replace=replace, kind=kind)

    def _judge(self, elapsed_s: float) -> None:
        slots = self._shelf.ran(elapsed_s)
        assert slots.trial is not None
        verdict = trials.judge(slots.trial, self._fared(slots.trial), self._limits)
        if verdict.what == "passed":
            on_trial = slots.at(slots.active)
            assert on_trial is not None
            self._shelf.passed()
            self._admission.activated(on_trial)
            self._append("bundle", {"event": "trial passed", **_named(on_trial)})
        elif verdict.what == "goes back":
            self._back(slots, verdict.why)
            self._restart()

    def _back(self, slots: Slots, why: str) -> Slots:
        """Send the active bundle back, and say why; where the disk does not take it, for this start only."""
        left = slots.at(slots.active)
        now = self._clock.now()
        returned = None if left is None else Returned(sha256=left.sha256, reason=why, at=now)
        try:
            back = self._shelf.go_back(returned)
        except StorageError:
            back = slots.model_copy(update={"active": slots.before, "before": "shipped", "trial": None})
        self._append("bundle", {"event": "sent back", "why": why, "to": back.active, **_named(left)})
        return back

    def _trial(self) -> Trial:
        with self._db.reading() as connection:
            usual = heard(connection, last_n=USUAL_N)
            size = audit.size(connection)
        return Trial(began_at=self._clock.now(), since_seq=size, usual_n=usual.n, usual_refused_n=usual.refused_n)

    def _fared(self, trial: Trial) -> Fared:
        with self._db.reading() as connection:
            return Fared(*heard(connection, after=trial.since_seq, last_n=10_000))

    def _folder_of(self, place: Place) -> Path | None:
        folder = self._shelf.folder(place)
        return self._shipped if folder is None else folder / BUNDLE

    def _told(self, slots: Slots) -> str:
        lies = slots.at(slots.active)
        return "what came with the software" if lies is None else f"{lies.name} {lies.version}"


def _named(found: Admitted | None) -> JsonObject:
    if found is None:
        return {}
    return {"sha256": found.sha256, "name": found.name, "version": found.version, "release": found.release}


def _under_way(trying: tuple[str, float]) -> LocalReply:
    return _no("busy", f"The canary is trying slot {trying[0]}; wait until it has said what it found.")


_ENDING: Final = LocalReply(
    ok=False, error="ending", message="The appliance is ending; nothing was changed. Ask again when it is back."
)


def _no(code: str, reason: str, result: JsonObject | None = None) -> LocalReply:
    return LocalReply(ok=False, error=code, message=reason, result=result or {})
