"""Bytes come out the same however they are packed, and nothing packed wrongly gets through."""

from __future__ import annotations

import contextlib
import gzip
import os
import threading
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medtl.errors import ScanError
from medtl.scans import source
from medtl.scans.source import archive_of, members, open_scan, size_of, size_on_disk, start_of

CONTENT = os.urandom(3000) + bytes(600_000) + os.urandom(300_000)
PACKINGS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def zipped(path: Path, packing: int = zipfile.ZIP_DEFLATED, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def check(path: Path, content: bytes) -> None:
    with open_scan(path) as file:
        assert file.read() == content
        assert file.seek(-5, 2) == len(content) - 5
        assert file.read() == content[-5:]
        file.seek(7)
        assert file.read(9) == content[7:16]
    assert start_of(path) == content[:1024]
    assert start_of(path, 3) == content[:3]


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_zip_archive_is_read_like_a_folder(tmp_path, packing):
    archive = zipped(
        tmp_path / "a.zip", packing, **{"in/IM1": CONTENT, "b": b"small one", "in/packed": gzip.compress(CONTENT)}
    )
    assert list(members(archive)) == [archive / "b", archive / "in/IM1", archive / "in/packed"]
    check(archive / "in/IM1", CONTENT)
    check(archive / "in/packed", CONTENT)
    check(archive / "b", b"small one")
    assert archive_of(archive / "in/IM1") == archive
    assert archive_of(archive) is None
    assert archive_of(tmp_path / "no" / "where") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


def test_plain_and_packed_files_read_alike_whatever_their_name(tmp_path):
    for name in ("x.nii.gz", "x", "x.dcm"):
        (tmp_path / name).write_bytes(gzip.compress(CONTENT))
        check(tmp_path / name, CONTENT)
    (tmp_path / "plain.gz").write_bytes(CONTENT)
    check(tmp_path / "plain.gz", CONTENT)


def test_gzip_of_several_parts_is_one_file_and_what_follows_is_no_matter(tmp_path):
    half = len(CONTENT) // 2
    packed = gzip.compress(CONTENT[:half]) + gzip.compress(CONTENT[half:])
    for end in (b"", bytes(512), b"\x1f"):
        (tmp_path / "x").write_bytes(packed + end)
        check(tmp_path / "x", CONTENT)


def test_hidden_members_and_folders_are_left_out_and_no_name_leads_out(tmp_path):
    archive = zipped(
        tmp_path / "a.zip",
        **{
            "IM2": b"2", "IM1": b"1", "d/": b"", ".DS_Store": b"x", "__MACOSX/._IM1": b"x", "d/.git/x": b"x",
            "../../up": b"up", "/root": b"root", "./d//e": b"e",
        },
    )  # fmt: skip
    found = list(members(archive))
    assert found == [archive / name for name in ("IM1", "IM2", "d/e", "root", "up")]
    assert [open_scan(path).read() for path in found] == [b"1", b"2", b"e", b"root", b"up"]


@pytest.mark.parametrize(
    "path", ["none", "a.zip/none", "a.zip/IM1/x", "a.zip/d", "file/x", "none/x", "a.zip/b.zip/x", "x\x00y"]
)
def test_what_is_not_there_is_said(tmp_path, path):
    zipped(tmp_path / "a.zip", **{"IM1": b"x", "d/e": b"x"})
    zipped(tmp_path / "b.zip", x=b"x")
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.write(tmp_path / "b.zip", "b.zip")
    (tmp_path / "file").write_bytes(b"x")
    for reads in (open_scan, start_of):
        with pytest.raises(ScanError, match="not there"):
            reads(tmp_path / path)


def test_a_folder_is_named_as_one(tmp_path):
    for reads in (open_scan, start_of):
        with pytest.raises(ScanError, match="a folder"):
            reads(tmp_path)


def test_a_password_is_said(tmp_path):
    archive = zipped(tmp_path / "a.zip", IM1=b"secret")
    content = bytearray(archive.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    for reads in (
        lambda: list(members(archive)),
        lambda: open_scan(archive / "IM1"),
        lambda: start_of(archive / "IM1"),
    ):
        with pytest.raises(ScanError, match="password"):
            reads()


def test_a_damaged_archive_is_said(tmp_path):
    archive = zipped(tmp_path / "a.zip", zipfile.ZIP_STORED, IM1=CONTENT)
    whole = archive.read_bytes()
    flipped = bytearray(whole)
    flipped[400_000] ^= 1
    archive.write_bytes(flipped)
    with pytest.raises(ScanError, match="damaged"):
        open_scan(archive / "IM1")
    archive.write_bytes(whole[:-40])
    for reads in (lambda: list(members(archive)), lambda: open_scan(archive / "IM1")):
        with pytest.raises(ScanError, match="damaged"):
            reads()


@pytest.mark.parametrize("end", [3, 12, 5000, -1])
def test_gzip_cut_off_is_said(tmp_path, end):
    path = tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(CONTENT)[:end])
    with pytest.raises(ScanError, match="cut off or damaged"):
        open_scan(path)


def test_what_unpacks_to_far_more_than_it_may_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "LARGE", 1 << 20)
    monkeypatch.setattr(source, "RATIO", 100)
    archive = zipped(tmp_path / "a.zip", bomb=bytes(8 << 20))
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(8 << 20)))
    for path in (archive / "bomb", tmp_path / "bomb.gz"):
        with pytest.raises(ScanError, match="hundred times"):
            open_scan(path)
    assert start_of(tmp_path / "bomb.gz") == bytes(1024)


