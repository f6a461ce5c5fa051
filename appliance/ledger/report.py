"""An incident's records to a page that a person can read on paper and on a phone; nothing on it is evidence by itself.

Covers: words from anybody (they can only become text, see `markup`), records of other software versions, words that are
withheld, no network and no script.
Does not cover: whether the records are true; the page says how to find out with other people's tools.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from typing import Final

from appliance.contracts.decision import Configured
from appliance.contracts.record import JsonObject
from appliance.ledger import archive_format as form
from appliance.ledger import report_decision, story
from appliance.ledger.archive_format import Manifest, RecordLine
from appliance.ledger.markup import Node, el
from appliance.ledger.markup import page as whole_page
from appliance.ledger.report_words import at_once, count, facts, line_of, table, time_of
from appliance.ledger.story import Story, Told

MAX_CARDS_N: Final = 500
"""More are in the timeline and in the records, not explained one by one: a page has to open."""


def page(manifest: Manifest, lines: Sequence[RecordLine]) -> bytes:
    """Return `report.html`."""
    records = [story.read(line) for line in lines]
    told = [one for one in story.stories(records) if any(record.asked for record in one.records)]
    style = resources.files("appliance.ledger").joinpath("report.css").read_text(encoding="utf-8")
    return whole_page(
        f"Incident report: {manifest.device}",
        style,
        *_head(manifest, records),
        *_summary(told),
        el("h2", "Timeline"),
        _clocks(records),
        _timeline(records),
        *_cards(told),
        *_configuration(manifest, records),
        *_verifying(manifest),
    )


def readme(manifest: Manifest) -> str:
    """Return `README.txt`: what this file is, for somebody who was handed it."""
    text = resources.files("appliance.ledger").joinpath("archive_readme.txt").read_text(encoding="utf-8")
    return text.format(
        device=_plain(manifest.device),
        made_at=manifest.made_at,
        clock="had been set by a source that knows the time" if manifest.clock == "trusted" else "had NOT been set",
        size=manifest.size,
        records_n=manifest.records_n,
        origin=_plain(manifest.origin),
        key=_plain(manifest.key),
        words="are included" if manifest.words == "included" else "are left out",
        note=_plain(manifest.note) or "(none)",
        unproven=f"{_unproven(manifest)}\n\n" if manifest.unproven_n else "",
        commands=_commands(manifest),
    )


def _unproven(manifest: Manifest) -> str:
    """Say which records are not proven; each has its `leaf` in records.jsonl."""
    return (
        f"{manifest.unproven_n:,} of the {manifest.records_n:,} records here have no proof: what it takes was lost "
        "with a damaged file. The device vouches that it had them like this when it made this file, and for no more "
        "than that; in records.jsonl they are the ones with a leaf."
    )


def _head(manifest: Manifest, records: Sequence[Told]) -> list[Node]:
    asked = [record for record in records if record.asked]
    first, last = min(r.at for r in asked), max(r.at for r in asked)
    words = "included" if manifest.words == "included" else "left out; their salted hashes are in the records"
    erased_n = sum(len(w.names) for w in manifest.withheld if w.why == "erased")
    if erased_n:
        words += f"; {count(erased_n, 'value')} had been erased on the device before"
    return [
        el("h1", "Incident report"),
        el("p", f"Device {manifest.device}, {at_once(first)} to {at_once(last)}", class_="lead"),
        el("p", manifest.note, class_="box") if manifest.note else None,
        el(
            "div",
            el("p", el("strong", "What this page is. "), "It explains what the device recorded. The evidence is the "
               "records beside it: they are signed, and proven to be part of the device's log. The last section says "
               "how anyone can check that with common tools, without trusting this page, its maker or the device's "
               "owner."),
            class_="box",
        ),
        facts(
            ("Records", f"{len(asked)} asked for, {len(records) - len(asked)} more to understand them"),
            ("Log", el("code", manifest.origin)),
            ("Checkpoint", f"signed by the device over {manifest.size:,} records" if manifest.size else
                           "none: no checkpoint can be joined to what is left of this log"),
            ("Root", el("code", manifest.root or "none")),
            *([("Without proof", _unproven(manifest))] if manifest.unproven_n else []),
            ("Made", f"{at_once(manifest.made_at)} by the device's own clock, which "
                     + ("was trusted" if manifest.clock == "trusted" else "was not trusted") + " then"),
            ("Software", manifest.software),
            ("Model bundle", "; ".join(f"{sha256}{' (its manifest is in the archive)' if here else ''}"
                                       for sha256, here in manifest.bundles.items()) or "none: no words were read"),
            ("Laws", _laws_named(manifest)),
            ("Words and names", words),
        ),
    ]  # fmt: skip


def _laws_named(manifest: Manifest) -> str:
    if manifest.workflow is None:
        return "not known: the records name no configuration"
    return "; ".join(f"{law.name} version {law.version}" for law in manifest.workflow) or "none were in force"


def _summary(told: Sequence[Story]) -> list[Node]:
    if not told:
        return []
    rows = [
        (
            el("a", at_once(one.records[0].at).removesuffix(" UTC"), href=f"#{report_decision.anchor(one)}"),
            report_decision.asked_for(one),
            report_decision.outcome(one),
        )
        for one in told[:MAX_CARDS_N]
    ]
    return [el("h2", f"In short: {count(len(told), 'request')}"), table(("Asked (UTC)", "What", "Outcome"), rows)]


def _clocks(records: Sequence[Told]) -> Node:
    doubtful_n = sum(record.clock != "trusted" for record in records)
    if not doubtful_n:
        return el("p", "Times are UTC, by the device's own clock, which had been set by a source that knows the time.")
    which = "any of these records was" if doubtful_n == len(records) else "some of these records, marked below, were"
    return el(
        "p",
        f"Times are UTC, by the device's own clock. Nothing that knows the time had set it when {which} written: "
        "their order is certain, the time of day is the device's belief.",
        class_="box wait",
    )


def _timeline(records: Sequence[Told]) -> Node:
    items: list[Node] = []
    mixed = len({record.clock for record in records}) > 1
    day = ""
    for record in records:
        if record.at[:10] != day:
            day = record.at[:10]
            items.append(el("li", el("strong", day), class_="day"))
        kind = {"decided": "act", "step": "act"}.get(record.kind, "")
        if record.kind == "emergency" and record.facts.get("latched"):
            kind = "stop"
        doubt = None if record.clock == "trusted" or not mixed else el("span", " (clock not trusted)", class_="wait")
        number = el("span", f" #{record.seq}", class_="soft")
        items.append(el("li", el("time", time_of(record.at)), line_of(record), number, doubt, class_=kind))
    return el("ul", *items, class_="timeline")


def _cards(told: Sequence[Story]) -> list[Node]:
    if not told:
        return []
    rest = len(told) - MAX_CARDS_N
    return [
        el("h2", "Each request, explained"),
        *(report_decision.card(one) for one in told[:MAX_CARDS_N]),
        el("p", f"{rest:,} more requests are in the timeline and in {form.RECORDS}.") if rest > 0 else None,
    ]


def _configuration(manifest: Manifest, records: Sequence[Told]) -> list[Node]:
    found = next((r for r in records if r.seq == manifest.configured_by), None)
    title = el("h2", "What was in force")
    if found is None or not isinstance(found.typed, Configured):
        return [title, el("p", "The records name no configuration that this software can read.")]
    chosen = found.typed.configuration
    policy = json.dumps(chosen.policy, ensure_ascii=False, sort_keys=True)
    return [
        title,
        el("p", f"Record {found.seq} holds it whole; every decision cites it by its hash.", class_="soft"),
        facts(
            ("Acts without a question from", f"confidence {chosen.thresholds.act:g}; a higher `act_at` below counts"),
            ("Asks a person from", f"confidence {chosen.thresholds.confirm:g}; refuses below it"),
            ("Model bundle", f"{chosen.bundle} {chosen.bundle_version} on {chosen.runtime or 'no runtime'}"),
            ("Machine, time zone", f"{chosen.machine}; {chosen.zone or 'of the system'}"),
            ("Owner's policy", el("code", policy)),
            ("Hash", el("code", found.typed.digest)),
        ),
        el("h4", f"{count(len(chosen.tools), 'tool')} that it could use"),
        table(
            ("Tool", "What it does", "Risk"),
            [(tool.name, tool.description.split("\n")[0], tool.risk.value) for tool in chosen.tools],
        ),
        el("h4", f"{count(len(chosen.laws), 'law')} that every act had to pass") if chosen.laws else None,
        *(part for law in chosen.laws for part in _law(law)),
    ]


def _law(law: JsonObject) -> list[Node]:
    """Return a law of the configuration, as its owner wrote it."""
    text, digest = str(law.get("text", "")), str(law.get("digest", ""))
    is_whole = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() == digest
    return [
        el("p", el("strong", f"{law.get('name')}, version {law.get('version')}"), ", SHA-256 ", el("code", digest),
           None if is_whole else ": THE TEXT BELOW HAS ANOTHER HASH"),
        el("pre", text),
    ]  # fmt: skip


def _verifying(manifest: Manifest) -> list[Node]:
    return [
        el("h2", "How to check this yourself"),
        el("p", "Get the device's key from somebody you trust: its owner's records, the controller, a photo of the "
           "console. It must be exactly this one:"),
        el("pre", manifest.key),
        el("h4", "With the appliance's software, on any computer"),
        el("pre", f"appliance audit verify --export INCIDENT.zip --key '{manifest.key}'"),
        el("p", "It checks every signature, hash, proof and word, names what is wrong, and needs no network."),
        el("h4", "With common tools only (unzip, openssl, sha256sum, jq)"),
        el("pre", _commands(manifest)),
        el("p", "The notes are in the C2SP signed-note format, the checkpoint in C2SP tlog-checkpoint, the proofs are "
           "those of RFC 6962; any tool for transparency logs reads them."),
        el("h4", "What it proves, and what it does not"),
        el("ul",
           el("li", f"The records here are part of the log {manifest.origin}, unaltered, in this order: one changed "
              "letter breaks the proof."),
           el("li", "Words that are withheld can be shown later and will verify; other words will not."),
           el("li", "It does not prove that there are no other records: that takes the whole log."),
           el("li", "It does not prove that the device was right about the world: times are its own clock's, and "
              "a post-condition is what its own sensors said.")),
    ]  # fmt: skip


def _commands(manifest: Manifest) -> str:
    return (
        "unzip INCIDENT.zip -d incident && cd incident\n"
        "# 1. the device signed the manifest\n"
        "sed '/^$/Q' MANIFEST.note > signed.txt\n"
        "tail -n 1 MANIFEST.note | cut -d ' ' -f 3 | base64 -d | tail -c 64 > signature\n"
        "openssl pkeyutl -verify -pubin -inkey device-key.pem -rawin -in signed.txt -sigfile signature\n"
        "tail -n 1 signed.txt | sha256sum -c -\n"
        "# 2. every file is the one in the manifest\n"
        "jq -r '.files | to_entries[] | .value.sha256 + \"  \" + .key' MANIFEST.json | sha256sum -c -\n"
        "# 3. device-key.pem is the key that you got elsewhere (prints its last part)\n"
        "(printf '\\001'; openssl pkey -pubin -in device-key.pem -outform DER | tail -c 32) | base64\n"
        "# 4. the same device signed the log's checkpoint\n"
        "sed '/^$/Q' checkpoint.note > signed.txt\n"
        "tail -n 1 checkpoint.note | cut -d ' ' -f 3 | base64 -d | tail -c 64 > signature\n"
        "openssl pkeyutl -verify -pubin -inkey device-key.pem -rawin -in signed.txt -sigfile signature"
    )


def _plain(text: str) -> str:
    """Return *text* as one line without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
