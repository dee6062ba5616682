"""What the discriminator believes: the oldest evaluation of a GAN, and one that needs no other network."""

import torch
from torch import Tensor


def discriminator_gap(real_logits: Tensor, fake_logits: Tensor) -> dict[str, float]:
    """Mean D(x) of real and of generated samples, sigmoids of the logits, and their gap (Goodfellow et al. 2014).

    At the equilibrium both are 0.5 and the gap is 0. It compares a generator with its own discriminator only, never two
    models, and means nothing for critics whose logits are no log-odds (Wasserstein, hinge).
    """
    real, fake = torch.sigmoid(real_logits.double()).mean().item(), torch.sigmoid(fake_logits.double()).mean().item()
    return {"d_real": real, "d_fake": fake, "d_gap": real - fake}
