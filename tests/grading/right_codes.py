"""Right implementations in many hands' styles: none may be blamed."""

import math
import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from attentio.attention.entmax import Entmax, Sparsemax

# Scaled dot-product


def sdp_matmul(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    weights = scores.softmax(dim=-1)
    return torch.matmul(weights, value), weights


def sdp_einsum(q, k, v):
    a = torch.einsum("bid,bjd->bij", q, k) * k.shape[-1] ** -0.5
    return torch.einsum("bij,bjd->bid", F.softmax(a, -1), v)


def sdp_numpy(Q, K, V, mask=None):  # noqa: N803
    s = Q @ np.swapaxes(K, -1, -2) / np.sqrt(K.shape[-1])
    if mask is not None:
        s = np.where(mask, s, -np.inf)
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    w = e / e.sum(axis=-1, keepdims=True)
    return w @ V, w


def sdp_numpy_one(Q, K, V):  # noqa: N803
    """No batch, naive exp."""
    e = np.exp(np.dot(Q, K.T) / np.sqrt(Q.shape[1]))
    return np.dot(e / e.sum(1)[:, None], V)


def sdp_loops(q, k, v):
    out = torch.zeros(q.shape[0], q.shape[1], v.shape[2], dtype=q.dtype)
    for b in range(q.shape[0]):
        for i in range(q.shape[1]):
            e = [math.exp(float(q[b, i] @ k[b, j]) / q.shape[2] ** 0.5) for j in range(k.shape[1])]
            for j in range(k.shape[1]):
                out[b, i] += e[j] / sum(e) * v[b, j]
    return out


def sdp_additive_mask(query, key, value, attn_mask=None):
    s = query @ key.mT / query.shape[-1] ** 0.5
    if attn_mask is not None:
        s = s + attn_mask
    return F.softmax(s, dim=-1) @ value


def sdp_mask_in_32_bits(query, key, value, mask=None):
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores + (1.0 - mask.float()) * torch.finfo(scores.dtype).min
    return scores.softmax(-1) @ value


def sdp_drop_mask(q, k, v, mask):
    s = torch.bmm(q, k.transpose(1, 2)) / np.sqrt(q.size(2))
    return torch.bmm(torch.softmax(s.masked_fill(mask, float("-inf")), 2), v)


def sdp_weights_first(q, k, v, mask=None):
    s = (q / q.shape[-1] ** 0.25) @ (k / k.shape[-1] ** 0.25).transpose(-1, -2)
    if mask is not None:
        s += (1.0 - mask[:, None, :]) * -10000000.0
    w = torch.exp(F.log_softmax(s, -1))
    return w, w @ v


class Scaled(nn.Module):
    def __init__(self, temperature, attn_dropout=0.1):
        super().__init__()
        self.temperature = temperature
        self.dropout = nn.Dropout(attn_dropout)

    def forward(self, q, k, v, mask=None):
        attn = torch.matmul(q / self.temperature, k.transpose(-2, -1))
        if mask is not None:
            attn = attn.masked_fill(mask == 0, -1e9)
        attn = self.dropout(F.softmax(attn, dim=-1))
        return torch.matmul(attn, v), attn


def sdp_lengths(q, k, v, valid_lens):
    s = torch.bmm(q, k.transpose(1, 2)) / math.sqrt(q.shape[-1])
    inside = torch.arange(k.shape[1])[None, None] < valid_lens[:, None, None]
    return torch.bmm(torch.where(inside, s, torch.tensor(-1e6, dtype=s.dtype)).softmax(-1), v)


def sdp_heads(q, k, v, mask=None):
    """Four axes, as after the heads are cut."""
    s = torch.einsum("bhid,bhjd->bhij", q, k) / q.shape[-1] ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask[:, None, None, :], -torch.inf)
    return torch.einsum("bhij,bhjd->bhid", s.softmax(-1), v)


def sdp_query(q, k, v):
    """One query, no batch."""
    return torch.softmax(k @ q / math.sqrt(len(q)), 0) @ v


# Bahdanau


class BahdanauThree(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.Wa = nn.Linear(hidden_size, hidden_size)
        self.Ua = nn.Linear(hidden_size, hidden_size)
        self.Va = nn.Linear(hidden_size, 1)

    def forward(self, query, keys):
        scores = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys)))
        weights = F.softmax(scores.squeeze(2).unsqueeze(1), dim=-1)
        return torch.bmm(weights, keys), weights


