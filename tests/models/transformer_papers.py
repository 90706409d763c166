"""The Transformers by hand: one sequence, one position and one head at a time, written from the papers' equations.

Nothing of the package is called. Of a model only the parameters are read, by name, so that gradients flow into
the same tensors as the model's own.

    Vaswani et al. 2017    encoder, decoder, heads, sinusoids, embeddings times sqrt(d)
    Xiong et al. 2020      the norm before a part rather than after it, and one more at the end
    Devlin et al. 2018     the masked language model         Radford et al. 2019   the causal one
    Su et al. 2021         rotary positions                  Press et al. 2022     ALiBi
    Ainslie et al. 2023    grouped queries                   Beltagy et al. 2020   the sliding window
    Zhang and Sennrich 2019  RMSNorm                         Shazeer 2020          SwiGLU
    Raffel et al. 2020     T5's relative positions           Henry et al. 2020     queries and keys of length 1
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Vectors = list[Tensor]
"""One vector for each position of one sequence."""


@dataclass(frozen=True)
class Setting:
    """Which Transformer. window: how many tokens before itself a token sees, and after itself where it may."""

    heads: int = 3
    key_value_heads: int | None = None
    norm: str = "layer"
    pre_norm: bool = False
    embedding_norm: bool = False
    activation: str = "relu"
    positions: str = "sinusoidal"
    window: int | None = None
    tied: bool = True
    qk_norm: bool = False

    def __str__(self) -> str:
        groups = f"{self.heads}heads" + f"by{self.key_value_heads}" * (self.key_value_heads is not None)
        order = ("pre" if self.pre_norm else "post") + "first" * self.embedding_norm
        window = "" if self.window is None else f"-window{self.window}"
        tied = "" if self.tied else "-untied"
        tied += "-qknorm" * self.qk_norm
        return f"{self.positions}-{groups}-{order}{self.norm}-{self.activation}{window}{tied}"


def sinusoid(position: int, width: int) -> Tensor:
    """Vaswani et al. 2017, section 3.5; all sines first, then all cosines, as the code of that paper has it."""
    angles = [position / 10000 ** (2 * i / width) for i in range(width // 2)]
    return torch.tensor([*map(math.sin, angles), *map(math.cos, angles)], dtype=torch.float64)


def rotated(vector: Tensor, position: int) -> Tensor:
    """Su et al. 2021, equation 15, where features i and i + d/2 are a pair (as in Llama and GPT-NeoX)."""
    half = len(vector) // 2
    turned = list(vector)
    for i in range(half):
        angle = position * 10000 ** (-2 * i / len(vector))
        x, y = vector[i], vector[i + half]
        turned[i] = x * math.cos(angle) - y * math.sin(angle)
        turned[i + half] = x * math.sin(angle) + y * math.cos(angle)
    return torch.stack(turned)


def alibi_slope(head: int, heads: int) -> float:
    """Press et al. 2022, section 3; where n is no power of two, the slopes of the power below it and then every
    other one of the power above it, as in their code."""
    below = 2 ** int(math.log2(heads))
    if head < below:
        return 2 ** (-8 * (head + 1) / below)
    return 2 ** (-8 * (2 * (head - below) + 1) / (2 * below))


def t5_bucket(distance: int, *, causal: bool) -> int:
    """Raffel et al. 2020's code: 32 buckets; bucket exact + n has the distances from exact (128 / exact)^(n / more)."""
    buckets, first, away = 32, 0, max(0, -distance)
    if not causal:
        buckets, first, away = 16, 16 * (distance > 0), abs(distance)
    exact = buckets // 2
    if away < exact:
        return first + away
    more = buckets - exact
    begun = [n for n in range(more) if away**more * exact**n >= 128**n * exact**more]
    return first + exact + begun[-1]


