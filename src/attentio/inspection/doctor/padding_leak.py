"""What stands at padded positions, or how many of them there are, changes the results of real positions.

A sentence then gets another result beside a longer sentence than alone. Seen by changing what stands at padding, and by
adding columns of it. Where it comes through a recurrent layer, encoder-reads-padding says so instead.
"""

from collections.abc import Iterator

from attentio.inspection.doctor.diagnosis import Finding
from attentio.inspection.doctor.padding_probe import Probe, padding_probes
from attentio.inspection.doctor.patient import Patient

ID = "padding-leak"
TITLE = "padding does not change the results of real positions"
NEEDS = ("padding",)
EXPLAINS = ("positions-ignore-padding",)


def check(patient: Patient) -> Iterator[Finding]:
    """One finding for each input whose padding leaks."""
    for probe in padding_probes(patient):
        if not probe.recurrent:
            yield _finding(patient, probe)


def _finding(patient: Patient, probe: Probe) -> Finding:
    said = patient.padding[probe.sequence.name]
    return Finding(
        ID,
        "error",
        f"padding of {probe.sequence.name} changes the results of real positions",
        f"Here {said.told}. When padding changes, the outputs at real positions move, so the result of a sentence "
        "depends on how long the others of its batch are, and differs between training, evaluation and serving. Usual "
        "reasons: the mask is not handed to every attention (the decoder's attention to the source is the one most "
        "often forgotten), it masks the padded queries instead of the keys, or a mean, a norm or a convolution runs "
        "over padded positions too.",
        probe.evidence,
        "Mask the keys in every attention: `F.scaled_dot_product_attention(q, k, v, attn_mask=real[:, None, None, :])` "
        "with True = may attend, `key_padding_mask=~real` in `nn.MultiheadAttention`, `mask=at.padding(lengths)` in "
        "attentio; and take means over real positions: "
        "`(x * real[..., None]).sum(1) / real.sum(1, keepdim=True).clamp(min=1)`.",
        probe.where,
    )
