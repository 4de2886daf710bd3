"""Shallow methods on cached features: one file a method, one line here."""

from medtl.methods.features import FeatureMethod
from medtl.methods.shallow.coral import CORAL
from medtl.methods.shallow.standardise import Standardise

FEATURE_METHODS: dict[str, type[FeatureMethod]] = {
    "standardise": Standardise,
    "coral": CORAL,
}

__all__ = ["FEATURE_METHODS"]
