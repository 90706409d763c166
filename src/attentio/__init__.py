"""attentio: attention from A to Z.

import attentio as at

out = at.attend(query, key, value, mask=at.causal() & at.padding(lengths), need_weights=True)
out.context, out.weights
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attentio.attention.attend import attend, explain
    from attentio.attention.call import Attended
    from attentio.attention.compare import Additive, Dot, Location, ScaledDot
    from attentio.attention.mask import Mask, causal, keep, padding, segments, window
    from attentio.commands.causal_run import CausalRun
    from attentio.commands.masked_run import MaskedRun
    from attentio.commands.run import Run, Translation, load
    from attentio.decoding.sampling import Sampling
    from attentio.inspection.capture import capture
    from attentio.inspection.doctor.diagnosis import Diagnosis, Finding
    from attentio.inspection.doctor.examination import diagnose
    from attentio.inspection.page.page import Page, view
    from attentio.inspection.seen import Seen, SeenAttention
    from attentio.layers.torch_multihead import MultiheadAttention

__all__ = [
    "Additive",
    "Attended",
    "CausalRun",
    "Diagnosis",
    "Dot",
    "Finding",
    "Location",
    "Mask",
    "MaskedRun",
    "MultiheadAttention",
    "Page",
    "Run",
    "Sampling",
    "ScaledDot",
    "Seen",
    "SeenAttention",
    "Translation",
    "attend",
    "capture",
    "causal",
    "diagnose",
    "explain",
    "keep",
    "load",
    "padding",
    "segments",
    "view",
    "window",
]

# Where each name lives. It is fetched when first used, so that `import attentio` and `attentio --help` do not
# wait for torch.
_HOMES = {
    "attentio.commands.causal_run": ("CausalRun",),
    "attentio.commands.masked_run": ("MaskedRun",),
    "attentio.decoding.sampling": ("Sampling",),
    "attentio.commands.run": ("Run", "Translation", "load"),
    "attentio.attention.attend": ("attend", "explain"),
    "attentio.attention.call": ("Attended",),
    "attentio.attention.compare": ("Additive", "Dot", "Location", "ScaledDot"),
    "attentio.attention.mask": ("Mask", "causal", "keep", "padding", "segments", "window"),
    "attentio.inspection.doctor.diagnosis": ("Diagnosis", "Finding"),
    "attentio.inspection.doctor.examination": ("diagnose",),
    "attentio.inspection.capture": ("capture",),
    "attentio.inspection.page.page": ("Page", "view"),
    "attentio.inspection.seen": ("Seen", "SeenAttention"),
    "attentio.layers.torch_multihead": ("MultiheadAttention",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            thing = getattr(import_module(home), name)
            globals()[name] = thing
            return thing
    raise AttributeError(f"module 'attentio' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
