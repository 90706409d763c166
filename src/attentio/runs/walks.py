"""What a run's model computed around its attentions, recorded for a page's steps.

Symbols are those of the papers, with t for the step: s decoder states, h encoder outputs, c contexts, x embedded tokens
(in a Transformer the residual stream), y tokens.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.attention.entmax import NormalizeFunction, alpha_of
from attentio.layers.feed_forward import FeedForward
from attentio.layers.local import LocalAttention
from attentio.layers.luong import DotScore, GeneralScore, LocationScore
from attentio.layers.multihead import MultiheadSource
from attentio.layers.own_attention import OwnAttention
from attentio.layers.own_score import OwnScore
from attentio.layers.readout import ConcatenatedReadout, MaxoutReadout
from attentio.layers.recurrence import LSTM
from attentio.layers.sources import Source
from attentio.layers.token_embedding import TokenEmbedding, positions_of
from attentio.layers.transformer_block import Sublayer, TransformerBlock
from attentio.layers.transformer_stack import TransformerStack
from attentio.models.causal_lm import CausalLM
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.labeller import Labeller
from attentio.models.masked_lm import MaskedLM
from attentio.models.memory import Memory
from attentio.models.recurrent import RecurrentDecoder, Trace
from attentio.models.transformer import TransformerDecoder, TransformerEncoder, real_keys
from attentio.page.walk import Comparison, Stage, Vector, Walk, Window, Words
from attentio.text.protocol import AnyTokenizer

LISTED = 6
"""Tokens shown of each step's probabilities, besides the one that was said."""


def words(
    logits: Float[Tensor, "q vocab"], said: Sequence[int], tokenizer: AnyTokenizer, *, suppressed: list[int]
) -> Words:
    """The likeliest tokens at each place, and the one that was said. suppressed: ids that never stand there."""
    logits = logits.float()
    likely = logits.index_fill(1, torch.tensor(suppressed, dtype=torch.long, device=logits.device), float("-inf"))
    best = likely.topk(min(LISTED, logits.shape[1] - len(suppressed))).indices.tolist()
    listed = [ids if one in ids else [*ids, one] for ids, one in zip(best, said, strict=True)]
    tokens = [
        list(zip(tokenizer.tokens(ids), row[ids].tolist(), strict=True))
        for ids, row in zip(listed, logits, strict=True)
    ]
    return Words("", tokens, logits.logsumexp(1).tolist(), logits.shape[1])


def translation_walks(
    model: EncoderDecoder,
    source: Int[Tensor, "1 source"],
    target: Int[Tensor, "1 target"],
    said: Words,
    *,
    source_tokens: Sequence[str],
    read: Sequence[str],
) -> list[Walk]:
    """Of a source and its translation. target: what the decoder reads to say it, whose tokens are `read`."""
    lengths = torch.full_like(source[:, 0], source.shape[1])
    encoder, decoder = model.encoder, model.decoder
    found: list[Walk] = []
    with torch.inference_mode():
        memory: Memory = model.encode(source, lengths)
        if isinstance(encoder, TransformerEncoder):
            found += _stack_walks("encoder.stack", encoder.stack, encoder.embedding, source, None, source_tokens)
        own = isinstance(decoder, RecurrentDecoder) and isinstance(decoder.attention, OwnAttention)
        if isinstance(decoder, RecurrentDecoder) and decoder.attention is not None and not own:
            found.append(_recurrent_walk(decoder, decoder.trace(memory, target), said, read))
        if isinstance(decoder, TransformerDecoder):
            said = said._replace(code=_words_code(decoder.stack, decoder.output))
            found += _stack_walks(
                "decoder.stack", decoder.stack, decoder.embedding, target, memory, read, said=said, goes_back=True
            )
    return found


def language_walks(
    model: CausalLM | MaskedLM | Labeller,
    ids: Int[Tensor, "1 length"],
    read: Sequence[str],
    *,
    rows: list[int] | None = None,
    said: Words | None = None,
) -> list[Walk]:
    """Of a text that a language model read; with `rows`, of these places only, at which something is said."""
    if said is not None:
        head = "norm(act(V x″ + c))" if isinstance(model, MaskedLM) else None
        said = said._replace(code=_words_code(model.stack, model.output, head))
    goes_back = said is not None and isinstance(model, CausalLM)
    with torch.inference_mode():
        return _stack_walks(
            "stack", model.stack, model.embedding, ids, None, read, rows=rows, said=said, goes_back=goes_back
        )


