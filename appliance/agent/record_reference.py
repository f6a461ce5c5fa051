"""The reference of the ledger's records, printed from the types that write and read them, with bytes to check against.

docs/generate.py calls it.
"""

from __future__ import annotations

import inspect
import json
import re
import tempfile
import types
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from appliance.contracts import audit as contract
from appliance.contracts import decision, people, tree, workflow
from appliance.contracts import forms as record_forms
from appliance.contracts.audit import FORMAT, AuditRecord, Moment
from appliance.contracts.decision import Facts
from appliance.storage import audit, database

SALT: Final = "000102030405060708090a0b0c0d0e0f"
WORDS: Final = "call mum"

_RECORDS: Final[tuple[type[Facts], ...]] = (
    decision.Decided, decision.Parked, decision.Refused, decision.Step, decision.Settled, decision.Closed,
    decision.Answered, decision.InDoubt, decision.Resolved, workflow.Step, workflow.LawsRead, people.PersonFacts,
    decision.Configured,
)  # fmt: skip
_PARTS: Final[tuple[type[Facts], ...]] = (
    decision.Asker, decision.Context, decision.Guards, decision.Workflow, decision.AskedCall, decision.ProposalFacts,
    decision.CallFacts, decision.Rule, decision.RuleVerdict, decision.QuestionFacts, decision.RefusalFacts,
    decision.Approval, decision.Given, decision.Latency, decision.VersionFacts, decision.CallResult,
    decision.Configuration, workflow.Weighed, workflow.LawNamed,
)  # fmt: skip


def page(stamp: str) -> str:
    """Return the page."""
    parts = [f"# Ledger record, format {FORMAT}\n\n{stamp}", _BYTES, _vector(), "## Kinds\n", *_kinds()]
    parts.append(f"## Facts of a decision\n\n{_DECISION}")
    parts += [*_table(decision.Decision), ""]
    parts.append("## Facts by kind\n\nThose of a decision come on top where it says so.\n")
    for form in _RECORDS:
        parts += [f"### `{_name(form)}`\n", _about(form), *_table(form, without=_inherited(form)), ""]
    parts.append("## Parts\n")
    for form in _PARTS:
        parts += [f"### `{_name(form)}`\n", f"{_first(form)}\n", *_table(form), ""]
    return "\n".join(parts).rstrip() + "\n"


_BYTES: Final = """\
Every line of the ledger is one record: a row of the table `audit` ([schema](schema.md)). Its column `body` is the
record in canonical JSON (RFC 8785, JSON Canonicalization Scheme), UTF-8, without a line end: exactly the bytes that are
hashed. [What a record says](../explanation/what-a-record-says.md) explains it with an example.

| key of the body | what it is |
|---|---|
| `format` | the version of this form; a change of any field's meaning raises it |
| `seq` | 1 for the first record of an epoch, then one more each time, without a gap |
| `kind` | see below |
| `request_id` | the request that it belongs to, or null |
| `at` | wall clock, ISO 8601 |
| `monotonic_s` | seconds since the machine started, which no clock change moves |
| `boot` | how often the appliance had started on this home |
| `clock` | `trusted` when a time service vouched for the wall clock, else `untrusted` |
| `facts` | what anyone may read; by kind, below |
| `personal` | for each value that is somebody's own words its name and a commitment, never the words |

- **Leaf**: SHA-256 over a zero byte and the body's bytes. **Node**: SHA-256 over a one byte, the left and the right
  hash. **Root**: over the first *n* leaves as in RFC 6962, section 2.1. The column `leaf` keeps the first of these.
- **Commitment**: SHA-256 over the canonical JSON of `{"salt": S, "value": V}`, hexadecimal; `S` is 16 random bytes in
  hexadecimal. The column `personal` keeps `{name: {"salt", "value"}}` and may be erased; body and leaf stay.
- A fact that has its default is left out.
- Names with dots are OpenTelemetry's: `semantic-conventions-genai` v0.1.0, whose status is *development*. A request is
  the operation `invoke_agent`; each of its calls is what the conventions call `execute_tool`.
"""

_DECISION: Final = """\
`decided`, `parked`, and `settled` for a refusal hold a whole decision: what was asked, how it was understood, and each
rule with the values that it judged on. What follows a decision refers to it by number and says only what is new.
Personal values that may come with it: `text` (the words), `calls` (a list with an object for each call: arguments that
are somebody's own words), `asked` and `question` (the same for those), `because`, `reason`.
"""


