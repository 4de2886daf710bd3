"""Which scans to show, and how they look."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from markupsafe import Markup

from medtl.intensity.recipe import Recipe, made_channels
from medtl.reports.contents import Example
from medtl.reports.palette import ADAPTED, LINE


def choose(label: np.ndarray, prediction: np.ndarray, sure: np.ndarray, n: int = 3) -> list[tuple[int, str]]:
    """`n` scans that are right and sure, and `n` that are wrong or in doubt: row and why.

    The right ones are spread over the classes, the surest first. Of the others, half are the surest mistakes, the rest
    the rightly answered scans in most doubt.

    Args:
        label: (N,) class numbers.
        prediction: (N,) class numbers.
        sure: (N,) how sure each answer is, see `sureness`.
        n: of each kind.
    """
    right = prediction == label
    best = [r for r in np.argsort(-sure, kind="stable") if right[r]]
    turn: dict[int, int] = {}
    rank: dict[int, int] = {}
    for r in best:
        rank[r] = turn[int(label[r])] = turn.get(int(label[r]), 0) + 1
    first = sorted(best, key=lambda r: rank[r])[:n]
    mistakes = [r for r in np.argsort(-sure, kind="stable") if not right[r]][: (n + 1) // 2]
    doubts = [r for r in np.argsort(sure, kind="stable") if right[r] and r not in first][: n - len(mistakes)]
    shown = [(int(r), "right and sure") for r in first] + [(int(r), "wrong") for r in mistakes]
    return shown + [(int(r), "in doubt") for r in doubts]


def sureness(probabilities: np.ndarray, threshold: float | None) -> np.ndarray:
    """How far an answer is from the other one: (N,) from 0, a coin's toss, to 1.

    Two classes and a threshold: the share of the way from the threshold to certainty, on either side. Else the gap
    between the likeliest class and the next.
    """
    if probabilities.shape[1] == 2 and threshold is not None and 0 < threshold < 1:
        p = probabilities[:, 1]
        return np.where(p >= threshold, (p - threshold) / (1 - threshold), (threshold - p) / threshold)
    ranked = np.sort(probabilities, axis=1)
    return ranked[:, -1] - ranked[:, -2]


def picture(example: Example) -> np.ndarray:
    """uint8 (H, W, 3): the recipe's output as it enters the network, from [-1, 1]."""
    pixels = np.clip((example.pixels + 1) / 2, 0, 1)
    if pixels.shape[0] != 3:
        pixels = np.repeat(pixels.mean(axis=0, keepdims=True), 3, axis=0)
    return (pixels.transpose(1, 2, 0) * 255).round().astype(np.uint8)


def overlay(example: Example) -> np.ndarray:
    """uint8 (H, W, 3): the picture with the saliency map over it, transparent where it says nothing."""
    base = picture(example).astype(np.float32) / 255
    if example.saliency is None:
        return picture(example)
    heat = mpl.colormaps["inferno"](0.25 + 0.7 * example.saliency)[..., :3]
    alpha = 0.75 * np.clip((example.saliency - 0.25) / 0.5, 0, 1)[..., None]
    mixed = base * (1 - alpha) + heat * alpha
    return (mixed * 255).round().astype(np.uint8)


def as_shown(pixels: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Channels of one instance (C, H, W) as a reader knows them: (1, H, W) grey, or (3, H, W) colour.

    Of neighbouring slices the one in the middle, of several windows the first.
    """
    for step in recipe.steps:
        if step.name == "neighbouring_slices":
            each = len(pixels) // step.arguments["n"]
            middle = len(pixels) // each // 2
            pixels = pixels[middle * each : (middle + 1) * each]
    in_colour = recipe.channels == 3 * made_channels(recipe.steps)
    return pixels[:3] if in_colour else pixels[:1]


def part_of(recipe: Recipe, unit: str = "series") -> str:
    """What an instance of several is called: those of a study are pictures and slices, one series after the other."""
    if any(step.name == "project" for step in recipe.steps):
        return "projection"
    return "picture" if unit == "study" else "slice"


def strip(weights: np.ndarray, instance: int, part: str) -> Markup:
    """A bar for each instance, in the scan's order, as high as it matters; the one that is shown stands out."""
    highest = max(float(weights.max()), 1e-12)
    bars = "".join(
        f'<rect x="{i + 0.1:.1f}" y="{10 - 10 * w / highest:.2f}" width="0.8" height="{10 * w / highest:.2f}" '
        f'fill="{ADAPTED if i == instance else LINE}"/>'
        for i, w in enumerate(weights)
    )
    says = f"how much each of {len(weights)} {part}s mattered; number {instance + 1} the most"
    return Markup(
        f'<svg class="strip" viewBox="0 0 {len(weights)} 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{says}">{bars}</svg>'
    )
