"""Writes the pages of docs/ that are printed from the software; `make docs`.

`python docs/generate.py --check` names the pages that are stale; a test does the same.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sqlite3
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click
from pydantic import BaseModel

from appliance import cli, errors, settings
from appliance.agent import record_reference, wire_reference
from appliance.cli import outcomes
from appliance.contracts import asyncapi, local
from appliance.fleet import reference as fleet_reference
from appliance.ledger import reference as ledger_reference
from appliance.policy import lifecycle, rules
from appliance.policy.workflow import check, grammar, language, rulesbeside, script
from appliance.policy.workflow import faults as workflow_faults
from appliance.settingsfile import template
from appliance.storage import migrations
from appliance.tools import reference as tools
from appliance.transport import reasons
from appliance.trust import reference as trust_reference

DOCS: Final = Path(__file__).resolve().parent
STAMP: Final = "Printed from the software by `make docs`; a test fails when this page is stale.\n"


def settings_page() -> str:
    """Sections and keys of appliance.toml."""
    return (
        f"# Settings\n\n{STAMP}\n"
        "`HOME/appliance.toml`, written at the first start with every default commented out. A section or key that is\n"
        "not below is refused with its line and the nearest known name; nothing is ignored in silence. A change\n"
        "counts from the next start. `appliance doctor` checks the file.\n\n"
        + template.reference(settings.Settings()).rstrip()
        + "\n"
    )


def cli_page() -> str:
    """Every command with its options."""
    parts = [f"# Command line\n\n{STAMP}"]
    # A context made by hand takes over none of the group's settings.
    settings_of_group = {**cli.group.context_settings, "terminal_width": 100, "max_content_width": 100}
    root = click.Context(cli.group, info_name="appliance", **settings_of_group)
    parts += _command(cli.group, root, 2)
    return "\n".join(parts)


def _command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} `{context.command_path}`\n"
    yield f"```\n{command.get_help(context).rstrip()}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                below = click.Context(inner, parent=context, info_name=name, terminal_width=100, max_content_width=100)
                yield from _command(inner, below, min(level + 1, 4))


def errors_page() -> str:
    """The tree of faults, and every exit code."""
    tree = textwrap.dedent((errors.__doc__ or "").split("\n\n", 1)[1]).strip()
    faults = [
        f"| {kind.exit_code} | `{name}` | {_first(kind)} |"
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.ApplianceError) and "exit_code" in vars(kind)
    ]
    of_requests = [f"| {code} | a request that is `{status}` | |" for status, code in outcomes.EXIT.items()]
    return (
        f"# Errors and exit codes\n\n{STAMP}\n"
        "A refusal is a value and a normal day; an error is something that a person should look at. Its message says\n"
        f"what is wrong, where, and what to do.\n\n```text\n{tree}\n```\n\n"
        "| exit code | of | meaning |\n|---:|---|---|\n" + "\n".join([*of_requests, *faults])
        + "\n| 130 | Ctrl-C | |\n"
    )  # fmt: skip


def schema_page() -> str:
    """The tables after all migrations."""
    with sqlite3.connect(":memory:", isolation_level=None) as db:
        migrations.apply(db, epoch="0" * 16)
        rows = db.execute(
            "select sql from sqlite_schema where sql is not null and name not like 'sqlite_%'"
            " order by tbl_name, type desc, name"
        ).fetchall()
    db.close()
    steps = [f"{n}. `{step.__name__}`: {_first(step)}" for n, step in enumerate(migrations.STEPS, start=1)]
    comments = _column_comments()
    parts = [
        f"# Database schema\n\n{STAMP}\n"
        "`HOME/appliance.db`, SQLite in WAL mode. The daemon is its only writer; read it with any tool, read-only.\n\n"
        "## Migrations\n\n" + "\n".join(steps) + "\n\n## Tables\n"
    ]
    parts += [f"```sql\n{_pretty_sql(sql, comments)};\n```\n" for (sql,) in rows]
    return "\n".join(parts)


def _column_comments() -> dict[tuple[str, str], str]:
    """What stands behind each column in the migrations' source, by table and column."""
    found: dict[tuple[str, str], str] = {}
    table = ""
    for line in inspect.getsource(migrations).splitlines():
        if made := re.search(r"create table (\w+)", line):
            table = made[1]
        if column := re.search(r'"\s*([^"]+?),?\s*"\s+# (.+)', line):
            found[table, column[1]] = column[2]
    return found


