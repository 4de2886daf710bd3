"""What is no picture, cut away: settings around an ultrasound, borders, air."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medtl.errors import ScanError
from medtl.intensity.geometry import on_grid
from medtl.scans.scan import Scan

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]  # (first, last + 1) of slices, rows, columns


def crop_to_region(scan: Scan) -> Scan:
    """Crop to the smallest box around the regions where the ultrasound machine put its pictures of tissue.

    The header's "regions" say where; a scan without them stays as it is. Logo, name of the clinic, scale bars and
    settings around the picture, which differ between sites, go.
    """
    rows, columns = scan.pixels.shape[1:3]
    regions = np.array(scan.header.get("regions") or [(0, 0, rows, columns)], dtype=int)
    top, left = (max(0, int(edge)) for edge in regions[:, :2].min(axis=0))
    bottom, right = (
        min(side, int(edge)) for side, edge in zip((rows, columns), regions[:, 2:].max(axis=0), strict=True)
    )
    if top >= bottom or left >= right:
        return scan
    return crop(scan, ((0, len(scan.pixels)), (top, bottom), (left, right)))


def crop_to_foreground(scan: Scan, above: float = 0.0, margin: int = 0) -> Scan:
    """Crop to the smallest box around all that is brighter than `above`, `margin` voxels wider where there are any.

    Equals MONAI's CropForeground(lambda pixels: pixels > above, margin=margin, allow_smaller=True).

    Raises:
        ScanError: nothing is brighter.
    """
    brightest = scan.pixels.max(axis=-1) if scan.pixels.ndim == 4 else scan.pixels
    box = box_around(brightest > above, (margin,) * 3)
    if box is None:
        raise ScanError(f"no pixel is brighter than {above:g}: there is no foreground to crop to")
    return crop(scan, box)


def crop_to_body(scan: Scan, above: float = -500.0, margin: float = 5.0) -> Scan:
    """Crop a CT to the box around the patient: air, clothes and the table around the body go.

    The body is the largest part of the volume above `above` HU (half-way from air to tissue) that holds together once
    sheets thinner than 6 mm are taken away within each slice, which parts it from most tables; a table that stays
    attached stays in the box. Arms that do not touch the trunk may be cut.

    Args:
        scan: pixels (slices, rows, columns) in HU.
        above: HU.
        margin: mm around the body, for what the thinning took of skin and nose; pixels where the spacing is unknown.

    Raises:
        ScanError: nothing is above `above`: the values are no HU, or there is only air.
    """
    from scipy import ndimage

    steps = [max(1, side // 256) for side in scan.pixels.shape[1:3]]
    tissue = (scan.pixels.min(axis=-1) if scan.pixels.ndim == 4 else scan.pixels)[:, :: steps[0], :: steps[1]] > above
    spacing = [each if each > 0 else 1.0 for each in scan.spacing]
    sides = [max(1, round(6.0 / (mm * step))) for mm, step in zip(spacing[1:], steps, strict=True)]
    solid = ndimage.binary_opening(tissue, np.ones((1, *sides), bool))
    body = largest_part(solid if solid.any() else tissue)
    if body is None:
        raise ScanError(f"no voxel is above {above:g} HU: the values are not in HU, or the scan shows only air")
    rows, columns = scan.pixels.shape[1:3]
    body = np.kron(body, np.ones((1, *steps), bool))[:, :rows, :columns]
    box = box_around(body, tuple(round(margin / mm) for mm in spacing))
    return scan if box is None else crop(scan, box)


def crop_border(scan: Scan, tolerance: float = 0.04, most: float = 0.35) -> Scan:
    """Cut off the even frame that collimator, film holder or scanner left around a radiograph, dark or bright.

    A side has a frame where the outermost line is even (nine tenths of its pixels are alike to within `tolerance` of
    the picture's range) and the frame ends along a straight edge, which may be slanting by up to 5 degrees: six tenths
    of it lie on one line. The outline of a patient in air is curved, and so stays. The cut goes as far as the frame is
    even for all of its length, so that nothing which reaches into it is cut; what stands alone in it and is smaller
    than a hundredth of the picture (a letter, a stamp) is no part of the patient and goes with it. Of a frame that
    slants, wedges stay. A frame within a frame goes too.

    Args:
        scan: a picture or loop (slices, rows, columns); of a loop all slices are cut alike, by their mean.
        tolerance: share of the range between the 1st and 99th percentile.
        most: no side loses more than this share of its length.
    """
    from medtl.intensity.border import border_of

    picture = scan.pixels.mean(axis=0, dtype=np.float32)
    picture = picture.mean(axis=-1) if picture.ndim == 3 else picture
    top, bottom, left, right = border_of(picture, tolerance, most)
    rows, columns = picture.shape
    return crop(scan, ((0, len(scan.pixels)), (top, rows - bottom), (left, columns - right)))


def crop(scan: Scan, box: Box) -> Scan:
    """The part of a scan within a box, at its place in the patient; the header's "regions" move along."""
    if all(edges == (0, side) for edges, side in zip(box, scan.pixels.shape, strict=False)):
        return scan
    old_from_new = np.eye(4)
    old_from_new[:3, 3] = [first for first, _ in box]
    cropped = on_grid(scan, scan.pixels[tuple(slice(*edges) for edges in box)], old_from_new)
    if not scan.header.get("regions"):
        return cropped
    (top, _), (left, _) = box[1:]
    moved = [tuple(int(edge) for edge in np.subtract(each, (top, left) * 2)) for each in scan.header["regions"]]
    return replace(cropped, header={**cropped.header, "regions": moved})


def box_around(mask: np.ndarray, margin: tuple[int, ...]) -> Box | None:
    """The box of (slices, rows, columns) around what is true, wider by `margin` within the array; None: nothing is."""
    edges = []
    for axis, wider in enumerate(margin):
        there = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        if not there.size:
            return None
        edges.append((max(0, int(there[0]) - wider), min(mask.shape[axis], int(there[-1]) + 1 + wider)))
    return edges[0], edges[1], edges[2]


def largest_part(mask: np.ndarray) -> np.ndarray | None:
    """The largest part that holds together; None where nothing is true."""
    from scipy import ndimage

    parts, count = ndimage.label(mask)
    return parts == np.bincount(parts.ravel())[1:].argmax() + 1 if count else None
