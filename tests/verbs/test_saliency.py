"""evaluate scores the maps where the manifest names masks, and says what it left out."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medtl.errors import InputError
from medtl.intensity import RECIPES, Recipe, Step
from medtl.reports.saliency import SALIENCIES
from medtl.runs.run import Run
from medtl.scans import Manifest
from medtl.verbs import _saliency
from medtl.verbs._saliency import masks_on_input
from medtl.verbs.evaluate import evaluate

_spec = importlib.util.spec_from_file_location("small", Path(__file__).parents[1] / "runs" / "small.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small.run(tmp_path_factory.mktemp("runs") / "run")


def masked(folder: Path, n: int = 6) -> Manifest:
    """Scans with a bright spot, and its mask beside each but the second."""
    manifest = small.manifest(folder, n)
    names = []
    for row in manifest:
        names.append("")
        if row.status == "ok" and "damaged" not in row.path and row.scan_id != f"{1:012x}":
            pixels = np.asarray(Image.open(row.path))
            names[-1] = f"{Path(row.path).stem}_mask.png"
            Image.fromarray(np.where(pixels == 250, 255, 0).astype(np.uint8)).save(folder / names[-1])
    return Manifest(manifest.frame.assign(lesion_mask=names, split="calibrate"))  # so that no test split is dealt


@pytest.mark.slow
def test_every_model_and_method_is_scored_and_no_mask_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = masked(tmp_path / "scans")
    metrics = evaluate(run, on, tmp_path / "out")
    scores = metrics["saliency"]
    assert {(score["model"], score["method"]) for score in scores} == {
        (name, how) for name in (metrics["model"], *metrics["models"]) for how in SALIENCIES
    }
    for score in scores:
        assert score["n_scans"] == 5 and 0 <= score["hits_ci"][0] <= score["hits"] <= score["hits_ci"][1] <= 1
    area = [np.mean(np.asarray(Image.open(path)) > 0) for path in sorted((tmp_path / "scans").glob("*_mask.png"))]
    assert scores[0]["chance"] == pytest.approx(np.mean(area), abs=0.02)
    page = (tmp_path / "out" / "report.html").read_text()
    written = page + json.dumps(metrics)
    assert "_mask" not in written and str(tmp_path) not in written and "Grad-CAM" in page

    monkeypatch.setattr(_saliency, "MOST", 3)
    fewer = evaluate(run, on, tmp_path / "fewer")
    assert fewer["saliency"][0]["n_scans"] == 3 and any("3 of the 5 scans" in note for note in fewer["notes"])
    bare = Manifest(on.frame.drop(columns="lesion_mask"))
    assert evaluate(run, bare, tmp_path / "without")["saliency"] == []


def test_a_mask_of_another_size_is_refused(run: Run, tmp_path: Path) -> None:
    on = masked(tmp_path / "scans")
    Image.fromarray(np.full((20, 30), 255, np.uint8)).save(tmp_path / "scans" / "scan3_mask.png")
    with pytest.raises(InputError, match=f"the lesion mask of scan {3:012x} cannot be used"):
        evaluate(run, on, tmp_path / "out")


def test_a_mask_follows_its_recipe_and_its_half_bright_edge_counts_not(tmp_path: Path) -> None:
    on = masked(tmp_path / "scans")
    row = next(iter(on))
    file = tmp_path / "scans" / "scan0_mask.png"
    pixels = np.asarray(Image.open(file)).copy()
    pixels[9, 10:20] = 100  # as a JPEG or an antialiased outline has it
    Image.fromarray(pixels).save(file)
    found = masks_on_input(replace(small.RECIPE, size=40), row, file)
    assert found is not None
    np.testing.assert_array_equal(found[0][0], pixels == 255)
    assert found[1].all()
    project = Recipe("x", steps=(Step("project"), *RECIPES["picture"].steps))
    assert masks_on_input(project, row, file) is not None  # a picture stays itself