def _recurrent_walk(decoder: RecurrentDecoder, trace: Trace, said: Words, read: Sequence[str]) -> Walk:
    embedded, previous, current = (part[0] for part in trace.views[:3])
    assert trace.views.context is not None
    context, features = trace.views.context[0], trace.features[0]
    asks, contexts = "sₜ", "cₜ"
    if decoder.query == "previous":
        asks, contexts = "sₜ₋₁", "aₜ₋₁" if decoder.context == "output" else "cₜ"
    x, c = Vector("xₜ", "embedding", embedded), Vector(contexts, "context", context)
    before_it, now = Vector("sₜ₋₁", "previous", previous), Vector("sₜ", "state", current)
    fed = [] if trace.fed is None else [Vector("h̃ₜ₋₁", "fed", trace.fed[0])]
    if decoder.context == "input":
        fed = [c]
    entering = f"[{'; '.join(each.symbol for each in (x, *fed))}]" if fed else "xₜ"
    cell = "LSTM" if isinstance(decoder.layers[0], LSTM) else "GRU"
    deep = "states" if len(decoder.layers) > 1 else "state"
    reading = Stage("read", "xₜ = E[yₜ₋₁]", [x])
    state = Stage(deep, f"sₜ = {cell}(sₜ₋₁, {entering})", [before_it, x, *fed, now])
    if isinstance(decoder.readout, MaxoutReadout):
        out = Vector("tₜ", "maxout", features)
        readout = Stage("maxout", "tₜ = maxout(U sₜ₋₁ + V xₜ + C cₜ + b)", [before_it, x, c, out])
    elif isinstance(decoder.readout, ConcatenatedReadout):
        out = Vector("vₜ", "joined", features)
        readout = Stage("joined", f"vₜ = [sₜ; {contexts}]", [now, c, out])
    else:
        out = Vector("h̃ₜ", "attentional", features)
        readout = Stage("attentional", f"h̃ₜ = tanh(W [{contexts}; sₜ])", [c, now, out])
    goes_on = [Vector("xₜ₊₁", "embedding", embedded[1:]), Vector("sₜ", "state", current[:-1])]
    if trace.fed is not None:
        goes_on.append(Vector("h̃ₜ", "attentional", features[:-1]))
    waits = decoder.context == "input"
    codes, comparison = _comparison(decoder, trace, asks)
    return Walk(
        attention="decoder.attention",
        read=read,
        before=[reading] if waits else [reading, state],
        after=[state, readout] if waits else [readout],
        codes=codes | {"aggregate": f"{contexts} = Σⱼ αⱼ hⱼ"},
        comparison=comparison,
        words=said._replace(code=f"p = softmax(W {out.symbol} + b)"),
        back=Stage("back", "yₜ → xₜ₊₁ = E[yₜ]", goes_on),
    )


def _comparison(decoder: RecurrentDecoder, trace: Trace, asks: str) -> tuple[dict[str, str], Comparison]:
    """The attention's own lines, and their numbers: what `attend` was given, of all keys."""
    attention, source = decoder.attention, trace.source
    assert attention is not None
    assert not isinstance(attention, OwnAttention)
    assert source is not None
    states = trace.views.previous if decoder.query == "previous" else trace.views.current
    query = attention.score.queries(states, source.keys.shape[1])
    scores = attention.score.comparison()(query, source.keys)[0]
    keys = torch.arange(scores.shape[1], device=scores.device)
    allowed = (keys < source.lengths).expand(scores.shape)
    codes, window = {"normalize": _weights_code(attention.normalize)}, None
    if isinstance(attention, LocalAttention):
        codes["window"] = "pₜ = t"
        allowed, window = _window(attention, states, source, keys)
        if attention.predictive:
            codes["window"] = f"pₜ = S · sigmoid(v · tanh(W {asks}))"
            codes["gaussian"] = "αⱼ ← αⱼ · exp(−(j − pₜ)² / 2σ²)"
    made = Comparison(
        kind="dot",
        query=query[0],
        key=source.keys[0],
        value=source.values[0],
        scores=scores,
        allowed=None if bool(allowed.all()) else allowed,
        window=window,
    )
    if isinstance(attention.score, LocationScore):
        codes["compare"] = f"scoreⱼ = (W {asks})ⱼ"
        return codes, made._replace(kind="location")
    if isinstance(attention.score, DotScore):
        key = "W hⱼ" if isinstance(attention.score, GeneralScore) else "hⱼ"
        codes |= {"compare": f"scoreⱼ = {asks} · {key}", "query": asks, "key": key}
        return codes, made
    if isinstance(attention.score, OwnScore):
        codes["compare"] = f"scoreⱼ = score({asks}, hⱼ)"
        return codes, made._replace(kind="own")
    codes |= {"compare": f"scoreⱼ = v · tanh(W {asks} + b + U hⱼ)", "query": f"W {asks} + b", "key": "U hⱼ"}
    return codes, made._replace(kind="additive", vector=attention.score.vector.detach())


