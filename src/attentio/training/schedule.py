"""The learning rate as a function of the step and of how many there will be, so that a resumed run follows it too."""

import math

from attentio.config.schema import Decay


def learning_rate(step: int, *, peak: float, warmup: int, total: int, decay: Decay) -> float:
    """The rate for update number `step`, counted from 1.

    It climbs linearly to `peak` over `warmup` updates, then decays: "linear" and "cosine" reach 0 after update
    `total`; "inverse-sqrt" is peak * sqrt(warmup / step) (Vaswani et al. 2017, section 5.3); "constant" stays.
    """
    if step <= warmup:
        return peak * step / warmup
    if decay == "constant":
        return peak
    if decay == "inverse-sqrt":
        return peak * math.sqrt(max(warmup, 1) / step)
    progress = min(1.0, (step - 1 - warmup) / max(1, total - warmup))
    return peak * (1 - progress if decay == "linear" else (1 + math.cos(math.pi * progress)) / 2)
