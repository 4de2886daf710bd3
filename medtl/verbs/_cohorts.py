"""Wherever a verb wants scans, a manifest, its file and a folder are the same."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from medtl.errors import InputError
from medtl.progress import warn
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
    """The scans that a datalist of another program lists, with its labels and splits.

    An image may be a folder, of a DICOM series say. Looked through are the folders that the datalist names or in which
    its files lie, and none above them.

    Raises:
        InputError: it lists nothing, or nothing of what it lists is there or is a scan.
    """
    there = {image for image in images if _on_disk(Path(image)).exists()}
    if not there:
        what = f"none of the {len(images):,} images that it lists is there" if images else "it lists no image"
        raise InputError(f"{path}: {what}; its paths are relative to its own folder, or absolute")
    if missing := len(images) - len(there):
        warn(f"{path.name}: {missing:,} of the {len(images):,} images that it lists are not there")
    folders = {image if Path(image).is_dir() else str(_on_disk(Path(image)).parent) for image in there}
    roots = [folder for folder in sorted(folders) if not any(str(up) in folders for up in Path(folder).parents)]
    if roots == [Path(roots[0]).anchor]:
        raise InputError(f"{path} lists files right below {roots[0]}: move them to a folder of their own")
    manifest = index_folders([*roots], labels=path)
    listed = [any(_is_listed(str(file), images) for file in (*row.files, row.path)) for row in manifest]
    if not any(listed):
        raise InputError(f"{path}: none of the {len(there):,} images that it lists is a scan that can be read")
    return manifest.select(np.array(listed))


def _on_disk(file: Path) -> Path:
    """The file, or the archive that it lies in."""
    return next((each for each in (file, *file.parents) if each.is_file()), file)


def _is_listed(file: str, images: set[str]) -> bool:
    return file in images or any(str(folder) in images for folder in Path(file).parents)


def _has_splits(manifest: Manifest) -> bool:
    return bool((manifest.usable.frame.split != "").all())
