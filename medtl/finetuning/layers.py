"""A probe of several layers: the source model, its network and ImageNet's, as the labels ask for them."""

from __future__ import annotations

from dataclasses import replace

from medtl.finetuning.base import Strategy
from medtl.finetuning.heads import Few, Head
from medtl.finetuning.probe import fit_probe, foretold

#: The share that says by how many nats early layers foretell the labels better than the last ones.
EARLY = "early layers over last"
#: From so many nats on the user is told: with 10 to 50 labels a class it was reached in 13 of 22 draws of NIH, whose
#: classes differ in texture (docs/few_labels.md), and in none of 44 of breast ultrasound and of tuberculosis.
TOLD_FROM = 5.0


class Layers(Strategy):
    """A probe of several layers, and of ImageNet's beside them (Head2Toe: Evci et al., ICML 2022, arXiv:2201.03529).

    What tells the classes apart at the new site may be in the source model's answer, in its last features, in earlier
    layers, or in what it forgot of ImageNet. Probes of each are averaged by how well they foretell labels held out
    (medtl.finetuning.probe). The scans without labels set the scale of every feature. The default, since it did best
    in benchmarks/few_shot.py.
    """

    reads, trains, layered = True, False, True

    @classmethod
    def head(cls, few: Few) -> Head:
        """What `medtl.finetuning.probe` fits to the views of `medtl.models.layers`."""
        told = few.logits, few.features, few.label, few.patient, few.all_logits, few.all_features, few.multilabel
        head = fit_probe(*told, views=few.views)
        if few.early:
            rest = few.features, few.label, few.patient, few.all_features
            early, last = (foretold(*rest, view, few.multilabel) for view in (few.early, few.views[0]))
            if early is not None and last is not None:
                return replace(head, shares={**(head.shares or {}), EARLY: round(early - last, 2)})
        return head
