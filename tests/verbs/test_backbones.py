"""The backbones whose weights are here."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest

import medtl


def test_the_default_comes_first_and_the_hub_cache_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache has one timm model, one without its file, and one that timm does not know."""
    whole = tmp_path / "models--timm--resnet18.a1_in1k" / "snapshots" / "0" / "model.safetensors"
    whole.parent.mkdir(parents=True)
    whole.touch()
    (tmp_path / "models--timm--resnet50.a1_in1k" / "snapshots").mkdir(parents=True)
    (tmp_path / "models--timm--no_such_model").mkdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert [row["backbone"] for row in medtl.backbones()] == ["tf_efficientnet_lite0", "resnet18.a1_in1k"]
