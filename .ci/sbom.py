"""Write the appliance's bill of materials, CycloneDX 1.6, from the lock of what a device runs.

Covers: every version of `requirements/runtime.txt` with the hashes that may be installed, where it is installed, what
it needs and what its metadata says of its licence; the model bundle that ships, by hash, with its own bill. The
metadata is read from a wheel whose hash is in the lock, once: what is known of the same files is not fetched again.
Does not cover: what the operating system brings (Python, SQLite, OpenSSL, the kernel), nor the libraries that a wheel
carries inside, as numpy does; a wheel that lists those has a bill of its own.
"""

from __future__ import annotations

import argparse
import email
import email.policy
import hashlib
import io
import json
import sys
import tomllib
import uuid
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import index
import locked
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.license import DisjunctiveLicense
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "runtime.txt"
BILL = ROOT / "requirements" / "appliance.cdx.json"
BUNDLES = ROOT / "firmware_models" / "bundles"

SPDX_OF_CLASSIFIER = {
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
}
"""Only those that name one licence: `BSD License` is a family."""

_MARKER, _REQUIRES = "appliance:marker", "appliance:requires-dist"


class Told(NamedTuple):
    """What a package's own metadata says of it."""

    licences: list[dict[str, Any]]
    """As CycloneDX writes them; empty when the metadata is silent."""
    requires: list[str]


