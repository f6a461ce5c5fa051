"""Deliveries made by somebody who means harm: nothing leaves the folder of the copy, nothing goes on for ever."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import zipfile

import pytest

from appliance.contracts.bundle import Admitted
from appliance.trust import opening, tarform
from appliance.trust.untrusted import Untrusted


@pytest.fixture
def delivery(site):
    return site.delivery()


@pytest.fixture
def tar(delivery, ceremony, tmp_path):
    """A delivery's tar, whole."""
    return ceremony.packed(delivery, tmp_path / "delivery.tar")


def refused(source, tmp_path):
    """Open something that must be refused; returns why. Nothing appears outside the copy."""
    before = sorted(path for path in tmp_path.rglob("*"))
    into = tmp_path / "copies" / "copy"
    into.parent.mkdir()
    with pytest.raises(Untrusted) as caught:
        opening.open_delivery(source, into)
    outside = sorted(path for path in tmp_path.rglob("*") if (into.parent not in {path, *path.parents}))
    assert outside == before
    assert all(path.is_dir() or (path.is_file() and not path.is_symlink()) for path in into.rglob("*"))
    assert caught.value.code in {"archive", "unreadable"}
    return caught.value.reason


def test_a_tar_and_a_folder_are_copied_alike(delivery, tar, tmp_path, ceremony):
    opening.open_delivery(delivery, tmp_path / "by-folder")
    opening.open_delivery(tar, tmp_path / "by-tar")

    for part in ("bundle", "signatures"):
        assert ceremony.digests(tmp_path / "by-folder" / part) == ceremony.digests(tmp_path / "by-tar" / part)
        assert ceremony.digests(tmp_path / "by-tar" / part) == ceremony.digests(delivery / part)


def test_packing_gives_the_same_bytes_whenever_and_wherever(delivery, tar, ceremony, tmp_path):
    for path in delivery.rglob("*"):
        os.utime(path, (1, 1))

    again = ceremony.packed(delivery, tmp_path / "again.tar")

    assert again.read_bytes() == tar.read_bytes()


def test_python_and_gnu_tar_read_it(tar, delivery, tmp_path):
    with tarfile.open(tar) as file:
        names = file.getnames()
    listed = subprocess.run(["tar", "-tf", tar], capture_output=True, text=True, check=True).stdout.split()

    assert names == listed == sorted(str(p.relative_to(delivery)) for p in delivery.rglob("*") if p.is_file())


def test_gnu_tar_writes_the_same_bytes(tar, delivery, tmp_path):
    names = sorted(str(p.relative_to(delivery)) for p in delivery.rglob("*") if p.is_file())
    how = ["--format=ustar", "--owner=0", "--group=0", "--numeric-owner", "--mode=0644", "--mtime=@0"]

    subprocess.run(["tar", *how, "-cf", tmp_path / "gnu.tar", *names], cwd=delivery, check=True)

    assert (tmp_path / "gnu.tar").read_bytes() == tar.read_bytes()


# Tars made by a library that writes whatever it is told


def member(name, content=b"x", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def written(tmp_path, *members, form=tarfile.USTAR_FORMAT, pax_headers=None):
    path = tmp_path / "hostile.tar"
    with tarfile.open(path, "w", format=form, pax_headers=pax_headers) as file:
        for info, content in members:
            file.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.txt",
        "bundle/../../escaped.txt",
        "/etc/escaped.txt",
        "bundle//vocab.txt",
        "bundle/./vocab.txt",
        "./bundle/vocab.txt",
        "bundle/sub/vocab.txt",
        "bundle",
        "bundle/",
        "bundle\\vocab.txt",
        "bundle/..",
        "bundle/.hidden",
        "bundle/Vocab.txt",
        "bundle/vocab.txt ",
        "bundle/vocab.txt\n",
        "bundle/vo\x00cab.txt",
        "bundle/voc\u0430b.txt",  # a Cyrillic a
        "bundle/voca\u0301b.txt",  # two ways to write one letter
        "bundle/\u202etxt.bacov",  # reads backwards
        "bundle/con.txt:stream",
        "signatures/../bundle/vocab.txt",
        "signatures/key.sig.exe",
        "other/vocab.txt",
        "x" * 99,
        "bundle/" + "x" * 90,
        "",
    ],
)
def test_a_name_that_is_none_of_ours_is_refused(tmp_path, name):
    refused(written(tmp_path, member(name)), tmp_path)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a character device"),
        (tarfile.BLKTYPE, "a block device"),
        (tarfile.FIFOTYPE, "a FIFO"),
        (tarfile.DIRTYPE, "a folder"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
        (tarfile.CONTTYPE, "header"),
        (b"V", "header"),
        (b"\0", "header"),
    ],
)
def test_only_plain_files_are_taken(tmp_path, kind, told):
    info, content = member("bundle/model.tflite", b"", type=kind, linkname="/etc/passwd")

    assert told in refused(written(tmp_path, (info, content)), tmp_path)


