"""The warning against the four pairs of real hospitals measured by hand."""

import pytest

from medtl.trust import expected_loss

# own and new agreement, own and new AUROC of source-only (issue 1, point 5)
PAIRS = {
    "Guangzhou to NIH": (0.92, 0.76, 0.95, 0.42),
    "Brazil to Egypt": (0.78, 0.73, 0.75, 0.76),
    "Egypt to Brazil": (0.80, 0.53, 0.85, 0.60),
    "New Delhi to Yakutia": (0.90, 0.71, 0.81, 0.58),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_it_warns_where_more_than_a_tenth_is_lost_and_only_there(pair):
    own_agreement, new_agreement, own, new = PAIRS[pair]
    found = expected_loss(own_agreement, new_agreement, own)
    assert found.warn == (own - new > 0.1)
    assert found.likely[0] <= found.expected_auroc <= found.likely[1] <= own
    low, high = found.likely
    assert low - 0.09 <= new <= high + 0.02
    assert "50 scans of each class" in found.sentence


def test_agreement_that_does_not_fall_loses_nothing():
    found = expected_loss(0.8, 0.85, 0.9)
    assert not found.warn and found.expected_auroc == 0.9 and found.likely == (0.9, 0.9)


def test_scores_without_ranks_warn():
    assert expected_loss(0.9, float("nan"), 0.9).warn


def test_never_below_chance():
    assert expected_loss(0.9, -0.5, 0.9).expected_auroc == 0.5


def test_models_that_do_not_agree_at_home_reassure_nobody():
    found = expected_loss(0.01, 0.02, 0.57)
    assert found.warn
    assert "nothing can be said" in found.sentence
    assert "little AUROC is likely lost" not in found.sentence


def test_down_to_chance_is_said_once():
    assert "to about chance; label" in expected_loss(0.9, 0.4, 0.6).sentence
