"""A manifest as a MONAI datalist, and back: one JSON file that both worlds read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from medtl.errors import InputError
from medtl.scans.file_lists import FileLists
from medtl.scans.places import relative_to, seen_from
from medtl.scans.roles import has_role

# MONAI's name of a section -> our split
SPLIT_OF = {"training": "train", "train": "train", "validation": "calibrate", "val": "calibrate", "test": "test"}
SPLIT_OF |= {"testing": "test"}
SECTIONS = {"train": "training", "calibrate": "validation", "test": "test", "": "unassigned"}
ASIDE = ("unassigned", "unlabelled", "unusable")  # sections that MONAI reads only when asked for by name
TAKEN = {"image", "label", "label_name", "row"}  # keys of an item that are no column of the manifest
MASK = re.compile(r"\.(nii|nii\.gz|nrrd|mha|mhd|png|jpe?g|tiff?|npy|npz|dcm|h5)$", re.IGNORECASE)
NONE_OF_THEM = "none"  # the label of a scan for which every class is said to be absent


def is_datalist(content: Any) -> bool:
    """Whether JSON is a datalist: sections such as "training" that list items with an "image"."""
    if not isinstance(content, dict):
        return False
    sections = [content[name] for name in (*SPLIT_OF, *ASIDE) if isinstance(content.get(name), list)]
    items = [item for section in sections for item in section[:1]]
    listed = all(
        isinstance(item, str) or (isinstance(item, dict) and ("image" in item or "row" in item)) for item in items
    )
    return bool(sections) and listed and (bool(items) or "columns" in content)


def of_medtl(content: Mapping[str, Any]) -> bool:
    """Whether a datalist is a manifest: all of its items have a scan_id."""
    return all(isinstance(item, dict) and item.get("scan_id") for _, item in _items(content))


# --- a manifest, to and from -----------------------------------------------------------------------------------------


def to_datalist(frame: pd.DataFrame, files: FileLists, folder: Path) -> str:
    """The JSON of a manifest that lies in `folder`.

    `monai.data.load_decathlon_datalist(path, is_segmentation=False, data_list_key="training")` reads it, likewise
    "validation" (our split `calibrate`) and "test". An item has `image` (a path, or those of a series in slice order),
    `label` (the number of its class under "labels"; where scans may have several, a list of 0 and 1), `label_name`, and
    the manifest's other cells that are not empty. Scans without a label, those that cannot be used and those without a
    split stand in sections of their own. MONAI makes a path of any text that is the name of a file or folder beside
    the datalist, a site's perhaps; the file has it as it is.
    """
    labelled = (frame.status == "ok") & (frame.label != "")
    classes = sorted({name for label in frame.label[labelled] for name in label.split(";")})
    numbers = {name: i for i, name in enumerate(classes)}
    several = bool(frame.label[labelled].str.contains(";").any())
    relative = relative_to(folder)
    columns = [str(name) for name in frame.columns]
    keys = {name: _key(name) for name in columns if name not in ("path", "label", "split")}
    sections: dict[str, list[str]] = {"training": [], "validation": [], "test": []}
    for row, cells in enumerate(frame.itertuples(index=False, name=None)):
        record = dict(zip(columns, cells, strict=True))
        item = _images(record["path"], files.texts(record["scan_id"]), relative)
        if record["status"] != "ok":
            section = "unusable"
        elif not record["label"]:
            section = "unlabelled"
        else:
            section = SECTIONS[record["split"]]
            names = record["label"].split(";")
            item["label"] = [int(name in names) for name in classes] if several else numbers[names[0]]
        if record["label"]:
            item["label_name"] = record["label"]
        item["row"] = row
        if section in ASIDE and record["split"]:
            item["split"] = record["split"]
        item |= {key: record[name] for name, key in keys.items() if record[name]}
        sections.setdefault(section, []).append(json.dumps(item))
    if not sections["test"]:
        del sections["test"]  # MONAI stops at an empty one
    head: dict[str, Any] = {"labels": {str(i): name for i, name in enumerate(classes)}, "columns": columns}
    head |= {"numTraining": len(sections["training"]), "numTest": len(sections.get("test", ()))}
    parts = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    parts += [
        f"{json.dumps(name)}: [{','.join(f'{chr(10)}  {i}' for i in items)}\n]" for name, items in sections.items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def from_datalist(content: Mapping[str, Any], folder: Path, needed: Sequence[str]) -> tuple[pd.DataFrame, FileLists]:
    """The table, and the files of scans that have many, of a datalist that `to_datalist` made in `folder`.

    A person may have moved items to another section, changed their `label`, or added keys: those are new columns.

    Args:
        content: what the JSON holds.
        folder: where it lies.
        needed: the columns that a manifest has.

    Raises:
        InputError: a label is not among "labels", or an item is not as `to_datalist` writes it.
    """
    names = _class_names(content)
    absolute = seen_from(folder)
    rows: list[tuple[Any, dict[str, str]]] = []
    files = FileLists()
    for section, item in _items(content):
        images = item.get("image", [])
        images = [images] if isinstance(images, str) else images
        if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
            raise InputError("an item's image is neither a path nor a list of paths; make the datalist again")
        paths = [absolute(image) for image in images]
        cells = {_column(key): _cell(value) for key, value in item.items() if key not in TAKEN}
        first = absolute(cells["path"]) if cells.get("path") else "".join(paths[:1])
        cells |= {"path": first, "label": _label(item, names)}
        cells["split"] = SPLIT_OF.get(section, cells.get("split", ""))
        cells.setdefault("status", "ok")
        if len(paths) > 1:
            files[cells["scan_id"]] = paths
        row = item.get("row")
        rows.append((row if isinstance(row, int) else len(rows), cells))
    rows.sort(key=lambda each: each[0])
    listed = content.get("columns")
    columns = [*needed, *(map(str, listed) if isinstance(listed, list) else ()), *(c for _, r in rows for c in r)]
    columns = list(dict.fromkeys(columns))
    frame = pd.DataFrame([[r.get(c, "") for c in columns] for _, r in rows], columns=columns, dtype=object)
    return frame.astype(str), files


def _images(path: str, files: Sequence[str], relative: Callable[[str | Path], str]) -> dict[str, Any]:
    if len(files) > 1:
        images: dict[str, Any] = {"image": [relative(file) for file in files]}
        return images if files[0] == path else images | {"path": relative(path)}
    return {"image": relative(path)} if path else {}


def _label(item: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """`label_name` as it was written, where its classes are those of the number, which a person may have changed."""
    written = str(item.get("label_name", ""))
    if "label" not in item or item["label"] is None:
        return written
    numbered = _label_text(item["label"], names, strict=True)
    return written if set(written.split(";")) == set(numbered.split(";")) else numbered


def _key(column: str) -> str:
    return f"column {column}" if column in TAKEN or column.startswith("column ") else column


def _column(key: str) -> str:
    return key.removeprefix("column ")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _items(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section in (*SPLIT_OF, *ASIDE):
        items = content.get(section)
        if isinstance(items, list):
            yield from ((section, item) for item in items)


# --- a datalist of others, as labels ---------------------------------------------------------------------------------


def datalist_records(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a datalist says of its scans: file, label (the class's name), split, and its other keys.

    A label that is a file is a segmentation: it stands as `label_mask`, since it is no class. An item of several images
    (MONAI's channels, or the slices of a series) gives each the same label and split; where it has no split, they are
    one `patient`, so that they get the same one.
    """
    names = _class_names(content)
    records = []
    for section, item in _items(content):
        item = item if isinstance(item, dict) else {"image": item}
        image = item.get("image", "")
        images = image if isinstance(image, list) else [image]
        record: dict[str, Any] = {}
        label = item.get("label_name", item.get("label"))
        if isinstance(label, str) and MASK.search(label):
            record["label_mask"] = label
        else:
            record["label"] = _label_text(label, names)
        record["split"] = SPLIT_OF.get(section, item.get("split", ""))
        record |= {_column(key): value for key, value in item.items() if key not in (*TAKEN, "split")}
        if len(images) > 1 and not record["split"] and not any(has_role(key, ("patient", "scan_id")) for key in record):
            record["patient"] = str(images[0])
        listed = images[:1] if "scan_id" in record else images  # of ours one is enough
        records += [{"file": file} | record for file in listed or [""]]
    return records


