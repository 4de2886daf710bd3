"""Conditional adversarial domain adaptation, without and with entropy conditioning."""

from __future__ import annotations

import torch
from torch import Tensor

from medtl.methods.adversarial import ReverseGradient, discriminator
from medtl.methods.base import Output
from medtl.methods.dann import DANN
from medtl.methods.losses import entropy
from medtl.models import Classifier

#: The longest product of embedding and softmax that is taken in full (equation 6).
LONGEST = 4096
#: What a longer one is drawn down to; the authors' code has it.
DRAWN = 1024


class CDAN(DANN):
    """Conditional adversarial domain adaptation (Long et al., NeurIPS 2018, arXiv:1705.10667).

    The discriminator sees which features go with which predicted class: T(f, g) = f (x) g, every product of embedding f
    and softmax g (the multilinear map); where these are more than 4096, the randomized map
    (R_f f) * (R_g g) / sqrt(d) of d = 1024 fixed Gaussian directions. The gradient goes, reversed, through f and not
    through g, as in the authors' code.

    Args:
        classifier: is adapted.
        weight: lambda at the end of DANN's schedule. The paper's is 1; 0.3 after a warm start is DANN's, measured.
        hidden: the width of the discriminator; the paper's is 1024.
    """

    one_class = True
    entropy_conditioning = False
    draw_f: Tensor  # (E, d)
    draw_g: Tensor  # (K, d)

    def __init__(self, classifier: Classifier, weight: float = 0.3, hidden: int = 256) -> None:
        super().__init__(classifier, weight, hidden)
        width, classes = classifier.width, classifier.head.out_features
        self.randomized = width * classes > LONGEST
        self.discriminator = discriminator(DRAWN if self.randomized else width * classes, hidden)
        if self.randomized:
            self.register_buffer("draw_f", torch.randn(width, DRAWN))
            self.register_buffer("draw_g", torch.randn(classes, DRAWN))

    def domain_loss(self, source: Output, target: Output, strength: float) -> Tensor:
        """How badly source and target are told apart by f (x) g."""
        logits = torch.cat([source.logits, target.logits])
        f = ReverseGradient.apply(torch.cat([source.embedding, target.embedding]), strength)
        guess = self.discriminator(self.joint(f, logits.softmax(dim=1).detach())).squeeze(1)
        sources = len(source.logits)
        if not self.entropy_conditioning:
            return self.told_apart(guess, sources)
        return self.told_apart(guess, sources, certainty(ReverseGradient.apply(entropy(logits), strength), sources))

    def joint(self, f: Tensor, g: Tensor) -> Tensor:
        """T(f, g): (N, E) and (N, K) -> (N, K E), or (N, d) where that is too long."""
        if self.randomized:
            return randomized_map(f, g, self.draw_f, self.draw_g)
        return multilinear_map(f, g)


class CDANE(CDAN):
    """CDAN+E: CDAN with entropy conditioning (Long et al., NeurIPS 2018, arXiv:1705.10667).

    As CDAN, and a scan counts w = 1 + exp(-H(g)) for the discriminator: one whose class is sure counts more. The
    gradient goes, reversed, through w too, which makes predictions surer (equation 10 and the authors' code).

    Args:
        classifier: is adapted.
        weight: lambda at the end of DANN's schedule. The paper's is 1; 0.3 after a warm start is DANN's, measured.
        hidden: the width of the discriminator; the paper's is 1024.
    """

    entropy_conditioning = True


def multilinear_map(f: Tensor, g: Tensor) -> Tensor:
    """Every product of f (N, E) and g (N, K), class by class: (N, K E) (equation 4)."""
    return (g[:, :, None] * f[:, None, :]).flatten(1)


def randomized_map(f: Tensor, g: Tensor, draw_f: Tensor, draw_g: Tensor) -> Tensor:
    """Of f (N, E), g (N, K) and draws (E, d), (K, d): (N, d), whose products are on average those of f (x) g."""
    return (f @ draw_f) * (g @ draw_g) / draw_f.shape[1] ** 0.5


def certainty(entropies: Tensor, sources: int) -> Tensor:
    """(N,) w = 1 + exp(-H), over its mean at its own site, through which no gradient goes (the authors' code)."""
    w = 1 + torch.exp(-entropies)
    return torch.cat([site / site.mean().detach() for site in (w[:sources], w[sources:])])
