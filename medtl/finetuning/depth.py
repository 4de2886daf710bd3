"""The layers of a classifier from the pixels up, for strategies that treat them differently."""

from __future__ import annotations

from typing import Any

from timm.models import group_parameters

from medtl.models import Classifier
from medtl.models.layers import Layered


def layers_of(classifier: Classifier, coarse: bool = False) -> list[list[str]]:
    """The names of the parameters that train, layer by layer from the stem up; the last are those of no backbone.

    A timm model says itself what its layers are; of another, each module that has parameters is one.

    Args:
        classifier: its pooling, bottleneck and head are the last layer.
        coarse: stages, where the model has them, instead of blocks.
    """
    backbone: Any = classifier.backbone
    prefix = "backbone."
    if isinstance(backbone, Layered):
        backbone, prefix = backbone.backbone, "backbone.backbone."
    if hasattr(backbone, "group_matcher"):
        matcher = backbone.group_matcher(coarse=coarse)
        grouped: dict[Any, list[str]] = group_parameters(backbone, matcher, reverse=False)
        found = [grouped[number] for number in sorted(grouped)]
    else:
        modules = dict.fromkeys(name.rpartition(".")[0] for name, _ in backbone.named_parameters())
        found = [
            [name for name, _ in backbone.named_parameters() if name.rpartition(".")[0] == module] for module in modules
        ]
    layers = [[prefix + name for name in layer] for layer in found]
    below = {name for layer in layers for name in layer}
    trains = {name for name, parameter in classifier.named_parameters() if parameter.requires_grad}
    layers.append([name for name, _ in classifier.named_parameters() if name not in below])
    return [kept for layer in layers if (kept := [name for name in layer if name in trains])]
