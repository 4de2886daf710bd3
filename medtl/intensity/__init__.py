"""Recipes: how pixels become network input."""

from medtl.intensity.recipe import Recipe, Step
from medtl.intensity.recipes import ABOUT, RECIPES, recipe_for, recipe_for_scans

__all__ = ["ABOUT", "RECIPES", "Recipe", "Step", "recipe_for", "recipe_for_scans"]
