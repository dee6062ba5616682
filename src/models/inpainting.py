"""Filling of holes in pictures: Yu et al. 2019, arXiv:1806.03589, Free-Form Image Inpainting with Gated Convolution."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from src.data.spec import Batch, Spec
from src.models.gan.losses import AdversarialLoss
from src.models.masks import DRAWS, free_form, masks_of, with_hole
from src.models.translation import AdversarialTranslation
from src.training import rng
from src.training.ema import EMA


class Inpainting(AdversarialTranslation):
    """G(s, m), where s is x with a hole and the mask m is 1 in it, against a critic D of patches that touch the hole.

    L = l1 E[|m * (G(s, m) - x)|_1 / |m|_1] + adversarial L_GAN(G, D), a mean over patches, with the hinge loss in the paper.

    The condition is {"source": pictures that are grey in the hole [N, C, H, W], "mask": [N, 1, H, W]}; other data than images
    are not possible. In training, each sample has a new mask at each step, see src.models.masks.

    generator: called with `spec=`; maps (source, mask) to pictures [B, *shape], which are the source outside of the hole.
    discriminator: called with `spec=`; maps (x, mask) to logits [B, 1, H', W'], each of a patch.
    The other arguments: see AdversarialTranslation.
    """

    inputs = "source", "mask"

    def __init__(
        self,
        spec: Spec,
        seed: int,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        loss: AdversarialLoss,
        g_optimizer: Callable[..., Optimizer],
        d_optimizer: Callable[..., Optimizer],
        l1: float = 10.0,
        adversarial: float = 1.0,
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
    ) -> None:
        networks = generator(spec=spec), discriminator(spec=spec)
        super().__init__(spec, seed, *networks, loss, g_optimizer, d_optimizer, ema, lr_schedule)
        self.l1, self.adversarial = l1, adversarial

    def update(self, batches: Sequence[Batch], g_optimizer: Any, d_optimizer: Any) -> None:
        """One update of D on pictures against filled ones, then one of G on the same (section 3.5)."""
        self.set_rates(g_optimizer, d_optimizer)
        rng.seed_layers(self.seed, self.step)
        real = batches[0]["x"]
        mask = free_form(self.draw(torch.rand, len(real), DRAWS, "mask"), *real.shape[2:]).to(real)
        fake = self.generator(with_hole(real, mask), mask)

        real_logits, fake_logits = self.compare(self.discriminator, real, fake.detach(), mask)
        d_loss = at_hole(self.loss.discriminator(real_logits, fake_logits), mask)
        self.descend(d_loss, d_optimizer, self.discriminator)

        l1 = at_hole((fake - real).abs(), mask)
        g_loss = self.l1 * l1 + self.adversarial * at_hole(self.persuade(self.discriminator, real, fake, mask), mask)
        self.descend(g_loss, g_optimizer, self.generator)
        measured = {
            "loss/discriminator": d_loss,
            "loss/generator": g_loss,
            "loss/l1": l1,
            "D/real": at_hole(real_logits.sigmoid(), mask),
            "D/fake": at_hole(fake_logits.sigmoid(), mask),
        }
        self.finish(batches, measured)

    def conditions(self, seeds: Sequence[int]) -> Batch:
        """See Samples: white pictures with holes."""
        return self.conditions_from({"x": torch.ones(len(seeds), *self.spec.shape)}, seeds)

    def conditions_from(self, batch: Batch, seeds: Sequence[int]) -> Batch:
        """See ConditionsFromData: the pictures x with holes, and the masks of the seeds."""
        mask = masks_of(seeds, *batch["x"].shape[2:]).to(batch["x"])
        return {"source": with_hole(batch["x"], mask), "mask": mask}


def at_hole(values: Tensor, mask: Tensor) -> Tensor:
    """The mean, over a batch, of each sample's mean of its values where they belong to the hole.

    values: [B, C, H', W'] of the pixels, or of patches that lie evenly in the picture; masks [B, 1, H, W]. A patch belongs to
    the hole if its share of the picture touches the hole.
    """
    inside = mask if values.shape[2:] == mask.shape[2:] else F.adaptive_max_pool2d(mask, list(values.shape[2:]))
    return ((values * inside).sum((1, 2, 3)) / (inside.sum((1, 2, 3)) * values.shape[1])).mean()
