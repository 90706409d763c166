"""Attention by hand: float64 loops written from the equation, sharing no code with the package."""

import math

import torch

import attentio as at
from attentio.attention.attend import ENGINES


def dot(query, key, j):
    return sum(a * b for a, b in zip(query, key, strict=True))


def scaled_dot(query, key, j):
    return dot(query, key, j) / math.sqrt(len(query))


def additive(vector):
    return lambda query, key, j: sum(w * math.tanh(a + b) for w, a, b in zip(vector.tolist(), query, key, strict=True))


def location(query, key, j):
    return query[j]


def softmax(scores):
    highest = max(scores, default=0.0)
    total = sum(math.exp(s - highest) for s in scores)
    return [math.exp(s - highest) / total for s in scores]


def entmax(alpha):
    """[(alpha - 1) s - tau]_+ ^ (1 / (alpha - 1)), with tau halved in until nothing changes."""

    def weigh(scores):
        power = lambda s, tau: max(0.0, (alpha - 1) * s - tau) ** (1 / (alpha - 1))  # noqa: E731
        high = (alpha - 1) * max(scores, default=0.0)
        low = high - 1
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if sum(power(s, middle) for s in scores) >= 1 else (low, middle)
        return [power(s, low) for s in scores]

    return weigh


def attend_by_hand(query, key, value, *, compare=scaled_dot, may=lambda b, h, i, j: True, bias=None, weigh=softmax):
    """Context and weights; `may(b, h, i, j)` says whether query i may attend to key j."""
    if query.ndim == 3:
        bias = None if bias is None else bias.unsqueeze(-3)
        four = (t.unsqueeze(1) for t in (query, key, value))
        context, weights = attend_by_hand(*four, compare=compare, may=may, bias=bias, weigh=weigh)
        return context.squeeze(1), weights.squeeze(1)
    queries, keys, values = (t.detach().double().tolist() for t in (query, key, value))
    batch, heads, q_len, _ = query.shape
    k_len, dv = value.shape[-2:]
    added = torch.zeros(()) if bias is None else bias.detach().double()
    added = added.expand(batch, heads, q_len, k_len).tolist()
    context = torch.zeros(batch, heads, q_len, dv, dtype=torch.float64)
    weights = torch.zeros(batch, heads, q_len, k_len, dtype=torch.float64)
    for b in range(batch):
        for h in range(heads):
            for i in range(q_len):
                allowed = [j for j in range(k_len) if may(b, h, i, j)]
                scores = [compare(queries[b][h][i], keys[b][h][j], j) + added[b][h][i][j] for j in allowed]
                for j, weight in zip(allowed, weigh(scores), strict=True):
                    weights[b, h, i, j] = weight
                    for f in range(dv):
                        context[b, h, i, f] += weights[b, h, i, j] * values[b][h][j][f]
    return context, weights


def engines_for(*args, **kwargs):
    """The names of the engines that can do this call."""
    able = []
    for name in ENGINES:
        try:
            at.explain(*args, **kwargs, engine=name)
        except ValueError:
            continue
        able.append(name)
    return able


def inputs(*, heads=3, q=5, k=7, d=11, dv=13, dtype=torch.float32, grad=False):
    """Random query, key and value, a batch of 2; a different prime on every axis. heads=None: without that axis."""
    lead = (2,) if heads is None else (2, heads)
    shapes = ((*lead, q, d), (*lead, k, d), (*lead, k, dv))
    return tuple(torch.randn(shape, dtype=dtype, requires_grad=grad) for shape in shapes)
