"""Whether the maps look at the lesion, before and after adaptation: Brazil to Egypt, with the radiologists' masks.

    python benchmarks/saliency.py measure [--seeds 0,1] [--scans 100]
    python benchmarks/saliency.py table

`measure` needs the networks of `hospital_shift.py train`; each scan is a row of its own, so that a run that was cut
goes on. The scans are Egypt's test half, malignant and benign in turn, in a fixed random order; each map is drawn for
the answer that the network gives. `table` prints how often its maximum falls on the mask, beside a pixel drawn by
chance and the middle of the picture.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _networks import network
from _rows import RESULTS, Rows, markdown
from hospital_shift import DATA, PAIRS

from medtl.data import Cohort
from medtl.measures import share_interval
from medtl.models import Classifier
from medtl.models.batch_statistics import with_statistics_of
from medtl.reports.pointing import Marked, centre_of, chance_of, pointed
from medtl.reports.saliency import PATCH, SALIENCIES, SMOOTH, STEPS
from medtl.verbs._saliency import masks_on_input

PAIR = PAIRS[0]
MODELS = ("source-only", "dann")
SETTINGS = {"steps": STEPS, "from": "black, white", "smooth": SMOOTH, "patch": PATCH}


def in_turn(label: np.ndarray) -> list[int]:
    """Rows of both classes in turn, each in a fixed random order."""
    rng = np.random.default_rng(0)
    by_class = [rng.permutation(np.flatnonzero(label == k)).tolist() for k in (0, 1)]
    return [row for both in zip(*by_class, strict=False) for row in both]


def measured(classifier: Classifier, test: Cohort, number: int, mask: Path) -> dict:
    """What the maps of one scan do."""
    row = next(row for row in test.manifest if row.scan_id == test.scan_id[number])
    lesion, picture = masks_on_input(test.recipe, row, mask)
    scan = Marked(np.asarray(test.pixels(number)), lesion, picture, row.patient)
    if not lesion.any():
        return {"empty": True}
    with torch.no_grad():
        answer = int(classifier(torch.from_numpy(scan.pixels.copy())).logits.argmax())
    found = {how: {"hit": bool(p.hit), "mass": p.mass} for how, p in pointed(classifier, scan, answer).items()}
    about = {"truth": int(test.label[number]), "answer": answer, "patient": row.patient}
    return {"empty": False, **about, "chance": chance_of(scan), "centre": centre_of(scan), "maps": found}


def measure(seeds: list[int], scans: int, rows: Rows) -> None:
    """Every model on the first `scans` scans."""
    cohorts = PAIR.cohorts()
    test = cohorts["test"]
    masks = PAIR.frame(PAIR.target).lesion_mask
    chosen = in_turn(test.label)[:scans]
    for seed in seeds:
        for what in MODELS:
            classifier = network(f"{PAIR.name}-{seed}-{what}")
            if what == "dann":
                classifier = with_statistics_of(classifier, cohorts["target"]).eval()
            for number in chosen:
                scan_id = str(test.scan_id[number])
                mask = DATA / PAIR.folder / masks[int(scan_id.rpartition("-")[2])]
                key = {"pair": PAIR.name, "seed": seed, "model": what, "scan": scan_id, **SETTINGS}
                rows.row(key, lambda c=classifier, n=number, m=mask: measured(c, test, n, m))


def table(rows: Rows) -> str:
    """Share of scans whose map's maximum falls on the mask, over all seeds; intervals take a patient together."""
    lines = []
    for group, truth in (("malignant", 1), ("benign", 0)):
        for what in MODELS:
            mine = [
                (row["key"], row["result"])
                for row in rows
                if row["key"]["model"] == what and not row["result"]["empty"] and row["result"]["truth"] == truth
            ]
            if not mine:
                continue
            results = [result for _, result in mine]
            patients = [result["patient"] for result in results]
            cells = []
            for how in SALIENCIES:
                share, low, high = share_interval([result["maps"][how]["hit"] for result in results], patients)
                cells.append(f"{share:.2f} ({low:.2f} to {high:.2f})")
            chance, centre = (float(np.mean([result[key] for result in results])) for key in ("chance", "centre"))
            seeds = len({key["seed"] for key, _ in mine})
            count = f"{len({key['scan'] for key, _ in mine})} scans, {seeds} seed{'s' if seeds > 1 else ''}"
            lines.append([group, what, count, *cells, f"{chance:.2f}", f"{centre:.2f}"])
    return markdown(["scans", "model", "of", *SALIENCIES, "chance", "middle"], lines)


def main() -> None:
    """See the top."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "table"))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--scans", type=int, default=100)
    given = parser.parse_args()
    rows = Rows(RESULTS / "saliency.jsonl")
    if given.what == "measure":
        measure([int(seed) for seed in given.seeds.split(",")], given.scans, rows)
    print(table(rows))


if __name__ == "__main__":
    main()
