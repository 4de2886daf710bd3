"""A multi-frame DICOM file as one that holds some of its frames only: a time point of many is not all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medtl.errors import ScanError
from medtl.scans.dicom_pixel_format import pixel_format_of
from medtl.scans.dicom_walk import BIG, DEFLATED, IMPLICIT

PLAIN = ("1.2.840.10008.1.2.1", IMPLICIT, BIG, DEFLATED)  # transfer syntaxes in which a frame lies as it is
OWN_GROUPS = "PerFrameFunctionalGroupsSequence"


class SomeFrames:
    """The fields and pixels of a file, as far as they belong to some frames; else as `Elements`."""

    def __init__(self, elements: Any, frames: Sequence[int], size: int) -> None:
        """`frames`: which, in which order; `size`: bytes of one."""
        self._elements, self._frames, self._size = elements, frames, size

    def get(self, name: str | tuple[int, int], default: Any = None) -> Any:
        """As of `Elements`."""
        if name == "NumberOfFrames":
            return len(self._frames)
        value = self._elements.get(name, default)
        if name == OWN_GROUPS and value:
            return [value[frame] for frame in self._frames if frame < len(value)]
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._elements

    def __getattr__(self, name: str) -> Any:
        return getattr(self._elements, name)

    def pixel_bytes(self) -> bytes:
        """The pixels of these frames."""
        whole = memoryview(self._elements.pixel_bytes())
        return b"".join(whole[frame * self._size : (frame + 1) * self._size] for frame in self._frames)


def some_frames(elements: Any, frames: Sequence[int]) -> Any:
    """A file's header and pixels with only these frames; the file as it is where they are all, or are compressed.

    Args:
        elements: `read_elements(path, pixels=True)`.
        frames: which, in the order in which they are wanted.
    """
    try:
        form = pixel_format_of(elements)
    except ScanError:
        return elements  # decoding it says what is wrong
    if list(frames) == list(range(form.frames)) or elements.syntax not in PLAIN:
        return elements
    size, odd = divmod(form.size // form.frames * form.allocated, 8)
    if odd or form.photometric == "YBR_FULL_422" or len(elements.pixel_bytes()) < size * form.frames:
        return elements
    return SomeFrames(elements, frames, size)
