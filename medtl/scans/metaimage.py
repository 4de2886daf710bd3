"""The header of a MetaImage file (.mha, or .mhd with its voxels in a second file), as ITK reads it."""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from medtl.errors import ScanError
from medtl.scans.layout import DAMAGED, MILLIMETRES, VECTORS, Layout, header_lines, length_of, name_beside

KINDS = {
    "MET_ASCII_CHAR": "i1", "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2",
    "MET_INT": "i4", "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip


def metaimage_layout(file: BinaryIO) -> Layout:
    """Read the header; `file` stands at its start.

    Raises:
        ScanError: it is damaged or incomplete, or its voxels are vectors, in several files, or to be scaled.
    """
    fields = {}
    for line in header_lines(file):
        key, _, value = (part.strip() for part in re.sub("[=:]", "\x00", line, count=1).partition("\x00"))
        fields[key] = value
        if key == "ElementDataFile":  # the last one, always
            break
    sizes = [int(word) for word in fields["DimSize"].split()]
    n_axes = int(fields["NDims"])
    if len(sizes) != n_axes or not 2 <= n_axes <= 4:
        raise ScanError(DAMAGED)
    if float(fields.get("ElementToIntensityFunctionSlope", 1)) != 1 or float(
        fields.get("ElementToIntensityFunctionOffset", 0)
    ):
        raise ScanError("the header asks for a scaling that other programs leave out: export the volume again")
    channels = int(fields.get("ElementNumberOfChannels", 1))
    kind = np.dtype(KINDS[fields["ElementType"].removesuffix("_ARRAY")])
    if channels != 1 and (channels not in (3, 4) or kind != "u1" or n_axes == 4):
        raise ScanError(VECTORS)
    text = not _true(fields.get("BinaryData", "True"))
    packed = _true(fields.get("CompressedData", "False"))
    big = _true(fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")))
    affine, spacing = _place(fields, n_axes)
    name = fields["ElementDataFile"]
    data = "" if name.upper() == "LOCAL" else name_beside(name)
    at = 0 if data else file.tell()
    skip = int(fields.get("HeaderSize", 0))
    if skip < -1 or (skip == -1 and (packed or text)):
        raise ScanError(DAMAGED)
    i, j, k = [*sizes[:3], 1][:3]
    return Layout(
        sizes=(i, j, k),
        kind=kind.newbyteorder(">" if big else "<"),
        n_volumes=sizes[3] if n_axes == 4 else 1,
        channels=channels,
        affine=affine,
        spacing=spacing,
        data=data,
        at=None if skip == -1 else at + skip,
        packing="text" if text else "gzip" if packed else "raw",
    )


def _true(text: str) -> bool:
    return text[:1] in ("T", "t", "1")


def _place(fields: dict[str, str], n_axes: int) -> tuple[np.ndarray | None, tuple[float, float, float]]:
    unit = MILLIMETRES.get(fields.get("DistanceUnits", "mm").lower(), 1.0)
    sizes = [float(word) * unit for word in fields.get("ElementSpacing", fields.get("ElementSize", "")).split()]
    lengths = [length_of(size) for size in sizes[:3]] + [float("nan")] * 3
    spacing = (lengths[0], lengths[1], lengths[2])
    matrix = next((fields[key] for key in ("TransformMatrix", "Rotation", "Orientation") if key in fields), "").split()
    origin = next((fields[key] for key in ("Offset", "Position", "Origin") if key in fields), "").split()
    if n_axes < 3 or len(matrix) != n_axes**2 or len(origin) != n_axes or not np.isfinite(spacing).all():
        return None, spacing
    directions = np.array([float(word) for word in matrix]).reshape(n_axes, n_axes)[:3, :3].T  # one axis a column
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = [float(word) * unit for word in origin[:3]]
    affine[:2] *= -1  # left-posterior-superior to right-anterior-superior
    known = np.isfinite(affine).all() and abs(np.linalg.det(affine)) > 1e-12
    return (affine if known else None), spacing
