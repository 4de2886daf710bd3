"""An exported model, run by ONNX Runtime. No torch here: a hospital's machine needs none."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import onnxruntime

from medtl.data.units import Unit, group_rows
from medtl.errors import InputError
from medtl.intensity import Recipe
from medtl.intensity.fingerprint import Fingerprint
from medtl.progress import track
from medtl.runs.rows import Prepared, Remark, prediction_rows, prepared, remarks
from medtl.trust import Trust, apply_trust

if TYPE_CHECKING:
    import pandas as pd

    from medtl.scans import Manifest, Row

SCHEMA_VERSION = 1
MODEL = "model.onnx"
DESCRIPTION = "medtl.json"


@dataclass(frozen=True)
class Export:
    """An exported model on the disk, ready to predict.

    Attributes:
        path: its folder.
        facts: medtl.json.
        recipe: how pixels become input.
        trust: calibrator, threshold, conformal sets, out-of-distribution.
        trained_on: the range of the scans trained on, as they were read; None where an older medtl made it.
        session: ONNX Runtime's, on all cores.
    """

    path: Path
    facts: dict[str, Any]
    recipe: Recipe
    trust: Trust
    trained_on: Fingerprint | None
    session: onnxruntime.InferenceSession

    @classmethod
    def load(cls, path: str | Path | Export) -> Export:
        """Read an export's folder, or the .onnx file in it.

        Raises:
            InputError: it is no export, a file is missing, damaged or exchanged, or a newer medtl wrote it.
        """
        if isinstance(path, Export):
            return path
        path = Path(path)
        folder = path.parent if path.suffix.lower() == ".onnx" else path
        facts = _facts(folder / DESCRIPTION)
        model = path if path != folder else folder / facts["model"]["file"]
        recipe = Recipe.from_dict(facts["recipe"])
        if recipe.digest != facts["recipe_digest"]:
            raise InputError(
                f"the recipe in {folder / DESCRIPTION} is not the one that the model was trained with: "
                "copy the export again, or `medtl export` it again"
            )
        return cls(
            folder,
            facts,
            recipe,
            Trust.from_dict(facts["trust"]),
            Fingerprint.from_dict(facts["trained_on"]) if "trained_on" in facts else None,
            _session(model, facts["model"]["sha256"]),
        )

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of the logits."""
        return list(self.facts["classes"])

    @property
    def unit(self) -> Unit:
        """What gets one prediction: "series" or "study"."""
        return self.facts.get("unit", "series")

    @property
    def task(self) -> str:
        """One of "binary", "multiclass", "multilabel"."""
        return str(self.facts["task"])

    def outputs(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels float32 (instances, C, H, W) of one scan -> logits (1, K), features (1, F), float32."""
        logits, features = self.session.run(["logits", "features"], {"pixels": pixels})
        return logits, features

    def attention(self, pixels: np.ndarray) -> np.ndarray | None:
        """Pixels of one scan -> weights of its slices, float32 (instances,), sum 1; None where all count alike."""
        if "attention" not in [output.name for output in self.session.get_outputs()]:
            return None
        return self.session.run(["attention"], {"pixels": pixels})[0]

    def probabilities(self, logits: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Logits (N, K) and features (N, F) -> calibrated probabilities (N, K)."""
        return apply_trust(self.trust, logits, features).probabilities

    def predict(self, manifest: Manifest) -> pd.DataFrame:
        """Predictions in the columns of predictions.csv, one row a scan, in the manifest's order.

        A scan that was set aside or cannot be read has its row too, with its status and reason.
        """
        rows = list(manifest)
        usable = [row for row in manifest.without_labels() if row.status == "ok"]
        units = [[usable[place] for place in places] for places in group_rows(usable, self.unit)[0]]
        given: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        failed: dict[str, str] = {}
        said: dict[str, Remark] = {}
        for scans in track(_ahead(units, self.recipe), "Classifying scans", total=len(units)):
            failed |= {scan_id: scan.reason for scan_id, scan in scans.items() if scan.pixels is None}
            bag = [scan.pixels for scan in scans.values() if scan.pixels is not None]
            if not bag:
                continue
            logits, features = self.outputs(np.concatenate(bag))
            seen = [scan_id for scan_id in scans if scan_id not in failed]
            given |= dict.fromkeys(seen, (logits[0], features[0]))
            prints = [(seen[0], scan.print) for scan in scans.values() if scan.print is not None]
            if remark := remarks(self.trained_on, prints).get(seen[0]):
                said |= dict.fromkeys(seen, remark)
        return prediction_rows(rows, self.classes, self.trust, given, failed, said)


def _ahead(units: Sequence[Sequence[Row]], recipe: Recipe) -> Iterator[dict[str, Prepared]]:
    """The scans of each unit by scan_id, read a few ahead on other threads (decoders let go of Python's lock)."""

    def read_unit(rows: Sequence[Row]) -> dict[str, Prepared]:
        return {row.scan_id: prepared(row, recipe) for row in rows}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: deque[Future[dict[str, Prepared]]] = deque()
        for rows in units:
            waiting.append(pool.submit(read_unit, rows))
            if len(waiting) > 2 * (os.cpu_count() or 1):
                yield waiting.popleft().result()
        for unit in waiting:
            yield unit.result()


def _facts(file: Path) -> dict[str, Any]:
    """medtl.json, checked."""
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        version = facts["schema_version"]
    except OSError as error:
        raise InputError(
            f"{file.parent} is not an export, {file.name} is missing: give the folder that `medtl export -o` wrote"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is damaged: copy the export again, or `medtl export` it again") from error
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{file} has schema version {version} and this medtl reads {SCHEMA_VERSION}: "
            f"use the medtl that wrote it ({facts.get('medtl', 'unknown')})"
        )
    if (
        not {"classes", "task", "recipe", "recipe_digest", "trust", "model"} <= facts.keys()
        or not {"file", "sha256"} <= facts["model"].keys()
        or facts.get("unit", "series") not in get_args(Unit)
    ):
        raise InputError(f"{file} is damaged: copy the export again, or `medtl export` it again")
    return facts


def _session(model: Path, sha256: str) -> onnxruntime.InferenceSession:
    """The model's session, if the file is the one that medtl.json describes."""
    try:
        content = model.read_bytes()
    except OSError as error:
        raise InputError(f"{model} cannot be read: copy the whole export again") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(
            f"{model} is not the model that {DESCRIPTION} beside it describes (damaged or exchanged): "
            "copy the whole export again"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.log_severity_level = 3  # errors only: warnings are for those who made the graph
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises several kinds of its own, all of which mean this
        raise InputError(
            f"{model} cannot be run by ONNX Runtime {onnxruntime.__version__}: install a newer onnxruntime"
        ) from error
