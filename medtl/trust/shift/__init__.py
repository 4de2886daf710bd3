"""Calibrated for a site without a label from there. A way is one small file and one line in UNLABELLED."""

from collections.abc import Callable

from medtl.trust.calibrators import Map
from medtl.trust.shift.confidence import fit_atc
from medtl.trust.shift.cpcs import fit_cpcs
from medtl.trust.shift.head_to_tail import fit_head_to_tail
from medtl.trust.shift.label_shift import fit_bbse, fit_label_shift
from medtl.trust.shift.seen import Seen
from medtl.trust.shift.transcal import fit_transcal
from medtl.trust.shift.witness import fit_witness

#: (source with labels, target without, task) -> the map for the target.
UNLABELLED: dict[str, Callable[[Seen, Seen, str], Map]] = {
    "witness": fit_witness,
    "cpcs": fit_cpcs,
    "transcal": fit_transcal,
    "head-to-tail": fit_head_to_tail,
    "label-shift": fit_label_shift,
    "bbse": fit_bbse,
    "atc": fit_atc,
}

#: Scans without labels from which on a mean over them says more than chance does.
LEAST_SCANS = 20

__all__ = ["LEAST_SCANS", "UNLABELLED", "Seen"]
