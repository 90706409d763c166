"""The configuration of a training run: what a YAML file and `--key.sub value` may say. Light to import."""

import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from attentio.errors import AttentioError


def _limited(allows: Callable[[float], bool], said: str) -> Callable[[Any], Any]:
    """Makes fields, given their default, whose numbers keep to a limit; `load_config` checks it."""
    return lambda default: field(default=default, metadata={"allows": allows, "said": said})


_at_least_1 = _limited(lambda number: number >= 1, "at least 1")
_at_least_3 = _limited(lambda number: number >= 3, "at least 3")
_at_least_0 = _limited(lambda number: 0 <= number < math.inf, "0 or more")
_above_0 = _limited(lambda number: 0 < number < math.inf, "above 0")
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

    rate: float = _above_0(0.15)
    mask: float = _at_least_0(0.8)
    random: float = _at_least_0(0.1)
    unit: Literal["token", "word", "span"] = "token"
    mean_span: float = _at_least_1(3.0)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train.

    batch_tokens: longest side of a batch, padding included. learning_rate: its peak, after `warmup` updates.
    average: decay of a moving average of the weights, which is then what is used; 0 for none.
    validate_every, checkpoint_every, log_every: in updates. patience: validations without improvement before
        stopping early; 0 for never. validation_size: pairs of dev that are decoded each time, or batches of its text.
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


def preset_names() -> list[str]:
    """The presets that come with attentio."""
    files = resources.files("attentio") / "presets"
    return sorted(file.name.removesuffix(".yaml") for file in files.iterdir() if file.name.endswith(".yaml"))


def load_config(preset_or_file: str, overrides: Sequence[str] = ()) -> Config:
    """A preset's or a YAML file's configuration with `--key.sub value` (or `--key.sub=value`) on top.

    Raises AttentioError for an unknown preset, file, key or value, with the nearest name.
    """
    path = Path(preset_or_file)
    if preset_or_file in preset_names():
        path = Path(str(resources.files("attentio"))) / "presets" / f"{preset_or_file}.yaml"
    elif not path.is_file():
        nearest = _nearest(preset_or_file, preset_names())
        raise AttentioError(
            f"{preset_or_file!r} is neither a file nor a preset{nearest}; the presets are {', '.join(preset_names())}"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AttentioError(f"{preset_or_file} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise AttentioError(f"{preset_or_file} must hold keys such as data.train and model.attention")
    return _parse(content, path, overrides)


def _parse(content: dict[str, Any], origin: Path, overrides: Sequence[str]) -> Config:
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Config, fail_untyped=True)
    parser.add_argument("--config", action="config")
    names = {action.dest for action in parser._actions} - {"help", "config", "print_config"}
    known = sorted(key for key in names if not any(name.startswith(key + ".") for name in names))
    keys = [(key, str(origin)) for key in _leaves(content)]
    keys += [(key, "the command line") for key in _override_keys(overrides)]
    for key, where in keys:
        inside = [name for name in known if name.startswith(key + ".")]
        if inside:
            raise AttentioError(f"{key!r} in {where} has no value of its own; give its keys, such as {inside[0]!r}")
        if key not in known:
            raise AttentioError(f"unknown key {key!r} in {where}{_nearest(key, known)}")
    try:
        parsed = parser.parse_args([f"--config={origin}", *overrides])
        parsed.pop("config")
        config = Config(**vars(parser.instantiate(parsed)))
        _check_limits(config)
        return config
    except (ArgumentError, TypeError, ValueError) as error:
        where = f"{origin.name} or the command line" if overrides else str(origin)
        raise AttentioError(f"{where}: {_readable(error)}") from None


def _check_limits(config: Any, prefix: str = "") -> None:
    for each in fields(config):
        key, value = f"{prefix}{each.name}", getattr(config, each.name)
        if is_dataclass(value):
            _check_limits(value, f"{key}.")
        elif each.metadata and value is not None and not each.metadata["allows"](value):
            raise ValueError(f"{key} must be {each.metadata['said']}; got {value}")


def to_yaml(config: Config) -> str:
    """The complete configuration, as `load_config` reads it."""
    return yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)


def _leaves(content: dict[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in content.items():
        keys += _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return keys


def _override_keys(overrides: Sequence[str]) -> list[str]:
    return [word[2:].split("=", 1)[0] for word in overrides if word.startswith("--")]


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _readable(error: Exception) -> str:
    """jsonargparse's message on one line; a wrong choice with the choices and the nearest of them."""
    message = " ".join(str(error).split())
    wrong = re.search(r'key "(?P<key>[^"]+)": .*?Literal\[(?P<choices>[^]]+)\].* value: (?P<value>.*)', message)
    if wrong is None:
        return message.replace("Parser key ", "")
    choices = re.findall(r"'([^']+)'", wrong["choices"])
    nearest = _nearest(wrong["value"], choices)
    return f"{wrong['key']} must be one of {', '.join(choices)}; got {wrong['value']!r}{nearest}"
