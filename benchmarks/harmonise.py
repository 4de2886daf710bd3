"""What harmonising pixels between two hospitals gives, beside training against the shift and together with it.

    python benchmarks/harmonise.py [--pairs brazil-egypt,...] [--seeds 0,1,2] [--rows FDA,DANN,...] [--table] [--quick]

Trains what is missing (networks are kept under benchmarks/results/harmonise/, so that a run that was cut goes on;
several may run at once on different pairs or rows) and prints the tables of what is there; `--table` prints only,
`--quick` does a few steps on a few scans of one pair in a folder of its own, to see that it runs.

Pairs, patients and halves are those of hospital_shift.py: numbers are of the target's test half. A recipe learns from
the source's training part as in `medtl adapt`, and no target label is looked at by anything. FDA and MixStyle go on
from the source-only network for as long as DANN does; "trained on" is that training without them, so that what they
give can be told from what more steps give. Whatever was trained on the target's scans is judged with the target's batch
statistics, as `medtl adapt` hands it over; the other rows with those of their training, and beside it with the
target's.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _rows import Rows, machine, markdown
from hospital_shift import PAIRS, Pair, interval, log_odds, paired_gain, unlabelled

from medtl import progress
from medtl.data import Cohort
from medtl.intensity import RECIPES, Recipe
from medtl.intensity.recipes import harmonised
from medtl.measures import auroc
from medtl.models import Classifier
from medtl.models.batch_statistics import with_statistics_of
from medtl.scans import Scan, read
from medtl.training.adaptation import adapt_classifier, new_classifier, train_source_only
from medtl.training.config import Config
from medtl.training.mixes import MIX_VERSIONS, mixes_for
from medtl.training.roles import labelled_role, unlabelled_role
from medtl.verbs._recipe import LEARNT_FROM, to_learn_from

RESULTS = Path(__file__).resolve().parent / "results"
#: Source and target differ by more than the site, so their gain is no measure of adaptation (docs/benchmarks.md).
NOT_HONEST = "guangzhou-nih"
SAMPLE = 48
#: Kinds of recipe that learn from the source.
HARMONISING = ("histogram", "landmarks")


@dataclass(frozen=True)
class Way:
    """A row of the table.

    Attributes:
        name: of the row.
        recipe: "" as the pair has it, or "histogram", "landmarks", or "filled" (ultrasound only).
        method: that goes on from the source-only network of this recipe; "" for that network itself.
        harmonise: what acts on the method's batches.
    """

    name: str
    recipe: str = ""
    method: str = ""
    harmonise: tuple[str, ...] = ()


WAYS = [
    Way("source-only"),
    Way("histogram", recipe="histogram"),
    Way("landmarks", recipe="landmarks"),
    Way("filled", recipe="filled"),
    Way("trained on", method="source-only"),
    Way("FDA", method="source-only", harmonise=("fda",)),
    Way("MixStyle", method="source-only", harmonise=("mixstyle",)),
    Way("DANN", method="dann"),
    Way("DANN + histogram", recipe="histogram", method="dann"),
    Way("DANN + FDA", method="dann", harmonise=("fda",)),
]


@dataclass(frozen=True)
class Bench:
    """Where and how: the configuration, the folder, and how many patients of each part (None: all)."""

    config: Config
    folder: Path
    patients: int | None = None

    @property
    def rows(self) -> Rows:
        """What was measured."""
        return Rows(self.folder / "harmonise.jsonl")

    def recipe(self, pair: Pair, kind: str) -> Recipe:
        """The recipe of this kind, fitted on the source's training part; fitted once, and timed."""
        base = RECIPES["ultrasound-filled" if kind == "filled" else pair.recipe]
        base = replace(base, size=self.config.size)
        if kind in ("", "filled"):
            return base
        wanted = harmonised(base, [kind])
        key = fit_key(self, pair, wanted)
        return Recipe.from_dict(self.rows.row(key, lambda: fitted(wanted, self.scans(pair)))["result"]["recipe"])

    def scans(self, pair: Pair) -> Iterator[Scan]:
        """Those of the source's training part that `medtl adapt` learns a recipe from, as read."""
        train = pair.parts(pair.source, 0.8, 0.2)[0]
        rows = list(pair.manifest(pair.source, self.some(train)))
        return (read(row) for row in to_learn_from(rows, LEARNT_FROM))

    def cohorts(self, pair: Pair, kind: str) -> dict[str, Cohort]:
        """Those of hospital_shift.py, prepared by the recipe of this kind."""
        recipe = self.recipe(pair, kind)
        if self.patients is None:
            return pair.cohorts(recipe)
        (train, held_out), (here, test) = pair.parts(pair.source, 0.8, 0.2), pair.parts(pair.target, 0.5, 0.5)
        parts = {"source": train, "held_out": held_out, "target": here, "test": test}
        sites = {"source": pair.source, "held_out": pair.source, "target": pair.target, "test": pair.target}
        return {name: pair.cohort(sites[name], self.some(part), recipe) for name, part in parts.items()}

    def some(self, patients: set[str]) -> set[str]:
        """A few of the patients where few are asked for, drawn so that both classes are likely among them."""
        if self.patients is None:
            return patients
        return set(np.random.default_rng(0).permutation(sorted(patients))[: self.patients].tolist())


