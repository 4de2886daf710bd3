"""The values of a DICOM picture: decoded, in real units, red-green-blue where it has colour.

Which library decodes was measured on the files of `dcm_qa_ts` and of pydicom's wheel (parsing and pixels, ms a file,
one core; every pair gave equal pixels):

    ===================  ==================  =================
    transfer syntax      pydicom (plug-in)   SimpleITK (GDCM)
    ===================  ==================  =================
    uncompressed           0.7                 1.8
    RLE                    3.6                14.6
    JPEG lossless          3.9 (gdcm)          4.0
    JPEG-LS                4.4 (pyjpegls)      6.1
    JPEG 2000, 512x512     1.9 (pylibjpeg)     4.8
    JPEG 2000, 384x384    14.6 (gdcm)         15.4
    JPEG, 30 colour       33.5 (pillow)       24.8
    JPEG, 12 bits         cannot               3.3
    ===================  ==================  =================

So pydicom decodes, in the order of plug-ins below, and SimpleITK reads what pydicom cannot (JPEG of 12 bits).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder, pixel_array

from medtl.errors import ScanError

PLUGINS = ("pylibjpeg", "pyjpegls", "pydicom", "pillow", "gdcm")  # the first that the decoder has
LARGEST_UNASKED = 2**30  # bytes that a small file may not promise: no picture shrinks a thousandfold


def real_values(dataset: pydicom.Dataset, path: Path) -> tuple[np.ndarray, float]:
    """Decode a picture into the values that its header says they stand for.

    Args:
        dataset: the whole file, pixel data included.
        path: where it came from, for the one decoder that reads files only.

    Returns:
        values: float32 (frames, rows, columns), or (frames, rows, columns, 3) for colour (RGB), after the modality
            LUT or rescale (HU for CT); MONOCHROME1 is not yet turned.
        turn: the lowest plus the highest value that the header allows: `turn - values` is the picture turned.

    Raises:
        ScanError: the pixels are cut off, damaged, or of a kind that no decoder here knows.
    """
    if syntax_of(dataset).is_encapsulated and not decoder_of(dataset):
        raise ScanError(
            f"the picture is stored as {syntax_of(dataset).name}, which is not read: export it uncompressed"
        )
    try:
        values, real = _decode(dataset, path), False
    except Exception as error:
        values, real = _decode_by_itk(dataset, path, error), True
    colour = int(dataset.get("SamplesPerPixel", 1) or 1) >= 3 or photometric(dataset) == "PALETTE COLOR"
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    expected = (frames, int(dataset.Rows), int(dataset.Columns)) + ((3,) if colour else ())
    if values.size != int(np.prod(expected)):
        raise ScanError("the picture has another size than its header says: the file is damaged, export it again")
    values = values.reshape(expected)
    if colour:
        return values.astype(np.float32), float("nan")
    return _rescale(values, dataset, real)


def photometric(dataset: pydicom.Dataset) -> str:
    """How the header says that values become grey or colour, such as "MONOCHROME2"."""
    return str(dataset.get("PhotometricInterpretation", "") or "").strip().upper()


def syntax_of(dataset: pydicom.Dataset) -> pydicom.uid.UID:
    """The transfer syntax; implicit little endian, DICOM's default, where the file names none."""
    named = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if named:
        return pydicom.uid.UID(named)
    return pydicom.uid.ImplicitVRLittleEndian if dataset.original_encoding[0] else pydicom.uid.ExplicitVRLittleEndian


def bits(dataset: pydicom.Dataset) -> int:
    """Bits that carry the value: of a palette's colours, or as stored; 32 or 64 for floating point."""
    if photometric(dataset) == "PALETTE COLOR" and "RedPaletteColorLookupTableDescriptor" in dataset:
        return int(dataset.RedPaletteColorLookupTableDescriptor[2])
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        return 32 if "FloatPixelData" in dataset else 64
    return int(dataset.get("BitsStored", 0) or dataset.get("BitsAllocated", 0) or 0)


def decoder_of(dataset: pydicom.Dataset) -> Any:
    """The pydicom decoder of this transfer syntax, or None where there is none (video, for one)."""
    try:
        return get_decoder(syntax_of(dataset))
    except NotImplementedError:
        return None


def _decode(dataset: pydicom.Dataset, path: Path) -> np.ndarray:
    """Stored values, YBR made RGB and a palette looked up, in pydicom's shape."""
    options: dict[str, Any] = {}
    if syntax_of(dataset).is_encapsulated:
        available = decoder_of(dataset).available_plugins
        options["decoding_plugin"] = next((name for name in PLUGINS if name in available), "")
    elif "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
        dataset.file_meta = getattr(dataset, "file_meta", pydicom.dataset.FileMetaDataset())
        dataset.file_meta.TransferSyntaxUID = syntax_of(dataset)
    try:
        values = pixel_array(dataset, **options)
    except Exception:
        if not options:
            raise
        values = pixel_array(dataset)  # every plug-in in turn
    if photometric(dataset) == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)[..., :3]
    return values


