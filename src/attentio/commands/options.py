"""What a YAML file and `--key.sub value` may say of a training run, each with its default and its limits."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal


def _limited(allows: Callable[[float], bool], said: str) -> Callable[[Any], Any]:
    """Makes fields, given their default, whose numbers keep to a limit; `load_config` checks it."""
    return lambda default: field(default=default, metadata={"allows": allows, "said": said})


_at_least_1 = _limited(lambda number: number >= 1, "at least 1")
_at_least_3 = _limited(lambda number: number >= 3, "at least 3")
_at_least_0 = _limited(lambda number: 0 <= number < math.inf, "0 or more")
_above_0 = _limited(lambda number: 0 < number < math.inf, "above 0")
_probability = _limited(lambda number: 0 <= number <= 1, "from 0 to 1")
_below_1 = _limited(lambda number: 0 <= number < 1, "0 or more, and below 1")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Pairs of sequences; for a language model, text.

    train, dev, test: `cmudict:train` or `dates:train` (embedded), FILE (tab-separated, .jsonl; .gz too),
        `SOURCE_FILE,TARGET_FILE`, or `hub:NAME:SPLIT`. Without test, `evaluate` uses dev. Text: FILE, or as before.
    document: in a file of text, a document is a line or the whole file.
    bad_lines: stop at the first bad line, or skip, count and report them.
    """

    train: str
    dev: str
    test: str | None = None
    document: Literal["line", "file"] = "line"
    bad_lines: Literal["stop", "skip"] = "stop"


@dataclass(frozen=True, kw_only=True)
class SideConfig:
    """How one side's text becomes tokens.

    vocab_size: needed for bpe and unigram. jamo: Hangul syllables are taken apart, and put together on output.
    """

    tokenizer: Literal["char", "whitespace", "bpe", "unigram"] = "char"
    vocab_size: int | None = _at_least_1(None)
    jamo: bool = False


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Both sides. shared: one vocabulary for both, made as `source` says. A language model has the source side only.

    block: longest row of a language model, in tokens; longer documents are cut.
    """

    source: SideConfig = field(default_factory=SideConfig)
    target: SideConfig = field(default_factory=SideConfig)
    shared: bool = False
    block: int = _at_least_3(256)


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes and kinds of a Transformer; see `attentio.models.transformer_presets.TransformerSizes`.

    width: features of a position. key_value_heads: null for as many as heads. max_length: positions that `learned`
        ones know. window: tokens seen on each side (before, in a decoder); null for all. tied: the embedding is the
        output layer's weight too.
    """

    width: int = _at_least_1(256)
    heads: int = _at_least_1(4)
    key_value_heads: int | None = _at_least_1(None)
    feed_forward: int = _at_least_1(1024)
    norm: Literal["layer", "rms"] = "layer"
    pre_norm: bool = False
    activation: Literal["relu", "gelu", "gelu-tanh", "silu", "swiglu"] = "relu"
    positions: Literal["sinusoidal", "learned", "rotary", "alibi", "none"] = "sinusoidal"
    max_length: int = _at_least_1(512)
    window: int | None = _at_least_0(None)
    tied: bool = True


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What is trained: an encoder-decoder for pairs, or a masked or causal language model for text.

    encoder, decoder: recurrent or transformer, in any combination. Language models are Transformers, the masked one of
        `encoder_layers`, the causal one of `decoder_layers`.
    attention: of a recurrent decoder: none, bahdanau, luong or delayed (see `attentio.models.presets`).
    score, local, window, input_feeding, reach: of luong only. local: `m` or `p`; window: the paper's D.
    cell, embedding, hidden: of recurrent parts. encoder_hidden: features of each of the recurrent encoder's two
        directions; null for half of `hidden`.
    """

    type: Literal["encoder-decoder", "masked-lm", "causal-lm"] = "encoder-decoder"
    encoder: Literal["recurrent", "transformer"] = "recurrent"
    decoder: Literal["recurrent", "transformer"] = "recurrent"
    attention: Literal["none", "bahdanau", "luong", "delayed"] = "luong"
    score: Literal["dot", "general", "concat", "location"] = "general"
    local: Literal["m", "p"] | None = None
    window: int = _at_least_1(10)
    input_feeding: bool = True
    reach: int = _at_least_1(128)
    cell: Literal["lstm", "gru"] = "lstm"
    embedding: int = _at_least_1(256)
    hidden: int = _at_least_1(256)
    encoder_hidden: int | None = _at_least_1(None)
    encoder_layers: int = _at_least_1(1)
    decoder_layers: int = _at_least_1(1)
    dropout: float = _below_1(0.3)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """Which tokens a masked language model is asked for, and what stands there; see `attentio.data.masking.Masking`.

    rate: tokens asked for. mask, random: of them, replaced by the mask, by a random token; the rest stay as they are.
    unit: what is asked for together. mean_span: of spans, in words.
    """

    rate: float = _limited(lambda number: 0 < number <= 1, "above 0 and at most 1")(0.15)
    mask: float = _probability(0.8)
    random: float = _probability(0.1)
    unit: Literal["token", "word", "span"] = "token"
    mean_span: float = _at_least_1(3.0)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train.

    batch_tokens: longest side of a batch, padding included. learning_rate: its peak, after `warmup` updates.
    average: decay of a moving average of the weights, which is then what is used; 0 for none.
    validate_every, checkpoint_every, log_every: in updates. patience: validations without improvement before
        stopping early; 0 for never. validation_size: sources of dev that are decoded each time, or batches of its text.
    """

    max_steps: int = _at_least_1(10_000)
    batch_tokens: int = _at_least_1(2048)
    accumulate: int = _at_least_1(1)
    learning_rate: float = _above_0(1e-3)
    warmup: int = _at_least_0(400)
    decay: Literal["constant", "linear", "cosine", "inverse-sqrt"] = "cosine"
    weight_decay: float = _at_least_0(0.0)
    label_smoothing: float = _below_1(0.1)
    clip: float = _above_0(1.0)
    average: float = _below_1(0.0)
    validate_every: int = _at_least_1(1000)
    validation_size: int = _at_least_1(500)
    checkpoint_every: int = _at_least_1(1000)
    log_every: int = _at_least_1(100)
    patience: int = _at_least_0(0)
    keep_checkpoints: int = _at_least_1(3)
    samples: int = _at_least_0(3)
    seed: int = _at_least_0(1)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """How outputs are searched for.

    length_penalty: alpha of GNMT's penalty. max_length_ratio: an output may have this many tokens for each
        source token, and ten more.
    """

    beam: int = _at_least_1(5)
    length_penalty: float = _at_least_0(1.0)
    max_length_ratio: float = _above_0(3.0)
    batch_size: int = _at_least_1(64)


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How the quality of an encoder-decoder is measured, always by free decoding.

    metrics: any of wer (outputs with any error), per (token error rate), exact, bleu, chrf, ter; the first
        decides which checkpoint is the best.
    units: what `per` counts. bleu_tokenize: sacreBLEU's; `none` for text that is tokenised already.
    """

    metrics: list[Literal["wer", "per", "exact", "bleu", "chrf", "ter"]] = field(
        default_factory=lambda: ["wer", "per"], metadata={"allows": bool, "said": "a list of at least one"}
    )
    units: Literal["words", "characters"] = "words"
    bleu_tokenize: str = "13a"


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole training run."""

    name: str
    data: DataConfig
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
