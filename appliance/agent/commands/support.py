"""The archive of `appliance diagnose`, made by a process of its own.

What it looks at is above this layer, and neither its memory nor a fault in it is the daemon's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError

WITHIN_S: Final = 120.0
"""A slow card and a broker that cannot be reached."""


def archive(root: Path, into: Path) -> None:
    """Write the archive of the home *root* to *into*.

    Raises:
        ApplianceError: it could not be made, or not in time.
    """
    command = [sys.executable, "-m", "appliance", "--home", str(root), "diagnose", str(into)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=WITHIN_S, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise ApplianceError(f"no diagnosis within {WITHIN_S:.0f} s") from error
    except OSError as error:
        raise ApplianceError(f"no process for a diagnosis: {error.strerror}") from error
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ApplianceError(f"no diagnosis: {' '.join(last)[:300]}")
