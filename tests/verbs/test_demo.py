"""The demo on two small synthetic hospitals: what it makes and says, going on, starting over, other folders."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from medtl import cli, progress, resources
from medtl.errors import InputError
from medtl.runs.run import Run
from medtl.training import loop

pytest.importorskip("medtl.verbs.finetune")
from medtl.verbs.demo import demo, what_to_trust

_spec = importlib.util.spec_from_file_location("two_sites", Path(__file__).parent / "two_sites.py")
two_sites = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(two_sites)


def hospital(folder: Path, dark: int, patients: int = 48) -> None:
    """A folder of pictures with its labels.csv."""
    random = np.random.default_rng(dark)
    folder.mkdir(parents=True)
    lines = ["file,patient,label"]
    for i in range(patients):
        pixels = random.integers(60, 180, (40, 40)) - dark
        pixels[8 : 8 + 10 * (i % 2)] += 60
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,p{dark}-{i},{('benign', 'malignant')[i % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The demo's scans and config, exchanged for ones that train in seconds."""
    folder = tmp_path_factory.mktemp("small")
    hospital(folder / "scans" / "brazil", 0)
    hospital(folder / "scans" / "egypt", 50)
    (folder / "configs").mkdir()
    two_sites.config(folder / "configs", "demo.yaml")
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources, "sample_data", lambda: folder / "scans")
        patch.setattr(resources, "configs", lambda: folder / "configs")
        patch.setattr(loop, "EPOCH", 2)
        patch.setenv("MEDTL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setenv("MEDTL_KEY", "a key for the tests")
        torch.set_num_threads(1)
        yield folder
    torch.set_num_threads(threads)
    progress.set_mode("auto")


@pytest.fixture(scope="module")
def done(small: Path) -> tuple[Path, dict[str, Any]]:
    return small / "demo", demo(small / "demo")


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{file.relative_to(folder)} {name}": value
        for file in sorted(folder.rglob("*.safetensors"))
        for name, value in load_file(file).items()
    }


def same(one: Path, other: Path) -> bool:
    a, b = tensors(one), tensors(other)
    return bool(a) and a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_everything_is_where_it_says(done: tuple[Path, dict[str, Any]]) -> None:
    out, result = done
    assert result["report"] == out / "report" / "report.html" and result["report"].is_file()
    assert result["onnx"] == out / "onnx" / "model.onnx" and result["onnx"].is_file()
    run, tuned = Run.load(result["run"]), Run.load(result["fine_tuned"])
    assert (run.path, tuned.path) == (out / "adapted", out / "fine-tuned")
    assert list(result["models"]) == ["source-only", "domain-adversarial", "fine-tuned"]
    names = {"adapted": "domain-adversarial", "source-only": "source-only"}
    assert result["handed_over"] == names[run.decision["handed_over"]]
    assert set(run.facts["patients"]).isdisjoint(set(tuned.facts["patients"]) - set(run.facts["patients"]))
    for numbers in result["models"].values():
        assert numbers["n_scans"] == result["models"]["source-only"]["n_scans"] > 8
        assert {"auroc_ci", "accuracy", "ece_excess"} <= numbers.keys()
        assert {"accuracy", "ece_excess"} <= numbers["uncalibrated"].keys()
    assert not result["cut_off"]


def test_once_more_is_quick_and_says_the_same(done: tuple[Path, dict[str, Any]], capsys) -> None:
    out, result = done
    assert cli.main(["demo", "-o", str(out)]) == 0
    said = capsys.readouterr().out
    for words in (
        f"{out}/adapted is there already", "AUROC", "→", result["trust"],
        str(result["report"]), str(result["run"]), str(result["onnx"]), "medtl adapt --source", "medtl evaluate",
        "medtl predict",
    ):  # fmt: skip
        assert words in said
    for name in ("source-only", "domain-adversarial", "fine-tuned"):
        low, high = result["models"][name]["auroc_ci"]
        assert f"{result['models'][name]['auroc']:.2f} ({low:.2f} to {high:.2f})" in said
    assert max(map(len, said.splitlines())) <= 250


@pytest.mark.parametrize("when", [pytest.param("witness", marks=pytest.mark.slow), "dann"])
def test_cut_off_in_the_middle_it_goes_on(
    done: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    save = loop.save_checkpoint

    def killed(path: Path, state: dict[str, Any]) -> None:
        save(path, state)
        if path.stem == when:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "save_checkpoint", killed)
        demo(tmp_path / "demo")
    result = demo(tmp_path / "demo")
    assert result["cut_off"]
    assert same(tmp_path / "demo", done[0])
    assert result["models"]["fine-tuned"]["auroc"] == done[1]["models"]["fine-tuned"]["auroc"]


@pytest.mark.slow
def test_force_starts_over(done: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    shutil.copytree(done[0], tmp_path / "demo")
    (tmp_path / "demo" / "adapted" / "run.json").write_text("damaged")
    with pytest.raises(InputError, match=r"run\.json"):
        demo(tmp_path / "demo")
    demo(tmp_path / "demo", force=True)
    assert same(tmp_path / "demo", done[0])


def test_another_folder_stays(small: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("keep me")
    for force in (False, True):
        with pytest.raises(InputError, match="is not the folder of a demo"):
            demo(tmp_path, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


# ---- the sentence ------------------------------------------------------------------------------------------------
def numbers(kind: str, off: float = 0.0, high: float = 0.9) -> dict[str, Any]:
    verdict = {"kind": kind, "interval_90": [0.6, high], "labels_needed": 30}
    return {
        "auroc": 0.71,
        "auroc_ci": [0.58, 0.83],
        "n_scans": 58,
        "n_patients": 51,
        "ece_excess": off,
        "verdict": verdict,
    }


@pytest.mark.parametrize(
    ("given", "warn", "says"),
    [
        (
            numbers("better than chance"),
            False,
            "Trust how the dann model ranks scans here, and its percentages as they",
        ),
        (numbers("better than chance", off=0.2), False, "ranks scans here, but not its percentages ("),
        (
            numbers("better than chance", high=0.6),
            False,
            "Do not rely on the dann model here, it is better than chance but",
        ),
        (numbers("not"), True, "Do not rely on the dann model here, as `adapt` warned"),
        (numbers("not"), False, "though `adapt` had not warned"),
        (numbers("cannot tell yet"), False, "yet, label about 30 more scans of each class to find out"),
    ],
)
def test_one_plain_sentence_with_the_interval(given: dict[str, Any], warn: bool, says: str) -> None:
    sentence = what_to_trust("dann", given, {"warn": warn})
    assert says in sentence
    assert "on 58 scans of 51 patients it never saw: AUROC 0.71, 95 % interval 0.58 to 0.83" in sentence
    assert "\n" not in sentence and sentence.endswith(".") and ". " not in sentence
