"""Backbones, heads and pooling over a bag."""

from medtl.models.backbones import DEFAULT, create_backbone
from medtl.models.classifier import Classifier
from medtl.models.looking import look
from medtl.models.output import Output

__all__ = ["DEFAULT", "Classifier", "Output", "create_backbone", "look"]
