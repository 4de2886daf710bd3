"""Two small hospitals of synthetic pictures and a backbone that trains in seconds: for the tests of training verbs."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from medtl import progress
from medtl.scans import Manifest
from medtl.training import loop

BACKBONE = "test_efficientnet"  # timm's smallest, 0.4 million parameters
SPLITS = ("train", "train", "calibrate", "test")


@pytest.fixture(scope="module", autouse=True)
def quiet_on_one_thread(tmp_path_factory):
    """For a module of tests: one thread, two steps an epoch, a cache of its own, and nothing said."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    progress.set_mode("quiet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "EPOCH", 2)
        patch.setenv("MEDTL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield
    progress.set_mode("auto")
    torch.set_num_threads(threads)


def site(folder: Path, name: str, patients: int = 24, dark: int = 0, classes: tuple[str, ...] = ("no", "yes")) -> Path:
    """Two pictures a patient with a spot where "yes", a manifest with splits beside them; another site is darker."""
    random = np.random.default_rng(dark)
    (folder / name).mkdir(parents=True)
    rows = []
    for i in range(2 * patients):
        patient = i // 2
        k = patient % len(classes)
        pixels = random.integers(60, 180, (40, 40)) - dark
        pixels[8 + 2 * k : 16 + 2 * k, 10:22] += 60 * k
        path = folder / name / f"Smith_{i}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
        rows.append(
            {
                "scan_id": f"{name.encode().hex()[:4]}{i:08x}",
                "patient": f"P-{name.encode().hex()[:3]}a{patient:04d}",  # as a keyed hash looks
                "study": "",
                "series": "",
                "site": name,
                "path": str(path),
                "label": classes[k],
                "split": SPLITS[patient // len(classes) % len(SPLITS)],
                "status": "ok",
                "reason": "",
            }
        )
    return Manifest(pd.DataFrame(rows)).save(folder / f"{name}.csv")


def config(folder: Path, name: str = "config.yaml", **others: Any) -> Path:
    """A tiny budget, and random weights for the backbone in a file of its own."""
    weights = folder / "backbone.safetensors"
    if not weights.exists():
        torch.manual_seed(5)
        save_file(dict(timm.create_model(BACKBONE, num_classes=0).state_dict()), weights)
    told = {
        "backbone": BACKBONE,
        "weights": str(weights),
        "size": 32,
        "source": {"steps": 6, "batch": 8, "lr": 0.01},
        "adapt": {"steps": 4, "batch": 8},
        "finetune": {"steps": 4, "batch": 8},
        **others,
    }
    file = folder / name
    file.write_text(yaml.safe_dump(told), encoding="utf-8")
    return file


def change(manifest: Path, to: Path, **columns: Any) -> Path:
    """A copy of a manifest with other columns: a value, or a function of the table."""
    before = Manifest.load(manifest)
    frame = before.frame.assign(**columns)
    return Manifest(frame, before.files).save(to)


def main(words: list[str]) -> int:
    """`medtl` with epochs of two steps, and slow enough after each to be killed."""
    from medtl import cli
    from medtl.training import loop

    save = loop.save_checkpoint

    def slow(*arguments: Any) -> None:
        save(*arguments)
        time.sleep(0.4)

    loop.EPOCH, loop.save_checkpoint = 2, slow
    torch.set_num_threads(1)
    return cli.main(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
