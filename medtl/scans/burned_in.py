"""What is burned into a picture: letters, digits, logos, callipers. A model learns them instead of the patient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medtl.scans.scan import IN_COLOUR, Scan, share_in_colour

MEASURED = {"CT", "MR", "PT", "NM"}  # their values are measurements: nobody writes on them but in a secondary capture
SIDE = 400  # pictures of twice this length and more are shrunk by a whole factor: strokes are 1 to 6 pixels wide then
SMALLEST = 32  # rows and columns of a picture on which anyone writes
HEIGHTS = (5, 24)  # rows of a glyph
CROSS = 0.15  # contrast of all four arms of a calliper's cross with all four corners between them
ARM = 6  # the longest arm of a cross
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
    if _is_measured(scan):
        return ""
    picture = scan.pixels[len(scan.pixels) // 2]
    grey, _ = _grey(picture, int(scan.header.get("bits") or 0))
    if not _can_be_read(grey):
        return ""
    crosses = _crosses(grey)
    text = _any(_rows(grey, crosses)) or (not _in_colour(picture) and _any(_lone_glyphs(grey, crosses)))
    return " and ".join(word for word, there in (("text", text), ("callipers", len(crosses) > 0)) if there)


def overlay_of(scan: Scan) -> np.ndarray | None:
    """Which pixels are burned in, by the signs of `find_overlay` in every slice.

    And what stands beside it and is as bright, which is no sign by itself.

    Returns:
        bool (slices, rows, columns), at the scan's own resolution; None where nothing is burned in.
    """
    if _is_measured(scan):
        return None
    overlay = np.zeros(scan.pixels.shape[:3], bool)
    for picture, mask in zip(scan.pixels, overlay, strict=True):
        grey, step = _grey(picture, int(scan.header.get("bits") or 0))
        if not _can_be_read(grey):
            continue
        strokes = np.kron(_strokes(grey, lone=not _in_colour(picture)), np.ones((step, step), bool))
        mask[: strokes.shape[0], : strokes.shape[1]] = strokes
    return overlay if overlay.any() else None


def _strokes(grey: np.ndarray, lone: bool) -> np.ndarray:
    """Which pixels of a shrunk picture are strokes of glyphs and crosses; `lone` where a glyph may stand alone.

    What was found shows how bright the ink is. All ink as bright joins, that stands beside what was found: letters that
    touch, the digit of a cross, the next line.
    """
    crosses = _crosses(grey)
    found = np.zeros(grey.shape, bool)
    for glyphs in (*_rows(grey, crosses), *(_lone_glyphs(grey, crosses) if lone else ())):
        found |= glyphs
    above = grey - _opened(grey, 7, 7)
    for y, x in crosses:
        for arm in (np.s_[max(y - ARM, 0) : y + ARM + 1, x], np.s_[y, max(x - ARM, 0) : x + ARM + 1]):
            found[arm] |= above[arm] > above[y, x] / 2
    return _joined(grey, above, found) if found.any() else found


def _joined(grey: np.ndarray, above: np.ndarray, found: np.ndarray) -> np.ndarray:
    """`found` and the marks beside it, as bright and as large as letters or a word whose letters touch."""
    from scipy import ndimage

    ink = found | (above > np.median(above[found]) / 2)
    marks, count = ndimage.label(ink, np.ones((3, 3)))
    boxes = np.array([(y.start, y.stop, x.start, x.stop) for y, x in ndimage.find_objects(marks)])
    brightest = ndimage.maximum(grey, marks, np.arange(1, count + 1))
    top, bottom, left, right = boxes.T
    height, width = bottom - top, right - left
    taken = np.zeros(count, bool)
    taken[np.unique(marks[found]) - 1] = True
    like = (height >= HEIGHTS[0]) & (height <= HEIGHTS[1]) & (width <= 8 * height)
    like &= brightest > np.median(brightest[taken]) - 0.2
    letter = width <= 1.4 * height + 1
    mostly_found = np.bincount(marks[found], minlength=count + 1)[1:] > 0.4 * np.bincount(marks.ravel())[1:]
    for n in np.flatnonzero(taken & ~mostly_found):  # tissue that a found letter touches, or a word
        taken[n] = like[n] and _on_darker(grey, marks, int(n) + 1, boxes[n])
    for _ in range(4):
        near = np.zeros(count, bool)
        for upper, lower, first, last in boxes[taken]:
            reach = min(lower - upper, HEIGHTS[1]) * 1.5
            level = (np.abs(top - upper) <= 1) & (np.abs(bottom - lower) <= 1)
            beside = (left < last + reach) & (right > first - reach)
            beside &= (top < lower + reach) & (bottom > upper - reach)
            near |= beside & (letter | level)
        beside_taken = np.flatnonzero(near & like & ~taken)
        joining = [int(n) for n in beside_taken if _on_darker(grey, marks, int(n) + 1, boxes[n])]
        if not joining:
            break
        taken[joining] = True
    return found | np.concatenate([[False], taken])[marks]


def _on_darker(grey: np.ndarray, marks: np.ndarray, number: int, box: np.ndarray, around: int = 2) -> bool:
    """Whether a mark is far brighter than nearly all that surrounds it and is no ink itself."""
    top, bottom, left, right = box
    part = slice(max(top - around, 0), bottom + around), slice(max(left - around, 0), right + around)
    mark, other = marks[part] == number, marks[part] == 0
    return bool(other.any() and np.median(grey[part][mark]) > np.percentile(grey[part][other], 90) + 0.1)


def _is_measured(scan: Scan) -> bool:
    """Whether nobody writes on such a scan, or there is nothing to write on."""
    volume = len(scan.pixels) > 1 and (scan.affine is not None or not scan.modality)
    return scan.modality in MEASURED or volume or not scan.pixels.size


def _in_colour(picture: np.ndarray) -> bool:
    """Whether the colours of (rows, columns[, 3]) are more than those of letters and a logo."""
    return picture.ndim == 3 and share_in_colour(picture) > IN_COLOUR


def _can_be_read(grey: np.ndarray) -> bool:
    return min(grey.shape) >= SMALLEST and bool(np.isfinite(grey).all())


def _any(masks: Iterator[np.ndarray]) -> bool:
    return next(masks, None) is not None


def _grey(picture: np.ndarray, bits: int) -> tuple[np.ndarray, int]:
    """(rows, columns) from 0 to 1, shrunk to a length at which letters are a few pixels high; by which factor."""
    grey = picture.max(axis=-1) if picture.ndim == 3 else picture
    step = max(1, max(grey.shape) // SIDE)
    rows, columns = (side // step * step for side in grey.shape)
    grey = grey[:rows, :columns].reshape(rows // step, step, columns // step, step).mean(axis=(1, 3), dtype=np.float32)
    if min(grey.shape) < SMALLEST:
        return grey, step
    low, high = float(grey.min()), float(grey.max())
    if bits == 8 and low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    return (grey - low) / max(high - low, 1e-6), step


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


def _rows(grey: np.ndarray, crosses: np.ndarray) -> Iterator[np.ndarray]:
    """The glyphs of each row: side by side, tops and bottoms level, at most one and a half heights apart. Masks."""
    from scipy.sparse import coo_array  # not needed for the many that are CT and MR
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    above, sides = grey, (1, 1)
    for rows, columns, contrast, enough in ROWS:
        if sides != (rows, columns):
            above, sides = grey - _opened(grey, rows, columns), (rows, columns)
        marks, boxes, numbers = _glyphs(above > contrast, crosses)
        if len(boxes) < enough:
            continue
        top, bottom, left, right = boxes.T
        pairs = cKDTree(np.column_stack([top, bottom, left / 64])).query_pairs(1.01, p=np.inf, output_type="ndarray")
        first, second = pairs.T
        gap = np.maximum(left[first], left[second]) - np.minimum(right[first], right[second])
        near = gap <= 1.5 * (bottom - top)[first]
        size = len(boxes)
        edges = coo_array((np.ones(int(near.sum())), (first[near], second[near])), shape=(size, size))
        row_of = connected_components(edges, directed=False)[1]
        for row in np.flatnonzero(np.bincount(row_of) >= enough):
            row_marks = np.zeros(marks.max() + 1, bool)
            row_marks[numbers[row_of == row]] = True
            yield row_marks[marks]


def _lone_glyphs(grey: np.ndarray, crosses: np.ndarray, around: int = 4) -> Iterator[np.ndarray]:
    """Each glyph on even ground: far brighter than what surrounds it, which is far less noisy than that. Masks."""
    marks, boxes, _ = _glyphs(grey - _opened(grey, 7, 7) > 0.2, crosses)
    for top, bottom, left, right in boxes:
        outer = slice(max(top - around, 0), bottom + around), slice(max(left - around, 0), right + around)
        inner = slice(top, bottom), slice(left, right)
        number = np.bincount(marks[inner].ravel())[1:].argmax() + 1
        mark = marks[inner] == number
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
            glyph = np.zeros(grey.shape, bool)
            glyph[inner] = mark
            yield glyph


def _glyphs(strokes: np.ndarray, crosses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What holds together and is as large as a letter; callipers' crosses and the digit that touches one are left out.

    Returns:
        All marks, numbered (rows, columns); the letters' boxes (N, 4), top, bottom, left, right; their numbers (N,).
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
    return marks, boxes[fits], np.flatnonzero(fits) + 1
