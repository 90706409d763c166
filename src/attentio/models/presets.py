"""The recurrent encoder-decoders of the literature, each with its two switches set as its paper does.

Each is a decoder of the configured sizes around a given encoder. vocabulary: tokens of the target (of the source, for
an encoder).
"""

from jaxtyping import Int
from torch import Tensor, nn

from attentio.config.schema import ModelConfig
from attentio.layers.additive import AdditiveScore
from attentio.layers.coverage import CoverageAttention
from attentio.layers.global_attention import GlobalAttention
from attentio.layers.local import LocalAttention
from attentio.layers.luong import DotScore, GeneralScore, LocationScore
from attentio.layers.own_attention import OwnAttention
from attentio.layers.own_score import OwnScore
from attentio.layers.readout import (
    AttentionalReadout,
    ConcatenatedReadout,
    MaxoutReadout,
    Readout,
    StateReadout,
)
from attentio.layers.recurrence import GRU, LSTM, Bidirectional, Recurrence
from attentio.layers.sources import Score
from attentio.layers.transitions import FirstOrder, Transitions, ZerothOrder
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.hard import HardDecoder, HardEncoderDecoder
from attentio.models.normalization import normalization
from attentio.models.own import NO_CODE, OwnCode
from attentio.models.recurrent import Attention, Bridge, ContextTo, Query, RecurrentDecoder, RecurrentEncoder
from attentio.models.transducer import TransducerDecoder, TransducerEncoderDecoder
from attentio.models.transformer import TransformerEncoder

Encoder = RecurrentEncoder | TransformerEncoder


def plain(config: ModelConfig, encoder: Encoder, *, vocabulary: int, own: OwnCode = NO_CODE) -> EncoderDecoder:
    """Sequence to sequence through one fixed vector, without attention (Sutskever et al. 2014)."""
    readout = StateReadout(hidden=config.hidden)
    return _assemble(config, encoder, None, readout, vocabulary=vocabulary, query="current", context="output")


def bahdanau(config: ModelConfig, encoder: Encoder, *, vocabulary: int, own: OwnCode = NO_CODE) -> EncoderDecoder:
    """RNNsearch (Bahdanau et al. 2014): additive score, previous state, context into the recurrence, maxout.

    The paper's cell is the GRU, its maxout as wide as half the state; both follow `config` here (l = embedding).
    Its equation 4 has g(y(i-1), s(i), c(i)), its appendix A.2.2 s(i-1) in place of s(i): `config.readout` chooses.
    """
    memory = encoder.features
    score = AdditiveScore(query_features=config.hidden, memory_features=memory, features=config.hidden)
    readout: Readout = StateReadout(hidden=config.hidden)
    if config.readout == "maxout":
        readout = MaxoutReadout(
            embedding=config.embedding, hidden=config.hidden, memory_features=memory, features=config.embedding
        )
    normalize = normalization(config, own)
    covering = config.copy and config.coverage
    attention = CoverageAttention(score, normalize) if covering else GlobalAttention(score, normalize)
    return _assemble(config, encoder, attention, readout, vocabulary=vocabulary, query="previous", context="input")


def luong(config: ModelConfig, encoder: Encoder, *, vocabulary: int, own: OwnCode = NO_CODE) -> EncoderDecoder:
    """Luong et al. 2015: the current state attends; its attentional vector goes to the output.

    The decoder's first state is a learnt function of the encoder's last ones (`Bridge`), which the paper copies.
    """
    return _attentional(config, encoder, _luong_attention(config, encoder, own), vocabulary=vocabulary)


def with_own_attention(
    config: ModelConfig, encoder: Encoder, *, vocabulary: int, own: OwnCode = NO_CODE
) -> EncoderDecoder:
    """The decoder of `luong` around an attention of the user's own."""
    made = own.made(config.attention, query_features=config.hidden, memory_features=encoder.features)
    return _attentional(config, encoder, OwnAttention(made), vocabulary=vocabulary)


def _luong_attention(config: ModelConfig, encoder: Encoder, own: OwnCode) -> Attention:
    memory = encoder.features
    comparison = _score(config, own, memory=memory)
    normalize = normalization(config, own)
    if config.copy and config.coverage:
        return CoverageAttention(comparison, normalize)
    if config.local is None:
        return GlobalAttention(comparison, normalize)
    predictive = config.local == "p"
    return LocalAttention(comparison, normalize, window=config.window, predictive=predictive, hidden=config.hidden)


def _attentional(config: ModelConfig, encoder: Encoder, attention: Attention, *, vocabulary: int) -> EncoderDecoder:
    readout = AttentionalReadout(hidden=config.hidden, memory_features=encoder.features)
    context: ContextTo = "both" if config.input_feeding else "output"
    return _assemble(config, encoder, attention, readout, vocabulary=vocabulary, query="current", context=context)


