"""Wherever a verb wants scans, a manifest, its file and a folder are the same."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from medtl.errors import InputError
from medtl.scans import Manifest, assign_splits, index_folders


def manifest_of(m: Manifest | str | Path | Sequence[Manifest | str | Path], site: str | None = None) -> Manifest:
    """The manifest of what the user named, every usable scan with a split.

    Args:
        m: a Manifest; the .csv of one; a folder or a file of scans, which is indexed in memory (with its labels.csv,
            where there is one); or several of these. Folders named one after the other are indexed together, so that a
            patient, or a picture, that is in two of them gets one split.
        site: the site's name, where it is not the one that the manifest or the folder says.

    Raises:
        InputError: it is not there, is no manifest, or holds no scans.
    """
    if isinstance(m, str | Path):
        manifest = _load(Path(m))
    elif isinstance(m, Manifest):
        manifest = m
    elif isinstance(m, Sequence) and m:
        named = itertools.groupby(m, key=_is_indexed)
        manifest = Manifest.concat(
            part
            for indexed, some in named
            for part in ([index_folders(cast(list[str | Path], list(some)))] if indexed else map(manifest_of, some))
        )
    else:
        raise InputError("no scans are named: give a folder, a manifest or a file")
    if site:
        manifest = Manifest(manifest.frame.assign(site=site), manifest.files)
    return manifest if _has_splits(manifest) else assign_splits(manifest)


def _is_indexed(m: Manifest | str | Path | Sequence[Manifest | str | Path]) -> bool:
    """Whether it is a folder or a file of scans, and no manifest yet."""
    return isinstance(m, str | Path) and (Path(m).suffix.lower() != ".csv" or Path(m).is_dir())


def _load(path: Path) -> Manifest:
    if _is_indexed(path):
        return index_folders(path)
    manifest = Manifest.load(path)
    if not len(manifest.usable):
        raise InputError(f"{path} lists no usable scan: all are set aside or unreadable; index the folder again")
    return manifest


def _has_splits(manifest: Manifest) -> bool:
    return bool((manifest.usable.frame.split != "").all())
