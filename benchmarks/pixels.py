"""What pixel-level harmonisation gives by itself, in seconds: frozen ImageNet features and logistic regression.

    python benchmarks/pixels.py [--pairs brazil-egypt,...]

The cheap baseline that every adaptation has to beat. The same pairs, patients and halves as hospital_shift.py: fitted
on the source's training part, judged on the target's test half; what a recipe learns it learns from the source's
training part. Nothing here is random but the draws of patients for the intervals. "By site" standardises the features
of each site by themselves, which looks at the target's other half, unlabelled.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _rows import Rows, machine, markdown
from hospital_shift import CONFIG, PAIRS, Pair, interval, paired_gain

from medtl.data import Cohort
from medtl.intensity import RECIPES, Recipe
from medtl.intensity.recipes import harmonised
from medtl.measures import auroc
from medtl.runs.predict import outputs
from medtl.scans import read
from medtl.training.adaptation import new_classifier
from medtl.verbs._recipe import to_learn_from

RESULTS = Path(__file__).resolve().parent / "results"
#: Recipe of a pair -> others that could take its place.
OTHERS = {"ultrasound": ("ultrasound-filled",), "radiograph": ("radiograph-clean", "radiograph-clahe")}


def recipes_of(pair: Pair) -> Iterator[tuple[str, Recipe, float]]:
    """Name, recipe, and the seconds that it took to learn, reading included."""
    base = RECIPES[pair.recipe]
    yield "as it is", base, 0.0
    for name in OTHERS[pair.recipe]:
        yield name, RECIPES[name], 0.0
    rows = list(pair.manifest(pair.source, pair.parts(pair.source, 0.8, 0.2)[0]))
    for name in ("histogram", "landmarks"):
        began = time.perf_counter()
        learnt = harmonised(base, [name]).fit(read(row) for row in to_learn_from(rows))
        yield name, learnt, time.perf_counter() - began


def features(cohort: Cohort) -> np.ndarray:
    """(N, F) of the frozen backbone."""
    return outputs(new_classifier(CONFIG, 2, cohort.recipe.channels, 0).eval(), cohort)[1]


def judged(pair: Pair, recipe: Recipe) -> dict:
    """Log odds of the target's test half: features as they are, and standardised by site."""
    cohorts = pair.cohorts(recipe)
    seen, here, unseen = (features(cohorts[name]) for name in ("source", "target", "test"))
    fit = LogisticRegression(max_iter=2000).fit
    plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(seen, cohorts["source"].label)
    by_site = fit(StandardScaler().fit_transform(seen), cohorts["source"].label)
    site = StandardScaler().fit(here)
    return {
        "features": plain.decision_function(unseen).tolist(),
        "features by site": by_site.decision_function(site.transform(unseen)).tolist(),
    }


def main() -> None:
    """Measure what is not measured yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", default=",".join(pair.name for pair in PAIRS))
    told = parser.parse_args()
    torch.set_flush_denormal(True)
    rows, lines = Rows(RESULTS / "pixels.jsonl"), []
    for pair in [pair for pair in PAIRS if pair.name in told.pairs.split(",")]:
        test = pair.cohorts(RECIPES[pair.recipe])["test"]
        base: np.ndarray | None = None
        for name, recipe, seconds in recipes_of(pair):
            key = {"pair": pair.name, "recipe": recipe.digest}
            found = rows.row(key, lambda pair=pair, recipe=recipe: judged(pair, recipe))["result"]
            for kind, said in found.items():
                score = np.array(said)
                line = [pair.name, f"{name}, {kind}", f"{auroc(test.label, score):.3f}"]
                base = score if base is None else base
                gain = paired_gain(test.label, test.patient, [score], [base])
                line += ["", ""] if base is score else interval(gain)
                lines.append([*line, f"{seconds:.1f} s" if seconds else ""])
    print(f"\n{machine()}, {datetime.date.today().isoformat()}\n")
    header = ["pair", "pixels", "AUROC on the target's test half", "gain on features as they are", "95 % interval"]
    print(markdown([*header, "to learn"], lines))


if __name__ == "__main__":
    main()
