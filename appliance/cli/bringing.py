"""A signed document to a device: through its daemon, or into its database when none runs."""

from __future__ import annotations

from pathlib import Path

from appliance import __version__
from appliance.cli.documents import read_file
from appliance.cli.signing import Signature
from appliance.contracts.bundle import Accepted, NotAdmitted
from appliance.contracts.home import Home
from appliance.contracts.local import LocalReply, TrustDocument
from appliance.errors import ApplianceError, DaemonUnavailable, StorageError
from appliance.storage.ownership import own, owner
from appliance.transport.local import LocalClient


def bring(
    home: Home, path: Path, by: Signature, *, fingerprint: str = "", replace: bool = False
) -> Accepted | NotAdmitted:
    """Have the device in *home* take the document at *path*, or say why it does not.

    Raises:
        TrustError: the file cannot be read.
        ApplianceError: the daemon or the database could not do it.
    """
    data = read_file(path)
    asked = TrustDocument(path=str(path.absolute()), fingerprint=fingerprint, replace=replace, **by.fields())
    try:
        return _answer(LocalClient(home.root).request(asked))
    except DaemonUnavailable:
        if owner(home) is not None:
            raise  # it runs and does not answer: two that write at once would be one too many
    return _brought_here(home, data, fingerprint, replace=replace)


def _answer(reply: LocalReply) -> Accepted | NotAdmitted:
    if not reply.ok:
        raise ApplianceError(reply.message)
    accepted = reply.result.get("accepted")
    if accepted is not None:
        return Accepted.model_validate(accepted, strict=False)
    return NotAdmitted.model_validate(reply.result["refused"], strict=False)


def _brought_here(home: Home, data: bytes, fingerprint: str, *, replace: bool) -> Accepted | NotAdmitted:
    """Do it without a daemon, under its lock, and record it like the daemon does."""
    import os

    from appliance import settings
    from appliance.agent import least_roles
    from appliance.agent.admission import Admission
    from appliance.agent.clock import SystemClock
    from appliance.contracts.audit import AuditRecord
    from appliance.contracts.pinned import SHIPPED
    from appliance.contracts.record import JsonObject
    from appliance.storage import audit, database, meta, people

    if not home.database.exists():
        raise StorageError(f"no database at {home.database}; start the appliance once, it keeps whom it trusts there")
    with own(home):
        db = database.open_database(home.database).db
        try:
            unnamed = settings.load(home.root).people.unnamed
            if least_roles.against("trust_document", unnamed, has_admin="admin" in people.roles(db).values()):
                raise ApplianceError(
                    "it takes somebody with a PIN to say whom this device trusts, and while the appliance is stopped"
                    " nobody looks at PINs: start it (`appliance run`) and say who you are (`--as NAME`); nothing was"
                    " changed"
                )
            clock = SystemClock(int(meta.get(db, "boot") or 0))
            admission = Admission(db, clock, software=__version__, shipped=SHIPPED)
            facts: JsonObject = {"peer": f"uid:{os.getuid()} pid:{os.getpid()}"}
            # Both or neither: a device never trusts somebody of whom its ledger knows nothing.
            with db.atomic():
                found = admission.accept(data, fingerprint=fingerprint, replace=replace)
                if isinstance(found, NotAdmitted):
                    facts |= {"event": "document refused", "code": found.code}
                else:
                    facts |= {"event": f"{found.kind} accepted", "number": found.number, "signers": [*found.signers]}
                audit.append(db, AuditRecord(kind="bundle", moment=clock.moment(), facts=facts))
            return found
        finally:
            db.close()
