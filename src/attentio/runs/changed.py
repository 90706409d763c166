"""A text of which one token is changed: what a run then says, and how probable what it said before still is."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.attention.mask import Mask, keep
from attentio.data.labelled import WordRow
from attentio.data.lines import check_text
from attentio.decoding.forced import forced_steps
from attentio.errors import AttentioError
from attentio.layers.local import LocalAttention
from attentio.models.causal_lm import CausalLM
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.hard import HardDecoder
from attentio.models.labeller import Labeller
from attentio.models.masked_lm import MaskedLM
from attentio.models.memory import Memory
from attentio.models.pointer import PointerDecoder
from attentio.models.recurrent import RecurrentDecoder
from attentio.runs.build import Tokenizers
from attentio.runs.fields import LONGEST_TEXT, Fields
from attentio.runs.outputs import Translation
from attentio.runs.vocabulary import check_known, suppressed_ids
from attentio.text.protocol import AnyTokenizer

How = Literal["erase", "hide", "replace"]
HOWS: tuple[How, ...] = get_args(How)
LONGEST_TOKEN = 200
"""Characters that a request may put in a token's place."""


@dataclass(frozen=True)
class Change:
    """A change of one token of what a model reads.

    place: of the token, from 0, among all that are read, such as </s>.
    how: "erase": nothing but the token itself may attend to it, in any layer and head (of a model that translates, the
        decoder may not; its encoder has read the token). "hide": the unknown token stands there, and in a masked
        language model [MASK]. "replace": `token` stands there.

    >>> at.Change(3, "replace", "m")
    Change(place=3, how='replace', token='m')
    """

    place: int
    how: How
    token: str = ""


@dataclass(frozen=True)
class Said:
    """What a model says of a text.

    tokens: said one by one, an end token with them; of a masked language model what stands in the holes, of a labeller
        the labels. probabilities: that the model gives to each.

    >>> at.load("dates-luong").change("14 March 2026", at.Change(3, "erase")).before
    Said(text='2026-03-14', tokens=['2', ...], probabilities=[0.9..., ...])
    """

    text: str
    tokens: list[str]
    probabilities: list[float]


@dataclass(frozen=True)
class Changed:
    """What a change does.

    read, read_after: the tokens that the model reads, before and after. before, after: what it says.
    still: the probability of each token of `before`, said after the same tokens, once the change is made.

    >>> change = at.Change(3, "erase")
    >>> changed = at.load("dates-luong").change("14 March 2026", change)
    >>> changed.read == changed.read_after, changed.read[change.place]
    (True, 'M')
    >>> changed
    Changed('2026-03-14' → '...')
    """

    read: list[str]
    read_after: list[str]
    before: Said
    after: Said
    still: list[float]

    def __repr__(self) -> str:
        return f"Changed({self.before.text!r} → {self.after.text!r})"


def asked_change(fields: Fields) -> tuple[str, Change]:
    """The text and its change that a request asks for; AttentioError for a field that is wrong."""
    text = fields.checked_text()
    place, how = fields.place("place", most=LONGEST_TEXT), fields.choice("how", *HOWS)
    token = fields.text("token", "", most=LONGEST_TOKEN)
    fields.end()
    if token and how != "replace":
        raise AttentioError(f"token is what stands there with how replace; leave it out with {how}")
    return text, Change(place, cast(How, how), token)


def read_changed(
    ids: Sequence[int],
    change: Change,
    tokenizer: AnyTokenizer,
    *,
    stand_in: int | None,
    encode: Callable[[str], list[int]],
) -> list[int]:
    """The ids that are read once the change is made. stand_in: what stands where a token is hidden.

    Raises AttentioError for a place that there is not, and a token that cannot be changed in this way.
    """
    at = change.place
    if not 0 <= at < len(ids):
        raise AttentioError(f"place must be from 0 to {len(ids) - 1}, as {len(ids)} tokens are read; got {at}")
    if change.how == "erase":
        return [*ids]
    fixed = {*tokenizer.special_ids} - {tokenizer.unknown, tokenizer.mask}
    if ids[at] in fixed:
        raise AttentioError(f"token {at}, {tokenizer.tokens([ids[at]])[0]}, is none of the text: only erase it")
    if change.how == "hide":
        if stand_in is None:
            raise AttentioError("the vocabulary has no token for what is unknown; replace the token instead")
        return [*ids[:at], stand_in, *ids[at + 1 :]]
    check_text(change.token, "token", max_line_length=None)
    # Within a word, the pieces before it are encoded once more with what follows them now.
    starts, start = tokenizer.word_starts(ids), at
    while start > 0 and not starts[start]:
        start -= 1
    if {*tokenizer.special_ids} & {*ids[start:at]}:
        start = at
    whole = tokenizer.decode(ids[start : at + 1])
    space = whole[: len(whole) - len(whole.lstrip())] if whole.strip() else ""
    stem = tokenizer.decode(ids[start:at]).lstrip()
    return [*ids[:start], *encode(space + stem + change.token), *ids[at + 1 :]]