def activated(x: Tensor, kind: str) -> Tensor:
    if kind == "relu":
        return torch.maximum(x, torch.zeros_like(x))
    if kind == "relu-squared":  # So et al. 2021
        return torch.maximum(x, torch.zeros_like(x)) ** 2
    if kind == "gelu":  # Hendrycks and Gimpel 2016
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    assert kind == "gelu-tanh"
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class ByHand:
    """The model `model`, read as the papers write it."""

    def __init__(self, model: nn.Module, setting: Setting) -> None:
        self.parameters = dict(model.named_parameters(remove_duplicate=False))
        self.setting = setting

    def __getitem__(self, name: str) -> Tensor:
        return self.parameters[name]

    def linear(self, name: str, x: Tensor) -> Tensor:
        product = self[f"{name}.weight"] @ x
        bias = self.parameters.get(f"{name}.bias")
        return product if bias is None else product + bias

    def normed(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self[f"{name}.weight"], self.parameters.get(f"{name}.bias")
        if bias is None:  # RMSNorm, equation 4
            return x / torch.sqrt((x * x).sum() / len(x) + 1e-5) * weight
        mean = x.sum() / len(x)
        variance = ((x - mean) ** 2).sum() / len(x)
        return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias

    def attend(
        self,
        name: str,
        queries: Vectors,
        keys: Vectors,
        values: Vectors,
        may: Callable[[int, int], bool],
        *,
        self_attention: bool,
        causal: bool = False,
    ) -> tuple[Vectors, Tensor]:
        """The heads of every query side by side, and the weights [heads, q, k].

        name: of the attention's parameters.
        Query head h reads the keys of group h // (heads / groups); query i sees the keys j with may(i, j).
        """
        setting, d = self.setting, len(queries[0]) // self.setting.heads
        per_group = setting.heads // (setting.key_value_heads or setting.heads)
        rotary = self_attention and setting.positions == "rotary"
        weights = torch.zeros(setting.heads, len(queries), len(keys), dtype=torch.float64)
        contexts: list[Vectors] = [[] for _ in queries]
        for h in range(setting.heads):
            group = slice(h // per_group * d, (h // per_group + 1) * d)
            own_keys = [rotated(key[group], j) if rotary else key[group] for j, key in enumerate(keys)]
            for i, query in enumerate(queries):
                own_query = query[h * d : (h + 1) * d]
                own_query = rotated(own_query, i) if rotary else own_query
                exponentials = {}
                for j in [j for j in range(len(keys)) if may(i, j)]:
                    score = (own_query * own_keys[j]).sum() / math.sqrt(d)
                    if setting.qk_norm:
                        lengths = torch.sqrt((own_query**2).sum() * (own_keys[j] ** 2).sum())
                        score = self[f"{name}.qk_norm.scale"] * (own_query * own_keys[j]).sum() / lengths
                    if self_attention and setting.positions == "t5":
                        table = self[f"{name.partition('.blocks.')[0]}.relative.table.weight"]
                        score = score + table[t5_bucket(j - i, causal=causal), h]
                    if self_attention and setting.positions == "alibi":
                        score = score - alibi_slope(h, setting.heads) * abs(i - j)
                    exponentials[j] = torch.exp(score)
                context = torch.zeros(d, dtype=torch.float64)
                for j, exponential in exponentials.items():
                    alpha = exponential / sum(exponentials.values())
                    weights[h, i, j] = alpha.detach()
                    context = context + alpha * values[j][group]
                contexts[i].append(context)
        return [torch.cat(heads) for heads in contexts], weights

    def self_attention(self, layer: str, xs: Vectors, *, causal: bool) -> tuple[Vectors, Tensor]:
        width, name, window = len(xs[0]), f"{layer}.self_attention", self.setting.window
        projected = [self.linear(f"{name}.queries_keys_values", x) for x in xs]
        shared = (len(projected[0]) - width) // 2
        queries, keys, values = zip(*(p.split([width, shared, shared]) for p in projected), strict=True)

        def may(i: int, j: int) -> bool:
            return (j <= i or not causal) and (window is None or abs(i - j) <= window)

        vectors = list(queries), list(keys), list(values)
        contexts, weights = self.attend(name, *vectors, may, self_attention=True, causal=causal)
        return [self.linear(f"{name}.output", context) for context in contexts], weights

    def cross_attention(self, layer: str, xs: Vectors, memory: Vectors) -> tuple[Vectors, Tensor]:
        name = f"{layer}.cross_attention"
        queries = [self.linear(f"{name}.queries", x) for x in xs]
        keys, values = zip(*(self.linear(f"{name}.keys_values", m).chunk(2) for m in memory), strict=True)
        vectors = queries, list(keys), list(values)
        contexts, weights = self.attend(name, *vectors, lambda i, j: True, self_attention=False)
        return [self.linear(f"{name}.output", context) for context in contexts], weights

    def feed_forward(self, layer: str, x: Tensor) -> Tensor:
        name, kind = f"{layer}.feed_forward", self.setting.activation
        if kind == "swiglu":  # Shazeer 2020, equation 6: (Swish(x W) * x V) W_2
            gate = self.linear(f"{name}.gate", x)
            return self.linear(f"{name}.down", gate * torch.sigmoid(gate) * self.linear(f"{name}.up", x))
        return self.linear(f"{name}.down", activated(self.linear(f"{name}.up", x), kind))

    def part(self, name: str, xs: Vectors, sublayer: Callable[[Vectors], Vectors]) -> Vectors:
        """A sublayer with its residual: norm(x + f(x)) (Vaswani et al. 2017, section 3.1), or x + f(norm(x))."""
        if self.setting.pre_norm:
            after = sublayer([self.normed(name, x) for x in xs])
            return [x + y for x, y in zip(xs, after, strict=True)]
        return [self.normed(name, x + y) for x, y in zip(xs, sublayer(xs), strict=True)]

    def blocks(
        self, prefix: str, xs: Vectors, *, causal: bool, memory: Vectors | None = None
    ) -> tuple[Vectors, list[Tensor]]:
        """All layers; and each one's weights, those of its cross-attention where there is one."""
        depth = len({name.removeprefix(prefix).split(".")[0] for name in self.parameters if name.startswith(prefix)})
        seen: list[Tensor] = []

        def noted(pair: tuple[Vectors, Tensor]) -> Vectors:
            seen.append(pair[1])
            return pair[0]

        for i in range(depth):
            layer = f"{prefix}{i}"
            xs = self.part(
                f"{layer}.self_attention_norm",
                xs,
                lambda ys, layer=layer: noted(self.self_attention(layer, ys, causal=causal)),
            )
            if memory is not None:
                seen.pop()
                xs = self.part(
                    f"{layer}.cross_attention_norm",
                    xs,
                    lambda ys, layer=layer: noted(self.cross_attention(layer, ys, memory)),
                )
            xs = self.part(
                f"{layer}.feed_forward_norm",
                xs,
                lambda ys, layer=layer: [self.feed_forward(layer, y) for y in ys],
            )
        return xs, seen

    def stack(
        self, name: str, xs: Vectors, *, causal: bool, memory: Vectors | None = None
    ) -> tuple[Vectors, list[Tensor]]:
        xs, weights = self.blocks(f"{name}.blocks.", xs, causal=causal, memory=memory)
        return [self.normed(f"{name}.final_norm", x) for x in xs] if self.setting.pre_norm else xs, weights

    def embed(self, name: str, tokens: list[int], *, scale: float) -> Vectors:
        xs = []
        for position, token in enumerate(tokens):
            x = self[f"{name}.tokens.weight"][token] * scale
            if self.setting.positions == "sinusoidal":
                x = x + sinusoid(position, len(x))
            elif self.setting.positions == "learned":
                x = x + self[f"{name}.positions.table.weight"][position]
            xs.append(x)
        if self.setting.embedding_norm and not name.startswith(("encoder", "decoder")):
            xs = [self.normed(f"{name}.norm", x) for x in xs]
        return xs

    def encode(self, source: list[int]) -> tuple[Vectors, list[Tensor]]:
        """What an encoder-decoder's encoder makes of a sentence, and its attention."""
        width = self["encoder.embedding.tokens.weight"].shape[1]
        xs = self.embed("encoder.embedding", source, scale=math.sqrt(width))
        return self.stack("encoder.stack", xs, causal=False)

    def decode(self, memory: Vectors, target: list[int]) -> tuple[Tensor, list[Tensor]]:
        """The logits of the token after each of `target`, [target, vocab], and each layer's cross-attention."""
        width = self["decoder.embedding.tokens.weight"].shape[1]
        xs = self.embed("decoder.embedding", target, scale=math.sqrt(width))
        xs, weights = self.stack("decoder.stack", xs, causal=True, memory=memory)
        return torch.stack([self.linear("decoder.output", x) for x in xs]), weights

    def masked(self, tokens: list[int]) -> tuple[Tensor, list[Tensor]]:
        """A masked language model's logits at each position; the norms and the head as in BERT's code."""
        xs = self.embed("embedding", tokens, scale=1.0)
        if not self.setting.pre_norm and not self.setting.embedding_norm:
            xs = [self.normed("embedding.norm", x) for x in xs]
        xs, weights = self.stack("stack", xs, causal=False)
        kind = "gelu" if self.setting.activation == "swiglu" else self.setting.activation
        xs = [self.normed("norm", activated(self.linear("dense", x), kind)) for x in xs]
        return torch.stack([self.linear("output", x) for x in xs]), weights

    def causal(self, tokens: list[int]) -> tuple[Tensor, list[Tensor]]:
        """A causal language model's logits of the token after each position of one document."""
        xs, weights = self.stack("stack", self.embed("embedding", tokens, scale=1.0), causal=True)
        return torch.stack([self.linear("output", x) for x in xs]), weights
