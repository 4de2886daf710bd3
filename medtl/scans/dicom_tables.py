"""The lookup tables of a DICOM header: colour palettes, modality LUT, VOI LUT."""

from __future__ import annotations

from typing import Any

import numpy as np

from medtl.errors import ScanError

BAD_TABLE = "the table in the header that gives the pixels their values is damaged: export the picture again"
LARGEST = 65536  # entries


def look_up(values: np.ndarray, first: int, table: np.ndarray) -> np.ndarray:
    """The entry of each value; those before the first and after the last have the first and last entry."""
    if values.dtype.kind == "u" and values.itemsize <= 2:  # each possible value once, then all that there are
        possible = np.arange(2 ** (8 * values.itemsize))
        return np.take(table[np.clip(possible - first, 0, len(table) - 1)], values, axis=0)
    return np.take(table, np.clip(values.astype(np.int64) - first, 0, len(table) - 1), axis=0)


def palette(elements: Any) -> tuple[int, np.ndarray]:
    """The colour palette: the first value that it maps, and its colours (entries, 3) as they stand in it.

    Raises:
        ScanError: it is missing or damaged.
    """
    channels = []
    for name in ("Red", "Green", "Blue"):
        size, first, depth = _descriptor(elements, f"{name}PaletteColorLookupTableDescriptor")
        whole = elements.get(f"{name}PaletteColorLookupTableData")
        if whole is not None:
            table = _entries(whole, size, depth, elements.little)
        else:
            segments = elements.get(f"Segmented{name}PaletteColorLookupTableData")
            wide = depth > 8
            table = _expanded(_numbers(segments, 16 if wide else 8, elements.little).tolist(), size, wide)
        channels.append((first, table))
    if len({(first, len(table)) for first, table in channels}) > 1:
        raise ScanError(BAD_TABLE)
    return channels[0][0], np.stack([table for _, table in channels], axis=-1)


def table_of(item: Any) -> tuple[int, np.ndarray]:
    """A modality or VOI LUT: the first value that it maps, and its entries.

    Raises:
        ScanError: it is damaged.
    """
    size, first, depth = _descriptor(item, "LUTDescriptor")
    return first, _entries(item.get("LUTData"), size, 16 if depth > 8 else depth, item.little)


def _descriptor(elements: Any, keyword: str) -> tuple[int, int, int]:
    """Number of entries, first value mapped, bits of an entry."""
    found = elements.get(keyword)
    try:
        size, first, depth = (int(value) for value in found)
    except (TypeError, ValueError) as error:
        raise ScanError(BAD_TABLE) from error
    size = size % LARGEST or LARGEST  # 0 stands for 65536, which 16 bits do not hold
    if not 1 <= depth <= 16:
        raise ScanError(BAD_TABLE)
    return size, first, depth


def _entries(data: Any, size: int, depth: int, little: bool) -> np.ndarray:
    """Entries of 8 bits may lie one or two to a word of 16."""
    packed = depth <= 8 and isinstance(data, bytes) and len(data) < 2 * size
    table = _numbers(data, 8 if packed else 16, little)
    if packed and not little and len(data) % 2 == 0:
        table = table.reshape(-1, 2)[:, ::-1].ravel()
    if len(table) < size:
        raise ScanError(BAD_TABLE)
    return table[:size]


def _numbers(data: Any, depth: int, little: bool) -> np.ndarray:
    if isinstance(data, bytes):
        order = "<" if little else ">"
        return np.frombuffer(data[: len(data) // (depth // 8) * (depth // 8)], f"{order}u{depth // 8}").astype(
            np.uint16
        )
    if data is None:
        raise ScanError(BAD_TABLE)
    try:
        return np.atleast_1d(np.asarray(data, dtype=np.int64)).astype(np.uint16)
    except (TypeError, ValueError) as error:
        raise ScanError(BAD_TABLE) from error


def _expanded(words: list[int], size: int, wide: bool) -> np.ndarray:
    """The entries of a segmented table (PS3.3 C.7.9.2): discrete, linear, and segments that repeat earlier ones.

    Args:
        words: the codes of the segments.
        size: entries wanted.
        wide: whether codes have 16 bits, not 8.
    """
    starts: list[int] = []
    table: list[int] = []
    at = 0
    while at + 2 <= len(words) and len(table) < size:
        kind, length = words[at], words[at + 1]
        if kind != 2:
            starts.append(at)
            at = _segment(words, at, table)
            continue
        after = at + (4 if wide else 6)
        if after > len(words):
            raise ScanError(BAD_TABLE)
        bits = 16 if wide else 8
        offset = sum(code << (bits * place) for place, code in enumerate(words[at + 2 : after]))
        begin = offset // 2 if wide and offset // 2 in starts else offset  # bytes; some writers count codes
        if begin not in starts:
            raise ScanError(BAD_TABLE)
        for _ in range(length):
            if begin + 2 > at or words[begin] == 2 or len(table) >= size:
                break
            begin = _segment(words, begin, table)
        at = after
    if len(table) < size:
        raise ScanError(BAD_TABLE)
    return np.array(table[:size], dtype=np.uint16)


def _segment(words: list[int], at: int, table: list[int]) -> int:
    """Append the entries of the discrete or linear segment at `at`; where the next one begins."""
    kind, length = words[at], words[at + 1]
    if kind == 0:
        table += words[at + 2 : at + 2 + length]
        return at + 2 + length
    if kind != 1 or at + 2 >= len(words) or not table or not length:
        raise ScanError(BAD_TABLE)
    table += np.rint(np.linspace(table[-1], words[at + 2], length + 1)[1:]).astype(int).tolist()
    return at + 3
