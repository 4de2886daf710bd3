"""Packed pictures are the folder's, a draw is the same each time, and a run prints the published rows beside."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def objects():
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("objects", BENCHMARKS / "objects.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["objects"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root, random = tmp_path_factory.mktemp("objects"), np.random.default_rng(0)
    for style in ("art_painting", "cartoon", "photo", "sketch"):
        for name in ("dog", "person"):
            (root / "pacs" / style / name).mkdir(parents=True)
            for i in range(4):
                pixels = random.integers(0, 256, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "pacs" / style / name / f"pic_{i:03d}.jpg")
    return root


def test_packed_and_read_are_the_same_and_so_is_a_draw(objects, folder, tmp_path):
    domains = objects.SETS["pacs"].domains
    whole, drawn = (objects.Encoded.read(folder / "pacs", domains, most) for most in (0, 3))
    assert len(whole.files) == 32 and len(drawn.files) == 24 and set(drawn.files) < set(whole.files)
    assert drawn.digest == objects.Encoded.read(folder / "pacs", domains, 3).digest != whole.digest
    objects.pack("pacs", folder, 3, tmp_path)
    packed = objects.encoded("pacs", tmp_path, 3)
    assert packed.digest == drawn.digest and packed.files == drawn.files
    with pytest.raises(SystemExit, match="give --most 3"):
        objects.encoded("pacs", tmp_path, 150)


def test_pictures_come_by_domain_each_a_site(objects, folder, tmp_path):
    path = objects.unpacked(objects.encoded("pacs", folder, 0), tmp_path)
    pictures = objects.pictures_of(path, ("photo", "cartoon"))
    assert pictures.shape == (3, objects.SIZE, objects.SIZE) and pictures.classes == ("dog", "person")
    assert pictures.site.tolist() == [0] * 8 + [1] * 8 and pictures.label.tolist() == ([0] * 4 + [1] * 4) * 2
    with Image.open(folder / "pacs" / "photo" / "dog" / "pic_000.jpg") as image:
        first = np.asarray(image.resize((objects.SIZE, objects.SIZE), Image.Resampling.BILINEAR))
    assert np.array_equal(pictures.stack[0], first.transpose(2, 0, 1))


def test_tasks_and_published_rows(objects):
    pacs, office = objects.SETS["pacs"], objects.SETS["office-caltech10"]
    assert len(pacs.tasks) == 4 and pacs.tasks[2] == (("art_painting", "cartoon", "sketch"), "photo")
    assert len(office.tasks) == 12 and all(len(sources) == 1 for sources, _ in office.tasks)
    known = {("source-only", task[0][0], task[1]) for task in office.tasks} & set(office.published)
    assert len(known) == 6
    dan = [share for key, share in office.published.items() if key[0] == "dan"]
    assert np.mean(dan) == pytest.approx(0.873, abs=5e-4)  # the paper's own average


def test_the_table_has_what_is_measured_and_what_was_published(objects, tmp_path):
    benchmark = objects.Benchmark("pacs", ("source-only", "dann"), (0, 1), 3, 4, 2, "")
    rows = objects.Rows(tmp_path / "rows.jsonl")
    task = objects.SETS["pacs"].tasks[2]
    for seed, share in ((0, 0.5), (1, 0.6)):
        rows.row(benchmark.key("dann", task, seed), lambda share=share: {"target": share})
    lines = benchmark.table(rows).splitlines()
    assert lines[2] == "| dann |  |  | 0.550 |  |  |"
    assert lines[3].startswith("| source-only, published | 0.779 | 0.749 | 0.957 | 0.677 | 0.79")


@pytest.mark.slow
def test_one_run_from_a_packed_file(objects, folder, tmp_path, capsys):
    objects.pack("pacs", folder, 3, tmp_path)
    told = ["pacs", "--data", str(tmp_path), "--most", "3", "--methods", "dann", "--steps", "1", "--source-steps", "1"]
    objects.main([*told, "--out", str(tmp_path), "--networks", str(tmp_path / "networks")])
    printed = capsys.readouterr().out
    assert "not measured" not in printed and "| dann |" in printed
    assert len((tmp_path / "objects.jsonl").read_text().splitlines()) == 8
