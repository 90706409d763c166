"""Models that decode with a cache of their own kind, and models that only seem to: healthy, broken, without a cache."""

from collections.abc import Callable
from typing import Any

import torch
from decoding_mistakes import Cached, CacheTurned, PlacesBeginAgain
from sequence_models import VOCABULARY, WIDTH, Case, Decoder, causal_mask, rows
from torch import Tensor, nn


def behind_kwargs(kind: type[nn.Module]) -> nn.Module:
    """Its forward has no parameter with a name."""

    class Hidden(kind):  # type: ignore[valid-type,misc]
        def forward(self, **kwargs: Any) -> Any:
            return super().forward(**kwargs)

    return Hidden()


def decorated(kind: type[nn.Module]) -> nn.Module:
    """Its forward is wrapped by a decorator that keeps no signature."""

    def logged(forward: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: forward(*args, **kwargs)

    class Logged(kind):  # type: ignore[valid-type,misc]
        forward = logged(kind.forward)

    return Logged()


def in_a_tuple(kind: type[Cached]) -> nn.Module:
    """Returns (logits, cache) and takes it back as `past`."""

    class InATuple(kind):  # type: ignore[valid-type,misc]
        def forward(self, tokens: Tensor, past: Any = None) -> tuple[Tensor, Any]:
            return tuple(super().forward(tokens, past, True))

    return InATuple()


def under_another_name(kind: type[Cached]) -> nn.Module:
    """Returns `seen_so_far` and takes it back as `earlier`, beside states that look like a cache."""

    class Renamed(kind):  # type: ignore[valid-type,misc]
        def forward(self, tokens: Tensor, earlier: Any = None) -> dict[str, Any]:
            logits, cache = super().forward(tokens, earlier, True)
            states = tuple(block[:, -tokens.shape[1] :] for block in cache)
            return {"hidden_states": states, "logits": logits, "seen_so_far": cache}

    return Renamed()


class Memory:
    """The inputs of each block so far; grows in place."""

    def __init__(self) -> None:
        self.kept: list[Tensor] = []


class InPlace(Decoder):
    """Writes into the memory that it is given; `forgets` keeps no more than the last few inputs."""

    def __init__(self, *, forgets: bool = False) -> None:
        super().__init__()
        self.most = 3 if forgets else 40

    def forward(
        self, tokens: Tensor, memory: Memory | None = None, use_cache: bool = False
    ) -> Tensor | tuple[Any, ...]:
        memory = Memory() if memory is None else memory
        first = not memory.kept
        past = 0 if first else memory.kept[0].shape[1]
        hidden = self.reader.tokens(tokens) + self.reader.places(torch.arange(past, past + tokens.shape[1]))
        for i, block in enumerate(self.blocks):
            normed = block.first_norm(hidden)
            seen = normed if first else torch.cat([memory.kept[i], normed], dim=1)
            memory.kept[i : i + 1] = [seen[:, -self.most :]]
            hidden = hidden + block.attend(normed, seen, causal_mask(hidden.shape[1], seen.shape[1]))
            hidden = hidden + block.feed_forward(block.second_norm(hidden))
        logits = self.read_out(hidden)
        return (logits, memory) if use_cache else logits


class Recurrent(nn.Module):
    """Hands its state on; `late` hands on the one before."""

    def __init__(self, *, late: bool = False) -> None:
        super().__init__()
        self.tokens, self.gru = nn.Embedding(VOCABULARY, WIDTH), nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.read_out, self.late = nn.Linear(WIDTH, VOCABULARY), late

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        outputs, last = self.gru(self.tokens(tokens), state)
        if self.late and tokens.shape[1] > 1:
            last = outputs[:, -2].unsqueeze(0)
        return self.read_out(outputs), last.contiguous()


class MaskedRecurrent(Recurrent):
    """Wants to know what is real of the tokens that it is given, not of those before."""

    def forward(self, tokens: Tensor, attention_mask: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        assert attention_mask.shape == tokens.shape
        return super().forward(tokens, state)


class Swallows(Decoder):
    """Has no cache: returns its hidden states, takes any keyword, and uses none."""

    def forward(self, tokens: Tensor, **kwargs: Any) -> dict[str, Any]:
        hidden, states = self.reader(tokens), []
        for block in self.blocks:
            hidden = block(hidden, self.mask(tokens.shape[1]))
            states.append(hidden)
        return {"logits": self.read_out(hidden), "hidden_states": tuple(states)}


class Styled(Decoder):
    """Has no cache: returns a summary of the row, and takes one of another row as a style."""

    def forward(self, tokens: Tensor, style: Tensor | None = None) -> tuple[Tensor, Tensor]:
        hidden = self.reader(tokens) if style is None else self.reader(tokens) + style[:, None]
        for block in self.blocks:
            hidden = block(hidden, self.mask(tokens.shape[1]))
        return self.read_out(hidden), hidden[:, -1]


def case(model: nn.Module) -> Case:
    return Case(model, {"tokens": rows(11, 11)[0]})


HEALTHY: dict[str, Callable[[], Case]] = {
    "behind-kwargs": lambda: case(behind_kwargs(Cached)),
    "behind-a-decorator": lambda: case(decorated(Cached)),
    "in-a-tuple": lambda: case(in_a_tuple(Cached)),
    "under-another-name": lambda: case(under_another_name(Cached)),
    "in-place": lambda: case(InPlace()),
    "recurrent": lambda: case(Recurrent()),
}
CACHED_DIFFERS: dict[str, Callable[[], Case]] = {
    "behind-kwargs, places begin again": lambda: case(behind_kwargs(PlacesBeginAgain)),
    "behind-a-decorator, places begin again": lambda: case(decorated(PlacesBeginAgain)),
    "in-a-tuple, keys overwritten": lambda: case(in_a_tuple(CacheTurned)),
    "under-another-name, places begin again": lambda: case(under_another_name(PlacesBeginAgain)),
    "under-another-name, keys overwritten": lambda: case(under_another_name(CacheTurned)),
    "in-place, keys dropped": lambda: case(InPlace(forgets=True)),
    "recurrent, state of the position before": lambda: case(Recurrent(late=True)),
}