def test_a_member_that_is_more_or_less_than_it_claims_is_refused(tmp_path):
    for claim in (100, 200_000):
        archive = zipped(tmp_path / f"{claim}.zip", IM1=bytes(100_000))
        content = bytearray(archive.read_bytes())
        at = content.index(b"PK\x01\x02") + 24
        content[at : at + 4] = claim.to_bytes(4, "little")
        archive.write_bytes(content)
        with pytest.raises(ScanError, match="damaged"):
            open_scan(archive / "IM1")


def test_the_start_of_a_large_packed_file_is_cheap(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(64 << 20), 1))
    archive = zipped(tmp_path / "a.zip", x=bytes(64 << 20))
    tracemalloc.start()
    assert start_of(tmp_path / "x.gz") == start_of(archive / "x") == bytes(1024)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_an_archive_of_many_members_is_listed_once_and_again_when_it_changes(tmp_path, monkeypatch):
    archive = zipped(tmp_path / "a.zip", **{f"{i:04}": b"%d" % i for i in range(500)})
    opened = []
    whole = zipfile.ZipFile
    monkeypatch.setattr(zipfile, "ZipFile", lambda *given: opened.append(1) or whole(*given))
    assert [open_scan(path).read() for path in members(archive)] == [b"%d" % i for i in range(500)]
    assert len(opened) == 1
    monkeypatch.undo()
    zipped(archive, zipfile.ZIP_STORED, other=b"x")
    assert list(members(archive)) == [archive / "other"]


def test_threads_read_one_archive_at_once(tmp_path):
    content = {f"{i}": os.urandom(20_000) for i in range(40)}
    archive = zipped(tmp_path / "a.zip", **content)
    started = threading.Barrier(8)

    def read_all(number: int) -> bool:
        started.wait()
        return all(open_scan(archive / name).read() == content[name] for name in sorted(content, key=hash))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read_all, range(8)))


