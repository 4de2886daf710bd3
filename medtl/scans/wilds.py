"""Camelyon17 as WILDS publishes it: a metadata.csv that names no file, beside patches/ in folders by patient and node.

Koh et al., ICML 2021, arXiv:2012.07421: patches of 96 x 96 of lymph nodes, five hospitals ("centers"), tumour or not.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

CAMELYON17 = "metadata.csv"
COLUMNS = {"patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split"}
LABELS = {"0": "normal", "1": "tumor"}


def is_camelyon17(path: Path) -> bool:
    """Whether a file is the table of a Camelyon17-WILDS folder: by its name, its columns and the patches beside it."""
    if path.name != CAMELYON17 or not path.is_file() or not (path.parent / "patches").is_dir():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return set(file.readline().strip().split(",")) >= COLUMNS


def as_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """The table as a labels file: the patch's file, its patient, hospital and label.

    WILDS' own split stands in `wilds_split` and is no split of the manifest: patches of one slide are both in its
    training part (0) and in its validation part of the same hospitals (1).

    Args:
        frame: cells as str; columns `patient, node, x_coord, y_coord, tumor, slide, center, split`.
    """
    patient = frame.patient.str.zfill(3)
    of_node = "patient_" + patient + "_node_" + frame.node
    file = "patches/" + of_node + "/patch_" + of_node + "_x_" + frame.x_coord + "_y_" + frame.y_coord + ".png"
    return pd.DataFrame(
        {
            "file": file,
            "patient": patient,
            "site": "center " + frame.center,
            "label": frame.tumor.map(LABELS).fillna(frame.tumor),
            "node": frame.node,
            "slide": frame.slide,
            "wilds_split": frame.split,
        }
    )
