"""What of a volume a 2-D backbone should see: python benchmarks/volumes.py.

48 real brains (T1, 24 women and 24 men; one age is unknown), two questions: the sex, and who is over the median age.
Each way is trained on the same people in the same folds from the same seeds and asked about the people left out:

    slices, mean            8 slices, their features averaged
    slices, attention       8 slices, gated attention
    16 slices, mean         as many as medtl takes: a batch goes through the backbone in chunks, batch statistics fixed
    neighbours, mean        8 slices, each with the ones before and after it as channels
    projections, mean       three maximum-intensity projections
    3-D ResNet-10           MONAI's, on cubes of 64 x 64 x 64, from scratch, twice as many steps; all brains have
                            one grid, 120 x 120 x 90 voxels, and are stretched from 180 to 240 mm along slices

The AUROC is the share of pairs of people of one fold that are in the right order, so that what differs from fold to
fold does not count; people are drawn again for its interval, the same ones for both sides of a difference. A row a way,
question, fold and seed is kept under benchmarks/results/, so that a run that was cut goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from monai.networks.nets import resnet10
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _rows import Rows, machine, markdown

from medtl.data import Cohort
from medtl.data.samplers import Deal
from medtl.intensity import RECIPES
from medtl.intensity.geometry import resize
from medtl.intensity.recipes import for_volumes
from medtl.methods import METHODS
from medtl.models import Classifier
from medtl.runs.predict import outputs
from medtl.scans import Manifest
from medtl.training import Plan, Role, fit
from medtl.training.adaptation import new_classifier
from medtl.training.config import Config

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "brain-mr"
RESULTS = Path(__file__).resolve().parent / "results"
FOLDS, DRAWS = 5, 2000


@dataclass(frozen=True)
class Way:
    """What the backbone sees of a volume, and how that becomes one prediction.

    Attributes:
        volumes: slices, neighbours, projections, or a cube for the 3-D network.
        pooling: over the slices.
        slices: of a volume; None for the setting's.
    """

    volumes: str
    pooling: str = "mean"
    slices: int | None = None

    @property
    def name(self) -> str:
        """As in the table."""
        if self.volumes == "cube":
            return "3-D ResNet-10"
        return f"{self.slices or ''} {self.volumes}, {self.pooling}".strip()


DEFAULT = Way("slices")
WAYS = (
    DEFAULT, Way("slices", "attention"), Way("slices", slices=16), Way("neighbours"), Way("projections"), Way("cube"),
)  # fmt: skip
QUESTIONS = ("sex", "over the median age")


@dataclass(frozen=True)
class Setting:
    """Alike for every way.

    Attributes:
        size: rows and columns of an instance.
        slices: of a volume.
        cube: the side of the 3-D network's input.
        steps: of training; 32 of 8 volumes are nearly 7 epochs.
        batch: volumes a step; with 8 slices, 64 pictures, which go through the backbone at once; with 16, in chunks.
        people: so many of them.
    """

    size: int = 112
    slices: int = 8
    cube: int = 64
    steps: int = 32
    batch: int = 8
    people: int = 48

    def of(self, way: Way) -> Setting:
        """With the slices of this way."""
        return replace(self, slices=way.slices or self.slices)

    def plan(self, way: Way) -> Plan:
        """The 3-D network begins with random weights: it learns as fast as a new layer, and twice as long."""
        if way.volumes == "cube":
            return Plan(2 * self.steps, self.batch, backbone_lr=1.0)
        return Plan(self.steps, self.batch)


#: What --quick shows is no measurement: a few people, tiny pictures, two steps.
QUICK = Setting(size=32, slices=2, cube=32, steps=2, batch=4, people=12)


def people(question: str, most: int) -> Manifest:
    """One row a person, the label being "F" and "M", or "older" and "younger" than the median of the known ages."""
    frame = pd.read_csv(DATA / "labels.csv", dtype={"age": float})
    assert frame.patient.is_unique  # so folds of scans are folds of people
    if question != "sex":
        frame = frame[frame.age.notna()]
    older = np.where(frame.age > frame.age.median(), "older", "younger")
    frame = frame.assign(label=frame.sex if question == "sex" else older)
    frame = frame.groupby("label").head(-(-most // 2)).sort_values("patient")
    columns = {"scan_id": frame.patient, "patient": frame.patient, "site": frame.site, "label": frame.label}
    columns |= {"path": [str(DATA / file) for file in frame.file], "status": "ok", "split": "train"}
    table = pd.DataFrame(columns).reset_index(drop=True).assign(study="", series="", reason="")
    return Manifest(table, {row.scan_id: (Path(row.path),) for row in table.itertuples()})


def cohort_of(way: Way, question: str, setting: Setting) -> Cohort | Cubes:
    """The people as this way sees them."""
    cubes = way.volumes == "cube"
    size, slices = (setting.cube, 1024) if cubes else (setting.size, setting.of(way).slices)
    recipe = for_volumes(replace(RECIPES["mr"], size=size), "slices" if cubes else way.volumes, slices)
    cohort = Cohort(people(question, setting.people), recipe)
    return Cubes.of(cohort) if cubes else cohort


@dataclass
class Cubes:
    """What training needs of a cohort, each volume one instance whose channels are its slices.

    Random views then turn and shift a volume within its slices.
    """

    stack: np.ndarray  # float32 (N, side, side, side)
    label: np.ndarray  # int64 (N,)
    site: np.ndarray  # int64 (N,)
    patient: np.ndarray  # (N,)

    @classmethod
    def of(cls, cohort: Cohort) -> Cubes:
        """All slices of the cohort's volumes, stretched along the slice axis to the same side, whatever they span."""
        side = cohort.recipe.size
        cubes = []
        for i in range(len(cohort)):
            slices = np.asarray(cohort.pixels(i))[:, 0]
            cubes.append(resize(slices.transpose(1, 0, 2), side, side).transpose(1, 0, 2))
        return cls(np.stack(cubes), cohort.label, cohort.site, cohort.patient)

    def __len__(self) -> int:
        return len(self.stack)

    def pixels(self, i: int) -> np.ndarray:
        """(1, side, side, side)."""
        return self.stack[i][None]

    @property
    def bag_sizes(self) -> np.ndarray:
        """(N,) ones."""
        return np.ones(len(self), np.int64)

    def select(self, rows: np.ndarray) -> Cubes:
        """Those at these places, in the order of `Cohort.select`."""
        rows = np.sort(rows)
        return Cubes(self.stack[rows], self.label[rows], self.site[rows], self.patient[rows])


