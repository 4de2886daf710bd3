"""A manifest, a recipe and a cache: network input on demand."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import joblib
import numpy as np

from medtl.data import cache as entries
from medtl.errors import InputError, ScanError
from medtl.intensity import Recipe
from medtl.progress import track
from medtl.scans import Manifest, Row
from medtl.scans.read import how_to_read, read

#: A process may map 65,530 files (Linux's vm.max_map_count); half of them are left to others.
_MOST_MAPS = 32_000

#: Two copies of one file have one entry, and `atomic_write` tells processes apart, not threads.
_writing = threading.Lock()


class Cohort:
    """The scans of a manifest as a recipe prepares them, once, kept in a cache, in the manifest's order.

    Attributes:
        manifest: the rows that could be prepared, N of them.
        recipe: how.
        classes: the class names; a label's number is its place here.
        multilabel: whether a scan can have several labels ("a;b").
        label: int64 (N,), -1 where unlabelled; or float32 (N, K) of 0 and 1, nan where unlabelled, for `multilabel`.
        scan_id, patient: (N,) strings. A scan whose patient is unknown is its own patient (`Manifest.patients`).
        site: int64 (N,), a place in `site_names`.
        bag_sizes: int64 (N,), instances of each scan; 1 for a picture.
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
    ) -> None:
        """Read and prepare every scan that is not in the cache yet, on all cores.

        Args:
            manifest: rows whose status is neither "ok" nor "set aside" go to `failed`, with their reason.
            recipe: how pixels become network input.
            cache: a folder; by default MEDTL_CACHE, or the user's cache folder.
            classes: the class names of the source or of the Run, so that both sides agree; by default the manifest's.
            multilabel: by default, whether any label names several classes.
            progress: what the progress bar says.

        Raises:
            InputError: no scan could be prepared, or a label is not among `classes`.
        """
        self.recipe = recipe
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
        self._entries, self.bag_sizes, kept = self._prepare(rows, Path(cache or entries.default_folder()), progress)
        self._maps: dict[int, np.ndarray] = {}
        self._stack: np.ndarray | None = None

        self.scan_id = np.array([row.scan_id for row in kept])
        self.site_names = tuple(sorted({row.site for row in kept}))
        self.site = np.array([self.site_names.index(row.site) for row in kept], dtype=np.int64)
        self.label = _encode([row.label for row in kept], self.classes, self.multilabel)
        self.manifest = manifest.select(self.scan_id.tolist())
        self.patient = self.manifest.patients

    def _prepare(self, rows: list[Row], folder: Path, progress: str) -> tuple[np.ndarray, np.ndarray, list[Row]]:
        """Entries, bag sizes and rows of the scans that could be prepared; the others go to `failed`."""
        work = joblib.Parallel(n_jobs=joblib.cpu_count(), prefer="threads", return_as="generator")
        done = work(joblib.delayed(_entry)(row, self.recipe, folder) for row in rows)
        paths, sizes, kept = [], [], []
        for row, (path, size, reason) in zip(rows, track(done, progress, total=len(rows)), strict=True):
            if path is None:
                self.failed[row.scan_id] = reason
            else:
                paths.append(path)
                sizes.append(size)
                kept.append(row)
        if not kept:
            raise InputError(_none_left(self.failed))
        return np.array(paths, dtype=object), np.array(sizes, dtype=np.int64), kept

    def __len__(self) -> int:
        return len(self.scan_id)

    def pixels(self, i: int) -> np.ndarray:
        """Network input of scan `i`: float32 (instances, C, H, W), not to be changed.

        Raises:
            InputError: its cache entry went away or was damaged since the cohort was made.
        """
        if self._stack is not None:
            return self._stack[i][None]
        if i in self._maps:
            return self._maps[i]
        pixels = entries.load(self._entries[i], check=False)
        if pixels is None:
            raise InputError(f"{self._entries[i].parent} lost an entry while it was in use: run again to rebuild it")
        if len(self._maps) < _MOST_MAPS:
            self._maps[i] = pixels
        return pixels

    def stacked(self) -> np.ndarray:
        """Network input of every scan in memory: float32 (N, C, H, W), not to be changed; pictures only.

        Raises:
            ValueError: a scan is a bag of several instances.
        """
        if self._stack is None:
            if (self.bag_sizes != 1).any():
                raise ValueError("stacked() is for pictures: some scans are bags of several instances")
            stack = np.empty((len(self), *self.pixels(0).shape[1:]), dtype=np.float32)
            for i in range(len(self)):
                stack[i] = self.pixels(i)[0]
            self._stack, self._maps = stack, {}
        return self._stack

    def select(self, mask: np.ndarray | Sequence[int]) -> Cohort:
        """The scans where a boolean mask (N,) is true, or those at these places in the manifest's order.

        Nothing is read or prepared again. `failed` is empty, `classes` and `site_names` stay.
        """
        chosen = np.asarray(mask)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else np.unique(chosen.astype(np.int64))
        if len(chosen) == 0:
            raise InputError("no scan is left of the cohort: loosen what selects them")
        part = copy.copy(self)
        part.failed = {}
        for name in ("_entries", "bag_sizes", "scan_id", "patient", "site", "label"):
            setattr(part, name, getattr(self, name)[chosen])
        part.manifest = self.manifest.select(part.scan_id.tolist())
        part._maps, part._stack = {}, None if self._stack is None else self._stack[chosen]
        return part

    @staticmethod
    def join(cohorts: Sequence[Cohort]) -> Cohort:
        """One cohort of several that have the same recipe and classes, one after the other.

        The same file in two of them counts once, in the first; a copy of it gets a scan_id of its own, as in
        `Manifest.concat`.

        Raises:
            InputError: recipes or classes differ.
        """
        first = cohorts[0]
        for other in cohorts[1:]:
            if other.recipe.digest != first.recipe.digest:
                raise InputError(
                    f"the cohorts were prepared by different recipes ({first.recipe.name!r}, {other.recipe.name!r}): "
                    "prepare them by one"
                )
            if (other.classes, other.multilabel) != (first.classes, first.multilabel):
                raise InputError(
                    f"the label sets differ, {_list(first.classes)} and {_list(other.classes)}: "
                    "name the labels alike on both sides"
                )
        cohorts = _without_repeats(cohorts)
        whole = copy.copy(first)
        whole.manifest = Manifest.concat([cohort.manifest for cohort in cohorts])
        whole.scan_id = whole.manifest.frame.scan_id.to_numpy(str)
        for name in ("_entries", "bag_sizes", "patient", "label"):
            setattr(whole, name, np.concatenate([getattr(cohort, name) for cohort in cohorts]))
        whole.site_names = tuple(sorted({name for cohort in cohorts for name in cohort.site_names}))
        names = [cohort.site_names[site] for cohort in cohorts for site in cohort.site]
        whole.site = np.array([whole.site_names.index(name) for name in names], dtype=np.int64)
        whole.failed = {scan_id: reason for cohort in cohorts for scan_id, reason in cohort.failed.items()}
        whole._maps, whole._stack = {}, None
        return whole


def _entry(row: Row, recipe: Recipe, folder: Path) -> tuple[Path | None, int, str]:
    """The scan's cache entry, made where it is missing or damaged; its instances; why there is none."""
    try:
        content = entries.content_key(row.files, *how_to_read(row))
    except ScanError as error:
        return None, 0, str(error)
    except OSError as error:
        return None, 0, f"the file cannot be read ({error.strerror}): see whether its disk is well"
    path = entries.entry_path(folder, content, recipe.digest)
    try:
        pixels = entries.load(path)
        if pixels is None:
            pixels = recipe(read(row))
            with _writing:
                entries.store(path, pixels)
    except ScanError as error:
        return None, 0, str(error)
    return path, len(pixels), ""


def _without_repeats(cohorts: Sequence[Cohort]) -> list[Cohort]:
    """The cohorts without scans that an earlier one has, by scan_id and path."""
    seen: set[tuple[str, str]] = set()
    left = []
    for cohort in cohorts:
        these = list(zip(cohort.manifest.frame.scan_id, cohort.manifest.frame.path, strict=True))
        new = np.array([scan not in seen for scan in these])
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
