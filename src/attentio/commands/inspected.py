"""A text as a run translated, filled or read it, laid open: every layer and head, and what else was probable."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.commands.language import AnyTokenizer, never_said
from attentio.decoding.forced import shifted_right
from attentio.inspection.capture import capture
from attentio.inspection.page.page import Page, view
from attentio.inspection.seen import Seen, SeenAttention
from attentio.models.masked_lm import MaskedLM

if TYPE_CHECKING:
    from attentio.commands.causal_run import CausalRun, Generated
    from attentio.commands.masked_run import MaskedRun
    from attentio.commands.run import Run, Translation

LONGEST_WITH_PARTS = 256
"""Tokens up to which queries, keys, values and scores are kept too."""
ALTERNATIVES = 5


class Alternative(NamedTuple):
    """What might stand in a place, and the probability that the model gives it, of its whole vocabulary."""

    token: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """What a model did with a text.

    text: what came out: the translation, the text with its holes filled, or the text and how it goes on.
    seen: the attention of one sequence.
    tokens: at the keys; of a model that translates, those of the source.
    target_tokens: those produced, the end token included; None where a text was only read.
    rows: of a language model, which rows of `seen` are the attention that produced each of target_tokens. None in a
        model that translates: row t of the decoder produced token t.
    decoder_tokens: what a decoder with a source had read before each of these.
    alternatives: for each of target_tokens the most probable tokens there, the likeliest first, and the one produced.
    """

    title: str
    text: str
    seen: Seen
    tokens: list[str]
    target_tokens: list[str] | None = None
    rows: list[int] | None = None
    decoder_tokens: list[str] | None = None
    alternatives: list[list[Alternative]] | None = None

    def page(self, *, language: Literal["en", "ko"] | None = None) -> Page:
        """All of it as one HTML file, the rows that produced something first; see `attentio.view`."""
        seen = self.seen
        if self.rows and len(self.rows) < len(self.tokens):
            later = [replace(one, call=one.call + 1) for one in seen]
            seen = Seen([*(_rows(one, self.rows) for one in seen), *later])
        return view(
            seen,
            self.tokens,
            target_tokens=self.target_tokens,
            decoder_tokens=self.decoder_tokens,
            alternatives=self.alternatives,
            title=self.title,
            language=language,
        )


def inspect_translation(run: "Run", text: str, output: "Translation") -> Inspected:
    """The source and its translation, read once more: teacher-forced, which is the attention of the search."""
    tokenizers = run.tokenizers
    source = _row(run.model, [*tokenizers.source.encode(text), tokenizers.source.end])
    target = _row(run.model, output.ids)
    read = shifted_right(target, tokenizers.target.begin)
    short = _short(source.shape[1] + target.shape[1])
    with torch.inference_mode(), capture(run.model, parts=short) as seen:
        logits = run.model(source, torch.full_like(source[:, 0], source.shape[1]), read)
    calls = seen.joined()
    never = never_said(tokenizers.target, logits.shape[-1], but=tokenizers.target.end)
    return Inspected(
        title=f"{text} → {output.text}",
        text=output.text,
        seen=Seen(list(calls), tokens=[output.source_tokens], target_tokens=[output.tokens]),
        tokens=output.source_tokens,
        target_tokens=output.tokens,
        decoder_tokens=tokenizers.target.tokens(read[0].tolist()),
        alternatives=_alternatives(logits[0], output.ids, tokenizers.target, never=never),
    )


def inspect_filling(run: "MaskedRun", text: str) -> Inspected:
    """A text, which may have holes, as a masked language model reads it."""
    ids = run.encode(text)
    holes = [place for place, token in enumerate(ids) if token == run.mask]
    seen, tokens, logits = _read(run, ids)
    filled = run.fill(text, top=1)[0][0].text if holes else text
    never = never_said(run.tokenizer, logits.shape[-1])
    best = _chances(logits[holes], never).argmax(1).tolist()
    return Inspected(
        title=f"{text} → {filled}" if holes else text,
        text=filled,
        seen=seen,
        tokens=tokens,
        target_tokens=run.tokenizer.tokens(best) if holes else None,
        rows=holes or None,
        alternatives=_alternatives(logits[holes], best, run.tokenizer, never=never) if holes else None,
    )


def inspect_continuation(run: "CausalRun", text: str, output: "Generated | None") -> Inspected:
    """A text as a causal language model reads it, and with `output` how it goes on."""
    prompt = run.encode(text)
    if output is None:
        seen, tokens, _ = _read(run, prompt)
        return Inspected(title=text, text=text, seen=seen, tokens=tokens)
    seen, tokens, logits = _read(run, [*prompt, *output.ids[:-1]])
    rows = list(range(len(prompt) - 1, len(tokens)))
    never = never_said(run.tokenizer, logits.shape[-1], but=run.tokenizer.end)
    return Inspected(
        title=output.text,
        text=output.text,
        seen=seen,
        tokens=tokens,
        target_tokens=output.tokens,
        rows=rows,
        alternatives=_alternatives(logits[rows], output.ids, run.tokenizer, never=never),
    )


def _read(run: "MaskedRun | CausalRun", ids: Sequence[int]) -> tuple[Seen, list[str], Float[Tensor, "length vocab"]]:
    """The attention of a language model that reads a text, the text's tokens, and the logits."""
    row = _row(run.model, ids)
    lengths = [torch.full_like(row[:, 0], row.shape[1])] if isinstance(run.model, MaskedLM) else []
    with torch.inference_mode(), capture(run.model, parts=_short(row.shape[1])) as seen:
        logits = run.model(row, *lengths)
    tokens = run.tokenizer.tokens(ids)
    return Seen(list(seen), tokens=[tokens]), tokens, logits[0]


def _row(model: nn.Module, ids: Sequence[int]) -> Int[Tensor, "1 length"]:
    return torch.tensor([ids], device=next(model.parameters()).device)


def _short(length: int) -> bool:
    return length <= LONGEST_WITH_PARTS


def _rows(one: SeenAttention, rows: list[int]) -> SeenAttention:
    """Only these queries."""
    q = one.weights.shape[2]

    def picked(tensor: Tensor | None) -> Tensor | None:
        return tensor if tensor is None or tensor.shape[-2] != q else tensor[..., rows, :]

    weights = one.weights[:, :, rows]
    query, scores, allowed = picked(one.query), picked(one.scores), picked(one.allowed)
    return replace(one, weights=weights, q_start=one.q_start + rows[0], query=query, scores=scores, allowed=allowed)


def _chances(logits: Float[Tensor, "rows vocab"], never: list[int]) -> Float[Tensor, "rows vocab"]:
    """Probabilities, -1 for what never stands there."""
    chances = logits.softmax(-1, dtype=torch.float32)
    return chances.index_fill(1, torch.tensor(never, device=logits.device), -1.0)


def _alternatives(
    logits: Float[Tensor, "target vocab"], produced: Sequence[int], tokenizer: AnyTokenizer, *, never: list[int]
) -> list[list[Alternative]]:
    chances = _chances(logits, never)
    best = chances.topk(min(ALTERNATIVES, logits.shape[1] - len(never))).indices.tolist()
    found = []
    for row, (ids, chosen) in enumerate(zip(best, produced, strict=True)):
        listed = ids if chosen in ids else [*ids, chosen]
        tokens = tokenizer.tokens(listed)
        found.append([Alternative(*each) for each in zip(tokens, chances[row, listed].tolist(), strict=True)])
    return found
