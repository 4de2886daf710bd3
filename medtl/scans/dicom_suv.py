"""From the counts of a PET series to the standardised uptake value by body weight (SUVbw)."""

from __future__ import annotations

import math
from typing import Any

from medtl.errors import ScanError

DAY = 86400.0  # seconds
LATEST = 10  # half-lives after the injection: a thousandth is left, so one of the times is wrong
LEAST = 1e5  # Bq; doses are 1e7 to 1e9: what is less was written in MBq
UNITS, CORRECTED, DECAY = "Units (0054,1001)", "CorrectedImage (0028,0051)", "DecayCorrection (0054,1102)"
Moment = tuple[str, float]  # date "YYYYMMDD" or "", seconds of that day


def suv_facts(elements: Any, turned: bool = False) -> dict[str, Any]:
    """What one unit of pixel is worth in SUV by body weight, from a PET header.

    The pseudo-code of the RSNA's Quantitative Imaging Biomarkers Alliance ("SUV calculation", happy path and robust
    version; QIBA FDG-PET/CT profile), with its habits of vendors: Philips' counts with the private factors (7053,xx00)
    and (7053,xx09), GE's private scan time (0009,xx0d), Siemens' series times of a later reconstruction. Attributes:
    DICOM PS3.3 C.8.9.1 and C.8.9.2. Decay that was not corrected for would need a factor for each bed position, and is
    refused.

    Args:
        elements: the header of one file.
        turned: whether the pixels were turned (MONOCHROME1), and so hold no activity any more.

    Returns:
        "suv": g/ml in one unit of pixel after the rescale; or "suv_missing": which attribute is missing or unfit.
    """
    try:
        if turned:
            raise ScanError("PhotometricInterpretation (0028,0004) is MONOCHROME1, which a PET series cannot be")
        return {"suv": _factor(elements)}
    except ScanError as error:
        return {"suv_missing": str(error)}


def _factor(elements: Any) -> float:
    units = _text(elements, "Units").upper()
    if units == "GML":
        kind = _text(elements, "SUVType").upper() or "BW"
        if kind != "BW":
            raise ScanError(f"SUVType (0054,1006) is {kind}, not BW (body weight)")
        return 1.0
    if units not in ("BQML", "CNTS"):
        raise ScanError(f"{UNITS} is {units}, not BQML, CNTS or GML" if units else f"{UNITS} is missing")
    _refuse_uncorrected(elements)
    to_activity = 1.0
    if units == "CNTS":
        philips = _private(elements, 0x7053, "Philips PET Private Group", 0x00)
        if philips > 0:
            return philips
        to_activity = _private(elements, 0x7053, "Philips PET Private Group", 0x09)
        if not to_activity > 0:
            raise ScanError(f"{UNITS} is CNTS, and Philips' factors (7053,xx00) and (7053,xx09) are missing")
    weight = _positive(elements, "PatientWeight", "(0010,1030)")
    return to_activity * weight * 1000.0 / _dose_at_scan(elements)


def _refuse_uncorrected(elements: Any) -> None:
    corrected = elements.get("CorrectedImage")
    corrections = {str(each).upper() for each in (corrected if isinstance(corrected, list) else [corrected]) if each}
    if not corrections:
        raise ScanError(f"{CORRECTED} is missing")
    if lacking := {"ATTN", "DECY"} - corrections:
        raise ScanError(f"{CORRECTED} lacks {' and '.join(sorted(lacking))}: the activity was not corrected for it")


def _dose_at_scan(elements: Any) -> float:
    """The injected dose, in Bq, as it has decayed by the time to which the pixels are corrected."""
    items = elements.get("RadiopharmaceuticalInformationSequence")
    if not items:
        raise ScanError("RadiopharmaceuticalInformationSequence (0054,0016) is missing")
    injected = items[0]
    dose = _positive(injected, "RadionuclideTotalDose", "(0018,1074)")
    if dose < LEAST:
        raise ScanError(f"RadionuclideTotalDose (0018,1074) is {dose:g}, which is no dose in Bq")
    to = _text(elements, "DecayCorrection").upper()
    if to == "ADMIN":
        return dose
    if to != "START":
        raise ScanError(f"{DECAY} is {to}, not START or ADMIN" if to else f"{DECAY} is missing")
    half_life = _positive(injected, "RadionuclideHalfLife", "(0018,1075)")
    start = _moment(_text(injected, "RadiopharmaceuticalStartDateTime"))
    start = start or _time(_text(injected, "RadiopharmaceuticalStartTime"))
    if start is None:
        raise ScanError(
            "RadiopharmaceuticalStartDateTime (0018,1078) and RadiopharmaceuticalStartTime (0018,1072) are missing"
        )
    elapsed = _seconds_between(start, _scan_moment(elements, half_life))
    if not 0 <= elapsed <= LATEST * half_life:
        raise ScanError(
            "the injection, by RadiopharmaceuticalStartDateTime (0018,1078) or StartTime (0018,1072), lies after the "
            "scan or too long before it"
        )
    return float(dose * 2.0 ** (-elapsed / half_life))


