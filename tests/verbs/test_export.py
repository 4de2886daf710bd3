"""`medtl export`: from a Run to a folder that `medtl predict` takes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from medtl.errors import InputError
from medtl.verbs.export import export
from medtl.verbs.predict import predict

_spec = importlib.util.spec_from_file_location("small", Path(__file__).parent.parent / "runs" / "small.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


def test_a_run_becomes_an_export_compared_on_the_users_own_scans(tmp_path: Path) -> None:
    run = small.run(tmp_path / "run")
    scans = small.manifest(tmp_path / "scans")
    folder = export(run.path, tmp_path / "export", on=scans)
    assert json.loads((folder / "medtl.json").read_text())["checked"]["real_scans"] == 6
    assert predict(folder, [scans])["status"].tolist().count("ok") == 6
    with pytest.raises(InputError, match="exists already"):
        export(run, folder)


def test_other_formats_and_what_is_no_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tensorflow"):
        export(tmp_path, tmp_path / "export", format="tensorflow")
    with pytest.raises(InputError, match="is not a Run"):
        export(tmp_path, tmp_path / "export")
    assert not (tmp_path / "export").exists()
