"""`medtl index` on Camelyon17 as WILDS publishes it: miniature folders of the same layout, patches of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medtl.scans import Manifest
from medtl.scans.index import index_folders
from medtl.scans.label_files import find_labels


@pytest.fixture(scope="module")
def camelyon17(tmp_path_factory) -> Path:
    """Two patients at each of five hospitals, four patches each; one in three has a tumour."""
    root, random, lines = tmp_path_factory.mktemp("camelyon17_v1.0"), np.random.default_rng(0), []
    for number in range(40):
        center, patient, node = number // 8, f"{number // 4:03d}", number // 4 % 3
        x, y = 3328 + 32 * number, 21792
        folder = root / "patches" / f"patient_{patient}_node_{node}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"patch_patient_{patient}_node_{node}_x_{x}_y_{y}.png")
        lines.append(f"{number},{patient},{node},{x},{y},{int(number % 3 == 0)},{number // 4},{center},{number % 2}")
    header = ",patient,node,x_coord,y_coord,tumor,slide,center,split"
    (root / "metadata.csv").write_text("\n".join([header, *lines]) + "\n")
    return root


def test_each_patch_has_its_patient_hospital_and_label(camelyon17):
    manifest: Manifest = index_folders(camelyon17, keep_identifiers=True)
    frame = manifest.usable.frame
    assert len(manifest) == len(frame) == 40, "the table itself is no scan, and none set aside either"
    assert manifest.sites == [f"center {number}" for number in range(5)]
    assert frame.label.value_counts().to_dict() == {"normal": 26, "tumor": 14}
    for row in frame.itertuples():
        number = (int(row.path.split("_x_")[1].split("_")[0]) - 3328) // 32
        assert row.label == ("tumor" if number % 3 == 0 else "normal")
        assert (row.patient, row.site, row.slide) == (f"{number // 4:03d}", f"center {number // 8}", str(number // 4))
        assert row.wilds_split == str(number % 2)
    assert frame.groupby("patient").split.nunique().max() == 1


def test_another_metadata_csv_is_no_labels_file(camelyon17, tmp_path):
    assert find_labels(camelyon17) == camelyon17 / "metadata.csv"
    (tmp_path / "patches").mkdir()
    (tmp_path / "metadata.csv").write_text("file,tumor\na.png,1\n")
    assert find_labels(tmp_path) is None