def main() -> int:
    """Write the bill; with --check only say whether it is the one of the lock."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--check", action="store_true", help="write nothing, ask no index; exit status 1 when stale")
    options = asked.parse_args()
    pins = locked.read(LOCK)
    text = BILL.read_text(encoding="utf-8") if BILL.exists() else "{}"
    known = remembered(json.loads(text))
    if options.check:
        fresh = all(pin.hashes in known for pin in pins) and text == written(pins, known)
        print("sbom: is the one of the lock" if fresh else "sbom: stale; run `make sbom`")
        return 0 if fresh else 1
    try:
        with index.configured() as shelf:
            known |= {pin.hashes: told(pin, shelf) for pin in pins if pin.hashes not in known}
    except index.Unasked as why:
        print(f"sbom: {why}; nothing was written")
        return 3
    BILL.write_text(written(pins, known), encoding="utf-8")
    print(f"sbom: {len(pins)} versions in {BILL.relative_to(ROOT)}")
    return 0


def told(pin: locked.Pin, shelf: index.Index) -> Told:
    """The metadata of *pin*, from the shortest wheel that the lock allows, once its hash is the one of the lock."""
    wheels = [file for file in shelf.files(pin.name).files if file.sha256 in pin.hashes and file.is_wheel]
    if not wheels:
        raise index.Unasked(f"{pin}: no locked wheel is in the index")
    wheel = min(wheels, key=lambda file: (file.size, file.filename))
    body = shelf.fetch(wheel)
    if hashlib.sha256(body).hexdigest() != wheel.sha256:
        raise index.Unasked(f"{pin}: {wheel.filename} is not what the lock says")
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        (name,) = [n for n in archive.namelist() if n.count("/") == 1 and n.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name), policy=email.policy.compat32)
    return Told(licences(metadata), sorted(metadata.get_all("Requires-Dist", [])))


def licences(metadata: Message) -> list[dict[str, Any]]:
    """What *metadata* says of its licence: an SPDX expression if it can be had, else the words it has."""
    expression = metadata.get("License-Expression")
    free = (metadata.get("License") or "").strip()
    classifiers = [c for c in metadata.get_all("Classifier", []) if c.startswith("License :: ")]
    by_classifier = [SPDX_OF_CLASSIFIER[c] for c in classifiers if c in SPDX_OF_CLASSIFIER]
    usable = free if free and "\n" not in free and free.upper() != "UNKNOWN" else ""
    names = [c.rpartition(" :: ")[2] for c in classifiers]
    for text in (expression, usable, *(by_classifier if len(classifiers) == 1 else [])):
        if not text:
            continue
        made = LicenseFactory().make_from_string(text)
        if not isinstance(made, DisjunctiveLicense):
            return [{"expression": made.value, "acknowledgement": "declared"}]
        if made.id is not None:
            return [{"license": {"id": made.id, "acknowledgement": "declared"}}]
    said = usable or " / ".join(names)
    return [{"license": {"name": said, "acknowledgement": "declared"}}] if said else []


def remembered(bill: dict[str, Any]) -> dict[frozenset[str], Told]:
    """What an earlier bill says of packages, by the hashes of their files."""
    return {
        frozenset(one["content"] for one in component["externalReferences"][0]["hashes"]): Told(
            component.get("licenses", []),
            [one["value"] for one in component.get("properties", []) if one["name"] == _REQUIRES],
        )
        for component in bill.get("components", [])
        if component["type"] == "library"
    }


def written(pins: list[locked.Pin], known: dict[frozenset[str], Told]) -> str:
    """The bill of *pins* as text: the same for the same lock, everywhere and always."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wants: dict[str, list[str]] = {project["name"]: project["dependencies"]}
    for pin in pins:
        wants[pin.name] = [*wants.get(pin.name, []), *known[pin.hashes].requires]
    bundles = [bundle(path) for path in sorted(BUNDLES.glob("*/manifest.json"))]
    appliance = {
        "type": "application",
        "bom-ref": project["name"],
        "name": project["name"],
        "version": project["version"],
        "description": project["description"],
        "licenses": [{"license": {"id": project["license"], "acknowledgement": "declared"}}],
    }
    edges = dependencies(wants)
    below = refs(edges[project["name"]], pins) + [b["bom-ref"] for b in bundles]
    depends = [{"ref": project["name"], "dependsOn": below}]
    depends += [{"ref": ref(pin), "dependsOn": refs(edges[pin.name], pins)} for pin in pins]
    body = {
        "metadata": {"lifecycles": [{"phase": "pre-build"}], "component": appliance},
        "components": [component(pin, known[pin.hashes]) for pin in pins] + bundles,
        "dependencies": depends + [{"ref": b["bom-ref"]} for b in bundles],
    }
    # No date and a number made of the content: the wheel that carries this is to be the same for everybody.
    number = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(body, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{number}", "version": 1}
    return json.dumps(head | body, indent=2, ensure_ascii=False) + "\n"


def component(pin: locked.Pin, told: Told) -> dict[str, Any]:
    """One locked version."""
    properties = [{"name": _MARKER, "value": pin.marker}] if pin.marker else []
    properties += [{"name": _REQUIRES, "value": one} for one in told.requires]
    made = {
        "type": "library",
        "bom-ref": ref(pin),
        "name": pin.name,
        "version": pin.version,
        "licenses": told.licences,
        "purl": ref(pin),
        "externalReferences": [
            {
                # The name of the package instead of an address: any mirror will do, the hashes decide.
                "type": "distribution",
                "url": ref(pin),
                "comment": "any one of these files",
                "hashes": [{"alg": "SHA-256", "content": digest} for digest in sorted(pin.hashes)],
            }
        ],
        "properties": properties,
    }
    return {key: value for key, value in made.items() if value}


def bundle(manifest: Path) -> dict[str, Any]:
    """The model that ships; what it is made of is in its own bill."""
    folder = manifest.parent
    named = json.loads((folder / "mlbom.json").read_text(encoding="utf-8"))["metadata"]["component"]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"bundle:{folder.name}",
        "name": named["name"],
        "version": named["version"],
        "hashes": [{"alg": "SHA-256", "content": sha256(folder / "model.tflite")}],
        "licenses": named["licenses"],
        "externalReferences": [
            {
                "type": "bom",
                "url": f"appliance/bundles/{folder.name}/mlbom.json",
                "hashes": [{"alg": "SHA-256", "content": sha256(folder / "mlbom.json")}],
            }
        ],
    }


def dependencies(wants: dict[str, list[str]]) -> dict[str, set[str]]:
    """Which package needs which, by name, the extras included that somebody asks for."""
    requirements = {name: [Requirement(text) for text in texts] for name, texts in wants.items()}
    every = [requirement for found in requirements.values() for requirement in found]
    extras = {(canonicalize_name(one.name), extra) for one in every for extra in one.extras}

    def asked_for(name: str, requirement: Requirement) -> bool:
        marker = str(requirement.marker or "")
        return "extra" not in marker or any(f'extra == "{extra}"' in marker for of, extra in extras if of == name)

    return {
        name: {canonicalize_name(one.name) for one in found if asked_for(name, one)}
        for name, found in requirements.items()
    }


def refs(names: Iterable[str], pins: list[locked.Pin]) -> list[str]:
    """Every locked version of *names*; a package that no environment of ours needs is not locked."""
    return [ref(pin) for pin in pins if pin.name in names]


def ref(pin: locked.Pin) -> str:
    """The package's URL, which names no host."""
    return f"pkg:pypi/{pin.name}@{pin.version}"


def sha256(path: Path) -> str:
    """The hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
