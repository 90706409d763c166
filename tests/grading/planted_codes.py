"""Implementations with one mistake each (some with two), in many hands' styles, and the names of the mistakes."""

import math
import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# Scaled dot-product


def no_scale(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    weights = scores.softmax(dim=-1)
    return torch.matmul(weights, value), weights


def divided_by_d(q, k, v):
    return torch.softmax(torch.einsum("bqd,bkd->bqk", q, k) / q.size(-1), -1) @ v


def divided_by_length(Q, K, V):  # noqa: N803
    s = Q @ K.transpose(0, 2, 1) / np.sqrt(K.shape[1])
    e = np.exp(s)
    return e / e.sum(-1, keepdims=True) @ V


def times_sqrt(q, k, v):
    s = q @ k.mT * q.shape[-1] ** 0.5
    a = s.softmax(-1)
    return a @ v, a


def over_queries(q, k, v):
    a = F.softmax(torch.bmm(q, k.transpose(1, 2)) / math.sqrt(q.shape[2]), dim=1)
    return torch.bmm(a, v)


def over_batch(q, k, v):
    a = F.softmax(q @ k.mT / math.sqrt(k.shape[-1]))  # the implicit axis of three is 0
    return a @ v, a


def numpy_axis(Q, K, V):  # noqa: N803
    """One sequence; the sum forgets its axis."""
    e = np.exp(Q @ K.T / np.sqrt(K.shape[-1]))
    return e / e.sum() @ V


def twice(q, k, v, mask=None):
    s = q @ k.mT / q.shape[-1] ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf"))
    return s.softmax(-1).softmax(-1) @ v


def logs(query, key, value):
    w = F.log_softmax(query @ key.mT / query.shape[-1] ** 0.5, -1)
    return w @ value, w


def logs_returned(query, key, value):
    w = F.log_softmax(query @ key.mT / query.shape[-1] ** 0.5, -1)
    return w.exp() @ value, w


def scores_returned(query, key, value):
    s = query @ key.mT / query.shape[-1] ** 0.5
    return s.softmax(-1) @ value, s


def masked_after(q, k, v, mask):
    w = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) * mask
    return w @ v, w


