"""What a calibrator fits: a small map from logits to probabilities, applied with NumPy alone and kept as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike

#: Probabilities are kept this far from 0 and 1 where a logarithm is taken of them.
TINY = 1e-12


class Map(Protocol):
    """Logits (N, K) and the task -> probabilities (N, K); the words of `str` are for the user."""

    kind: ClassVar[str]

    def __call__(self, logits: ArrayLike, task: str) -> np.ndarray:
        """Probabilities (N, K)."""
        ...


Calibrator = Callable[[np.ndarray, np.ndarray, str], Map]


def probabilities_of(
    logits: ArrayLike, task: str, temperature: float = 1.0, bias: tuple[float, ...] = ()
) -> np.ndarray:
    """Probabilities (N, K) of logits (N, K): softmax over the classes, or for "multilabel" a sigmoid for each label."""
    z = np.asarray(logits, float) / temperature + (np.asarray(bias) if len(bias) else 0.0)
    if task == "multilabel":
        return 0.5 * (1 + np.tanh(z / 2))
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Scaling:
    """Logits divided by one temperature, then a bias added. Without a bias no scan's order of classes changes.

    Attributes:
        temperature: above 1 makes less sure.
        bias: (K,), or empty for none.
    """

    kind: ClassVar[str] = "scaling"
    temperature: float = 1.0
    bias: tuple[float, ...] = ()

    def __call__(self, logits: ArrayLike, task: str) -> np.ndarray:
        """Probabilities (N, K)."""
        return probabilities_of(logits, task, self.temperature, self.bias)

    def __str__(self) -> str:
        return f"temperature {self.temperature:.2f}"


@dataclass(frozen=True)
class Linear:
    """Log-probabilities (several labels: logits) times a matrix, plus a bias.

    Attributes:
        weight: (K, K); row k is what makes the new logit k.
        bias: (K,).
    """

    kind: ClassVar[str] = "linear"
    weight: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]

    def __call__(self, logits: ArrayLike, task: str) -> np.ndarray:
        """Probabilities (N, K)."""
        return probabilities_of(log_probabilities(logits, task) @ np.asarray(self.weight).T + self.bias, task)

    def __str__(self) -> str:
        return f"a matrix of {len(self.bias)} × {len(self.bias)}"


def log_probabilities(logits: ArrayLike, task: str) -> np.ndarray:
    """What `Linear` multiplies: logits less their log-sum-exp, so that a constant added to all of them changes nothing.

    Several labels, which share no sum: the logits themselves.
    """
    z = np.asarray(logits, float)
    return z if task == "multilabel" else z - np.logaddexp.reduce(z, axis=1, keepdims=True)


@dataclass(frozen=True)
class Betas:
    """Beta calibration, a curve for each class: log odds = a ln p - b ln(1 - p) + c, then normalised.

    Attributes:
        a, b, c: (K,), or (1,) for the second of two classes.
    """

    kind: ClassVar[str] = "beta"
    a: tuple[float, ...]
    b: tuple[float, ...]
    c: tuple[float, ...]

    def __call__(self, logits: ArrayLike, task: str) -> np.ndarray:
        """Probabilities (N, K)."""
        log_p, log_rest = one_against_rest(logits, task)
        z = np.multiply(self.a, log_p) - np.multiply(self.b, log_rest) + self.c
        return normalised(0.5 * (1 + np.tanh(z / 2)), task)

    def __str__(self) -> str:
        return "a beta curve"


@dataclass(frozen=True)
class Curves:
    """A curve through knots for each class, mixed with the probabilities of a temperature, then normalised.

    Attributes:
        temperature: of the probabilities that are looked up, and mixed in.
        said: for each curve (M,) probabilities, rising.
        seen: for each curve (M,) what they are mapped to.
        steps: constant from each knot to the next, rather than a line between them.
        share: of the temperature's own probabilities in the result.
    """

    kind: ClassVar[str] = "curves"
    temperature: float
    said: tuple[tuple[float, ...], ...]
    seen: tuple[tuple[float, ...], ...]
    steps: bool
    share: float

    def __call__(self, logits: ArrayLike, task: str) -> np.ndarray:
        """Probabilities (N, K)."""
        told = np.exp(one_against_rest(np.asarray(logits, float) / self.temperature, task)[0])
        columns = []
        for p, said, seen in zip(told.T, self.said, self.seen, strict=True):
            if self.steps:
                place = np.clip(np.searchsorted(said, p, side="right") - 1, 0, None)
                columns.append(np.asarray(seen)[place])
            else:
                columns.append(np.interp(p, said, seen))
        return normalised((1 - self.share) * np.stack(columns, axis=1) + self.share * told, task)

    def __str__(self) -> str:
        return f"curves of {sum(map(len, self.said))} knots"


@dataclass(frozen=True)
class Mixture:
    """A weighted mean of the probabilities at a temperature, as they are, and of chance.

    Attributes:
        temperature: of the first.
        weight: (3,), sum 1.
    """

    kind: ClassVar[str] = "mixture"
    temperature: float
    weight: tuple[float, ...]

    def __call__(self, logits: ArrayLike, task: str) -> np.ndarray:
        """Probabilities (N, K)."""
        return np.tensordot(self.weight, parts(logits, task, self.temperature), axes=1)

    def __str__(self) -> str:
        return f"temperature {self.temperature:.2f} ({self.weight[0]:.0%} of a mixture)"


def parts(logits: ArrayLike, task: str, temperature: float) -> np.ndarray:
    """What `Mixture` is a mean of: (3, N, K)."""
    plain = probabilities_of(logits, task)
    chance = np.full_like(plain, 0.5 if task == "multilabel" else 1 / plain.shape[1])
    return np.stack([probabilities_of(logits, task, temperature), plain, chance])


def one_against_rest(logits: ArrayLike, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Ln p and ln(1 - p) of each class (N, K), of two classes of the second alone (N, 1), with no loss at the ends."""
    z = np.asarray(logits, float)
    if task != "multilabel":
        if z.shape[1] == 2:
            z = z[:, 1:] - z[:, :1]
        else:
            others = [np.logaddexp.reduce(np.delete(z, k, axis=1), axis=1) for k in range(z.shape[1])]
            z = z - np.stack(others, axis=1)
    return -np.logaddexp(0, -z), -np.logaddexp(0, z)


def normalised(p: np.ndarray, task: str) -> np.ndarray:
    """Probabilities (N, K) of what was mapped one against the rest; (N, 1): of the second of two classes."""
    if task == "multilabel":
        return p
    if p.shape[1] == 1:
        return np.concatenate([1 - p, p], axis=1)
    p = np.maximum(p, TINY)
    return p / p.sum(axis=1, keepdims=True)


MAPS: dict[str, type] = {each.kind: each for each in (Scaling, Linear, Betas, Curves, Mixture)}


def map_to_dict(fitted: Map) -> dict[str, Any]:
    """For JSON."""
    return {"kind": fitted.kind} | asdict(fitted)  # type: ignore[call-overload]


def map_from_dict(state: dict[str, Any]) -> Map:
    """What `map_to_dict` gave.

    Raises:
        ValueError: a kind that this medtl does not know.
    """
    if state.get("kind") not in MAPS:
        raise ValueError(f"a calibrator of kind {state.get('kind')!r} is not known to this medtl")
    found: Map = MAPS[state["kind"]](**{name: _frozen(value) for name, value in state.items() if name != "kind"})
    return found


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value
