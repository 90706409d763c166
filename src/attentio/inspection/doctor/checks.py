"""The checks, in the order in which they are made.

A check is a module that begins with what goes wrong and how it is seen, and has

    ID      stable name, "future-leak"
    TITLE   one line: what is checked
    NEEDS   facts that the patient must have (keys of `patient.LACKING`), else the check is skipped
    def check(patient) -> Iterator[Finding], or raises Skip(why)
    EXPLAINS (optional)   ids of later checks whose findings would only be consequences of an error found by this one;
                          they are skipped then. So causes stand before their consequences.
"""

from collections.abc import Iterable
from typing import Protocol, cast, runtime_checkable

from attentio.inspection.doctor import (
    attention_sink,
    backends_disagree,
    batch_dependence,
    cached_differs,
    dead_heads,
    double_softmax,
    dropout_in_eval,
    encoder_reads_padding,
    float_mask_01,
    fully_masked_rows,
    future_leak,
    inverted_polarity,
    loss_counts_padding,
    nan_from_masked_keys,
    one_hot_heads,
    padding_leak,
    positions_ignore_padding,
    teacher_forcing_leak,
    uniform_heads,
    weights_after_dropout,
    weights_not_normalized,
    window_off_by_one,
    wrong_scale,
)
from attentio.inspection.doctor.diagnosis import Finding
from attentio.inspection.doctor.patient import Patient


@runtime_checkable
class Check(Protocol):
    """What `diagnose` sees of a check's module."""

    ID: str
    TITLE: str
    NEEDS: tuple[str, ...]

    def check(self, patient: Patient) -> Iterable[Finding]:
        """Yield what is wrong."""
        ...


CHECKS = cast(
    tuple[Check, ...],
    (
        dropout_in_eval,
        inverted_polarity,
        float_mask_01,
        weights_not_normalized,
        double_softmax,
        nan_from_masked_keys,
        fully_masked_rows,
        batch_dependence,
        future_leak,
        teacher_forcing_leak,
        padding_leak,
        encoder_reads_padding,
        positions_ignore_padding,
        cached_differs,
        window_off_by_one,
        loss_counts_padding,
        backends_disagree,
        weights_after_dropout,
        wrong_scale,
        uniform_heads,
        one_hot_heads,
        dead_heads,
        attention_sink,
    ),
)