def delayed(config: ModelConfig, encoder: Encoder, *, vocabulary: int, own: OwnCode = NO_CODE) -> EncoderDecoder:
    """Dot product with the previous state, the output from [s(i); a(i-1)] through one fully connected layer."""
    memory = encoder.features
    score = DotScore(query_features=config.hidden, memory_features=memory)
    attention = GlobalAttention(score, normalization(config, own))
    readout = ConcatenatedReadout(hidden=config.hidden, memory_features=memory)
    return _assemble(config, encoder, attention, readout, vocabulary=vocabulary, query="previous", context="output")


def hard(config: ModelConfig, encoder: Encoder, *, vocabulary: int, own: OwnCode = NO_CODE) -> EncoderDecoder:
    """Exact hard attention: Wu, Shapiro and Cotterell 2018, monotonic Wu and Cotterell 2019; see `models.hard`.

    The decoder's first state is a learnt function of the encoder's last ones (`Bridge`); the papers' is a constant.
    """
    sizes = {"query_features": config.hidden, "memory_features": encoder.features}
    monotonic = config.attention == "hard-monotonic"
    transitions: Transitions = ZerothOrder(**sizes, monotonic=monotonic)
    if config.order == 1:
        transitions = FirstOrder(**sizes, monotonic=monotonic, reach=config.window)
    embedding, layers, bridge = _recurrence(config, encoder, vocabulary=vocabulary, fed=0)
    decoder = HardDecoder(
        embedding, layers, bridge, transitions, memory_features=encoder.features, dropout=config.dropout
    )
    return HardEncoderDecoder(encoder, decoder)


def transducer(
    config: ModelConfig, encoder: Encoder, *, vocabulary: int, end: int, copies: Int[Tensor, "entries"]
) -> EncoderDecoder:
    """The edit transducer, all sequences of edits summed: see `models.transducer`.

    end, copies: the target's end, and its id of each entry of the source vocabulary, -1 where there is none.
    """
    parts = _recurrence(config, encoder, vocabulary=vocabulary, fed=0)
    decoder = TransducerDecoder(*parts, memory_features=encoder.features, end=end, dropout=config.dropout)
    return TransducerEncoderDecoder(encoder, decoder, copies)


def _score(config: ModelConfig, own: OwnCode, *, memory: int) -> Score:
    hidden = config.hidden
    if config.score == "dot":
        return DotScore(query_features=hidden, memory_features=memory)
    if config.score == "general":
        return GeneralScore(query_features=hidden, memory_features=memory)
    if config.score == "concat":
        return AdditiveScore(query_features=hidden, memory_features=memory, features=hidden)
    if config.score == "location":
        return LocationScore(query_features=hidden, reach=config.reach)
    return OwnScore(own.made(config.score, query_features=hidden, memory_features=memory))


def recurrent_encoder(config: ModelConfig, *, vocabulary: int) -> RecurrentEncoder:
    """Bidirectional layers over the source."""
    cell = _cell(config)
    hidden = max(1, config.hidden // 2) if config.encoder_hidden is None else config.encoder_hidden
    inputs = [2 * hidden if i else config.embedding for i in range(config.encoder_layers)]
    return RecurrentEncoder(
        nn.Embedding(vocabulary, config.embedding),
        [Bidirectional(cell(size, hidden), cell(size, hidden)) for size in inputs],
        dropout=config.dropout,
    )


def _cell(config: ModelConfig) -> type[LSTM] | type[GRU]:
    return LSTM if config.cell == "lstm" else GRU


def _assemble(
    config: ModelConfig,
    encoder: Encoder,
    attention: Attention | None,
    readout: Readout,
    *,
    vocabulary: int,
    query: Query,
    context: ContextTo,
) -> EncoderDecoder:
    fed = {"input": encoder.features, "both": readout.features, "output": 0}[context]
    backward_only = context == "input" and isinstance(encoder, RecurrentEncoder)
    parts = _recurrence(config, encoder, vocabulary=vocabulary, fed=fed, backward_only=backward_only)
    decoder = RecurrentDecoder(*parts, attention, readout, query=query, context=context, dropout=config.dropout)
    return EncoderDecoder(encoder, decoder)


def _recurrence(
    config: ModelConfig, encoder: Encoder, *, vocabulary: int, fed: int, backward_only: bool = False
) -> tuple[nn.Embedding, list[Recurrence], Bridge]:
    """What every recurrent decoder has. fed: features that the first layer reads besides the token."""
    cell = _cell(config)
    bridge = {"summary": encoder.summary_features, "layers": config.decoder_layers, "states": cell.states}
    return (
        nn.Embedding(vocabulary, config.embedding),
        [cell(config.hidden if i else config.embedding + fed, config.hidden) for i in range(config.decoder_layers)],
        Bridge(**bridge, hidden=config.hidden, backward_only=backward_only),
    )
