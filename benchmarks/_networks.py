"""The networks that `hospital_shift.py train` kept, and what they give, each computed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from hospital_shift import CONFIG, RESULTS
from safetensors.torch import load_file

from medtl.models import Classifier
from medtl.training.adaptation import new_classifier


def network(name: str, folder: Path = RESULTS, channels: int = 1) -> Classifier:
    """The classifier of two classes of this name, such as "brazil-egypt-0-dann"; "imagenet": untrained, frozen."""
    classifier = new_classifier(CONFIG, 2, channels, 0)
    if name != "imagenet":
        classifier.load_state_dict(load_file(folder / f"{name}.safetensors"))
    return classifier.eval()


def there(name: str, folder: Path = RESULTS) -> bool:
    """Whether it is trained already."""
    return name == "imagenet" or (folder / f"{name}.safetensors").exists()


def cached(file: Path, work: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Named arrays from a file, computed by `work` where it is not there yet."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.npz")
        np.savez_compressed(part, **work())
        part.rename(file)
    with np.load(file) as kept:
        return {name: kept[name] for name in kept.files}
