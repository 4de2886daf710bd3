"""What brings two sites together at pixel level, beside any method: one line a way here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch

from medtl.data.fourier import restyle
from medtl.methods.base import Batch, Method
from medtl.models.layers import Layered
from medtl.models.mixstyle import MixStyle
from medtl.training.loop import Mix


class FourierMix:
    """Fourier domain adaptation: low-frequency amplitudes (Yang & Soatto, CVPR 2020, arXiv:2004.05498).

    Each source scan of a batch takes the style of a random target scan, all its slices that of one slice; labels stay.
    """

    def __call__(self, method: Method, batch: Mapping[str, Batch], generator: torch.Generator) -> dict[str, Batch]:
        """The batch with its source restyled."""
        source, target = batch["source"], batch["target"]
        chosen = torch.randint(len(target.pixels), (len(source.row),), generator=generator)
        style = target.pixels[chosen.to(source.bag.device)[source.bag]]
        return {**batch, "source": source._replace(pixels=restyle(source.pixels, style))}


class StyleMix:
    """MixStyle: features in the style of other scans (Zhou et al., ICLR 2021, arXiv:2104.02008).

    The backbone of the method is hooked at the first step; the pixels stay as they are.
    """

    def __init__(self) -> None:
        self._mixing: MixStyle | None = None

    def __call__(self, method: Method, batch: Mapping[str, Batch], generator: torch.Generator) -> dict[str, Batch]:
        """The batch as it is, once its styles are collected."""
        backbone = method.classifier.backbone
        backbone = backbone.backbone if isinstance(backbone, Layered) else backbone  # what is beside it does not learn
        if self._mixing is None or self._mixing.backbone is not backbone:
            self._mixing = MixStyle(backbone)
        self._mixing.collect([each.pixels for each in batch.values()], method.classifier.fixed)
        return dict(batch)


#: Those that act on the batches of the adapt phase.
MIXES: Mapping[str, Callable[[], Mix]] = MappingProxyType({"fda": FourierMix, "mixstyle": StyleMix})

#: Of those above 1: rises whenever the same batch gets other pixels or styles.
MIX_VERSIONS: Mapping[str, int] = MappingProxyType({"fda": 2})

#: Those that are steps of the recipe, learnt from the source's scans: see `medtl.intensity.recipes.harmonised`.
IN_THE_RECIPE: Mapping[str, str] = MappingProxyType(
    {
        "histogram": "Histogram matching to the source's mean quantiles (Agueh & Carlier, SIAM J. Math. Anal. 2011)",
        "landmarks": "Standardisation of the histogram's landmarks (Nyúl, Udupa & Zhang, IEEE TMI 2000)",
    }
)

#: What `harmonise` of the config can name -> what it is, and its paper.
HARMONISERS: Mapping[str, str] = MappingProxyType(
    {**IN_THE_RECIPE, **{name: (mix.__doc__ or "").splitlines()[0].rstrip(".") for name, mix in MIXES.items()}}
)


def name_with(method: str, harmonise: Sequence[str]) -> str:
    """What a training of this method with those of `harmonise` that act on batches is called: "dann with fda"."""
    mixed = [name for name in harmonise if name in MIXES]
    return f"{method} with {' and '.join(mixed)}" if mixed else method


def mixes_for(harmonise: Sequence[str]) -> tuple[Mix, ...]:
    """New mixes, for one training, of those in the config's `harmonise` that act on batches, in its order."""
    return tuple(MIXES[name]() for name in harmonise if name in MIXES)