def image_files(content: Mapping[str, Any], folder: Path) -> set[str]:
    """The absolute paths of all images that a datalist in `folder` lists."""
    absolute = seen_from(folder)
    images = [item.get("image", "") if isinstance(item, dict) else item for _, item in _items(content)]
    return {absolute(str(one)) for image in images for one in (image if isinstance(image, list) else [image]) if one}


def _class_names(content: Mapping[str, Any]) -> dict[str, str]:
    """Class number -> name, of {"0": "benign"}, {"benign": 0} or ["benign"]."""
    labels = content.get("labels")
    if isinstance(labels, list):
        return {str(i): str(name) for i, name in enumerate(labels)}
    if not isinstance(labels, dict):
        return {}
    if labels and all(isinstance(number, int) for number in labels.values()):
        return {str(number): str(name) for name, number in labels.items()}
    return {str(number): str(name) for number, name in labels.items()}


def _label_text(value: Any, names: Mapping[str, str], strict: bool = False) -> str:
    """The class's name of a label; several are joined by ";".

    Raises:
        InputError: `strict`, and it is not among the names.
    """
    if isinstance(value, list):
        marks = len(value) == len(names) if names else len(value) > 1
        if marks and all(mark in (0, 1) for mark in value):
            present = [_label_text(i, names, strict) for i, mark in enumerate(value) if mark]
            return ";".join(present) if present else NONE_OF_THEM
        return ";".join(_label_text(each, names, strict) for each in value)
    if value is None:
        return ""
    number = (
        str(int(value)) if isinstance(value, bool | int) or (isinstance(value, float) and value.is_integer()) else ""
    )
    if strict and number not in names:
        raise InputError(f'the label {value!r} is not among "labels" ({", ".join(names)}); add its name there')
    return names.get(number or str(value), number or str(value))
