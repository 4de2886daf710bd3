"""The shading of MR scans by their coils, taken out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from medtl.errors import ScanError
from medtl.intensity.values import padding_of, shown
from medtl.scans.scan import Scan

#: Iterations at each of four resolutions of the field: SimpleITK's own, after Tustison's.
_ITERATIONS = (50, 50, 50, 50)

_lock = threading.Lock()
_inside: list[int] = []  # of each correction that runs, SimpleITK's number of threads before


def correct_bias(scan: Scan, shrink: int = 4) -> Scan:
    """Divide by the smooth bias field that N4 finds (Tustison et al., N4ITK, IEEE TMI 2010), by SimpleITK.

    The field is looked for on a grid `shrink` times as coarse (SimpleITK's tutorial uses 4), in what lies above Otsu's
    threshold, and taken out at full resolution; one thread, so that the same scan gives the same pixels. Pixels at or
    below zero and padding stay as they are. Axes of fewer than 8 x `shrink` pixels are shrunk less.

    Args:
        scan: grey, one channel, values as the file has them.
        shrink: whole number, 1 for the full resolution.

    Raises:
        ScanError: the scan is in colour, all pixels but the padding have one value, or none is above zero.
    """
    import SimpleITK as sitk  # noqa: N813  (the name of its own documents)

    if scan.pixels.ndim != 3:
        raise ScanError("bias correction is for grey MR scans, and this one has several channels")
    empty = padding_of(scan)
    shown(scan, empty)
    usable = scan.pixels > 0 if empty is None else (scan.pixels > 0) & ~empty
    if not usable.any():
        raise ScanError("no pixel is above zero, as MR pixels are: use a recipe without N4")
    flat = len(scan.pixels) == 1
    pixels = np.where(usable, scan.pixels, np.float32(0))
    image = sitk.GetImageFromArray(pixels[0] if flat else pixels)
    image.SetSpacing(_spacing(scan, flat))
    inside = sitk.OtsuThreshold(image, 0, 1) & sitk.Cast(image > 0, sitk.sitkUInt8)
    factors = [max(1, min(int(shrink), length // 8)) for length in image.GetSize()]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(_ITERATIONS)
    try:
        with _one_thread():
            n4.Execute(sitk.Shrink(image, factors), sitk.Shrink(inside, factors))
            field = sitk.GetArrayFromImage(sitk.Exp(n4.GetLogBiasFieldAsImage(image)))
    except RuntimeError as error:
        raise ScanError("its bias field cannot be found: it shows too little; use a recipe without N4") from error
    corrected = np.where(usable, scan.pixels / field.reshape(scan.pixels.shape), scan.pixels)
    return replace(scan, pixels=corrected.astype(np.float32))


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for SimpleITK while any correction runs: the filters inside N4 ask for the number of the process.

    With several threads their sums, and so the field, differ from run to run.
    """
    import SimpleITK as sitk  # noqa: N813

    process = sitk.ProcessObject
    with _lock:
        _inside.append(_inside[0] if _inside else process.GetGlobalDefaultNumberOfThreads())
        process.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        with _lock:
            before = _inside.pop()
            if not _inside:
                process.SetGlobalDefaultNumberOfThreads(before)


def _spacing(scan: Scan, flat: bool) -> list[float]:
    """Mm in SimpleITK's order (columns first); 1 where the file does not know, or not all are above zero."""
    spacing = scan.spacing[1:] if flat else scan.spacing
    known = all(length > 0 for length in spacing)  # false where any is nan
    return [float(length) if known else 1.0 for length in reversed(spacing)]
