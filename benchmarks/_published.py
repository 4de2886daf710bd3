"""What was published on the field's data sets, to stand beside what is measured here.

tllib: its benchmark page (thuml/Transfer-Learning-Library, docs/dalib/benchmarks), which is above the methods' own
papers throughout. WILDS: Koh et al., ICML 2021, and Sagawa et al., ICLR 2022, table 2 (whose unlabelled patches are
others of the test hospital). MedMNIST v2: Yang et al., Scientific Data 2023, table 3, ResNet-18 at 224.
"""

from __future__ import annotations

from collections.abc import Mapping

#: set -> method as medtl calls it -> per cent: the mean over tasks, of classes for VisDA.
MEANS: dict[str, dict[str, float]] = {
    "office-31": {
        "source-only": 79.5, "dann": 86.1, "adda": 87.3, "dan": 83.7, "jan": 87.0, "cdan": 87.7, "mcd": 85.4,
        "afn": 88.6, "bsp": 87.8, "mdd": 89.6, "mcc": 89.6,
    },
    "office-home": {
        "source-only": 58.4, "dann": 65.2, "adda": 65.6, "dan": 61.4, "jan": 65.9, "cdan": 68.8, "mcd": 67.8,
        "afn": 68.2, "bsp": 67.6, "mdd": 69.7, "mcc": 72.4,
    },
    "visda-2017": {
        "source-only": 51.7, "dann": 79.5, "adda": 77.5, "dan": 66.4, "jan": 73.4, "cdan": 80.1, "mcd": 77.7,
        "afn": 75.0, "bsp": 80.5, "mdd": 82.0, "mcc": 83.6,
    },
    "pacs": {"source-only": 79.1},
    "camelyon17": {
        "source-only": 70.3, "deep-coral": 77.9, "dann": 68.4, "afn": 83.2, "pseudo-label": 67.7, "fixmatch": 71.0,
    },
}  # fmt: skip

#: Office-31, task by task: A to W, D to W, W to D, A to D, D to A, W to A.
OFFICE31 = {
    "source-only": (75.8, 95.5, 99.0, 79.3, 63.6, 63.8),
    "dann": (91.4, 97.9, 100.0, 83.6, 73.3, 70.4),
    "adda": (94.6, 97.5, 99.7, 90.0, 69.6, 72.5),
    "dan": (84.2, 98.4, 100.0, 87.3, 66.9, 65.2),
    "jan": (93.7, 98.4, 100.0, 89.4, 69.2, 71.0),
    "cdan": (93.8, 98.5, 100.0, 89.9, 73.4, 70.4),
    "mcd": (90.4, 98.5, 100.0, 87.3, 68.3, 67.6),
    "afn": (94.0, 98.9, 100.0, 94.4, 72.9, 71.1),
    "mdd": (95.6, 98.6, 100.0, 94.4, 76.6, 72.2),
    "bsp": (92.7, 97.9, 100.0, 88.2, 74.1, 73.8),
    "mcc": (94.1, 98.4, 99.8, 95.6, 75.5, 74.2),
}
_OFFICE31_TASKS = (
    ("amazon", "webcam"), ("dslr", "webcam"), ("webcam", "dslr"), ("amazon", "dslr"), ("dslr", "amazon"),
    ("webcam", "amazon"),
)  # fmt: skip
PACS = {"art_painting": 77.9, "cartoon": 74.9, "photo": 95.7, "sketch": 67.7}

#: MedMNIST v2, test AUC and accuracy.
MEDMNIST = {
    "pathmnist": (0.989, 0.909), "chestmnist": (0.773, 0.947), "dermamnist": (0.920, 0.754),
    "octmnist": (0.958, 0.763), "pneumoniamnist": (0.956, 0.864), "retinamnist": (0.710, 0.493),
    "breastmnist": (0.891, 0.833), "bloodmnist": (0.998, 0.963), "tissuemnist": (0.933, 0.681),
    "organamnist": (0.998, 0.951), "organcmnist": (0.994, 0.920), "organsmnist": (0.974, 0.778),
}  # fmt: skip


def published(name: str, method: str, task: tuple[str, ...]) -> float | None:
    """Per cent of one task, where it is known: (source, target), or (target,) where all others are sources."""
    if name == "office-31" and method in OFFICE31:
        return dict(zip(_OFFICE31_TASKS, OFFICE31[method], strict=True)).get((task[0], task[-1]))
    if name == "pacs" and method == "source-only":
        return PACS.get(task[-1])
    return None


def mean(name: str, method: str) -> float | None:
    """Per cent, over all tasks of a set."""
    known: Mapping[str, float] = MEANS.get(name, {})
    return known.get(method)
