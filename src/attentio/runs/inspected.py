"""A text as a run translated, filled or read it, laid open: every layer and head, and what else was probable."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.capturing.capture import capture
from attentio.capturing.record import SeenAttention
from attentio.capturing.seen import Seen
from attentio.decoding.forced import shifted_right
from attentio.decoding.search import ASTRAY
from attentio.errors import AttentioError
from attentio.models.causal_lm import CausalLM
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.labeller import Labeller
from attentio.models.masked_lm import MaskedLM
from attentio.models.pointer import PointerEncoderDecoder
from attentio.models.protocols import LatentAttention
from attentio.page.document import Page
from attentio.page.evidence import NOTHING, Copied, Doubt, Evidence
from attentio.page.page import view
from attentio.page.walk import Walk, Words
from attentio.runs.asked import Asked
from attentio.runs.build import Tokenizers
from attentio.runs.evidence import evidence_of
from attentio.runs.outputs import Generated, Translation
from attentio.runs.vocabulary import suppressed_ids
from attentio.runs.walks import language_walks, translation_walks, words
from attentio.text.features import BETWEEN
from attentio.text.protocol import AnyTokenizer

LONGEST_WITH_PARTS = 256
"""Tokens up to which queries, keys, values and scores are kept too, and what was computed around them."""
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
    continued: how many of the tokens a causal language model went on with, at their end.
    target_tokens: those produced, the end token included; None where a text was only read.
    rows: of a language model, which rows of `seen` are the attention that produced each of target_tokens. None in a
        model that translates: row t of the decoder produced token t.
    decoder_tokens: what a decoder with a source had read before each of these.
    alternatives: for each of target_tokens the most probable tokens there, the likeliest first, and the one produced.
    walks: what was computed around the attention; None where the text is too long to keep it.
    evidence: what else is known of the output, as far as it was not too much work (`runs.evidence`).
    warnings: why the text may be wrong; the page says it in its own words, in the reader's language.
    """

    title: str
    text: str
    seen: Seen
    tokens: list[str]
    continued: int = 0
    target_tokens: list[str] | None = None
    rows: list[int] | None = None
    decoder_tokens: list[str] | None = None
    alternatives: list[list[Alternative]] | None = None
    walks: Sequence[Walk] | None = ()
    evidence: Evidence = NOTHING
    warnings: Sequence[str] = ()

    def __repr__(self) -> str:
        return f"Inspected({self.text!r}, {len(self.seen)} attentions; .page() shows them)"

    def _repr_html_(self) -> str:
        """For notebooks: its page."""
        return self.page()._repr_html_()

    def page(self, *, language: Literal["en", "ko"] | None = None) -> Page:
        """All of it as one HTML file, the rows that produced something first; see `attentio.view`."""
        seen = self.seen
        if self.rows and len(self.rows) < len(self.tokens):
            later = [replace(one, call=one.call + 1) for one in seen]
            seen = Seen([*(_rows(one, self.rows) for one in seen), *later], notes=seen.notes)
        return view(
            seen,
            self.tokens,
            target_tokens=self.target_tokens,
            decoder_tokens=self.decoder_tokens,
            alternatives=self.alternatives,
            walks=self.walks,
            evidence=self.evidence,
            title=self.title,
            language=language,
        )


def inspect_translation(
    model: EncoderDecoder,
    tokenizers: Tokenizers[AnyTokenizer],
    text: str,
    source_ids: Sequence[int],
    output: Translation,
    *,
    begin: int,
    each_step: Callable[[], None],
) -> Inspected:
    """The source and its translation, read once more: teacher-forced, which is the attention of the search.

    each_step: here and below, called before each reading; what it raises ends the call.
    """
    source = _row(model, source_ids)
    target = _row(model, output.ids)
    read = shifted_right(target, begin)
    inputs = source, torch.full_like(source[:, 0], source.shape[1]), read
    short = _short(source.shape[1] + target.shape[1])
    latent = isinstance(model, LatentAttention)  # which mixes no values: there is nothing to capture
    with torch.inference_mode(), nullcontext(Seen()) if latent else capture(model, parts=short) as seen:
        logits = model(*inputs)
    calls, read_tokens = seen.joined(), tokenizers.target.tokens(read[0].tolist())
    if latent:
        calls = Seen([_latent(output)])
    suppressed = suppressed_ids(tokenizers.target, logits.shape[-1], but=tokenizers.target.end)
    walks: list[Walk] | None = [] if latent else None
    asked = Asked(model, inputs, range(len(output.ids)), output.ids, suppressed, each_step)
    copied = _copied(model, asked, output) if isinstance(model, PointerEncoderDecoder) else None
    unknown = tokenizers.source.unknown
    if short and not latent:
        said = words(logits[0], output.ids, tokenizers.target, suppressed=suppressed)
        tokens = {"source_tokens": output.source_tokens, "read": read_tokens}
        walks = translation_walks(model, source, read, said, **tokens)
    return Inspected(
        title=f"{text.replace(BETWEEN, ' ')} → {output.text}",
        text=output.text,
        seen=Seen(list(calls), tokens=[output.source_tokens], target_tokens=[output.tokens], notes=calls.notes),
        tokens=output.source_tokens,
        target_tokens=output.tokens,
        decoder_tokens=read_tokens,
        warnings=output.warnings(),
        alternatives=_alternatives(logits[0], output.ids, tokenizers.target, suppressed=suppressed),
        walks=walks,
        evidence=replace(
            evidence_of(asked, calls, tokenizers.target, read_tokens, unknown=unknown, copied=copied),
            doubts=_doubts(output),
        ),
    )


