"""Whether a site's scans are of another kind than the source's, which a classifier has no name for."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from medtl.trust.out_of_distribution import SHARE, Familiarity

#: Share of a site flagged by a source-only model from which on it looks like another kind of picture. The same kind
#: from another hospital had 0.20 to 0.82; of nine sets of other kinds seven had 0.89 to 0.97, chest radiographs
#: of children 0.82, and MR volumes seen whole 0.00 (docs/methods.md).
OTHER_KIND = 0.85
#: Held-out scans from which on a cut beyond which 2.5 % of them lie is more than the furthest one; scans of the site.
LEAST, LEAST_HERE = 40, 20


def unlike_share(familiar: Familiarity, held_out: ArrayLike, target: ArrayLike, share: float = SHARE) -> float:
    """How many of a site's scans are unlike any of the source's.

    A new hospital's scans often are, since its machine is another. A minority of other things among them does not
    show: half a site of photographs raised the share at Egypt from 0.55 to 0.76 (docs/methods.md).

    Args:
        familiar: learnt from source scans that the model was trained on.
        held_out: (N, F) features of other source scans.
        target: (M, F) features of the site.
        share: of the held-out scans that lie within the cut.

    Returns:
        A share in [0, 1]; nan where there are fewer than 40 held-out scans, or 20 of the site.
    """
    home, here = familiar.distance(held_out), familiar.distance(target)
    if len(home) < LEAST or len(here) < LEAST_HERE:
        return float("nan")
    return float(np.mean(here > np.quantile(home, share)))


def open_set_sentence(unlike: float) -> str:
    """What to tell the user of an `unlike_share`; "" where it is no more than a new hospital's."""
    if not unlike >= OTHER_KIND:
        return ""
    return (
        f"{unlike:.0%} of the new site's scans are unlike any of the source's, as much as another body part or another "
        "kind of picture would be: look at them before you use this model, which has no other names for them."
    )