def fit_key(bench: Bench, pair: Pair, wanted: Recipe) -> dict:
    """All that decides what a recipe learns."""
    return {"pair": pair.name, "fit": wanted.digest, "patients": bench.patients, "learnt_from": LEARNT_FROM}


def fitted(recipe: Recipe, scans: Iterator[Scan]) -> dict:
    """The recipe with what it learns, the seconds that this takes (reading included), and those of one scan's step."""
    sample = list(itertools.islice(scans, SAMPLE))
    began = time.perf_counter()
    learnt = recipe.fit(itertools.chain(sample, scans))
    fit = time.perf_counter() - began
    new = [after for before, after in zip(recipe.steps, learnt.steps, strict=True) if before.needs_fit]
    plain = replace(learnt, steps=tuple(step for step in learnt.steps if step not in new))
    scan = median_seconds(learnt, sample) - median_seconds(plain, sample)
    return {"recipe": learnt.to_dict(), "fit": fit, "scan": scan}


def median_seconds(recipe: Recipe, scans: list[Scan]) -> float:
    """Of one scan through the recipe."""
    seconds = []
    for scan in scans:
        began = time.perf_counter()
        recipe(scan)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def network(bench: Bench, pair: Pair, seed: int, way: Way, cohorts: dict[str, Cohort]) -> Classifier:
    """The network of a row, trained where it is not there yet; its file's name holds all that decides it."""
    config = bench.config.model_copy(update={"seed": seed, "method": way.method or "source-only"})
    config = config.model_copy(update={"harmonise": way.harmonise})
    source, held_out, target = cohorts["source"], cohorts["held_out"], cohorts["target"]
    digest = digest_of(config, source.recipe, versions_of(way))
    folder = bench.folder / "harmonise"
    file = folder / f"{pair.name}-{seed}-{way.name.replace(' ', '-')}-{digest}.safetensors"
    if not file.exists():
        options = {"fabric": Fabric(accelerator="cpu"), "folder": folder / "checkpoints" / file.stem}
        if way.method:
            warm = network(bench, pair, seed, Way("source-only", way.recipe), cohorts)
            told = {**options, "options": {}, "phase": way.name}
            made = adapt_classifier(warm, source, held_out, unlabelled(target), config, **told)[0][0]
        else:
            made = train_source_only(source, held_out, config, seed=seed, **options)[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in made.state_dict().items()}, file.with_suffix(".part"))
        file.with_suffix(".part").rename(file)
        shutil.rmtree(options["folder"], ignore_errors=True)  # 50 MB a network
    classifier = new_classifier(config, len(source.classes), source.recipe.channels, 0)
    classifier.load_state_dict(load_file(file))
    return classifier.eval()


