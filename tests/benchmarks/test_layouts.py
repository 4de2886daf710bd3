"""Miniature folders in the layouts in which the field's data sets are published; every picture is noise."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medtl.errors import InputError

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
_spec = importlib.util.spec_from_file_location("_layouts", BENCHMARKS / "_layouts.py")
layouts = importlib.util.module_from_spec(_spec)
sys.modules["_layouts"] = layouts
_spec.loader.exec_module(layouts)

RANDOM = np.random.default_rng(0)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RANDOM.integers(0, 256, (12, 14, 3), dtype=np.uint8)).save(path)


def tree(root: Path, domains: list[str], classes: list[str], ending: str = "jpg", files: int = 3) -> None:
    for domain in domains:
        for name in classes:
            for number in range(files):
                picture(root / domain / name / f"frame_{number:04d}.{ending}")


def labels(manifest) -> dict[str, int]:
    assert (manifest.frame.status == "ok").all() and all(Path(path).is_file() for path in manifest.frame.path)
    return manifest.frame.label.value_counts().sort_index().to_dict()


@pytest.mark.parametrize("below", ["/images", ""])
def test_office31(tmp_path, below):
    tree(tmp_path, [f"{name}{below}" for name in ("amazon", "dslr", "webcam")], ["back_pack", "bike"])
    (tmp_path / f"amazon{below}" / "bike" / "Thumbs.db").write_bytes(b"x")
    found = layouts.manifests("office-31", tmp_path)
    assert list(found) == ["amazon", "dslr", "webcam"]
    assert all(labels(manifest) == {"back_pack": 3, "bike": 3} for manifest in found.values())
    assert found["dslr"].sites == ["dslr"] and set(found["dslr"].frame.split) == {"train"}


@pytest.mark.parametrize("real", ["Real World", "Real_World", "RealWorld"])
def test_office_home(tmp_path, real):
    tree(tmp_path, ["Art", "Clipart", "Product", real], ["Alarm_Clock", "TV"])
    (tmp_path / "ImageInfo.csv").write_text("x")
    found = layouts.manifests("office-home", tmp_path)
    assert list(found) == ["Art", "Clipart", "Product", "Real World"] and len(found["Real World"]) == 6


@pytest.mark.parametrize("listed", [True, False])
def test_visda(tmp_path, listed):
    tree(tmp_path, ["train", "validation"], ["aeroplane", "bus"], "png")
    if listed:
        text = "".join(f"{name}/frame_{n:04d}.png {k}\n" for k, name in enumerate(["aeroplane", "bus"]) for n in (0, 1))
        (tmp_path / "train" / "image_list.txt").write_text(text)
    found = layouts.manifests("visda-2017", tmp_path)
    assert labels(found["train"]) == ({"aeroplane": 2, "bus": 2} if listed else {"aeroplane": 3, "bus": 3})
    assert labels(found["validation"]) == {"aeroplane": 3, "bus": 3}


@pytest.mark.parametrize(
    ("pictures", "lists"), [("", None), ("kfold", ""), ("images", "splits"), ("pacs_data", "pacs_label")]
)
def test_pacs(tmp_path, pictures, lists):
    styles, classes = ["art_painting", "cartoon", "photo", "sketch"], ["dog", "person"]
    tree(tmp_path / pictures, styles, classes)
    if lists is not None:
        (tmp_path / lists).mkdir(exist_ok=True)
        for style in styles:
            for word, numbers in (("train", (0, 2)), ("crossval", (1,)), ("test", (0, 1, 2))):
                lines = [f"{style}/{c}/frame_{n:04d}.jpg {k}\n" for k, c in enumerate(classes, 1) for n in numbers]
                (tmp_path / lists / f"{style}_{word}_kfold.txt").write_text("".join(lines))
    found = layouts.manifests("pacs", tmp_path)
    assert list(found) == styles and all(labels(each) == {"dog": 3, "person": 3} for each in found.values())
    splits = found["photo"].frame.split.value_counts().to_dict()
    assert splits == ({"train": 6} if lists is None else {"train": 4, "calibrate": 2})


def test_camelyon17(tmp_path):
    lines = []
    for number in range(30):
        center, patient = number // 6, f"{number // 3:03d}"
        picture(
            tmp_path / "patches" / f"patient_{patient}_node_4" / f"patch_patient_{patient}_node_4_x_{number}_y_7.png"
        )
        lines.append(f"{number},{patient},4,{number},7,{number % 2},{number // 3},{center},{int(number % 3 == 2)}\n")
    (tmp_path / "metadata.csv").write_text(",patient,node,x_coord,y_coord,tumor,slide,center,split\n" + "".join(lines))
    found = layouts.manifests("camelyon17", tmp_path)
    assert {name: len(each) for name, each in found.items()} == {"train": 12, "id_val": 6, "val": 6, "test": 6}
    assert labels(found["test"]) == {"normal": 3, "tumor": 3}
    assert found["train"].sites == ["center 0", "center 3", "center 4"] and found["test"].sites == ["center 2"]
    assert set(found["val"].frame.patient) == {"002", "003"}


def test_medmnist(tmp_path):
    arrays = {}
    for split, count in (("train", 6), ("val", 2), ("test", 4)):
        arrays[f"{split}_images"] = RANDOM.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2)[:, None].astype(np.uint8)
    np.savez(tmp_path / "breastmnist.npz", **arrays)
    found = layouts.manifests("medmnist", tmp_path / "breastmnist.npz")["all"]
    assert found.frame.split.value_counts().to_dict() == {"train": 6, "calibrate": 2, "test": 4}
    assert found.frame.label.tolist() == ["0", "1"] * 6


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        layouts.manifests("office-31", tmp_path / "nowhere")
    tree(tmp_path, ["amazon", "dslr"], ["bike", "mug"])
    with pytest.raises(InputError, match="lacks the folder 'webcam"):
        layouts.manifests("office-31", tmp_path)
    tree(tmp_path, ["webcam"], ["bike"])
    with pytest.raises(InputError, match="different classes, mug"):
        layouts.manifests("office-31", tmp_path)
    with pytest.raises(InputError, match="is not PACS"):
        layouts.manifests("pacs", tmp_path)
    with pytest.raises(InputError, match="is not Camelyon17"):
        layouts.manifests("camelyon17", tmp_path)
