"""Two slots for bundles beside the one that shipped, and one small file that says which of them decides.

    HOME/bundles/slots.json   the truth: exchanged whole, by a rename
    HOME/bundles/a, b         deliveries that were admitted: `bundle/` and `signatures/`
    HOME/bundles/.new         a delivery that is being put here; nothing of it counts

Covers: a power cut, a kill or a full disk at any moment of any of these: the slot that decided before the moment, or
the one that was chosen at it, is whole and decides; a slot is emptied in the file before it is emptied on the disk, and
filled on the disk before it is filled in the file. A file that cannot be read counts as none: what shipped decides.
Does not cover: whether a delivery may be trusted (`admission`), whether it is any good (the canary), and somebody who
may write the home: what lies in a slot is judged again at every start.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from appliance import lasting
from appliance.contracts.bundle import Admitted
from appliance.contracts.slots import BUNDLE, RETURNED_N, Place, Returned, Slot, Slots, Trial
from appliance.errors import StorageError

STATE: Final = "slots.json"
DRAFT: Final = ".slots.json.new"
ARRIVING: Final = ".new"
MAX_STATE_BYTES: Final = 64 * 1024


class Shelf:
    """The slots of one home; one process writes them, one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Slots:
        """Return what the file says; what shipped decides where there is none that can be read."""
        return self._parsed() or Slots()

    def is_damaged(self) -> bool:
        """Tell whether there is a file that cannot be read."""
        return self._parsed() is None and os.path.lexists(self._folder / STATE)

    def _parsed(self) -> Slots | None:
        try:
            with (self._folder / STATE).open("rb") as file:
                return Slots.model_validate_json(file.read(MAX_STATE_BYTES))
        except (OSError, ValidationError):
            return None

    def folder(self, place: Place) -> Path | None:
        """Return where the delivery in *place* lies; None for what shipped."""
        return None if place == "shipped" else self._folder / place

    def bundle(self, place: Place) -> Path | None:
        """Return where the model in *place* lies; None for what shipped."""
        folder = self.folder(place)
        return None if folder is None else folder / BUNDLE

    def tidy(self) -> None:
        """Remove what a power cut left half done.

        Raises:
            StorageError: it cannot be removed.
        """
        if not self._folder.exists():
            return
        slots = self.read()
        left = [self._folder / ARRIVING, self._folder / DRAFT]
        if not self.is_damaged():
            left += [self._folder / slot for slot in ("a", "b") if slots.at(slot) is None]
        self._remove(*(path for path in left if path.exists()))

    def clear(self) -> Path:
        """Return a folder that is not there yet, where a delivery may arrive.

        Raises:
            StorageError: the disk does not take it.
        """
        arriving = self._folder / ARRIVING
        try:
            lasting.make_folder(self._folder, 0o700)
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        self._remove(arriving)
        return arriving

    def put(self, slot: Slot, admitted: Admitted) -> Slots:
        """Move what has arrived into *slot*, in place of what lies there.

        Raises:
            StorageError: the disk does not take it; the slot may be empty then, and nothing else has changed.
        """
        slots = self.read()
        assert slots.active != slot
        arriving, place = self._folder / ARRIVING, self._folder / slot
        try:
            _keep_tree(arriving)
            before = "shipped" if slots.before == slot else slots.before
            if slots.at(slot) is not None or place.exists():
                self._write(slots.model_copy(update={slot: None, "before": before}))
                self._remove(place)
            arriving.rename(place)
            lasting.keep_names(self._folder)
        except OSError as error:
            raise _unwritable(place, error) from error
        return self._write(slots.model_copy(update={slot: admitted, "before": before}))

    def activate(self, place: Place, trial: Trial | None) -> Slots:
        """Let *place* decide from the next start on; the one that decided is where a return goes.

        Raises:
            StorageError: the disk does not take it; what decided before still does.
        """
        slots = self.read()
        before = slots.before if slots.trial is not None else slots.active
        return self._write(slots.model_copy(update={"active": place, "before": before, "trial": trial}))

    def start(self, machine_start: str) -> Slots:
        """Take note of a start while a bundle is on trial; count it if the last one ended without notice.

        Raises:
            StorageError: the disk does not take it.
        """
        slots = self.read()
        trial = slots.trial
        if trial is None:
            return slots
        same = trial.machine_start == machine_start
        counted = trial.model_copy(
            update={
                "crashes_n": trial.crashes_n + (trial.running and same),
                "cuts_n": trial.cuts_n + (trial.running and not same),
                "running": True,
                "machine_start": machine_start,
            }
        )
        return self._write(slots.model_copy(update={"trial": counted}))

    def ran(self, powered_s: float) -> Slots:
        """Add to the time that the bundle on trial has decided."""
        slots = self.read()
        if slots.trial is None:
            return slots
        grown = slots.trial.model_copy(update={"powered_s": slots.trial.powered_s + powered_s})
        return self._write(slots.model_copy(update={"trial": grown}))

    def stop(self) -> None:
        """Take note of an orderly end."""
        slots = self.read()
        if slots.trial is not None and slots.trial.running:
            self._write(slots.model_copy(update={"trial": slots.trial.model_copy(update={"running": False})}))

    def passed(self) -> Slots:
        """End the trial well."""
        return self._write(self.read().model_copy(update={"trial": None}))

    def go_back(self, returned: Returned | None) -> Slots:
        """Let the one before decide again.

        Args:
            returned: why; None where a person wanted it.
        """
        slots = self.read()
        kept = slots.returned if returned is None else (*slots.returned, returned)[-RETURNED_N:]
        changed = {"active": slots.before, "before": "shipped", "trial": None, "returned": kept}
        return self._write(slots.model_copy(update=changed))

    def _write(self, slots: Slots) -> Slots:
        draft = self._folder / DRAFT
        try:
            lasting.make_folder(self._folder, 0o700)
            with draft.open("wb") as file:
                file.write(slots.model_dump_json(indent=1).encode())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._folder / STATE)
            # The switch: until the folder is on the disk the old file may come back, whole.
            lasting.keep_names(self._folder)
        except OSError as error:
            raise _unwritable(draft, error) from error
        return slots

    def _remove(self, *paths: Path) -> None:
        try:
            for path in paths:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            if paths and self._folder.exists():
                lasting.keep_names(self._folder)
        except OSError as error:
            raise _unwritable(self._folder, error) from error


def _keep_tree(folder: Path) -> None:
    """Let every file and name under *folder* last."""
    for root, _, names in os.walk(folder):
        for name in names:
            with (Path(root) / name).open("rb") as file:
                os.fsync(file.fileno())
        lasting.keep_names(Path(root))


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path}: {error.strerror}; the bundle that decided still does")
