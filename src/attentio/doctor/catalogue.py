"""The checks, in the order in which they are made.

A check is a module that begins with what goes wrong and how it is seen, and has

    ID      stable name, "future-leak"
    TITLE   one line: what is checked
    NEEDS   what the model must have (keys of `facts.LACKING`), else the check is skipped
    def check(subject, facts) -> Iterator of Finding, Concluded and Established, or raises Skip(why)

and, where it depends on other checks or they on it,

    EXPLAINS      ids of later checks whose findings would only be consequences of an error found by this one;
                  they are skipped then. So causes stand before their consequences.
    ESTABLISHES   names of facts that it establishes about sequences.
    USES          facts that earlier checks establish: `check` is given them by keyword, each the names of sequences.
"""

from collections.abc import Callable, Iterable
from typing import Protocol, cast, runtime_checkable

from attentio.doctor.checks import (
    attention_sink,
    backends_disagree,
    batch_dependence,
    batch_statistics,
    cached_differs,
    dead_heads,
    double_softmax,
    dropout_in_eval,
    encoder_reads_padding,
    float_mask_01,
    fully_masked_rows,
    future_leak,
    heads_by_view,
    inverted_polarity,
    labels_shifted,
    length_dependence,
    loss_counts_padding,
    lost_gradient,
    nan_from_masked_keys,
    nan_in_training,
    one_hot_heads,
    order_blind,
    overwrites_inputs,
    padding_leak,
    position_statistics,
    positions_ignore_padding,
    queries_are_keys,
    relative_positions,
    remembers_calls,
    shared_layers,
    teacher_forcing_leak,
    train_eval_differ,
    uniform_heads,
    unused_inputs,
    unused_parameters,
    values_are_keys,
    weights_after_dropout,
    weights_not_normalized,
    window_off_by_one,
    wrong_scale,
)
from attentio.doctor.diagnosis import Concluded, Established, Finding


@runtime_checkable
class Check(Protocol):
    """What `diagnose` sees of a check's module."""

    ID: str
    TITLE: str
    NEEDS: tuple[str, ...]
    check: Callable[..., Iterable[Finding | Concluded | Established]]


CHECKS = cast(
    tuple[Check, ...],
    (
        dropout_in_eval,
        overwrites_inputs,
        remembers_calls,
        nan_in_training,
        train_eval_differ,
        heads_by_view,
        inverted_polarity,
        float_mask_01,
        weights_not_normalized,
        double_softmax,
        nan_from_masked_keys,
        fully_masked_rows,
        batch_dependence,
        future_leak,
        teacher_forcing_leak,
        length_dependence,
        labels_shifted,
        padding_leak,
        encoder_reads_padding,
        positions_ignore_padding,
        cached_differs,
        window_off_by_one,
        loss_counts_padding,
        unused_inputs,
        unused_parameters,
        lost_gradient,
        shared_layers,
        queries_are_keys,
        values_are_keys,
        relative_positions,
        order_blind,
        batch_statistics,
        position_statistics,
        backends_disagree,
        weights_after_dropout,
        wrong_scale,
        uniform_heads,
        one_hot_heads,
        dead_heads,
        attention_sink,
    ),
)
