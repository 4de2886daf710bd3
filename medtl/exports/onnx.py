"""A Run as an ONNX model that needs no torch, with all that its predictions need beside it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import shutil
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from medtl.errors import InputError
from medtl.exports.runtime import DESCRIPTION, MODEL, SCHEMA_VERSION, Export
from medtl.files import atomic_write
from medtl.models import Classifier
from medtl.models.pooling import GatedAttention
from medtl.progress import track
from medtl.runs.layout import may_replace, plain, write_json
from medtl.runs.provenance import medtl_version
from medtl.runs.run import Run

if TYPE_CHECKING:
    from medtl.data import Cohort

TOLERANCE = 1e-4  # of a probability and of a slice's weight, ONNX Runtime against PyTorch
REAL_SCANS = 100  # so many of a cohort are compared
_FACTS = ("method", "harmonise", "decision", "trained_on", "unit", "provenance")  # run.json's, kept too
BAGS = (1, 2, 5, 17)  # the sizes of the synthetic bags that are compared


class OneScan(nn.Module):
    """The classifier of one scan: its instances are one bag, so that a graph needs no bag numbers."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.attends = isinstance(classifier.pooling, GatedAttention)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Pixels (instances, C, H, W) of one scan -> logits (1, K), features (1, F); of attention, (instances,) too."""
        instances = self.classifier.backbone(pixels)
        if not self.attends:
            output = self.classifier.classify(instances.mean(dim=0, keepdim=True))
            return output.logits, output.features
        pooled, weights = self.classifier.pooling(instances, torch.zeros_like(instances[:, 0], dtype=torch.long), 1)
        output = self.classifier.classify(pooled)
        return output.logits, output.features, weights


def export_onnx(
    run: Run, out: str | Path, which: str = "model", cohort: Cohort | None = None, force: bool = False
) -> Path:
    """Write `out/model.onnx` and `out/medtl.json`, after comparing them with PyTorch.

    `model.onnx` takes `pixels`, float32 (instances, C, H, W), any number of instances of one scan, and gives `logits`
    (1, K) and `features` (1, F); where the Run pools by attention, `attention` (instances,) too, the weights of the
    slices, which sum to 1. `medtl.json` holds classes, recipe, trust and the model's sha256.

    Args:
        run: a finished Run.
        out: a folder that does not exist.
        which: the model of the Run.
        cohort: real scans to compare on; without it, and before it, synthetic pixels in bags of 1 to 17 instances.
        force: replace `out` where it is an export.

    Returns:
        The folder.

    Raises:
        InputError: `out` exists, the Run is damaged, or a probability differs by 1e-4 or more.
    """
    out = may_replace(out, DESCRIPTION, "an export", force)
    classifier = run.classifier(which)
    with atomic_write(out) as folder:
        folder.mkdir()
        _write_graph(OneScan(classifier).eval(), run, folder / MODEL)
        facts = _description(run, which, hashlib.sha256((folder / MODEL).read_bytes()).hexdigest())
        write_json(folder / DESCRIPTION, facts)
        facts["checked"] = _compare(Export.load(folder), classifier, cohort)
        write_json(folder / DESCRIPTION, facts)
        if out.is_dir():
            shutil.rmtree(out)
    return out


def _description(run: Run, which: str, sha256: str) -> dict[str, Any]:
    """medtl.json."""
    return {
        "schema_version": SCHEMA_VERSION,
        "medtl": medtl_version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": run.task,
        "classes": run.classes,
        "recipe": plain(run.recipe.to_dict()),
        "recipe_digest": run.recipe.digest,
        "trust": plain(run.trust(which).to_dict()),
        "model": {"file": MODEL, "sha256": sha256},
        "fingerprint": run.fingerprint(which),
        "backbone": run.backbone_of(which),
        **{key: run.facts[key] for key in _FACTS if key in run.facts},
    }


def _write_graph(model: OneScan, run: Run, file: Path) -> None:
    example = torch.zeros(3, run.recipe.channels, run.recipe.size, run.recipe.size)
    noise = io.StringIO()
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(noise), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                (example,),
                file,
                dynamo=True,
                external_data=False,
                input_names=["pixels"],
                output_names=["logits", "features", *(["attention"] if model.attends else [])],
                dynamic_shapes=({0: torch.export.Dim("instances", min=1, max=65536)},),
                verbose=False,
            )
    finally:
        logger.setLevel(level)


def _compare(export: Export, classifier: Classifier, cohort: Cohort | None) -> dict[str, Any]:
    """How far ONNX Runtime is from PyTorch, on synthetic bags and on the first scans of the cohort.

    Raises:
        InputError: too far.
    """
    pixels = list(_synthetic(export.recipe.channels, export.recipe.size))
    scans = 0 if cohort is None else min(len(cohort), REAL_SCANS)
    largest = 0.0
    for i in track(range(len(pixels) + scans), "Comparing the export with PyTorch"):
        bag = pixels[i] if i < len(pixels) else cohort.pixels(i - len(pixels))  # type: ignore[union-attr]
        with torch.inference_mode():
            output = classifier(torch.from_numpy(bag), torch.zeros(len(bag), dtype=torch.long), 1)
        ours = export.probabilities(*export.outputs(bag))
        theirs = export.probabilities(output.logits.numpy(), output.features.numpy())
        largest = max(largest, float(np.abs(ours - theirs).max()))
        if (weights := export.attention(bag)) is not None:
            largest = max(largest, float(np.abs(weights - output.attention.numpy()).max()))
    if not largest < TOLERANCE:
        raise InputError(
            f"the export of this Run differs from PyTorch by {largest:.2g} in a probability, which is more than "
            f"{TOLERANCE:g}: nothing was written; use the Run itself, and report the backbone"
        )
    return {"largest_difference": largest, "real_scans": scans, "synthetic_bags": len(pixels)}


def _synthetic(channels: int, size: int) -> list[np.ndarray]:
    """Bags in [-1, 1]: noise at every scale, from even grey to single pixels, in bags of several sizes."""
    random = np.random.default_rng(0)
    bags = []
    for instances in BAGS:
        bag = np.zeros((instances, channels, size, size), np.float32)
        for scale in (1, 4, 16, 64):
            coarse = random.normal(size=(instances, channels, -(-size // scale), -(-size // scale)))
            bag += 0.4 * coarse.repeat(scale, 2).repeat(scale, 3)[:, :, :size, :size].astype(np.float32)
        bags.append(np.clip(bag, -1, 1))
    return bags
