"""What this machine has."""

from __future__ import annotations

from types import SimpleNamespace

import imagecodecs
import pytest

import medtl
from medtl.verbs.doctor import TRANSFER_SYNTAXES


def test_with_everything_installed_nothing_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    findings = medtl.doctor()
    assert all(row["ok"] for row in findings if row["part"] not in ("memory", "cache"))
    parts = {row["part"] for row in findings}
    assert {f"DICOM {name}" for name in TRANSFER_SYNTAXES} <= parts
    assert {"Python", "PyTorch", "accelerator", "backbone weights", "ONNX Runtime", "TensorBoard"} <= parts
    assert "tf_efficientnet_lite0" in capsys.readouterr().out


def test_what_is_missing_comes_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(imagecodecs, "JPEG2K", SimpleNamespace(available=False))
    row = next(row for row in medtl.doctor() if row["part"].startswith("DICOM JPEG 2000"))
    assert not row["ok"]
    assert "imagecodecs" in row["to get it"]
    assert "Missing: " in capsys.readouterr().out
