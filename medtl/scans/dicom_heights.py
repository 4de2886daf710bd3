"""Slices of one direction along their normal: which of them lie at the same place."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from medtl.scans.dicom_place import Plane, Triple, dot, normal
from medtl.scans.dicom_stack import SAME_PLACE, slice_stack


class Heights:
    """The places that slices of one direction take, numbered from the lowest up.

    Attributes:
        axis: the slice normal (3,), LPS.
        values: mm along it, of each place.
    """

    def __init__(self, planes: Sequence[Plane]) -> None:
        """`planes`: placed, of one direction; the first gives the normal."""
        assert planes[0].orientation is not None
        self.axis: Triple = normal(planes[0].orientation)
        self.values: list[float] = []
        self._place: dict[int, int] = {}
        rising = sorted(((dot(plane.position or (), self.axis), plane) for plane in planes), key=lambda pair: pair[0])
        widest = max((upper[0] - lower[0] for lower, upper in pairwise(rising)), default=0.0)
        same = min(SAME_PLACE, max(1e-4, 0.1 * widest))  # slices of a microscope stand closer than that
        for height, plane in rising:
            if not self.values or height - self.values[-1] > same:
                self.values.append(height)
            self._place[id(plane)] = len(self.values) - 1

    def place(self, plane: Plane) -> int:
        """The number of a slice's place."""
        return self._place[id(plane)]

    def places(self, planes: Iterable[Plane]) -> list[list[Plane]]:
        """The slices at each place that has any, from the lowest up, each place's in their order."""
        found: dict[int, list[Plane]] = {}
        for plane in planes:
            found.setdefault(self.place(plane), []).append(plane)
        return [sorted(found[place], key=lambda plane: plane.sequence) for place in sorted(found)]

    def most(self, planes: Iterable[Plane]) -> int:
        """How many slices lie at one place, at most."""
        return max(Counter(map(self.place, planes)).values())

    def whole(self, planes: Sequence[Plane]) -> bool:
        """Whether slices make one stack: one a place, two or more of them, evenly spaced (the gantry may be tilted)."""
        places = self.places(planes)
        if len(places) < 2 or len(places) < len(planes):
            return False
        return math.isfinite(slice_stack([place[0] for place in places], self.axis, "", "keep", "", "").spacing[0])

    def overlap(self, parts: Iterable[Sequence[Plane]]) -> bool:
        """Whether each of several stacks reaches into another one."""
        spans = [(min(places), max(places)) for places in (list(map(self.place, part)) for part in parts)]
        return all(
            any(low < other[1] and other[0] < high for other in spans[:k] + spans[k + 1 :])
            for k, (low, high) in enumerate(spans)
        )
