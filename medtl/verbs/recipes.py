"""`medtl recipes`: how pixels become network input."""

from __future__ import annotations

from medtl import progress


def recipes() -> list[dict[str, str]]:
    """List the recipes that turn scans into network input. Each scan is then resized and padded to a square.

    Returns:
        One row a recipe: `recipe`, the DICOM modality it is `chosen for`, its `channels`, and what it `does`.
    """
    from medtl.intensity import ABOUT, RECIPES

    rows = []
    for name, recipe in RECIPES.items():
        modalities, does = ABOUT[name]
        chosen_for = ", ".join(modality or "pictures without one" for modality in modalities) or "by name only"
        rows.append(
            {
                "recipe": name,
                "chosen for": chosen_for,
                "channels": "colour" if recipe.channels == 3 else "grey",
                "does": does,
            }
        )
    progress.table(rows)
    return rows