class Cube(nn.Module):
    """MONAI's 3-D ResNet-10 with the usual stride of 2 at its stem, whose input comes with its slices as channels."""

    num_features = 512

    def __init__(self) -> None:
        super().__init__()
        self.net = resnet10(spatial_dims=3, n_input_channels=1, feed_forward=False, conv1_t_stride=2)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, slices, H, W) -> (N, 512)."""
        return self.net(pixels[:, None].contiguous())


def trained(way: Way, cohort: Cohort | Cubes, setting: Setting, seed: int) -> Classifier:
    """A classifier of this way."""
    if way.volumes == "cube":
        torch.manual_seed(seed)
        classifier = Classifier(Cube(), 2)
    else:
        config = Config(pooling=way.pooling, seed=seed)
        classifier = new_classifier(config, 2, cohort.recipe.channels, seed)
    plan = setting.plan(way)
    role = Role(cohort, Deal(cohort.label, plan.batch, seed))
    method = METHODS["source-only"](classifier)
    fit(method, {"source": role}, plan, fabric=Fabric(accelerator="cpu"), seed=seed, phase=way.name)
    return classifier.cpu().eval()


def measured(
    way: Way, cohort: Cohort | Cubes, setting: Setting, fold: tuple[np.ndarray, np.ndarray], seed: int
) -> dict:
    """What a classifier that was trained on one part says of the other."""
    seen, unseen = fold
    began = time.process_time()
    logits = outputs(trained(way, cohort.select(seen), setting, seed), cohort.select(unseen))[0].astype(float)
    return {
        "patient": cohort.patient[unseen].tolist(),
        "score": (logits[:, 1] - logits[:, 0]).tolist(),
        "label": cohort.label[unseen].tolist(),
        "seconds": round(time.process_time() - began, 1),
    }


def rows_of(rows: Rows, setting: Setting, seeds: Iterable[int], only_table: bool) -> dict[tuple[str, str], list[dict]]:
    """(question, way) -> the rows of its folds and seeds, in one order for every way."""
    found: dict[tuple[str, str], list[dict]] = {}
    for question in QUESTIONS:
        for way in WAYS:
            cohort = None
            for seed in seeds:
                splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
                label = people(question, setting.people).frame.label.to_numpy()
                for number, fold in enumerate(splitter.split(label, label)):
                    key = {"way": way.name, "question": question, "fold": number, "seed": seed}
                    key |= {"setting": asdict(setting.of(way)), "plan": asdict(setting.plan(way))}
                    if only_table and rows.get(key) is None:
                        continue
                    if rows.get(key) is None and cohort is None:
                        cohort = cohort_of(way, question, setting)
                    row = rows.row(key, lambda c=cohort, w=way, f=fold, s=seed: measured(w, c, setting, f, s))
                    found.setdefault((question, way.name), []).append({**row["result"], "seed": seed})
                    print(f"{question}: {way.name}, seed {seed}, fold {number + 1}", file=sys.stderr, flush=True)
    return found


def concordance(folds: list[dict], patients: list[str], times: np.ndarray) -> np.ndarray:
    """AUROC within folds, over all folds and seeds.

    Args:
        folds: rows.
        patients: P of them.
        times: (draws, P) how often each was drawn.

    Returns:
        (draws,).
    """
    right, pairs = np.zeros(len(times)), np.zeros(len(times))
    for fold in folds:
        score, label = np.array(fold["score"]), np.array(fold["label"])
        drawn = times[:, [patients.index(name) for name in fold["patient"]]].astype(float)
        more = score[label == 1][:, None] - score[label == 0][None, :]
        positive, negative = drawn[:, label == 1], drawn[:, label == 0]
        right += np.einsum("dp,pn,dn->d", positive, (more > 0) + 0.5 * (more == 0), negative)
        pairs += positive.sum(1) * negative.sum(1)
    return right / np.maximum(pairs, 1)


def table(found: dict[tuple[str, str], list[dict]]) -> str:
    """AUROC with its interval, and the difference from the cheapest way and from the default, each paired."""
    lines = []
    for question in QUESTIONS:
        ways = {name: rows for (asked, name), rows in found.items() if asked == question}
        if not ways:
            continue
        patients = sorted({name for rows in ways.values() for row in rows for name in row["patient"]})
        drawn = np.random.default_rng(0).multinomial(len(patients), np.full(len(patients), 1 / len(patients)), DRAWS)
        all_once = np.ones((1, len(patients)), int)
        seconds = {name: float(np.mean([row["seconds"] for row in rows])) for name, rows in ways.items()}
        areas = {name: concordance(rows, patients, np.vstack([all_once, drawn])) for name, rows in ways.items()}
        cheapest = min(seconds, key=seconds.__getitem__)
        for name, area in areas.items():
            lines.append(
                [question, name, f"{area[0]:.3f} ({_interval(area)})"]
                + [
                    "" if base == name or base not in areas else _difference(area - areas[base])
                    for base in (cheapest, DEFAULT.name)
                ]
                + [f"{seconds[name]:.0f}", str(len(ways[name]))]
            )
    header = [
        "question",
        "way",
        "AUROC (95 %)",
        "less the cheapest",
        f"less {DEFAULT.name}",
        "processor seconds a fold",
        "folds",
    ]
    return markdown(header, lines)


def _interval(draws: np.ndarray) -> str:
    low, high = np.percentile(draws[1:], [2.5, 97.5])
    return f"{low:.3f} to {high:.3f}"


def _difference(draws: np.ndarray) -> str:
    low, high = np.percentile(draws[1:], [2.5, 97.5])
    return f"{draws[0]:+.3f} ({low:+.3f} to {high:+.3f})"


def main(told: list[str] | None = None) -> None:
    """Measure what is not measured yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0", help="folds and weights are drawn from each, such as 0,1")
    parser.add_argument("--table", action="store_true", help="print what is measured")
    parser.add_argument("--quick", action="store_true", help="only see that it runs")
    options = parser.parse_args(told)
    torch.set_flush_denormal(True)
    setting = QUICK if options.quick else Setting()
    rows = Rows(RESULTS / ("volumes-quick.jsonl" if options.quick else "volumes.jsonl"))
    found = rows_of(rows, setting, [int(seed) for seed in options.seeds.split(",")], options.table)
    print(f"\n{machine()}; {setting}\n\n{table(found)}")


if __name__ == "__main__":
    main()
