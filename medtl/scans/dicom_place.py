"""Where each DICOM slice lies in the patient, as its header says it: one `Plane` a slice.

A plain slice costs a few microseconds (no numpy), because an index makes one of every file.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from medtl.errors import InputError, ScanError
from medtl.scans.privacy import KEY_VARIABLE, key

UNKNOWN = float("nan")
UNSAID = -1.0  # an echo time, a b-value, a time point that the header does not give: sortable, unlike nan
LAST = float("inf")  # the order of a slice without a number
FARTHEST = 1e6  # mm
MOST_FRAMES = 50_000  # the longest perfusion and cine runs have some thousands
CENTURY = 20_000_000  # the date, as a number, from which moments count
BLOCKS = range(0x10, 0x20)  # in which a maker's private fields may lie
RAW_TYPES = {0: "M", 1: "P", 2: "R", 3: "I"}  # GE's private "raw data type": magnitude, phase, real, imaginary

Triple = tuple[float, float, float]


class Kind(NamedTuple):
    """What sets one stack apart from another at the same place.

    Attributes:
        type: the first three words of ImageType, such as ("ORIGINAL", "PRIMARY", "AXIAL").
        extras: the words after them, and "M", "P", "R" or "I" (magnitude, phase, real, imaginary).
        stack: StackID, of an enhanced object.
        window: energy window of a nuclear-medicine frame.
        echo: echo time in ms, -1 where not said.
        b_value: s/mm², -1 where not said.
        direction: of the diffusion gradient, () where not said.
        echo_number: which echo of several, -1 where not said.
        inversion: inversion time in ms, -1 where not said.
        flip: flip angle in degrees, -1 where not said.
        kernel: of the reconstruction (ConvolutionKernel), "" where not said.
        voltage: of the X-ray tube in kV, -1 where not said.
        phase: of the heartbeat or breath, ms after its trigger, -1 where not said; of an MR it stands in `times`.
    """

    type: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    stack: str = ""
    window: float = UNSAID
    echo: float = UNSAID
    b_value: float = UNSAID
    direction: tuple[float, ...] = ()
    echo_number: float = UNSAID
    inversion: float = UNSAID
    flip: float = UNSAID
    kernel: str = ""
    voltage: float = UNSAID
    phase: float = UNSAID


NO_KIND = Kind()


@dataclass(frozen=True, slots=True)
class Plane:
    """One slice's place, as its header gives it.

    Attributes:
        file: which of the series' files.
        frame: which frame of that file.
        order: the file's instance number, inf where it has none.
        position: mm (x, y, z) LPS, the centre of the first pixel; None where not known.
        orientation: direction along a row, then along a column, LPS unit vectors (6); None where not known.
        spacing: mm (between rows, between columns), nan where not known.
        thickness: mm, of the slice (SliceThickness), nan where not known.
        between: mm from slice to slice as the header says (SpacingBetweenSlices), nan where it does not.
        size: (rows, columns).
        kind: what sets one stack apart from another at the same place.
        times: what tells time points apart: temporal position, acquisition number, trigger time (of PET the frame's
            reference time), `moment` of the acquisition (else of the content), then an enhanced object's dimension
            indices; -1 where not said.
        modality: "CT", "MR" ...
        copy: a number made of the object's UID under the user's key (an index keeps it on the disk): the same for the
            same object sent twice; 0 where it has no UID.
        in_patient: False where position and orientation are those of a volume that is not placed in the patient.
    """

    file: int
    frame: int
    order: float = LAST
    position: Triple | None = None
    orientation: tuple[float, ...] | None = None
    spacing: tuple[float, float] = (UNKNOWN, UNKNOWN)
    thickness: float = UNKNOWN
    between: float = UNKNOWN
    size: tuple[int, int] = (0, 0)
    kind: Kind = NO_KIND
    times: tuple[float, ...] = ()
    modality: str = ""
    copy: int = 0
    in_patient: bool = True

    def of_file(self, file: int) -> Plane:
        """The same as `dataclasses.replace(plane, file=file)`, in a quarter of the time."""
        return Plane(file, *(getattr(self, name) for name in _FACTS))

    @property
    def placed(self) -> bool:
        """Whether the header says where the slice lies: position, orientation and pixel spacing."""
        return self.position is not None and self.orientation is not None and math.isfinite(self.spacing[0])

    @property
    def sequence(self) -> tuple[Any, ...]:
        """The order in which slices were numbered; the same whatever order the files come in, and for every user."""
        if self.position is None:
            return self.order, self.copy, (), self.frame, self.file
        return self.order, self.frame, self.position, self.kind, self.times, self.copy, self.file


def planes_of(elements: Any, file: int) -> list[Plane]:
    """The place of each slice in a DICOM file, from its header.

    Args:
        elements: the header: `Elements`, or a pydicom Dataset.
        file: the number that the planes get as their file.

    Returns:
        one plane a frame, in the order of the frames; of a Siemens mosaic one a slice.

    Raises:
        ScanError: a Siemens mosaic without the private header that tells its slices apart; absurdly many frames.
    """
    frames = int(number(elements, "NumberOfFrames", 1)) or 1
    if frames > MOST_FRAMES:
        raise ScanError("the header promises far more frames than a file can hold: it is damaged, export it again")
    if "PerFrameFunctionalGroupsSequence" in elements or "SharedFunctionalGroupsSequence" in elements:
        from medtl.scans.dicom_frames import enhanced_planes

        return enhanced_planes(elements, file, frames)
    plane = plain_plane(elements, file)
    if "MOSAIC" in plane.kind.extras or "MOSAIC" in plane.kind.type:
        from medtl.scans.dicom_mosaic import mosaic_planes

        return mosaic_planes(elements, plane)
    if frames > 1:
        from medtl.scans.dicom_frames import multi_frame_planes

        return multi_frame_planes(elements, plane, frames)
    return [plane]


_FACTS = tuple(field.name for field in fields(Plane))[1:]


def renumber(planes: Iterable[Sequence[Plane]]) -> list[Plane]:
    """The planes of many files as those of one series: the file number is the place in the list."""
    return [plane if plane.file == file else plane.of_file(file) for file, own in enumerate(planes) for plane in own]


def grouped(planes: Iterable[Plane], key: Callable[[Plane], Any]) -> dict[Any, list[Plane]]:
    """The planes of each key, as they come."""
    groups: dict[Any, list[Plane]] = {}
    for plane in planes:
        groups.setdefault(key(plane), []).append(plane)
    return groups


def plain_plane(elements: Any, file: int) -> Plane:
    """The place of a file of one frame, from the fields of the file itself."""
    modality = sys.intern(text(elements, "Modality").upper())
    trigger = UNSAID
    if modality == "MR":
        kind = _magnetic_kind(elements)
        trigger = number(elements, "TriggerTime", UNSAID)
    else:
        kind = _other_kind(elements, modality)
        if modality == "PT":
            trigger = number(elements, "FrameReferenceTime", UNSAID)
    return Plane(
        file=file,
        frame=0,
        order=number(elements, "InstanceNumber", LAST),
        position=triple(elements, "ImagePositionPatient"),
        orientation=directions(elements, "ImageOrientationPatient"),
        spacing=shared(in_plane_spacing(elements, elements)),
        thickness=distance(elements, "SliceThickness"),
        between=distance(elements, "SpacingBetweenSlices"),
        size=shared((int(number(elements, "Rows", 0)), int(number(elements, "Columns", 0)))),
        kind=shared(kind),
        times=shared(
            (
                number(elements, "TemporalPositionIdentifier", UNSAID),
                number(elements, "AcquisitionNumber", UNSAID),
                trigger,
                _moment_of(elements),
            )
        ),
        modality=modality,
        copy=_copy(text(elements, "SOPInstanceUID")),
    )


def _copy(uid: str) -> int:
    if not uid:
        return 0
    secret = _secret(os.environ.get(KEY_VARIABLE))
    return int.from_bytes(hashlib.blake2b(uid.encode("utf-8", "replace"), key=secret, digest_size=6).digest(), "big")


@lru_cache(4)
def _secret(_: str | None) -> bytes:
    """A key for `_copy`, of the user's; none where there is none, and then an index refuses, or keeps identifiers."""
    with suppress(InputError):
        return hashlib.sha256(b"copies of an object" + key()).digest()
    return b""


