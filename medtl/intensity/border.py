"""The frame around a radiograph: where it ends."""

from __future__ import annotations

import numpy as np

SIDE = 512  # larger pictures are looked at with every n-th pixel
EVEN = 0.9  # of the outermost line is alike
STRAIGHT = 0.6  # of the frame's inner edge lies on one line
STEEPEST = np.tan(np.radians(5.0))
SMALL = 0.01  # of the picture: what stands alone in the frame and is smaller is a letter
NESTED = 3  # frames within frames


def border_of(picture: np.ndarray, tolerance: float, most: float) -> tuple[int, int, int, int]:
    """How many (top, bottom, left, right) lines of a picture (rows, columns) are frame: see `crop_border`."""
    step = max(1, max(picture.shape) // SIDE)
    small = picture[::step, ::step]
    low, high = np.percentile(small, (1, 99))
    cut = np.zeros(4, int)
    for _ in range(NESTED):
        top, bottom, left, right = cut
        inner = small[top : small.shape[0] - bottom, left : small.shape[1] - right]
        further = _frame(inner, tolerance * float(high - low))
        limits = [int(most * side) for side in (small.shape[0],) * 2 + (small.shape[1],) * 2]
        if not any(further) or (cut + further > limits).any():
            break
        cut = cut + further
    top, bottom, left, right = (int(lines) * step for lines in cut)
    return top, bottom, left, right


def _frame(picture: np.ndarray, alike: float) -> np.ndarray:
    """Lines of frame on the four sides; zeros where there is none."""
    from scipy import ndimage

    none = np.zeros(4, int)
    if min(picture.shape) < 32 or not alike > 0:
        return none
    levels = [_level(line, alike) for line in (picture[0], picture[-1], picture[:, 0], picture[:, -1])]
    shown = np.ones(picture.shape, bool)
    for level in {level for level in levels if level is not None}:
        even, _ = ndimage.label(np.abs(picture - level) <= alike)
        outer = np.unique(np.concatenate([even[0], even[-1], even[:, 0], even[:, -1]]))
        shown &= ~np.isin(even, outer[outer > 0])
    parts, count = ndimage.label(shown)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    large = sizes > SMALL * picture.size
    large[0] = False
    shown = large[parts]
    if not shown.any():
        return none
    turned = (shown, shown[::-1], shown.T, shown.T[::-1])
    return np.array([0 if level is None else _depth(side) for level, side in zip(levels, turned, strict=True)])


def _level(line: np.ndarray, alike: float) -> float | None:
    """The value of an even line; None where it is not even."""
    level = float(np.median(line))
    return level if np.mean(np.abs(line - level) <= alike) >= EVEN else None


def _depth(shown: np.ndarray) -> int:
    """Rows of frame above what is shown (rows, columns), where it ends along a straight edge; else 0."""
    columns = np.flatnonzero(shown.any(axis=0))
    first = shown.argmax(axis=0)[columns]
    if len(columns) < 0.5 * shown.shape[1]:
        return 0
    slope, offset = _line(columns, first)
    on_it = np.abs(first - (slope * columns + offset)) <= 1.5
    if abs(slope) > STEEPEST or np.mean(on_it) < STRAIGHT:
        return 0
    return int(first.min())


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the line through most points: the medians, so that a third may lie elsewhere."""
    apart = max(1, len(x) // 4)
    slopes = (y[apart:] - y[:-apart]) / (x[apart:] - x[:-apart])
    slope = float(np.median(slopes))
    return slope, float(np.median(y - slope * x))
