"""A folder to a bundle that can be trusted to be whole.

Covers: files missing, of another size or content than the manifest says, unreadable manifests, other formats, newer
needs. Does not cover: who made it. The signature over the manifest is checked where bundles enter the device.
"""

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError

from appliance.contracts.manifest import FORMAT, BundleFile, Manifest
from appliance.errors import BundleError

MANIFEST: Final = "manifest.json"
NETWORK: Final = "model.tflite"
VOCABULARY: Final = "vocab.txt"
REQUIRED_FILES: Final = (NETWORK, VOCABULARY, "golden.jsonl")
MANIFEST_LIMIT_BYTES: Final = 2**20


class Bundle(NamedTuple):
    """A bundle whose files are what its manifest says."""

    folder: Path
    manifest: Manifest

    @property
    def network(self) -> Path:
        """The int8 network."""
        return self.folder / NETWORK

    @property
    def vocabulary(self) -> Path:
        """The vocabulary, one token a line."""
        return self.folder / VOCABULARY

    @property
    def golden(self) -> Path:
        """Requests with the answers that the float network gave."""
        return self.folder / "golden.jsonl"


def load_bundle(folder: Path, software: str | None = None) -> Bundle:
    """Read the manifest in *folder* and check every file against it.

    Args:
        software: version of the appliance, `1.2.3`; without it the minimum the bundle asks for is not checked.

    Raises:
        BundleError: something is missing, altered, or made for another version; the message says which file and what
        to do.
    """
    manifest = _manifest(folder)
    missing = [name for name in REQUIRED_FILES if name not in manifest.files]
    if missing:
        raise BundleError(f"the manifest of {folder.name} does not list {', '.join(missing)}")
    if software is not None and _numbers(software) < _numbers(manifest.minimum_software):
        raise BundleError(
            f"bundle {manifest.name} needs appliance {manifest.minimum_software} or newer; this is {software}"
        )
    for name, expected in manifest.files.items():
        _check(folder / name, expected)
    return Bundle(folder, manifest)


def _manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MANIFEST_LIMIT_BYTES:
            raise BundleError(f"{path.name} is larger than {MANIFEST_LIMIT_BYTES} bytes; this is no bundle of ours")
        text = path.read_bytes()
    except FileNotFoundError as fault:
        raise BundleError(
            f"no bundle in {folder}: {MANIFEST} is missing; give the folder of a bundle, or install one"
        ) from fault
    except OSError as fault:
        raise BundleError(f"cannot read {path}: {fault.strerror}") from fault
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as fault:
        problem = fault.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the file"
        if where == "format":
            raise BundleError(
                f"bundle {folder.name} is not of format {FORMAT}; this appliance cannot read it"
            ) from fault
        raise BundleError(f"{MANIFEST} of {folder.name}: {where}: {problem['msg']}") from fault


def _check(path: Path, expected: BundleFile) -> None:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            found = hashlib.file_digest(file, "sha256").hexdigest() if size == expected.bytes_n else None
    except OSError as fault:
        raise BundleError(
            f"bundle file {path.name} cannot be read: {fault.strerror}; install the bundle again"
        ) from fault
    if found is None:
        raise BundleError(
            f"bundle file {path.name} is {size} bytes, not {expected.bytes_n}: altered or cut short; install it again"
        )
    if found != expected.sha256:
        raise BundleError(
            f"bundle file {path.name} is not what the manifest says (sha256 differs): altered; install it again"
        )


def _numbers(version: str) -> tuple[int, ...]:
    """`1.2.3` as numbers; what follows them (`.dev1`, `rc2`) does not count."""
    numbers = []
    for part in version.split(".")[:3]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)