def _moment_of(elements: Any) -> float:
    """When a slice was acquired, else made: the date and time of the acquisition, or of the content."""
    time = number(elements, "AcquisitionTime", UNSAID)
    if time != UNSAID:
        return _dated(number(elements, "AcquisitionDate", 0.0), time)
    both = text(elements, "AcquisitionDateTime")
    if both:
        return moment(both)
    time = number(elements, "ContentTime", UNSAID)
    return time if time == UNSAID else _dated(number(elements, "ContentDate", 0.0), time)


def moment(clock: str) -> float:
    """A date and time as DICOM writes them, "20200131235959.25+0100": a number that grows with the time.

    It is the date and the time in digits, in universal time where the zone is given; -1 where there is no such time.
    """
    sign = "+" if "+" in clock else "-"
    digits, _, zone = clock.partition(sign)
    try:
        if zone:
            ahead = timedelta(hours=int(zone[:2]), minutes=int(zone[2:4] or 0))
            at = datetime.strptime(digits[:14].ljust(14, "0"), "%Y%m%d%H%M%S")
            digits = (at - ahead if sign == "+" else at + ahead).strftime("%Y%m%d%H%M%S") + digits[14:]
        return _dated(float(digits[:8]), float(digits[8:] or 0))
    except (ValueError, OverflowError):
        return UNSAID


