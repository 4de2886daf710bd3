"""The field's data sets in the layouts in which they are published: a folder in, a manifest a domain out.

| set | layout |
| --- | --- |
| office-31 | `DOMAIN/images/CLASS/*`, or `DOMAIN/CLASS/*`: amazon, dslr, webcam |
| office-home | `DOMAIN/CLASS/*`: Art, Clipart, Product, Real World |
| visda-2017 | `train/CLASS/*` and `validation/CLASS/*`, by `image_list.txt` where that is there |
| pacs | `DOMAIN/CLASS/*`: art_painting, cartoon, photo, sketch; also below `kfold/`, `images/` or `pacs_data/`; |
|      | by the lists `DOMAIN_train_kfold.txt` ... where those are there, beside or in `splits/`, `pacs_label/` ... |
| camelyon17 | `patches/patient_XXX_node_Y/*.png` and `metadata.csv`, of WILDS 1.0 |
| medmnist | one .npz with `train_images`, `train_labels`, `val_...`, `test_...` |

No picture is opened: a manifest of VisDA's 207,000 takes seconds, where `medtl index` decodes each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medtl.errors import InputError
from medtl.scans import Manifest
from medtl.scans.arrays import array_rows
from medtl.scans.table import read_csv
from medtl.scans.wilds import as_labels, is_camelyon17

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
OFFICE31 = ("amazon", "dslr", "webcam")
OFFICE_HOME = ("Art", "Clipart", "Product", "Real World")
PACS = ("art_painting", "cartoon", "photo", "sketch")
VISDA = ("train", "validation")
TRAIN_CENTERS, VAL_CENTER, TEST_CENTER = ("0", "3", "4"), "1", "2"  # of Camelyon17-WILDS
BELOW = ("", "kfold", "images", "pacs_data", "pacs_data/pacs_data", "PACS")
LISTS = ("", "splits", "pacs_label", "pacs_label/pacs_label", "Train val splits and h5py files pre-read", "image_list")


class Named(NamedTuple):
    """A picture of a domain."""

    path: Path
    label: str
    split: str = "train"
    patient: str = ""
    volume: str = ""


def manifest_of(domain: str, pictures: Sequence[Named]) -> Manifest:
    """One row a picture, the domain being the site."""
    ids = [hashlib.sha256(f"{each.path} {each.volume}".encode()).hexdigest()[:12] for each in pictures]
    columns = {
        "scan_id": ids,
        "patient": [each.patient for each in pictures],
        "site": domain,
        "path": [str(each.path) for each in pictures],
        "label": [each.label for each in pictures],
        "split": [each.split for each in pictures],
        "status": "ok",
        "volume": [each.volume for each in pictures],
    }
    return Manifest(pd.DataFrame(columns, dtype="str").assign(study="", series="", reason=""))


def office31(root: Path) -> dict[str, Manifest]:
    """Saenko et al., ECCV 2010: 4,110 photographs of 31 classes in three domains."""
    return {name: _by_folders(name, _first(root, (f"{name}/images", name))) for name in OFFICE31}


def office_home(root: Path) -> dict[str, Manifest]:
    """Venkateswara et al., CVPR 2017: 15,588 pictures of 65 classes in four domains."""
    names = {name: (name, name.replace(" ", "_"), name.replace(" ", "")) for name in OFFICE_HOME}
    return {name: _by_folders(name, _first(root, spelt)) for name, spelt in names.items()}


def visda(root: Path) -> dict[str, Manifest]:
    """Peng et al., arXiv:1710.06924: 152,397 drawn pictures and 55,388 photographs of 12 classes."""
    manifests = {}
    for name in VISDA:
        folder = _first(root, (name,))
        listed = folder / "image_list.txt"
        manifests[name] = _by_list(name, folder, {"train": listed}) if listed.is_file() else _by_folders(name, folder)
    return manifests


def pacs(root: Path) -> dict[str, Manifest]:
    """Li et al., ICCV 2017: 9,991 pictures of seven classes in four styles.

    The authors part each style for training and for choosing ("crossval"); a style that is left out is asked about
    whole. Without their lists all is for training.
    """
    folder = next((root / below for below in BELOW if (root / below / PACS[0]).is_dir()), None)
    if folder is None:
        raise InputError(f"{root} is not PACS: there is no folder {PACS[0]} in it, nor in {', '.join(BELOW[1:])}")
    manifests = {}
    for name in PACS:
        lists = {split: _pacs_list(root, name, word) for split, word in (("train", "train"), ("calibrate", "crossval"))}
        listed = {split: path for split, path in lists.items() if path is not None}
        manifests[name] = (
            _by_list(name, folder, listed) if len(listed) == 2 else _by_folders(name, _first(folder, (name,)))
        )
    return manifests


def camelyon17(root: Path) -> dict[str, Manifest]:
    """Koh et al., ICML 2021: 455,954 patches of lymph nodes, tumour or not, of five hospitals.

    "train" and "id_val" are of three of them, "val" of a fourth, "test" of the fifth.
    """
    table = root / "metadata.csv"
    if not is_camelyon17(table):
        raise InputError(f"{root} is not Camelyon17-WILDS: it needs metadata.csv beside the folder patches")
    labels = as_labels(read_csv(table))
    center, validation = labels.site.str.removeprefix("center "), labels.wilds_split == "1"
    trained = center.isin(TRAIN_CENTERS)
    parts = {
        "train": trained & ~validation, "id_val": trained & validation,
        "val": center == VAL_CENTER, "test": center == TEST_CENTER,
    }  # fmt: skip
    manifests = {}
    for name, mask in parts.items():
        rows = labels[mask]
        pictures = map(Named, (root / file for file in rows.file), rows.label, ["train"] * len(rows), rows.patient)
        manifest = manifest_of(name, list(pictures))
        manifest.frame["site"] = rows.site.to_numpy()
        manifests[name] = manifest
    return manifests


def medmnist(root: Path) -> dict[str, Manifest]:
    """Yang et al., Scientific Data 2023: one .npz, or a folder with one; a single domain with three splits."""
    found = [root] if root.suffix == ".npz" else sorted(root.glob("*.npz"))
    if len(found) != 1:
        raise InputError(f"{root} holds {len(found)} .npz files of MedMNIST: give the one that is meant")
    rows = array_rows(found[0])
    return {"all": manifest_of("all", [Named(path, label, split, "", str(n)) for path, n, label, split in rows])}


LAYOUTS: dict[str, Callable[[Path], dict[str, Manifest]]] = {
    "office-31": office31,
    "office-home": office_home,
    "visda-2017": visda,
    "pacs": pacs,
    "camelyon17": camelyon17,
    "medmnist": medmnist,
}


def manifests(name: str, folder: str | Path) -> dict[str, Manifest]:
    """A manifest for each domain of a set.

    Raises:
        InputError: the folder is not there or has another layout, or the domains have different classes.
    """
    folder = Path(folder).expanduser().absolute()
    if not folder.exists():
        raise InputError(f"{folder} is not there: check the folder's name")
    found = LAYOUTS[name](folder)
    classes = {domain: manifest.classes for domain, manifest in found.items()}
    first = next(iter(classes))
    for domain, names in classes.items():
        if strange := sorted(set(names) ^ set(classes[first])):
            raise InputError(f"{folder}: {domain} and {first} have different classes, {', '.join(strange[:3])} say")
    return found


def _first(root: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise InputError(f"{root} lacks the folder {names[0]!r}: give the folder that holds the domains")


def _by_folders(domain: str, folder: Path) -> Manifest:
    """Of CLASS/*."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [
        Named(path, name.name)
        for name in classes
        for path in sorted(name.iterdir())
        if path.suffix.lower() in PICTURES and not path.name.startswith(".")
    ]
    if not found:
        raise InputError(f"{folder} holds no folders of pictures, one a class")
    return manifest_of(domain, found)


def _by_list(domain: str, folder: Path, lists: dict[str, Path]) -> Manifest:
    """Of lines `CLASS/FILE NUMBER`; the class is the file's folder, whatever number a list counts from."""
    found = []
    for split, path in lists.items():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip():
                file = folder / line.strip().rsplit(" ", 1)[0]
                found.append(Named(file, file.parent.name, split))
    missing = next((each.path for each in found if not each.path.is_file()), None)
    if missing is not None:
        raise InputError(f"{next(iter(lists.values()))} names {missing}, which is not there: unpack the set whole")
    return manifest_of(domain, found)


def _pacs_list(root: Path, domain: str, word: str) -> Path | None:
    places = [root / below / f"{domain}_{word}_kfold.txt" for below in LISTS]
    return next((place for place in places if place.is_file()), None)
