"""A bundle's folder and its signatures to the one file that travels."""

from __future__ import annotations

import os
from pathlib import Path

from appliance.errors import TrustError
from appliance.trust import opening, tarform


def pack(bundle: Path, signatures: Path, urgent: Path | None, target: Path) -> int:
    """Write the delivery file; the same bytes for the same files, on every machine. Returns its size.

    Raises:
        TrustError: a file has a name that a delivery cannot have, or cannot be read or written.
    """
    files = {f"{opening.BUNDLE}/{path.name}": path for path in _files(bundle)}
    files |= {f"{opening.SIGNATURES}/{path.name}": path for path in _files(signatures)}
    if urgent is not None:
        files[opening.URGENT] = urgent
    wrong = sorted(name for name in files if tarform.NAME.fullmatch(name) is None)
    if wrong:
        raise TrustError(f"{wrong[0]!a} can be no file of a delivery: small letters, digits, dots, dashes; *.sig")
    try:
        draft = target.with_name(f".{target.name}.new")
        with draft.open("wb") as out:
            for name in sorted(files):
                content = files[name].read_bytes()
                out.write(tarform.header(name, len(content)) + content + tarform.padding(len(content)))
            out.write(tarform.ending(out.tell()))
            out.flush()
            os.fsync(out.fileno())
        draft.replace(target)
        return target.stat().st_size
    except OSError as error:
        raise TrustError(f"{error.filename or target}: {error.strerror}") from error


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise TrustError(f"{folder}: {error.strerror}") from error