def _pretty_sql(sql: str, comments: dict[tuple[str, str], str]) -> str:
    head, paren, body = sql.partition("(")
    if not head.upper().startswith("CREATE TABLE") or not paren:
        return sql
    columns = re.split(r",(?![^()]*\))", body.rpartition(")")[0])
    tail = body.rpartition(")")[2]
    lines = []
    for n, column in enumerate(part.strip() for part in columns):
        comma = "," if n < len(columns) - 1 else ""
        why = comments.get((head.split()[2], column))
        lines.append(f"  {column}{comma}" + (f"  -- {why}" if why else ""))
    return f"{head.strip()} (\n" + "\n".join(lines) + f"\n){tail}"


def lifecycle_page() -> str:
    """The device's state machine."""
    states = [f"| `{name}` | {why} |" for name, why in _docstrings_of(lifecycle.State).items()]
    return (
        f"# Lifecycle\n\n{STAMP}\n"
        "What the device is doing. Every arrow is a row of a typed table; no other way from state to state exists.\n\n"
        f"```mermaid\n{lifecycle.mermaid()}\n```\n\n| state | |\n|---|---|\n" + "\n".join(states) + "\n"
    )


def policy_page() -> str:
    """The rules that judge every call."""
    rows = [f"| {n} | `{rule.__name__.replace('_', '-')}` | {_first(rule)} |" for n, rule in enumerate(rules.RULES, 1)]
    return (
        f"# Policy\n\n{STAMP}\n"
        "Every grounded call passes these rules, whoever proposed it: a person, a timer or a controller. All are\n"
        "asked, and all answers are recorded. The first denial wins, else the first wish for a confirmation; a\n"
        "workflow's laws join after them. What an owner may set is in [settings](settings.md), section `[policy]`.\n\n"
        "| | rule | |\n|---:|---|---|\n" + "\n".join(rows) + "\n"
    )


def workflow_page() -> str:
    """Every key of a file of laws, the operators of guards, and what the validator looks for."""
    about = "How to write one: [write a workflow](../how-to/write-a-workflow.md)."
    editors = "For editors: [workflow.schema.json](workflow.schema.json)."
    parts = [f"# Workflow files\n\n{STAMP}\n{about} {editors}\n"]
    for record in (language.Workflow, language.Measure, language.Event, language.State, language.Grant, language.Arrow,
                   language.Approval, language.Cap, language.Deadline, language.Interrupt, language.Part,
                   rulesbeside.Rule, rulesbeside.Quiet, rulesbeside.Limit, rulesbeside.Exclusive,
                   rulesbeside.Confirmation, script.Script, script.Deed, script.Restart):  # fmt: skip
        parts += [f"## `{record.__name__}`\n", f"{_first(record)}\n", *_keys(record), ""]
    written = (grammar.__doc__ or "").split("\n\n")[1]
    operators = ", ".join(f"`{operator}`" for operator in grammar.OPERATORS)
    parts += ["## Guards\n", f"Operators: {operators}; joined with `and`, `or`, `not`.\n", f"```text\n{written}\n```\n"]
    parts += ["## What the validator looks for\n", "| finding | |\n|---|---|"]
    parts += ["| `{}` | {} |".format(*check.described(one)) for one in check.CHECKS]
    return "\n".join(parts).rstrip() + "\n"


def _keys(record: type[BaseModel]) -> Iterator[str]:
    yield "| key | | |\n|---|---|---|"
    for name, field in record.model_fields.items():
        needed = "required" if field.is_required() else ""
        about = " ".join((field.description or "").split())
        yield f"| `{field.alias or name}` | {needed} | {about} |"