def _dated(date: float, time: float) -> float:
    return time + (date - CENTURY) * 1e6 if date else time


def numbers(elements: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """The `count` finite numbers of a header field, or None where they are not all there."""
    try:
        value = elements.get(keyword)
        if type(value) is list:  # of `Elements`
            return tuple(value) if len(value) == count and math.isfinite(sum(value)) else None
        if value is None or isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
            result: tuple[float, ...] = () if value is None or value == "" else (float(value),)
        else:
            result = tuple([float(part) for part in value])
    except (TypeError, ValueError, OverflowError, NotImplementedError):
        return None
    return result if len(result) == count and all(map(math.isfinite, result)) else None


def triple(elements: Any, keyword: str) -> Triple | None:
    """A place in mm (3), or None; none lies a kilometre away."""
    value = numbers(elements, keyword, 3)
    if value is None or max(map(abs, value)) > FARTHEST:
        return None
    return value[0], value[1], value[2]


def directions(elements: Any, keyword: str) -> tuple[float, ...] | None:
    """The two directions of an orientation at length 1 (6); None where they are not two at a right angle."""
    value = numbers(elements, keyword, 6)
    return None if value is None else _unit_vectors(value)


def distance(elements: Any, keyword: str) -> float:
    """Mm, nan where the header does not say."""
    return abs(number(elements, keyword, 0.0)) or UNKNOWN


def text(elements: Any, keyword: str) -> str:
    """A field in words; "" where it is not there or cannot be decoded."""
    try:
        value = elements.get(keyword)
    except Exception:  # a field that cannot be decoded is a field that the file does not know
        return ""
    return "" if value is None else str(value).strip().strip("\x00")


def line(elements: Any, keyword: str) -> str:
    """A field of one or more words, as one line."""
    try:
        value = elements.get(keyword)
    except Exception:
        return ""
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else " ".join([str(part).strip() for part in value])


def words(elements: Any, keyword: str) -> tuple[str, ...]:
    """The values of a field of several words, in capitals."""
    try:
        value = elements.get(keyword)
    except Exception:
        return ()
    if value is None:
        return ()
    return _in_capitals((value,) if isinstance(value, str) else tuple(value))


@lru_cache(4096)
def _in_capitals(values: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple([str(part).strip().upper() for part in values])


@lru_cache(4096)
def image_type(values: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """ImageType in two: the first three words, which the standard defines, and the maker's own."""
    return values[:3], values[3:]


@lru_cache(4096)
def shared(value: Any) -> Any:
    """The same object for equal values: an index holds many planes."""
    return value


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    """The product of two vectors (3,)."""
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


@lru_cache(4096)
def normal(orientation: tuple[float, ...]) -> Triple:
    """The slice normal of an orientation (6): along a row cross along a column."""
    a, b, c, d, e, f = orientation
    return b * f - c * e, c * d - a * f, a * e - b * d


def in_plane_spacing(measures: Any, elements: Any) -> tuple[float, float]:
    """Mm between rows and between columns.

    PixelSpacing, else that of the detector or the digitiser (projection radiographs), else of the one calibrated
    ultrasound region.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        spacing = numbers(measures, keyword, 2)
        if spacing is not None and min(spacing) > 0 and max(spacing) < FARTHEST:
            return spacing[0], spacing[1]
    steps = set()
    for region in elements.get("SequenceOfUltrasoundRegions") or []:
        units = region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")
        rows, columns = numbers(region, "PhysicalDeltaY", 1), numbers(region, "PhysicalDeltaX", 1)
        if units == (3, 3) and rows is not None and columns is not None:  # 3: centimetres
            steps.add((abs(rows[0]) * 10, abs(columns[0]) * 10))
    if len(steps) == 1 and min(min(steps)) > 0:
        return steps.pop()
    return UNKNOWN, UNKNOWN


def _other_kind(elements: Any, modality: str) -> Kind:
    """Of a CT or PET slice what its reconstruction is called and when in the heartbeat it lies; of others ImageType."""
    kind, extras = image_type(words(elements, "ImageType"))
    if modality not in ("CT", "PT"):
        return Kind(kind, extras)
    voltage = number(elements, "KVP", UNSAID) if modality == "CT" else UNSAID
    kernel, phase = line(elements, "ConvolutionKernel"), number(elements, "TriggerTime", UNSAID)
    return Kind(
        kind, extras, "", UNSAID, UNSAID, UNSAID, (), UNSAID, UNSAID, UNSAID, kernel, voltage, phase
    )  # by their places: a call by keywords takes longer


def _magnetic_kind(elements: Any) -> Kind:
    """Echo, diffusion and complex part of an MR slice; the makers' private fields where the public ones are empty."""
    kind, extras = image_type(words(elements, "ImageType"))
    echo = number(elements, "EchoTime", UNSAID)
    b_value = number(elements, "DiffusionBValue", UNSAID)
    maker = text(elements, "Manufacturer").upper()
    gradient = (numbers(elements, "DiffusionGradientOrientation", 3) or ()) if b_value > 0 else ()
    if maker.startswith("GE"):
        at = private_block(elements, 0x0043, "GEMS_PARM_01")
        if at:
            if b_value < 0:
                b_value = _private_numbers(elements, 0x0043, at + 0x39)[0]
                b_value = b_value if b_value < 0 else b_value % 1e9  # GE adds 1e9 to some
            part = RAW_TYPES.get(int(_private_numbers(elements, 0x0043, at + 0x2F)[0]))
            extras = (*extras, part) if part else extras
    elif maker.startswith("SIEMENS") and not gradient and b_value != 0:
        at = private_block(elements, 0x0019, "SIEMENS MR HEADER")
        if at:
            b_value = b_value if b_value > 0 else _private_numbers(elements, 0x0019, at + 0x0C)[0]
            along = _private_numbers(elements, 0x0019, at + 0x0E) if b_value > 0 else ()
            gradient = along if len(along) == 3 else ()
    elif maker.startswith("PHILIPS") and b_value < 0:
        at = private_block(elements, 0x2001, "Philips Imaging DD 001")
        if at:
            b_value = _private_numbers(elements, 0x2001, at + 0x03)[0]
    if b_value > 0 and not gradient:
        gradient = numbers(elements, "DiffusionGradientOrientation", 3) or ()
    return Kind(
        kind,
        extras,
        "",
        UNSAID,
        echo if echo > 0 else UNSAID,
        b_value,
        gradient,
        number(elements, "EchoNumbers", UNSAID),
        number(elements, "InversionTime", UNSAID),
        number(elements, "FlipAngle", UNSAID),
    )


def private_block(elements: Any, group: int, creator: str) -> int:
    """Where a maker's private fields begin in a group: 0x1000, 0x1100 ...; 0 where they are not there.

    `creator`: the maker's name for them; capitals do not count.
    """
    for block in BLOCKS:
        value = elements.get((group, block))
        if value == creator or (value is not None and _same_name(value, creator)):
            return block * 0x100
    return 0


def _same_name(value: Any, creator: str) -> bool:
    value = getattr(value, "value", value)  # pydicom gives the element
    name = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return name.strip(" \x00").upper() == creator.upper()


def private(elements: Any, group: int, element: int) -> Any:
    """The value of a private field, None where it is not there."""
    value = elements.get((group, element))
    return getattr(value, "value", value)


def _private_numbers(elements: Any, group: int, element: int) -> tuple[float, ...]:
    """A maker's numbers, also where an export forgot what type they are; (-1,) where there are none."""
    try:
        value = private(elements, group, element)
        if type(value) is int:
            return (float(value),)
        if isinstance(value, bytes):
            if len(value) == 24 and value.strip(b"0123456789.+-eE \\\x00"):
                return struct.unpack("<3d", value)
            if len(value) == 4 and value.strip(b"0123456789.+-eE \\\x00"):
                return struct.unpack("<f", value)
            value = value.decode("ascii").strip(" \x00").split("\\")
        parts = [value] if isinstance(value, (str, float, int)) else list(value or ())
        result = tuple([float(part) for part in parts])
    except Exception:
        return (UNSAID,)
    return result if result and all(map(math.isfinite, result)) else (UNSAID,)


def number(elements: Any, keyword: str, default: float) -> float:
    """The first finite number of a field; `default` where there is none."""
    try:
        value = elements.get(keyword)
        if value is None:
            return default
        if type(value) is float:
            return value if value - value == 0 else default  # neither nan nor infinite
        if type(value) is int:
            return float(value)
        if value == "":
            return default
        if not isinstance(value, (float, int, str)):
            value = value[0] if len(value) else default
        number = float(value)
    except (TypeError, ValueError, OverflowError, NotImplementedError, IndexError, KeyError):
        return default
    return number if math.isfinite(number) else default


@lru_cache(4096)
def _unit_vectors(orientation: tuple[float, ...]) -> tuple[float, ...] | None:
    row, column = orientation[:3], orientation[3:]
    lengths = math.hypot(*row), math.hypot(*column)
    if not all(0.99 < length < 1.01 for length in lengths) or abs(dot(row, column)) > 0.01:
        return None
    return tuple([x / lengths[0] for x in row] + [x / lengths[1] for x in column])
