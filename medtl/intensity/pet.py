"""PET: from activity to uptake."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from medtl.errors import ScanError
from medtl.scans.scan import Scan


def suv(scan: Scan) -> Scan:
    """Turn a PET series' pixels (Bq/ml, counts) into SUV by body weight, g/ml: `medtl.scans.dicom_suv.suv_facts`.

    Padding keeps its meaning. What is in SUV already has the factor 1 and stays as it is.

    Raises:
        ScanError: the header lacks what the SUV takes, or there is none (NIfTI): which attribute is said.
    """
    factor = scan.header.get("suv")
    if factor is None:
        missing = scan.header.get("suv_missing") or "the file has no DICOM header with dose, weight and times"
        raise ScanError(
            f"the SUV cannot be computed, because {missing}: export the DICOM series again as the scanner made it, or "
            "compose a recipe without the step 'suv'"
        )
    header: dict[str, Any] = {**scan.header, "suv": 1.0}
    for fact in ("window_center", "window_width", "windows", "voi_lut"):
        header.pop(fact, None)  # of the old values
    if scan.header.get("padding"):
        header["padding"] = tuple(float(np.float32(edge) * np.float32(factor)) for edge in scan.header["padding"])
    if scan.header.get("rounded"):
        header["rounded"] = scan.header["rounded"] * factor
    return replace(scan, pixels=scan.pixels * np.float32(factor), header=header)