class BahdanauConcat(nn.Module):
    """Energy from [s; h], time first, weights only."""

    def __init__(self, enc_hid_dim, dec_hid_dim):
        super().__init__()
        self.attn = nn.Linear(enc_hid_dim + dec_hid_dim, dec_hid_dim)
        self.v = nn.Linear(dec_hid_dim, 1, bias=False)

    def forward(self, hidden, encoder_outputs, mask):
        src_len = encoder_outputs.shape[0]
        hidden = hidden.unsqueeze(1).repeat(1, src_len, 1)
        encoder_outputs = encoder_outputs.permute(1, 0, 2)
        energy = torch.tanh(self.attn(torch.cat((hidden, encoder_outputs), dim=2)))
        return F.softmax(self.v(energy).squeeze(2).masked_fill(mask == 0, -1e10), dim=1)


class BahdanauRaw(nn.Module):
    def __init__(self, query_size, key_size, units):
        super().__init__()
        self.W1 = nn.Parameter(torch.empty(query_size, units))
        self.W2 = nn.Parameter(torch.empty(key_size, units))
        self.V = nn.Parameter(torch.empty(units))

    def forward(self, s, h):
        e = torch.tanh((s @ self.W1)[:, None, :] + h @ self.W2) @ self.V
        a = torch.softmax(e, dim=1)
        return (a[:, :, None] * h).sum(1), a


class AdditiveQueries(nn.Module):
    def __init__(self, num_hiddens, dropout=0.0):
        super().__init__()
        self.W_k = nn.Linear(num_hiddens, num_hiddens, bias=False)
        self.W_q = nn.Linear(num_hiddens, num_hiddens, bias=False)
        self.w_v = nn.Linear(num_hiddens, 1, bias=False)

    def forward(self, queries, keys, values, valid_lens):
        features = torch.tanh(self.W_q(queries).unsqueeze(2) + self.W_k(keys).unsqueeze(1))
        scores = self.w_v(features).squeeze(-1)
        off = torch.arange(scores.shape[-1])[None, :] >= valid_lens[:, None]
        return torch.bmm(scores.masked_fill(off[:, None], -1e6).softmax(-1), values)


def bahdanau_function(s_prev, annotations, W_a, U_a, v_a):  # noqa: N803
    e = torch.tanh(s_prev @ W_a.T + annotations @ U_a.T) @ v_a
    alpha = torch.exp(e) / torch.exp(e).sum()
    return alpha @ annotations, alpha


def bahdanau_numpy(s, h, W, U, v):  # noqa: N803
    scores = np.array([v @ np.tanh(W @ s + U @ hj) for hj in h])
    a = np.exp(scores - scores.max())
    a /= a.sum()
    return sum(a[j] * h[j] for j in range(len(h)))


def bahdanau_steps(states, annotations, W, U, v):  # noqa: N803
    contexts = []
    for i in range(1, states.shape[1]):
        e = torch.tanh((states[:, i - 1] @ W.T)[:, None] + annotations @ U.T) @ v
        contexts.append(torch.einsum("bj,bjd->bd", e.softmax(-1), annotations))
    return torch.stack(contexts, 1)


# Luong


class LuongDot(nn.Module):
    def forward(self, hidden, encoder_outputs):  # [1, b, h], [t, b, h]
        energies = torch.sum(hidden * encoder_outputs, dim=2).t()
        return F.softmax(energies, dim=1).unsqueeze(1)


class LuongGeneral(nn.Module):
    def __init__(self, dec_dim, enc_dim):
        super().__init__()
        self.W = nn.Linear(enc_dim, dec_dim, bias=False)

    def forward(self, decoder_state, encoder_states):
        e = torch.einsum("bd,bkd->bk", decoder_state, self.W(encoder_states))
        a = e.softmax(-1)
        return torch.einsum("bk,bkd->bd", a, encoder_states), a


def luong_general_function(h_t, h_s, W):  # noqa: N803
    a = torch.softmax(h_t @ W @ h_s.transpose(1, 2), -1)
    return a @ h_s


def luong_dot_numpy(query, keys):
    s = np.einsum("bqd,bkd->bqk", query, keys)
    w = np.exp(s - s.max(-1, keepdims=True))
    w = w / w.sum(-1, keepdims=True)
    return {"context": np.einsum("bqk,bkd->bqd", w, keys), "weights": w}


