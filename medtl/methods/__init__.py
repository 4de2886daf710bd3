"""How source and target are brought together: one file a method, one line here."""

from medtl.methods.base import Batch, Method, Output, Step
from medtl.methods.dann import DANN
from medtl.methods.source_only import SourceOnly

METHODS: dict[str, type[Method]] = {
    "source-only": SourceOnly,
    "dann": DANN,
}

__all__ = ["DANN", "METHODS", "Batch", "Method", "Output", "SourceOnly", "Step"]