def _decode_by_itk(dataset: pydicom.Dataset, path: Path, error: Exception) -> np.ndarray:
    """Real values by SimpleITK, for JPEG of 12 bits; any other failure is the file's own."""
    name = syntax_of(dataset).name
    if not syntax_of(dataset).is_encapsulated:
        raise ScanError(
            "the file has fewer pixels than its header says: it is cut off, copy or export it again"
        ) from error
    if "12-bit" not in str(error):
        raise ScanError(
            f"the pixels cannot be decoded ({name}): the file is cut off or damaged, export it again"
        ) from error
    import SimpleITK as sitk  # noqa: N813  (slow to import, and hardly ever needed)

    try:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.SetImageIO("GDCMImageIO")
        return sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as second:
        raise ScanError(f"the pixels cannot be decoded ({name}): export the picture uncompressed") from second


def _rescale(values: np.ndarray, dataset: pydicom.Dataset, real: bool) -> tuple[np.ndarray, float]:
    """Apply the modality LUT or the slope and intercept, each frame its own where the header has them by frame."""
    low, high = _stored_range(values, dataset)
    if real:
        slope, intercept = _slope(dataset)
        turn = slope * (low + high) + 2 * intercept
        values = values.astype(np.float32)
        # GDCM, unlike pydicom, turns MONOCHROME1 itself; turned back, so that it is turned in one place only
        return np.float32(turn) - values if photometric(dataset) == "MONOCHROME1" else values, turn
    if dataset.get("ModalityLUTSequence"):
        looked_up = apply_modality_lut(values, dataset)
        table = apply_modality_lut(np.arange(int(low), int(high) + 1).astype(values.dtype), dataset)
        return looked_up.astype(np.float32), float(table.min()) + float(table.max())
    by_frame = [_slope(dataset, frame) for frame in range(len(values))]
    turns = [slope * (low + high) + 2 * intercept for slope, intercept in by_frame]
    result = values.astype(np.float32)
    if result.dtype.itemsize < values.dtype.itemsize or any(pair != (1.0, 0.0) for pair in by_frame):
        for frame, (slope, intercept) in enumerate(by_frame):
            result[frame] = values[frame] * slope + intercept
    return result, max(turns)


def _slope(dataset: pydicom.Dataset, frame: int = 0) -> tuple[float, float]:
    """RescaleSlope and RescaleIntercept, of the file or of one frame's functional group; (1, 0) where not said."""
    group: Any = dataset
    for where in functional_groups(dataset, frame):
        if where.get("PixelValueTransformationSequence"):
            group = where.PixelValueTransformationSequence[0]
            break
    slope, intercept = group.get("RescaleSlope"), group.get("RescaleIntercept")
    slope = 1.0 if slope in (None, "") else float(slope)
    intercept = 0.0 if intercept in (None, "") else float(intercept)
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        raise ScanError("RescaleSlope or RescaleIntercept in the header makes no sense: the values are not known")
    return slope, intercept


def functional_groups(dataset: pydicom.Dataset, frame: int) -> list[pydicom.Dataset]:
    """Where an enhanced multi-frame file keeps what belongs to one frame: the frame's own group, then the shared."""
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    return [*own[frame : frame + 1], *shared[:1]]


def _stored_range(values: np.ndarray, dataset: pydicom.Dataset) -> tuple[float, float]:
    """The lowest and highest value that BitsStored allows, as modality and maker meant MONOCHROME1 to be turned."""
    if values.dtype.kind == "f":
        return float(values.min()), float(values.max())
    stored = bits(dataset)
    if int(dataset.get("PixelRepresentation", 0) or 0):
        return -float(2 ** (stored - 1)), float(2 ** (stored - 1) - 1)
    return 0.0, float(2**stored - 1)


def refuse_impossible_size(dataset: pydicom.Dataset, path: Path) -> None:
    """Raise ScanError where a header promises no pixels, or far more than its file can hold."""
    frames, held = int(dataset.get("NumberOfFrames", 1) or 1), path.stat().st_size
    size = frames * int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("SamplesPerPixel", 1) or 1)
    size *= max(1, int(dataset.get("BitsAllocated", 8) or 8) // 8)
    if size <= 0:
        raise ScanError("the header promises a picture of no rows or no columns: the file is damaged, export it again")
    if frames > held or size > max(LARGEST_UNASKED, 1000 * held):
        raise ScanError("the header promises far more pixels than the file can hold: it is damaged, export it again")