def test_a_link_that_later_files_would_follow_is_never_made(tmp_path):
    link = member("bundle", b"", type=tarfile.SYMTYPE, linkname=str(tmp_path))

    refused(written(tmp_path, link, member("bundle/escaped.txt")), tmp_path)


def test_pax_headers_that_rename_or_resize_are_refused(tmp_path):
    for n, headers in enumerate(({"path": "../escaped.txt"}, {"size": "99999999999"}, {"GNU.sparse.name": "x"})):
        info, content = member("bundle/vocab.txt", pax_headers=headers)
        folder = tmp_path / str(n)
        folder.mkdir()
        assert "a pax header" in refused(written(folder, (info, content), form=tarfile.PAX_FORMAT), folder)


def test_global_pax_headers_are_refused(tmp_path):
    path = written(tmp_path, member("bundle/vocab.txt"), form=tarfile.PAX_FORMAT, pax_headers={"comment": "x"})

    assert "a pax header" in refused(path, tmp_path)


def test_gnu_long_names_are_refused(tmp_path):
    path = written(tmp_path, member("bundle/" + "x" * 200), form=tarfile.GNU_FORMAT)

    assert "a GNU long name" in refused(path, tmp_path)


@pytest.mark.parametrize(
    "fields", [{"mode": 0o4755}, {"uid": 1000}, {"uname": "root"}, {"mtime": 1}, {"linkname": "x"}, {"devmajor": 7}]
)
def test_a_header_with_anything_else_in_it_is_refused(tmp_path, fields):
    info, content = member("bundle/vocab.txt", **fields)
    block = bytearray(tarform.header(info.name, 1))
    given = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    if "devmajor" in fields:
        given = block
        given[329:337] = b"0000007\0"
        given[148:156] = b" " * 8
        given[148:156] = b"%06o\0 " % sum(given)
    path = tmp_path / "hostile.tar"
    path.write_bytes(bytes(given) + content + bytes(511) + bytes(1024))

    assert "header of bundle/vocab.txt" in refused(path, tmp_path)


SIZES = {
    "negative": b"-0000000001\0",
    "minus nothing": b"-0000000000\0",
    "base 256": b"\x80" + bytes(10) + b"\x01",
    "negative in base 256": b"\xff" * 12,
    "enormous in base 256": b"\x80" + b"\xff" * 11,
    "decimal": b"00000000009\0",
    "blanks": b"         1 \0",
    "none": bytes(12),
    "no end": b"000000000001",
}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_size_that_readers_take_for_different_numbers_is_refused(tmp_path, size):
    block = bytearray(tarform.header("bundle/vocab.txt", 1))
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path = tmp_path / "hostile.tar"
    path.write_bytes(bytes(block) + b"x" + bytes(511) + bytes(1024))

    assert "header of bundle/vocab.txt" in refused(path, tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["bundle/vocab.txt", "bundle/vocab.txt"],
        ["signatures/a.sig", "bundle/vocab.txt"],
        ["bundle/b.txt", "bundle/c.txt", "bundle/b.txt"],
    ],
)
def test_a_name_twice_or_out_of_order_is_refused(tmp_path, names):
    content = b"".join(tarform.header(name, 1) + b"x" + tarform.padding(1) for name in names)
    path = tmp_path / "hostile.tar"
    path.write_bytes(content + tarform.ending(len(content)))

    assert "a name twice, or not in order" in refused(path, tmp_path)


