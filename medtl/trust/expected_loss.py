"""How much is likely lost at a new site, from what is visible without its labels."""

from __future__ import annotations

from dataclasses import dataclass

from medtl.trust.verdict import scans_to_label

WARN_ABOVE = 0.1
AGREE_AT_HOME = 0.5  # where two models agree less than this at their own site, a fall says nothing
# AUROC lost for each unit that the rank agreement falls: smallest, middle and largest of the three pairs of real
# hospitals whose agreement fell by more than 0.1 (Guangzhou to NIH 0.16 and 0.53; Egypt to Brazil 0.27 and 0.25; New
# Delhi to Yakutia 0.19 and 0.23). The fourth, Brazil to Egypt, fell by 0.05 and lost nothing.
LOSS_FOR_FALL = (0.9, 1.2, 3.3)


@dataclass(frozen=True)
class ExpectedLoss:
    """What the fall of the rank agreement says.

    Attributes:
        warn: the agreement fell by more than 0.1.
        fall: own-site agreement less new-site agreement.
        own_auroc: at the model's own site.
        expected_auroc: at the new site, a rough guess.
        likely: (low, high) between which it may lie; low is chance at worst, high without a warning is own_auroc.
        sentence: for the user.
    """

    warn: bool
    fall: float
    own_auroc: float
    expected_auroc: float
    likely: tuple[float, float]
    sentence: str


def expected_loss(own_agreement: float, new_agreement: float, own_auroc: float) -> ExpectedLoss:
    """Guess the loss at a new site from two source-only models that agree less there than at home.

    The signal is "agreement on the line" (Baek et al., NeurIPS 2022, arXiv:2206.13089): over many models, agreement
    falls with accuracy. With two seeds there is no line to fit, so the loss is the fall times 1.2 (0.9 to 3.3), the
    three falls seen by hand; scaling (AUROC - 0.5) by the ratio of the agreements, which looks more natural, is too
    hopeful on each of them, by 0.13 to 0.45. Four pairs of hospitals are few: the guess is rough, and it is blind to a
    label that hangs on other signs at the new site. That takes labels, and the sentence says how many.

    Args:
        own_agreement: Spearman's correlation of the two models' scores on held-out scans of their own site.
        new_agreement: the same on the new site's scans.
        own_auroc: on held-out scans of their own site.
    """
    fall = own_agreement - new_agreement
    unsure = not own_agreement >= AGREE_AT_HOME
    warn = unsure or not fall <= WARN_ABOVE  # nan (a model that gives one score to all) warns too
    lost = max(fall, 0.0) if fall == fall else max(own_auroc - 0.5, 0.0)
    guesses = [max(min(own_auroc, 0.5), own_auroc - rate * lost) for rate in LOSS_FOR_FALL]
    high, expected, low = guesses
    high = high if warn else own_auroc
    label = f"label {scans_to_label()} scans of each class here and run `medtl evaluate` to find out"
    change = f"from {own_agreement:.2f} at their own site to {new_agreement:.2f} here"
    if unsure:
        sentence = (
            f"Two models trained alike hardly agree even at their own site ({own_agreement:.2f}, AUROC {own_auroc:.2f} "
            f"there), so nothing can be said of this one: add labelled source scans or train longer, then {label}."
        )
    elif warn and high <= 0.505:
        sentence = (
            f"Two models trained alike rank the scans less alike, {change}: expect to lose AUROC, from {own_auroc:.2f} "
            f"to about chance; {label}."
        )
    elif warn:
        near = "chance" if low <= 0.5 else f"{low:.2f}"
        sentence = (
            f"Two models trained alike rank the scans less alike, {change}: expect to lose AUROC, from {own_auroc:.2f} "
            f"to about {expected:.2f} (between {near} and {high:.2f}), or more if the label hangs on other signs here; "
            f"{label}."
        )
    else:
        sentence = (
            f"Two models trained alike rank the scans about as alike here ({change}), so little AUROC is likely lost "
            f"({own_auroc:.2f} at their own site); whether the label hangs on the same signs no scan without a label "
            f"can tell: {label}."
        )
    return ExpectedLoss(warn, fall, own_auroc, expected, (low, high), sentence)
