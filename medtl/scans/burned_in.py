"""What is burned into a picture: letters, digits, logos, callipers. A model learns them instead of the patient."""

from __future__ import annotations

import numpy as np

from medtl.scans.scan import Scan

MEASURED = {"CT", "MR", "PT", "NM"}  # their values are measurements: nobody writes on them but in a secondary capture
SIDE = 400  # pictures of twice this length and more are shrunk by a whole factor: strokes are 1 to 6 pixels wide then
SMALLEST = 32  # rows and columns of a picture on which anyone writes
HEIGHTS = (5, 24)  # rows of a glyph
CROSS = 0.15  # contrast of all four arms of a calliper's cross with all four corners between them
ROWS = ((1, 7, 0.15, 3), (1, 7, 0.25, 2), (1, 5, 0.2, 2), (5, 5, 0.3, 2))  # opening (rows, columns), contrast, glyphs
LONE = ((0.1, 0.25, 5), (0.2, 0.25, 9), (0.4, 0.3, 9))  # noise around as a share of the contrast, contrast, height


def find_overlay(scan: Scan) -> str:
    """Say what is burned into the middle slice: "", "text", "callipers" or "text and callipers".

    Three signs, all of strokes that are brighter than both of their sides. Text: glyphs side by side whose tops and
    bottoms are level, which speckle and tissue hardly ever are; or one glyph alone on even ground (the R and L of a
    radiograph, digits in the dark). Callipers: upright crosses, each arm brighter than all four corners.

    The numbers above were chosen on 180 hand-labelled pictures of seven hospitals; on 180 more, of other patients
    (`benchmarks/burned_in.py`), it found 83 of the 100 that had something burned in and alarmed on 1 of 62 clean ones.
    What is missed is small (marks of 5 pixels), dotted, or a blurred letter of lead. CT, MR, PET and nuclear medicine,
    and volumes that lie at a place in the patient or name no modality, hold measurements and are not looked at.
    """
    volume = len(scan.pixels) > 1 and (scan.affine is not None or not scan.modality)
    if scan.modality in MEASURED or volume or not scan.pixels.size:
        return ""
    picture = scan.pixels[len(scan.pixels) // 2]
    in_colour = scan.colour and np.mean(np.ptp(picture, axis=-1) > 0.05 * max(float(picture.max()), 1e-6)) > 0.25
    grey = _grey(picture, int(scan.header.get("bits") or 0))
    if min(grey.shape) < SMALLEST or not np.isfinite(grey).all():
        return ""
    crosses = _crosses(grey)
    text = _has_row(grey, crosses) or (not in_colour and _has_lone_glyph(grey, crosses))
    return " and ".join(word for word, there in (("text", text), ("callipers", len(crosses) > 0)) if there)


def _grey(picture: np.ndarray, bits: int) -> np.ndarray:
    """(rows, columns) from 0 to 1, shrunk to a length at which letters are a few pixels high."""
    grey = picture.max(axis=-1) if picture.ndim == 3 else picture
    step = max(1, max(grey.shape) // SIDE)
    rows, columns = (side // step * step for side in grey.shape)
    grey = grey[:rows, :columns].reshape(rows // step, step, columns // step, step).mean(axis=(1, 3), dtype=np.float32)
    if min(grey.shape) < SMALLEST:
        return grey
    low, high = float(grey.min()), float(grey.max())
    if bits == 8 and low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    return (grey - low) / max(high - low, 1e-6)


def _opened(grey: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Without what is bright and narrower: a grey opening by a rectangle of odd sides, in half of SciPy's time."""
    for best in (np.minimum, np.maximum):
        for axis, side in enumerate((rows, columns)):
            grey = _running(best, grey, side, axis)
    return grey


def _running(best: np.ufunc, grey: np.ndarray, side: int, axis: int) -> np.ndarray:
    """The least, or largest, of the `side` neighbours along an axis; beyond the edge lies what lies at it."""
    values = np.pad(grey, [(side // 2,) * 2 if i == axis else (0, 0) for i in range(2)], mode="edge")
    length, reach = grey.shape[axis], 1
    part: list[slice] = [slice(None)] * 2

    def cut(start: int, stop: int) -> np.ndarray:
        part[axis] = slice(start, stop)
        return values[tuple(part)]

    while reach < side:
        step = min(reach, side - reach)
        values = best(cut(0, length + side - reach - step), cut(step, length + side - reach))
        reach += step
    return values


def _crosses(grey: np.ndarray, arm: int = 3, longest: int = 6) -> np.ndarray:
    """Middles of upright crosses, (N, 2): the middle and each arm of 3 pixels are brighter than the corners between.

    An arm ends within 6 pixels; a letter's strokes that meet go on to the next.
    """
    margin = longest + 1
    padded = np.pad(grey, margin, mode="edge")
    rows, columns = grey.shape

    def at(down: int, right: int) -> np.ndarray:
        return padded[margin + down : margin + down + rows, margin + right : margin + right + columns]

    def mean(steps: list[tuple[int, int]]) -> np.ndarray:
        total = np.zeros_like(grey)
        for down, right in steps:
            total += at(down, right)
        return total / len(steps)

    ways, beside = ((1, 0), (-1, 0), (0, 1), (0, -1)), ((2, 2), (2, 3), (3, 2), (3, 3))
    arms = [np.minimum(mean([(i * y, i * x) for i in range(1, arm + 1)]), at(2 * y, 2 * x)) for y, x in ways]
    corners = [mean([(y * down, x * right) for y, x in beside]) for down in (-1, 1) for right in (-1, 1)]
    body, ground = np.minimum.reduce([grey, *arms]), np.maximum.reduce(corners)
    ends = [np.minimum.reduce([at(i * y, i * x) for i in range(arm + 1, longest + 2)]) for y, x in ways]
    found = (body - ground > CROSS) & (np.maximum.reduce(ends) < (body + ground) / 2)
    found[: arm + 1] = found[-arm - 1 :] = found[:, : arm + 1] = found[:, -arm - 1 :] = False
    return np.argwhere(found)


def _has_row(grey: np.ndarray, crosses: np.ndarray) -> bool:
    """Whether glyphs stand side by side with level tops and bottoms, no further apart than one and a half heights."""
    from scipy.sparse import coo_array  # not needed for the many that are CT and MR
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    for rows, columns, contrast, enough in ROWS:
        strokes = grey - _opened(grey, rows, columns) > contrast
        boxes = _glyphs(strokes, crosses)[1]
        if len(boxes) < enough:
            continue
        top, bottom, left, right = boxes.T
        pairs = cKDTree(np.column_stack([top, bottom, left / 64])).query_pairs(1.01, p=np.inf, output_type="ndarray")
        first, second = pairs.T
        gap = np.maximum(left[first], left[second]) - np.minimum(right[first], right[second])
        near = gap <= 1.5 * (bottom - top)[first]
        size = len(boxes)
        edges = coo_array((np.ones(int(near.sum())), (first[near], second[near])), shape=(size, size))
        if np.bincount(connected_components(edges, directed=False)[1]).max() >= enough:
            return True
    return False


def _has_lone_glyph(grey: np.ndarray, crosses: np.ndarray, around: int = 4) -> bool:
    """Whether a glyph stands on even ground: far brighter than what surrounds it, which is far less noisy than that."""
    marks, boxes = _glyphs(grey - _opened(grey, 7, 7) > 0.2, crosses)
    for top, bottom, left, right in boxes:
        outer = slice(max(top - around, 0), bottom + around), slice(max(left - around, 0), right + around)
        inner = slice(top, bottom), slice(left, right)
        mark = marks[inner] == np.bincount(marks[inner].ravel())[1:].argmax() + 1
        area, box = int(mark.sum()), (bottom - top) * (right - left)
        if area < 8 or right - left < 2 or (area > 0.75 * box and right - left >= 4):
            continue  # a speck, or a disc: an electrode, a clip
        ground = np.ones(grey[outer].shape, bool)
        y, x = top - outer[0].start, left - outer[1].start
        ground[max(y - 1, 0) : y + bottom - top + 1, max(x - 1, 0) : x + right - left + 1] = False
        values = grey[outer][ground]
        if values.size < 10:
            continue
        contrast = np.percentile(grey[inner][mark], 75) - np.percentile(values, 90)
        noise = values.std() / max(contrast, 1e-3)
        if any(noise < most and contrast > least and bottom - top >= high for most, least, high in LONE):
            return True
    return False


def _glyphs(strokes: np.ndarray, crosses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What holds together and is as large as a letter: numbered (rows, columns); boxes (N, 4) top, bottom, left, right.

    Callipers' crosses and the digit that touches one are left out.
    """
    from scipy import ndimage

    marks, _ = ndimage.label(strokes, np.ones((3, 3)))
    found = ndimage.find_objects(marks)
    boxes = np.array([(y.start, y.stop, x.start, x.stop) for y, x in found], int).reshape(-1, 4)
    height, width = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    fits = (height >= HEIGHTS[0]) & (height <= HEIGHTS[1]) & (width <= 1.4 * height + 1)
    if len(crosses):
        crossed = np.unique(marks[crosses[:, 0], crosses[:, 1]])
        fits[crossed[crossed > 0] - 1] = False
    return marks, boxes[fits]