def test_names_that_differ_in_case_alone_are_refused(tmp_path):
    content = b"".join(
        tarform.header(n, 1) + b"x" + tarform.padding(1) for n in ["bundle/Vocab.txt", "bundle/vocab.txt"]
    )
    path = tmp_path / "hostile.tar"
    path.write_bytes(content + tarform.ending(len(content)))

    refused(path, tmp_path)


# Bombs, and what goes on for ever


def test_a_file_that_says_it_is_enormous_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "hostile.tar"
    with path.open("wb") as file:
        file.write(tarform.header("bundle/model.tflite", 8**11 - 1))
        file.truncate(2**20)

    assert "8,589,934,591 bytes" in refused(path, tmp_path)


def test_a_sparse_tar_of_terabytes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "hostile.tar"
    with path.open("wb") as file:
        file.truncate(2**42)

    assert "no delivery is so large" in refused(path, tmp_path)


def test_many_files_are_refused(tmp_path):
    names = [f"bundle/f{n:03}.txt" for n in range(200)]
    content = b"".join(tarform.header(name, 0) for name in names)
    path = tmp_path / "hostile.tar"
    path.write_bytes(content + tarform.ending(len(content)))

    assert "more than 64 files" in refused(path, tmp_path)


def test_more_than_fits_together_is_refused(tmp_path):
    path = tmp_path / "hostile.tar"
    with path.open("wb") as file:
        for n in range(6):
            file.write(tarform.header(f"bundle/f{n}.txt", opening.MAX_FILE_BYTES))
            file.seek(opening.MAX_FILE_BYTES, os.SEEK_CUR)
        file.write(tarform.header("bundle/f7.txt", 1) + b"x" + tarform.padding(1))

    assert "more than 96 MiB together" in refused(path, tmp_path)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_deliveries_are_refused_unread(tmp_path, tar, compress):
    tar.write_bytes(compress(bytes(10**6)))

    assert "compressed" in refused(tar, tmp_path)


def test_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "delivery.zip", "w") as file:
        file.writestr("bundle/vocab.txt", "x")

    assert "zip" in refused(tmp_path / "delivery.zip", tmp_path)


@pytest.mark.parametrize("source", ["/dev/zero", "/dev/null"])
def test_a_device_is_no_delivery(tmp_path, source):
    refused(source, tmp_path)


def test_a_pipe_is_no_delivery_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    refused(tmp_path / "pipe", tmp_path)


# Cut short, and with more behind


def test_a_tar_cut_off_anywhere_is_refused(tmp_path, tar):
    whole = tar.read_bytes()
    ends = [*range(0, len(whole) - 10_000, 97), *(len(whole) - n for n in (1, 511, 512, 513))]
    for n, end in enumerate(ends):
        tar.write_bytes(whole[:end])
        with pytest.raises(Untrusted):
            opening.open_delivery(tar, tmp_path / "copies" / str(n))


@pytest.mark.parametrize("more", [b"\0", b"x", bytes(512), b"\0" * 10_240, b"PK\x03\x04"])
def test_bytes_behind_the_end_are_refused(tmp_path, tar, more):
    tar.write_bytes(tar.read_bytes() + more)

    refused(tar, tmp_path)


def test_two_tars_one_after_the_other_are_refused(tmp_path, tar):
    tar.write_bytes(tar.read_bytes() * 2)

    refused(tar, tmp_path)


def test_bytes_hidden_between_files_are_refused(tmp_path, tar):
    content = bytearray(tar.read_bytes())
    first_bytes_n = int(content[124:135], 8)
    content[512 + first_bytes_n] = 1

    tar.write_bytes(content)

    assert "hidden" in refused(tar, tmp_path)


