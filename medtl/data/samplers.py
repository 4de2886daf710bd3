"""Which scans are dealt at which step, as a pure function of the step, so that a resumed run goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

#: Turns of the golden section fall most evenly between 0 and 1, however many there are (Knuth, The Art of Computer
#: Programming, volume 3, section 6.4, theorem S).
_GOLDEN = (5**0.5 - 1) / 2


class Deal:
    """Deals rows of a cohort for ever: every scan once before any a second time, in each of its strata.

    With `strata` (such as the class, or the site and the class) a batch holds equally many of each, drawn from
    its own shuffled decks, so that a rare class is seen as often as a common one and no loader's tail is dropped.

    With `patient`, the patients of a stratum are dealt equally often instead, each with the next of its scans: every
    patient once before any a second time, and every scan of a patient before any of them a second time.

    With `weights`, a scan is dealt in proportion to its weight within its stratum: in a turn (as many rows as the
    stratum has scans of a weight above 0) the share that it is due, rounded down or up, and over many turns that share
    exactly. A scan of weight 0 is never dealt, and one that is due a row in s turns is dealt within 3 s. To weigh
    across strata too, leave `strata` all alike. It is there for methods that weigh source scans; what the config's
    `balance` asks for is dealt without weights.

    Args:
        strata: (N,) the stratum of each row; all alike for a plain shuffle.
        batch: rows a step.
        seed: the same seed deals the same rows.
        patient: (N,) whose scan each row is.
        weights: (N,) at least 0; not together with `patient`.

    Raises:
        ValueError: there is nothing to deal, or the weights are none.
    """

    def __init__(
        self,
        strata: Sequence[int] | np.ndarray,
        batch: int,
        seed: int,
        *,
        patient: Sequence[str] | np.ndarray | None = None,
        weights: Sequence[float] | np.ndarray | None = None,
    ) -> None:
        strata = np.asarray(strata)
        if len(strata) == 0:
            raise ValueError("there are no rows to deal")
        if patient is not None and weights is not None:
            raise ValueError("rows are dealt by patient or by weight, not by both: put the patients into the weights")
        self.batch = batch
        stacks = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
        self.decks: list[_Deck]
        if patient is not None:
            names = np.unique(np.asarray(patient), return_inverse=True)[1]
            self.decks = [_Patients(stack, names[stack], (seed, number)) for number, stack in enumerate(stacks)]
        elif weights is not None:
            weighed = _weights(weights, len(strata))
            stacks = [stack[weighed[stack] > 0] for stack in stacks]
            stacks = [stack for stack in stacks if len(stack)]
            self.decks = [_Weighed(stack, weighed[stack], (seed, number)) for number, stack in enumerate(stacks)]
        else:
            self.decks = [_Shuffled(stack, (seed, number)) for number, stack in enumerate(stacks)]

    def rows(self, step: int) -> np.ndarray:
        """The rows of batch number `step`: int64 (batch,)."""
        return np.concatenate([self._from_deck(number, step) for number in range(len(self.decks))])

    def _from_deck(self, number: int, step: int) -> np.ndarray:
        share, extra = divmod(self.batch, len(self.decks))
        deck = self.decks[number]
        # the strata that get one row more change from step to step, so that over time each gets as many
        before = step * share + sum_of_extras(number, step, extra, len(self.decks))
        count = share + (((number - step) % len(self.decks)) < extra)
        turns, places = np.divmod(np.arange(before, before + count), deck.size)
        dealt = {turn: deck.turn(turn) for turn in np.unique(turns).tolist()}
        return np.array([dealt[turn][place] for turn, place in zip(turns.tolist(), places, strict=True)], np.int64)


def sum_of_extras(number: int, step: int, extra: int, strata: int) -> int:
    """How many of the steps before `step` dealt one row more from stratum `number`."""
    whole, rest = divmod(step, strata)
    return whole * extra + sum(((number - earlier) % strata) < extra for earlier in range(rest))


class _Deck(Protocol):
    """The rows of one stratum: turn after turn, each of `size` rows."""

    size: int

    def turn(self, turn: int) -> np.ndarray:
        """The rows of turn number `turn`: int64 (size,)."""


class _Shuffled:
    """Each row once a turn."""

    def __init__(self, rows: np.ndarray, seed: tuple[int, ...]) -> None:
        self.rows, self.seed, self.size = rows, seed, len(rows)

    def turn(self, turn: int) -> np.ndarray:
        """The rows in another order each turn."""
        return np.random.default_rng((*self.seed, turn)).permutation(self.rows)


class _Patients:
    """Each patient once a turn, with its next scan; `patient` (size of `rows`,) tells whose each row is."""

    def __init__(self, rows: np.ndarray, patient: np.ndarray, seed: tuple[int, ...]) -> None:
        self.seed = seed
        order = np.random.default_rng(seed).permutation(len(rows))
        order = order[np.argsort(patient[order], kind="stable")]
        self.rows = rows[order]  # patient after patient, the scans of each in an order of the seed
        self.first, self.count = np.unique(patient[order], return_index=True, return_counts=True)[1:]
        self.size = len(self.first)

    def turn(self, turn: int) -> np.ndarray:
        """One scan of each patient, the patients in another order each turn."""
        scans = self.rows[self.first + turn % self.count]
        return np.random.default_rng((*self.seed, turn)).permutation(scans)


class _Weighed:
    """Low-variance resampling (Kitagawa, JCGS 1996): each row floor or ceil of its share of a turn."""

    def __init__(self, rows: np.ndarray, weights: np.ndarray, seed: tuple[int, ...]) -> None:
        self.seed, self.size = seed, len(rows)
        random = np.random.default_rng(seed)
        order = random.permutation(len(rows))  # else rows that stand together would be dealt in the same turns
        self.rows = rows[order]
        share = np.cumsum(weights[order])
        self.ends = share / share[-1] * self.size
        self.start = random.random()

    def turn(self, turn: int) -> np.ndarray:
        """As many of each row as comb teeth at distance 1 fall into its share."""
        shift = (self.start + turn * _GOLDEN) % 1.0
        teeth = np.floor(self.ends + shift).astype(np.int64)
        dealt = np.repeat(self.rows, np.diff(teeth, prepend=0))
        return np.random.default_rng((*self.seed, turn)).permutation(dealt)


def _weights(weights: Sequence[float] | np.ndarray, n: int) -> np.ndarray:
    weighed = np.asarray(weights, dtype=np.float64)
    if weighed.shape != (n,) or not np.isfinite(weighed).all() or (weighed < 0).any() or not weighed.any():
        raise ValueError(f"weights are {n} numbers of at least 0, one a row, and not all 0")
    return weighed
