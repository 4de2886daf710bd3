"""The header of an NRRD file (teem.sourceforge.net/nrrd/format.html), attached to its voxels or detached."""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from medtl.errors import ScanError
from medtl.scans.layout import DAMAGED, MILLIMETRES, VECTORS, Layout, header_lines, length_of, name_beside

KINDS = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(
        ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"), "i8"
    ),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
PACKINGS = {
    "raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2",
    "txt": "text", "text": "text", "ascii": "text", "hex": "hex",
}  # fmt: skip
SPACES = {  # along which of right, anterior, superior its axes run; no other space is anatomical
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
    "right-anterior-superior-time": (1, 1, 1), "rast": (1, 1, 1),
    "left-anterior-superior-time": (-1, 1, 1), "last": (-1, 1, 1),
    "left-posterior-superior-time": (-1, -1, 1), "lpst": (-1, -1, 1),
}  # fmt: skip
COLOURS = {"rgb-color": 3, "3-color": 3, "rgba-color": 4, "4-color": 4}
LISTS = {"list", "time", "stub", "scalar"}


def nrrd_layout(file: BinaryIO) -> Layout:
    """Read the header; `file` stands at its start.

    Raises:
        ScanError: it is damaged or incomplete, or its voxels are vectors or in several files.
    """
    fields = {}
    for line in header_lines(file):
        if not line:
            break
        if ":=" in line or line.startswith("#") or ":" not in line:
            continue  # the user's own keys, remarks, the magic
        key, _, value = line.partition(":")
        fields[key.strip().lower().replace(" ", "")] = value.strip()
    sizes = [int(word) for word in fields["sizes"].split()]
    if len(sizes) != int(fields["dimension"]) or not 1 <= len(sizes) <= 5:
        raise ScanError(DAMAGED)
    kind = np.dtype(KINDS[fields["type"].lower()])
    packing = PACKINGS[fields["encoding"].lower()]
    if kind.itemsize > 1 and packing != "text":
        kind = kind.newbyteorder(">" if _big(fields["endian"]) else "<")
    roles = _roles(fields, sizes, kind)
    spatial = [axis for axis, role in enumerate(roles) if role == "space"]
    lists = [axis for axis, role in enumerate(roles) if role == "list" and sizes[axis] != 1]
    channels = sizes[0] if roles[0] == "colour" else 1
    real = [axis for axis, role in enumerate(roles) if role == "space" or axis in lists]
    if len(lists) > 1 or (lists and lists[0] not in (real[0], real[-1])) or (lists and channels > 1):
        raise ScanError("the file holds more than a series of volumes: save each volume by itself")
    affine, spacing = _place(fields, spatial, len(sizes))
    data = name_beside(fields["datafile"]) if fields.get("datafile") else ""
    skip = int(fields.get("byteskip", 0))
    if skip < -1 or (skip == -1 and packing != "raw") or int(fields.get("lineskip", 0)) < 0:
        raise ScanError(DAMAGED)
    i, j, k = [sizes[axis] for axis in spatial] + [1] * (3 - len(spatial))
    return Layout(
        sizes=(i, j, k),
        kind=kind,
        n_volumes=sizes[lists[0]] if lists else 1,
        volumes_first=bool(lists) and lists[0] == real[0] and len(real) > 1,
        channels=channels,
        affine=affine,
        spacing=spacing,
        data=data,
        at=None if skip == -1 else 0 if data else file.tell(),
        lines=int(fields.get("lineskip", 0)),
        skip=max(skip, 0),
        packing=packing,
    )


def _big(endian: str) -> bool:
    if endian.lower() not in ("little", "big"):
        raise ScanError(DAMAGED)
    return endian.lower() == "big"


def _roles(fields: dict[str, str], sizes: list[int], kind: np.dtype) -> list[str]:
    """What each axis is: "space" (three at most), "list" (of volumes) or "colour" (the first only)."""
    kinds = [word.lower() for word in fields.get("kinds", "").split()] or ["???"] * len(sizes)
    directions = _vectors(fields["spacedirections"]) if "spacedirections" in fields else [()] * len(sizes)
    if not len(kinds) == len(directions) == len(sizes):
        raise ScanError(DAMAGED)
    roles: list[str] = []
    for axis, (name, direction) in enumerate(zip(kinds, directions, strict=True)):
        placed = direction is not None  # an axis with the direction "none" is not one of space
        if placed and name in ("domain", "space", "???", "none") and roles.count("space") < 3:
            roles.append("space")
        elif name in LISTS or sizes[axis] == 1 or (placed and name in ("domain", "space", "???", "none")):
            roles.append("list")  # a fourth axis of space is time, as ITK writes it
        elif axis == 0 and (sizes[0] == COLOURS.get(name) or (sizes[0] == 3 and "vector" in name and kind == "u1")):
            roles.append("colour")
        else:
            raise ScanError(VECTORS)
    if roles.count("space") < 2:
        raise ScanError(DAMAGED)
    return roles


def _vectors(text: str) -> list[np.ndarray | None]:
    """The vectors of "(1,0,0) none (0,1,0)"; None for none."""
    words = re.findall(r"none|\([^)]*\)", text)
    return [None if word == "none" else np.array([float(part) for part in word[1:-1].split(",")]) for word in words]


def _place(
    fields: dict[str, str], spatial: list[int], n_axes: int
) -> tuple[np.ndarray | None, tuple[float, float, float]]:
    unit = MILLIMETRES.get((re.findall(r'"([^"]*)"', fields.get("spaceunits", "")) or ["mm"])[0].strip().lower(), 1.0)
    spacing = [float("nan")] * 3
    if "spacedirections" not in fields:
        words = fields.get("spacings", "").split()
        units = re.findall(r'"([^"]*)"', fields.get("units", "")) or [""] * n_axes
        if len(words) == len(units) == n_axes:
            for place, axis in enumerate(spatial):
                spacing[place] = length_of(abs(float(words[axis])) * MILLIMETRES.get(units[axis].strip().lower(), 1.0))
        return None, (spacing[0], spacing[1], spacing[2])
    directions = [_vectors(fields["spacedirections"])[axis] for axis in spatial]
    columns = [np.zeros(3) if vector is None else vector[:3] * unit for vector in directions]
    for place, column in enumerate(columns):
        spacing[place] = length_of(float(np.linalg.norm(column)))
    signs = SPACES.get(fields.get("space", "").lower())
    origin = _vectors(fields.get("spaceorigin", ""))
    if signs is None or len(columns) < 3 or len(origin) != 1 or origin[0] is None or len(origin[0]) < 3:
        return None, (spacing[0], spacing[1], spacing[2])
    affine = np.eye(4)
    affine[:3] = np.column_stack([*columns, origin[0][:3] * unit]) * np.array(signs)[:, None]
    known = np.isfinite(affine).all() and abs(np.linalg.det(affine)) > 1e-12
    return (affine if known else None), (spacing[0], spacing[1], spacing[2])