def _vector() -> str:
    """Return two records with their hashes, written by the ledger itself."""
    when = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
    records = (
        AuditRecord(
            kind="note",
            moment=Moment(at=when, monotonic_s=12.5, boot=1, clock="trusted"),
            facts={"event": "first"},
        ),
        AuditRecord(
            kind="resolved",
            moment=Moment(at=when, monotonic_s=13.0, boot=1, clock="untrusted"),
            request_id="r1",
            facts=decision.Resolved(happened=True, peer="uid:1000 pid:4711").to_json(),
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        db = database.open_database(Path(folder) / "vector.db").db
        for record in records:
            audit.append(db, record)
        rows = list(audit.rows(db.connection))
        _, root = audit.head(db.connection)
        db.close()
    written = {"records": [{"body": row.body, "leaf": row.leaf.hex()} for row in rows], "root": root}
    return (
        "## Check your own implementation\n\nTwo records, their leaves, and the root over both:\n\n"
        f"```json vector\n{json.dumps(written, indent=1)}\n```\n\n"
        f"The commitment to the value `{json.dumps(WORDS)}` with the salt `{SALT}` is\n"
        f"`{audit.commitment(SALT, WORDS)}`; the root of an empty ledger is\n`{tree.EMPTY_ROOT.hex()}`.\n"
    )


def _kinds() -> Iterator[str]:
    yield "| kind | when | facts |"
    yield "|---|---|---|"
    source = inspect.getsource(contract).partition("RecordKind = Literal[")[2].partition("\n]")[0]
    about = dict(re.findall(r'"(\w+)",(?:  # (.*))?', source))
    forms = {kind: f"`{_name(form)}`" for kind, form in record_forms.FORMS.items()}
    forms |= {
        "settled": "`Settled` after an act, `Refused` or `Closed` without one",
        "note": "`Answered` if it has `of`",
    }
    for kind in typing.get_args(contract.RecordKind):
        yield f"| `{kind}` | {about.get(kind, '')} | {forms.get(kind, '')} |"
    yield ""


def _table(form: type[Facts], without: frozenset[str] = frozenset()) -> Iterator[str]:
    fields = {name: field for name, field in form.model_fields.items() if name not in without}
    if fields:
        yield "| fact | type | default | what it is |"
        yield "|---|---|---|---|"
    for name, field in fields.items():
        default = (
            "**always there**" if field.is_required() else f"`{_shown(field.get_default(call_default_factory=True))}`"
        )
        about = " ".join((field.description or "").split()).replace("|", "\\|")
        yield f"| `{field.alias or name}` | {_type(field.annotation)} | {default} | {about} |"


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(a) for a in arguments if a is not type(None))
    if origin is typing.Literal:
        return ", ".join(f"`{a}`" for a in arguments)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is tuple:
        inner = [a for a in arguments if a is not Ellipsis]
        return f"list of {_type(inner[0])}" if len(inner) == 1 else f"pair of {' and '.join(map(_type, inner))}"
    if origin is dict:
        return f"object of {_type(arguments[1])}" if arguments[1:] != (Any,) else "object"
    return _plain_type(annotation)


def _plain_type(annotation: Any) -> str:
    names: dict[Any, str] = {str: "text", int: "integer", float: "number", bool: "true, false", datetime: "time"}
    if annotation in names:
        return names[annotation]
    if not isinstance(annotation, type):
        return "JSON"
    if issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    if issubclass(annotation, tuple):
        return "pair of integers"
    name = annotation.__name__
    return f"[`{name}`](#{name.lower()})" if issubclass(annotation, Facts) else f"`{name}`"


def _shown(default: Any) -> str:
    if isinstance(default, BaseModel):
        return "{}"
    return json.dumps(default)


def _name(form: type[Facts]) -> str:
    """Return the form's heading; two of them are steps, one of a request and one of a workflow's run."""
    return "RunStep" if form is workflow.Step else form.__name__


def _about(form: type[Facts]) -> str:
    on_top = " With the facts of a decision." if issubclass(form, decision.Decision) else ""
    return f"{_first(form)}{on_top}\n"


def _inherited(form: type[Facts]) -> frozenset[str]:
    if issubclass(form, decision.Decision):
        return frozenset(decision.Decision.model_fields)
    return frozenset()


def _first(form: type[Facts]) -> str:
    return (inspect.getdoc(form) or "").split("\n\n")[0].replace("\n", " ")
