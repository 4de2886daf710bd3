"""The notebook runs from its first cell to its last, on a slice of the sample scans and with a tiny budget."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "docs" / "notebooks" / "quickstart.ipynb"

_spec = importlib.util.spec_from_file_location("two_sites", ROOT / "tests" / "verbs" / "two_sites.py")
two_sites = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(two_sites)


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def a_few_scans(site: Path, to: Path, each: int = 12) -> Path:
    """One scan of each of `each` patients of each class."""
    table = pd.read_csv(site / "labels.csv", dtype=str)
    table = table.drop_duplicates("patient").groupby("label").head(each)
    for file in table.file:
        (to / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(site / file, to / file)
    table.to_csv(to / "labels.csv", index=False)
    return to


def test_is_committed_without_outputs(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.slow
def test_runs_from_the_first_cell_to_the_last(notebook, sample_data, tmp_path, monkeypatch):
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    kept = [line for line in parameters.source.splitlines() if line.startswith(("from ", "import "))]
    given = {
        "source_folder": a_few_scans(sample_data / "brazil", tmp_path / "brazil"),
        "target_folder": a_few_scans(sample_data / "egypt", tmp_path / "egypt"),
        "config": two_sites.config(tmp_path),
        "work": tmp_path / "work",
    }
    assert all(f"{name} = " in parameters.source for name in [*given, "shots"])
    parameters.source = "\n".join(
        [*kept, "shots = 3", *(f"{name} = Path({str(path)!r})" for name, path in given.items())]
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()

    work = tmp_path / "work"
    assert {path.name for path in work.iterdir()} == {"adapted", "evaluated", "tuned", "evaluated-tuned", "exported"}
    assert (work / "evaluated-tuned" / "report.html").is_file()
    last = "".join(output["data"]["text/plain"] for output in notebook.cells[-1].outputs if "data" in output)
    differences = [float(line.split()[1]) for line in last.splitlines() if line.startswith("p_")]
    assert len(differences) == 2 and max(differences) < 1e-4
