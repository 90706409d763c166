"""How a model without recurrence knows where a token stands."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.attention.transforms import writing_onnx
from attentio.devices import as_float64
from attentio.errors import AttentioError


class SinusoidalPositions(nn.Module):
    """PE(p, i) = sin(p / 10000^(2i/d)),  PE(p, d/2 + i) = cos(p / 10000^(2i/d)),  0 <= i < d/2

    Vaswani et al. 2017, section 3.5, where sines and cosines take turns; here the sines come first, as in the
    authors' code and Marian. It is the same but for the order of the features. Nothing is learnt.
    """

    table: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"width must be even for sinusoidal positions, got {width}")
        self.width = width
        self.register_buffer("table", sinusoids(64, width).to(torch.get_default_dtype()), persistent=False)

    def forward(self, positions: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch width"]:
        """The vector of each position, counted from 0."""
        longest = int(positions.max()) + 1 if positions.numel() and not writing_onnx() else 0
        if longest > len(self.table):
            self.reach(2 * longest)
        return self.table[positions]

    def reach(self, count: int) -> None:
        """Hold the vectors of at least so many positions; of more, they are made when they are asked for."""
        if count > len(self.table):
            self.table = self._as_table(sinusoids(count, self.width))

    def _apply(self, fn: Any, recurse: bool = True) -> "SinusoidalPositions":
        """A change of dtype computes the table anew, so that a float64 model does not carry float32's rounding."""
        super()._apply(fn, recurse)
        self.table = self._as_table(sinusoids(len(self.table), self.width))
        return self

    def _as_table(self, sines: Tensor) -> Tensor:
        return sines.to(self.table.dtype).to(self.table.device)  # not float64, which the device may lack


def sinusoids(count: int, width: int) -> Float[Tensor, "count width"]:
    """The first `count` rows of `SinusoidalPositions` in float64."""
    frequencies = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(count, dtype=torch.float64)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class LearnedPositions(nn.Module):
    """A learnt vector for each of the first `count` positions (Gehring et al. 2017; BERT, GPT-2)."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(count, width)

    def forward(self, positions: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch width"]:
        """The vector of each position, counted from 0.

        Raises:
            AttentioError: a position that was never learnt.
        """
        self.check(int(positions.max()) + 1 if positions.numel() and not writing_onnx() else 0)
        return self.table(positions)

    def check(self, length: int) -> None:
        """AttentioError for a sequence of more tokens than positions were learnt."""
        if length > self.table.num_embeddings:
            raise AttentioError(
                f"a sequence of {length} tokens, and the model has learnt {self.table.num_embeddings} positions; "
                f"shorten it, or train with a larger model.transformer.max_length"
            )


class Rotation(NamedTuple):
    """cos and sin of the angles by which queries and keys at some positions are turned."""

    cos: Float[Tensor, "... positions d"]
    sin: Float[Tensor, "... positions d"]

    def turn(self, vectors: Float[Tensor, "batch heads positions d"]) -> Float[Tensor, "batch heads positions d"]:
        """Features i and i + d/2 as the two axes of a plane, turned by their angle."""
        first, second = vectors.chunk(2, dim=-1)
        turned = vectors * self.cos + torch.cat([-second, first], dim=-1) * self.sin
        return turned.to(vectors.dtype)


class RotaryPositions(nn.Module):
    """Queries and keys are turned by an angle that grows with their position; their dot product then depends on
    their distance.

        angle(p, i) = p * 10000^(-2i/d)    in the plane of features i and i + d/2, 0 <= i < d/2

    Su et al. 2021 (RoFormer), section 3.2.2, where neighbouring features 2i and 2i + 1 make a plane; pairing the two
    halves is the same but for the order of the features, and what Llama does.
    """

    def __init__(self, head_features: int) -> None:
        super().__init__()
        if head_features % 2:
            raise ValueError(f"heads must have an even number of features for rotary positions, got {head_features}")
        self.head_features = head_features

    def forward(self, positions: Int[Tensor, "*batch positions"], dtype: torch.dtype) -> Rotation:
        """The rotation at these positions, ready for heads on the axis before the positions."""
        places = as_float64(positions)
        features = torch.arange(0, self.head_features, 2, dtype=torch.float64, device=places.device)
        angles = places.unsqueeze(-1) * 10000.0 ** (-features / self.head_features)
        angles = torch.cat([angles, angles], dim=-1)
        if angles.ndim == 3:
            angles = angles.unsqueeze(1)
        return Rotation(*(turned.to(dtype).to(positions.device) for turned in (angles.cos(), angles.sin())))


def alibi_slopes(heads: int) -> Float[Tensor, "heads"]:
    """How steeply each head's scores fall with distance: 2^(-8/n), 2^(-16/n), .. for n heads.

    For n not a power of two: those of the next lower power m, then every other one of 2m's.

    Press et al. 2022 (ALiBi), section 3 and its code.
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    slopes += [2 ** (-4 * (2 * i + 1) / power) for i in range(heads - power)]
    return torch.tensor(slopes)


def alibi(
    query_positions: Int[Tensor, "*batch q"], key_positions: Int[Tensor, "*batch k"], heads: int
) -> Float[Tensor, "*batch heads q k"]:
    """The bias -slope * |distance| for every head; backward distances are the only ones a causal mask leaves."""
    distance = (query_positions.unsqueeze(-1) - key_positions.unsqueeze(-2)).abs()
    return -alibi_slopes(heads).to(distance.device)[:, None, None] * distance.unsqueeze(-3)


class RelativePositions(nn.Module):
    """A learnt bias of the scores for each head and each bucket of distances, the same in all blocks of a stack.

    Of 32 buckets, half are for keys after the query where there may be such, and of those of one direction half have
    one distance each; the others grow with the logarithm of the distance, up to 128, and the last has all beyond.

    Raffel et al. 2020 (T5), section 2.1, and its code. There the dot products are not scaled; here they are, as in any
    other Transformer. std: of the first weights.
    """

    def __init__(self, heads: int, *, causal: bool, std: float) -> None:
        super().__init__()
        self.causal = causal
        self.table = nn.Embedding(BUCKETS, heads)
        nn.init.normal_(self.table.weight, std=std)

    def forward(
        self, query_positions: Int[Tensor, "*batch q"], key_positions: Int[Tensor, "*batch k"]
    ) -> Float[Tensor, "*batch heads q k"]:
        """The bias of each query and key."""
        buckets = relative_buckets(key_positions.unsqueeze(-2) - query_positions.unsqueeze(-1), causal=self.causal)
        return self.table(buckets).movedim(-1, -3)


BUCKETS, FARTHEST = 32, 128


def relative_buckets(distance: Int[Tensor, "*batch q k"], *, causal: bool) -> Int[Tensor, "*batch q k"]:
    """The number of the bucket of each distance, that from the query to the key; in float32, as T5 was trained."""
    if causal:
        buckets, first, away = BUCKETS, torch.zeros_like(distance), (-distance).clamp(min=0)
    else:
        buckets = BUCKETS // 2
        first, away = (distance > 0) * buckets, distance.abs()
    exact = buckets // 2
    growth = (away.clamp(min=1).float() / exact).log() / math.log(FARTHEST / exact)
    far = (exact + (growth * (buckets - exact)).long()).clamp(max=buckets - 1)
    return first + torch.where(away < exact, away, far)
