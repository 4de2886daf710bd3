"""A Run: the folder that a training verb hands over, and everything downstream takes.

    RUN/run.json            what it is: method, task, classes, decision, provenance, and the range of the scans that it
                            was trained on. Written last: a folder without it was cut off
        config.yaml         the resolved configuration
        recipe.json         how pixels become input
        model.safetensors   the classifier that is handed over
        models/NAME.safetensors   the others, such as `source-only`, so that both can always be compared
        trust.json          per model: calibrator, threshold, conformal sets, out-of-distribution
        log.csv             the training log
        metrics.json        numbers of the training
        features.npz        embeddings of both sites before and, but for methods on features, after

Nothing in it names a patient or a place on a disk.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_from_tensors
from torch import Tensor, nn

from medtl.data.units import Unit
from medtl.errors import InputError
from medtl.files import atomic_write
from medtl.intensity import Recipe
from medtl.intensity.fingerprint import Fingerprint
from medtl.runs.layout import (
    MODEL,
    SCHEMA_VERSION,
    may_replace,
    plain,
    read_facts,
    weights_file,
    what_is_wrong,
    without_paths,
)
from medtl.runs.layout import write_json as _write_json
from medtl.runs.provenance import medtl_version, provenance
from medtl.trust import Trust

if TYPE_CHECKING:
    import pandas as pd

    from medtl.data import Cohort
    from medtl.models import Classifier
    from medtl.scans import Manifest


@dataclass(frozen=True)
class Run:
    """A finished Run on the disk.

    Attributes:
        path: its folder.
        facts: run.json.
        config: config.yaml, resolved.
        recipe: how pixels become input.
    """

    path: Path
    facts: dict[str, Any]
    config: dict[str, Any]
    recipe: Recipe
    _trust: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, path: str | Path | Run) -> Run:
        """Read a Run's folder; its weights are read when asked for.

        Raises:
            InputError: it is no Run, was cut off, was written by a newer medtl, or a file of it is broken.
        """
        if isinstance(path, Run):
            return path
        path = Path(path)
        facts = read_facts(path)
        try:
            config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8")) or {}
            recipe = Recipe.from_dict(json.loads((path / "recipe.json").read_text(encoding="utf-8")))
            trust = {**json.loads((path / "trust.json").read_text(encoding="utf-8"))}
        except InputError:
            raise
        except FileNotFoundError as error:
            missing = Path(str(error.filename)).name
            raise InputError(f"{path} is not a whole Run, {missing} is missing: copy the whole folder again") from error
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            raise InputError(
                f"{path} is not a whole Run, its config.yaml, recipe.json or trust.json is damaged: "
                "copy the whole folder again"
            ) from error
        if recipe.digest != facts["recipe_digest"]:
            raise InputError(
                f"{path / 'recipe.json'} is not the recipe that this Run was trained with: copy the whole Run again"
            )
        return cls(path, facts, config, recipe, trust)

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of the logits."""
        return list(self.facts["classes"])

    @property
    def task(self) -> str:
        """One of "binary", "multiclass", "multilabel"."""
        return str(self.facts["task"])

    @property
    def unit(self) -> Unit:
        """What gets one prediction: "series" or "study"."""
        return self.facts.get("unit", "series")

    @property
    def names(self) -> list[str]:
        """The models in it: "model" (what is handed over) first."""
        return [MODEL, *sorted(set(self.facts["models"]) - {MODEL})]

    @property
    def decision(self) -> dict[str, Any]:
        """What was handed over, why, and whether to warn; empty for a Run that had nothing to decide."""
        return self.facts.get("decision") or {}

    @property
    def trained_on(self) -> Fingerprint | None:
        """The range of the scans that it was trained on, as they were read; None where an older medtl made the Run.

        Raises:
            InputError: run.json holds something else there.
        """
        saved = self.facts.get("trained_on")
        return Fingerprint.from_dict(saved) if saved is not None else None

    def backbone_of(self, which: str = MODEL) -> str:
        """The timm name of one model's backbone: distillation gives it another one than source-only has."""
        role = self.decision.get("handed_over") if self._name(which) == MODEL else which
        return str(self.facts.get("backbones", {}).get(role, self.facts["backbone"]))

    def trust(self, which: str = MODEL) -> Trust:
        """What was fitted for trust in this model; where nothing was, one that leaves its probabilities as they are.

        Raises:
            InputError: it was fitted for other weights.
        """
        name = self._name(which)
        state = dict(self._trust.get(name) or {})
        if not state:
            return Trust(task=self.task)
        if state.pop("weights", None) != self.facts["models"][name]:
            raise InputError(f"{self.path / 'trust.json'} was fitted for other weights: copy the whole Run again")
        return Trust.from_dict(state)

    def fingerprint(self, which: str = MODEL) -> str:
        """16 hex digits that change with anything that changes a prediction.

        That is the weights, recipe, classes, pooling, unit, trust, and the range of the scans trained on.
        """
        name = self._name(which)
        parts = [self.facts["models"][name], self.classes, plain(self.recipe.to_dict()), self._trust.get(name)]
        parts += [self.unit, self.facts.get("pooling", "mean")]
        if "trained_on" in self.facts:
            parts.append(self.facts["trained_on"])
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def weights(self, which: str = MODEL) -> dict[str, Tensor]:
        """The state dictionary of one model.

        Raises:
            InputError: there is no such model, or the file is not the one that this Run wrote.
        """
        name = self._name(which)
        file = self.path / weights_file(name)
        try:
            content = file.read_bytes()
        except OSError as error:
            raise InputError(f"{file} cannot be read: copy the whole Run again") from error
        if hashlib.sha256(content).hexdigest() != self.facts["models"][name]:
            raise InputError(f"{file} is not the file that this Run wrote (damaged or exchanged): copy the Run again")
        try:
            return tensors_from_bytes(content)
        except SafetensorError as error:
            raise InputError(f"{file} holds no safetensors weights: copy the whole Run again") from error

    def classifier(self, which: str = MODEL) -> Classifier:
        """The classifier with its weights, in evaluation mode, on the CPU.

        Raises:
            InputError: the weights are missing, damaged or of another architecture.
        """
        from medtl.models import Classifier, create_backbone
        from medtl.models.heads import heads_in
        from medtl.models.layers import backbone_of

        weights = self.weights(which)
        create = partial(create_backbone, self.backbone_of(which), pretrained=False, channels=self.recipe.channels)
        classifier = Classifier(
            backbone_of(weights, create),
            len(self.classes),
            bottleneck=self.facts["bottleneck"],
            pooling=self.facts.get("pooling", "mean"),
        )
        classifier.few_shot = heads_in(weights)
        try:
            classifier.load_state_dict(weights, strict=True)
        except RuntimeError as error:
            raise InputError(
                f"{self.path / weights_file(self._name(which))} does not fit {self.backbone_of(which)} with "
                f"{len(self.classes)} classes: use the medtl that wrote it ({self.facts['medtl']})"
            ) from error
        return classifier.eval()

    def outputs(self, cohort: Cohort, which: str = MODEL) -> tuple[np.ndarray, np.ndarray]:
        """What the model gives for each scan of a cohort.

        Returns:
            logits float32 (N, K) and features float32 (N, F), pooled over the slices, in the cohort's order.
        """
        from medtl.runs.predict import outputs

        return outputs(self.classifier(which), cohort, "Classifying scans")

    def predict(self, manifest: Manifest, which: str = MODEL) -> pd.DataFrame:
        """Predictions in the columns of predictions.csv, one row a scan, in the manifest's order.

        A scan that was set aside or cannot be read has its row too, with its status and reason.
        """
        from medtl.runs.predict import predict

        return predict(self, manifest, which)

    def _name(self, which: str) -> str:
        if which in self.facts["models"]:
            return which
        if which == self.decision.get("handed_over"):  # what is handed over is kept once, under its role
            return MODEL
        raise InputError(f"{self.path} holds no model {which!r}: it has {', '.join(self.names)}")


