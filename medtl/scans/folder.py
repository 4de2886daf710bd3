"""The scans of one folder: its files found, looked at, made stacks of, and each decoded once; and what is no scan."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pandas as pd

from medtl.errors import InputError, ScanError
from medtl.progress import say, track
from medtl.scans.dicom_stacks import OnGap
from medtl.scans.index_cache import WHOLE, IndexCache
from medtl.scans.joining import is_bids
from medtl.scans.labels import LABEL_FILES, PREFIXES, Labels, bids_ignores
from medtl.scans.looks import SCREENSHOT, Look, check_pixels, look_at
from medtl.scans.privacy import key, keyed_hash
from medtl.scans.series import stacks
from medtl.scans.walk import Found, walk
from medtl.scans.work import in_parallel

CAPTURED = "secondary capture: a picture of a screen or a converted one, its values may not be the scanner's"


def scans_of(
    root: Path, labels: Labels | None, seen: set[str], on_gap: OnGap, keep_identifiers: bool, use_cache: bool
) -> list[Look]:
    """The scans of one folder, and what is none; `seen` are the files that an earlier one has, and grows.

    Identifiers that are kept in clear go into no cache.

    Raises:
        InputError: it is not there.
    """
    if not root.exists():
        raise InputError(f"{root} is not there: check the folder's name")
    own = {str(labels.path.resolve())} if labels else set()
    there = [found for found in track(walk(root), "Finding files") if not _is_labels(found.path, own)]
    if is_bids(root):
        scans = [found for found in there if not bids_ignores(root, Path(found.path))]
        if len(scans) < len(there):
            say(f"{len(there) - len(scans):,} files in derivatives and the like of this BIDS dataset are passed over")
        there = scans
    files = [found for found in there if found.path not in seen]
    if there and not files:
        return []
    seen.update(found.path for found in files)
    masks = {str(file) for file in labels.mask_files()} if labels else set()
    with IndexCache(root) if use_cache and not keep_identifiers else nullcontext() as cache:
        everything = _digest([*(f"{file} {stamp}" for file, stamp in files), on_gap, *sorted(masks)])
        if cache and (known := cache.whole(everything, str(base_of(root)))):
            return known
        looks, stamps = _looks_at(files, root, keep_identifiers, cache)
        looks = _without_screenshots([_set_aside_mask(look) if look.files[0] in masks else look for look in looks])
        looks = _checked(stacks(looks, on_gap), stamps, cache)
        # voxels beside a header may be hidden files, which are not among those that were found
        if cache and not any(look.passing or look.kind == "volume" for look in looks):
            cache.put(WHOLE, everything, looks)
        return looks


def base_of(root: Path) -> Path:
    """The folder that a root is, or that a root which is a file lies in."""
    return root if root.is_dir() else root.parent


def _is_labels(path: str, own: set[str]) -> bool:
    name = os.path.basename(path)  # noqa: PTH119 - a Path for each of a million files costs seconds
    return name in LABEL_FILES or (bool(own) and os.path.realpath(path) in own)


class _LookAt:
    """`look_at` under one folder, in a form that goes to another process."""

    def __init__(self, root: Path) -> None:
        self.root = str(base_of(root))

    def __call__(self, file: str) -> list[Look]:
        return look_at(file, self.root)


def _looks_at(
    files: Sequence[Found], root: Path, keep_identifiers: bool, cache: IndexCache | None
) -> tuple[list[Look], dict[str, str]]:
    """What each file is, read where the cache does not know it; and the stamps of all files, those in archives too."""
    work = _LookAt(root)
    known = {found.path: cache.get(found.path, found.stamp, work.root) for found in files} if cache else {}
    fresh = [found.path for found in files if known.get(found.path) is None]
    new = iter(in_parallel(work, fresh, "Reading headers"))
    hide = _Hide(keep_identifiers)
    looks: list[Look] = []
    stamps: dict[str, str] = {}
    for path, stamp in files:
        mine = known.pop(path, None)
        if mine is None:
            mine = [hide(look) for look in next(new)]
            if cache and not any(look.passing for look in mine):
                cache.put(path, stamp, mine)
        stamps.update((file, stamp) for look in mine for file in look.files)
        looks += mine
    next(new, None)  # so that the progress bar ends
    return looks, stamps


class _Hide:
    """Identifiers hashed, as far as the user does not want them kept; `content` and `whole` become 12 hex digits."""

    def __init__(self, keep_identifiers: bool) -> None:
        self._keep = keep_identifiers
        self._secret = key()
        self._named = lru_cache(maxsize=4096)(self._hash)

    def __call__(self, look: Look) -> Look:
        content, whole = self._hash(look.content, "", 12), self._named(look.series, "", 12)
        if self._keep:
            return replace(look, content=content, whole=whole)
        patient, study, series = (self._named(getattr(look, role), prefix, 8) for role, prefix in PREFIXES.items())
        return replace(look, content=content, whole=whole, patient=patient, study=study, series=series)

    def _hash(self, text: str, prefix: str, length: int) -> str:
        return keyed_hash(text, prefix, length, self._secret, from_header=True)


def _set_aside_mask(look: Look) -> Look:
    return replace(look, status="set aside", reason="a mask drawn over a scan, as the labels file says", planes=())


def _without_screenshots(looks: Sequence[Look]) -> list[Look]:
    """Secondary captures are set aside beside real scans; where a study has nothing else, they are its scans."""
    scans = {_study_of(look) for look in looks if look.status == "ok" and look.reason != SCREENSHOT}
    result = []
    for look in looks:
        if look.status == "ok" and look.reason == SCREENSHOT:
            beside = _study_of(look) in scans
            look = replace(look, status="set aside", planes=()) if beside else replace(look, reason="").noting(CAPTURED)
        result.append(look)
    return result


def _study_of(look: Look) -> str:
    return look.study or look.patient or os.path.dirname(look.files[0])  # noqa: PTH120


def _checked(looks: Sequence[Look], stamps: Mapping[str, str], cache: IndexCache | None) -> list[Look]:
    """Each scan decoded once, where the cache does not know what came of it; of several volumes of a file, one."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for number, look in enumerate(looks):
        if look.status == "ok":
            volumes = look.volume and look.kind != "arrays"
            alike.setdefault((look.files, look.slices, look.spacing) if volumes else (number,), []).append(number)
    checked = list(looks)
    middle = {which: looks[of[len(of) // 2]] for which, of in alike.items()}
    middle |= {which: replace(look, notes="") for which, look in middle.items() if look.notes}
    keys = {which: f"{_stamp_of(look, stamps)} {len(alike[which])}" for which, look in middle.items()}
    known = {which: cache.get(key, "", "") for which, key in keys.items()} if cache else {}
    new = iter(in_parallel(check_pixels, [look for which, look in middle.items() if not known.get(which)], CHECKING))
    for which, of in alike.items():
        found = known.pop(which, None)
        if found:
            result = found[0]
        else:
            result = replace(next(new), files=(), root="")
            if cache and not result.passing:
                cache.put(keys[which], "", [result])
        for number in of:
            checked[number] = _with_result(looks[number], result, several=len(of) > 1)
    next(new, None)
    return checked


CHECKING = "Checking pixels"


def _with_result(look: Look, result: Look, several: bool) -> Look:
    mark = f"{result.fingerprint}-{look.volume}" if several and result.fingerprint else result.fingerprint
    return replace(
        look,
        status=result.status,
        reason=result.reason,
        modality=result.modality,
        size=result.size,
        spacing=result.spacing,
        fingerprint=mark,
        phash=result.phash,
        passing=result.passing,
    ).noting(result.notes)


def _stamp_of(look: Look, stamps: Mapping[str, str]) -> str:
    """What changes whenever a file of the scan does."""
    beside = _stamp_beside(look.files[0]) if look.kind == "volume" else ""
    return _digest([*(f"{file} {stamps[file]}" for file in look.files), look.volume, look.on_gap, beside])


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _stamp_beside(header: str) -> str:
    """That of the voxels, where they lie in a second file."""
    from medtl.scans.source import stamp
    from medtl.scans.volume import data_beside

    with suppress(ScanError):
        voxels = data_beside(header)
        return f"{voxels} {stamp(voxels)}" if voxels else ""
    return ""


def no_scans(root: Path, looks: Sequence[Look]) -> str:
    """The sentence for a folder in which nothing is a scan."""
    wanted = "give a folder (or a file) of DICOM, NIfTI, NRRD, MetaImage, PNG, JPEG or TIFF"
    if not looks:
        return f"{root} holds no scans, it is empty: {wanted}"
    reasons = pd.Series([look.reason.partition(":")[0] for look in looks]).value_counts()
    first = ", ".join(f"{number} x {reason}" for reason, number in reasons.head(3).items())
    return f"{root} holds no scans, only other files ({first}): {wanted}"