def _scan_moment(elements: Any, half_life: float) -> Moment:
    """The start of the scan, to which DecayCorrection START corrects."""
    series = _dated(elements, "Series")
    acquired = _dated(elements, "Acquisition")
    if series and (acquired is None or _seconds_between(series, acquired, of_day=False) >= 0):
        return series
    by_ge = _moment(_private_text(elements, 0x0009, "GEMS_PETD_01", 0x0D))
    if by_ge:
        return by_ge
    if acquired is None:
        raise ScanError("SeriesTime (0008,0031) and AcquisitionTime (0008,0032) are missing")
    # the series was made later, from an earlier scan: this frame's counts, at their mean rate, lie so long after it
    reference, duration = (_number(elements, name) for name in ("FrameReferenceTime", "ActualFrameDuration"))
    if not (reference > 0 and duration > 0):
        raise ScanError(
            "SeriesTime (0008,0031) is later than AcquisitionTime (0008,0032), and FrameReferenceTime (0054,1300) or "
            "ActualFrameDuration (0018,1242) is missing"
        )
    decay = math.log(2) / half_life
    in_frame = decay * duration / 1000
    mean_rate = math.log(in_frame / -math.expm1(-in_frame)) / decay
    return acquired[0], acquired[1] - reference / 1000 + mean_rate


def _seconds_between(start: Moment, end: Moment, of_day: bool = True) -> float:
    """By dates where both have one; else by the time of day, with `of_day` over midnight."""
    seconds = end[1] - start[1]
    if start[0] and end[0]:
        return seconds + (_day(end[0]) - _day(start[0])) * DAY
    return seconds % DAY if of_day else seconds


def _day(date: str) -> int:
    from datetime import date as calendar

    try:
        return calendar(int(date[:4]), int(date[4:6]), int(date[6:8])).toordinal()
    except ValueError as error:
        raise ScanError("a date of the series or the injection is none (YYYYMMDD)") from error


def _dated(elements: Any, what: str) -> Moment | None:
    """The date and time of the "Series" or "Acquisition"."""
    time = _time(_text(elements, f"{what}Time"))
    if time is None:
        return None
    date = _text(elements, f"{what}Date") or _text(elements, "SeriesDate")
    return date.replace(".", ""), time[1]


def _moment(text: str) -> Moment | None:
    """A DT, "YYYYMMDDHHMMSS.FFFFFF&ZZXX"; times are local, whatever the offset from UTC behind them."""
    digits = text.split("+")[0].split("-")[0].strip()
    time = _time(digits[8:])
    return (digits[:8], time[1]) if time else None


def _time(text: str) -> Moment | None:
    """A TM, "HHMMSS.FFFFFF" or shorter; of old files "HH:MM:SS"."""
    digits = text.replace(":", "").strip()
    try:
        hours, minutes, seconds = int(digits[:2]), int(digits[2:4] or 0), float(digits[4:] or 0)
    except ValueError:
        return None
    return ("", hours * 3600.0 + minutes * 60.0 + seconds) if hours < 24 and minutes < 60 and seconds < 61 else None


def _positive(elements: Any, keyword: str, tag: str) -> float:
    value = _number(elements, keyword)
    if not (value > 0 and math.isfinite(value)):
        raise ScanError(f"{keyword} {tag} is missing" if math.isnan(value) else f"{keyword} {tag} is {value:g}")
    return value


def _number(elements: Any, name: str | tuple[int, int]) -> float:
    """The first value as a number; nan where there is none."""
    value = elements.get(name)
    value = value[0] if isinstance(value, list) and value else value
    try:
        return float(value.strip(b"\0 ") if isinstance(value, bytes) else value)
    except (TypeError, ValueError):
        return math.nan


def _text(elements: Any, name: str | tuple[int, int]) -> str:
    value = elements.get(name)
    value = value[0] if isinstance(value, list) and value else value
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return value.strip("\0 ") if isinstance(value, str) else ""


def _private(elements: Any, group: int, creator: str, element: int) -> float:
    tag = _private_tag(elements, group, creator, element)
    return math.nan if tag is None else _number(elements, tag)


def _private_text(elements: Any, group: int, creator: str, element: int) -> str:
    tag = _private_tag(elements, group, creator, element)
    return "" if tag is None else _text(elements, tag)


def _private_tag(elements: Any, group: int, creator: str, element: int) -> tuple[int, int] | None:
    """Where a private element lies: its creator reserved the block (PS3.5 7.8.1)."""
    for block in range(0x10, 0x100):
        if (group, block) in elements and _text(elements, (group, block)) == creator:
            return group, block << 8 | element
    return None
