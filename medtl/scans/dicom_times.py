"""Slices that lie at one place at several times: the time points of a series, as whole volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from typing import Any

from medtl.scans.dicom_heights import Heights
from medtl.scans.dicom_place import LAST, UNSAID, Plane, grouped

POSITION, ACQUISITION, TRIGGER = 0, 1, 2  # where they stand in `Plane.times`
FEWEST = 3  # slices that make a volume where volumes are of different length

Volumes = list[list[Plane]]


def time_points(planes: list[Plane], heights: Heights, most: int) -> tuple[Volumes, bool] | None:
    """Volumes of one slice a place, in the order of time, or None where nothing says surely which slices make one.

    The first field that deals the slices into volumes tells the time: temporal position, acquisition number, trigger,
    acquisition or content time, a dimension index; or each file holds a volume. Else the instance numbers, where they
    run in blocks or from place to place; else a time that is later for each slice of a volume than for the one before.

    Args:
        planes: the slices.
        heights: at which places they lie.
        most: how many lie at one place, at most.

    Returns:
        the volumes; whether each has places of its own (CT acquisitions of different length, stations of an MR).
    """
    deal = _Deal(planes, heights, most)
    lengths = None
    for number in range(min(len(plane.times) for plane in planes)):
        values = grouped(planes, _time(number))
        if UNSAID in values:
            continue
        volumes = [values[value] for value in sorted(values)]
        if number == ACQUISITION and deal.lengths_differ(volumes):
            lengths = volumes, planes[0].modality != "MR" or len(volumes) > most
            if not deal.even:
                return lengths
        if deal.whole(volumes, cut_off=number == POSITION):
            return volumes, False
    files = grouped(planes, lambda plane: (plane.order, plane.copy, plane.file))
    volumes = [files[file] for file in sorted(files)]
    if deal.whole(volumes, cut_off=False):
        return deal.in_time(volumes), False
    found = deal.by_instance_number() or deal.by_rising_times()
    return lengths if found is None else (found, False)


class _Deal:
    """Slices to be dealt into volumes, and what counts as well dealt."""

    def __init__(self, planes: list[Plane], heights: Heights, most: int) -> None:
        self.planes, self.heights, self.most = planes, heights, most
        self.places = heights.places(planes)
        self.even = all(len(place) == most for place in self.places)

    def whole(self, volumes: Sequence[list[Plane]], cut_off: bool) -> bool:
        """Whether each has one slice a place; of three or more, one may be cut off, with `cut_off` each."""
        filled = [len(set(map(self.heights.place, volume))) for volume in volumes]
        if len(volumes) != self.most or any(fill != len(own) for fill, own in zip(filled, volumes, strict=True)):
            return False
        return cut_off or sum(fill < len(self.places) for fill in filled) <= (1 if self.most > 2 else 0)

    def lengths_differ(self, volumes: Sequence[list[Plane]]) -> bool:
        """Whether they are volumes that each have places of their own, and some in common with others."""
        alone = all(len(own) >= FEWEST and self.heights.most(own) == 1 for own in volumes)
        return alone and self.heights.overlap(volumes)

    def by_instance_number(self) -> Volumes | None:
        """By instance numbers that run in an order, or begin to count anew at each place."""
        if any(plane.order == LAST for plane in self.planes):
            return None
        numbers = grouped(self.planes, _number)
        if len(numbers) < len(self.planes):
            volumes = [numbers[number] for number in sorted(numbers)]
            return self.in_time(volumes) if self.whole(volumes, cut_off=False) else None
        order = [self.heights.place(plane) for plane in sorted(self.planes, key=_number)]
        if self.even:
            if not _regular(order, self.most, len(self.places)):
                return None
            return self.in_time(self._ranked(_number))
        if self.most > 2 and len(list(groupby(order))) == len(self.places):
            volumes = self._ranked(_number)  # a loop a place, some of them a picture longer
            return volumes if self.whole(volumes, cut_off=False) else None
        volumes, seen = [], set[int]()
        for plane in sorted(self.planes, key=_number):
            if not volumes or self.heights.place(plane) in seen:
                volumes.append([])
                seen.clear()
            volumes[-1].append(plane)
            seen.add(self.heights.place(plane))
        return volumes if self.whole(volumes, cut_off=False) else None

    def by_rising_times(self) -> Volumes | None:
        """By a time, where all slices of a volume were taken before those of the next.

        Of triggers it is enough that they rise with the instance numbers at each place: hearts do not beat evenly.
        """
        if not self.even:
            return None
        numbers = range(min(len(plane.times) for plane in self.planes))
        for key in (*map(_time, numbers), lambda plane: plane.kind.phase):
            volumes = self._ranked(key)
            spans = [list(map(key, volume)) for volume in volumes]
            if UNSAID not in spans[0] and all(max(before) < min(after) for before, after in pairwise(spans)):
                return volumes
        volumes = self._ranked(_number)
        if TRIGGER in numbers and LAST not in (plane.order for plane in self.planes):
            rising = [
                [(plane.times[TRIGGER], _number(plane)) for plane in place] for place in zip(*volumes, strict=True)
            ]
            if all(x[0] < y[0] and x[1] < y[1] for place in rising for x, y in pairwise(place)):
                return volumes
        return None

    def in_time(self, volumes: Volumes) -> Volumes:
        """The volumes in the order of their times, where these agree about it at every place; else as they are."""
        orders = set()
        for place in zip(*self._by_place(volumes), strict=True):
            orders.add(tuple(k for _, k in sorted((plane.times, k) for k, plane in enumerate(place))))
        return [volumes[k] for k in orders.pop()] if len(orders) == 1 else volumes

    def _by_place(self, volumes: Volumes) -> Volumes:
        full = [volume for volume in volumes if len(volume) == len(self.places)]
        return [sorted(volume, key=self.heights.place) for volume in full] if len(full) == len(volumes) else []

    def _ranked(self, key: Callable[[Plane], Any]) -> Volumes:
        """The first of each place, the second of each ..."""
        ranked = [sorted(place, key=key) for place in self.places]
        return [[place[k] for place in ranked if k < len(place)] for k in range(self.most)]


def _time(number: int) -> Callable[[Plane], float]:
    return lambda plane: plane.times[number]


def _number(plane: Plane) -> tuple[float, int]:
    return plane.order, plane.frame


def _regular(order: Sequence[int], times: int, places: int) -> bool:
    """Whether places come in rounds: in each round every place once, with as many slices one after another."""
    for run in range(1, times + 1):
        if times % run:
            continue
        starts = order[::run]
        if all(order[k] == order[k - k % run] for k in range(len(order))) and all(
            len(set(starts[k : k + places])) == places for k in range(0, len(starts), places)
        ):
            return True
    return False
