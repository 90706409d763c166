"""What the heads of a model do on the example: what the checks of heads, and of scales, look at."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject, measured_once
from attentio.doctor.probes.attentions import Attention, attentions, real_queries


@dataclass(kw_only=True)
class Heads:
    """The heads of one module, over all its calls. Tensors [heads].

    unevenness: largest distance of a weight from the even one, relative to that; 0: the head reads everything alike.
    evenness: entropy of the weights over that of even ones, mean over the queries.
    sharpest: mean of each query's largest weight.
    sink: the key with the most weight, and the mean weight that it gets.
    queries: how many could choose between several keys, so count here.
    scales: of the calls, with the number of features; several if they differ.
    """

    name: str
    unevenness: Tensor
    evenness: Tensor
    sharpest: Tensor
    sink_key: Tensor
    sink: Tensor
    queries: int
    scales: list[tuple[float, int]] = field(default_factory=list)


@measured_once
def heads_of(subject: Subject, facts: Facts) -> list[Heads]:
    """What the heads do, module by module, of every attention with three queries that can choose between four keys.

    Raises:
        Skip: there is none.
    """
    calls: dict[str, list[Heads]] = {}

    def visit(attention: Attention) -> None:
        heads = _of_call(facts, attention)
        if heads is not None:
            calls.setdefault(attention.name, []).append(heads)

    attentions(subject, facts, visit)
    if not calls:
        raise Skip("no attention with three queries that can choose between four keys was seen")
    return [_joined(heads) for heads in calls.values()]


def _of_call(facts: Facts, attention: Attention) -> Heads | None:
    allowed, weights = attention.allowed, attention.weights
    choices = allowed.sum(-1)  # [batch, heads, q]
    counted = choices >= 4
    real = real_queries(facts, attention)
    if real is not None:
        counted = counted & real[:, None, :].to(counted.device)
    if counted.any(1).sum() < 3 or not weights.isfinite().all():
        return None
    share = 1.0 / choices.clamp(min=1)
    uneven = ((weights - share.unsqueeze(-1)).abs() * allowed).amax(-1) / share
    entropy = -torch.xlogy(weights, weights).sum(-1) / choices.clamp(min=2).log()
    per_key = (weights * counted.unsqueeze(-1)).sum(2) / (allowed & counted.unsqueeze(-1)).sum(2).clamp(min=1)
    seen_by_most = (allowed & counted.unsqueeze(-1)).sum(2) >= 0.5 * counted.sum(2, keepdim=True)
    sink, key = per_key.masked_fill(~seen_by_most, 0.0).max(-1)  # [batch, heads]
    rows = counted.any(1).any(-1)
    return Heads(
        name=attention.name,
        unevenness=uneven.masked_fill(~counted, 0.0).amax((0, 2)),
        evenness=_mean(entropy, counted),
        sharpest=_mean(weights.amax(-1), counted),
        sink_key=key[rows].mode(0).values,
        sink=sink[rows].mean(0),
        queries=int(counted.any(1).sum()),
        scales=[] if attention.scale is None else [(attention.scale, attention.features)],
    )


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return (values * counted).sum((0, 2)) / counted.sum((0, 2)).clamp(min=1)


def _joined(calls: list[Heads]) -> Heads:
    """Several calls of one module as one, each by its number of queries."""
    share = torch.tensor([float(one.queries) for one in calls])
    share = (share / share.sum()).unsqueeze(1).double()

    def mean(name: str) -> Tensor:
        return (torch.stack([getattr(one, name).double().cpu() for one in calls]) * share).sum(0)

    return Heads(
        name=calls[0].name,
        unevenness=torch.stack([one.unevenness for one in calls]).amax(0),
        evenness=mean("evenness"),
        sharpest=mean("sharpest"),
        sink_key=calls[0].sink_key,
        sink=mean("sink"),
        queries=sum(one.queries for one in calls),
        scales=sorted({scale for one in calls for scale in one.scales}),
    )