def _doubts(output: Translation) -> list[Doubt]:
    """Its warnings, for the page."""
    found = []
    if output.unknown:
        first, *more = output.unknown
        where: dict[str, str | int] = {"text": first.text, "place": first.place}
        found.append(
            Doubt("notes.unknownForm", {**where, "known": first.known})
            if first.known
            else Doubt("notes.unknown", where)
        )
        if more:
            found.append(Doubt("notes.unknownMore", {"count": len(more)}))
    return found if output.finished else [*found, Doubt("notes.cut", {})]


def _latent(output: Translation) -> SeenAttention:
    """What the output tells of where the model looked."""
    assert output.attention is not None
    weights = output.attention[None, None].half()
    return SeenAttention(name="decoder", call=0, kind="cross", heads=(0,), weights=weights, keys=weights.shape[3])


def _copied(model: PointerEncoderDecoder, asked: Asked, output: Translation) -> list[Copied]:
    """How probable copying was at each step, and from where the token said may come."""
    assert output.copied is not None
    with torch.inference_mode():
        source, lengths, read = asked.inputs
        (chances,) = model.copied_from(source, lengths, read, _row(model, output.ids))
    places = [[(place, float(row[place])) for place in row.nonzero()[:, 0].tolist()] for row in chances.cpu()]
    return [Copied(*each) for each in zip(output.copied, places, strict=True)]


def inspect_filling(
    model: MaskedLM,
    tokenizer: AnyTokenizer,
    text: str,
    ids: Sequence[int],
    filled: str | None,
    *,
    each_step: Callable[[], None],
) -> Inspected:
    """A text, which may have holes, as a masked language model reads it.

    ids: of the text, as the model reads it. filled: the text with the best token in each hole; None without holes.
    """
    holes = [place for place, token in enumerate(ids) if token == tokenizer.mask]
    lengths = torch.full_like(_row(model, ids)[:, 0], len(ids))
    seen, tokens, logits = _read(model, tokenizer, ids, lengths)
    suppressed = suppressed_ids(tokenizer, logits.shape[-1])
    inputs = _row(model, ids), lengths
    if filled is None:
        asked = Asked(model, inputs, range(len(ids)), ids, suppressed, each_step)
        evidence = evidence_of(asked, seen, tokenizer, tokens, unknown=None, produced=False)
        walks = _walks(model, ids, tokens)
        return Inspected(title=text, text=text, seen=seen, tokens=tokens, walks=walks, evidence=evidence)
    best = _probabilities(logits[holes], suppressed).argmax(1).tolist()
    return Inspected(
        title=f"{text} → {filled}",
        text=filled,
        seen=seen,
        tokens=tokens,
        target_tokens=tokenizer.tokens(best),
        rows=holes,
        alternatives=_alternatives(logits[holes], best, tokenizer, suppressed=suppressed),
        evidence=evidence_of(
            Asked(model, inputs, holes, best, suppressed, each_step),
            seen,
            tokenizer,
            [tokens[hole] for hole in holes],
            unknown=tokenizer.mask,
        ),
        walks=_walks(model, ids, tokens, holes, words(logits[holes], best, tokenizer, suppressed=suppressed)),
    )


def inspect_labels(
    model: Labeller,
    tokenizers: Tokenizers[AnyTokenizer],
    text: str,
    ids: Sequence[int],
    places: Sequence[int],
    labels: str,
    *,
    each_step: Callable[[], None],
) -> Inspected:
    """A text as a labeller reads it.

    ids: of the text, as the model reads it. places: of those at which it is asked for a label. labels: that it gets.
    """
    lengths = torch.full_like(_row(model, ids)[:, 0], len(ids))
    seen, tokens, logits = _read(model, tokenizers.source, ids, lengths)
    suppressed = suppressed_ids(tokenizers.target, logits.shape[-1])
    said = _probabilities(logits[list(places)], suppressed).argmax(1).tolist()
    asked = Asked(model, (_row(model, ids), lengths), places, said, suppressed, each_step)
    read = [tokens[at] for at in places]
    return Inspected(
        title=f"{text} → {labels}",
        text=labels,
        seen=seen,
        tokens=tokens,
        walks=_walks(model, ids, tokens),
        evidence=evidence_of(asked, seen, tokenizers.target, read, unknown=None, produced=False),
    )