def digest_of(config: Config, recipe: Recipe, versions: dict[str, int]) -> str:
    """8 hex digits of all that decides a network but the scans."""
    told = config.model_dump_json() + recipe.digest + (str(versions) if versions else "")
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def versions_of(way: Way) -> dict[str, int]:
    """Those of the row's mixes, where they are above 1."""
    return {name: MIX_VERSIONS[name] for name in way.harmonise if name in MIX_VERSIONS}


def judged(bench: Bench, pair: Pair, seed: int, way: Way, cohorts: dict[str, Cohort]) -> dict:
    """What the network of a row says of the test half: log odds with its own statistics and with the target's."""
    model = network(bench, pair, seed, way, cohorts)
    here = with_statistics_of(model, cohorts["target"])
    return {"own": log_odds(model, cohorts["test"]).tolist(), "target's": log_odds(here, cohorts["test"]).tolist()}


def mixing_seconds(bench: Bench, way: Way, cohorts: dict[str, Cohort]) -> float:
    """What the mixes of a row add to its whole training: the median of a few steps, times the steps."""
    plan = bench.config.adapt.plan()
    roles = {
        "source": labelled_role(cohorts["source"], bench.config, plan, 0),
        "target": unlabelled_role(cohorts["target"], bench.config, plan, 0),
    }
    classifier = new_classifier(bench.config, 2, cohorts["source"].recipe.channels, 0).train()
    method = SimpleNamespace(classifier=classifier)
    mixes, seconds = mixes_for(way.harmonise), []
    for step in range(7):
        batch = {name: role.batch(step, 0, torch.device("cpu")) for name, role in roles.items()}
        began = time.perf_counter()
        for mix in mixes:
            batch = mix(method, batch, torch.Generator().manual_seed(step))
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)) * plan.steps


def ways_of(pair: Pair, names: list[str]) -> list[Way]:
    """The rows of a pair: letters are filled in ultrasound alone."""
    return [way for way in WAYS if way.name in names and (way.recipe != "filled" or pair.recipe == "ultrasound")]


def measure(bench: Bench, pairs: list[Pair], seeds: list[int], names: list[str], only_table: bool) -> None:
    """Measure the rows that are not there yet, and print them all."""
    rows = bench.rows
    lines: list[list[str]] = []
    gains: dict[str, dict[str, np.ndarray]] = {}
    for pair in pairs:
        prepared: dict[str, dict[str, Cohort]] = {}

        def cohorts(kind: str, pair: Pair = pair, prepared: dict = prepared) -> dict[str, Cohort]:
            if kind not in prepared:
                prepared[kind] = bench.cohorts(pair, kind)
            return prepared[kind]

        found: dict[str, list[dict]] = {}
        spent: dict[str, str] = {}
        for seed, way in itertools.product(seeds, ways_of(pair, names)):
            key = key_of(bench, pair, seed, way)
            if rows.get(key) is None and only_table:
                continue
            print(pair.name, seed, way.name, flush=True)
            row = rows.row(
                key, lambda pair=pair, seed=seed, way=way: judged(bench, pair, seed, way, cohorts(way.recipe))
            )
            found.setdefault(way.name, []).append(row["result"])
            if way.name not in spent:
                spent[way.name] = spent_by(bench, rows, pair, way, cohorts, only_table)
        if found:
            test = cohorts("")["test"]
            more, gains[pair.name] = table_of(pair, found, spent, test)
            lines += more
    print(f"\n{machine()}, {datetime.date.today().isoformat()}\n")
    header = ["pair", "row", "AUROC on the target's test half", "each seed", "gain on source-only", "95 % interval"]
    print(markdown([*header, "harmonisation itself"], lines), "\n")
    print_means(gains)


def key_of(bench: Bench, pair: Pair, seed: int, way: Way) -> dict:
    """All that decides a row."""
    told = bench.config.model_dump(mode="json")
    way_told: dict[str, Any] = {"recipe": way.recipe, "method": way.method, "harmonise": list(way.harmonise)}
    base = RECIPES["ultrasound-filled" if way.recipe == "filled" else pair.recipe].digest
    if way.recipe in HARMONISING:
        way_told["learnt_from"] = LEARNT_FROM
    if versions := versions_of(way):
        way_told["versions"] = versions
    return {"pair": pair.name, "seed": seed, **way_told, "config": told, "base": base, "patients": bench.patients}