def alone(length: int, place: int, device: torch.device) -> Mask:
    """No position but `place` itself may attend to it."""
    may = torch.ones(length, length, dtype=torch.bool, device=device)
    may[:, place] = False
    may[place, place] = True
    return keep(may)


class ReadOtherwise(nn.Module):
    """An encoder-decoder that reads these ids whatever source it is given. erased: the place of one that its decoder
    may not attend to.

    Raises AttentioError for a decoder whose attention is none, or goes by position: there a key cannot be left out.
    """

    def __init__(self, model: EncoderDecoder, ids: Sequence[int], *, erased: int | None = None) -> None:
        super().__init__()
        if erased is not None:
            _check_erasable(model.decoder)
        self.model, self.ids, self.erased = model, [*ids], erased

    def encode(self, source: Int[Tensor, "batch source"], lengths: Int[Tensor, "batch"]) -> Memory:
        """The memory of the ids, as often as there are sources."""
        row = torch.tensor([self.ids], device=source.device).expand(len(source), -1)
        memory: Memory = self.model.encode(row, torch.full_like(lengths, len(self.ids)))
        if self.erased is None:
            return memory
        # Attention that knows no positions cannot tell a key that it may not see from one that is not there.
        left = [place for place in range(len(self.ids)) if place != self.erased]
        copies = None if memory.copies is None else memory.copies[:, left]
        return memory._replace(outputs=memory.outputs[:, left], lengths=memory.lengths - 1, copies=copies)

    def start(self, memory: Memory, **options: Any) -> Any:
        """See `models.protocols.StepDecoder`."""
        return self.model.start(memory, **options)

    def step(self, token: Tensor, state: Any, **options: Any) -> Any:
        """See `models.protocols.StepDecoder`."""
        return self.model.step(token, state, **options)


def _check_erasable(decoder: nn.Module) -> None:
    if isinstance(decoder, PointerDecoder):
        decoder = decoder.decoder
    if not isinstance(decoder, RecurrentDecoder):
        return
    attention = decoder.attention
    if attention is None and not isinstance(decoder, HardDecoder):
        raise AttentioError("the model has no attention, so there is nothing to erase from it; hide the token instead")
    reach = None if attention is None or attention.score is None else attention.score.reach
    if attention is None or isinstance(attention, LocalAttention) or reach is not None:
        raise AttentioError("this model's attention goes by position, so no key can be erased; hide the token instead")


def changed_translation(
    before: tuple[ReadOtherwise, Translation],
    after: tuple[ReadOtherwise, Translation],
    tokenizers: Tokenizers[AnyTokenizer],
    *,
    begin: int,
    each_step: Callable[[], None],
) -> Changed:
    """before, after: what reads, and what it said. tokenizers: of all their ids."""

    def chances(model: ReadOtherwise, said: Translation) -> list[float]:
        target = torch.tensor([said.ids], device=next(model.parameters()).device)
        found = []
        with torch.inference_mode():
            lengths = torch.full_like(target[:, 0], len(model.ids))
            state = model.start(model.encode(target, lengths))
            steps = forced_steps(model, state, target, begin=begin, need_weights=False)
            for step, token in zip(steps, said.ids, strict=True):
                each_step()
                row = step.logits[0, 0].float().softmax(-1)
                # What is copied from a source that does not have it any more cannot be said.
                found.append(float(row[token]) if token < len(row) else 0.0)
        return found

    (first, said), (second, then) = before, after
    return Changed(
        tokenizers.source.tokens(first.ids),
        tokenizers.source.tokens(second.ids),
        Said(said.text, said.tokens, chances(first, said)),
        Said(then.text, then.tokens, chances(second, then)),
        chances(second, said),
    )


def changed_filling(
    model: MaskedLM,
    tokenizer: AnyTokenizer,
    ids: Sequence[int],
    change: Change,
    *,
    mask: int,
    each_step: Callable[[], None],
) -> Changed:
    """What stands in the holes of a text, and of a hidden token in its place. mask: the id of a hole."""
    read = read_changed(ids, change, tokenizer, stand_in=mask, encode=tokenizer.encode_with_holes)
    check_known(change.token, read, tokenizer)
    asked = [place for place, token in enumerate(ids) if token == mask or (change.how, change.place) == ("hide", place)]
    if not asked:
        raise AttentioError("no [MASK] in the text, so nothing is said of it; write one, or hide a token")

    def chances(row: list[int], erased: int | None) -> Float[Tensor, "length vocab"]:
        each_step()
        return _probabilities(model, row, erased, suppressed_ids(tokenizer, model.output.out_features))

    def said(row: list[int], places: list[int], found: Float[Tensor, "length vocab"]) -> tuple[list[int], Said]:
        best = [int(found[place].argmax()) if row[place] == mask else row[place] for place in places]
        filled = dict(zip(places, best, strict=True))
        text = tokenizer.decode([filled.get(place, token) for place, token in enumerate(row)])
        return best, Said(text, tokenizer.tokens(best), _at(found, places, best))

    later = _later(asked, change.place, len(read) - len(ids))
    first, second = chances([*ids], None), chances(read, _erased(change))
    best, before = said([*ids], asked, first)
    return Changed(
        tokenizer.tokens(ids), tokenizer.tokens(read), before, said(read, later, second)[1], _at(second, later, best)
    )