def inspect_continuation(
    model: CausalLM,
    tokenizer: AnyTokenizer,
    text: str,
    prompt: Sequence[int],
    output: Generated | None,
    *,
    each_step: Callable[[], None],
) -> Inspected:
    """A text as a causal language model reads it, and with `output` how it goes on. prompt: the ids of the text."""
    if output is None:
        seen, tokens, logits = _read(model, tokenizer, prompt)
        suppressed = suppressed_ids(tokenizer, logits.shape[-1], but=tokenizer.end)
        asked = Asked(model, (_row(model, prompt),), range(len(prompt) - 1), prompt[1:], suppressed, each_step)
        evidence = NOTHING
        if asked.said:
            evidence = evidence_of(asked, seen, tokenizer, tokens[:-1], unknown=None, produced=False)
        walks = _walks(model, prompt, tokens)
        return Inspected(title=text, text=text, seen=seen, tokens=tokens, walks=walks, evidence=evidence)
    ids = [*prompt, *output.ids[:-1]]
    seen, tokens, logits = _read(model, tokenizer, ids)
    rows = list(range(len(prompt) - 1, len(tokens)))
    suppressed = suppressed_ids(tokenizer, logits.shape[-1], but=tokenizer.end)
    return Inspected(
        title=output.text,
        text=output.text,
        seen=seen,
        tokens=tokens,
        continued=len(tokens) - len(prompt),
        target_tokens=output.tokens,
        rows=rows,
        alternatives=_alternatives(logits[rows], output.ids, tokenizer, suppressed=suppressed),
        evidence=evidence_of(
            Asked(model, (_row(model, ids),), rows, output.ids, suppressed, each_step),
            seen,
            tokenizer,
            [tokens[row] for row in rows],
            unknown=tokenizer.unknown,
        ),
        walks=_walks(model, ids, tokens, rows, words(logits[rows], output.ids, tokenizer, suppressed=suppressed)),
    )


def _read(
    model: nn.Module, tokenizer: AnyTokenizer, ids: Sequence[int], *lengths: Int[Tensor, "1"]
) -> tuple[Seen, list[str], Float[Tensor, "length vocab"]]:
    """The attention of a language model that reads a text, the text's tokens, and the logits.

    Raises:
        AttentioError: no probabilities come of the logits: they are NaN or infinite.
    """
    with torch.inference_mode(), capture(model, parts=_short(len(ids))) as seen:
        logits = model(_row(model, ids), *lengths)
    if not logits.logsumexp(-1).isfinite().all():
        raise AttentioError(f"the model's logits are not finite; {ASTRAY}")
    tokens = tokenizer.tokens(ids)
    return Seen(list(seen), tokens=[tokens], notes=seen.notes), tokens, logits[0]


def _walks(
    model: CausalLM | MaskedLM | Labeller,
    ids: Sequence[int],
    tokens: list[str],
    rows: list[int] | None = None,
    said: Words | None = None,
) -> list[Walk] | None:
    """In the order of the page's attentions: first of the rows at which something was said, then of all."""
    row = _row(model, ids)
    if not _short(len(ids)):
        return None
    if rows is None or len(rows) == len(ids):
        return language_walks(model, row, tokens, said=said)
    later = [replace(walk, call=walk.call + 1) for walk in language_walks(model, row, tokens)]
    return [*language_walks(model, row, tokens, rows=rows, said=said), *later]


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


def _probabilities(logits: Float[Tensor, "rows vocab"], suppressed: list[int]) -> Float[Tensor, "rows vocab"]:
    """Probabilities, -1 for what never stands there."""
    probabilities = logits.softmax(-1, dtype=torch.float32)
    return probabilities.index_fill(1, torch.tensor(suppressed, device=logits.device), -1.0)


def _alternatives(
    logits: Float[Tensor, "target vocab"], produced: Sequence[int], tokenizer: AnyTokenizer, *, suppressed: list[int]
) -> list[list[Alternative]]:
    probabilities = _probabilities(logits, suppressed)
    best = probabilities.topk(min(ALTERNATIVES, logits.shape[1] - len(suppressed))).indices.tolist()
    found = []
    for row, (ids, chosen) in enumerate(zip(best, produced, strict=True)):
        listed = ids if chosen in ids else [*ids, chosen]
        tokens = tokenizer.tokens(listed)
        found.append([Alternative(*each) for each in zip(tokens, probabilities[row, listed].tolist(), strict=True)])
    return found
