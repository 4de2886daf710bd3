"""Every model's saliency maps against the masks that the manifest names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medtl.errors import InputError, ScanError

if TYPE_CHECKING:
    from medtl.data import Cohort
    from medtl.intensity import Recipe
    from medtl.reports.contents import ModelResult, SaliencyScore
    from medtl.reports.pointing import Marked
    from medtl.runs.run import Run
    from medtl.scans import Row
    from medtl.verbs._measuring import Seen

#: Scans that the maps are scored on, at most: three maps take a second or so a scan, and 100 give an interval of about
#: 20 points.
MOST = 100


def score_saliency(
    models: Mapping[str, tuple[Run, str]], results: Sequence[ModelResult], seen: Seen, masks: Mapping[str, Path]
) -> tuple[tuple[SaliencyScore, ...], str]:
    """Score the maps of every model on the scans that have a mask; of more than 100, on 100 drawn by chance.

    Args:
        models: name -> the Run, and which of its models.
        results: what each of them says.
        seen: the scans.
        masks: scan_id -> file.

    Returns:
        the scores; a sentence on what was left out, "" where nothing was.

    Raises:
        InputError: a mask cannot be read or is not of its scan's size.
    """
    from medtl import progress
    from medtl.reports.pointing import saliency_scores
    from medtl.reports.render import answers

    if not masks:
        return (), ""
    if seen.main.task == "multilabel" or seen.main.unit == "study":
        return (), "Saliency is not scored where a scan has several labels, or a study one answer."
    rows = [i for i, scan_id in enumerate(seen.cohort(seen.main).scan_id) if scan_id in masks]
    note = ""
    if len(rows) > MOST:
        note = f"Saliency is scored on {MOST} of the {len(rows)} scans that have a mask of the lesion, drawn by chance."
        rows = sorted(np.random.default_rng(0).choice(rows, MOST, replace=False).tolist())
    scores: list[SaliencyScore] = []
    for result in results:
        run, which = models[result.name]
        said = answers(result)
        marked = progress.track(rows, f"Saliency of {result.name}")
        scans = ((scan, int(said[row])) for row, scan in _marked(seen.cohort(run), marked, masks))
        scores.extend(saliency_scores(result.name, run.classifier(which), scans))
    return tuple(scores), note


def _marked(cohort: Cohort, rows: Iterator[int], masks: Mapping[str, Path]) -> Iterator[tuple[int, Marked]]:
    """The scans whose lesion is still to be seen in the network's input."""
    from medtl.reports.pointing import Marked

    of = {row.scan_id: row for row in cohort.manifest}
    for number in rows:
        row = of[str(cohort.scan_id[number])]
        found = masks_on_input(cohort.recipe, row, masks[row.scan_id])
        if found is not None and found[0].any():
            yield number, Marked(np.asarray(cohort.pixels(number)), *found, row.patient or row.scan_id)


def masks_on_input(recipe: Recipe, row: Row, file: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """The lesion, and all that is picture, on the network's input.

    Args:
        recipe: the model's.
        row: of the scan.
        file: its mask, of the scan's size; what is brighter than half of its brightest is lesion.

    Returns:
        two bool (instances, size, size); None where the recipe projects a volume, so that no slice is left.

    Raises:
        InputError: the mask cannot be read, or is of another size.
    """
    from medtl.intensity.colour import as_grey
    from medtl.intensity.masks import mask_on_input
    from medtl.scans import read

    scan = read(row)
    try:
        drawn = as_grey(read(file)).pixels
        lesion = mask_on_input(recipe, scan, drawn > drawn.max() / 2 if drawn.max() > 0 else drawn > 0)
        picture = mask_on_input(recipe, scan, np.ones(scan.pixels.shape[:3], bool))
    except ScanError as error:
        raise InputError(
            f"the lesion mask of scan {row.scan_id} cannot be used: {error}; correct the column lesion_mask, or leave "
            "its cell empty"
        ) from error
    return None if lesion is None or picture is None else (lesion, picture)
