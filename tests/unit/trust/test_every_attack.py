"""Each attack of the table in docs/reference/bundle.md is carried out here, to each code that it is refused by."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest

from appliance.trust import bundles, reference

CARRIED_OUT = {}


def attack(name, code):
    """Say which attack a function carries out, and what it has to be refused as."""

    def add(function):
        assert (name, code) not in CARRIED_OUT
        CARRIED_OUT[name, code] = function
        return function

    return add


@pytest.mark.parametrize(
    ("name", "code"), [(one.name, code) for one in reference.ATTACKS for code in one.codes], ids="/".join
)
def test_every_attack_is_refused_as_the_table_says(fresh, site, name, code):
    if (name, code) != ("arbitrary installation", "no-root"):
        trusting(fresh, site)

    answer = CARRIED_OUT[name, code](fresh, site)

    assert answer.code == code, answer


def test_nothing_is_carried_out_that_the_table_does_not_tell():
    assert set(CARRIED_OUT) == {(one.name, code) for one in reference.ATTACKS for code in one.codes}


def trusting(device, site):
    from appliance.trust import documents

    root = site.root()
    assert device.admission.accept(root, fingerprint=documents.fingerprint(documents.envelope(root))).kind == "root"


def had(device, site, release):
    """Let the device have had this release."""
    _, slot = device.admit(site.delivery(f"had-{release}", release=release))
    device.waited(8)
    device.admission.activated(device.admission.may_activate(slot))


@attack("arbitrary installation", "threshold")
def by_strangers(device, site):
    return device.admit(site.delivery(signed_by=(site.stranger, site.dot)))[0]


@attack("arbitrary installation", "no-root")
def on_a_device_that_trusts_nobody(device, site):
    return device.admit(site.delivery())[0]


@attack("endless data", "archive")
def a_file_without_end(device, site):
    delivery = site.delivery()
    with (delivery / "bundle" / "model.tflite").open("r+b") as file:
        file.truncate(2**40)
    return device.admit(delivery)[0]


@attack("extraneous files", "files")
def a_file_that_nobody_named(device, site):
    delivery = site.delivery()
    (delivery / "bundle" / "more.txt").write_text("hello\n")
    return device.admit(delivery)[0]


@attack("fast-forward", "fast-forward")
def a_number_far_ahead(device, site):
    had(device, site, 2)
    return device.admit(site.delivery(release=2**31 - 1))[0]


@attack("indefinite freeze", "expired")
def a_bundle_of_long_ago(device, site):
    delivery = site.delivery(expires_at=(device.clock.at + timedelta(days=1)).isoformat())
    device.clock.at += timedelta(days=2)
    return device.admit(delivery)[0]


@attack("indefinite freeze", "root-expired")
def under_a_root_of_long_ago(device, site):
    device.clock.at += timedelta(days=366)
    return device.admit(site.delivery(expires_at="2099-01-01T00:00:00+00:00"))[0]


@attack("indefinite freeze", "revocations-behind")
def a_device_that_was_kept_from_a_list(device, site):
    return device.admit(site.delivery(minimum_revocations=1))[0]


@attack("key compromise", "threshold")
def with_one_stolen_key(device, site):
    device.admission.accept(site.revocations(1, keys=(site.ann.id,)))
    return device.admit(site.delivery())[0]


@attack("key compromise", "revoked")
def what_stolen_keys_signed(device, site):
    delivery = site.delivery()
    device.admission.accept(site.revocations(1, bundles=(bundles.check(delivery / "bundle").sha256,)))
    return device.admit(delivery)[0]


@attack("key compromise", "cooldown")
def before_anybody_could_notice(device, site):
    _, slot = device.admit(site.delivery())
    device.runs(6.9)
    return device.admission.may_activate(slot)


@attack("mix and match", "signature")
def the_signatures_of_another(device, site):
    delivery, other = site.delivery(), site.delivery("other", version="9.9.9")
    shutil.rmtree(delivery / "signatures")
    shutil.copytree(other / "signatures", delivery / "signatures")
    return device.admit(delivery)[0]


@attack("mix and match", "files")
def a_file_of_another(device, site):
    delivery, other = site.delivery(), site.delivery("other", files={"card.md": b"# Another\n"})
    shutil.copy(other / "bundle" / "card.md", delivery / "bundle" / "card.md")
    return device.admit(delivery)[0]


@attack("rollback", "rollback")
def an_older_release(device, site):
    had(device, site, 5)
    return device.admit(site.delivery(release=4))[0]


@attack("rollback", "equivocation")
def the_same_number_again(device, site):
    had(device, site, 5)
    return device.admit(site.delivery(release=5, version="9.9.9"))[0]


@attack("vulnerability to one key", "threshold")
def one_key_under_two_names(device, site):
    delivery = site.delivery(signed_by=(site.ann,))
    site.sign(delivery, site.ann, name="bob")
    return device.admit(delivery)[0]


@attack("wrong software", "chain")
def the_root_of_another_site(device, site):
    return device.admission.accept(site.root(2, site="elsewhere"))


@attack("wrong software", "document")
def a_document_of_another_kind(device, site):
    return device.admission.accept(site.urgent(site.delivery() / "bundle", (site.ann, site.bob, site.cem)))


@attack("wrong software", "software")
def for_newer_software(device, site):
    return device.admit(site.delivery(minimum_software="0.2.0"))[0]
