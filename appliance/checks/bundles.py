"""The slots for bundles, and whether a new one could be tried here at all."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import Final

from appliance import confinement, settings
from appliance.agent import admission, named_bundle
from appliance.checks.finding import Finding, Patient
from appliance.contracts.home import Home
from appliance.contracts.slots import Slots
from appliance.storage.database import open_reader
from appliance.trust.slots import Shelf

CAGE_S: Final = 30.0


def slots(patient: Patient) -> Finding:
    """What lies in the slots, which of them decides, and how its trial does."""
    shelf = Shelf(patient.home.bundles)
    if shelf.is_damaged():
        remedy = "What came with the software decides; install the bundle again, `appliance bundle install`."
        return Finding("slots", "fail", "the file of slots cannot be read", remedy)
    kept = shelf.read()
    missing = [slot for slot in ("a", "b") if kept.at(slot) is not None and not (patient.home.bundles / slot).is_dir()]
    if missing:
        remedy = "Restart the daemon: it goes back to the bundle before; then install this one again."
        return Finding("slots", "fail", f"slot {missing[0]} is said to be filled and is not there", remedy)
    told = [_slot(kept, "a"), _slot(kept, "b")]
    if kept.returned:
        told.append(f"{len(kept.returned)} sent back, `appliance bundle list` says why")
    if patient.settings.model.bundle and kept.active != "shipped":
        remedy = "Take the line `bundle` out of [model], or roll back."
        found = f"{'; '.join(told)}; but the settings name a bundle: while it may decide, no slot does"
        return Finding("slots", "warn", found, remedy)
    return Finding("slots", "ok", "; ".join(told))


def named(patient: Patient) -> Finding:
    """Whether the settings name a bundle, and whether it may decide."""
    if not patient.settings.model.bundle:
        return Finding("named", "ok", "the settings name no bundle: the slots and what came with the software decide")
    remedy = "Take the line `bundle` out of [model]; install a signed bundle, `appliance bundle install`."
    folder = settings.bundle_folder(patient.settings, patient.home.root)
    found = named_bundle.judge(folder, lambda: _trusted(patient.home))
    if found.bad and found.is_bound:
        return Finding("named", "warn", f"the bundle named in the settings is passed over: {found.bad}", remedy)
    if found.bad:
        return Finding("named", "fail", f"the bundle named in the settings cannot be used: {found.bad}", remedy)
    said = f"the bundle that decides is named in the settings, {found.vouched}"
    if found.vouched == named_bundle.BY_NOBODY:
        return Finding("named", "warn", said, remedy)
    return Finding("named", "ok", said)


def _trusted(home: Home) -> named_bundle.Trusted:
    if not home.database.exists():
        return None, None
    with closing(open_reader(home.database)) as reader:
        return admission.in_force(reader)


def _slot(kept: Slots, slot: str) -> str:
    lies = kept.a if slot == "a" else kept.b
    if lies is None:
        return f"{slot} empty"
    # The number and the hash, not the name: a support archive holds nobody's names.
    told = f"{slot} release {lies.release} ({lies.sha256[:12]})"
    if slot != kept.active:
        return f"{told}, where a return would go" if slot == kept.before and kept.trial is not None else told
    if kept.trial is None:
        return f"{told}, decides"
    trial = kept.trial
    return f"{told}, decides on trial for {trial.powered_s / 3600:.1f} h, {trial.crashes_n} crashes"


def cage(_patient: Patient) -> Finding:
    """What would hold a bundle that nobody trusts yet while it is tried."""
    ran = subprocess.run(
        [sys.executable, "-I", "-m", confinement.__name__], capture_output=True, text=True, timeout=CAGE_S, check=False
    )
    held = ran.stdout.split()
    if ran.returncode == 0 and confinement.is_enough(held):
        return Finding("cage", "ok", f"a bundle would be tried behind {', '.join(held)}")
    return Finding(
        "cage",
        "warn",
        f"no bundle can be activated here: {', '.join(held) or 'nothing'} would hold it while it is tried",
        "`sudo apt-get install libseccomp2`; everything else goes on.",
    )