class LuongConcat(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.attn = nn.Linear(hidden * 2, hidden)
        self.v = nn.Parameter(torch.zeros(hidden))

    def forward(self, hidden, encoder_outputs):
        b, t, h = encoder_outputs.shape
        both = torch.cat([hidden.unsqueeze(1).expand(b, t, h), encoder_outputs], 2)
        return F.softmax((self.v * torch.tanh(self.attn(both))).sum(2), 1)


def luong_location(h_t, h_s, W):  # noqa: N803
    a = torch.softmax((h_t @ W.T)[..., : h_s.shape[1]], -1)
    return a @ h_s, a


def local_m(query, keys, t, D):  # noqa: N803
    lo, hi = max(0, t - D), min(keys.shape[1], t + D + 1)
    near = keys[:, lo:hi]
    a = torch.softmax((near @ query[:, :, None]).squeeze(2), 1)
    return (a[:, :, None] * near).sum(1)


def local_p(query, keys, W_p, v_p, D):  # noqa: N803
    length = keys.shape[1]
    p = length * torch.sigmoid(torch.tanh(query @ W_p.T) @ v_p)
    s = torch.arange(length, dtype=query.dtype)
    off = s - p[..., None]
    scores = (query @ keys.transpose(1, 2)).masked_fill(off.abs() > D, float("-inf"))
    a = scores.softmax(-1).nan_to_num(0.0) * torch.exp(-(off**2) / (2 * (D / 2) ** 2))
    return a @ keys, a


def local_p_rounded(query, keys, W_p, v_p, D):  # noqa: N803
    """No batch, loops, the window around p rounded."""
    n = len(keys)
    p = n * torch.sigmoid(v_p @ torch.tanh(W_p @ query))
    out = torch.zeros_like(keys[0])
    window = [s for s in range(n) if abs(s - round(p.item())) <= D]
    total = sum(torch.exp(query @ keys[s]) for s in window)
    for s in window:
        out = out + torch.exp(query @ keys[s]) / total * torch.exp(-((s - p) ** 2) / (2 * (D / 2) ** 2)) * keys[s]
    return out


# Multi-head


class MultiHeadClones(nn.Module):
    def __init__(self, h, d_model, dropout=0.1):
        super().__init__()
        self.d_k, self.h = d_model // h, h
        self.linears = nn.ModuleList(nn.Linear(d_model, d_model) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        n = query.size(0)
        query, key, value = (
            layer(x).view(n, -1, self.h, self.d_k).transpose(1, 2)
            for layer, x in zip(self.linears, (query, key, value), strict=False)
        )
        scores = query @ key.transpose(-2, -1) / math.sqrt(self.d_k)
        if mask is not None:
            scores = scores.masked_fill(mask.unsqueeze(1) == 0, -1e9)
        x = self.dropout(scores.softmax(-1)) @ value
        return self.linears[-1](x.transpose(1, 2).contiguous().view(n, -1, self.h * self.d_k))


class OneHead(nn.Module):
    def __init__(self, width, size):
        super().__init__()
        self.key = nn.Linear(width, size, bias=False)
        self.query = nn.Linear(width, size, bias=False)
        self.value = nn.Linear(width, size, bias=False)

    def forward(self, x):
        w = self.query(x) @ self.key(x).transpose(-2, -1) * self.key.out_features**-0.5
        return w.softmax(-1) @ self.value(x)


class HeadList(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.heads = nn.ModuleList([OneHead(n_embd, n_embd // n_head) for _ in range(n_head)])
        self.proj = nn.Linear(n_embd, n_embd)

    def forward(self, x):
        return self.proj(torch.cat([head(x) for head in self.heads], dim=-1))


class Packed(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.qkv_proj = nn.Linear(embed_dim, 3 * embed_dim)
        self.o_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x, mask=None):
        b, n, d = x.shape
        qkv = self.qkv_proj(x).reshape(b, n, self.num_heads, 3 * d // self.num_heads).permute(0, 2, 1, 3)
        q, k, v = qkv.chunk(3, dim=-1)
        s = q @ k.mT / math.sqrt(q.shape[-1])
        if mask is not None:
            s = s.masked_fill(mask == 0, -9e15)
        a = F.softmax(s, dim=-1)
        return self.o_proj((a @ v).permute(0, 2, 1, 3).reshape(b, n, d)), a


class PackedThirds(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.h = heads
        self.c_attn, self.c_proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x, mask=None):
        b, t, c = x.size()
        q, k, v = (part.view(b, t, self.h, -1).transpose(1, 2) for part in self.c_attn(x).split(c, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask[:, None])
        return self.c_proj(y.transpose(1, 2).contiguous().view(b, t, c))


def multi_head_function(query, key, value, W_Q, W_K, W_V, W_O, heads):  # noqa: N803
    outs = []
    size = W_Q.shape[1] // heads
    for i in range(heads):
        part = slice(i * size, (i + 1) * size)
        q, k, v = query @ W_Q[:, part], key @ W_K[:, part], value @ W_V[:, part]
        outs.append((q @ k.transpose(1, 2) / size**0.5).softmax(-1) @ v)
    return torch.cat(outs, -1) @ W_O


class SelfAttention(nn.Module):
    """Heads of d_k, and a mask that is turned into numbers to add."""

    def __init__(self, n_head, d_model, d_k, d_v):
        super().__init__()
        self.n_head, self.d_k = n_head, d_k
        self.w_qs, self.w_ks = (nn.Linear(d_model, n_head * d_k, bias=False) for _ in range(2))
        self.w_vs, self.fc = nn.Linear(d_model, n_head * d_v, bias=False), nn.Linear(n_head * d_v, d_model)

    def forward(self, hidden_states, attention_mask=None):
        b, n, _ = hidden_states.shape
        q, k, v = (
            w(hidden_states).view(b, n, self.n_head, -1).transpose(1, 2) for w in (self.w_qs, self.w_ks, self.w_vs)
        )
        s = q / self.d_k**0.5 @ k.mT
        if attention_mask is not None:
            s = s + (1.0 - attention_mask[:, None, None, :].to(s)) * torch.finfo(s.dtype).min
        a = s.softmax(-1)
        return self.fc((a @ v).transpose(1, 2).reshape(b, n, -1)), a


class EinsumHeads(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        size = d_model // num_heads
        self.wq, self.wk, self.wv = (nn.Parameter(torch.zeros(num_heads, d_model, size)) for _ in range(3))
        self.out = nn.Linear(d_model, d_model, bias=False)

    def forward(self, q, k, v):
        q, k, v = (torch.einsum("bnd,hde->bhne", x, w) for x, w in ((q, self.wq), (k, self.wk), (v, self.wv)))
        a = torch.einsum("bhqe,bhke->bhqk", q, k).div(q.shape[-1] ** 0.5).softmax(-1)
        return self.out(torch.einsum("bhqk,bhke->bqhe", a, v).flatten(2)), a.mean(1)


# Masks, positions, corruption


def mask_tril(n):
    return torch.tril(torch.ones(n, n)).bool()


def mask_triu(size):
    return torch.triu(torch.ones(1, size, size), diagonal=1).type(torch.uint8) == 0


def mask_additive(sz):
    return torch.full((sz, sz), float("-inf")).triu(1)


def mask_two(q_len, k_len):
    return torch.arange(k_len)[None] <= torch.arange(q_len)[:, None] + k_len - q_len


def mask_numpy(n):
    return np.array([[j > i for j in range(n)] for i in range(n)])


class Positions(nn.Module):
    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super().__init__()
        self.dropout = nn.Dropout(p=dropout)
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(max_len, 1, d_model)
        pe[:, 0, 0::2] = torch.sin(position * div_term)
        pe[:, 0, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x):
        return self.dropout(x + self.pe[: x.size(0)])


def positions_numpy(length, d):
    angles = np.arange(length)[:, None] / np.power(10000, 2 * (np.arange(d)[None] // 2) / d)
    angles[:, 0::2], angles[:, 1::2] = np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])
    return angles


def positions_halves(seq_len, dim):
    f = torch.arange(seq_len)[:, None] * 10000 ** (-torch.arange(0, dim, 2) / dim)
    return torch.cat([f.sin(), f.cos()], 1)


def corrupt_torch(tokens, mask_id, vocab_size, special_ids):
    labels = tokens.clone()
    chance = torch.full(labels.shape, 0.15)
    chance.masked_fill_(torch.isin(tokens, torch.tensor(special_ids)), 0.0)
    chosen = torch.bernoulli(chance).bool()
    labels[~chosen] = -100
    masked = torch.bernoulli(torch.full(labels.shape, 0.8)).bool() & chosen
    tokens[masked] = mask_id
    other = torch.bernoulli(torch.full(labels.shape, 0.5)).bool() & chosen & ~masked
    words = torch.randint(len(special_ids), vocab_size, labels.shape)
    tokens[other] = words[other]
    return tokens, labels


class WiderThanTheModel(nn.Module):
    """All heads together have other features than the model, as in vision Transformers."""

    def __init__(self, dim, heads=8, dim_head=64):
        super().__init__()
        self.heads, self.scale = heads, dim_head**-0.5
        self.to_qkv = nn.Linear(dim, 3 * heads * dim_head, bias=False)
        self.to_out = nn.Linear(heads * dim_head, dim)

    def forward(self, x):
        q, k, v = (one.unflatten(-1, (self.heads, -1)).transpose(1, 2) for one in self.to_qkv(x).chunk(3, dim=-1))
        return self.to_out(((q @ k.mT * self.scale).softmax(-1) @ v).transpose(1, 2).flatten(2))


def corrupt_as_transformers(inputs, mask_id, vocab_size, special_tokens_mask):
    labels = inputs.clone()
    chance = torch.full(labels.shape, 0.15).masked_fill(special_tokens_mask.bool(), 0.0)
    chosen = torch.bernoulli(chance).bool()
    labels[~chosen] = -100
    masked = torch.bernoulli(torch.full(labels.shape, 0.8)).bool() & chosen
    inputs[masked] = mask_id
    other = torch.bernoulli(torch.full(labels.shape, 0.5)).bool() & chosen & ~masked
    inputs[other] = torch.randint(vocab_size, labels.shape)[other]
    return inputs, labels


def positions_by_width(embedding_dim, num_positions):
    table = torch.zeros(num_positions, embedding_dim)
    angle = torch.arange(num_positions)[:, None] / 10_000 ** (torch.arange(0, embedding_dim, 2) / embedding_dim)
    table[:, 0::2], table[:, 1::2] = angle.sin(), angle.cos()
    return table


class PositionsOfBlocks(nn.Module):
    def __init__(self, d_model, block_size):
        super().__init__()
        self.register_buffer("table", positions_by_width(d_model, block_size)[None])

    def forward(self, x):
        return x + self.table[:, : x.size(1)]


class LuongQueryProjected(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.attn = nn.Linear(hidden, hidden)

    def forward(self, hidden, encoder_outputs):
        return torch.einsum("bd,bkd->bk", self.attn(hidden), encoder_outputs).softmax(1)


class MultiHeadByHand(nn.Module):
    def __init__(self, wrap=lambda layer: layer):
        super().__init__()
        self.q, self.k, self.v, self.o = (wrap(nn.Linear(24, 24, bias=False)) for _ in range(4))
        self.num_heads = 4

    def forward(self, query, key, value):
        q, k, v = (
            layer(x).unflatten(-1, (4, 6)).transpose(1, 2)
            for layer, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        return self.o(((q @ k.mT / 6**0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


def corrupt_list(ids, mask_id, vocab_size, special_ids):
    out, labels = list(ids), [None] * len(ids)
    for i, token in enumerate(ids):
        if token in special_ids or random.random() >= 0.15:
            continue
        labels[i] = token
        r = random.random()
        if r < 0.8:
            out[i] = mask_id
        elif r < 0.9:
            out[i] = random.randrange(max(special_ids) + 1, vocab_size)
    return out, labels


def corrupt_numpy(x, mask_id, vocab_size, special_ids, rng):
    free = ~np.isin(x, special_ids)
    where, action = rng.random(x.shape), rng.random(x.shape)
    chosen = free & (where < 0.15)
    words = rng.integers(max(special_ids) + 1, vocab_size, x.shape)
    inputs = np.where(chosen & (action < 0.8), mask_id, np.where(chosen & (action >= 0.9), words, x))
    return inputs, np.where(chosen, x, 0)


def sparsemax_sorted(scores, dim=-1):
    z = scores.transpose(dim, -1)
    ordered, _ = torch.sort(z, dim=-1, descending=True)
    total, k = ordered.cumsum(-1), torch.arange(1, z.shape[-1] + 1)
    size = (1 + k * ordered > total).sum(-1, keepdim=True)
    tau = (total.gather(-1, size - 1) - 1) / size
    return (z - tau).clamp(min=0).transpose(dim, -1)


class SparsemaxAlong(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        return sparsemax_sorted(x, self.dim)


def sparsemax_of_a_row(z):
    total, tau = 0.0, 0.0
    for k, one in enumerate(sorted(z.tolist(), reverse=True), 1):
        total += one
        if 1 + k * one > total:
            tau = (total - 1) / k
    return np.array([max(0.0, one - tau) for one in z.tolist()])


def entmax_by_halving(z, alpha=1.5):
    x = z * (alpha - 1)
    low, high = x.amax(-1, keepdim=True) - 1, x.amax(-1, keepdim=True)
    for _ in range(60):
        middle = (low + high) / 2
        enough = ((x - middle).clamp(min=0) ** (1 / (alpha - 1))).sum(-1, keepdim=True) >= 1
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
    return (x - low).clamp(min=0) ** (1 / (alpha - 1))


RIGHT = [
    (sparsemax_sorted, "sparsemax"),
    (sparsemax_of_a_row, "sparsemax"),
    (SparsemaxAlong, "sparsemax"),
    (Sparsemax(), "sparsemax"),
    (entmax_by_halving, "entmax"),
    (Entmax(1.5), "entmax"),
    (sdp_matmul, "scaled-dot-product"),
    (sdp_einsum, "scaled-dot-product"),
    (sdp_numpy, "scaled-dot-product"),
    (sdp_numpy_one, "scaled-dot-product"),
    (sdp_loops, "scaled-dot-product"),
    (sdp_additive_mask, "scaled-dot-product"),
    (sdp_drop_mask, "scaled-dot-product"),
    (sdp_mask_in_32_bits, "scaled-dot-product"),
    (torch.compile(Scaled(4.0), backend="eager"), "scaled-dot-product"),
    (sdp_weights_first, "scaled-dot-product"),
    (Scaled, "scaled-dot-product"),
    (Scaled(4.0), "scaled-dot-product"),
    (sdp_lengths, "scaled-dot-product"),
    (F.scaled_dot_product_attention, "scaled-dot-product"),
    (sdp_heads, "scaled-dot-product"),
    (sdp_query, "scaled-dot-product"),
    (BahdanauThree, "bahdanau"),
    (BahdanauThree(16), "bahdanau"),
    (BahdanauConcat, "bahdanau"),
    (BahdanauConcat(10, 6), "bahdanau"),
    (BahdanauRaw, "bahdanau"),
    (AdditiveQueries, "bahdanau"),
    (bahdanau_function, "bahdanau"),
    (bahdanau_numpy, "bahdanau"),
    (bahdanau_steps, "bahdanau-steps"),
    (LuongDot, "luong-dot"),
    (luong_dot_numpy, "luong-dot"),
    (LuongGeneral, "luong-general"),
    (luong_general_function, "luong-general"),
    (LuongConcat, "luong-concat"),
    (luong_location, "location"),
    (local_m, "local-m"),
    (local_p, "local-p"),
    (local_p_rounded, "local-p"),
    (MultiHeadClones, "multi-head"),
    (MultiHeadClones(4, 32), "multi-head"),
    (HeadList, "multi-head"),
    (Packed, "multi-head"),
    (PackedThirds, "multi-head"),
    (multi_head_function, "multi-head"),
    (SelfAttention, "multi-head"),
    (WiderThanTheModel, "multi-head"),
    (WiderThanTheModel(24, 3, 16), "multi-head"),
    (EinsumHeads, "multi-head"),
    (nn.MultiheadAttention(24, 4, batch_first=True), "multi-head"),
    (nn.MultiheadAttention(24, 4, bias=False), "multi-head"),
    (MultiHeadByHand(weight_norm), "multi-head"),
    (MultiHeadByHand(spectral_norm), "multi-head"),
    (torch.vmap(sdp_matmul), "scaled-dot-product"),
    (mask_tril, "causal-mask"),
    (mask_triu, "causal-mask"),
    (mask_additive, "causal-mask"),
    (mask_two, "causal-mask"),
    (mask_numpy, "causal-mask"),
    (Positions, "positional-encoding"),
    (positions_numpy, "positional-encoding"),
    (positions_halves, "positional-encoding"),
    (positions_by_width, "positional-encoding"),
    (PositionsOfBlocks, "positional-encoding"),
    (LuongQueryProjected(8), "luong-general"),
    (corrupt_torch, "mlm-masking"),
    (corrupt_as_transformers, "mlm-masking"),
    (corrupt_list, "mlm-masking"),
    (corrupt_numpy, "mlm-masking"),
]
