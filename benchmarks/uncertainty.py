"""What averaging answers is worth at the next hospital: an ensemble, dropout, views, Laplace, beside the plain softmax.

    python benchmarks/uncertainty.py samples [--networks FOLDER] [--seeds 0,1,2,3,4] [--kinds source-only,dann]
    python benchmarks/uncertainty.py table

`samples` computes what each network says of the target's test half under each way (kept under
benchmarks/results/uncertainty/, so that a run that was cut goes on, and seeds are added as `hospital_shift.py train`
makes them); `table` prints the measures. Nothing is fitted to the target: Laplace's precision and the temperature of
"plain, temperature" are of the source's held-out fifth.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _networks import cached, network, there
from _rows import RESULTS as ROWS
from _rows import Rows, machine, markdown
from hospital_shift import CONFIG, PAIRS, RESULTS, Pair

from medtl.data import Cohort
from medtl.measures import auroc, brier, excess_ece, nll, risk_coverage
from medtl.models.batch_statistics import with_statistics_of
from medtl.runs.predict import outputs
from medtl.runs.uncertainty import (
    DROPOUTS,
    POSTERIOR,
    VIEWS,
    classifier_embedding,
    dropout_samples,
    summary,
    view_samples,
)
from medtl.training.roles import expect_prior_of
from medtl.trust import CALIBRATORS
from medtl.trust.laplace import fit_laplace, with_likeliest_precision

CACHE = ROWS / "uncertainty"
KINDS = ("source-only", "dann")
#: Held-out source scans that Laplace is fitted on, as a Run holds them.
HELD = 192


def samples(pair: Pair, seed: int, kind: str, folder: Path, cohorts: Callable[[], dict[str, Cohort]]) -> dict:
    """Logits of the target's test half: plain (N, 2), dropout, views and laplace (S, N, 2); what else is needed."""

    def work() -> dict[str, np.ndarray]:
        parts = cohorts()
        at_home = network(f"{pair.name}-{seed}-{kind}", folder)
        expect_prior_of(at_home, parts["source"])
        at_target = with_statistics_of(at_home, parts["target"]) if kind == "dann" else at_home
        home, home_features = outputs(at_home, parts["held_out"])
        plain, features = outputs(at_target, parts["test"])
        some = np.sort(np.random.default_rng(0).permutation(len(home))[:HELD])
        seen = classifier_embedding(at_home, home_features)[some]
        posterior = fit_laplace(seen, home[some], "binary")
        posterior = with_likeliest_precision(posterior, seen, home[some], parts["held_out"].label[some], "binary")
        embedding = classifier_embedding(at_target, features)
        augmentation = CONFIG.augmentation.augmentation(parts["test"].recipe)
        return {
            "home": home,
            "home_label": parts["held_out"].label,
            "label": parts["test"].label,
            "patient": parts["test"].patient.astype(str),
            "plain": plain,
            "dropout": dropout_samples(at_target, features, DROPOUTS),
            "laplace": posterior.samples(embedding, plain, POSTERIOR),
            "probit": posterior.probabilities(embedding, plain, "binary"),
            "precision": np.array(posterior.precision),
            "views": view_samples(at_target, parts["test"], augmentation, VIEWS),
        }

    return cached(CACHE / f"{pair.name}-{seed}-{kind}.npz", work)


def measured(label: np.ndarray, p: np.ndarray, spread: np.ndarray | None = None) -> dict[str, float]:
    """What the table shows. `spread` (N,) orders the scans of the last column, where there is one."""
    found = {
        "auroc": auroc(label, p[:, 1]),
        "nll": nll(label, p),
        "brier": brier(label, p),
        "excess": excess_ece(label, p),
        "aurc": risk_coverage(label, p).aurc,
    }
    if spread is not None:
        wrong = (p.argmax(axis=1) != label)[np.argsort(spread, kind="stable")]
        found["aurc by spread"] = float(np.mean(np.cumsum(wrong) / np.arange(1, len(wrong) + 1)))
    return found


