"""Linear probe: the network stays as it is, its last layer is fitted."""

from __future__ import annotations

from medtl.finetuning.base import Strategy
from medtl.finetuning.heads import Few, Head
from medtl.finetuning.probe import fit_probe


class LinearProbe(Strategy):
    """Logistic regression on the features and the source model's logits (Kornblith et al., arXiv:1805.08974)."""

    reads, trains = True, False

    @classmethod
    def head(cls, few: Few) -> Head:
        """What `medtl.finetuning.probe` fits."""
        return fit_probe(
            few.logits, few.features, few.label, few.patient, few.all_logits, few.all_features, few.multilabel
        )
