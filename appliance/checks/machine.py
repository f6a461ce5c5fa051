"""The machine under the home: processor, permissions, room, time."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import struct

from appliance.agent.clock import BUILD_YEAR, SystemClock
from appliance.checks.finding import Finding, Patient


def machine(patient: Patient) -> Finding:
    """Python and processor: the runtimes exist for 64-bit Linux."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if struct.calcsize("P") < 8:
        return Finding("machine", "fail", f"{found}, 32-bit", "Install a 64-bit system; the model's runtimes need one.")
    if platform.system() != "Linux":
        return Finding("machine", "warn", found, "Made for and tested on Linux only.")
    return Finding("machine", "ok", found)


def permissions(patient: Patient) -> Finding:
    """The home belongs to whoever runs the daemon, and its keys to nobody else."""
    root = patient.home.root
    try:
        mode, owner = stat.S_IMODE(root.stat().st_mode), root.stat().st_uid
        private = [p for p in (patient.home.keys, *patient.home.keys.glob("*")) if p.exists()]
        exposed = [p for p in private if stat.S_IMODE(p.stat().st_mode) & 0o077]
    except FileNotFoundError:
        return Finding("permissions", "ok", f"{root} does not exist yet; the first start makes it")
    except OSError as error:
        return Finding("permissions", "fail", f"{root}: {error.strerror}", "Run as the user who owns it.")
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        return Finding("permissions", "fail", f"{root} cannot be written by uid {os.getuid()}", f"Run as uid {owner}.")
    if exposed:
        remedy = f"chmod -R go-rwx {patient.home.keys}; enrol again if anyone may have copied a key."
        return Finding("permissions", "fail", f"others may read {exposed[0]}", remedy)
    if mode & 0o007:
        return Finding("permissions", "warn", f"{root} is open to every user ({mode:04o})", f"chmod 0750 {root}")
    return Finding("permissions", "ok", f"{root} ({mode:04o}), {max(0, len(private) - 1)} keys, private")


def disk(patient: Patient) -> Finding:
    """Room for the records; without it nothing is acted on."""
    place = next(p for p in (patient.home.root, *patient.home.root.parents) if p.exists())
    free = shutil.disk_usage(place).free // 2**20
    reserve = patient.settings.storage.reserve_mb
    found = f"{free:,} MB free at {place}"
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        return Finding("disk", "fail", f"{place} is mounted read-only", "Look for errors of the card in `dmesg`.")
    if free < 5:
        return Finding("disk", "fail", found, "Free some space: nothing is acted on that cannot be recorded.")
    if free < reserve:
        return Finding("disk", "warn", f"{found}, less than the reserve of {reserve} MB", "Free some space.")
    return Finding("disk", "ok", found)


def clock(patient: Patient) -> Finding:
    """Whether anything vouches for the time; without it remote commands must quote the boot nonce."""
    now = SystemClock(0)
    said = f"{now.now():%Y-%m-%d %H:%M} UTC"
    if now.now().year < BUILD_YEAR:
        remedy = "Set the clock, or let NTP do it; until then timers at a time of day go off at the wrong one."
        return Finding("clock", "warn", f"{said}, which cannot be right", remedy)
    if not now.is_trusted():
        remedy = "`timedatectl set-ntp true`, or a clock module; until then the time counts as untrusted."
        return Finding("clock", "warn", f"{said}, not synchronised", remedy)
    return Finding("clock", "ok", f"{said}, synchronised")
