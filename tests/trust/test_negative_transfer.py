"""What got worse is said, each by its own sentence; what got better, or is not known, is not."""

import math

import pytest

from medtl.trust.negative_transfer import negative_transfer

FINE = {
    "source_auroc": 0.85, "adapted_source_auroc": 0.83,
    "information": 0.15, "adapted_information": 0.36,
    "agreement_target": 0.75, "adapted_agreement": 0.46,
    "proxy_a_before": 1.9, "proxy_a_after": 1.2, "scans": 192,
    "mmd_before": 0.3, "mmd_after": 0.05,
    "shares": {"no": (0.6, 0.7, 0.62), "yes": (0.4, 0.3, 0.38)},
}  # fmt: skip


def test_nothing_is_said_where_nothing_got_worse():
    assert negative_transfer(FINE) == []
    assert negative_transfer({}) == []
    assert negative_transfer(dict.fromkeys(FINE, math.nan)) == []


@pytest.mark.parametrize(
    ("worse", "words"),
    [
        ({"adapted_source_auroc": 0.79}, "AUROC fell from 0.85 to 0.79"),
        ({"adapted_information": 0.11}, "0.11 nats instead of 0.15"),
        ({"adapted_agreement": 0.2}, "agree to 0.20, where two models trained alike agree to 0.75"),
        ({"proxy_a_before": 1.2, "proxy_a_after": 1.9}, "proxy A-distance 1.20 before and 1.90 after"),
        ({"mmd_after": 0.5}, "MMD 0.30 before and 0.50 after"),
        (
            {"shares": {"no": (0.6, 0.7, 0.98), "yes": (0.4, 0.3, 0.02)}},
            "hardly says yes any more: of 2% of the new site's scans, where source-only says so of 30% and the source "
            "has 40%",
        ),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_each_has_its_sentence(worse, words):
    (said,) = negative_transfer({**FINE, **worse})
    assert words in said and said.endswith(".")
    assert not said.startswith("It"), "each stands alone on the terminal, so it names the model"


@pytest.mark.parametrize(
    "hardly",
    [
        {"adapted_source_auroc": 0.801},
        {"adapted_information": 0.13},
        {"proxy_a_before": 1.2, "proxy_a_after": 1.35},
        {"proxy_a_before": 0.6, "proxy_a_after": 1.1, "scans": 20},  # so few scans scatter as much
        {"mmd_before": 0.0, "mmd_after": 0.09},
        {"shares": {"yes": (0.4, 0.03, 0.02)}},  # source-only hardly said it either
        {"shares": {"yes": (0.05, 0.3, 0.02)}},  # rare at the source, too
    ],
)
def test_what_chance_does_is_not_said(hardly):
    assert negative_transfer({**FINE, **hardly}) == []