def _weights_code(function: NormalizeFunction | None) -> str:
    names = {1.0: "softmax", 2.0: "sparsemax", None: "normalize"}
    return f"α = {names.get(alpha_of(function), 'entmax')}(score)"


def _window(
    attention: LocalAttention, states: Float[Tensor, "1 q hidden"], source: Source, keys: Int[Tensor, "k"]
) -> tuple[Tensor, Window]:
    """Which keys each state may look at, and the window that says so."""
    windows = attention.windows(states, source, torch.arange(states.shape[1], device=states.device))
    hits = (windows.looked_at[0].unsqueeze(2) == keys) & windows.inside[0].unsqueeze(2)
    decay = None if windows.decay is None else (hits * windows.decay[0].unsqueeze(2)).sum(1)
    centre = windows.centre[0].float()
    return hits.any(1), Window(centre, attention.window, int(source.lengths[0]), decay)


def traced(
    stack: TransformerStack, embedding: TokenEmbedding, tokens: Int[Tensor, "1 length"], memory: Memory | None
) -> tuple[Float[Tensor, "1 length width"], list[list[Sublayer]]]:
    """The embedded tokens, and what each block computes. memory: of the source, for a decoder that has one."""
    positions = positions_of(tokens)
    embedded = embedding(tokens, positions)
    sources: tuple[MultiheadSource, ...] = ()
    if memory is not None:
        sources = stack.prepare(memory.outputs, real_keys(memory.lengths, memory.outputs.shape[1]))
    return embedded, stack.trace(embedded, positions, None, sources)


def _stack_walks(
    name: str,
    stack: TransformerStack,
    embedding: TokenEmbedding,
    tokens: Int[Tensor, "1 length"],
    memory: Memory | None,
    read: Sequence[str],
    *,
    rows: list[int] | None = None,
    said: Words | None = None,
    goes_back: bool = False,
) -> list[Walk]:
    """The way through each block's attentions. memory: of the source, for a decoder that has one."""
    embedded, passes = traced(stack, embedding, tokens, memory)
    here = slice(None) if rows is None else rows
    picked: dict[int, Tensor] = {}

    def pick(tensor: Tensor) -> Tensor:
        """The wanted rows, made once: what goes out of one sublayer goes into the next."""
        return picked.setdefault(id(tensor), tensor[0][here])

    back = None
    if goes_back:
        back = Stage("back", "yₜ → xₜ₊₁", [Vector("xₜ₊₁", "embedding", pick(embedded)[1:])])
    found: list[Walk] = []
    x = Stage("embedded", _embedding_code(embedding), [Vector("x", "stream", pick(embedded))])
    for number, (block, sublayers) in enumerate(zip(stack.blocks, passes, strict=True)):
        *attentions, fed = [Sublayer(*map(pick, sublayer)) for sublayer in sublayers]
        for kind, sublayer in zip(("self_attention", "cross_attention"), attentions, strict=False):
            last = sublayer is attentions[-1]
            ends = last and number == len(stack.blocks) - 1
            found.append(
                Walk(
                    attention=f"{name}.blocks.{number}.{kind}",
                    read=[read[i] for i in rows] if rows is not None else read,
                    before=[x, *_normed(block, sublayer)],
                    after=[*_attended(block, sublayer), *(_fed(block, fed) if last else [])],
                    codes=_head_codes(stack, block, kind),
                    words=said if ends else None,
                    back=back if ends else None,
                )
            )
            x = Stage("attended", "x = x′", [Vector("x", "stream", sublayer.outputs)])
        x = Stage("stream", f"x = layers[{number}](x)", [Vector("x", "stream", fed.outputs)])
    return found