def spent_by(bench: Bench, rows: Rows, pair: Pair, way: Way, cohorts, only_table: bool) -> str:
    """What the harmonisation itself takes, in words."""
    said = []
    if way.recipe in HARMONISING:
        wanted = harmonised(replace(RECIPES[pair.recipe], size=bench.config.size), [way.recipe])
        if row := bench.rows.get(fit_key(bench, pair, wanted)):
            said.append(f"{row['result']['fit']:.1f} s to learn, {1000 * row['result']['scan']:.1f} ms a scan")
    if way.harmonise:
        key = {"pair": pair.name, "mixing": list(way.harmonise), "config": bench.config.model_dump(mode="json")}
        key |= {"versions": versions} if (versions := versions_of(way)) else {}
        if rows.get(key) is not None or not only_table:
            row = rows.row(key, lambda: {"seconds": mixing_seconds(bench, way, cohorts(way.recipe))})
            said.append(f"{row['result']['seconds']:.1f} s in training")
    return "; ".join(said) or "-"


def table_of(
    pair: Pair, found: dict[str, list[dict]], spent: dict[str, str], test: Cohort
) -> tuple[list[list[str]], dict[str, np.ndarray]]:
    """The lines of one pair, and draws of each row's gain on source-only."""
    lines, gains = [], {}
    adapting = {way.name for way in WAYS if way.method}
    base = [np.array(each["own"]) for each in found.get("source-only", [])]
    for name, results in found.items():
        for statistics in ["target's"] if name in adapting else ["own", "target's"]:
            scores = [np.array(each[statistics]) for each in results]
            values = [auroc(test.label, score) for score in scores]
            shown = name if name in adapting or statistics == "own" else f"{name}, target statistics"
            gain = ["", ""]
            if base and len(base) == len(scores) and shown != "source-only":
                gains[shown] = paired_gain(test.label, test.patient, scores, base)
                gain = interval(gains[shown])
            line = [pair.name, shown, f"{np.mean(values):.3f} ± {np.std(values):.3f}"]
            lines.append([*line, " ".join(f"{value:.3f}" for value in values), *gain, spent.get(name, "-")])
    return lines, gains


def print_means(gains: dict[str, dict[str, np.ndarray]]) -> None:
    """The mean gain of each row over the pairs whose source and target differ by the site alone."""
    honest = {pair: each for pair, each in gains.items() if pair != NOT_HONEST}
    if len(honest) < 2:
        return
    lines = []
    for name in dict.fromkeys(name for each in honest.values() for name in each):
        draws = [each[name] for each in honest.values() if name in each]
        lines.append([name, str(len(draws)), *interval(np.mean(draws, axis=0))])
    print(markdown(["row", "honest pairs", "mean gain on source-only", "95 % interval"], lines))


def bench_for(quick: bool) -> Bench:
    """The benchmark, or a look whether it runs."""
    if not quick:
        return Bench(Config(), RESULTS)
    few = {"steps": 2, "batch": 8}
    config = Config.model_validate({"source": few, "adapt": few, "size": 32})
    return Bench(config, Path(tempfile.mkdtemp(prefix="harmonise-")), patients=48)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", default=",".join(pair.name for pair in PAIRS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rows", default=",".join(way.name for way in WAYS))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--quick", action="store_true")
    told = parser.parse_args()
    torch.set_flush_denormal(True)
    names, seeds = told.rows.split(","), [int(seed) for seed in told.seeds.split(",")]
    if strangers := sorted(set(names) - {way.name for way in WAYS}):
        parser.error(f"there is no row {strangers[0]!r}: there are {', '.join(way.name for way in WAYS)}")
    pairs = [pair for pair in PAIRS if pair.name in told.pairs.split(",")]
    if told.quick:
        progress.set_mode("quiet")
        pairs, seeds = pairs[:1], seeds[:1]
    measure(bench_for(told.quick), pairs, seeds, names, told.table)


if __name__ == "__main__":
    main()
