"""Wherever a verb wants scans, a manifest, its file and a folder are the same."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from medtl.errors import InputError
from medtl.scans import Manifest, assign_splits, index_folders
from medtl.scans.datalist import image_files, is_datalist, of_medtl
from medtl.scans.manifest import KINDS
from medtl.scans.table import read_json


def manifest_of(m: Manifest | str | Path | Sequence[Manifest | str | Path], site: str | None = None) -> Manifest:
    """The manifest of what the user named, every usable scan with a split.

    Args:
        m: a Manifest; the .csv, or the .json (a MONAI datalist), of one; a folder or a file of scans, which is indexed
            in memory (with its labels file, where there is one); a datalist of another program, whose scans are looked
            for where it says; or several of these. Folders named one after the other are indexed together, so that a
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
    return isinstance(m, str | Path) and (Path(m).suffix.lower() not in KINDS or Path(m).is_dir())


def _load(path: Path) -> Manifest:
    if _is_indexed(path):
        return index_folders(path)
    if path.suffix.lower() == ".json":
        content = read_json(path)
        if is_datalist(content) and not of_medtl(content):
            return _of_others(path, image_files(content, path.parent.resolve()))
    manifest = Manifest.load(path)
    if not len(manifest.usable):
        raise InputError(f"{path} lists no usable scan: all are set aside or unreadable; index the folder again")
    return manifest


def _of_others(path: Path, images: set[str]) -> Manifest:
    """The scans that a datalist of another program lists, with its labels and splits."""
    folder = path.parent.resolve()
    inside = all(Path(image).is_relative_to(folder) for image in images)
    common = folder if inside else Path(os.path.commonpath(images))
    root = common if common.is_dir() else common.parent
    if root == Path(root.anchor):
        raise InputError(f"{path} lists files from all over the disk: index their folders with --labels {path.name}")
    manifest = index_folders(root, labels=path)
    listed = [any(str(file) in images for file in (*row.files, row.path)) for row in manifest]
    return manifest.select(np.array(listed)) if any(listed) else manifest


def _has_splits(manifest: Manifest) -> bool:
    return bool((manifest.usable.frame.split != "").all())