def _head_codes(stack: TransformerStack, block: TransformerBlock, kind: str) -> dict[str, str]:
    """The equation's lines in a head of a Transformer."""
    scale = " / √d" if block.self_attention.qk_norm is None else ""
    bias = " + b" if kind == "self_attention" and (stack.alibi or stack.relative is not None) else ""
    return {
        "project": _projections_code(stack, block, kind),
        "compare": f"scoreⱼ = q · kⱼ{scale}{bias}",
        "normalize": _weights_code(block.self_attention.normalize),
        "aggregate": "head = Σⱼ αⱼ vⱼ",
    }


def _projections_code(stack: TransformerStack, block: TransformerBlock, kind: str) -> str:
    x = "n" if block.pre_norm else "x"
    if kind == "cross_attention":
        q, k, v = f"W_q {x} + b_q", "W_k hⱼ + b_k", "W_v hⱼ + b_v"
    else:
        q, k, v = f"W_q {x} + b_q", f"W_k {x}ⱼ + b_k", f"W_v {x}ⱼ + b_v"
        if stack.rotary is not None:
            q, k = f"rotate({q})", f"rotate({k})"
    if block.self_attention.qk_norm is not None:
        q, k = f"g · unit({q})", f"unit({k})"
    return f"q = {q}, kⱼ = {k}, vⱼ = {v}"


def _normed(block: TransformerBlock, one: Sublayer) -> list[Stage]:
    if not block.pre_norm:
        return []
    return [Stage("normed", "n = norm(x)", [Vector("x", "stream", one.inputs), Vector("n", "normed", one.read)])]


def _attended(block: TransformerBlock, one: Sublayer) -> list[Stage]:
    last = str(block.self_attention.heads - 1).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
    heads = "head₀" if last == "₀" else f"[head₀; …; head{last}]"
    a = Vector("a", "attended", one.made)
    return [Stage("heads", f"a = {heads} Wᴼ + b", [a]), _added(block, one, Vector("x", "stream", one.inputs), a, "x′")]


def _fed(block: TransformerBlock, one: Sublayer) -> list[Stage]:
    x, f = Vector("x′", "stream", one.inputs), Vector("f", "fed_forward", one.made)
    read = Vector("n", "normed", one.read) if block.pre_norm else x
    code = f"f = {_feed_forward_code(block.feed_forward, 'norm(x′)' if block.pre_norm else 'x′')}"
    return [Stage("fed_forward", code, [read, f]), _added(block, one, x, f, "x″")]


def _added(block: TransformerBlock, one: Sublayer, x: Vector, made: Vector, symbol: str) -> Stage:
    sum_code, out = f"{x.symbol} + {made.symbol}", Vector(symbol, "stream", one.outputs)
    if block.pre_norm:
        return Stage("added", f"{symbol} = {sum_code}", [x, made, out])
    summed = Vector(sum_code, "sum", x.numbers + made.numbers)
    return Stage("added_normed", f"{symbol} = norm({sum_code})", [x, made, summed, out])


def _feed_forward_code(layer: FeedForward, read: str) -> str:
    if layer.activation == "swiglu":
        return f"W₂ (silu(G {read} + g) · (W₁ {read} + b₁)) + b₂"
    name = {"gelu-tanh": "gelu", "relu-squared": "relu²"}.get(layer.activation, layer.activation)
    return f"W₂ {name}(W₁ {read} + b₁) + b₂"


def _embedding_code(embedding: TokenEmbedding) -> str:
    code = "E[y]" if embedding.scale == 1 else "√d E[y]"
    code = code if embedding.positions is None else f"{code} + position"
    return f"x = {code}" if embedding.norm is None else f"x = norm({code})"


def _words_code(stack: TransformerStack, output: nn.Linear, head: str | None = None) -> str:
    out = head or "x″"
    if stack.final_norm is not None:
        out = out.replace("x″", "norm(x″)")
    return f"p = softmax(W {out}{'' if output.bias is None else ' + b'})"
