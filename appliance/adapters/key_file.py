"""The file with the key for a server to the key; a file that others may read is none."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

_MOST_BYTES: Final = 4096
_KEY: Final = re.compile(rb"[\x21-\x7e]+")


class UnfitFile(Exception):
    """A file of the settings that cannot be used; says which setting, why, and what to do. No path: it is recorded."""


def read(path: Path) -> str:
    """Return the key in *path*.

    Raises:
        UnfitFile: absent, unreadable, readable by others, or no key.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UnfitFile(f"`key_file` cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise UnfitFile(f"others may read `key_file` ({mode:04o}): `chmod 0600` it")
    key = raw.strip()
    if len(raw) > _MOST_BYTES or _KEY.fullmatch(key) is None:
        raise UnfitFile("`key_file` holds no key: one line of ASCII without spaces is wanted")
    return key.decode("ascii")
