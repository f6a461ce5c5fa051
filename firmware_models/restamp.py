"""A bundle folder whose files were changed by hand to one whose manifest says so.

python -m firmware_models.restamp firmware_models/bundles/pointer-small --release 2 --version 0.2.0
"""

import argparse
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from appliance.contracts.manifest import FORMAT, MAX_RELEASE, BundleFile, Manifest
from appliance.contracts.record import JsonObject
from appliance.inference.bundle import MANIFEST, load_bundle
from firmware_models import mlbom


def restamp(folder: Path, release: int | None, good_days: int, version: str | None = None) -> Manifest:
    """Write the bill of materials and the manifest again over the files as they are.

    Args:
        release: its number; the one it has, when absent.
        version: what people call it; the one it has, when absent.
    """
    said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    made_at = datetime.fromisoformat(said["made_at"])
    names = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)
    said |= {
        "format": FORMAT,
        "release": release or said.get("release", 1),
        "version": version or said["version"],
        "expires_at": said.get("expires_at") or (made_at + timedelta(days=good_days)).isoformat(),
        "minimum_revocations": said.get("minimum_revocations", 0),
        "files": {name: describe(folder / name).model_dump() for name in names},
    }
    manifest = Manifest.model_validate_json(json.dumps(said))
    bill = json.dumps(mlbom.bill(manifest, _measured(folder / "mlbom.json")), indent=2) + "\n"
    (folder / "mlbom.json").write_text(bill, encoding="utf-8")
    files = {**manifest.files, "mlbom.json": describe(folder / "mlbom.json")}
    manifest = manifest.model_copy(update={"files": files})
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    load_bundle(folder)
    return manifest


def _measured(path: Path) -> JsonObject | None:
    """What the bill says was measured; a restamp measures nothing."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return said["metadata"]["component"]["modelCard"].get("quantitativeAnalysis")


def describe(path: Path) -> BundleFile:
    """Size and hash of a file."""
    return BundleFile(sha256=sha256(path.read_bytes()).hexdigest(), bytes_n=path.stat().st_size)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and write the manifest."""
    parser = argparse.ArgumentParser(prog="firmware_models.restamp", description="Write a bundle's manifest again.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--release", type=int, choices=range(1, MAX_RELEASE), metavar="N")
    parser.add_argument("--version", help="what people call it, e.g. 0.2.0; a release has one of its own")
    parser.add_argument("--good-days", type=int, default=730)
    parser.add_argument("--pin", action="store_true", help="print the line that pins it as what ships")
    options = parser.parse_args(arguments)
    manifest = restamp(options.folder, options.release, options.good_days, options.version)
    print(f"{manifest.name} {manifest.version}, release {manifest.release}")
    if options.pin:
        pin = sha256((options.folder / MANIFEST).read_bytes()).hexdigest()
        print(f'SHIPPED: Final = Pinned("{manifest.name}", {manifest.release}, "{pin}")')


if __name__ == "__main__":
    main()
