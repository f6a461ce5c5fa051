"""The attacks of The Update Framework, each against a device with a real database; the table is in docs/reference."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta

import pytest

from appliance.contracts.bundle import Accepted, Admitted
from appliance.trust import dsse, model_signing

DAY = timedelta(days=1)


def test_what_two_different_keys_signed_is_admitted_and_waits(device, site):
    answer, slot = device.admit(site.delivery())

    assert isinstance(answer, Admitted)
    assert answer.signers == tuple(sorted((site.ann.id, site.bob.id)))
    assert answer.waits_s == 7 * 86_400
    assert device.admission.may_activate(slot).code == "cooldown"


def test_a_stick_and_a_tar_get_the_same_answer(device, site, ceremony, tmp_path):
    delivery = site.delivery()
    by_tar, _ = device.admit(ceremony.packed(delivery, tmp_path / "delivery.tar"))
    by_stick, _ = device.admit(delivery)

    assert by_tar == by_stick
    assert isinstance(by_tar, Admitted)


# Arbitrary installs


def test_a_bundle_that_nobody_signed_is_refused(device, site):
    answer, _ = device.admit(site.delivery(signed_by=()))

    assert answer.code == "threshold"
    assert "signed by 0 release keys" in answer.reason


def test_a_bundle_by_strangers_is_refused(device, site):
    answer, _ = device.admit(site.delivery(signed_by=(site.stranger, site.dot)))

    assert answer.code == "threshold"


def test_a_device_without_a_root_takes_nothing(fresh, site):
    answer, _ = fresh.admit(site.delivery())

    assert answer.code == "no-root"
    assert "appliance trust install" in answer.reason


# Wrong threshold


def test_one_key_is_not_enough(device, site):
    answer, _ = device.admit(site.delivery(signed_by=(site.ann,)))

    assert answer.code == "threshold"


def test_the_same_key_twice_is_one(device, site):
    delivery = site.delivery(signed_by=(site.ann,))
    site.sign(delivery, site.ann, name="again")
    site.sign(delivery, site.ann, name="and-again")

    answer, _ = device.admit(delivery)

    assert answer.code == "threshold"
    assert "signed by 1 release keys" in answer.reason


def test_a_signature_copied_under_other_names_is_one(device, site):
    delivery = site.delivery(signed_by=(site.ann,))
    one = next((delivery / "signatures").iterdir())
    shutil.copy(one, one.with_name("bob.sig"))
    # The hint beside a signature is not signed: another name does not make another key of it.
    other = json.loads(one.read_bytes())
    other["verificationMaterial"]["publicKey"]["hint"] = site.bob.id
    one.with_name("cem.sig").write_text(json.dumps(other))

    answer, _ = device.admit(delivery)

    assert answer.code == "threshold"


def test_a_root_role_does_not_release(device, site):
    answer, _ = device.admit(site.delivery(signed_by=(site.dot, site.eva)))

    assert answer.code == "threshold"


# Rollback


def activate(device, site, **changes):
    """Carry a bundle through its cooldown until it has passed its trial."""
    _, slot = device.admit(site.delivery(f"to-activate-{changes}", **changes))
    device.waited(8)
    admitted = device.admission.may_activate(slot)
    assert isinstance(admitted, Admitted)
    device.admission.activated(admitted)
    return admitted


def test_an_older_release_is_refused_once_a_newer_one_has_passed(device, site):
    activate(device, site, release=5)

    answer, _ = device.admit(site.delivery(release=4))

    assert answer.code == "rollback"


def test_an_older_release_that_lay_there_before_is_refused_when_it_is_to_be_activated(device, site):
    _, older = device.admit(site.delivery("older", release=4))
    activate(device, site, release=5)

    assert device.admission.may_activate(older).code == "rollback"


def test_the_floor_outlives_a_power_cut(device, site):
    activate(device, site, release=5)

    answer, _ = device.cut().admit(site.delivery(release=4))

    assert answer.code == "rollback"


def test_the_same_number_with_other_content_is_refused(device, site):
    activate(device, site, release=5)

    answer, _ = device.admit(site.delivery(release=5, version="9.9.9"))

    assert answer.code == "equivocation"


def test_older_than_what_came_with_the_software_is_refused(device, site):
    from appliance.agent.admission import Admission
    from appliance.contracts.pinned import Pinned

    shipped = Pinned("pointer-small", 3, "1" * 64)
    device.admission = Admission(device.db, device.clock, software="0.1.0", shipped=shipped)

    assert device.admit(site.delivery("a", release=2))[0].code == "rollback"
    assert device.admit(site.delivery("b", release=3))[0].code == "equivocation"
    assert isinstance(device.admit(site.delivery("c", release=4))[0], Admitted)


# Fast-forward


def test_a_number_far_ahead_is_refused(device, site):
    activate(device, site, release=5)

    answer, _ = device.admit(site.delivery(release=2**31 - 1))

    assert answer.code == "fast-forward"


def test_a_root_undoes_a_fast_forward(device, site):
    activate(device, site, release=900)  # as somebody with stolen keys would

    accepted = device.admission.accept(site.root(2, floors={"pointer-small": 6}))

    assert isinstance(accepted, Accepted)
    assert device.admit(site.delivery("low", release=5))[0].code == "rollback"
    assert isinstance(device.admit(site.delivery("next", release=6))[0], Admitted)


def test_a_revocation_list_far_ahead_is_refused(device, site):
    device.admission.accept(site.revocations(1))

    assert device.admission.accept(site.revocations(2**31 - 1)).code == "fast-forward"


def test_a_first_revocation_list_far_ahead_is_refused_and_the_next_one_is_taken(device, site):
    far = device.admission.accept(site.revocations(2**31 - 1, bundles=("a" * 64,)))

    assert far.code == "fast-forward"
    assert device.admission.revocations() is None
    assert isinstance(device.admission.accept(site.revocations(1)), Accepted)


def test_a_document_is_taken_only_as_what_was_signed_for(device, site):
    root, listed = site.root(2), site.revocations(1)

    assert device.admission.accept(root, kind="revocations").code == "document"
    assert device.admission.accept(listed, kind="root").code == "document"
    assert device.admission.root().version == 1
    assert device.admission.revocations() is None
    assert device.admission.accept(listed, kind="revocations").kind == "revocations"
    assert device.admission.accept(root, kind="root").kind == "root"


def test_a_revocation_list_that_is_brought_again_changes_nothing(device, site):
    listed = site.revocations(1, bundles=("a" * 64,))
    rows = "select * from trust_documents where kind = 'revocations'"
    first = device.admission.accept(listed)
    before = [tuple(row) for row in device.db.rows(rows)]
    device.clock.at += DAY

    assert device.admission.accept(listed) == first
    assert [tuple(row) for row in device.db.rows(rows)] == before


# Freeze


def test_an_expired_bundle_is_refused(device, site, ceremony):
    answer, _ = device.admit(site.delivery(expires_at=(ceremony.NOW - DAY).isoformat()))

    assert answer.code == "expired"


def test_a_bundle_that_expires_while_it_waits_is_not_activated(device, site, ceremony):
    _, slot = device.admit(site.delivery(expires_at=(ceremony.NOW + 5 * DAY).isoformat()))
    device.waited(8)

    assert device.admission.may_activate(slot).code == "expired"


def test_a_clock_that_was_set_back_makes_no_bundle_younger(device, site, ceremony):
    device.admission.accept(site.revocations(1, issued_at=ceremony.NOW))
    device.clock.at = ceremony.NOW - 1000 * DAY

    answer, _ = device.admit(site.delivery(expires_at=(ceremony.NOW - DAY).isoformat()))

    assert answer.code == "expired"


def test_under_an_expired_root_nothing_is_installed_and_a_new_root_still_is_taken(device, site, ceremony):
    device.clock.at = ceremony.NOW + 366 * DAY
    far = (ceremony.NOW + 3000 * DAY).isoformat()

    answer, _ = device.admit(site.delivery("first", expires_at=far))
    rotated = device.admission.accept(site.root(2, expires_at=ceremony.NOW + 900 * DAY))

    assert answer.code == "root-expired"
    assert rotated.number == 2
    assert isinstance(device.admit(site.delivery("second", expires_at=far))[0], Admitted)


def test_a_device_that_is_kept_from_newer_revocation_lists_takes_no_newer_bundle(device, site):
    delivery = site.delivery(minimum_revocations=3)

    assert device.admit(delivery)[0].code == "revocations-behind"
    device.admission.accept(site.revocations(3))
    assert isinstance(device.admit(delivery)[0], Admitted)


def test_an_expired_revocation_list_lets_nothing_new_in(device, site, ceremony):
    device.admission.accept(site.revocations(1, expires_at=ceremony.NOW + DAY))
    device.clock.at += 2 * DAY

    assert device.admit(site.delivery())[0].code == "expired"


# Mix and match


def test_files_of_two_releases_together_are_refused(device, site):
    one, other = site.delivery("one"), site.delivery("other", release=3, files={"vocab.txt": b"[PAD]\nother\n"})
    shutil.copy(other / "bundle" / "vocab.txt", one / "bundle" / "vocab.txt")

    assert device.admit(one)[0].code == "files"


def test_the_manifest_of_one_and_the_signatures_of_another_are_refused(device, site):
    one, other = site.delivery("one"), site.delivery("other", release=3)
    shutil.rmtree(one / "signatures")
    shutil.copytree(other / "signatures", one / "signatures")

    answer, _ = device.admit(one)

    assert answer.code == "signature"
    assert "another 'manifest.json'" in answer.reason


def test_one_signature_for_each_of_two_bundles_is_not_two(device, site):
    one = site.delivery("one", signed_by=(site.ann,))
    other = site.delivery("other", signed_by=(site.bob,), release=3)
    shutil.copy(next((other / "signatures").iterdir()), one / "signatures")

    assert device.admit(one)[0].code == "signature"


def test_an_urgent_statement_for_another_bundle_is_refused(device, site):
    everybody = (site.ann, site.bob, site.cem)
    one, other = site.delivery("one"), site.delivery("other", release=3, urgent=everybody)
    shutil.copy(other / "urgent.json", one / "urgent.json")

    assert device.admit(one)[0].code == "signature"


def test_a_signature_that_leaves_a_file_out_is_refused(device, site, ceremony):
    delivery = site.delivery(signed_by=(site.ann,))
    digests = ceremony.digests(delivery / "bundle")
    del digests["model.tflite"]
    signature = model_signing.sign(site.bob.key, "bundle", digests)
    (delivery / "signatures" / "bob.sig").write_bytes(signature)

    answer, _ = device.admit(delivery)

    assert answer.code == "signature"
    assert "not over 'model.tflite'" in answer.reason


# Roots


def test_a_root_by_others_is_refused(device, site, ceremony, tmp_path):
    (tmp_path / "others").mkdir()
    others = ceremony.Site(tmp_path / "others")

    assert device.admission.accept(others.root(2)).code == "threshold"
    assert device.admission.accept(site.root(2, site="elsewhere")).code == "chain"


def test_a_root_signed_by_one_key_of_the_present_root_is_refused(device, site):
    assert device.admission.accept(site.root(2, signed_by=(site.dot,))).code == "threshold"


def test_a_root_that_its_own_new_keys_did_not_sign_is_refused(device, site, ceremony):
    from appliance.contracts.trustroot import Role

    role = Role(keys=(site.cem.id, site.stranger.id), threshold=2)
    people = (site.ann, site.bob, site.cem, site.dot, site.eva, site.stranger)
    by_old = site.root(2, root=role, people=people, signed_by=(site.dot, site.eva))
    by_both = site.root(2, root=role, people=people, signed_by=(site.dot, site.eva, site.cem, site.stranger))

    assert device.admission.accept(by_old).code == "threshold"
    assert device.admission.accept(by_both).number == 2


def test_an_older_root_is_a_rollback_and_a_skipped_one_no_successor(device, site):
    device.admission.accept(site.root(2))

    assert device.admission.accept(site.root(1)).code == "rollback"
    assert device.admission.accept(site.root(2, cooldown_days=1)).code == "rollback"
    assert device.admission.accept(site.root(4)).code == "chain"


def test_a_root_that_comes_twice_is_taken_once(device, site):
    root = site.root(2, floors={"pointer-small": 3})
    device.admission.accept(root)
    activate(device, site, release=5)

    assert device.admission.accept(root).number == 2
    assert device.admit(site.delivery("older", release=4))[0].code == "rollback"


def test_a_release_key_that_a_new_root_leaves_out_counts_no_more(device, site):
    from appliance.contracts.trustroot import Role

    fewer = (site.bob, site.cem, site.dot, site.eva)
    role = Role(keys=(site.bob.id, site.cem.id), threshold=2)
    device.admission.accept(site.root(2, people=fewer, release=role, urgent_threshold=None))

    assert device.admit(site.delivery())[0].code == "threshold"


def test_the_first_root_needs_the_fingerprint_that_its_owner_was_told(fresh, site):
    assert fresh.admission.accept(site.root()).code == "chain"
    assert fresh.admission.accept(site.root(), fingerprint="0" * 64).code == "chain"
    assert fresh.admission.accept(site.root(), fingerprint="").code == "chain"


def test_a_fingerprint_does_not_get_around_the_present_root(device, site, ceremony, tmp_path):
    from appliance.trust import documents

    (tmp_path / "others").mkdir()
    root = ceremony.Site(tmp_path / "others").root()
    fingerprint = documents.fingerprint(documents.envelope(root))

    assert device.admission.accept(root, fingerprint=fingerprint).code == "rollback"
    assert device.admission.accept(root, fingerprint=fingerprint, replace=True).number == 1


# Revocation


def test_a_revoked_bundle_is_refused_and_what_runs_must_go(device, site):
    admitted, slot = device.admit(site.delivery())
    device.admission.accept(site.revocations(1, bundles=(admitted.sha256,)))

    assert device.admission.may_activate(slot).code == "revoked"
    assert "unlocks doors" in device.admission.still_good(slot)
    assert device.admission.why_revoked(admitted.sha256) == "unlocks doors"


def test_a_revoked_key_counts_no_more_also_for_what_it_signed_before(device, site):
    _, slot = device.admit(site.delivery())
    assert device.admission.still_good(slot) is None

    device.admission.accept(site.revocations(1, keys=(site.ann.id,)))

    assert device.admission.may_activate(slot).code == "threshold"
    assert site.ann.id[:16] in device.admission.still_good(slot)


def test_a_revocation_outlives_a_power_cut_without_any_network(device, site):
    admitted, slot = device.admit(site.delivery())
    device.admission.accept(site.revocations(1, bundles=(admitted.sha256,)))

    assert device.cut().admission.may_activate(slot).code == "revoked"


def test_a_list_that_takes_back_a_revocation_is_refused(device, site):
    device.admission.accept(site.revocations(1, keys=(site.ann.id,)))

    assert device.admission.accept(site.revocations(2)).code == "rollback"
    assert device.admission.accept(site.revocations(1)).code == "rollback"


def test_a_list_by_somebody_who_may_not_revoke_is_refused(device, site):
    assert device.admission.accept(site.revocations(1, signed_by=(site.ann, site.bob, site.cem))).code == "threshold"
    assert device.admission.accept(site.revocations(1, site="elsewhere")).code == "chain"


def test_a_root_can_have_a_stolen_list_forgotten(device, site):
    everybody = (site.ann.id, site.bob.id, site.cem.id)
    device.admission.accept(site.revocations(900, keys=everybody))
    assert device.admit(site.delivery("before"))[0].code == "threshold"

    device.admission.accept(site.root(2, forget_revocations=True))

    assert isinstance(device.admit(site.delivery("after"))[0], Admitted)


def test_one_kind_of_document_is_never_taken_for_another(device, site):
    root = dsse.parse(site.root(2))
    as_list = dsse.parse(site.revocations(1))._replace(payload=root.payload)
    moved = root._replace(payload_type="application/vnd.edge-agent-appliance.revocations.v1+json")

    for envelope in (as_list, moved):
        assert device.admission.accept(dsse.written(envelope)).code == "document"


# Older software


def test_a_bundle_for_newer_software_is_refused(device, site):
    assert device.admit(site.delivery(minimum_software="0.2.0"))[0].code == "software"


@pytest.mark.parametrize("junk", [b"", b"{}", b"\xff", b"[" * 100_000, b'{"payloadType": 1}', b"null"])
def test_nonsense_is_no_document(device, junk):
    assert device.admission.accept(junk).code == "document"
