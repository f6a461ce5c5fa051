"""`appliance.toml` to settings: one strict file, composed of the records that each part declares for itself.

Covers: syntax errors, unknown sections and keys (with the nearest known one), wrong types and bounds, a file that is no
text or far too large; every complaint names file, line and key.
Does not cover: whether a bundle or a broker that is named exists; `doctor` looks.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from appliance.adapters.chosen import EscalationSettings
from appliance.agent.sharing import Share
from appliance.agent.uplink import UplinkSettings
from appliance.contracts.canary import CanaryLimits
from appliance.contracts.home import Home
from appliance.contracts.pinned import SHIPPED
from appliance.contracts.record import Record
from appliance.contracts.slots import BUNDLE, Place, TrialLimits
from appliance.contracts.trustroot import MAX_COOLDOWN_DAYS
from appliance.errors import BundleError, SettingsError
from appliance.policy.rules import PolicySettings
from appliance.settingsfile import faults, remote, template
from appliance.tools.site import Site
from appliance.trust.slots import Shelf

FILE_NAME: Final = "appliance.toml"

PACKAGE: Final = Path(__file__).resolve().parent

MAX_FILE_BYTES: Final = 256 * 1024
"""A site of a thousand entities takes a tenth of it."""


class DeviceSettings(Record):
    """What this device is called."""

    id: str = Field(default="", pattern=r"^(|[a-z0-9][a-z0-9-]{0,62})$")
    """Unique in the world: lower-case letters, digits, hyphens; made from the device's key when empty."""

    name: str = Field(default="", max_length=80, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")
    """What people call it; the id when empty."""

    site: str = Field(default="home", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Which site it belongs to: a level of every topic."""


class ModelSettings(Record):
    """Which model decides, and on what."""

    bundle: str = ""
    """Folder of a bundle, relative to the home; when empty, the slots and what came with the software decide. For
    whoever develops: on a device with a root of trust it has to be a delivery that enough people signed, else it is
    passed over; without a root it decides, and the device says that nobody signed it."""

    runtime: Literal["auto", "litert", "tflite-runtime"] = "auto"
    """`auto` takes LiteRT where it is installed, else tflite-runtime."""

    threads: int = Field(default=2, ge=1, le=16)
    """Threads of one inference; two of a Pi's four leave room for the rest."""


class BundleSettings(Record):
    """How a bundle has to prove itself here; the canary's safety suite is asked whatever stands below."""

    cooldown_days: int = Field(default=0, ge=0, le=MAX_COOLDOWN_DAYS)
    """A bundle lies here at least so many days of running time before it may decide; the cooldown that the site's root
    of trust sets counts where it is longer, so this can only lengthen it."""

    canary_minutes: float = Field(default=15.0, ge=1.0, le=240.0)
    """How long the canary may ask a bundle; the active one, which it asks for comparison, has as long again. A slow
    board needs more."""

    canary_memory_mb: int = Field(default=400, ge=200, le=1024)
    """How much memory the process may take at its peak in which the canary runs a bundle."""

    canary_latency_ms: float = Field(default=400.0, ge=50.0, le=10_000.0)
    """How much processor time the median answer may take; twice the active bundle's is the other bound."""

    trial_hours: float = Field(default=24.0, ge=1.0, le=720.0)
    """Running time that a trial lasts at least; seven times as long where hardly anybody speaks to the device."""

    trial_requests: int = Field(default=20, ge=10, le=1000)
    """Requests in words that a trial lasts at least."""

    trial_refused_more: float = Field(default=0.15, ge=0.02, le=0.5)
    """Share of requests that a bundle on trial may refuse or ask back beyond what was usual before it goes back."""

    def canary(self) -> CanaryLimits:
        """Return the canary's limits; those of safety and of competence are not the owner's to change."""
        return CanaryLimits(
            whole_s=self.canary_minutes * 60, resident_mb=self.canary_memory_mb, latency_ms=self.canary_latency_ms
        )

    def trial(self) -> TrialLimits:
        """Return the trial's limits."""
        least_s = self.trial_hours * 3600
        return TrialLimits(
            least_s=least_s, longest_s=7 * least_s, least_n=self.trial_requests, worse=self.trial_refused_more
        )


class StorageSettings(Record):
    """How much room the records need."""

    reserve_mb: int = Field(default=50, ge=1, le=100_000)
    """Free space below which `doctor` warns."""


class LedgerSettings(Record):
    """How often the device signs how far its ledger is, and how much of it stays on the device."""

    checkpoint_every_n: int = Field(default=256, ge=1, le=65_536)
    """After so many records at the latest; 256 are a segment, the unit in which old records may leave the device."""

    checkpoint_every_s: float = Field(default=60.0, ge=0.1, le=86_400.0)
    """So many seconds after a record at the latest; until then nobody vouches for that record."""

    quota_mb: int = Field(default=4096, ge=16, le=1_000_000)
    """Room for the records; beyond it the oldest sealed segments are pruned, roots stay. Five years at 500 decisions a
    day, on a card of 16 GB."""

    keep_days: int = Field(default=0, ge=0, le=36_500)
    """Records older than this are pruned, segment by segment; 0 keeps them as long as the quota has room."""


class PrivacySettings(Record):
    """What becomes of the words that people say."""

    personal_days: int = Field(default=30, ge=0, le=36_500)
    """Words in records older than this are erased on the device; what was done and why stays. 0 keeps them."""

    share: Share = "decisions"
    """What an enrolled device tells its controllers: `counts` (that something was decided), `decisions` (what and why,
    without anybody's words), `words` (everything)."""


class PeopleSettings(Record):
    """Who counts as what at the device."""

    unnamed: Literal["operator", "viewer"] = "operator"
    """Whoever asks at the device without a PIN: an `operator` asks for acts, a `viewer` looks and asks for nothing. The
    emergency stop needs no PIN either way."""


class Settings(Record):
    """Everything that an owner may set, by section of the file."""

    device: DeviceSettings = DeviceSettings()
    model: ModelSettings = ModelSettings()
    policy: PolicySettings = PolicySettings()
    uplink: UplinkSettings = UplinkSettings()
    bundles: BundleSettings = BundleSettings()
    storage: StorageSettings = StorageSettings()
    ledger: LedgerSettings = LedgerSettings()
    privacy: PrivacySettings = PrivacySettings()
    people: PeopleSettings = PeopleSettings()
    escalation: EscalationSettings = EscalationSettings()
    site: Site = Field(default_factory=Site.demonstration)
    """What exists at this place; a section here replaces the demonstration house as a whole."""


def load(home: Path) -> Settings:
    """Read HOME/appliance.toml, the defaults where there is none, and what the fleet wishes where it says nothing.

    Raises:
        SettingsError: the file cannot be used; the message names every fault with file, line and key.
    """
    path = home / FILE_NAME
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return remote.wished(Settings(), {}, home)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise SettingsError(f"{path}: larger than {MAX_FILE_BYTES // 1024} KiB; is this a settings file?")
    try:
        text = raw.decode("utf-8")
        return remote.wished(parse(text, path), tomllib.loads(text), home)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise SettingsError(f"{path}:{line}: not UTF-8 text (byte 0x{raw[error.start]:02x})") from error


def parse(text: str, path: Path) -> Settings:
    """Read settings from *text*; *path* is what complaints call it.

    Raises:
        SettingsError: the same as `load`.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: nested too deep") from error
    for loc, fault in faults.beyond_json(table):
        raise SettingsError(f"{path}:{faults.line_of(text, loc)}: {faults.key_name(loc)}: {fault}")
    try:
        # Through JSON: strict records take JSON's lists for tuples and its strings for enums.
        return Settings.model_validate_json(json.dumps(table))
    except ValidationError as error:
        raise SettingsError(faults.explain(error, Settings, text, path)) from error


def write_default_file(home: Path) -> Path:
    """Write HOME/appliance.toml, every default commented out, unless there is one.

    Raises:
        SettingsError: the home cannot be written.
    """
    path = home / FILE_NAME
    try:
        home.mkdir(mode=0o750, parents=True, exist_ok=True)
        if not path.exists():
            _write_whole(path, template.commented(Settings()))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def _write_whole(path: Path, text: str) -> None:
    """Write *path* whole or not at all, also through a power cut: half a file of settings would keep the device off."""
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link never replaces what its owner has written meanwhile.
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def bundle_folder(settings: Settings, home: Path) -> Path:
    """Return the folder of the bundle that decides: the named one, else the active slot's, else what shipped.

    Raises:
        BundleError: none is named, no slot decides, and none came with the software.
    """
    if settings.model.bundle:
        named = home / settings.model.bundle
        return named / BUNDLE if (named / BUNDLE).is_dir() else named
    shelf = Shelf(Home(home).bundles)
    chosen = shelf.bundle(shelf.read().active)
    return shipped_bundle() if chosen is None else chosen


def installed_bundles(settings: Settings, home: Path) -> list[Path]:
    """Return the folder of every bundle that lies here, the one that decides first."""
    shelf = Shelf(Home(home).bundles)
    found: list[Path] = []
    with suppress(BundleError):
        found.append(bundle_folder(settings, home))
    with suppress(BundleError):
        found.append(shipped_bundle())
    slots: tuple[Place, ...] = ("a", "b")
    found += [lies for slot in slots if (lies := shelf.bundle(slot)) is not None and lies.exists()]
    return list(dict.fromkeys(found))


def shipped_bundle(package: Path = PACKAGE) -> Path:
    """Return the bundle that came with the software: inside the wheel, or where the recipe writes it in a checkout.

    Raises:
        BundleError: there is none, or it is another than this software names: no signature vouches for this one, only
            its hash does. (The manifest's; loading compares every other file with the manifest.)
    """
    for folder in (package / "bundles", package.parent / "firmware_models" / "bundles"):
        manifest = folder / SHIPPED.name / "manifest.json"
        if not manifest.is_file():
            continue
        if hashlib.sha256(manifest.read_bytes()).hexdigest() != SHIPPED.sha256:
            raise BundleError(
                f"the bundle in {manifest.parent} is not the one that this software came with; install the software"
                " again (whoever made the bundle anew names it in appliance/contracts/pinned.py)"
            )
        return manifest.parent
    raise BundleError(f"no bundle came with this installation ({package}); name one under [model] bundle")
