"""Where a file's bytes lie: in a plain file, packed by gzip, or in a zip archive that is read as if it were a folder.

A path may go on into a zip archive: ``/data/a.zip/inner/IM1``. Nothing is unpacked onto the disk. Whether a file is
packed is told by its content, never by its name. What was unpacked last is kept for a while, so that the volumes of a
time series, read one after another, unpack their file once.
"""

from __future__ import annotations

import bz2
import io
import lzma
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from medtl.errors import ScanError

GZIP = b"\x1f\x8b"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # with members, and without
LARGE, RATIO = 1 << 29, 100  # unpacked bytes, and those a byte on disk: over both it is no scan but a trap
CHUNK = 1 << 18
KEPT, WORTH = 1 << 29, 1 << 20  # bytes of what is kept unpacked: all of it at most, one file at least

NOT_THERE = "the file is not there: index the folder again"
PASSWORD = "the zip archive is locked with a password: unpack it first"
GZIP_DAMAGED = "the compressed file (.gz) is cut off or damaged: copy or export it again"
ZIP_DAMAGED = "the zip archive is cut off or damaged: copy it again"
TRAP = "it unpacks to over a hundred times its size, and half a gigabyte: it is damaged or no scan"


class _Kept:
    """The bytes that were unpacked last: two files, `KEPT` bytes together, of which another is dropped for a new one.

    Threads that want the same file wait for the first; those that want others do not.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, bytes] = OrderedDict()
        self._holding = threading.Lock()
        self._turns = [threading.Lock() for _ in range(64)]

    def once(self, key: Hashable, unpack: Callable[[], bytes]) -> bytes:
        """What `unpack` gave for this key, or gives now."""
        with self._turns[hash(key) % len(self._turns)]:
            with self._holding:
                if key in self._held:
                    self._held.move_to_end(key)
                    return self._held[key]
            content = unpack()
            with self._holding:
                if WORTH <= len(content) <= KEPT:
                    self._held[key] = content
                while len(self._held) > 2 or sum(map(len, self._held.values())) > KEPT:
                    self._held.popitem(last=False)
            return content

    def clear(self) -> None:
        """Forget everything."""
        with self._holding:
            self._held.clear()


_kept = _Kept()


def open_scan(path: str | Path, unpack: bool = True) -> BinaryIO:
    """Open a file to read its bytes, wherever it lies: seekable, and unpacked where it was packed.

    A plain file comes as it is. What lies in a zip archive, and what is packed by gzip, is unpacked in memory.

    Args:
        path: of a file, or of one in a zip archive.
        unpack: False leaves what is packed by gzip as it is.

    Raises:
        ScanError: it is not there, may not be read, is locked, damaged, or unpacks to far more than it may.
    """
    path = Path(path)
    file = _open(path)
    try:
        packed = unpack and file.read(2) == GZIP
        file.seek(0)
        if not packed:
            return file
        most = most_unpacked(size_on_disk(path))
        content = _kept.once((path, *stamp(path)), lambda: _whole(_gunzip(file, most)))
    except OSError as error:
        file.close()
        raise _unreadable(error) from error
    except BaseException:
        file.close()
        raise
    file.close()
    return io.BytesIO(content)


def most_unpacked(on_disk: int) -> int:
    """To how many bytes a file may unpack that takes `on_disk` bytes there, however often it is packed."""
    return max(LARGE, RATIO * on_disk)


def size_on_disk(path: str | Path) -> int:
    """Bytes that a file takes on the disk, in a zip archive as they are packed in it.

    Raises:
        ScanError: it is not there.
    """
    return _size(Path(path), "compress_size")


def size_of(path: str | Path) -> int:
    """Bytes of a file, unpacked from a zip archive where it lies in one; only the archive's directory is read.

    Raises:
        ScanError: it is not there.
    """
    return _size(Path(path), "file_size")


def _size(path: Path, of_member: str) -> int:
    try:
        archive = archive_of(path)
        if archive is None:
            return path.stat().st_size
        member = _directory(archive).get(path.relative_to(archive).as_posix())
    except (OSError, ValueError) as error:
        raise (_unreadable(error) if isinstance(error, OSError) else ScanError(NOT_THERE)) from error
    if member is None:
        raise ScanError(NOT_THERE)
    return int(getattr(member, of_member))


def start_of(path: str | Path, count: int = 1024) -> bytes:
    """The first bytes of a file, unpacked; little of it is read, however large it is.

    Raises:
        ScanError: as `open_scan`. A file that is cut off later than that is no error here.
    """
    file = _open(Path(path), count)
    with file:
        try:
            start = file.read(count)
            if start[:2] != GZIP:
                return start
            file.seek(0)
            unpacked = b""
            for chunk in _gunzip(file, count + CHUNK):
                unpacked += chunk
                if len(unpacked) >= count:
                    break
        except OSError as error:
            raise _unreadable(error) from error
        except ScanError:
            if not unpacked:
                raise
        return unpacked[:count]


def members(path: str | Path) -> Iterator[Path]:
    """The files in a zip archive, as paths that `open_scan` takes, sorted by name.

    Folders and hidden files (".name", "__MACOSX") are left out.

    Raises:
        ScanError: it is no zip archive, damaged, or locked with a password.
    """
    path = Path(path)
    try:
        directory = _directory(path)
    except OSError as error:
        raise _unreadable(error) from error
    if any(member.flag_bits & 1 for member in directory.values()):
        raise ScanError(PASSWORD)
    for name in sorted(directory):
        if not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")):
            yield path / name


def member_names(path: str | Path) -> set[str]:
    """The names of all files in a zip archive, as they stand in it.

    Raises:
        ScanError: it is no zip archive, or damaged.
    """
    try:
        return set(_directory(Path(path)))
    except OSError as error:
        raise _unreadable(error) from error


def archive_of(path: str | Path) -> Path | None:
    """The zip archive in which a path lies, or None where the path is itself a file, or leads nowhere."""
    path = Path(path)
    if path.exists():
        return None
    return next((parent for parent in path.parents if parent.is_file()), None)


def stamp(path: str | Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns, of a file or of the zip archive in which it lies.

    Raises:
        ScanError: it is not there.
    """
    try:
        stat = (archive_of(path) or Path(path)).stat()
    except OSError as error:
        raise _unreadable(error) from error
    return stat.st_size, stat.st_mtime_ns