def write_run(
    path: str | Path,
    *,
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    recipe: Recipe,
    models: Mapping[str, Mapping[str, Tensor] | nn.Module],
    trust: Mapping[str, Trust] | None = None,
    trained_on: Fingerprint | None = None,
    log: pd.DataFrame | None = None,
    metrics: Mapping[str, Any] | None = None,
    features: Mapping[str, np.ndarray] | None = None,
) -> Run:
    """Write a finished Run into `path` (which may hold checkpoints already); run.json comes last.

    Args:
        path: the Run's folder.
        facts: run.json: method, task, classes, seed, backbone (timm's name; `backbones` has it for those models whose
            backbone is another one, by role), decision ...; `bottleneck` (256 where it
            is not given), `pooling` (read off the weights), schema_version, medtl, created, provenance, recipe_digest
            and `models` (the weights' sha256) are added; absolute paths are left out.
        config: the resolved configuration; absolute paths in it are left out.
        recipe: fitted.
        models: name -> weights. What is handed over is "model"; where that is missing, it is the model that
            `facts["decision"]["handed_over"]` names, or the only one.
        trust: name -> what was fitted for that model, under the same names.
        trained_on: the range of the scans trained on, as they were read.
        log: columns phase, epoch, step, progress, lr, and a column a loss.
        metrics: numbers of the training.
        features: named arrays, no objects.

    Raises:
        InputError: the disk is full or the folder cannot be written.
        ValueError: the facts are not those of a Run (a fault of the caller).
    """
    path = Path(path)
    handed_over = (facts.get("decision") or {}).get("handed_over")
    models = _by_role(models, handed_over)
    if MODEL not in models:
        raise ValueError(f"which of {sorted(models)} is handed over? name it in facts['decision']['handed_over']")
    trust = _by_role(trust or {}, handed_over, keep=models)
    complete = {
        "schema_version": SCHEMA_VERSION,
        "medtl": medtl_version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "bottleneck": 256,
        "pooling": _pooling_of(models[MODEL]),
        "provenance": provenance(facts.get("seed")),
        **plain(without_paths(facts)),
        **({} if trained_on is None else {"trained_on": plain(trained_on.to_dict())}),
        "recipe_digest": recipe.digest,
        "models": dict.fromkeys(models, ""),
    }
    if wrong := what_is_wrong(complete):
        raise ValueError(f"not the facts of a Run: {wrong}")

    (path / "run.json").unlink(missing_ok=True)  # from here to the end it is unfinished
    for name, model in models.items():
        complete["models"][name] = _write_weights(path / weights_file(name), model)
    for old in (path / "models").glob("*.safetensors"):
        if old.stem not in models:
            old.unlink()
    with atomic_write(path / "config.yaml") as part:
        part.write_text(yaml.safe_dump(plain(without_paths(config)), sort_keys=False, allow_unicode=True), "utf-8")
    _write_json(path / "recipe.json", recipe.to_dict())
    _write_json(path / "trust.json", _bound(trust, complete["models"]))
    _write_json(path / "metrics.json", metrics or {})
    if log is not None:
        with atomic_write(path / "log.csv") as part:
            log.to_csv(part, index=False)
    if features is not None:
        with atomic_write(path / "features.npz") as part, part.open("wb") as stream:
            arrays: dict[str, Any] = {name: _unpickled(array) for name, array in features.items()}
            np.savez_compressed(stream, **arrays)
    _write_json(path / "run.json", complete)
    return Run.load(path)


