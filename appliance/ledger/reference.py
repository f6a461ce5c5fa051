"""The views, the saved questions and the parts of an incident archive, as pages of docs/reference."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from appliance.ledger import archive_format as form
from appliance.ledger import saved
from appliance.ledger.query import MAX_SQL_BYTES, MAX_VALUE_BYTES
from appliance.storage import views

_PARTS: Final = {
    form.README: "what this is and how to check it, for somebody who was handed it",
    form.REPORT: "the records explained; no script, no network; on paper and on a phone",
    form.MANIFEST: "what the archive is; size and SHA-256 of every other part but the next",
    form.SIGNATURE: "signed note of the device over the SHA-256 of the manifest",
    form.CHECKPOINT: "C2SP `tlog-checkpoint` over all these records",
    form.RECORDS: "the records: exact canonical bodies; salts and values of words where they were asked for",
    form.PROOFS: "for each record an inclusion proof (RFC 6962 section 2.1.1), in the same order",
    form.PUBLIC_KEY: "the device's public key, for common tools; get the one that counts from elsewhere",
    form.ROTATIONS: "the device's signed changes of its key: an older key is led to the one that signed",
    form.BUNDLE: "manifest of the model bundle that decided, if it is still installed",
    form.SINCE: "an older checkpoint, where one was given",
    form.SINCE_PROOF: "consistency proof from that checkpoint (RFC 6962 section 2.1.2)",
}


def views_page(stamp: str) -> str:
    """Return docs/reference/ledger-views.md."""
    lines = [
        f"# Views of the ledger\n\n{stamp}",
        "Read-only tables over the records, in the database itself: any SQLite tool sees them. The daemon makes them",
        "anew at its start when their text has changed. [How to ask](../how-to/query-the-ledger.md). A view shows what",
        "the file holds; `appliance audit verify` tells whether that is what was written.\n",
        f"`appliance audit query` only reads; a statement has at most {MAX_SQL_BYTES:,} bytes, a value",
        f"{MAX_VALUE_BYTES >> 20} MiB, and 10 seconds unless `--seconds` says otherwise.\n",
    ]
    for view in views.VIEWS:
        lines += [f"## `{view.name}`\n", f"{view.tells}\n", "| column | what it is |", "|---|---|"]
        lines += [f"| `{name}` | {what} |" for name, what in view.columns.items()]
        lines.append("")
    lines += ["## Questions that have a name\n", "| name | answers | `--param` |", "|---|---|---|"]
    for kept in saved.every(Path("/nonexistent")).values():
        given = "<br>".join(f"`{name}` {what}" for name, what in kept.parameters.items())
        lines.append(f"| `{kept.name}` | {kept.answers} | {given} |")
    return "\n".join(lines) + "\n"


def archive_page(stamp: str) -> str:
    """Return docs/reference/incident-archive.md."""
    lines = [
        f"# The incident archive\n\n{stamp}",
        "What `appliance audit export` writes: a ZIP file of the parts below, in this order, uncompressed, with no",
        "other entry, comment, extra field or byte between them. There is exactly one archive for given parts, and no",
        f"other is opened; the whole is at most {form.MAX_BYTES >> 20} MiB.",
        "[How to export and check one](../how-to/export-an-incident.md).\n",
        "| part | |",
        "|---|---|",
        *(f"| `{name}` | {_PARTS[name]}{' (optional)' if name in form.OPTIONAL else ''} |" for name in form.ORDER),
        "",
        "The text that the device signs in `MANIFEST.note` is three lines: the heading below, the log's origin, and",
        "a line that `sha256sum -c` reads. The heading has spaces, so that no such note is taken for a checkpoint.\n",
        f"```text\n{form.HEADING}\nedge-agent-appliance/DEVICE/EPOCH\n<sha256>  {form.MANIFEST}\n```\n",
        "A line of a `.jsonl` part is RFC 8785 JSON; `MANIFEST.json` is indented, with sorted keys, in ASCII.\n",
    ]
    titles: dict[str, type[BaseModel]] = {
        form.MANIFEST: form.Manifest,
        form.RECORDS: form.RecordLine,
        form.PROOFS: form.ProofLine,
        form.SINCE_PROOF: form.SinceProof,
    }
    for name, record in titles.items():
        lines += [f"## `{name}`\n", *_fields(record), ""]
    lines += ["### `withheld`\n", *_fields(form.Withheld), "", "### `files`\n", *_fields(form.PackedFile)]
    return "\n".join(lines) + "\n"


def _fields(record: type[BaseModel]) -> Iterable[str]:
    yield "| field | what it is |"
    yield "|---|---|"
    for name, field in record.model_fields.items():
        yield f"| `{name}` | {' '.join((field.description or '').split())} |"
