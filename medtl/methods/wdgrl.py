"""Wasserstein distance guided representation learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from medtl.methods.adversarial import discriminator, wide
from medtl.methods.base import Batch, Method, Step
from medtl.methods.losses import task_loss
from medtl.models import Classifier


class WDGRL(Method):
    """Wasserstein distance guided representation learning (Shen et al., AAAI 2018, arXiv:1707.01217).

    A critic f learns the Wasserstein-1 distance between the two sites' embeddings h, mean f(h_s) - mean f(h_t), with
    a penalty where its slope is not 1; after its steps the classifier learns the source and makes the distance small.
    Unlike a discriminator's, the distance has a useful gradient where the sites do not overlap at all.

    Args:
        classifier: is adapted.
        weight: lambda, of the distance beside the task loss. The paper leaves it open; 1 is the plain sum, and 0.1 lets
            the distance move a warm model slowly.
        penalty: gamma, of the slopes; the paper's 10.
        critic_steps: n, of the critic for each batch; the paper's 5. They share one look at the batch.
        hidden: the width of the critic.
    """

    def __init__(
        self,
        classifier: Classifier,
        weight: float = 0.1,
        penalty: float = 10.0,
        critic_steps: int = 5,
        hidden: int = 256,
    ) -> None:
        super().__init__(classifier)
        self.weight, self.penalty, self.critic_steps = weight, penalty, critic_steps
        self.critic = discriminator(classifier.width, hidden)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The critic's, and the classifier's."""
        critic = list(self.critic.parameters())
        return {"critic": critic, "classifier": [p for p in self.classifier.parameters() if p.requires_grad]}

    def steps(self, progress: float) -> Sequence[Step]:
        """So many of the critic, one of the classifier."""
        again = [Step("losses_of_critic_again", "critic")] * (self.critic_steps - 1)
        return Step("losses_of_critic", "critic"), *again, Step("losses", "classifier")

    def losses_of_critic(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The negative distance, and the penalty on slopes."""
        with torch.no_grad():
            source, target = self.forward(batch["source"]), self.forward(batch["target"])
        self.seen = source.embedding, target.embedding
        return self.losses_of_critic_again(batch, progress)

    def losses_of_critic_again(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The same, on the embedding that the first of the critic's steps has seen: it is still the same."""
        source, target = self.seen
        return {
            "critic": -distance(self.critic, source, target),
            "slope": self.penalty * gradient_penalty(self.critic, source, target),
        }

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and the distance."""
        source, target = self.forward(batch["source"]), self.forward(batch["target"])
        return {
            "task": task_loss(source.logits, batch["source"].label),
            "distance": self.weight * distance(self.critic, source.embedding, target.embedding),
        }


def distance(critic: nn.Module, source: Tensor, target: Tensor) -> Tensor:
    """Wasserstein-1 as far as the critic knows it (equation 1), of embeddings (N, E) and (M, E)."""
    return critic(source).mean() - critic(target).mean()


def gradient_penalty(critic: nn.Module, source: Tensor, target: Tensor) -> Tensor:
    """(||grad f(h)|| - 1)^2, the mean over both sites' h and random points between pairs of them (equation 2)."""
    pairs = min(len(source), len(target))
    share = torch.rand(pairs, 1, device=source.device).to(source.dtype)
    between = source[:pairs] + share * (target[:pairs] - source[:pairs])
    h = wide(torch.cat([between, source, target]).detach()).requires_grad_()
    (slope,) = torch.autograd.grad(critic(h).sum(), h, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean()
