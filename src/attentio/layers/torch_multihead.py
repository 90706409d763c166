"""torch's multi-head attention, computed by `attend`: the same parameters, the same call, attentio's promises."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attentio.attention.attend import attend
from attentio.attention.mask import Mask, causal, keep
from attentio.attention.subclasses import require_plain


class MultiheadAttention(nn.Module):
    """MultiHead(Q, K, V) = [head_1; ..; head_h] W^O,   head_i = attention(Q W_i^Q, K W_i^K, V W_i^V)

    A drop-in for `torch.nn.MultiheadAttention`: constructor, `forward`, parameter names and `state_dict` are torch's,
    so that torch's checkpoints load as they are, and one inside a torch module can be replaced:

        for layer in encoder.layers:  # of an nn.TransformerEncoder
            layer.self_attn = at.MultiheadAttention.from_torch(layer.self_attn)

    It differs where torch's answer is a trap:

    - a query with nothing to attend to gets weights 0 (and so the bias of `out_proj` as output), never NaN;
    - NaN and inf in keys and values that are masked reach nothing, also where the mask is a float tensor with -inf;
    - `need_weights` does not change the output, and the weights are those from before dropout: each row sums to 1,
      also in training, where torch returns what dropout has left of them;
    - `is_causal` with an `attn_mask` is a hint that is not needed: the mask decides. Without one it masks by itself.

    In evaluation without gradients, `nn.TransformerEncoderLayer` calls a fused kernel of its own instead of its
    `self_attn`. Beside this module it does not. The nested tensors that an `nn.TransformerEncoder` then makes of padded
    batches are understood.

    Args:
        embed_dim: features of query and output.
        num_heads: heads of embed_dim / num_heads features each.
        dropout: probability that a weight is set to 0, in training mode.
        bias: whether the four projections have a bias.
        add_bias_kv, add_zero_attn: refused if True.
        kdim, vdim: features of key and value; None: embed_dim.
        batch_first: [batch, positions, features] rather than [positions, batch, features].
        device, dtype: of the parameters.

    Raises:
        ValueError: sizes that do not go together, or one of the two refused options.

    Reference: Vaswani et al. 2017, section 3.2.2.

    >>> layer = at.MultiheadAttention(16, 4, batch_first=True)
    >>> x, padding = torch.randn(2, 5, 16), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])  # True = ignore
    >>> output, weights = layer(x, x, x, key_padding_mask=padding)
    >>> output.shape, weights.shape
    (torch.Size([2, 5, 16]), torch.Size([2, 5, 5]))
    >>> output, weights = layer(x, x, x, attn_mask=torch.ones(5, 5).triu(1).bool(), average_attn_weights=False)
    >>> weights.shape
    torch.Size([2, 4, 5, 5])
    >>> layer(x, x, x, is_causal=True, need_weights=False)[1] is None
    True
    >>> wide = at.MultiheadAttention(16, 4, dropout=0.1, bias=False, kdim=8, vdim=12)
    >>> wide(torch.randn(5, 2, 16), torch.randn(7, 2, 8), torch.randn(7, 2, 12))[0].shape
    torch.Size([5, 2, 16])
    >>> at.MultiheadAttention.from_torch(torch.nn.MultiheadAttention(16, 4)).num_heads
    4
    """

    # torch's encoder layer reads this and, where it is True, goes its fast path past `self_attn`.
    _qkv_same_embed_dim = False

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"embed_dim must be a multiple of num_heads, got {embed_dim} and {num_heads}")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be a probability, at least 0 and below 1, got {dropout}")
        if add_bias_kv or add_zero_attn:
            name = "add_bias_kv" if add_bias_kv else "add_zero_attn"
            raise ValueError(
                f"{name} must be False: it adds a key that stands at no position, so that masks and weights no "
                "longer fit the keys; leave it out, or append such a key and its value yourself"
            )
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        one_width = self.kdim == self.vdim == embed_dim
        self.in_proj_weight = empty(3 * embed_dim, embed_dim) if one_width else None
        self.q_proj_weight = None if one_width else empty(embed_dim, embed_dim)
        self.k_proj_weight = None if one_width else empty(embed_dim, self.kdim)
        self.v_proj_weight = None if one_width else empty(embed_dim, self.vdim)
        self.in_proj_bias = empty(3 * embed_dim) if bias else None
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        for name, parameter in self.named_parameters():
            if name.endswith("proj_weight"):
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    @classmethod
    def from_torch(cls, module: nn.MultiheadAttention) -> "MultiheadAttention":
        """A copy of `module`: its sizes, parameters (and which of them are frozen), device, dtype and mode.

        The parameters are new ones: an optimizer that was made before has the old ones and trains nothing here. Make it
        after the replacement.

        Raises:
            ValueError: the module has an option that is refused here.
        """
        weight = module.out_proj.weight
        copy = cls(
            module.embed_dim,
            module.num_heads,
            module.dropout,
            module.out_proj.bias is not None,
            module.bias_k is not None,
            module.add_zero_attn,
            module.kdim,
            module.vdim,
            module.batch_first,
            weight.device,
            weight.dtype,
        )
        copy.load_state_dict(module.state_dict())
        for mine, theirs in zip(copy.parameters(), module.parameters(), strict=True):
            mine.requires_grad_(theirs.requires_grad)
        return copy.train(module.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend as `torch.nn.MultiheadAttention` does. In the masks of this call, as in torch's, True = ignore.

        Args:
            query: [q, batch, embed_dim], [batch, q, embed_dim] if `batch_first`, or [q, embed_dim] for one sequence.
            key, value: in the same layout, [.., k, kdim] and [.., k, vdim].
            key_padding_mask: [batch, k], or [k] for one sequence. Bool: True = no query may attend to this key.
                Floating point: added to the scores of this key.
            attn_mask: [q, k], or [batch * num_heads, q, k] with the heads of a sequence next to one another. Bool:
                True = this query may not attend to this key. Floating point: added to the scores.
            need_weights: whether to return the weights.
            average_attn_weights: whether the weights are averaged over the heads.
            is_causal: with no `attn_mask`: query i sees the keys 0 to i.

        Returns:
            The output, in the layout of query, and the weights, [batch, q, k] averaged or [batch, num_heads, q, k],
            without the axis batch for one sequence; None unless `need_weights`.

        Raises:
            ValueError: shapes or dtypes that do not go together.
        """
        if query.is_nested:
            return self._attend_nested(query, key, value, key_padding_mask, need_weights, attn_mask, is_causal), None
        self._check(query, key, value)
        q, k, v = (self._to_heads(projected) for projected in self._project(query, key, value))
        mask, bias = self._translate(q, k, key_padding_mask, attn_mask, is_causal)
        dropout = self.dropout if self.training else 0.0
        context_bhqd, weights = attend(q, k, v, mask=mask, bias=bias, dropout=dropout, need_weights=need_weights)
        output = self.out_proj(context_bhqd.transpose(1, 2).flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(dim=1)
        if query.ndim == 2:
            return output.squeeze(0), None if weights is None else weights.squeeze(0)
        return output if self.batch_first else output.transpose(0, 1), weights

    def _attend_nested(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None,
        need_weights: bool,
        attn_mask: Tensor | None,
        is_causal: bool,
    ) -> Tensor:
        """Self-attention of sequences of different lengths, as `nn.TransformerEncoder` asks for it."""
        masked = key_padding_mask is not None or attn_mask is not None or is_causal
        if query is not key or key is not value or masked or need_weights or not self.batch_first:
            raise ValueError("a nested query must also be key and value, batch_first, without masks or weights")
        lengths = [len(sequence) for sequence in query.unbind()]
        padded = query.to_padded_tensor(0.0)
        beyond = torch.arange(padded.shape[1], device=padded.device) >= padded.new_tensor(lengths).unsqueeze(1)
        output, _ = self(padded, padded, padded, key_padding_mask=beyond, need_weights=False)
        return torch.nested.as_nested_tensor([row[:length] for row, length in zip(output, lengths, strict=True)])

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        batched = "[batch, positions, {}]" if self.batch_first else "[positions, batch, {}]"
        wanted = batched if query.ndim == 3 else "[positions, {}]"
        given = (("query", query, self.embed_dim), ("key", key, self.kdim), ("value", value, self.vdim))
        for name, tensor, features in given:
            if tensor.ndim != wanted.count(",") + 1 or tensor.shape[-1] != features:
                raise ValueError(f"{name} must be {wanted.format(features)}, got {list(tensor.shape)}")
            dtype = next(self.parameters()).dtype
            if tensor.dtype != dtype and not torch.is_autocast_enabled(tensor.device.type):
                raise ValueError(f"{name} must have the dtype of the parameters ({dtype}), got {tensor.dtype}")

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        if self.in_proj_weight is not None and query is key and key is value:
            return F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        separate = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        weights: Any = separate if self.in_proj_weight is None else self.in_proj_weight.chunk(3)
        biases: Any = (None, None, None) if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return tuple(map(F.linear, (query, key, value), weights, biases))

    def _to_heads(self, projected: Tensor) -> Tensor:
        """In any of torch's three layouts, to [batch, heads, positions, d]."""
        if projected.ndim == 2:
            projected = projected.unsqueeze(0)
        elif not self.batch_first:
            projected = projected.transpose(0, 1)
        return projected.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def _translate(
        self,
        q_bhqd: Tensor,
        k_bhkd: Tensor,
        key_padding_mask: Tensor | None,
        attn_mask: Tensor | None,
        is_causal: bool,
    ) -> tuple[Mask | None, Tensor | None]:
        """torch's masks as a mask, in which True = may attend, and a bias on the scores."""
        batch, heads, q_len, _ = q_bhqd.shape
        k_len = k_bhkd.shape[2]
        given: list[Tensor] = []
        mask: Mask | None = None
        bias: Tensor | None = None
        if key_padding_mask is not None:
            one_sequence = key_padding_mask.ndim == 1 and batch == 1
            _require("key_padding_mask", key_padding_mask, (k_len,) if one_sequence else (batch, k_len))
            given.append(key_padding_mask.reshape(batch, 1, 1, k_len))
        if attn_mask is not None:
            shared = attn_mask.ndim == 2
            _require("attn_mask", attn_mask, (q_len, k_len) if shared else (batch * heads, q_len, k_len))
            given.append(attn_mask.reshape(-1, 1 if shared else heads, q_len, k_len))
        elif is_causal:
            mask = causal(align="start")
        for tensor in given:
            if tensor.is_floating_point():
                bias = tensor if bias is None else bias + tensor
                allowed = keep(tensor != float("-inf"))
            else:
                allowed = keep(~tensor)
            mask = allowed if mask is None else mask & allowed
        return mask, bias


def _require(name: str, mask: Tensor, shape: tuple[int, ...]) -> None:
    require_plain(name, mask)
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise ValueError(f"{name} must be bool (True = ignore) or floating point (added), got {mask.dtype}")
    if mask.shape != shape:
        raise ValueError(f"{name} must have the shape {list(shape)}, got {list(mask.shape)}")
