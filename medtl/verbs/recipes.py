"""`medtl recipes`: how pixels become network input."""

from __future__ import annotations

import inspect
from typing import Any

from medtl import progress


def recipes() -> dict[str, list[dict[str, Any]]]:
    """List the recipes that turn scans into network input, and the steps that they are made of.

    Each scan is resized and padded to a square after them. A YAML file with steps of this list is a recipe too:
    see docs/recipes.md.

    Returns:
        `recipes`, one row each: `recipe`, the DICOM modality it is `chosen for`, its `channels`, what it `does`,
        whether augmentation may `flip` it (`flip_vertical`: top for bottom), and its `steps` with their parameters.
        `steps`, one row each: `step`, what it `does`, its `parameters` with their defaults, and whether it `learns`
        from a cohort.
    """
    from medtl.intensity import ABOUT, RECIPES
    from medtl.intensity.steps import LEARNERS, STEPS

    rows = []
    for name, recipe in RECIPES.items():
        modalities, does = ABOUT[name]
        rows.append(
            {
                "recipe": name,
                "chosen for": ", ".join(modality or "pictures without one" for modality in modalities)
                or "by name only",
                "channels": recipe.channels,
                "does": does,
                "flip": recipe.flip,
                "flip_vertical": recipe.flip_vertical,
                "steps": [{step.name: dict(step.parameters)} for step in recipe.steps],
            }
        )
    steps: list[dict[str, Any]] = [
        {
            "step": name,
            "does": first_sentence(step),
            "parameters": parameters_of(step),
            "learns": name in LEARNERS,
        }
        for name, step in STEPS.items()
    ]
    progress.table([{key: row[key] for key in ("recipe", "chosen for", "channels", "does")} for row in rows])
    progress.table(
        [
            {"step": row["step"], "does": row["does"], "parameters": ", ".join(map(str, row["parameters"])) or "none"}
            for row in steps
        ],
        title="Steps, to compose a recipe of in a YAML file: docs/recipes.md",
    )
    return {"recipes": rows, "steps": steps}


def first_sentence(step: Any) -> str:
    """The first line of a step's docstring, without its full stop."""
    return (inspect.getdoc(step) or "").split("\n\n")[0].replace("\n", " ").rstrip(".")


def parameters_of(step: Any) -> dict[str, Any]:
    """The parameters of a step with their defaults; "needed" where one has none. Those that are learnt are left out."""
    return {
        each.name: "needed" if each.default is inspect.Parameter.empty else each.default
        for each in list(inspect.signature(step).parameters.values())[1:]
        if each.default is not None
    }
