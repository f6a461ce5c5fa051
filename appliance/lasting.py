"""Folders and the names in them, lasting: what a power cut must not take back.

An fsync of a file keeps its content, not its name. A name that was made, exchanged or removed lasts from the fsync of
its folder on, and a folder's own name from that of the folder above it.
"""

from __future__ import annotations

import os
from pathlib import Path


def make_folder(path: Path, mode: int) -> None:
    """Make *path*, and what is missing above it, to last; one that is there already is left as it is.

    Raises:
        OSError: it cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    for folder in missing:
        keep_names(folder.parent)


def keep_names(folder: Path) -> None:
    """Let every name in *folder* last as it is now.

    Raises:
        OSError: the disk did not take it.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
