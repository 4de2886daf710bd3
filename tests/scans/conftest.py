"""DICOM files made for a test: slices through a phantom whose every value tells its own place in the patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from medtl.scans.scan import Scan

GRADIENT = np.array([0.5, 0.25, 1.0])  # of the phantom's value, per mm LPS
SLOPE = 1 / 64
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


class Phantom:
    """Slices through value = GRADIENT . (x, y, z): read right, each voxel's value is that of its place."""

    gradient = GRADIENT
    axial = AXIAL

    def dataset(
        self,
        position: Sequence[float] | None = (-8.0, -6.0, 0.0),
        orientation: Sequence[float] | None = AXIAL,
        spacing: tuple[float, float] | None = (2.0, 1.0),
        size: tuple[int, int] = (6, 8),
        number: int | None = 1,
        modality: str = "CT",
        add: float = 0.0,
        **fields: Any,
    ) -> Dataset:
        """One slice; `add` is added to its values (an echo, a time point), `fields` are set by their keywords."""
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = Dataset()
        dataset.file_meta = meta
        dataset.SOPClassUID = meta.MediaStorageSOPClassUID = MRImageStorage if modality == "MR" else CTImageStorage
        dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID = "1.2.3", "1.2"
        dataset.Modality, dataset.InstanceNumber = modality, number
        if position is not None:
            dataset.ImagePositionPatient = [float(f"{part:.6f}") for part in position]
        if orientation is not None:
            dataset.ImageOrientationPatient = [float(f"{part:.8f}") for part in orientation]
        if spacing is not None:
            dataset.PixelSpacing = list(spacing)
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *size, 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept = SLOPE, 0
        position = (0, 0, 0) if position is None else position
        values = self.values(position, orientation or AXIAL, spacing or (1, 1), size) + add
        dataset.PixelData = np.rint(values / SLOPE).astype("<i2").tobytes()
        for keyword, value in fields.items():
            setattr(dataset, keyword, list(value) if isinstance(value, tuple) else value)
        return dataset

    def values(
        self, position: Sequence[float], orientation: Sequence[float], spacing: Sequence[float], size: Sequence[int]
    ) -> np.ndarray:
        """The phantom's values (rows, columns) in a slice."""
        row, column = np.array(orientation[:3]), np.array(orientation[3:])
        places = (
            np.array(position)
            + np.arange(size[0])[:, None, None] * column * spacing[0]
            + np.arange(size[1])[None, :, None] * row * spacing[1]
        )
        return places @ GRADIENT

    def stack(self, count: int, step: Sequence[float] = (0.0, 0.0, 3.0), **fields: Any) -> list[Dataset]:
        """`count` slices, each `step` mm (LPS) from the last; a list among `fields` holds a value for each slice."""
        start = np.array(fields.pop("position", (-8.0, -6.0, 0.0)))
        first = fields.pop("first", 1)
        return [
            self.dataset(
                start + k * np.array(step),
                number=first + k,
                **{name: value[k] if isinstance(value, list) else value for name, value in fields.items()},
            )
            for k in range(count)
        ]

    def assert_true(self, scan: Scan, add: float = 0.0, inside: int = 0, atol: float = 0.02) -> None:
        """Every voxel has the value of the place where the affine puts it; not `inside` pixels at each edge."""
        assert scan.affine is not None
        index = np.stack(np.meshgrid(*map(np.arange, scan.pixels.shape), indexing="ij"), -1)
        ras = index @ scan.affine[:3, :3].T + scan.affine[:3, 3]
        expected = ras * [-1, -1, 1] @ GRADIENT + add
        edge = slice(inside, -inside or None)
        np.testing.assert_allclose(scan.pixels[:, edge, edge], expected[:, edge, edge], atol=atol)
        spacing = np.linalg.norm(scan.affine[:3, :3], axis=0)
        np.testing.assert_allclose(scan.spacing, spacing, rtol=1e-6)


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    """Makes slices of a phantom."""
    return Phantom()


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Sequence[Dataset]], list[Path]]:
    """Writes datasets as files, in the order given."""

    def save_all(datasets: Sequence[Dataset]) -> list[Path]:
        paths = []
        for dataset in datasets:
            paths.append(tmp_path / f"{len(list(tmp_path.iterdir())):04d}")
            dataset.save_as(paths[-1], enforce_file_format=True)
        return paths

    return save_all
