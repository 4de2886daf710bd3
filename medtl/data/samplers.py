"""Which scans are dealt at which step, as a pure function of the step, so that a resumed run goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Deal:
    """Deals rows of a cohort for ever: every scan once before any a second time, in each of its strata.

    With `strata` (such as the class, or the site and the class) a batch holds equally many of each, drawn from
    its own shuffled decks, so that a rare class is seen as often as a common one and no loader's tail is dropped.

    Args:
        strata: (N,) the stratum of each row; all alike for a plain shuffle.
        batch: rows a step.
        seed: the same seed deals the same rows.
    """

    def __init__(self, strata: Sequence[int] | np.ndarray, batch: int, seed: int) -> None:
        strata = np.asarray(strata)
        if len(strata) == 0:
            raise ValueError("there are no rows to deal")
        self.seed = seed
        self.batch = batch
        self.decks = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]

    def rows(self, step: int) -> np.ndarray:
        """The rows of batch number `step`: int64 (batch,)."""
        return np.concatenate([self._from_deck(number, step) for number in range(len(self.decks))])

    def _from_deck(self, number: int, step: int) -> np.ndarray:
        share, extra = divmod(self.batch, len(self.decks))
        deck = self.decks[number]
        # the strata that get one row more change from step to step, so that over time each gets as many
        before = step * share + sum_of_extras(number, step, extra, len(self.decks))
        count = share + (((number - step) % len(self.decks)) < extra)
        positions = np.arange(before, before + count)
        shuffled = {
            turn: np.random.default_rng((self.seed, number, turn)).permutation(deck)
            for turn in np.unique(positions // len(deck))
        }
        return np.array([shuffled[p // len(deck)][p % len(deck)] for p in positions], dtype=np.int64)


def sum_of_extras(number: int, step: int, extra: int, strata: int) -> int:
    """How many of the steps before `step` dealt one row more from stratum `number`."""
    whole, rest = divmod(step, strata)
    return whole * extra + sum(((number - earlier) % strata) < extra for earlier in range(rest))
