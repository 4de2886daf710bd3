"""The radiographs of `data_path.py`, prepared by medtl and by MONAI, and how what is compared takes turns."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from medtl.data import Cohort
    from medtl.scans import Manifest

CXR = Path(__file__).resolve().parents[2] / "shared" / "data" / "cxr"
BATCH, SIZE, CLOSE = 32, 112, 0.05


def files(n: int | None) -> list[Path]:
    """The radiographs, spread over both hospitals where only some are asked for."""
    every = sorted(CXR / name for name in pd.read_csv(CXR / "labels.csv").file)
    return every if n is None or n >= len(every) else [every[k] for k in np.linspace(0, len(every) - 1, n).astype(int)]


def manifest_of(paths: list[Path]) -> Manifest:
    from medtl.scans import Manifest
    from medtl.scans.manifest import COLUMNS

    table = pd.DataFrame({name: [""] * len(paths) for name in COLUMNS})
    table["scan_id"] = [f"scan{number}" for number in range(len(paths))]
    table["path"], table["status"] = [str(path) for path in paths], "ok"
    table["label"] = ["odd" if number % 2 else "even" for number in range(len(paths))]
    return Manifest(table)


def cohort_of(paths: list[Path], cache: Path, size: int = SIZE) -> Cohort:
    from medtl.data import Cohort
    from medtl.intensity import RECIPES

    return Cohort(manifest_of(paths), replace(RECIPES["radiograph"], size=size), cache=cache)


def monai_transforms() -> Any:
    """The radiograph recipe by MONAI's transforms: (1, 112, 112), float32 in [-1, 1]."""
    from monai import transforms as mt
    from monai.data import PILReader

    from medtl.intensity import RECIPES

    (told,) = (step.parameters for step in RECIPES["radiograph"].steps if step.name == "percentile_window")
    return mt.Compose(
        [
            mt.LoadImage(reader=PILReader(converter=in_grey), image_only=True, ensure_channel_first=True),
            mt.ScaleIntensityRangePercentiles(told["lower"], told["upper"], -1, 1, clip=True),
            mt.Resize(SIZE, size_mode="longest", mode="bilinear", anti_aliasing=True),
            mt.ResizeWithPadOrCrop((SIZE, SIZE), mode="constant", value=-1),
            mt.EnsureType(track_meta=False),
        ]
    )


def in_grey(image: Any) -> Any:
    return image.convert("L")


def far_apart(cohort: Cohort, paths: list[Path]) -> float:
    """The mean difference of medtl's and MONAI's pixels, of 2; stops where it is no rounding or filtering."""
    apply = monai_transforms()
    some = range(0, len(paths), max(1, len(paths) // 20))
    # MONAI's pictures lie on their side: columns, rows
    apart = [np.abs(cohort.pixels(k)[0, 0] - apply(str(paths[k]))[0].numpy().T).mean() for k in some]
    if np.mean(apart) > CLOSE:
        raise SystemExit(f"medtl's pixels and MONAI's differ by {np.mean(apart):.3f}: the recipes are not the same")
    return float(np.mean(apart))


def in_turns(ways: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """What each way gave, each time, all of them once before any a second time and in alternating order."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats):
        for name in list(ways)[:: 1 if repeat % 2 == 0 else -1]:
            found[name].append(round(ways[name](), 5))
    return found


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def spread(values: list[float], form: str = ".0f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


class watched:  # noqa: N801 - reads as a word
    """The largest USS of this process while the block runs, looked at ten times a second."""

    def __init__(self, cache: Path) -> None:
        self.found = {"uss": 0.0, "maps": 0.0}
        self._cache, self._ended = str(cache), threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> dict[str, float]:
        self._thread.start()
        return self.found

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            private = sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))
            maps = Path("/proc/self/maps").read_text().count(self._cache)
            self.found["uss"] = max(self.found["uss"], round(private / 1024, 1))
            self.found["maps"] = max(self.found["maps"], float(maps))
