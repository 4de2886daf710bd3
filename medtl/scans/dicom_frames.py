"""The place of each frame in a multi-frame DICOM file: enhanced objects, nuclear medicine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from medtl.scans.dicom_place import (
    UNKNOWN,
    UNSAID,
    Plane,
    Triple,
    directions,
    distance,
    image_type,
    in_plane_spacing,
    line,
    moment,
    normal,
    number,
    numbers,
    plain_plane,
    shared,
    text,
    triple,
    words,
)

FRAME_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")
TIME_VECTORS = ("TimeSlotVector", "TimeSliceVector", "PhaseVector", "RRIntervalVector")


def enhanced_planes(elements: Any, file: int, frames: int) -> list[Plane]:
    """One plane a frame of an object with functional groups, where a fact may be the frame's own or shared by all."""
    whole = plain_plane(elements, file)
    own = list(elements.get("PerFrameFunctionalGroupsSequence") or [])
    common = list(elements.get("SharedFunctionalGroupsSequence") or [])[:1]
    return [
        _enhanced_plane(elements, whole, frame, [*own[frame : frame + 1], *common], frames) for frame in range(frames)
    ]


def multi_frame_planes(elements: Any, whole: Plane, frames: int) -> list[Plane]:
    """One plane a frame of an object without functional groups: placed where the standard says how, else not placed."""
    alone = replace(whole, position=None, orientation=None, thickness=UNKNOWN, between=UNKNOWN)
    return _reconstructed(elements, whole, frames) or [replace(alone, frame=frame) for frame in range(frames)]


def _enhanced_plane(elements: Any, whole: Plane, frame: int, groups: list[Any], frames: int) -> Plane:
    def group(sequence: str) -> Any:
        for where in groups:
            items = where.get(sequence)
            if items:
                return items[0]
        return {}

    measures = group("PixelMeasuresSequence") or elements
    position = triple(group("PlanePositionSequence"), "ImagePositionPatient")
    orientation = directions(group("PlaneOrientationSequence") or elements, "ImageOrientationPatient")
    if position is None and frames == 1:
        position = whole.position
    in_patient = True
    if position is None:
        position = triple(group("PlanePositionVolumeSequence"), "ImagePositionVolume")
        if position is not None:
            orientation = directions(group("PlaneOrientationVolumeSequence"), "ImageOrientationVolume")
            in_patient = False
    content = group("FrameContentSequence")
    kind = _enhanced_kind(whole, group, text(content, "StackID"))
    temporal = number(content, "TemporalPositionIndex", UNSAID)
    trigger = number(group("CardiacSynchronizationSequence"), "NominalCardiacTriggerDelayTime", UNSAID)
    if trigger == UNSAID:
        trigger = number(group("TemporalPositionSequence"), "TemporalPositionTimeOffset", UNSAID)
    acquired = moment(text(content, "FrameAcquisitionDateTime") or text(content, "FrameReferenceDateTime"))
    return replace(
        whole,
        frame=frame,
        position=position,
        orientation=orientation,
        spacing=shared(in_plane_spacing(measures, elements)),
        thickness=distance(measures, "SliceThickness"),
        between=distance(measures, "SpacingBetweenSlices"),
        kind=shared(kind),
        times=(
            whole.times[0] if temporal == UNSAID else temporal,
            number(content, "FrameAcquisitionNumber", whole.times[1]),
            trigger,
            acquired if acquired != UNSAID else whole.times[3],
            *_dimensions(content),
        ),
        in_patient=in_patient,
    )


def _dimensions(content: Any) -> tuple[float, ...]:
    """DimensionIndexValues: what an object's own dimensions say of a frame."""
    values = content.get("DimensionIndexValues")
    return tuple(map(float, values if hasattr(values, "__len__") else () if values is None else (values,)))


def _enhanced_kind(whole: Plane, group: Any, stack: str) -> Any:
    kind, extras = whole.kind.type, whole.kind.extras
    for sequence in FRAME_TYPES:
        described = group(sequence)
        if described:
            own = words(described, "FrameType")
            if own:
                kind, extras = image_type(own)
            component = text(described, "ComplexImageComponent").upper()[:1]
            if component in ("P", "R", "I") and component not in extras:
                extras = (*extras, component)
            break
    echo = number(group("MREchoSequence"), "EffectiveEchoTime", whole.kind.echo)
    diffusion = group("MRDiffusionSequence")
    b_value = number(diffusion, "DiffusionBValue", whole.kind.b_value)
    gradients = diffusion.get("DiffusionGradientDirectionSequence") or [{}]
    gradient = numbers(gradients[0], "DiffusionGradientOrientation", 3) or ()
    said = whole.kind
    return said._replace(
        type=kind,
        extras=extras,
        stack=stack,
        echo=echo,
        b_value=b_value,
        direction=gradient if b_value > 0 else (),
        inversion=number(group("MRModifierSequence"), "InversionTimes", said.inversion),
        flip=number(group("MRTimingAndRelatedParametersSequence"), "FlipAngle", said.flip),
        kernel=line(group("CTReconstructionSequence"), "ConvolutionKernel") or said.kernel,
        voltage=number(group("CTXRayDetailsSequence"), "KVP", said.voltage),
    )


def _reconstructed(elements: Any, whole: Plane, frames: int) -> list[Plane] | None:
    """Slices of reconstructed nuclear medicine (PS3.3 C.8.4.15): the first one's place, then a step for each slice.

    A negative SpacingBetweenSlices stacks against the normal.
    """
    slices, step = numbers(elements, "SliceVector", frames), number(elements, "SpacingBetweenSlices", 0.0)
    if slices is None or step == 0:
        return None
    detectors = elements.get("DetectorInformationSequence") or [elements]
    position = triple(detectors[0], "ImagePositionPatient")
    orientation = directions(detectors[0], "ImageOrientationPatient")
    if position is None or orientation is None:
        return None
    times = [vector for vector in (numbers(elements, name, frames) for name in TIME_VECTORS) if vector]
    windows = numbers(elements, "EnergyWindowVector", frames) or (UNSAID,) * frames
    return [
        replace(
            whole,
            frame=frame,
            position=_along(position, orientation, (slices[frame] - 1) * step),
            orientation=orientation,
            kind=shared(whole.kind._replace(window=windows[frame])),
            times=(*whole.times, *(vector[frame] for vector in times)),
        )
        for frame in range(frames)
    ]


def _along(position: Triple, orientation: tuple[float, ...], millimetres: float) -> Triple:
    x, y, z = normal(orientation)
    return position[0] + x * millimetres, position[1] + y * millimetres, position[2] + z * millimetres