def changed_labels(
    model: Labeller,
    tokenizers: Tokenizers[AnyTokenizer],
    row: WordRow,
    change: Change,
    *,
    each_word: bool,
    each_step: Callable[[], None],
) -> Changed:
    """The labels of the words of a row, or of its text."""
    tokenizer, labels = tokenizers.source, tokenizers.target
    read = read_changed(row.ids, change, tokenizer, stand_in=tokenizer.unknown, encode=tokenizer.encode)
    asked = [*row.starts] if each_word else [0]
    later = _later(asked, change.place, len(read) - len(row.ids))

    def chances(ids: list[int], erased: int | None) -> Float[Tensor, "length labels"]:
        each_step()
        return _probabilities(model, ids, erased, suppressed_ids(labels, model.output.out_features))

    def said(places: list[int], found: Float[Tensor, "length labels"]) -> tuple[list[int], Said]:
        best = found[places].argmax(1).tolist()
        names = labels.tokens(best)
        return best, Said(" ".join(names), names, _at(found, places, best))

    first, second = chances([*row.ids], None), chances(read, _erased(change))
    best, before = said(asked, first)
    return Changed(
        tokenizer.tokens(row.ids), tokenizer.tokens(read), before, said(later, second)[1], _at(second, later, best)
    )


def changed_continuation(
    model: CausalLM,
    tokenizer: AnyTokenizer,
    prompt: Sequence[int],
    change: Change,
    *,
    most: Callable[[Sequence[int]], int],
    end: int,
    each_step: Callable[[], None],
) -> Changed:
    """How a text most probably goes on. most: how many tokens it may go on with."""
    read = read_changed(prompt, change, tokenizer, stand_in=tokenizer.unknown, encode=tokenizer.encode)
    if change.how == "replace":
        check_known(change.token, read, tokenizer)
    suppressed = suppressed_ids(tokenizer, model.output.out_features, but=end)

    def chances(ids: list[int], erased: int | None) -> Float[Tensor, "length vocab"]:
        each_step()
        return _probabilities(model, ids, erased, suppressed)

    def said(ids: list[int], erased: int | None) -> tuple[list[int], Said]:
        drawn: list[int] = []
        probabilities: list[float] = []
        # Read anew for each token: a cache would have to know what is erased.
        while len(drawn) < most(ids) and drawn[-1:] != [end]:
            best = chances([*ids, *drawn], erased)[-1].max(-1)
            drawn.append(int(best.indices))
            probabilities.append(float(best.values))
        return drawn, Said(tokenizer.decode([*ids, *drawn]), tokenizer.tokens(drawn), probabilities)

    drawn, before = said([*prompt], None)
    _, after = said(read, _erased(change))
    forced = chances([*read, *drawn[:-1]], _erased(change))
    places = range(len(read) - 1, len(forced))
    return Changed(tokenizer.tokens(prompt), tokenizer.tokens(read), before, after, _at(forced, places, drawn))


def _probabilities(
    model: MaskedLM | Labeller | CausalLM, ids: Sequence[int], erased: int | None, suppressed: list[int]
) -> Float[Tensor, "length vocab"]:
    """At each place, of the whole vocabulary; -1 for what never stands there. erased: attended to by none."""
    row = torch.tensor([ids], device=model.output.weight.device)
    allowed = None if erased is None else alone(len(ids), erased, row.device)
    lengths = () if isinstance(model, CausalLM) else (torch.full_like(row[:, 0], len(ids)),)
    with torch.inference_mode():
        found = model(row, *lengths, allowed=allowed)[0].softmax(-1, dtype=torch.float32)
    return found.index_fill(1, torch.tensor(suppressed, dtype=torch.long, device=row.device), -1.0).cpu()


def _at(found: Float[Tensor, "length vocab"], places: Iterable[int], tokens: Iterable[int]) -> list[float]:
    return [max(0.0, float(found[place, token])) for place, token in zip(places, tokens, strict=True)]


def _later(places: list[int], place: int, grown: int) -> list[int]:
    """Where these places are once there are so many tokens more at `place`."""
    return [one + grown if one > place else one for one in places]


def _erased(change: Change) -> int | None:
    return change.place if change.how == "erase" else None
