"""Which keys do something in a configuration. Light to import."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from attentio.commands.options import Config


class _Use(NamedTuple):
    """keys: these, and all that begin with one that ends in a dot. where: in which configurations they do something.
    said: the same in words."""

    keys: tuple[str, ...]
    where: Callable[[Config], bool]
    said: str


def without_use(config: Config, keys: Iterable[str]) -> str | None:
    """The first of the keys that does nothing in this configuration, and what it is for; None if all do something."""
    for key in keys:
        for use in _USES:
            meant = any(key.startswith(each) if each.endswith(".") else key == each for each in use.keys)
            if meant and not use.where(config):
                return f"{key} does nothing here; it is for {use.said}"
    return None


def _pairs(config: Config) -> bool:
    return config.model.type == "encoder-decoder"


def _recurrent_decoder(config: Config) -> bool:
    return _pairs(config) and config.model.decoder == "recurrent"


def _luong(config: Config) -> bool:
    return _recurrent_decoder(config) and config.model.attention == "luong"


def _kinds(config: Config) -> set[str]:
    """Of the parts: recurrent, transformer."""
    return {config.model.encoder, config.model.decoder} if _pairs(config) else {"transformer"}


_USES = (
    _Use(
        (
            "text.shared",
            "text.target.",
            "model.encoder",
            "model.decoder",
            "decoding.",
            "evaluation.",
            "training.samples",
        ),
        _pairs,
        "model.type encoder-decoder",
    ),
    _Use(("text.target.",), lambda config: not config.text.shared, "text.shared false"),
    _Use(("text.block", "data.document"), lambda config: not _pairs(config), "language models"),
    _Use(("masking.",), lambda config: config.model.type == "masked-lm", "model.type masked-lm"),
    _Use(("masking.mean_span",), lambda config: config.masking.unit == "span", "masking.unit span"),
    _Use(("model.encoder_layers",), lambda config: config.model.type != "causal-lm", "models that have an encoder"),
    _Use(("model.decoder_layers",), lambda config: config.model.type != "masked-lm", "models that have a decoder"),
    _Use(
        ("model.cell", "model.embedding", "model.hidden"),
        lambda config: "recurrent" in _kinds(config),
        "recurrent parts; a Transformer has model.transformer.width",
    ),
    _Use(
        ("model.encoder_hidden",),
        lambda config: _pairs(config) and config.model.encoder == "recurrent",
        "a recurrent encoder",
    ),
    _Use(("model.attention",), _recurrent_decoder, "a recurrent decoder"),
    _Use(
        ("model.score", "model.local", "model.window", "model.input_feeding", "model.reach"),
        _luong,
        "model.attention luong of a recurrent decoder",
    ),
    _Use(("model.window",), lambda config: config.model.local is not None, "model.local m or p"),
    _Use(("model.reach",), lambda config: config.model.score == "location", "model.score location"),
    _Use(("model.transformer.",), lambda config: "transformer" in _kinds(config), "Transformers"),
    _Use(
        ("model.transformer.max_length",),
        lambda config: config.model.transformer.positions == "learned",
        "model.transformer.positions learned",
    ),
)