def of_one(found: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Each way on one network."""
    label = found["label"]
    calibrator = CALIBRATORS["temperature"](found["home"], found["home_label"], "binary")
    rows = {
        "plain": measured(label, _softmax(found["plain"])),
        "plain, source temperature": measured(label, calibrator(found["plain"], "binary")),
        "laplace, closed form": measured(label, found["probit"]),
    }
    for way in ("dropout", "views", "laplace"):
        rows[way] = measured(label, *summary(_softmax(found[way]), "binary"))
        calibrated = np.stack([calibrator(each, "binary") for each in found[way]])
        rows[f"{way}, source temperature"] = measured(label, *summary(calibrated, "binary"))
    return rows


def of_all(every: Sequence[dict[str, np.ndarray]]) -> dict[str, dict[str, float]]:
    """The ensemble of the networks, and of their views."""
    label, rows = every[0]["label"], {}
    said = np.stack([_softmax(found["plain"]) for found in every])
    rows[f"ensemble of {len(every)}"] = measured(label, *summary(said, "binary"))
    calibrated = np.stack(
        [
            CALIBRATORS["temperature"](found["home"], found["home_label"], "binary")(found["plain"], "binary")
            for found in every
        ]
    )
    rows[f"ensemble of {len(every)}, source temperature"] = measured(label, *summary(calibrated, "binary"))
    seen = np.concatenate([_softmax(found["views"]) for found in every])
    rows[f"ensemble of {len(every)}, views of each"] = measured(label, *summary(seen, "binary"))
    return rows


def tables(seeds: Sequence[int]) -> None:
    """Print docs/uncertainty.md's."""
    rows = Rows(ROWS / "uncertainty.jsonl")
    print(f"\n{machine()}, {datetime.date.today().isoformat()}\n")
    for kind in KINDS:
        lines = []
        for pair in _pairs():
            kept = [seed for seed in seeds if (CACHE / f"{pair.name}-{seed}-{kind}.npz").exists()]
            key = {"pair": pair.name, "kind": kind, "draws": [DROPOUTS, VIEWS, POSTERIOR]}

            def load(seed: int, pair: Pair = pair, kind: str = kind) -> dict[str, np.ndarray]:
                return cached(CACHE / f"{pair.name}-{seed}-{kind}.npz", dict)

            each = [rows.row(key | {"seed": s}, lambda s=s: of_one(load(s)))["result"] for s in kept]
            for way in each[0] if each else ():
                lines.append([pair.name, way, *_cells([row[way] for row in each])])
            if len(kept) > 1:
                together = rows.row(key | {"seeds": kept}, lambda kept=kept: of_all([load(s) for s in kept]))["result"]
                lines += [[pair.name, way, *_cells([found])] for way, found in together.items()]
        if lines:
            print(f"{kind}\n\n" + markdown(["pair", "way", *NAMES.values()], lines), "\n")


NAMES = {
    "auroc": "AUROC",
    "nll": "NLL",
    "brier": "Brier",
    "excess": "excess ECE",
    "aurc": "area under risk-coverage, by probability",
    "aurc by spread": "the same, by uncertainty",
}


def _cells(found: Sequence[dict[str, float]]) -> list[str]:
    """Means over the seeds."""
    return [f"{np.mean([row[name] for row in found]):.3f}" if name in found[0] else "" for name in NAMES]


def _softmax(logits: np.ndarray) -> np.ndarray:
    return torch.softmax(torch.from_numpy(np.asarray(logits, float)), dim=-1).numpy()


def _pairs() -> list[Pair]:
    return [pair for pair in PAIRS if pair.name != "egypt-brazil"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["samples", "table"])
    parser.add_argument("--networks", type=Path, default=RESULTS)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--kinds", default=",".join(KINDS))
    told = parser.parse_args()
    torch.set_num_threads(1)
    seeds = [int(seed) for seed in told.seeds.split(",")]
    if told.what == "table":
        return tables(seeds)
    made: dict[str, dict[str, Cohort]] = {}
    for seed in seeds:
        for kind in told.kinds.split(","):
            for pair in _pairs():
                if there(f"{pair.name}-{seed}-{kind}", told.networks):
                    samples(pair, seed, kind, told.networks, lambda p=pair: made.setdefault(p.name, p.cohorts()))
                    print(pair.name, seed, kind, flush=True)
    return None


if __name__ == "__main__":
    main()
