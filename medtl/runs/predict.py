"""From a classifier and scans to logits, and from those to the rows of predictions.csv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from medtl.errors import InputError
from medtl.models import look
from medtl.runs.rows import Remark, of_members, prediction_rows, prepared, remarks_of
from medtl.runs.uncertainty import Asked, refuse_what_cannot_be, uncertainty_of

if TYPE_CHECKING:
    import pandas as pd

    from medtl.data import Cohort
    from medtl.runs.run import Run
    from medtl.scans import Manifest


def outputs(classifier: nn.Module, cohort: Cohort, progress: str = "") -> tuple[np.ndarray, np.ndarray]:
    """What a classifier in evaluation mode gives for each scan of a cohort, on the device where it is.

    Args:
        classifier: gives an Output.
        cohort: N scans.
        progress: what the progress bar says; none without.

    Returns:
        logits float32 (N, K) and features float32 (N, F), in the cohort's order.
    """
    found = look(classifier.eval(), cohort, progress)
    return found.logits.cpu().numpy(), found.features.cpu().numpy()


def predict(
    run: Run, manifest: Manifest, which: str, uncertainty: str | None = None, members: Sequence[Run] = ()
) -> pd.DataFrame:
    """Predictions of one model of a Run; see `Run.predict`.

    With `uncertainty`, a name in `medtl.runs.uncertainty.UNCERTAINTIES`, a last column says how much each answer wavers
    (nats), nan where there is none; `members` are the other Runs of an ensemble.
    """
    from medtl.data import Cohort

    if uncertainty:
        refuse_what_cannot_be(uncertainty, run, members, which)
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
