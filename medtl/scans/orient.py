"""Turning a volume so that its axes run as asked; nothing is resampled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medtl.errors import InputError, ScanError
from medtl.scans.scan import Scan


def reorient(scan: Scan, axes: str = "RAS") -> Scan:
    """Turn a volume so that columns, rows and slices run, as nearly as its own axes do, to the sides named.

    Axes are swapped and flipped, so every voxel keeps its value and its place in the patient.

    Args:
        scan: any, with an affine.
        axes: to where column, row and slice numbers rise, as NIfTI's (i, j, k): "RAS" is right, anterior, superior.

    Raises:
        ScanError: the scan does not know its place in the patient.
        InputError: `axes` is not one of the 48 such as "RAS", "LPS" or "SPL".
    """
    from nibabel import orientations as turns  # slow to import

    letters = axes.upper()
    if len(letters) != 3 or any(len(set(pair) & set(letters)) != 1 for pair in ("LR", "PA", "IS")):
        raise InputError(f"{axes!r} names no orientation: give three letters, such as RAS (right, anterior, superior)")
    if scan.affine is None:
        raise ScanError("the file does not say how the scan lies in the patient, so it cannot be turned")
    found = turns.io_orientation(scan.affine)
    if not np.isfinite(found).all():
        raise ScanError("the file's axes do not span a volume, so it cannot be turned")
    turn = turns.ornt_transform(found, turns.axcodes2ornt(letters[::-1]))
    pixels = np.ascontiguousarray(turns.apply_orientation(scan.pixels, turn))
    affine = scan.affine @ turns.inv_ornt_aff(turn, scan.pixels.shape[:3])
    order = np.argsort(turn[:, 0])  # which of the old axes became each new one
    slices, rows, columns = (scan.spacing[axis] for axis in order)
    return replace(scan, pixels=pixels, affine=affine, spacing=(slices, rows, columns))
