"""A manifest, a recipe and a cache: network input on demand."""

from __future__ import annotations

import copy
import functools
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from medtl.data import cache as entries
from medtl.data.prepared import Prepared, prepare, remake
from medtl.data.pruning import VARIABLE, in_words, prune, size_cap
from medtl.data.units import Unit, group_rows, label_of, places_of
from medtl.errors import InputError
from medtl.intensity import Recipe
from medtl.intensity.prints import Prints
from medtl.progress import say, warn
from medtl.scans import Manifest, Row
from medtl.scans.work import in_parallel

_BYTES = 4  # of a float32

#: Cohorts whose entries must stay in the cache.
_alive: weakref.WeakSet[Cohort] = weakref.WeakSet()

#: Threads that miss entries make them one after the other.
_remaking = threading.Lock()


class Cohort:
    """The scans of a manifest as a recipe prepares them, once, kept in a cache, in the manifest's order.

    A unit is what has one label and gets one prediction: a series, or with `unit="study"` all series of a study. Pixels
    stay on disk and are read when they are asked for, so a cohort of many scans needs little more memory than one of
    few.

    Attributes:
        manifest: N rows, one a unit: its first scan's.
        recipe: how.
        unit: "series" or "study".
        classes: the class names; a label's number is its place here.
        multilabel: whether a scan can have several labels ("a;b").
        label: int64 (N,), -1 where unlabelled; or float32 (N, K) of 0 and 1, nan where unlabelled, for `multilabel`.
        scan_id, patient: (N,) strings. A scan whose patient is unknown is its own patient (`Manifest.patients`).
        site: int64 (N,), a place in `site_names`.
        bag_sizes: int64 (N,), instances of each unit; 1 for a picture.
        prints: of all M scans, those of a unit one after the other (M = N for series): see `prints_of`.
        failed: scan_id -> why it could not be prepared, one sentence; these are not in the arrays.
    """

    def __init__(
        self,
        manifest: Manifest,
        recipe: Recipe,
        cache: str | Path | None = None,
        classes: Sequence[str] | None = None,
        multilabel: bool | None = None,
        progress: str = "Preparing scans",
        unit: Unit = "series",
    ) -> None:
        """Read and prepare every scan that is not in the cache yet, on all cores where that pays.

        Args:
            manifest: rows whose status is neither "ok" nor "set aside" go to `failed`, with their reason.
            recipe: how pixels become network input.
            cache: a folder; by default MEDTL_CACHE, or the user's cache folder.
            classes: the class names of the source or of the Run, so that both sides agree; by default the manifest's.
            multilabel: by default, whether any label names several classes.
            progress: what the progress bar says.
            unit: "study" makes one bag of the series of a patient's study; studies whose series have different labels
                go to `failed`.

        Raises:
            InputError: no scan could be prepared, or a label is not among `classes`.
        """
        self.recipe, self.unit = recipe, unit
        rows = [row for row in manifest if row.status == "ok"]
        self.multilabel = any(";" in row.label for row in rows) if multilabel is None else multilabel
        found = sorted({name for row in rows for name in _names(row.label, self.multilabel)})
        self.classes = tuple(found if classes is None else classes)
        if strangers := sorted(set(found) - set(self.classes)):
            raise InputError(
                f"the manifest has labels {_list(found)}, of which {_list(strangers)} "
                f"{'is' if len(strangers) == 1 else 'are'} not among the classes {_list(self.classes)}: "
                "name the labels alike on both sides, or leave these scans out"
            )
        self.failed = {row.scan_id: row.reason for row in manifest if row.status not in ("ok", "set aside")}
        folder = Path(cache or entries.default_folder())
        done, rows = self._prepare(rows, folder, progress)
        units, contradictions = group_rows(rows, unit)
        self.failed |= contradictions
        if not units:
            raise InputError(_none_left(self.failed))

        places = [place for unit_ in units for place in unit_]
        self._first = np.cumsum([0, *map(len, units)])
        self._entries = np.array([done[place].entry.encode() for place in places])
        self._sizes = np.array([done[place].instances for place in places], dtype=np.int64)
        self.prints = Prints.of(known for place in places if (known := done[place].print))
        self._scans = manifest.select([rows[place].scan_id for place in places])
        self._stack: np.ndarray | None = None

        kept = [rows[unit_[0]] for unit_ in units]
        self.site_names = tuple(sorted({row.site for row in kept}))
        self.site = np.array([self.site_names.index(row.site) for row in kept], dtype=np.int64)
        labels = [label_of([rows[place].label for place in unit_]) for unit_ in units]
        self.label = _encode(labels, self.classes, self.multilabel)
        self._describe()
        self._keep_within_size(folder, any(each.written for each in done))

    def _prepare(self, rows: list[Row], folder: Path, progress: str) -> tuple[list[Prepared], list[Row]]:
        """What became of the rows that could be prepared, and these; the others go to `failed`."""
        work = functools.partial(prepare, recipe=self.recipe, digest=self.recipe.digest, folder=folder)
        done, kept = [], []
        for row, each in zip(rows, in_parallel(work, rows, progress), strict=True):
            if each.entry:
                done.append(each)
                kept.append(row)
            else:
                self.failed[row.scan_id] = each.reason
        if not kept:
            raise InputError(_none_left(self.failed))
        return done, kept

    def _describe(self) -> None:
        """What follows from the scans and how they make units."""
        firsts = self._first[:-1]
        whole = len(firsts) == len(self._sizes)
        self.manifest = self._scans if whole else Manifest(self._scans.frame.iloc[firsts], self._scans.files)
        self.scan_id = self.manifest.frame.scan_id.to_numpy(str)
        self.patient = self.manifest.patients
        self.bag_sizes = np.add.reduceat(self._sizes, firsts)
        _alive.add(self)

    def _keep_within_size(self, folder: Path, written: bool) -> None:
        mine = _BYTES * int(self._sizes.sum()) * int(np.prod(self.shape))
        if mine > size_cap():
            warn(
                f"These scans alone are {in_words(mine)} in the cache, over its {in_words(size_cap())}: "
                f"with {VARIABLE} at more than that they stay for the next time"
            )
        if written and (said := prune(folder, _entries_in_use)):
            say(said)

    def __len__(self) -> int:
        return len(self.scan_id)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an instance."""
        return self.recipe.channels, self.recipe.size, self.recipe.size

    @property
    def members(self) -> list[list[str]]:
        """The scan_ids of each unit: N lists, of one each for series."""
        every = self._scans.frame.scan_id.tolist()
        return [every[start:stop] for start, stop in zip(self._first[:-1], self._first[1:], strict=True)]

    def prints_of(self, i: int) -> Prints:
        """The prints of the scans of unit `i`."""
        return self.prints.select(np.arange(self._first[i], self._first[i + 1]))

    def pixels(self, i: int) -> np.ndarray:
        """Network input of unit `i`: float32 (instances, C, H, W), not to be changed; mapped from disk where it can be.

        Raises:
            InputError: it went from the cache since the cohort was made, and cannot be prepared again.
        """
        if self._stack is not None:
            return self._stack[i][None]
        start, stop = self._first[i], self._first[i + 1]
        if stop - start > 1:
            return self.gather([i])
        pixels = entries.mapped(self._entry(start))
        return self._again(start) if pixels is None else pixels

    def gather(self, rows: Sequence[int] | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Network input of some units, one after the other: float32 (their instances, C, H, W).

        Args:
            rows: (n,) units, in any order.
            out: where to, contiguous; such as memory that a GPU copies from.

        Raises:
            InputError: as `pixels`.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if out is None:
            out = np.empty((int(self.bag_sizes[rows].sum()), *self.shape), dtype=np.float32)
        if self._stack is not None:
            return np.take(self._stack, rows, axis=0, out=out)
        places, at = places_of(self._first, rows), 0
        each = zip(places.tolist(), self._entries[places].tolist(), self._sizes[places].tolist(), strict=True)
        for place, entry, size in each:
            part = out[at : at + size]
            if not entries.read_into(entry, part):
                part[...] = self._again(place)
            at += size
        return out

    def _entry(self, place: int) -> str:
        return self._entries[place].decode()

    def _again(self, place: int) -> np.ndarray:
        """The pixels of a lost entry."""
        row = next(iter(Manifest(self._scans.frame.iloc[place : place + 1], self._scans.files)))
        with _remaking:
            return remake(row, self.recipe, Path(self._entry(place)))

    def stacked(self) -> np.ndarray:
        """Network input of every scan in memory: float32 (N, C, H, W), not to be changed; pictures only.

        Raises:
            ValueError: a scan is a bag of several instances.
        """
        if self._stack is None:
            if (self.bag_sizes != 1).any():
                raise ValueError("stacked() is for pictures: some scans are bags of several instances")
            self._stack = self.gather(np.arange(len(self)))
        return self._stack

    def select(self, mask: np.ndarray | Sequence[int]) -> Cohort:
        """The units where a boolean mask (N,) is true, or those at these places in the manifest's order.

        Nothing is read or prepared again. `failed` is empty, `classes` and `site_names` stay.
        """
        chosen = np.asarray(mask)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else np.unique(chosen.astype(np.int64))
        if len(chosen) == 0:
            raise InputError("no scan is left of the cohort: loosen what selects them")
        places = places_of(self._first, chosen)
        part = copy.copy(self)
        part.failed = {}
        part.label, part.site = self.label[chosen], self.site[chosen]
        part._entries, part._sizes, part.prints = self._entries[places], self._sizes[places], self.prints.select(places)
        part._scans = Manifest(self._scans.frame.iloc[places], self._scans.files)
        part._first = np.cumsum([0, *np.diff(self._first)[chosen]])
        part._stack = None if self._stack is None else self._stack[chosen]
        part._describe()
        return part

    @staticmethod
    def join(cohorts: Sequence[Cohort]) -> Cohort:
        """One cohort of several that have the same recipe, unit and classes, one after the other.

        The same file in two of them counts once, in the first; a copy of it gets a scan_id of its own, as in
        `Manifest.concat`.

        Raises:
            InputError: recipes, units or classes differ.
        """
        first = cohorts[0]
        for other in cohorts[1:]:
            if other.recipe.digest != first.recipe.digest:
                raise InputError(
                    f"the cohorts were prepared by different recipes ({first.recipe.name!r}, {other.recipe.name!r}): "
                    "prepare them by one"
                )
            if other.unit != first.unit:
                raise InputError("one cohort is of series and one of studies: make both with the same `unit`")
            if (other.classes, other.multilabel) != (first.classes, first.multilabel):
                raise InputError(
                    f"the label sets differ, {_list(first.classes)} and {_list(other.classes)}: "
                    "name the labels alike on both sides"
                )
        cohorts = _without_repeats(cohorts)
        whole = copy.copy(first)
        whole._scans = Manifest.concat([cohort._scans for cohort in cohorts])
        for name in ("_entries", "_sizes", "label"):
            setattr(whole, name, np.concatenate([getattr(cohort, name) for cohort in cohorts]))
        whole.prints = Prints.concat([cohort.prints for cohort in cohorts])
        whole._first = np.cumsum([0, *(count for cohort in cohorts for count in np.diff(cohort._first))])
        whole.site_names = tuple(sorted({name for cohort in cohorts for name in cohort.site_names}))
        names = [cohort.site_names[site] for cohort in cohorts for site in cohort.site]
        whole.site = np.array([whole.site_names.index(name) for name in names], dtype=np.int64)
        whole.failed = {scan_id: reason for cohort in cohorts for scan_id, reason in cohort.failed.items()}
        whole._stack = None
        whole._describe()
        return whole


def _entries_in_use() -> set[str]:
    return {entry.decode() for cohort in list(_alive) for entry in cohort._entries.tolist()}


def _without_repeats(cohorts: Sequence[Cohort]) -> list[Cohort]:
    """The cohorts without scans that an earlier one has, by scan_id and path; with one series goes its study."""
    seen: set[tuple[str, str]] = set()
    left = []
    for cohort in cohorts:
        these = list(zip(cohort._scans.frame.scan_id, cohort._scans.frame.path, strict=True))
        known = np.array([scan in seen for scan in these])
        new = ~np.logical_or.reduceat(known, cohort._first[:-1])
        seen.update(these)
        if new.any():
            left.append(cohort if new.all() else cohort.select(new))
    return left


def _names(label: str, multilabel: bool) -> Iterator[str]:
    for name in label.split(";") if multilabel else [label]:
        if name.strip():
            yield name.strip()


def _encode(labels: list[str], classes: tuple[str, ...], multilabel: bool) -> np.ndarray:
    number = {name: k for k, name in enumerate(classes)}
    if not multilabel:
        return np.array([number[label.strip()] if label.strip() else -1 for label in labels], dtype=np.int64)
    encoded = np.zeros((len(labels), len(classes)), dtype=np.float32)
    for row, label in enumerate(labels):
        chosen = [number[name] for name in _names(label, multilabel)]
        encoded[row, chosen] = 1.0
        if not chosen:
            encoded[row] = np.nan
    return encoded


def _list(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) if names else "none"


def _none_left(failed: dict[str, str]) -> str:
    if not failed:
        return "the manifest holds no scans that can be used: check its status column, or index the folder again"
    scan_id, reason = next(iter(failed.items()))
    return f"none of the {len(failed)} scans could be prepared; the first, {scan_id}: {reason.rstrip('.')}"