def _open(path: Path, count: int | None = None) -> BinaryIO:
    """The bytes as they lie in a file or a zip archive; `count`: the first few will do."""
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # the last: a path with a NUL
        archive = archive_of(path)
        if archive is None:
            raise ScanError(NOT_THERE) from error
        try:
            return _open_member(archive, path.relative_to(archive).as_posix(), count)
        except OSError as wrong:
            raise _unreadable(wrong) from wrong
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> ScanError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return ScanError(NOT_THERE)
    if isinstance(error, IsADirectoryError):
        return ScanError("a folder, not a scan: index it")
    if isinstance(error, PermissionError):
        return ScanError("the file cannot be read: ask for permission to read it")
    return ScanError(f"the file cannot be read ({error.strerror}): see whether its disk is well")


def _gunzip(file: BinaryIO, most: int) -> Iterator[bytes]:
    """Unpack, in chunks of bounded size, to the end; over `most` bytes are an error."""
    unpacker, total, packed = zlib.decompressobj(wbits=31), 0, file.read(CHUNK)
    try:
        while packed:
            chunk = unpacker.decompress(packed, CHUNK)
            total += len(chunk)
            if total > most:
                raise ScanError(TRAP)
            yield chunk
            packed = unpacker.unconsumed_tail
            if unpacker.eof:
                packed = unpacker.unused_data or file.read(CHUNK)
                if len(packed) == 1:
                    packed += file.read(CHUNK)
                if packed[:2] != GZIP:  # what follows the last part is ignored, as gzip does
                    return
                unpacker = zlib.decompressobj(wbits=31)
            elif not packed:
                packed = file.read(CHUNK)
    except zlib.error as error:
        raise ScanError(GZIP_DAMAGED) from error
    raise ScanError(GZIP_DAMAGED)


