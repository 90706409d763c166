"""attentio: attention from A to Z.

import attentio as at

out = at.attend(query, key, value, mask=at.causal() & at.padding(lengths), need_weights=True)
out.context, out.weights
"""

from importlib import import_module
from typing import TYPE_CHECKING

from attentio.version import __version__

if TYPE_CHECKING:
    from attentio.attention.attend import attend, explain
    from attentio.attention.call import Attended
    from attentio.attention.compare import Additive, Dot, Location, ScaledDot
    from attentio.attention.entmax import Entmax, Sparsemax
    from attentio.attention.mask import Mask, causal, keep, padding, segments, window
    from attentio.capturing.capture import capture
    from attentio.capturing.record import SeenAttention
    from attentio.capturing.seen import Seen
    from attentio.decoding.sampling import Sampling
    from attentio.doctor.diagnosis import Diagnosis, Finding
    from attentio.doctor.examination import diagnose
    from attentio.grading.grader import grade
    from attentio.grading.report import Grade
    from attentio.layers.torch_multihead import MultiheadAttention
    from attentio.page.describe import Descriptions, describe
    from attentio.page.document import Page
    from attentio.page.page import view
    from attentio.runs.changed import Change
    from attentio.runs.constraints import Constraints
    from attentio.runs.filler import MaskedRun
    from attentio.runs.generator import CausalRun
    from attentio.runs.labeller import LabelRun
    from attentio.runs.load import load
    from attentio.runs.outputs import Translation
    from attentio.runs.translator import Run

__all__ = [
    "Additive",
    "Attended",
    "CausalRun",
    "Change",
    "Constraints",
    "Descriptions",
    "Diagnosis",
    "Dot",
    "Entmax",
    "Finding",
    "Grade",
    "LabelRun",
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
    "Sparsemax",
    "Translation",
    "__version__",
    "attend",
    "capture",
    "causal",
    "describe",
    "diagnose",
    "explain",
    "grade",
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
    "attentio.runs.generator": ("CausalRun",),
    "attentio.runs.changed": ("Change",),
    "attentio.runs.constraints": ("Constraints",),
    "attentio.runs.filler": ("MaskedRun",),
    "attentio.decoding.sampling": ("Sampling",),
    "attentio.runs.labeller": ("LabelRun",),
    "attentio.runs.load": ("load",),
    "attentio.runs.outputs": ("Translation",),
    "attentio.runs.translator": ("Run",),
    "attentio.attention.attend": ("attend", "explain"),
    "attentio.attention.call": ("Attended",),
    "attentio.attention.compare": ("Additive", "Dot", "Location", "ScaledDot"),
    "attentio.attention.entmax": ("Entmax", "Sparsemax"),
    "attentio.attention.mask": ("Mask", "causal", "keep", "padding", "segments", "window"),
    "attentio.doctor.diagnosis": ("Diagnosis", "Finding"),
    "attentio.doctor.examination": ("diagnose",),
    "attentio.grading.grader": ("grade",),
    "attentio.grading.report": ("Grade",),
    "attentio.capturing.capture": ("capture",),
    "attentio.page.describe": ("Descriptions", "describe"),
    "attentio.page.document": ("Page",),
    "attentio.page.page": ("view",),
    "attentio.capturing.record": ("SeenAttention",),
    "attentio.capturing.seen": ("Seen",),
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
