"""The loop, its checkpoints and its configuration. Knows no method by name."""

from medtl.training.config import Config
from medtl.training.loop import Mix, Plan, Role, fit

__all__ = ["Config", "Mix", "Plan", "Role", "fit"]
