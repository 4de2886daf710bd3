"""One command on a miniature folder gives the table; the numbers beside it are those that were published."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
from PIL import Image
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score

from medtl.training.config import load_config

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
CONFIGS = BENCHMARKS.parent / "configs" / "benchmarks"


@pytest.fixture(scope="module")
def published():
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("published", BENCHMARKS / "published.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["published"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))


def test_every_layout_has_a_config_and_tasks(published):
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(published.LAYOUTS) == set(published.TASKS)
    configs = {name: load_config(CONFIGS / f"{name}.yaml") for name in published.LAYOUTS}
    assert configs["office-31"].backbone == "resnet50" and configs["visda-2017"].backbone == "resnet101"
    assert [len(published.TASKS[name]) for name in ("office-31", "office-home", "pacs")] == [6, 12, 4]


def test_the_published_averages_are_those_of_the_published_tasks(published):
    tables = sys.modules["_published"]
    for method, shares in tables.OFFICE31.items():
        assert tables.mean("office-31", method) == pytest.approx(np.mean(shares), abs=0.06)
    asked = {"source-only": 79.5, "dann": 86.1, "adda": 87.3, "dan": 83.7, "jan": 87.0, "cdan": 87.7, "mcd": 85.4}
    asked |= {"afn": 88.6, "bsp": 87.8, "mdd": 89.6, "mcc": 89.6}
    assert tables.MEANS["office-31"] == asked
    assert tables.mean("pacs", "source-only") == pytest.approx(np.mean(list(tables.PACS.values())), abs=0.06)


def test_what_is_counted_is_scikit_learns(published):
    random = np.random.default_rng(0)
    label, p = random.integers(0, 3, 60), random.dirichlet(np.ones(3), 60)
    counted = published.counted(p, label)
    assert counted["accuracy"] == pytest.approx((p.argmax(1) == label).mean())
    assert counted["auc"] == pytest.approx(roc_auc_score(label, p, multi_class="ovr", average="macro"))
    several, shares = random.integers(0, 2, (60, 4)).astype(float), random.random((60, 4))
    assert published.counted(shares, several)["auc"] == pytest.approx(roc_auc_score(several, shares, average="macro"))


@pytest.fixture(scope="module")
def office31(tmp_path_factory) -> Path:
    """Two classes, one bright and one dark, in three domains; and a config and weights for a moment's training."""
    root, random = tmp_path_factory.mktemp("office31"), np.random.default_rng(0)
    for domain in ("amazon", "dslr", "webcam"):
        for number, name in enumerate(("bike", "mug")):
            folder = root / domain / "images" / name
            folder.mkdir(parents=True)
            for i in range(8):
                pixels = random.integers(0, 120, (20, 30, 3)) + 120 * number
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"frame_{i:04d}.jpg")
    backbone = timm.create_model("resnet10t", pretrained=False, num_classes=0)
    save_file(backbone.state_dict(), root / "weights.safetensors")
    phase = "{steps: 12, batch: 8, lr: 0.003, backbone_lr: 1.0}"
    text = f"method: dann\nbackbone: resnet10t\nsize: 32\nbalance: [site]\nsource: {phase}\nadapt: {phase}\n"
    (root / "tiny.yaml").write_text(text + "augmentation: {rotation: 0, brightness: 0, gamma: 0}\n")
    return root


def test_one_command_measures_once_and_prints_the_table(published, office31, tmp_path, capsys):
    told = ["office-31", str(office31), "--tasks", "amazon:webcam", "--config", str(office31 / "tiny.yaml")]
    told += ["--weights", str(office31 / "weights.safetensors"), "--out", str(tmp_path), "--device", "cpu"]
    published.main([*told, "--networks", str(tmp_path / "networks")])
    table = capsys.readouterr().out
    assert "| source-only, published | 75.8 |" in table and "| dann, published | 91.4 |" in table
    lines = {line.split(" | ")[0]: line for line in table.splitlines()}
    assert float(lines["| source-only"].split(" | ")[1]) > 50
    assert len((tmp_path / "published.jsonl").read_text().splitlines()) == 2
    published.main([*told, "--table"])
    assert capsys.readouterr().out == table


def test_tasks_by_name(published):
    assert published.chosen_tasks("pacs", ":photo") == [(("art_painting", "cartoon", "sketch"), "photo")]
    with pytest.raises(SystemExit, match="amazon:amazon"):
        published.chosen_tasks("office-31", "amazon:amazon")
