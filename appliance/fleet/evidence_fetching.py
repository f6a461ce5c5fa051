"""An incident on a device to an archive here: made there, fetched in parts over the broker, checked.

Each part is a command of its own and an answer that the device signed. What has come lies in a draft beside the file
that is wanted, so that the same words go on where they were interrupted: by a lost connection, a device that went, a
program that was killed.

Covers: parts that are lost, late, twice or out of order; parts that are none of this archive; an archive that the
device has given up meanwhile (made again); a draft of another archive (left alone); a file that is there already
(refused).
Does not cover: what the archive proves; `appliance audit verify --export` does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from pydantic import ValidationError

from appliance import lasting
from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import FINAL, ExportAuditBody, Response, State
from appliance.contracts.evidence import ANSWER_PART_BYTES, ExportTold, PartTold
from appliance.contracts.topics import ROOT, Channel
from appliance.errors import LinkError, StorageError, UsageError, WireError
from appliance.fleet import ingest, outgoing
from appliance.fleet.hearing import Heard, heard
from appliance.fleet.home import FleetHome, iso
from appliance.fleet.sending import Sending
from appliance.transport.mqtt import Incoming

ASKED_N: Final = 4
"""Parts that are asked for at once: the device makes the next while one is on its way."""

AGAIN_N: Final = 3
"""Times an archive is asked for that the device has given up before all of it was here."""

_EXPIRES_S: Final = 300.0
_STATE_WAIT_S: Final = 2.0
"""How long the retained state may take after the connection; without it we go by what is stored."""

_KNOWN: Final = timedelta(days=7)
"""How long after its end a command for a part stays known: a collector may hear the answer as late as that."""

_NO_ARCHIVE: Final = "no_archive"


class Fetched(NamedTuple):
    """An archive that is here now."""

    path: Path
    told: ExportTold
    resumed_at: int
    """Bytes that were here before."""


class _Refused(Exception):
    """The device said no; never leaves this module."""

    def __init__(self, answer: Response) -> None:
        super().__init__(f"{answer.device} says {answer.status} {answer.code}: {answer.text}")
        self.code = answer.code


class Fetching:
    """Fetches archives from one device over a connection of its own."""

    def __init__(
        self,
        home: FleetHome,
        device: str,
        *,
        now: Callable[[], datetime],
        chance: Random,
        patience_s: float,
        on_progress: Callable[[int, int], None] = lambda _had, _bytes: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep what is given.

        Args:
            patience_s: how long the broker, or an answer, may take.
            on_progress: told how many bytes are here, of how many.

        Raises:
            UsageError: the device is not enrolled here.
        """
        self._keys = home.device_keys()
        if device not in self._keys:
            known = ", ".join(sorted(self._keys)) or "none"
            raise UsageError(f"no device {device!r} is enrolled here; there are: {known}")
        self._home = home
        self._device = device
        self._now = now
        self._patience_s = patience_s
        self._on_progress = on_progress
        self._monotonic = monotonic
        self._answers: dict[str, Response] = {}
        self._asked: set[str] = set()
        self._has_state = False
        self._loss = ""
        of = f"{ROOT}/{home.settings.site}/{device}"
        filters = (f"{of}/{Channel.RSP}/{home.key.key_id}", f"{of}/{Channel.STATE}")
        self._sending = Sending(
            home, now=now, chance=chance, on_link=self._said, filters=filters, on_message=self._delivered
        )

    def fetch(self, body: ExportAuditBody, out: Path) -> Fetched:
        """Let the device make the archive that *body* means, and write it to *out*.

        Raises:
            UsageError: *out* is there already, or the device makes no such archive; the message says why.
            LinkError: the broker or the device did not answer in time; the same again goes on from there.
            WireError: what came is not what the device said that it made.
            StorageError: the file cannot be written.
        """
        if out.exists():
            raise UsageError(f"{out} is there already; say another --out, or remove it")
        self._until(lambda: self._sending.connected, "the broker did not answer")
        self._tidy()
        # A device that does not know the time wants the number of its present start quoted.
        end_s = self._monotonic() + _STATE_WAIT_S
        while not self._has_state and self._monotonic() < end_s:
            self._sending.step(0.1)
        for _ in range(AGAIN_N):
            told = self._begun(body, out) or self._made(body)
            draft = _draft(out, told)
            try:
                resumed_at = self._fill(draft, told)
            except _Refused as refused:
                if refused.code != _NO_ARCHIVE:
                    raise UsageError(str(refused)) from refused
                draft.unlink(missing_ok=True)  # the device keeps the newest few
                continue
            _finish(draft, told, out)
            self._tidy()
            return Fetched(out, told, resumed_at)
        raise UsageError(f"{self._device} gave the archive up {AGAIN_N} times before all of it was here")

    def close(self) -> None:
        """End the connection."""
        self._sending.close()

    def _begun(self, body: ExportAuditBody, out: Path) -> ExportTold | None:
        """Return what the device said of an archive for the same *body* of which a draft lies beside *out*."""
        rows = self._home.db.rows(
            "select a.result from answers a join commands c on c.correlation = a.correlation"
            " where a.device = ? and a.code = 'exported' and c.kind = ? and c.body = ?"
            " order by c.issued_at desc limit 20",
            [self._device, body.kind, canonical(body.model_dump(mode="json")).decode()],
        )
        for row in rows:
            try:
                told = ExportTold.model_validate(json.loads(row["result"]))
            except (ValidationError, ValueError):
                continue
            if _draft(out, told).exists():
                return told
        return None

    def _made(self, body: ExportAuditBody) -> ExportTold:
        correlation = self._ask(body)
        try:
            answer = self._answer(correlation)
        except _Refused as refused:
            raise UsageError(str(refused)) from refused
        ingest.store_answer(self._home, answer, self._now())
        try:
            told = ExportTold.model_validate(answer.result)
        except ValidationError as error:
            raise WireError(f"{self._device}: an archive that cannot be understood: {_first(error)}") from error
        if told.parts != -(-told.bytes // ANSWER_PART_BYTES):
            raise WireError(f"{self._device}: {told.parts} parts are not what {told.bytes} bytes come in")
        return told

    def _fill(self, draft: Path, told: ExportTold) -> int:
        """Fetch the parts that are not in *draft*, in order, and return how many bytes were there before."""
        try:
            with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+b") as file:
                whole = min(file.seek(0, os.SEEK_END), told.bytes) // ANSWER_PART_BYTES
                file.truncate(whole * ANSWER_PART_BYTES)
                had = file.seek(0, os.SEEK_END)
                wanted: list[str] = []
                for part in range(whole, told.parts):
                    while len(wanted) < min(ASKED_N, told.parts - part):
                        wanted.append(self._ask(ExportAuditBody(fetch=told.sha256, part=part + len(wanted))))
                    correlation = wanted.pop(0)
                    file.write(_data(self._answer(correlation), told, part))
                    file.flush()
                    self._forget(correlation)
                    self._on_progress(file.tell(), told.bytes)
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(f"{draft}: {error.strerror}") from error
        return had

    def _ask(self, body: ExportAuditBody) -> str:
        with self._home.writing():
            correlation = outgoing.queue(
                self._home, self._device, body, now=self._now(), expires_s=_EXPIRES_S, because="fleet evidence"
            )
        self._asked.add(correlation)
        return correlation

    def _answer(self, correlation: str) -> Response:
        self._until(lambda: correlation in self._answers, f"{self._device} did not answer")
        answer = self._answers.pop(correlation)
        self._asked.discard(correlation)
        if answer.life != "executed":
            raise _Refused(answer)
        return answer

    def _forget(self, correlation: str) -> None:
        """Let the database not fill with parts of what is a file now; the device's ledger has that each was given.

        The command stays: to a collector that hears the answer after us, one to no command of ours would be a fault.
        """
        with self._home.writing():
            self._home.db.execute("delete from answers where correlation = ?", [correlation])

    def _tidy(self) -> None:
        """Remove parts that a collector heard after us, and commands for parts that nobody answers any more."""
        with self._home.writing():
            self._home.db.execute("delete from answers where device = ? and code = 'part'", [self._device])
            self._home.db.execute(
                "delete from commands where device = ? and kind = 'export-audit' and expires_at < ?"
                " and body not like ?",
                [self._device, iso(self._now() - _KNOWN), '%"fetch":""%'],
            )

    def _until(self, done: Callable[[], bool], otherwise: str) -> None:
        end_s = self._monotonic() + self._patience_s
        while not done():
            if self._monotonic() >= end_s:
                raise LinkError(f"{otherwise} in {self._patience_s:g} s{self._loss}; the same again goes on from here")
            self._sending.step(0.1)

    def _said(self, text: str) -> None:
        self._loss = f" ({text})"

    def _delivered(self, message: Incoming) -> None:
        found = heard(message, self._keys.get)
        if not isinstance(found, Heard) or found.device != self._device:
            return
        if isinstance(found.said, State):
            ingest.store_state(self._home, found.said, self._now())
            self._has_state = True
        elif isinstance(found.said, Response):
            answer = found.said
            if answer.correlation in self._asked and answer.life in FINAL:
                self._answers[answer.correlation] = answer


def _data(answer: Response, told: ExportTold, part: int) -> bytes:
    try:
        said = PartTold.model_validate(answer.result)
        data = base64.b64decode(said.data, validate=True)
    except ValueError as error:
        raise WireError(f"{answer.device}: part {part} cannot be understood") from error
    wanted_n = min(ANSWER_PART_BYTES, told.bytes - part * ANSWER_PART_BYTES)
    if (said.sha256, said.part, len(data)) != (told.sha256, part, wanted_n):
        raise WireError(f"{answer.device}: asked for part {part} of {told.sha256[:16]}, it sent something else")
    return data


def _draft(out: Path, told: ExportTold) -> Path:
    return out.with_name(f".{out.name}.{told.sha256[:32]}.part")


def _finish(draft: Path, told: ExportTold, out: Path) -> None:
    try:
        with draft.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != told.sha256:
            draft.unlink()
            raise WireError(f"the parts together are not what the device said ({found[:16]}); fetch it again")
        draft.replace(out)
        lasting.keep_names(out.parent)
    except OSError as error:
        raise StorageError(f"{out}: {error.strerror}") from error


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
