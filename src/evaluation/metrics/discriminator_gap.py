"""The discriminator's mean outputs: the oldest evaluation of a GAN, which needs no other network."""

import torch
from torch import Tensor


def discriminator_gap(real_logits: Tensor, fake_logits: Tensor) -> dict[str, float]:
    """Mean D(x) of real and of generated samples, sigmoids of the logits, and their gap (Goodfellow et al. 2014).

    At the equilibrium both are 0.5 and the gap is 0. Values of two models are not comparable, because each has its own
    discriminator. They have no meaning for critics whose logits are not log-odds (Wasserstein, hinge).
    """
    real, fake = torch.sigmoid(real_logits.double()).mean().item(), torch.sigmoid(fake_logits.double()).mean().item()
    return {"d_real": real, "d_fake": fake, "d_gap": real - fake}
