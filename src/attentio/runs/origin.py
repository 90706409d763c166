"""The configuration of a training that begins with the weights of a trained model. Light to import."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from attentio.config.read import config_in, keys_of, leaves, load_run
from attentio.config.schema import Config
from attentio.errors import AttentioError
from attentio.huggingface import is_directory
from attentio.runs.archive import CONFIG, unpack
from attentio.runs.places import resolve, runs_in

_OF_TRAINING = ("text.source.bpe_dropout", "text.target.bpe_dropout")
"""Keys of `text` that the tokenizers do not keep."""

_OWN = ("model.type", "text.extend", *_OF_TRAINING)
"""Keys of `model` and `text` that are not taken over. Nor is `model.labels` of a model that has none."""

_NOT_OF_TOKENIZERS = ("text.normalize", "text.block", "text.extend", *_OF_TRAINING)


def config_of(run: str) -> Config:
    """The configuration of a run directory, a bundle, a model that comes along or a directory of Hugging Face.

    Raises AttentioError for anything else, and for a model from elsewhere that is none of those that are trained here.
    """
    path = resolve(run)
    if is_directory(path):
        from attentio.huggingface.directory import read_settings
        from attentio.runs.directory import configured

        settings = read_settings(path)
        if settings.of_decoder != settings.config:
            raise AttentioError(
                f"{path}: heads or feed-forward layers of its decoder are of other sizes than those of its encoder; "
                "it can be used, but what is trained here has the same on both sides"
            )
        return configured(path.name, settings)
    if path.is_file():
        return config_in(unpack(path, CONFIG)[CONFIG].decode("utf-8", "replace"), path / CONFIG)
    if not (path / CONFIG).is_file():
        raise AttentioError(
            f"{path} is neither a run directory, a bundle nor a directory of Hugging Face; give one of these"
        )
    return load_run(path)


def taken_over(config: Config, overrides: Sequence[str], folder: Path) -> list[str]:
    """Overrides that make `model` and `text` those of `config.init`, but for what the user's overrides say.

    The probabilities of a teacher are of its own tokens, so that `text` is the teacher's where there is no `init`.

    folder: of the run. One that was trained in has its own already, wherever `init` is by now.

    Raises AttentioError for a kind of model that cannot begin with the weights of that kind, and for another value of a
    key of the tokenizers, which are kept.
    """
    taught = config.teacher if config.learns_tokens else None
    origin = config.init or (taught and str(runs_in(taught)[0]))
    if origin is None:
        return []
    begun = (folder / "checkpoints").exists() and (folder / CONFIG).is_file()
    known, given = load_run(folder) if begun else config_of(origin), keys_of(overrides)
    pairs = "encoder-decoder"
    if config.init and (config.model.type == pairs) != (known.model.type == pairs):
        raise AttentioError(
            f"init: {origin} holds a model of type {known.model.type}, whose weights are none of "
            f"{config.model.type}; give a run of that type"
        )
    wanted, kept = (dict(leaves(asdict(one))) for one in (config, known))
    for key in given:
        if key.startswith("text.") and key not in _NOT_OF_TOKENIZERS and wanted[key] != kept[key]:
            raise AttentioError(f"{key} is as {origin} has it, whose tokenizers are kept; leave it out")
    sections = ("model.", "text.") if config.init else "text."
    values = [(key, value) for key, value in kept.items() if key.startswith(sections)]
    own = (*given, *_OWN, *(("model.labels",) if known.model.type != "labeller" else ()))
    return [f"--{key}={_written(value)}" for key, value in values if key not in own]


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
