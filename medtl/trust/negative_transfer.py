"""Whether adapting made things worse on anything that can be seen without a label of the new site."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

#: AUROC at the source. Of 18 trainings at real hospitals one lost as much (docs/methods.md).
FORGOT = 0.05
#: Information of the predictions at the new site, as a share of source-only's. Those 18 had 1.9 and more.
SAYS_LESS = 0.8
#: Rank agreement with source-only, as a share of that of two models trained alike. Those 18 had 0.58 and more, and the
#: ones that agreed least gained most: a fall alone is no harm.
UNLIKE = 0.5
#: Proxy A-distance (0 to 2): five points of telling the sites apart, or twice the standard error where that is more.
FURTHER = 0.2
#: MMD (at most 2), and by half of what it was. No measurement of ours.
FURTHER_MMD = 0.1
#: A class is said this much more rarely than at the source, and half as often as by source-only.
VANISHED = 0.1


def negative_transfer(signals: Mapping[str, Any]) -> list[str]:
    """What got worse, a plain sentence each; none where nothing did that can be seen.

    That nothing is seen promises nothing: of 18 trainings at real hospitals four lost 0.007 to 0.022 of AUROC at the
    new site, and none of them shows here (docs/methods.md). Only labels tell.

    Args:
        signals: any of these; what is missing is passed over.
            source_auroc, adapted_source_auroc: on held-out source scans.
            information, adapted_information: of the predictions at the new site, nats.
            agreement_target, adapted_agreement: rank agreement there of source-only with a second source-only model,
            and with the adapted one.
            proxy_a_before, proxy_a_after, mmd_before, mmd_after: between the sites; scans: of the smaller side.
            shares: class -> its share of the source's labels, of what source-only and of what the adapted model says
            at the new site.
    """
    said = {name: value for name, value in signals.items() if isinstance(value, Mapping) or value == value}

    def both(before: str, after: str) -> tuple[float, float] | None:
        return (float(said[before]), float(said[after])) if before in said and after in said else None

    found = []
    if (pair := both("source_auroc", "adapted_source_auroc")) and pair[0] - pair[1] > FORGOT:
        found.append(f"On held-out source scans the adapted model's AUROC fell from {pair[0]:.2f} to {pair[1]:.2f}.")
    if (pair := both("information", "adapted_information")) and pair[1] < SAYS_LESS * pair[0]:
        found.append(
            f"The adapted model's predictions at the new site say less of the class than those of source-only: "
            f"{pair[1]:.2f} nats instead of {pair[0]:.2f}."
        )
    pair = both("agreement_target", "adapted_agreement")
    if pair and pair[0] > 0 and pair[1] < UNLIKE * pair[0]:
        found.append(
            f"The adapted model ranks the new site's scans unlike source-only: they agree to {pair[1]:.2f}, where two "
            f"models trained alike agree to {pair[0]:.2f}."
        )
    if (pair := both("proxy_a_before", "proxy_a_after")) and pair[1] - pair[0] > _beyond_chance(*pair, said):
        found.append(
            f"The sites lie further apart than before: proxy A-distance {pair[0]:.2f} before and {pair[1]:.2f} after "
            "(0 is alike, 2 is told apart without a mistake)."
        )
    pair = both("mmd_before", "mmd_after")
    if pair and pair[1] - max(pair[0], 0) > max(FURTHER_MMD, 0.5 * pair[0]):
        found.append(f"The sites lie further apart than before: MMD {pair[0]:.2f} before and {pair[1]:.2f} after.")
    for name, (source, before, after) in said.get("shares", {}).items():
        if after < VANISHED * source and after < 0.5 * before:
            found.append(
                f"The adapted model hardly says {name} any more: of {after:.0%} of the new site's scans, where "
                f"source-only says so of {before:.0%} and the source has {source:.0%}."
            )
    return found


def _beyond_chance(before: float, after: float, said: Mapping[str, Any]) -> float:
    """Twice the standard error of the difference of two proxy A-distances, 2 (1 - 2 error), of as many scans a side."""
    errors = [(1 - distance / 2) / 2 for distance in (before, after)]
    scans = 2 * float(said.get("scans", 0))
    if not scans:
        return FURTHER
    return max(FURTHER, 8 * sqrt(sum(error * (1 - error) for error in errors) / scans))
