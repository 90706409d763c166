"""What a YAML file and `--key.sub value` may say of a training run, each with its default and its limits.

The same objects are what data, models and training are made from. A value outside its limits is an AttentioError that
calls it by its key. The docstrings say of every key what it is for, with an example; docs/making/reference.py makes
the reference of them.
"""

from dataclasses import dataclass, field
from typing import Literal

from attentio.config.limits import (
    above_0,
    any_seed,
    below_1,
    check,
    dropped,
    layers,
    limited,
    named_or_own,
    probability,
    size,
    tokens,
    up_to_a_million,
    updates,
    updates_or_none,
    whole,
)
from attentio.errors import AttentioError

BadLines = Literal["stop", "skip"]
DocumentUnit = Literal["line", "file"]
TokenizerKind = Literal["char", "whitespace", "bpe", "unigram"]
SideTokenizer = Literal["char", "whitespace", "bpe", "unigram", "pretrained"]
ModelType = Literal["encoder-decoder", "masked-lm", "causal-lm", "labeller"]
Decay = Literal["constant", "linear", "cosine", "inverse-sqrt"]
Columns = list[str]
"""Of a table: names, or numbers from 1, which are written in figures."""
Header = bool | Literal["auto"]
Normalize = Literal["nfc", "none"]


MOST_HYPOTHESES = 1000
"""Of a beam."""

SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";"}


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Pairs of sequences; for a language model, text.

    train: FILE (tab-separated, .csv, .jsonl; .gz too), `SOURCE_FILE,TARGET_FILE`, `hub:NAME:SPLIT`, or `cmudict:train`
        and the like (embedded); several, each with a tag, as `de=FILE+fr=FILE`. Text: FILE, or as before.
        `--data.train pairs.tsv`
    unlabelled: texts whose targets are a teacher's outputs, one a line; they are learnt with the pairs of train.
        `--teacher runs/big --data.unlabelled sources.txt`
    dev: what training validates on, given as train is; without it, a part of train is held out. `--data.dev dev.tsv`
    test: what `evaluate` measures on, given as train is; without it, dev. `--data.test test.tsv`
    separator: between the columns of a FILE of pairs; `auto` for a tab, and in a .csv for what its first lines show.
        Texts may be quoted as CSV has it there, and around any separator but a tab. `--data.separator semicolon`
    columns: the two of a table that are source and target, by their names or numbers from 1, where it has others; of
        JSON and the hub by name. `--data.columns word,sounds`
    features: the column of a table that says what else each output is to be, such as V;PST or a language: features
        between semicolons (see docs/features.md). `--data.features tags`
    header: whether the first line of a FILE of pairs names its columns and is left out; `auto` for where it does so in
        well-known words. `--data.header true`
    document: in a file of text, a document is a line or the whole file. `--data.document file`
    bad_lines: stop at the first bad line, or skip, count and report them. `--data.bad_lines skip`
    """

    train: str
    unlabelled: str | None = None
    dev: str | None = None
    test: str | None = None
    separator: str = field(
        default="auto",
        metadata={
            "allows": lambda value: value in ("auto", *SEPARATORS) or (len(value) == 1 and value in ",;|:\t"),
            "said": f"auto, {', '.join(SEPARATORS)}, or one of ,;|:",
        },
    )
    columns: Columns | None = field(
        default=None,
        metadata={
            "allows": lambda columns: len({*columns}) == len(columns) == 2 and {"", "0"}.isdisjoint(columns),
            "said": "a list of two different names or numbers from 1, such as [1, 3]",
        },
    )
    features: str | None = field(
        default=None,
        metadata={"allows": lambda column: column not in ("", "0"), "said": "a column's name or number from 1"},
    )
    header: Header = "auto"
    document: DocumentUnit = "line"
    bad_lines: BadLines = "stop"

    def __post_init__(self) -> None:
        check(self, "data")
        if self.features is not None and self.features in (self.columns or ()):
            raise AttentioError(f"data.features is {self.features}, which data.columns has too; give another column")
        for key, columns in (("columns", self.columns or ()), ("features", [self.features or "1"])):
            if self.header is False and not all(column.isdecimal() for column in columns):
                raise AttentioError(f"data.{key} has names, and data.header false says that nothing names the columns")


@dataclass(frozen=True, kw_only=True)
class SideConfig:
    """How one side's text becomes tokens.

    tokenizer: `char` for characters, `whitespace` for words between spaces, `bpe` and `unigram` for pieces that are
        learnt from the text, `pretrained` for the one of a Hugging Face directory that `init` names.
        `--text.source.tokenizer whitespace`
    vocab_size: entries of the vocabulary; needed for bpe and unigram.
        `--text.source.tokenizer bpe --text.source.vocab_size 8000`
    jamo: Hangul syllables are taken apart, and put together on output. `--text.source.jamo true`
    bpe_dropout: of pairs and bpe: in training, each merge of two pieces is left out with this probability, anew in each
        epoch, so that the model meets words in other pieces too (Provilkov et al. 2020).
        `--text.source.tokenizer bpe --text.source.vocab_size 8000 --text.source.bpe_dropout 0.1`
    """

    tokenizer: SideTokenizer = "char"
    vocab_size: int | None = whole(1, 10**6)(None)
    jamo: bool = False
    bpe_dropout: float = dropped(0.0)


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Both sides. A language model has the source side only.

    shared: one vocabulary for both, made as `source` says. `--text.shared true`
    normalize: `nfc` takes white space around every text away and composes its letters (Unicode NFC), in training and
        afterwards; `none` leaves text as it is. `--text.normalize none`
    block: longest row of a language model, in tokens; longer documents are cut. `--text.block 128`
    extend: with `init`, whose vocabulary is kept: the symbols of the training data that it lacks are added to it.
        `--init dates-luong --text.extend true`
    """

    source: SideConfig = field(default_factory=SideConfig)
    target: SideConfig = field(default_factory=SideConfig)
    shared: bool = False
    normalize: Normalize = "nfc"
    block: int = whole(3, 2**24)(256)
    extend: bool = False

    def __post_init__(self) -> None:
        check(self, "text")

    @property
    def of_target(self) -> SideConfig:
        """How targets become tokens."""
        return self.source if self.shared else self.target


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes and kinds of a Transformer.

    width: features of a position (the paper's d_model). `--model.transformer.width 512`
    heads: of multi-head attention, which share the features. `--model.transformer.heads 8`
    key_value_heads: heads of keys and values, each shared by as many neighbouring heads of queries; null for as many as
        heads. `--model.transformer.key_value_heads 1`
    feed_forward: features inside the feed-forward layers (d_ff). `--model.transformer.feed_forward 2048`
    norm: LayerNorm, or RMSNorm, which does not subtract the mean. `--model.transformer.norm rms`
    eps: what a norm adds to the variance. `--model.transformer.eps 1e-6`
    pre_norm: norms stand before each sub-layer, and once at the end; otherwise after each residual sum.
        `--model.transformer.pre_norm true`
    embedding_norm: a norm stands behind the embedding too, so that tokens are as large in the residual sum as what is
        added to them. Masked models and labellers without pre_norm always have it.
        `--model.transformer.pre_norm true --model.transformer.embedding_norm true`
    activation: of the feed-forward layers. `--model.transformer.activation gelu`
    positions: how the model knows where a token stands; see `attentio.layers.positions`.
        `--model.transformer.positions rotary`
    qk_norm: queries and keys are compared by their direction, times a learnt number in place of 1 / sqrt(d) (Henry et
        al. 2020). `--model.transformer.qk_norm true`
    max_length: positions that `learned` ones know.
        `--model.transformer.positions learned --model.transformer.max_length 1024`
    window: tokens that a position sees on each side of itself (before itself, in a decoder); null for all.
        `--model.transformer.window 64`
    tied: embedding and output layer share their weight. `--model.transformer.tied false`
    scale_embedding: of an encoder-decoder, embeddings are multiplied by sqrt(width) (Vaswani et al. 2017, section 3.4).
        `--model.transformer.scale_embedding false`
    """

    width: int = size(256)
    heads: int = size(4)
    key_value_heads: int | None = size(None)
    feed_forward: int = whole(1, 2**18)(1024)
    norm: Literal["layer", "rms"] = "layer"
    eps: float = probability(1e-5)
    pre_norm: bool = False
    embedding_norm: bool = False
    activation: Literal["relu", "relu-squared", "gelu", "gelu-tanh", "silu", "swiglu"] = "relu"
    positions: Literal["sinusoidal", "learned", "rotary", "alibi", "t5", "none"] = "sinusoidal"
    qk_norm: bool = False
    max_length: int = tokens(512)
    window: int | None = whole(0, 2**24)(None)
    tied: bool = True
    scale_embedding: bool = True


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What is trained: an encoder-decoder for pairs, or a masked or causal language model for text.

    type: of the model. Language models are Transformers, the masked one of `encoder_layers`, the causal one of
        `decoder_layers`. A labeller is the encoder of a masked one with labels for texts or words.
        `--model.type masked-lm`
    labels: of a labeller, one for each of the `words` between white space, or one for the whole `text`.
        `--model.type labeller --model.labels text`
    encoder: what reads the source; with any decoder. `--model.encoder transformer`
    decoder: what writes the target; with any encoder. `--model.decoder transformer`
    attention: of a recurrent decoder (see `attentio.models.presets`): `none`, `bahdanau`, `luong`, `delayed`, `hard`,
        `hard-monotonic`, `transducer`, which edits the source from left to right and is for targets in its order, from
        few pairs, or `path/to/file.py:NAME` for a module of one's own, around which the decoder is that of `luong`
        (see docs/own-attention.md). `--model.attention bahdanau`
    order: of hard attention: 0 where it looks next does not depend on where it looked, 1 it jumps from there, at most
        `window` positions. `--model.attention hard-monotonic --model.order 1`
    copy: a pointer-generator, which may also say a token of the source, known or not; for characters and words between
        spaces. `--model.copy true`
    coverage: its attention knows what it has looked at, and learns not to look there again; of the additive score.
        `--model.attention bahdanau --model.copy true --model.coverage true`
    score: how the decoder's state is compared with the source: `dot`, `general`, `concat`, `location`, or
        `path/to/file.py:NAME` for a function or class of one's own (see docs/own-attention.md).
        `--model.score dot`
    normalize: how scores become weights: `softmax`, `sparsemax` (Martins & Astudillo 2016), or `entmax` with alpha 1.5
        between the two (Peters et al. 2019), or `path/to/file.py:NAME`. Sparsemax and entmax give most keys exactly no
        weight. `--model.normalize entmax`
    local: null attends globally, `m` to a window around the target's own position, `p` to one around a predicted
        position. `--model.local p`
    window: of local attention, the paper's D: 2D + 1 source positions are seen; of hard attention of order 1, the
        longest jump. `--model.local m --model.window 5`
    input_feeding: the attentional vector is also an input of the next step. `--model.input_feeding false`
    readout: what the output of `bahdanau` comes from: `maxout` of s(i-1), y(i-1) and c(i), as its appendix A.2.2 has
        it, or the new `state` s(i), which has read the other two. `--model.attention bahdanau --model.readout state`
    reach: source positions that the score `location` knows. `--model.score location --model.reach 64`
    cell: of recurrent parts. `--model.cell gru`
    embedding: features of a token in recurrent parts. `--model.embedding 128`
    hidden: features of a recurrent state. `--model.hidden 512`
    encoder_hidden: features of each of the recurrent encoder's two directions, a source position having twice as many;
        null for half of `hidden`. `--model.encoder_hidden 256`
    encoder_layers: one above the other. `--model.encoder_layers 2`
    decoder_layers: one above the other. `--model.decoder_layers 2`
    dropout: of the embeddings; in a Transformer of each sub-layer's output; in recurrent parts between layers, of the
        encoder's outputs and before the output layer. `--model.dropout 0.1`
    """

    type: ModelType = "encoder-decoder"
    labels: Literal["words", "text"] = "words"
    encoder: Literal["recurrent", "transformer"] = "recurrent"
    decoder: Literal["recurrent", "transformer"] = "recurrent"
    attention: str = named_or_own("none", "bahdanau", "luong", "delayed", "hard", "hard-monotonic", "transducer")(
        "luong"
    )
    order: Literal[0, 1] = 0
    copy: bool = False
    coverage: bool = False
    score: str = named_or_own("dot", "general", "concat", "location")("general")
    normalize: str = named_or_own("softmax", "sparsemax", "entmax")("softmax")
    local: Literal["m", "p"] | None = None
    window: int = tokens(10)
    input_feeding: bool = True
    readout: Literal["maxout", "state"] = "maxout"
    reach: int = size(128)
    cell: Literal["lstm", "gru"] = "lstm"
    embedding: int = size(256)
    hidden: int = size(256)
    encoder_hidden: int | None = size(None)
    encoder_layers: int = layers(1)
    decoder_layers: int = layers(1)
    dropout: float = dropped(0.3)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)

    def __post_init__(self) -> None:
        check(self, "model")

    @property
    def has_own_likelihood(self) -> bool:
        """Whether its probabilities are a mixture, so that there are no logits to smooth or to compare."""
        recurrent = self.type == "encoder-decoder" and self.decoder == "recurrent"
        return recurrent and (self.copy or self.attention in ("hard", "hard-monotonic", "transducer"))


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """Which tokens a masked language model is asked for, and what stands there instead.

    rate: probability that an ordinary token is asked for; the same for every token, whatever the unit.
        `--masking.rate 0.3`
    training_rate: the same in training alone, where more holes are more to learn from; dev and test are asked with
        `rate` as ever. null for `rate`. `--masking.training_rate 0.3`
    mask: probability that MASK stands where a token is asked for. `--masking.mask 0.7`
    random: probability that a random ordinary token stands there; otherwise, 1 - mask - random, the token itself.
        `--masking.random 0.0`
    unit: what is asked for together: a token (Devlin et al. 2019, section 3.1), all tokens of a word (whole-word
        masking), or a span of words whose length is geometric with p = 1 / mean_span, at most 10, and
        to which the same thing happens throughout (Joshi et al. 2020, SpanBERT, section 3.1). `--masking.unit word`
    mean_span: in words; without the limit of 10. `--masking.unit span --masking.mean_span 2.0`
    """

    rate: float = limited(lambda number: 0 < number <= 1, "above 0 and at most 1")(0.15)
    training_rate: float | None = limited(lambda number: 0 < number <= 1, "above 0 and at most 1")(None)
    mask: float = probability(0.8)
    random: float = probability(0.1)
    unit: Literal["token", "word", "span"] = "token"
    mean_span: float = limited(lambda number: 1 <= number <= 1e6, "from 1 to 1,000,000")(3.0)

    def __post_init__(self) -> None:
        check(self, "masking")
        if self.mask + self.random > 1 + 1e-9:
            raise AttentioError(f"masking.mask + masking.random must be at most 1; got {self.mask} + {self.random}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the training loop does.

    max_steps: updates in all. `--training.max_steps 600`
    max_minutes: of updates, without validation; the training ends with them where max_steps are not reached before, and
        the learning rate decays towards that end, after a warm-up of at most a tenth of the updates. Which updates
        those are depends on the machine.
        `--training.max_minutes 7.5`
    accumulate: batches for one update. `--training.accumulate 4`
    learning_rate: its peak, after the warm-up. `--training.learning_rate 0.0005`
    warmup: updates over which the learning rate climbs to its peak. `--training.warmup 1000`
    beta2: of AdamW: how long it remembers squared gradients. `--training.beta2 0.95`
    decay: what follows (see `attentio.training.schedule`). `--training.decay linear`
    weight_decay: of matrices, as AdamW has it. `--training.weight_decay 0.01`
    label_smoothing: probability that is spread over all tokens. `--training.label_smoothing 0.0`
    r_drop: each batch goes through the model twice, with other dropout, and how far the two answers are apart joins the
        loss with this weight (Liang et al. 2021); an update takes twice as long. `--training.r_drop 5.0`
    clip: largest norm of the gradient. `--training.clip 5.0`
    average: decay of a moving average of the weights, which is then what is validated and used; 0 for none.
        `--training.average 0.999`
    validate_every: updates from one validation to the next. `--training.validate_every 200`
    checkpoint_every: updates from one checkpoint to the next. `--training.checkpoint_every 500`
    log_every: updates from one line of metrics to the next. `--training.log_every 50`
    patience: validations without improvement before stopping early; 0 for never. `--training.patience 5`
    freeze: patterns (`*` for anything) of the names of parameters that stay as they are.
        `--training.freeze 'encoder.*,decoder.embedding.*'`
    distill_weight: share of the teacher's probabilities in the loss; the rest is that of the targets.
        `--teacher runs/big --training.distill_weight 0.9`
    """

    max_steps: int = updates(10_000)
    max_minutes: float | None = limited(lambda number: 0 < number <= 1e6, "above 0 and at most 1,000,000")(None)
    accumulate: int = whole(1, 10**6)(1)
    learning_rate: float = above_0(1e-3)
    warmup: int = updates_or_none(400)
    beta2: float = below_1(0.98)
    decay: Decay = "cosine"
    weight_decay: float = up_to_a_million(0.0)
    label_smoothing: float = dropped(0.1)
    r_drop: float = up_to_a_million(0.0)
    clip: float = above_0(1.0)
    average: float = below_1(0.0)
    validate_every: int = updates(1000)
    checkpoint_every: int = updates(1000)
    log_every: int = updates(100)
    patience: int = updates_or_none(0)
    freeze: list[str] = field(default_factory=list)
    distill_weight: float = probability(0.5)

    def __post_init__(self) -> None:
        check(self, "training")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Recipe):
    """How to train: the loop's recipe, and what stands around the loop.

    batch_tokens: longest side of a batch, padding included. `--training.batch_tokens 4096`
    validation_size: sources of dev that are decoded each time, or batches of its text.
        `--training.validation_size 100`
    samples: outputs that are shown at each validation. `--training.samples 0`
    watch: examples of dev whose attention is kept at each validation, for `attentio look RUN --over-time`.
        `--training.watch 3`
    keep_checkpoints: the latest ones, besides the best. `--training.keep_checkpoints 1`
    seed: of the first weights, dropout and the order of data. `--training.seed 7`
    distill: what is learnt of a teacher: its probabilities at each token (`tokens`), or its outputs in place of the
        targets (`sequences`). `--teacher runs/big --training.distill sequences`
    precision: of matrix products; everything else is computed in 32 bits. bfloat16 trains language models and
        Transformers 1.4 to 1.6 times as fast on a CPU that has instructions for it; on one that has none, 32 bits are
        used all the same. `--training.precision bf16-mixed`
    """

    batch_tokens: int = tokens(2048)
    validation_size: int = updates(500)
    samples: int = whole(0, 1000)(3)
    watch: int = whole(0, 8)(0)
    keep_checkpoints: int = updates(3)
    seed: int = any_seed(1)
    distill: Literal["tokens", "sequences"] = "tokens"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """How outputs are searched for.

    beam: hypotheses that are followed at a time; 1 is greedy. `--decoding.beam 1`
    length_penalty: alpha of GNMT's penalty; more for longer outputs. `--decoding.length_penalty 0.6`
    max_length_ratio: an output may have this many tokens for each source token, and ten more.
        `--decoding.max_length_ratio 2.0`
    batch_size: sources that are decoded at a time. `--decoding.batch_size 16`
    """

    beam: int = whole(1, MOST_HYPOTHESES)(5)
    length_penalty: float = limited(lambda number: 0 <= number <= 100, "from 0 to 100")(1.0)
    max_length_ratio: float = limited(lambda number: 0 < number <= 1000, "above 0 and at most 1000")(3.0)
    batch_size: int = whole(1, 2**16)(64)

    def __post_init__(self) -> None:
        check(self, "decoding")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How the quality of an encoder-decoder is measured, always by free decoding.

    metrics: any of wer (outputs with any error), per (token error rate), exact, bleu, chrf, ter; the first
        decides which checkpoint is the best. `--evaluation.metrics exact,per`
    units: what `per` counts; `auto` for characters where the target's tokenizer is `char`, and else words between
        spaces. `--evaluation.units characters`
    bleu_tokenize: sacreBLEU's; `none` for text that is tokenised already. `--evaluation.bleu_tokenize none`
    """

    metrics: list[Literal["wer", "per", "exact", "bleu", "chrf", "ter"]] = field(
        default_factory=lambda: ["wer", "per"], metadata={"allows": bool, "said": "a list of at least one"}
    )
    units: Literal["auto", "words", "characters"] = "auto"
    bleu_tokenize: str = "13a"

    def __post_init__(self) -> None:
        check(self, "evaluation")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole training run.

    name: of the run; `runs/NAME` is its directory. `--name mine`
    init: a trained run, a bundle, a model that comes along, or a directory of Hugging Face: the weights that training
        begins with. Its tokenizers are kept, and `model` and `text` are its own, but for what the command line says.
        `--init dates-luong`
    teacher: trained runs, with commas between them, whose probabilities or outputs are learnt; see `training.distill`.
        `--teacher dates-luong,dates-bahdanau`
    """

    name: str
    data: DataConfig
    init: str | None = None
    teacher: str | None = None
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        kinds = {self.text.source.tokenizer, self.text.of_target.tokenizer}
        if self.model.copy and (len(kinds) > 1 or kinds <= {"bpe", "unigram"}):
            raise AttentioError(
                "model.copy needs tokens that are text, the same on both sides: text.source.tokenizer and "
                "text.target.tokenizer both char or both whitespace"
            )
        transformer = self.model.transformer
        rows_are_cut = self.model.type != "encoder-decoder"
        if rows_are_cut and transformer.positions == "learned" and self.text.block > transformer.max_length:
            raise AttentioError(
                f"text.block must be at most model.transformer.max_length, the positions that are learnt; "
                f"got {self.text.block} and {transformer.max_length}"
            )

    @property
    def learns_tokens(self) -> bool:
        """Whether a teacher's probabilities are part of the loss."""
        return self.teacher is not None and self.training.distill == "tokens" and self.training.distill_weight > 0

    @property
    def units(self) -> Literal["words", "characters"]:
        """What `per` counts: see `evaluation.units`."""
        if self.evaluation.units != "auto":
            return self.evaluation.units
        return "characters" if self.text.of_target.tokenizer == "char" else "words"