def change_run(
    run: Run,
    out: str | Path | None = None,
    *,
    trust: Mapping[str, Trust],
    facts: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Run:
    """The same Run with other trust (`medtl calibrate`): in its own folder, or as a copy in `out`.

    Args:
        run: stays as it is where `out` is given.
        out: the copy's folder; None changes the Run itself.
        trust: name -> what was fitted; the trust of other models stays.
        facts: what run.json says beside or instead of what it said.
        force: replace `out` where it exists.

    Raises:
        InputError: `out` exists, the disk is full, or the folder cannot be written.
    """
    trust = _by_role(trust, run.decision.get("handed_over"), keep=run.facts["models"])
    state = {**run._trust, **_bound(trust, run.facts["models"])}
    complete = {**run.facts, **plain(without_paths(dict(facts or {}))), "models": run.facts["models"]}
    if out is None or Path(out).resolve() == run.path.resolve():
        _write_json(run.path / "trust.json", state)
        _write_json(run.path / "run.json", complete)
        return Run.load(run.path)
    out = may_replace(out, "run.json", "a Run", force)
    ignore = shutil.ignore_patterns("*checkpoint*", ".*", "run.json", "trust.json")
    with atomic_write(out) as part:
        shutil.copytree(run.path, part, ignore=ignore)
        _write_json(part / "trust.json", state)
        _write_json(part / "run.json", complete)
        if out.is_dir():
            shutil.rmtree(out)
    return Run.load(out)


def _by_role(
    given: Mapping[str, Any], handed_over: str | None, keep: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The same with "model" for what is handed over, which then loses its own name unless `keep` has that too."""
    named = dict(given)
    if MODEL in named:
        return named
    if handed_over in named:
        name = str(handed_over)
    elif keep is None and len(named) == 1:
        name = next(iter(named))
    else:
        return named
    return {MODEL: named[name], **{n: item for n, item in named.items() if n != name or n in (keep or {})}}


def _unpickled(array: np.ndarray) -> np.ndarray:
    """The array, with text for objects: what is written must be readable without running code."""
    array = np.asarray(array)
    return array.astype(str) if array.dtype == object else array


def _bound(trust: Mapping[str, Trust], weights: Mapping[str, str]) -> dict[str, Any]:
    """Each model's trust with the sha256 of the weights that it was fitted for."""
    if unknown := set(trust) - set(weights):
        raise ValueError(f"trust for models that are not there: {sorted(unknown)}")
    return {name: {**plain(fitted.to_dict()), "weights": weights[name]} for name, fitted in trust.items()}


def _pooling_of(model: Mapping[str, Tensor] | nn.Module) -> str:
    """The mean of the slices has no weights of its own."""
    names = model.state_dict() if isinstance(model, nn.Module) else model
    return "attention" if any(name.startswith("pooling.") for name in names) else "mean"


def _write_weights(file: Path, model: Mapping[str, Tensor] | nn.Module) -> str:
    """Write safetensors; return their sha256."""
    state = model.state_dict() if isinstance(model, nn.Module) else model
    content = bytes_from_tensors({name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()})
    with atomic_write(file) as part:
        part.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