@settings(deadline=2000, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(packing=st.sampled_from(PACKINGS), at=st.integers(0, 399), byte=st.integers(0, 255), end=st.integers(1, 400))
def test_a_damaged_archive_gives_its_bytes_or_an_error(tmp_path, packing, at, byte, end):
    archive = zipped(tmp_path / "a.zip", packing, IM1=b"some content " * 20, IM2=gzip.compress(b"other"))
    content = bytearray(archive.read_bytes())
    content[at % len(content)] = byte
    archive.write_bytes(content[: max(end, len(content) - end)])
    source._read_directory.cache_clear()
    try:
        for path in members(archive):
            assert len(start_of(path)) <= 1024
            with open_scan(path) as file:
                assert len(file.read()) < 10_000
    except ScanError:
        pass


@settings(deadline=2000, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_anything_after_the_magic_gives_its_bytes_or_an_error(tmp_path, content):
    for magic in (b"\x1f\x8b\x08", b"PK\x03\x04"):
        (tmp_path / "x").write_bytes(magic + content)
        source._read_directory.cache_clear()
        for reads in (lambda: open_scan(tmp_path / "x").read(), lambda: list(members(tmp_path / "x"))):
            with contextlib.suppress(ScanError):
                reads()


# --- traps, and what is kept ---------------------------------------------------------------------------------------


def peak_of(path: Path) -> int:
    """Bytes that opening a trap takes before it is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(ScanError, match="hundred times"):
            open_scan(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_is_packed_twice_may_unpack_to_no_more_than_what_is_packed_once(tmp_path, monkeypatch):
    """Equal packed parts, which pack again: 400 bytes of archive a gigabyte."""
    monkeypatch.setattr(source, "LARGE", 8 << 20)
    bomb = gzip.compress(bytes(10_000_000)) * 30
    archive = zipped(tmp_path / "a.zip", bomb=bomb)
    assert archive.stat().st_size < 2000
    assert peak_of(archive / "bomb") < 12 << 20
    assert start_of(archive / "bomb") == bytes(1024)


def test_a_large_packed_file_is_no_leave_to_unpack_a_thousand_times_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "LARGE", 1 << 20)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(64 << 20)))
    assert peak_of(tmp_path / "bomb.gz") < 10 << 20
    honest = os.urandom(20_000) * 90  # 1.8 MB of 20 kB, over LARGE
    (tmp_path / "honest.gz").write_bytes(gzip.compress(honest))
    check(tmp_path / "honest.gz", honest)


def test_the_size_is_known_without_unpacking(tmp_path, monkeypatch):
    archive = zipped(tmp_path / "a.zip", **{"in/x": bytes(50_000)})
    (tmp_path / "plain").write_bytes(b"plain")
    monkeypatch.setattr(source, "_unpack", None)
    assert (size_of(archive / "in/x"), size_of(tmp_path / "plain"), size_of(archive)) == (
        50_000,
        5,
        archive.stat().st_size,
    )
    assert size_on_disk(archive / "in/x") < 200 and size_on_disk(tmp_path / "plain") == 5
    for lost in (tmp_path / "none", archive / "none", "x\x00y"):
        with pytest.raises(ScanError, match="not there"):
            size_of(lost)


@pytest.fixture
def unpacked(monkeypatch) -> list[int]:
    """Lengthens by one whenever a file is unpacked whole."""
    times: list[int] = []
    source._kept.clear()
    whole, checked = source._whole, source._checked
    monkeypatch.setattr(source, "_whole", lambda *given: times.append(1) or whole(*given))
    monkeypatch.setattr(source, "_checked", lambda *given: times.append(1) or checked(*given))
    return times


def test_what_was_unpacked_last_is_kept_until_it_changes(tmp_path, unpacked):
    content = os.urandom(1000) * 2000
    (tmp_path / "x.gz").write_bytes(gzip.compress(content))
    archive = zipped(tmp_path / "a.zip", **{"x": content, "x.gz": gzip.compress(content)})
    for path, times in ((tmp_path / "x.gz", 1), (archive / "x", 2)):
        for _ in range(3):
            check(path, content)
        assert len(unpacked) == times
    with open_scan(tmp_path / "x.gz") as file:  # whoever writes into it writes into a copy
        file.write(b"other")
    check(tmp_path / "x.gz", content)
    other = os.urandom(1000) * 2000
    (tmp_path / "x.gz").write_bytes(gzip.compress(other))
    check(tmp_path / "x.gz", other)
    assert len(unpacked) == 3


def test_little_is_kept(tmp_path, unpacked, monkeypatch):
    monkeypatch.setattr(source, "KEPT", 5_000_000)
    for number in range(4):
        (tmp_path / f"{number}.gz").write_bytes(gzip.compress(bytes([number]) * 2_000_000))
    (tmp_path / "small.gz").write_bytes(gzip.compress(bytes(1000)))
    (tmp_path / "large.gz").write_bytes(gzip.compress(bytes(5_000_001)))
    for name in ("small.gz", "large.gz", "small.gz", "large.gz"):
        open_scan(tmp_path / name)
    assert len(unpacked) == 4 and not source._kept._held
    for number in (0, 1, 2, 3, 3, 2, 3, 0):
        open_scan(tmp_path / f"{number}.gz")
        assert sum(map(len, source._kept._held.values())) <= 5_000_000
    assert len(unpacked) == 9


def test_threads_that_want_one_file_unpack_it_once(tmp_path, unpacked):
    contents = [os.urandom(1000) * 1500 for _ in range(2)]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}").write_bytes(gzip.compress(content))
    started = threading.Barrier(8)

    def read(number: int) -> bool:
        started.wait()
        return all(open_scan(tmp_path / f"{number % 2}").read() == contents[number % 2] for _ in range(5))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))
    assert len(unpacked) == 2