def masked_nothing(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s.masked_fill(mask == 0, -1e9)
    return s.softmax(-1) @ v


def tiny_fill(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(mask == 0, 1e-9)
    return s.softmax(-1) @ v


def times_mask(Q, K, V, mask):  # noqa: N803
    s = np.einsum("bqd,bkd->bqk", Q, K) / np.sqrt(Q.shape[-1]) * mask
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True) @ V


def minus_ten(q, k, v, mask):
    s = q @ k.mT / math.sqrt(q.shape[-1]) + (1.0 - mask) * -10.0
    return s.softmax(-1) @ v


def minus_ten_thousand(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(mask == 0, -1e4)
    return s.softmax(-1) @ v


def lowered_ten_thousand(q, k, v, attention_mask):
    s = q @ k.mT / math.sqrt(q.shape[-1]) + (1.0 - attention_mask.to(q)) * -10000.0
    return s.softmax(-1) @ v


def zero_one(q, k, v, attention_mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if attention_mask is not None:
        s = s + attention_mask
    return s.softmax(-1) @ v


def wrong_way(q, k, v, keep):
    return (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(keep, float("-inf")).softmax(-1) @ v


def transposed_weights(q, k, v):
    """Runs only where there are as many queries as keys."""
    a = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
    return a.mT @ v


def no_softmax(q, k, v):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    return s @ v, s


def sums_without_exp(q, k, v):
    s = torch.einsum("bid,bjd->bij", q, k) / q.shape[-1] ** 0.5
    s = s / s.sum(-1, keepdim=True)
    return torch.einsum("bij,bje->bie", s, v)


def best_only(q, k, v):
    best = (q @ k.mT).argmax(-1)
    return torch.stack([v[b, best[b]] for b in range(len(v))])


def scaled_late(q, k, v):
    w = (q @ k.mT).softmax(-1) / math.sqrt(k.shape[-1])
    return w @ v, w


def averaged(q, k, v):
    w = (q @ k.mT / math.sqrt(k.shape[-1])).softmax(-1)
    return (w[..., None] * v[:, None]).mean(2)


def both_wrong(q, k, v, mask):
    w = (q @ k.mT).softmax(-1)
    return (w * mask) @ v


class SigmoidAttention(nn.Module):
    def __init__(self, d_k):
        super().__init__()
        self.scale = d_k**-0.5

    def forward(self, q, k, v):
        return torch.sigmoid(q @ k.mT * self.scale) @ v


def by_the_values(query, key, value, mask=None):
    s = query @ key.transpose(-2, -1) / math.sqrt(value.shape[-1])
    if mask is not None:
        s = s.masked_fill(mask == 0, -1e9)
    return s.softmax(-1) @ value


def root_of_root(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.25).softmax(-1) @ v


class DropsOut(nn.Module):
    def forward(self, q, k, v):
        return F.dropout((q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1), 0.3) @ v  # training=True is the default


# Bahdanau


class Additive(nn.Module):
    """The parts that go wrong are methods."""

    def __init__(self, hidden_size):
        super().__init__()
        self.Wa = nn.Linear(hidden_size, hidden_size)
        self.Ua = nn.Linear(hidden_size, hidden_size)
        self.Va = nn.Linear(hidden_size, 1)

    def energy(self, query, keys):
        return self.Va(torch.tanh(self.Wa(query) + self.Ua(keys)))

    def forward(self, query, keys):
        weights = F.softmax(self.energy(query, keys).squeeze(2).unsqueeze(1), dim=-1)
        return torch.bmm(weights, keys), weights


class AdditiveLinear(Additive):
    def energy(self, query, keys):
        return self.Va(self.Wa(query) + self.Ua(keys))


class AdditiveRelu(Additive):
    def energy(self, query, keys):
        return self.Va(F.relu(self.Wa(query) + self.Ua(keys)))


class AdditiveSigmoid(Additive):
    def energy(self, query, keys):
        return self.Va((self.Wa(query) + self.Ua(keys)).sigmoid())


class AdditiveOutside(Additive):
    def energy(self, query, keys):
        return torch.tanh(self.Va(self.Wa(query) + self.Ua(keys)))


class AdditiveProduct(Additive):
    def energy(self, query, keys):
        return self.Va(torch.tanh(self.Wa(query) * self.Ua(keys)))


class AdditiveWrongAxis(Additive):
    def forward(self, query, keys):
        weights = F.softmax(self.energy(query, keys), dim=0)
        return (weights * keys).sum(1), weights


class AdditiveDoubleTanh(Additive):
    def energy(self, query, keys):
        return self.Va(torch.tanh(self.Wa(query)) + torch.tanh(self.Ua(keys)))


class AdditiveLastAxis(nn.Module):
    """The features are gone already: the last axis has the size 1."""

    def __init__(self, dec_units, enc_units, units):
        super().__init__()
        self.W1, self.W2, self.V = nn.Linear(dec_units, units), nn.Linear(enc_units, units), nn.Linear(units, 1)

    def forward(self, hidden, enc_output):
        score = self.V(torch.tanh(self.W1(hidden).unsqueeze(1) + self.W2(enc_output)))
        weights = F.softmax(score, dim=2)
        return (weights * enc_output).sum(1), weights


class ConcatMasked(nn.Module):
    def __init__(self, enc_hid_dim, dec_hid_dim):
        super().__init__()
        self.attn = nn.Linear(enc_hid_dim + dec_hid_dim, dec_hid_dim)
        self.v = nn.Linear(dec_hid_dim, 1, bias=False)

    def forward(self, hidden, encoder_outputs, mask):
        repeated = hidden.unsqueeze(0).expand(encoder_outputs.shape[0], -1, -1)
        energy = torch.tanh(self.attn(torch.cat((repeated, encoder_outputs), dim=2)))
        attention = self.v(energy).squeeze(2).t()
        return F.softmax(attention.masked_fill(mask == 0, 1e-10), dim=1)


def swapped(s, h, W, U, v):  # noqa: N803
    e = torch.tanh((s @ U.T)[:, None] + h @ W.T) @ v
    return (e.softmax(1)[..., None] * h).sum(1)


def concat_swapped(query, keys, W, v):  # noqa: N803
    both = torch.cat([keys, query[:, None].expand(-1, keys.shape[1], -1)], -1)
    a = (torch.tanh(both @ W.T) @ v).softmax(-1)
    return torch.einsum("bk,bkd->bd", a, keys), a


def without_v(s, h, W, U):  # noqa: N803
    a = torch.tanh((s @ W.T)[:, None] + h @ U.T).sum(-1).softmax(1)
    return (a[..., None] * h).sum(1), a


def ignores_state(s, h, W, U, v):  # noqa: N803
    a = (torch.tanh(h @ U.T) @ v).softmax(1)
    return (a[..., None] * h).sum(1), a


def numpy_minus(s, h, W, U, v):  # noqa: N803
    e = np.tanh((W @ s)[None] - h @ U.T) @ v
    a = np.exp(e) / np.exp(e).sum()
    return a @ h, a


def additive_padding(query, keys, W, U, v, valid_lens):  # noqa: N803
    e = torch.tanh((query @ W.T).unsqueeze(2) + (keys @ U.T).unsqueeze(1)) @ v
    return e.softmax(-1) @ keys


def steps_current(states, annotations, W, U, v):  # noqa: N803
    out = []
    for i in range(1, states.shape[1]):
        e = torch.tanh((states[:, i] @ W.T)[:, None] + annotations @ U.T) @ v
        out.append((e.softmax(-1)[:, None] @ annotations)[:, 0])
    return torch.stack(out, 1)


def steps_late(states, annotations, W, U, v):  # noqa: N803
    out = []
    for i in range(states.shape[1] - 1):
        e = torch.tanh((states[:, max(i - 1, 0)] @ W.T)[:, None] + annotations @ U.T) @ v
        out.append((e.softmax(-1)[:, None] @ annotations)[:, 0])
    return torch.stack(out, 1)


# Luong


def dot_scaled(query, keys):
    a = (query @ keys.mT / math.sqrt(query.shape[-1])).softmax(-1)
    return a @ keys, a


def dot_time_first(hidden, encoder_outputs):
    """[b, d] and [t, b, d]; the softmax runs over the batch."""
    energies = (hidden[None] * encoder_outputs).sum(2)
    return F.softmax(energies, dim=1).t().unsqueeze(1)


def dot_cosine(query, keys):
    s = F.normalize(query, dim=-1) @ F.normalize(keys, dim=-1).mT
    return s.softmax(-1) @ keys


class GeneralScaled(nn.Module):
    def __init__(self, dec_dim, enc_dim):
        super().__init__()
        self.W = nn.Linear(enc_dim, dec_dim, bias=False)

    def forward(self, decoder_state, encoder_states):
        e = torch.einsum("bd,bkd->bk", decoder_state, self.W(encoder_states)) / decoder_state.shape[-1] ** 0.5
        return torch.einsum("bk,bkd->bd", e.softmax(-1), encoder_states)


class GeneralTanh(GeneralScaled):
    def forward(self, decoder_state, encoder_states):
        e = torch.einsum("bd,bkd->bk", decoder_state, torch.tanh(self.W(encoder_states)))
        return torch.einsum("bk,bkd->bd", e.softmax(-1), encoder_states)


class GeneralTurned(nn.Module):
    """Square, so that W the wrong way round fits."""

    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(torch.zeros(8, 8))

    def forward(self, h_t, h_s):
        a = (h_t @ self.W.T @ h_s.mT).softmax(-1)
        return a @ h_s


class GeneralMean(nn.Module):
    """[1, b, d] and [t, b, d]; divided by the length."""

    def __init__(self, d):
        super().__init__()
        self.linear = nn.Linear(d, d, bias=False)

    def forward(self, ht, hs):
        energies = torch.sum(ht * self.linear(hs), dim=2) / hs.shape[0]
        return F.softmax(energies.t(), 1).unsqueeze(1)


class ConcatRelu(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.attn = nn.Linear(hidden * 2, hidden)
        self.v = nn.Parameter(torch.zeros(hidden))

    def forward(self, hidden, encoder_outputs):
        both = torch.cat([hidden.unsqueeze(1).expand_as(encoder_outputs), encoder_outputs], 2)
        return F.softmax(F.relu(self.attn(both)) @ self.v, 1)


class ConcatWithoutV(ConcatRelu):
    def forward(self, hidden, encoder_outputs):
        both = torch.cat([hidden.unsqueeze(1).expand_as(encoder_outputs), encoder_outputs], 2)
        return F.softmax(torch.tanh(self.attn(both)).sum(2) + 0 * self.v.sum(), 1)


def location_cut_late(h_t, h_s, W):  # noqa: N803
    a = torch.softmax(h_t @ W.T, -1)[..., : h_s.shape[1]]
    return a @ h_s, a


def monotonic_short(query, keys, t, D):  # noqa: N803
    near = keys[:, max(0, t - D) : t + D]
    return (torch.softmax(near @ query[:, :, None], 1) * near).sum(1)


def monotonic_behind(query, keys, t, D):  # noqa: N803
    near = keys[:, max(0, t - D) : t + 1]
    return (torch.softmax(near @ query[:, :, None], 1) * near).sum(1)


def monotonic_all(query, keys, t, D):  # noqa: N803
    a = torch.softmax(keys @ query[:, :, None], 1)
    inside = ((torch.arange(keys.shape[1]) - t).abs() <= D).to(a)[None, :, None]
    return (a * inside * keys).sum(1)


class _Predictive:
    """local-p with one part changed."""

    def __init__(self, **changed):
        self.changed = changed

    def __call__(self, query, keys, W_p, v_p, D):  # noqa: N803
        n, changed = keys.shape[1], self.changed
        bent = changed.get("bent", torch.tanh)(query @ W_p.T) @ v_p
        p = changed.get("length", n) * torch.sigmoid(bent)
        off = torch.arange(n, dtype=query.dtype) - p[..., None]
        scores = query @ keys.mT
        if changed.get("window", True):
            scores = scores.masked_fill(off.abs() > D, -math.inf)
        sigma = changed.get("sigma", lambda reach: reach / 2)(D)
        decay = torch.exp(-(off**2) / (changed.get("two", 2) * sigma**2))
        a = scores.softmax(-1).nan_to_num(0.0)
        a = a * decay if changed.get("decay", True) else a
        if changed.get("again"):
            a = (a / a.sum(-1, keepdim=True)).nan_to_num(0.0)
        return a @ keys, a


# Multi-head


class MultiHead(nn.Module):
    """A right one whose parts are methods."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.d_model, self.num_heads, self.d_k = d_model, num_heads, d_model // num_heads
        self.W_q, self.W_k = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.W_v, self.W_o = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)

    def split(self, x):
        return x.view(len(x), -1, self.num_heads, self.d_k).transpose(1, 2)

    def merge(self, x):
        return x.transpose(1, 2).reshape(len(x), -1, self.d_model)

    def attend(self, q, k, v, mask):
        s = q @ k.mT / math.sqrt(self.d_k)
        if mask is not None:
            s = s.masked_fill(mask.unsqueeze(1) == 0, -1e9)
        return s.softmax(-1) @ v

    def forward(self, query, key, value, mask=None):
        q, k, v = self.split(self.W_q(query)), self.split(self.W_k(key)), self.split(self.W_v(value))
        return self.W_o(self.merge(self.attend(q, k, v, mask)))


class HeadsByView(MultiHead):
    def split(self, x):
        return x.view(len(x), self.num_heads, -1, self.d_k)


class MergedByView(MultiHead):
    def merge(self, x):
        return x.reshape(len(x), -1, self.d_model)


class WholeWidth(MultiHead):
    def attend(self, q, k, v, mask):
        s = q @ k.mT / math.sqrt(self.d_model)
        return (s if mask is None else s.masked_fill(~mask[:, None], -math.inf)).softmax(-1) @ v


class Unscaled(MultiHead):
    def attend(self, q, k, v, mask):
        s = q @ k.mT
        return (s if mask is None else s.masked_fill(~mask[:, None], -math.inf)).softmax(-1) @ v


class OverHeads(MultiHead):
    def forward(self, query, key, value):
        return super().forward(query, key, value)

    def attend(self, q, k, v, mask):
        return (q @ k.mT / math.sqrt(self.d_k)).softmax(1) @ v


class WithoutOutput(MultiHead):
    def forward(self, query, key, value, mask=None):
        q, k, v = self.split(self.W_q(query)), self.split(self.W_k(key)), self.split(self.W_v(value))
        return self.merge(self.attend(q, k, v, mask))


class KeysAsValues(MultiHead):
    def forward(self, query, key, value, mask=None):
        q, k, v = self.split(self.W_q(query)), self.split(self.W_k(key)), self.split(self.W_k(value))
        return self.W_o(self.merge(self.attend(q, k, v, mask)))


class Residual(MultiHead):
    def forward(self, query, key, value, mask=None):
        return query + super().forward(query, key, value, mask)


class AfterSoftmax(MultiHead):
    def attend(self, q, k, v, mask):
        a = (q @ k.mT / math.sqrt(self.d_k)).softmax(-1)
        return (a if mask is None else a * mask.unsqueeze(1)) @ v


class PackedUnscaled(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.h = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.h, c // self.h).permute(2, 0, 3, 1, 4)
        return self.proj((q @ k.mT * c**-0.5).softmax(-1).matmul(v).transpose(1, 2).reshape(b, t, c))


# Masks and positions


def strict(n):
    return torch.tril(torch.ones(n, n), diagonal=-1).bool()


def strict_triu(n):
    return torch.triu(torch.ones(n, n, dtype=torch.bool))  # True = drop


def ahead(n):
    return torch.ones(n, n).tril(diagonal=1) == 1


def at_the_start(q_len, k_len):
    return torch.ones(q_len, k_len, dtype=torch.bool).tril()


def future(size):
    return np.triu(np.ones((size, size)), k=1) == 1


def shifted_positions(length, d):
    angles = np.arange(1, length + 1)[:, None] / np.power(10000, 2 * (np.arange(d)[None] // 2) / d)
    angles[:, 0::2], angles[:, 1::2] = np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])
    return angles


def doubled_exponent(seq_len, d_model):
    pe = torch.zeros(seq_len, d_model)
    for pos in range(seq_len):
        for i in range(0, d_model, 2):
            pe[pos, i] = math.sin(pos / 10000 ** (2 * i / d_model))
            pe[pos, i + 1] = math.cos(pos / 10000 ** (2 * (i + 1) / d_model))
    return pe


def cosines_apart(length, d):
    p, i = np.arange(length)[:, None], np.arange(d)[None]
    angles = p / 10000 ** (i / d)
    return np.where(i % 2 == 0, np.sin(angles), np.cos(angles))


class ShortBase(nn.Module):
    def __init__(self, d_model, max_len=100):
        super().__init__()
        f = torch.arange(max_len)[:, None] * torch.exp(torch.arange(0, d_model, 2) * (-math.log(1000.0) / d_model))
        self.register_buffer("pe", torch.stack([f.sin(), f.cos()], -1).flatten(1))

    def forward(self, x):
        return x + self.pe[: x.shape[1]]


# Masking of tokens


class Corrupt:
    """80/10/10 with one part changed."""

    def __init__(self, **changed):
        self.changed = changed

    def __call__(self, tokens, mask_id, vocab_size, special_ids):
        changed, shape = self.changed, tokens.shape
        special = torch.isin(tokens, torch.tensor(special_ids))
        chosen = torch.rand(shape) < changed.get("rate", 0.15)
        if not changed.get("special"):
            chosen &= ~special
        labels = tokens.clone() if not changed.get("alias") else tokens
        action = torch.rand(shape)
        masked = chosen & (action < changed.get("mask", 0.8))
        other = chosen & (action >= changed.get("mask", 0.8)) & (action < changed.get("until", 0.9))
        if changed.get("all"):
            masked, other = ~special & (action < 0.8), ~special & (action >= 0.8) & (action < 0.9)
            chosen = masked | other | chosen
        words = torch.randint(len(special_ids), vocab_size, shape)
        tokens[masked] = mask_id
        tokens[other] = words[other] if not changed.get("one") else random.randrange(5, vocab_size)
        if changed.get("only masked"):
            chosen = masked
        if changed.get("only changed"):
            chosen = masked | other
        return tokens.clone(), labels if changed.get("labels") == "all" else labels.masked_fill(~chosen, -100)


def corrupt_padding(input_ids, mask_token_id, vocab_size, pad_token_id):
    chosen, action = torch.rand(input_ids.shape) < 0.15, torch.rand(input_ids.shape)
    words = torch.randint(5, vocab_size, input_ids.shape)
    inputs = torch.where(chosen & (action < 0.8), mask_token_id, input_ids)
    inputs = torch.where(chosen & (action >= 0.9), words, inputs)
    return inputs, input_ids.masked_fill(~chosen, -100)


# Sparsemax and entmax


def sparsemax_over_queries(scores):
    z = scores.transpose(1, -1)
    ordered, _ = torch.sort(z, dim=-1, descending=True)
    total, k = ordered.cumsum(-1), torch.arange(1, z.shape[-1] + 1)
    size = (1 + k * ordered > total).sum(-1, keepdim=True)
    tau = (total.gather(-1, size - 1) - 1) / size
    return (z - tau).clamp(min=0).transpose(1, -1)


def sparsemax_without_sorting(z):
    tau = (z.sum(-1, keepdim=True) - 1) / z.shape[-1]
    return F.relu(z - tau)


def sparsemax_index_slip(z):
    ordered = -np.sort(-np.asarray(z), axis=-1)
    total = np.cumsum(ordered, -1)
    k = np.arange(1, ordered.shape[-1] + 1)
    size = (1 + k * ordered > total).sum(-1, keepdims=True)
    tau = (np.take_along_axis(total, np.minimum(size, len(k) - 1), -1) - 1) / np.minimum(size + 1, len(k))
    return np.maximum(np.asarray(z) - tau, 0)


def entmax_by_halving(z, scale=0.5, power=2):
    x = z * scale
    low, high = x.amax(-1, keepdim=True) - 1, x.amax(-1, keepdim=True)
    for _ in range(60):
        middle = (low + high) / 2
        enough = ((x - middle).clamp(min=0) ** power).sum(-1, keepdim=True) >= 1
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
    return (x - low).clamp(min=0) ** power


def entmax_not_halved(z):
    return entmax_by_halving(z, scale=1)


def entmax_of_alpha_2(z):
    return entmax_by_halving(z, scale=1, power=1)


class EntmaxVariance(nn.Module):
    def forward(self, z, dim=-1):
        z = z / 2
        s, _ = z.sort(dim, descending=True)
        k = torch.arange(1, z.size(dim) + 1, dtype=z.dtype)
        mean, square = s.cumsum(dim) / k, (s**2).cumsum(dim) / k
        tau = mean - ((1 - (square - mean**2)) / k).clamp(min=0).sqrt()
        tau = tau.gather(dim, (tau <= s).sum(dim, keepdim=True) - 1)
        return (z - tau).clamp(min=0) ** 2


PLANTED = [
    (sparsemax_over_queries, "sparsemax", {"over queries"}),
    (sparsemax_without_sorting, "sparsemax", {"all in the support"}),
    (sparsemax_index_slip, "sparsemax", {"one too many"}),
    (nn.Softmax(-1), "sparsemax", {"softmax"}),
    (entmax_not_halved, "entmax", {"no 1/2"}),
    (entmax_of_alpha_2, "entmax", {"sparsemax"}),
    (EntmaxVariance, "entmax", {"variance for sum of squares"}),
    (no_scale, "scaled-dot-product", {"no scale"}),
    (divided_by_d, "scaled-dot-product", {"1 / d"}),
    (divided_by_length, "scaled-dot-product", {"1 / sqrt(length)"}),
    (times_sqrt, "scaled-dot-product", {"multiplied by sqrt(d)"}),
    (over_queries, "scaled-dot-product", {"softmax over queries"}),
    (over_batch, "scaled-dot-product", {"softmax over batch"}),
    (numpy_axis, "scaled-dot-product", {"softmax over everything"}),
    (twice, "scaled-dot-product", {"double softmax"}),
    (logs, "scaled-dot-product", {"log-softmax"}),
    (logs_returned, "scaled-dot-product", {"returns log-weights"}),
    (scores_returned, "scaled-dot-product", {"returns scores"}),
    (masked_after, "scaled-dot-product", {"mask after softmax"}),
    (masked_nothing, "scaled-dot-product", {"mask ignored"}),
    (tiny_fill, "scaled-dot-product", {"filled with 0"}),
    (times_mask, "scaled-dot-product", {"filled with 0"}),
    (minus_ten, "scaled-dot-product", {"lowered by 10"}),
    (minus_ten_thousand, "scaled-dot-product", {"filled with -10000"}),
    (lowered_ten_thousand, "scaled-dot-product", {"lowered by 10000"}),
    (zero_one, "scaled-dot-product", {"mask added as 0 and 1"}),
    (wrong_way, "scaled-dot-product", {"polarity"}),
    (transposed_weights, "scaled-dot-product", {"weights transposed"}),
    (no_softmax, "scaled-dot-product", {"no softmax"}),
    (sums_without_exp, "scaled-dot-product", {"divided without exp"}),
    (best_only, "scaled-dot-product", {"hard maximum"}),
    (scaled_late, "scaled-dot-product", {"scaled after softmax"}),
    (averaged, "scaled-dot-product", {"mean for sum"}),
    (both_wrong, "scaled-dot-product", {"no scale", "mask after softmax"}),
    (SigmoidAttention, "scaled-dot-product", {"sigmoid for softmax"}),
    (by_the_values, "scaled-dot-product", {"1 / sqrt(d_v)"}),
    (root_of_root, "scaled-dot-product", {"1 / d^(1/4)"}),
    (DropsOut, "scaled-dot-product", {"random"}),
    (AdditiveLinear, "bahdanau", {"tanh missing"}),
    (AdditiveRelu, "bahdanau", {"relu"}),
    (AdditiveSigmoid, "bahdanau", {"sigmoid"}),
    (AdditiveOutside, "bahdanau", {"tanh outside"}),
    (AdditiveProduct, "bahdanau", {"product for sum"}),
    (AdditiveWrongAxis, "bahdanau", {"softmax over batch"}),
    (AdditiveDoubleTanh, "bahdanau", {"query ignored"}),
    (AdditiveLastAxis, "bahdanau", {"weights all 1"}),
    (ConcatMasked, "bahdanau", {"filled with 0"}),
    (swapped, "bahdanau", {"W and U swapped"}),
    (concat_swapped, "bahdanau", {"concat order"}),
    (without_v, "bahdanau", {"v missing"}),
    (ignores_state, "bahdanau", {"query ignored"}),
    (numpy_minus, "bahdanau", {"difference for sum"}),
    (additive_padding, "bahdanau", {"mask ignored"}),
    (steps_current, "bahdanau-steps", {"current state"}),
    (steps_late, "bahdanau-steps", {"state before the previous one"}),
    (dot_scaled, "luong-dot", {"scaled"}),
    (dot_time_first, "luong-dot", {"softmax over batch"}),
    (dot_cosine, "luong-dot", {"cosine"}),
    (GeneralScaled, "luong-general", {"scaled"}),
    (GeneralTanh, "luong-general", {"tanh added"}),
    (GeneralMean, "luong-general", {"1 / length"}),
    (ConcatRelu, "luong-concat", {"relu"}),
    (ConcatWithoutV, "luong-concat", {"v missing"}),
    (concat_swapped, "luong-concat", {"concat order"}),
    (location_cut_late, "location", {"softmax before the cut"}),
    (monotonic_short, "local-m", {"D ahead left out"}),
    (monotonic_behind, "local-m", {"only behind"}),
    (monotonic_all, "local-m", {"cut after softmax"}),
    (_Predictive(decay=False), "local-p", {"Gaussian missing"}),
    (_Predictive(sigma=lambda reach: reach), "local-p", {"sigma D"}),
    (_Predictive(sigma=lambda reach: (reach / 2) ** 0.5), "local-p", {"sigma sqrt"}),
    (_Predictive(two=1), "local-p", {"2 of the Gaussian missing"}),
    (_Predictive(again=True), "local-p", {"renormalised"}),
    (_Predictive(window=False), "local-p", {"no window"}),
    (_Predictive(bent=lambda x: x), "local-p", {"tanh of p missing"}),
    (_Predictive(length=1), "local-p", {"S missing"}),
    (HeadsByView, "multi-head", {"split without transpose"}),
    (MergedByView, "multi-head", {"merged without transpose"}),
    (WholeWidth, "multi-head", {"1 / sqrt(d_model)"}),
    (Unscaled, "multi-head", {"no scale"}),
    (OverHeads, "multi-head", {"softmax over heads"}),
    (WithoutOutput, "multi-head", {"O missing"}),
    (KeysAsValues, "multi-head", {"K for V"}),
    (Residual, "multi-head", {"residual added"}),
    (AfterSoftmax, "multi-head", {"mask after softmax"}),
    (PackedUnscaled, "multi-head", {"1 / sqrt(d_model)"}),
    (strict, "causal-mask", {"itself excluded"}),
    (strict_triu, "causal-mask", {"itself excluded"}),
    (ahead, "causal-mask", {"sees one ahead"}),
    (at_the_start, "causal-mask", {"aligned at the start"}),
    (shifted_positions, "positional-encoding", {"counted from 1"}),
    (doubled_exponent, "positional-encoding", {"exponent 4i / d, cosine at 2i + 1"}),
    (cosines_apart, "positional-encoding", {"cosine at 2i + 1"}),
    (ShortBase, "positional-encoding", {"base 1000"}),
    (Corrupt(all=True), "mlm-masking", {"shares of all tokens"}),
    (Corrupt(mask=1.0), "mlm-masking", {"always masked"}),
    (Corrupt(mask=0.9), "mlm-masking", {"random words never"}),
    (Corrupt(until=1.0), "mlm-masking", {"never kept"}),
    (Corrupt(special=True), "mlm-masking", {"special tokens chosen"}),
    (corrupt_padding, "mlm-masking", {"padding chosen"}),
    (Corrupt(one=True), "mlm-masking", {"one random word"}),
    (Corrupt(labels="all"), "mlm-masking", {"labels everywhere"}),
    (Corrupt(alias=True), "mlm-masking", {"labels are the corrupted tokens"}),
    (Corrupt(**{"only masked": True}), "mlm-masking", {"labels where masked only"}),
    (Corrupt(rate=0.3), "mlm-masking", {"rate 30 %"}),
]
_GENERAL = GeneralTurned()
TOLD = [
    (_GENERAL, "luong-general", {"weights": {"W": _GENERAL.W}}, {"W transposed"}),
    (future, "causal-mask", {"mask_means": "keep"}, {"sees only the future"}),
    (no_scale, "scaled-dot-product", {"mask_means": "drop"}, {"no scale", "polarity"}),
]
"""Mistakes that are seen only where the owner has said what the names mean."""