def test_every_flipped_byte_of_every_header_is_noticed(tmp_path, tar):
    whole = tar.read_bytes()
    with tarfile.open(tar) as file:
        starts = [info.offset for info in file.getmembers()]
    for n, start in enumerate(starts[:2]):
        for at in range(start, start + 512, 3):
            content = bytearray(whole)
            content[at] ^= 1
            tar.write_bytes(content)
            with pytest.raises(Untrusted):
                opening.open_delivery(tar, tmp_path / "copies" / f"{n}-{at}")


# Folders, as on a stick


def test_a_link_in_a_folder_is_refused(tmp_path, delivery):
    (delivery / "bundle" / "vocab.txt").unlink()
    (delivery / "bundle" / "vocab.txt").symlink_to("/etc/passwd")

    assert "no plain file" in refused(delivery, tmp_path)


@pytest.mark.parametrize("name", ["bundle", "signatures"])
def test_a_folder_that_is_a_link_is_refused(tmp_path, delivery, name):
    shutil.move(delivery / name, tmp_path / "elsewhere")
    (delivery / name).symlink_to(tmp_path / "elsewhere")

    assert "no plain folder" in refused(delivery, tmp_path)


def test_a_pipe_a_socket_and_a_folder_in_a_folder_are_refused(tmp_path, delivery, monkeypatch):
    vocabulary = delivery / "bundle" / "vocab.txt"
    for n, make in enumerate((os.mkfifo, os.mkdir, _listen)):
        shutil.rmtree(vocabulary) if vocabulary.is_dir() else vocabulary.unlink()
        monkeypatch.chdir(vocabulary.parent)  # a socket's whole path may be too long
        make("vocab.txt")
        with pytest.raises(Untrusted) as caught:
            opening.open_delivery(delivery, tmp_path / "copies" / str(n))
        assert caught.value.code == "archive"


def _listen(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.close()


def test_a_sparse_file_of_terabytes_in_a_folder_is_refused(tmp_path, delivery):
    os.truncate(delivery / "bundle" / "model.tflite", 2**42)

    assert "at most" in refused(delivery, tmp_path)


@pytest.mark.parametrize(
    "name", ["._vocab.txt", "bundle/.DS_Store", "autorun.inf", "signatures/key.pem", "URGENT.JSON"]
)
def test_what_does_not_belong_there_is_named(tmp_path, delivery, name):
    (delivery / name).write_bytes(b"x")

    assert name in refused(delivery, tmp_path)


def test_a_folder_without_end_is_refused(tmp_path, delivery):
    for n in range(100):
        (delivery / "bundle" / f"f{n}.txt").write_bytes(b"")

    assert "more than 64 files" in refused(delivery, tmp_path)


def test_what_is_exchanged_after_the_copy_changes_nothing(device, site):
    delivery = site.delivery()
    admitted, slot = device.admit(delivery)
    (delivery / "bundle" / "model.tflite").write_bytes(b"something else")
    device.runs(8)

    assert device.admission.may_activate(slot).sha256 == admitted.sha256


def test_a_stick_that_changes_while_it_is_read_brings_what_was_signed_or_nothing(device, site):
    delivery = site.delivery()
    network = delivery / "bundle" / "model.tflite"
    signed = network.read_bytes()
    other = signed[:-1] + bytes([signed[-1] ^ 1])
    ended = threading.Event()

    def changes():
        while not ended.is_set():
            for content in (other, signed):
                network.with_name("next").write_bytes(content)
                network.with_name("next").replace(network)

    changer = threading.Thread(target=changes)
    changer.start()
    try:
        answers = [device.admit(delivery) for _ in range(40)]
    finally:
        ended.set()
        changer.join()

    for answer, copy in answers:
        if isinstance(answer, Admitted):
            assert (copy / "bundle" / "model.tflite").read_bytes() == signed
        else:
            assert answer.code in {"files", "archive", "unreadable"}


def test_a_delivery_is_not_copied_over_anything(tmp_path, delivery):
    into = tmp_path / "copy"
    into.mkdir()
    (into / "something").write_bytes(b"x")

    with pytest.raises(Untrusted, match="is not empty"):
        opening.open_delivery(delivery, into)


def test_a_delivery_that_is_not_there_is_named(tmp_path):
    assert "nowhere.tar: No such file" in refused(tmp_path / "nowhere.tar", tmp_path)
