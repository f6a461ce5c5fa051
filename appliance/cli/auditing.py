"""audit show, verify, checkpoint: the ledger without the daemon."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from appliance.contracts.audit import AuditRow
from appliance.contracts.canonical import canonical
from appliance.contracts.home import Home
from appliance.contracts.record import JsonObject
from appliance.errors import TrustError, UsageError
from appliance.ledger.verify import UNANCHORED, Anchor, verify
from appliance.storage import audit as table
from appliance.storage import meta
from appliance.storage.database import open_reader

BROKEN_EXIT: Final = 4


class Ledger(NamedTuple):
    """Whose ledger, and where it lies."""

    home: Home
    database: Path


@click.group()
@click.option(
    "--database",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Another ledger than the home's: one that was set aside, restored or copied.",
)
@click.pass_context
def audit(ctx: click.Context, database: Path | None) -> None:
    """Read and check the ledger of everything that was decided."""
    ctx.obj = Ledger(ctx.obj, database or ctx.obj.database)


@audit.command()
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each record.")
@click.option("--request", "request_id", help="Only the records of one request.")
@click.option("--after", default=0, help="Only records after this number.")
@click.option("--last", "last_n", type=click.IntRange(1), help="Only the newest N records.")
@click.option("--public", is_flag=True, help="Leave out what people said: what a controller would see.")
@click.pass_obj
def show(
    ledger: Ledger,
    as_json: bool,  # noqa: FBT001 -- click passes flags
    request_id: str | None,
    after: int,
    last_n: int | None,
    public: bool,  # noqa: FBT001 -- click passes flags
) -> None:
    """Print the records in order."""
    reader = open_reader(ledger.database)
    if last_n is not None:
        after = max(after, table.head(reader)[0] - last_n)
    for row in table.rows(reader, after=after):
        if request_id is None or row.request_id == request_id:
            record = _record(row, public=public)
            click.echo(json.dumps(record, ensure_ascii=False) if as_json else _line(record))


@audit.command(name="verify")
@click.option("--checkpoint", type=click.Path(dir_okay=False, path_type=Path), help="A checkpoint the device signed.")
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), help="The device's public key.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def verify_(ledger: Ledger, checkpoint: Path | None, key: Path | None, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Check that the ledger is the history that was written."""
    if (checkpoint is None) != (key is None):
        raise UsageError("--checkpoint and --key go together: a checkpoint is worth what its key is worth")
    anchor = None if checkpoint is None or key is None else _anchor(checkpoint, key)
    remembered = _remembered(ledger) if anchor is None else None
    reader = open_reader(ledger.database)
    epoch = reader.execute("select value from meta where key = 'epoch'").fetchone()[0]
    total = table.head(reader)[0]
    rows: Iterator[AuditRow] = table.rows(reader)
    if remembered is not None and remembered.epoch != epoch:
        remembered = None  # of a predecessor; this ledger's own is written within a minute of its start
    if as_json or total < 20_000:
        found = verify(rows, epoch, anchor or remembered)
    else:
        with click.progressbar(rows, length=total, label="checking", file=sys.stderr) as bar:
            found = verify(bar, epoch, anchor or remembered)
    if found.state == "anchored" and anchor is None:
        # What lies beside the database finds a careless cut; whoever can write there can write both.
        found = found.model_copy(update={"state": "consistent-unanchored", "reason": UNANCHORED})
    if as_json:
        click.echo(found.model_dump_json())
    else:
        colour = {"anchored": "green", "consistent-unanchored": "yellow", "broken": "red"}[found.state]
        click.echo(click.style(found.state, fg=colour, bold=True) + f": {found.rows_n} records, head {found.head[:16]}")
        if found.bad_seq is not None:
            click.echo(f"first bad record: {found.bad_seq}")
        if found.reason:
            click.echo(found.reason)
    raise click.exceptions.Exit(BROKEN_EXIT if found.state == "broken" else 0)


@audit.command()
@click.pass_obj
def checkpoint(ledger: Ledger) -> None:
    """Print a signed statement of how far the ledger is; keep it elsewhere, `verify` takes it."""
    from appliance.trust import keys

    key = keys.load(ledger.home.root / keys.DEVICE_KEY)
    reader = open_reader(ledger.database)
    epoch = reader.execute("select value from meta where key = 'epoch'").fetchone()[0]
    seq, head = table.head(reader)
    anchor = Anchor(device=key.key_id, epoch=epoch, seq=seq, hash=head)
    body = anchor.model_dump(mode="json")
    click.echo(json.dumps({**body, "signature": key.sign(canonical(body)).hex()}))


@audit.command(name="key")
@click.pass_obj
def key_(ledger: Ledger) -> None:
    """Print the device's public key, for whoever checks its checkpoints."""
    from appliance.trust import keys

    click.echo(keys.load(ledger.home.root / keys.DEVICE_KEY).public.raw.hex())


def _remembered(ledger: Ledger) -> Anchor | None:
    """Return the head that the device wrote beside its own database, if it is that database that is looked at."""
    if ledger.database != ledger.home.database:
        return None
    kept = meta.remembered_head(ledger.home.root) or {}
    try:
        return Anchor.model_validate({"device": "", **{k: kept[k] for k in ("epoch", "seq", "hash")}})
    except (KeyError, ValueError):
        return None


def _anchor(checkpoint: Path, key: Path) -> Anchor:
    from appliance.trust.keys import PublicKey

    try:
        data = json.loads(checkpoint.read_text(encoding="utf-8"))
        signature = bytes.fromhex(data.pop("signature"))
        public = PublicKey.from_hex(key.read_text(encoding="utf-8").strip())
        anchor = Anchor.model_validate(data)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"{checkpoint} is not a checkpoint, or {key} not a public key: {error}") from error
    if not public.accepts(signature, canonical(data)):
        raise TrustError(f"{checkpoint} was not signed by the key in {key}")
    return anchor


def _record(row: AuditRow, *, public: bool) -> JsonObject:
    body: JsonObject = json.loads(row.body)
    if not public and row.personal is not None:
        kept: Any = row.personal
        body["personal"] = {name: entry["value"] for name, entry in kept.items()}
    return {**body, "hash": row.hash}


def _line(record: JsonObject) -> str:
    facts: Any = record["facts"]
    personal: Any = record["personal"]
    calls = ", ".join(call["gen_ai.tool.name"] for call in facts.get("calls", []) if "gen_ai.tool.name" in call)
    words = personal.get("text") if isinstance(personal, dict) else None
    parts = [
        f"{record['seq']:>6}",
        str(record["at"])[:19],
        f"{record['kind']:<13}",
        f"{facts.get('status', ''):<13}",
        calls,
        f"“{words}”" if isinstance(words, str) and not _is_commitment(words) else "",
    ]
    return " ".join(part for part in parts if part).rstrip()


def _is_commitment(text: str) -> bool:
    return len(text) == 64 and not set(text) - set("0123456789abcdef")
