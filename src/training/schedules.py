"""Schedules: pure functions of the clock, so that a resumed run needs no state of them.

Values follow `samples_seen` (real samples shown so far); events follow `step` (updates).
"""

import math


def linear_decay(samples_seen: int, start: int = 0, end: int | None = None, final: float = 0.0, rise: int = 0) -> float:
    """A factor that is 1 until `start` samples and falls linearly to `final` at `end`; constant if `end` is None.

    rise: samples over which it first rises linearly from 0 to 1 (warm-up).
    """
    warm = min(samples_seen / rise, 1.0) if rise else 1.0
    if end is None:
        return warm
    progress = min(max((samples_seen - start) / max(end - start, 1), 0.0), 1.0)
    return warm * (1.0 + (final - 1.0) * progress)


def cosine(samples_seen: int, initial: float, final: float, end: int, start: int = 0) -> float:
    """A value that is `initial` until `start` samples, follows half a cosine to `final` at `end`, and then stays there.

    Loshchilov and Hutter 2017 (SGDR), eq. 5, without restarts; R3GAN's learning rate, beta2 and gamma follow it.
    """
    progress = min(max((samples_seen - start) / max(end - start, 1), 0.0), 1.0)
    return initial + (final - initial) * (1 - math.cos(math.pi * progress)) / 2


def exponential(samples_seen: int, initial: float, final: float, end: int | None, start: int = 0) -> float:
    """A value that is `initial` until `start` samples and grows or falls by equal factors to `final` at `end`.

    With initial = 1, RelGAN's inverse temperature (Nie et al. 2019, section 2.3). If end is None, it stays at `initial`.
    """
    if end is None:
        return initial
    progress = min(max((samples_seen - start) / max(end - start, 1), 0.0), 1.0)
    return initial * (final / initial) ** progress


def lengthening_stages(
    samples_seen: int, end: int, final: float, start: int = 0, stages: int = 8, growth: float = 3.0
) -> float:
    """A factor that falls from 1 in the first of several stages to `final` in the last, which ends at `end`.

    Stage i = 0 .. stages - 1 is growth^i times as long as the first; its factor is final^(i / (stages - 1)). The default, with
    final = 0.1, is the learning rate of Burda et al. 2016 (arXiv:1509.00519), section 5: 10^(-i / 7) for 3^i passes.
    """
    begins = [start + (end - start) * (growth**i - 1) / (growth**stages - 1) for i in range(1, stages)]
    return final ** (sum(samples_seen >= begin for begin in begins) / (stages - 1))


def is_every(step: int, interval: int) -> bool:
    """True at steps interval, 2 interval, ...; never at step 0, and never if interval is 0."""
    return interval > 0 and step > 0 and step % interval == 0


def is_log_spaced(step: int, per_decade: int) -> bool:
    """True at step 0 and at about `per_decade` steps in each power of ten: training changes fast at first, then slowly."""
    if step <= 1 or per_decade == 0:
        return per_decade > 0
    exponent = round(per_decade * math.log10(step))
    return round(10 ** (exponent / per_decade)) == step