def workflow_schema() -> str:
    """The JSON Schema of a file of laws."""
    return _json(workflow_faults.schema())


def local_protocol_page() -> str:
    """Requests and replies over the Unix socket."""
    union = typing.get_args(typing.get_args(local.LocalRequest)[0])
    parts = [f"# Local protocol, version {local.VERSION}\n\n{STAMP}"]
    about = (local.__doc__ or "").strip().split("\n\n", 1)[1]
    parts.append(about.replace(" docs/reference/local-protocol.md is printed from these records.", "") + "\n")
    parts.append(
        "The socket is `HOME/run/appliance.sock`. A line is UTF-8 JSON of at most "
        f"{local.MAX_LINE_BYTES:,} bytes; unknown keys are refused. The client process is identified by the kernel.\n"
    )
    for title, records in (("Requests", union), ("Replies", (local.LocalReply, local.Outcome))):
        parts.append(f"## {title}\n")
        for record in records:
            parts += [f"### `{record.__name__}`\n", f"{_first(record)}\n", *template.table(record), ""]
    return "\n".join(parts).rstrip() + "\n"


def _first(thing: object) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")


def _docstrings_of(kind: type) -> dict[str, str]:
    """The members of an enum, with the text that stands under each."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for node in body.body:
        match node:
            case ast.Assign(value=ast.Constant(value=str(value))):
                found[value] = ""
            case ast.Expr(value=ast.Constant(value=str(text))) if found:
                found[list(found)[-1]] = " ".join(text.split())
    return found


def decisions_page() -> str:
    """The list of decisions."""
    lines = []
    for path in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        lines.append(f"- [{path.name[:4]}]({path.name}) {re.sub(r'^[0-9]+[.:] *', '', title)}")
    return (
        "# Decisions\n\nWhat was chosen, why, and what else was weighed. [How](0001-record-decisions.md).\n\n"
        + "\n".join(lines)
        + "\n"
    )


PAGES: Final[dict[str, Callable[[], str]]] = {
    "reference/settings.md": settings_page,
    "reference/cli.md": cli_page,
    "reference/errors.md": errors_page,
    "reference/schema.md": schema_page,
    "reference/lifecycle.md": lifecycle_page,
    "reference/policy.md": policy_page,
    "reference/workflow.md": workflow_page,
    "reference/workflow.schema.json": workflow_schema,
    "reference/local-protocol.md": local_protocol_page,
    "reference/tools.md": tools.page,
    "reference/ledger-record.md": lambda: record_reference.page(STAMP),
    "reference/link.md": lambda: reasons.page(STAMP),
    "reference/ledger-views.md": lambda: ledger_reference.views_page(STAMP),
    "reference/incident-archive.md": lambda: ledger_reference.archive_page(STAMP),
    "reference/fleet-schema.md": lambda: fleet_reference.page(STAMP),
    "reference/bundle.md": lambda: trust_reference.page(STAMP),
    "reference/wire.md": lambda: wire_reference.page(STAMP),
    "reference/asyncapi.json": lambda: _json(asyncapi.document()),
    "reference/wire.schema.json": lambda: _json(asyncapi.schemas()),
    "decisions/README.md": decisions_page,
}


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def freeze() -> Path:
    """Keep the wire's schemas as they are released; what comes after may only add to them."""
    found = asyncapi.schemas()
    path = DOCS / "reference" / "released" / f"wire-{found['version']}.schema.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(_json(found), encoding="utf-8")
    return path


def main(argv: list[str]) -> int:
    """Write every page, or with `--check` only say which are stale; with `--freeze`, what a release promises."""
    if "--freeze" in argv:
        print(freeze().relative_to(DOCS.parent))
        return 0
    stale = [name for name, page in PAGES.items() if _written(DOCS / name) != page()]
    for name in stale:
        if "--check" not in argv:
            (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"docs/{name}")
    return 1 if stale and "--check" in argv else 0


def _written(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
