"""The verbs of `appliance audit`, and those that read and check: the ledger without the daemon."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from appliance.cli.lazy import Lazy
from appliance.contracts.audit import AuditRow
from appliance.contracts.home import Home
from appliance.contracts.record import JsonObject
from appliance.storage import audit as table
from appliance.storage.database import open_reader
from appliance.terminal import tell, tell_json


class Ledger(NamedTuple):
    """Whose ledger, and where it lies."""

    home: Home
    database: Path


AUDIT_VERBS: Final = {
    "show": "appliance.cli.auditing:show",
    "verify": "appliance.cli.verifying:verify_",
    "checkpoint": "appliance.cli.proving:checkpoint",
    "prove": "appliance.cli.proving:prove",
    "replay": "appliance.cli.replaying:replay",
    "query": "appliance.cli.querying:query",
    "export": "appliance.cli.exporting:export",
    "key": "appliance.cli.auditing:key_",
    "usage": "appliance.cli.retaining:usage_",
    "prune": "appliance.cli.retaining:prune",
    "hold": "appliance.cli.retaining:hold",
    "redact": "appliance.cli.retaining:redact",
}
"""Verb to `module:command`; help lists them in this order."""


@click.group(cls=Lazy, verbs=AUDIT_VERBS)
@click.option(
    "--database",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Another ledger than the home's: one that was set aside, restored or copied.",
)
@click.pass_context
def audit(ctx: click.Context, database: Path | None) -> None:
    """Read and check the ledger of everything that was decided."""
    ctx.obj = Ledger(ctx.obj, database or ctx.obj.database)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each record.")
@click.option("--request", "request_id", help="Only the records of one request.")
@click.option("--after", default=0, help="Only records after this number.")
@click.option("--last", "last_n", type=click.IntRange(1), help="Only the newest N records.")
@click.option("--epoch", help="Of an earlier epoch: before a restore, or from a file that was damaged.")
@click.option("--public", is_flag=True, help="Leave out what people said: what a controller would see.")
@click.pass_obj
def show(
    ledger: Ledger,
    as_json: bool,  # noqa: FBT001 -- click passes flags
    request_id: str | None,
    after: int,
    last_n: int | None,
    epoch: str | None,
    public: bool,  # noqa: FBT001 -- click passes flags
) -> None:
    """Print the records in order."""
    reader = open_reader(ledger.database)
    if last_n is not None:
        after = max(after, table.size(reader, epoch) - last_n)
    for row in table.rows(reader, after=after, epoch=epoch):
        if request_id is None or row.request_id == request_id:
            record = _record(row, public=public)
            if as_json:
                tell_json(record)
            else:
                tell(_line(record))


@click.command(name="key")
@click.option("--hex", "as_hex", is_flag=True, help="The bare key, 64 hexadecimal digits.")
@click.pass_obj
def key_(ledger: Ledger, as_hex: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Print the device's public key, for whoever checks its ledger: a C2SP verifier key, `origin+hash+key`.

    The origin is the name of the present ledger; after a restore it is another one, the key is the same.
    """
    from appliance.agent import epochs
    from appliance.trust import enrolment, rotation
    from appliance.trust.notes import Verifier

    key = rotation.current(ledger.home.root)
    if as_hex:
        tell(key.public.raw.hex())
        return
    with contextlib.closing(open_reader(ledger.database)) as reader:
        origin = epochs.origin_of(reader, enrolment.device_name(ledger.home.root, key))
    tell(str(Verifier(origin, key.public)))


def _record(row: AuditRow, *, public: bool) -> JsonObject:
    body: JsonObject = json.loads(row.body)
    if not public:
        kept: Any = row.personal or {}
        committed: Any = body["personal"]
        body["personal"] = {name: entry["value"] for name, entry in kept.items()}
        if erased := sorted(set(committed) - set(kept)):
            # Said once, and no longer here: the commitment is all that is left of it.
            body["erased"] = [*erased]
    return {**body, "leaf": row.leaf.hex()}


def _line(record: JsonObject) -> str:
    facts: Any = record["facts"]
    personal: Any = record["personal"]
    calls = ", ".join(call["gen_ai.tool.name"] for call in facts.get("calls", []) if "gen_ai.tool.name" in call)
    words = personal.get("text") if isinstance(personal, dict) else None
    erased: Any = record.get("erased", [])
    parts = [
        f"{record['seq']:>6}",
        str(record["at"])[:19],
        f"{record['kind']:<13}",
        f"{facts.get('status', ''):<13}",
        calls,
        f"“{words}”" if isinstance(words, str) and not _is_commitment(words) else "",
        f"[erased: {', '.join(erased)}]" if erased else "",
    ]
    return " ".join(part for part in parts if part).rstrip()


def _is_commitment(text: str) -> bool:
    return len(text) == 64 and not set(text) - set("0123456789abcdef")
