"""The recurrent encoder-decoders of the literature, each with its two switches set as its paper does."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from attentio.layers.additive import AdditiveScore
from attentio.layers.global_attention import GlobalAttention
from attentio.layers.local import LocalAttention
from attentio.layers.luong import DotScore, GeneralScore, LocationScore
from attentio.layers.readout import (
    AttentionalReadout,
    ConcatenatedReadout,
    MaxoutReadout,
    Readout,
    StateReadout,
)
from attentio.layers.recurrence import GRU, LSTM, Bidirectional
from attentio.layers.sources import Score
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.recurrent import Bridge, ContextTo, Query, RecurrentDecoder, RecurrentEncoder
from attentio.models.transformer import TransformerEncoder

ScoreName = Literal["dot", "general", "concat", "location"]
Local = Literal["m", "p"]
Encoder = RecurrentEncoder | TransformerEncoder


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The sizes that all the recurrent models share. Each model below is made with a recurrent encoder of these sizes,
    or around a given encoder.

    encoder_hidden: features of each of the encoder's two directions; a source position has twice as many.
    dropout: applied to embeddings, between layers, to the encoder's outputs and before the output layer.
    """

    source_vocabulary: int
    target_vocabulary: int
    embedding: int = 256
    hidden: int = 256
    encoder_hidden: int = 128
    encoder_layers: int = 1
    decoder_layers: int = 1
    cell: Literal["lstm", "gru"] = "lstm"
    dropout: float = 0.0


def plain(sizes: Sizes, encoder: Encoder | None = None) -> EncoderDecoder:
    """Sequence to sequence through one fixed vector, without attention (Sutskever et al. 2014)."""
    encoder = encoder or recurrent_encoder(sizes)
    readout = StateReadout(hidden=sizes.hidden)
    return _assemble(sizes, encoder, None, readout, query="current", context="output")


def bahdanau(sizes: Sizes, encoder: Encoder | None = None) -> EncoderDecoder:
    """RNNsearch (Bahdanau et al. 2014): additive score, previous state, context into the recurrence, maxout.

    The paper's cell is the GRU, its maxout as wide as half the state; both follow `sizes` here (l = embedding).
    """
    encoder = encoder or recurrent_encoder(sizes)
    memory = encoder.features
    score = AdditiveScore(query_features=sizes.hidden, memory_features=memory, features=sizes.hidden)
    readout = MaxoutReadout(
        embedding=sizes.embedding, hidden=sizes.hidden, memory_features=memory, features=sizes.embedding
    )
    return _assemble(sizes, encoder, GlobalAttention(score), readout, query="previous", context="input")


def luong(
    sizes: Sizes,
    encoder: Encoder | None = None,
    *,
    score: ScoreName = "general",
    local: Local | None = None,
    window: int = 10,
    input_feeding: bool = True,
    reach: int = 128,
) -> EncoderDecoder:
    """Luong et al. 2015: the current state attends; its attentional vector goes to the output.

    local: None attends globally; "m" to a window around the target's own position, "p" to one around a predicted
    position; `window` is the paper's D. input_feeding: the attentional vector is also an input of the next step.
    reach: source positions that the score *location* knows. The decoder's first state is a learnt function of the
    encoder's last ones (`Bridge`), which the paper copies.
    """
    encoder = encoder or recurrent_encoder(sizes)
    memory = encoder.features
    comparison = _score(score, hidden=sizes.hidden, memory=memory, reach=reach)
    attention: GlobalAttention | LocalAttention = GlobalAttention(comparison)
    if local is not None:
        attention = LocalAttention(comparison, window=window, predictive=local == "p", hidden=sizes.hidden)
    readout = AttentionalReadout(hidden=sizes.hidden, memory_features=memory)
    context: ContextTo = "both" if input_feeding else "output"
    return _assemble(sizes, encoder, attention, readout, query="current", context=context)


def delayed(sizes: Sizes, encoder: Encoder | None = None) -> EncoderDecoder:
    """Dot product with the previous state, the output from [s(i); a(i-1)] through one fully connected layer."""
    encoder = encoder or recurrent_encoder(sizes)
    memory = encoder.features
    attention = GlobalAttention(DotScore(query_features=sizes.hidden, memory_features=memory))
    readout = ConcatenatedReadout(hidden=sizes.hidden, memory_features=memory)
    return _assemble(sizes, encoder, attention, readout, query="previous", context="output")


def _score(name: ScoreName, *, hidden: int, memory: int, reach: int) -> Score:
    if name == "dot":
        return DotScore(query_features=hidden, memory_features=memory)
    if name == "general":
        return GeneralScore(query_features=hidden, memory_features=memory)
    if name == "concat":
        return AdditiveScore(query_features=hidden, memory_features=memory, features=hidden)
    return LocationScore(query_features=hidden, reach=reach)


def recurrent_encoder(sizes: Sizes) -> RecurrentEncoder:
    """Bidirectional layers over the source."""
    cell = _cell(sizes)
    inputs = [2 * sizes.encoder_hidden if i else sizes.embedding for i in range(sizes.encoder_layers)]
    return RecurrentEncoder(
        nn.Embedding(sizes.source_vocabulary, sizes.embedding),
        [Bidirectional(cell(size, sizes.encoder_hidden), cell(size, sizes.encoder_hidden)) for size in inputs],
        dropout=sizes.dropout,
    )


def _cell(sizes: Sizes) -> type[LSTM] | type[GRU]:
    return LSTM if sizes.cell == "lstm" else GRU


def _assemble(
    sizes: Sizes,
    encoder: Encoder,
    attention: GlobalAttention | LocalAttention | None,
    readout: Readout,
    *,
    query: Query,
    context: ContextTo,
) -> EncoderDecoder:
    cell = _cell(sizes)
    fed = {"input": encoder.features, "both": readout.features, "output": 0}[context]
    decoder = RecurrentDecoder(
        nn.Embedding(sizes.target_vocabulary, sizes.embedding),
        [cell(sizes.hidden if i else sizes.embedding + fed, sizes.hidden) for i in range(sizes.decoder_layers)],
        Bridge(
            summary=encoder.summary_features,
            layers=sizes.decoder_layers,
            states=cell.states,
            hidden=sizes.hidden,
            backward_only=context == "input" and isinstance(encoder, RecurrentEncoder),
        ),
        attention,
        readout,
        query=query,
        context=context,
        dropout=sizes.dropout,
    )
    return EncoderDecoder(encoder, decoder)
