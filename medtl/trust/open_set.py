"""Whether a site holds scans unlike anything at the source: an open set, of which a classifier knows no name."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from medtl.trust.out_of_distribution import SHARE, Familiarity

#: Share of a site flagged by a source-only model from which on it looks like another kind of scan altogether. The same
#: kind from another hospital had 0.20 to 0.82, another body part or thing 0.93 and more (docs/uncertainty.md).
OTHER_KIND = 0.9
#: Share that stands apart from the site's other scans; a site that is one has 0.025.
SOME_STRANGE = 0.15
#: Held-out scans from which on a cut beyond which 2.5 % of them lie is more than the furthest one; scans of the site.
LEAST, LEAST_HERE = 40, 20


class Strangers(NamedTuple):
    """How many of a site's scans are unlike the source's.

    Attributes:
        flagged: share beyond the cut that 2.5 % of held-out source scans are beyond. A new hospital's scans often are,
            since its machine is another.
        apart: the same after each site's own median and lower spread are taken out, which an odd minority does not
            move: scans that differ from the rest of their site, as much as 2.5 % of the source's do.
    """

    flagged: float
    apart: float


def strangers(familiar: Familiarity, held_out: ArrayLike, target: ArrayLike, share: float = SHARE) -> Strangers:
    """Count them.

    Args:
        familiar: learnt from source scans that the model was trained on.
        held_out: (N, F) features of other source scans.
        target: (M, F) features of the site.
        share: of the held-out scans that are called usual.

    Returns:
        Both shares in [0, 1]; nan where there are fewer than 40 held-out scans, or 20 of the site.
    """
    home, here = familiar.distance(held_out), familiar.distance(target)
    if len(home) < LEAST or len(here) < LEAST_HERE:
        return Strangers(float("nan"), float("nan"))
    flagged = float(np.mean(here > np.quantile(home, share)))
    return Strangers(flagged, float(np.mean(_aside(here) > np.quantile(_aside(home), share))))


def open_set_sentence(found: Strangers) -> str:
    """What to tell the user; "" where nothing stands out."""
    if found.flagged >= OTHER_KIND:
        return (
            f"{found.flagged:.0%} of the new site's scans are unlike any of the source's: as much as another body part "
            "or another kind of picture would be. Look at them before you use this model."
        )
    if found.apart >= SOME_STRANGE:
        return (
            f"{found.apart:.0%} of the new site's scans are unlike the rest of them and unlike the source's: findings "
            "or views that the source has no name for would be. The model gives them one of its classes all the same; "
            "look at those with in_distribution false in predictions.csv, and set aside what is not meant."
        )
    return ""


def _aside(distance: np.ndarray) -> np.ndarray:
    """(N,) how far above the median, in steps from the lower quartile to the median."""
    lower, median = np.quantile(distance, [0.25, 0.5])
    return (distance - median) / max(median - lower, 1e-12)