def _whole(chunks: Iterator[bytes]) -> bytes:
    whole = io.BytesIO()  # which joins them without holding them twice
    for chunk in chunks:
        whole.write(chunk)
    return whole.getvalue()


def _directory(archive: Path) -> dict[str, zipfile.ZipInfo]:
    stat = archive.stat()
    return _read_directory(archive, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=8)
def _read_directory(archive: Path, size: int, modified: int) -> dict[str, zipfile.ZipInfo]:
    """The files in a zip archive by name; kept, so that reading ten thousand of them lists them once.

    No name leads out of the archive: "..", and "/" at the start, are taken away.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            infos = [info for info in opened.infolist() if not info.is_dir()]
    except OSError:
        raise
    except Exception as error:
        raise ScanError(ZIP_DAMAGED) from error
    if sum(info.compress_size for info in infos) > size:  # members that share bytes: the other kind of trap
        raise ScanError(ZIP_DAMAGED)
    named = {"/".join(part for part in info.filename.split("/") if part not in ("", ".", "..")): info for info in infos}
    named.pop("", None)
    return named


def _open_member(archive: Path, name: str, count: int | None) -> BinaryIO:
    with archive.open("rb") as file:
        if file.read(4) not in ZIP:
            raise ScanError(NOT_THERE)
        member = _directory(archive).get(name)
        if member is None:
            raise ScanError(NOT_THERE)
        if member.flag_bits & 1:
            raise ScanError(PASSWORD)
        if member.file_size > most_unpacked(member.compress_size):
            raise ScanError(TRAP)
        file.seek(member.header_offset)
        header = file.read(30)
        if len(header) < 30 or header[:4] != ZIP[0]:
            raise ScanError(ZIP_DAMAGED)
        file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
        if count is not None:  # enough for the start of what may be packed by gzip besides
            return io.BytesIO(_unpack(file, member, min(member.file_size, max(count, CHUNK))))
        return io.BytesIO(_kept.once((archive, name, *stamp(archive)), lambda: _checked(file, member)))


def _checked(file: BinaryIO, member: zipfile.ZipInfo) -> bytes:
    content = _unpack(file, member, member.file_size)
    if zlib.crc32(content) != member.CRC:
        raise ScanError(ZIP_DAMAGED)
    return content


def _unpack(file: BinaryIO, member: zipfile.ZipInfo, most: int) -> bytes:
    """The first `most` bytes of a member; `file` stands where its packed bytes begin."""
    stored = member.compress_type == zipfile.ZIP_STORED
    content = file.read(most) if stored else _inflate(file, member, most)
    if len(content) < most:
        raise ScanError(ZIP_DAMAGED)
    return content


def _inflate(file: BinaryIO, member: zipfile.ZipInfo, most: int) -> bytes:
    left, content = member.compress_size, io.BytesIO()
    try:
        unpacker = _unpacker(file, member)
        if member.compress_type == zipfile.ZIP_LZMA:
            left -= 9
        packed = b""
        while content.tell() < most and not unpacker.eof:
            if not packed:
                packed = file.read(min(CHUNK, left))
                left -= len(packed)
                if not packed and getattr(unpacker, "needs_input", True):
                    break
            content.write(unpacker.decompress(packed, most - content.tell()))
            packed = getattr(unpacker, "unconsumed_tail", b"")
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, IndexError) as error:
        raise ScanError(ZIP_DAMAGED) from error
    return content.getvalue()


def _unpacker(
    file: BinaryIO, member: zipfile.ZipInfo
) -> zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor:
    if member.compress_type == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(wbits=-15)
    if member.compress_type == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor()
    if member.compress_type == zipfile.ZIP_LZMA:
        properties = file.read(9)[4:]  # after version and length, the five bytes of LZMA1
        rest, lc = divmod(properties[0], 9)
        pb, lp = divmod(rest, 5)
        promised = int.from_bytes(properties[1:], "little")  # memory that is taken at once
        dictionary = min(promised, max(member.file_size, 4096))
        chain = [{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}]
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain)
    raise ScanError("the zip archive is packed in a way that cannot be read here: unpack it first")
