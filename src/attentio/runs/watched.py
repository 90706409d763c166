"""A few examples of dev whose attention is kept at each validation, so that it can be seen how it forms.

A run's folder `watched` holds a directory for each validation, step-000150, in the format of captured attention
(docs/attention-format.md). What is said of a pair is its right target, so that all of them have the same rows.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor, nn

from attentio.capturing.capture import capture
from attentio.capturing.record import SeenAttention
from attentio.capturing.seen import Seen
from attentio.data.batches import pad_rows
from attentio.errors import AttentioError
from attentio.models.protocols import LatentAttention
from attentio.text.protocol import AnyTokenizer

FOLDER = "watched"
LONGEST = 64
"""Tokens of an example, on each side."""
MOST = 64
"""Validations of which it is kept, about: of longer trainings it is of every second one, every fourth, .."""
LARGEST = 2**24
"""Bytes of all weights together, about; where those of one validation are many, fewer are kept."""
_STEP = re.compile(r"step-[0-9]{6,18}")


class Fixed(NamedTuple):
    """Examples that a model reads at each validation.

    inputs: of the model. tokens, target_tokens: of each example; target_tokens is None where a text is only read.
    labels: what is said, where there is a target.
    """

    inputs: tuple[Tensor, ...]
    tokens: list[list[str]]
    target_tokens: list[list[str]] | None = None
    labels: Int[Tensor, "batch target"] | None = None


def fixed_rows(rows: Iterable[Sequence[int]], tokenizer: AnyTokenizer, *, count: int, lengths: bool) -> Fixed:
    """The beginnings of some texts. lengths: whether the model takes them."""
    few = [[*row[:LONGEST]] for row in islice(rows, count)]
    of_each = (torch.tensor([len(row) for row in few]),) if lengths else ()
    return Fixed((pad_rows(few), *of_each), [tokenizer.tokens(row) for row in few])


class Watched:
    """Writes into the folder of a run. every: updates from one validation to the next.

    after: where training goes on; what a run that was killed has written after it is dropped.
    """

    def __init__(self, run: Path, model: nn.Module, fixed: Fixed, *, every: int, after: int) -> None:
        self.folder, self.model, self.fixed, self.every = run / FOLDER, model, fixed, every
        for step, path in _kept(self.folder):
            if step > after:
                shutil.rmtree(path)

    def __call__(self, step: int) -> None:
        """Keep the attention as it is now. The model is in eval mode, and no gradients are wanted."""
        seen, fixed = self._seen(), self.fixed
        beside, final = self.folder / ".saving", self.folder / f"step-{step:06d}"
        shutil.rmtree(beside, ignore_errors=True)
        Seen(list(seen), tokens=fixed.tokens, target_tokens=fixed.target_tokens, notes=seen.notes).save(beside)
        if final.exists():  # written before a crash
            shutil.rmtree(final)
        os.replace(beside, final)
        size = sum(2 * one.weights.numel() for one in seen)
        most, apart = min(MOST, max(2, LARGEST // size)), self.every
        while step > most * apart:
            apart *= 2
        for other, path in _kept(self.folder):
            if other % apart and other != step:
                shutil.rmtree(path)

    def _seen(self) -> Seen:
        device = next(self.model.parameters()).device
        inputs = tuple(each.to(device) for each in self.fixed.inputs)
        if isinstance(self.model, LatentAttention):  # which mixes no values: there is nothing to capture
            assert self.fixed.labels is not None
            assert self.fixed.target_tokens is not None
            (source, lengths, read), labels = inputs, self.fixed.labels.to(device)
            ends = torch.tensor([len(tokens) for tokens in self.fixed.target_tokens], device=device)
            asked = torch.arange(labels.shape[1], device=device) < ends[:, None]
            weights = self.model.posterior(source, lengths, read, labels, asked)[:, None].half().cpu()
            name, keys = "decoder.transitions", weights.shape[3]
            return Seen([SeenAttention(name=name, call=0, kind="cross", heads=(0,), weights=weights, keys=keys)])
        with capture(self.model) as seen:
            self.model(*inputs)
        return seen.joined()


def over_time(run: Path, called: str | Path) -> list[tuple[int, Seen]]:
    """What was kept, by updates. AttentioError, which calls the run so, where nothing was."""
    found = [(step, Seen.load(path)) for step, path in _kept(run / FOLDER)]
    if not found:
        raise AttentioError(f"{called} has no attention over time; train another run with --training.watch 3")
    return found


def _kept(folder: Path) -> Iterator[tuple[int, Path]]:
    paths = [path for path in folder.glob("step-*") if _STEP.fullmatch(path.name) and path.is_dir()]
    yield from sorted((int(path.name.removeprefix("step-")), path) for path in paths)
