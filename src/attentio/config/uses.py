"""Which keys do something in a configuration. Light to import."""

from collections.abc import Callable, Iterable

from attentio.config.schema import Config


def without_use(config: Config, keys: Iterable[str]) -> str | None:
    """The first of the keys that does nothing in this configuration, and what it is for; None if all do something."""
    for key in keys:
        for has_use, what in purposes(key):
            if not has_use(config):
                return f"{key} does nothing here; it is for {what}"
    return None


def purposes(key: str) -> list[tuple[Callable[[Config], bool], str]]:
    """What a key is for: whether it does something in a configuration, and that in words; all must hold."""
    return [
        (has_use, said)
        for names, has_use, said in _USES
        if any(key.startswith(name) if name.endswith(".") else key == name for name in names.split())
    ]


def _pairs(config: Config) -> bool:
    return config.model.type == "encoder-decoder"


def _rows_of_two(config: Config) -> bool:
    return config.model.type in ("encoder-decoder", "labeller")


def _recurrent_decoder(config: Config) -> bool:
    return _pairs(config) and config.model.decoder == "recurrent"


def _luong(config: Config) -> bool:
    return _recurrent_decoder(config) and config.model.attention == "luong"


def _own(config: Config) -> bool:
    return _recurrent_decoder(config) and ".py:" in config.model.attention


def _hard(config: Config) -> bool:
    return _recurrent_decoder(config) and config.model.attention in ("hard", "hard-monotonic")


def parts_of(config: Config) -> set[str]:
    """What the model is made of: recurrent, transformer."""
    return {config.model.encoder, config.model.decoder} if _pairs(config) else {"transformer"}


_WITH_LOGITS = "models without model.copy, hard attention and transducer"

_USES: tuple[tuple[str, Callable[[Config], bool], str], ...] = (
    (
        "text.shared text.target. model.encoder model.decoder decoding. evaluation.",
        _pairs,
        "model.type encoder-decoder",
    ),
    (
        "data.separator data.columns data.header training.samples",
        _rows_of_two,
        "model.type encoder-decoder or labeller",
    ),
    ("data.document", lambda config: not _rows_of_two(config), "language models"),
    ("model.labels", lambda config: config.model.type == "labeller", "model.type labeller"),
    ("text.target.", lambda config: not config.text.shared, "text.shared false"),
    ("text.source.bpe_dropout", _pairs, "model.type encoder-decoder"),
    ("text.source.bpe_dropout", lambda config: config.text.source.tokenizer == "bpe", "text.source.tokenizer bpe"),
    ("text.target.bpe_dropout", lambda config: config.text.target.tokenizer == "bpe", "text.target.tokenizer bpe"),
    ("text.extend", lambda config: config.init is not None, "going on from a trained model, with --init RUN"),
    ("data.unlabelled data.features training.distill", _pairs, "model.type encoder-decoder"),
    (
        "data.unlabelled training.distill training.distill_weight",
        lambda config: config.teacher is not None,
        "learning from another model, with --teacher RUN",
    ),
    ("training.distill_weight", lambda config: config.training.distill == "tokens", "training.distill tokens"),
    ("text.block", lambda config: not _pairs(config), "language models and labellers"),
    ("masking.", lambda config: config.model.type == "masked-lm", "model.type masked-lm"),
    ("masking.mean_span", lambda config: config.masking.unit == "span", "masking.unit span"),
    ("model.encoder_layers", lambda config: config.model.type != "causal-lm", "models that have an encoder"),
    (
        "model.decoder_layers",
        lambda config: config.model.type in ("encoder-decoder", "causal-lm"),
        "models that have a decoder",
    ),
    (
        "model.cell model.embedding model.hidden",
        lambda config: "recurrent" in parts_of(config),
        "recurrent parts; a Transformer has model.transformer.width",
    ),
    (
        "model.encoder_hidden",
        lambda config: _pairs(config) and config.model.encoder == "recurrent",
        "a recurrent encoder",
    ),
    ("model.attention", _recurrent_decoder, "a recurrent decoder"),
    (
        "model.normalize",
        lambda config: (
            "transformer" in parts_of(config)
            or (_recurrent_decoder(config) and config.model.attention in ("bahdanau", "luong", "delayed"))
        ),
        "Transformers, and model.attention bahdanau, luong and delayed",
    ),
    (
        "model.score model.local model.reach",
        _luong,
        "model.attention luong of a recurrent decoder",
    ),
    (
        "model.input_feeding",
        lambda config: _luong(config) or _own(config),
        "model.attention luong, or of your own, of a recurrent decoder",
    ),
    (
        "model.readout",
        lambda config: _recurrent_decoder(config) and config.model.attention == "bahdanau",
        "model.attention bahdanau of a recurrent decoder",
    ),
    (
        "model.copy",
        lambda config: (
            _own(config) or (_recurrent_decoder(config) and config.model.attention in ("bahdanau", "luong", "delayed"))
        ),
        "a recurrent decoder with model.attention bahdanau, luong or delayed, or of your own",
    ),
    ("model.coverage", lambda config: config.model.copy, "model.copy true"),
    ("model.coverage", lambda config: not _own(config), "an attention that comes along"),
    ("model.order", _hard, "model.attention hard or hard-monotonic of a recurrent decoder"),
    (
        "model.window",
        lambda config: config.model.order == 1 if _hard(config) else _luong(config) and config.model.local is not None,
        "model.local m or p of model.attention luong, and model.order 1 of hard attention",
    ),
    (
        "training.watch",
        lambda config: "transformer" in parts_of(config) or config.model.attention != "none",
        "models with attention",
    ),
    ("training.label_smoothing", lambda config: not config.model.has_own_likelihood, _WITH_LOGITS),
    (
        "training.r_drop",
        lambda config: config.model.dropout > 0,
        "models with dropout",
    ),
    ("training.r_drop", lambda config: not config.model.copy, "models without model.copy"),
    ("model.reach", lambda config: config.model.score == "location", "model.score location"),
    ("model.transformer.", lambda config: "transformer" in parts_of(config), "Transformers"),
    ("model.transformer.scale_embedding", _pairs, "model.type encoder-decoder"),
    (
        "model.transformer.embedding_norm",
        lambda config: config.model.type == "causal-lm" or (not _pairs(config) and config.model.transformer.pre_norm),
        "causal language models, and for masked ones and labellers with model.transformer.pre_norm true",
    ),
    (
        "model.transformer.max_length",
        lambda config: config.model.transformer.positions == "learned",
        "model.transformer.positions learned",
    ),
)
"""Keys (all that begin with one that ends in a dot), in which configurations they do something, and that in words."""
