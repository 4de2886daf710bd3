"""From a classifier and scans to logits, and from those to the rows of predictions.csv."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from medtl.errors import InputError
from medtl.progress import track
from medtl.runs.rows import Remark, of_members, prediction_rows, prepared, remarks_of
from medtl.runs.uncertainty import Asked, refuse_what_cannot_be, uncertainty_of

if TYPE_CHECKING:
    import pandas as pd

    from medtl.data import Cohort
    from medtl.runs.run import Run
    from medtl.scans import Manifest

# Pictures or slices in one forward pass, the same for everyone, so that a prediction does not depend on a setting.
INSTANCES = 64


def outputs(classifier: nn.Module, cohort: Cohort, progress: str = "") -> tuple[np.ndarray, np.ndarray]:
    """What a classifier in evaluation mode gives for each scan of a cohort, on the device where it is.

    Args:
        classifier: gives an Output.
        cohort: N scans.
        progress: what the progress bar says; none without.

    Returns:
        logits float32 (N, K) and features float32 (N, F), in the cohort's order.
    """
    logits, features = [], []
    device = next(classifier.parameters()).device
    with torch.inference_mode():
        dealt = list(batches(cohort.bag_sizes))
        for scans in track(dealt, progress) if progress else dealt:
            pixels = [torch.from_numpy(np.asarray(cohort.pixels(i), np.float32)) for i in scans]
            bag = torch.repeat_interleave(torch.arange(len(scans)), torch.tensor([len(p) for p in pixels]))
            stacked = torch.cat(pixels).to(device, memory_format=torch.channels_last)
            output = classifier(stacked, bag.to(device), len(scans))
            logits.append(output.logits.float().cpu().numpy())
            features.append(output.features.float().cpu().numpy())
    if not logits:
        return np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)
    return np.concatenate(logits), np.concatenate(features)


def predict(
    run: Run, manifest: Manifest, which: str, uncertainty: str | None = None, members: Sequence[Run] = ()
) -> pd.DataFrame:
    """Predictions of one model of a Run; see `Run.predict`.

    With `uncertainty`, a name in `medtl.runs.uncertainty.UNCERTAINTIES`, a last column says how much each answer wavers
    (nats), nan where there is none; `members` are the other Runs of an ensemble.
    """
    from medtl.data import Cohort

    if uncertainty:
        refuse_what_cannot_be(uncertainty, run, members)
    rows = list(manifest)
    trust, usable = run.trust(which), [row for row in rows if row.status == "ok"]
    given: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    failed: dict[str, str] = {}
    said: dict[str, Remark] = {}
    wavers: dict[str, float] = {}
    try:
        cohort = Cohort(manifest.usable.without_labels(), run.recipe, unit=run.unit) if usable else None
    except InputError:  # a cohort of nothing is refused; predictions.csv has a row for each scan even then
        failed = {row.scan_id: prepared(row, run.recipe).reason for row in usable}
        if not all(failed.values()):
            raise
    else:
        if cohort is not None:
            logits, features = run.outputs(cohort, which)
            given = of_members(cohort.members, zip(logits, features, strict=True))
            failed = cohort.failed
            said = remarks_of(run.trained_on, cohort)
            if uncertainty:
                found = uncertainty_of(uncertainty, Asked(run, which, cohort, logits, features, members))
                wavers = of_members(cohort.members, found.spread.tolist())
    frame = prediction_rows(rows, run.classes, trust, given, failed, said)
    return frame.assign(uncertainty=frame["scan_id"].map(wavers).astype(float)) if uncertainty else frame


def batches(bag_sizes: Iterable[int], instances: int = INSTANCES) -> Iterator[list[int]]:
    """Deal scans, in order, into batches of at most `instances` instances; a larger scan goes alone."""
    batch: list[int] = []
    filled = 0
    for i, size in enumerate(int(s) for s in bag_sizes):
        if batch and filled + size > instances:
            yield batch
            batch, filled = [], 0
        batch.append(i)
        filled += size
    if batch:
        yield batch
