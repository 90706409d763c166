"""A run read back, from its directory or a bundle: its configuration, tokenizers and trained model."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from attentio.config.read import load_run
from attentio.config.schema import Config, DataConfig, DecodingConfig, SideConfig, TextConfig
from attentio.devices import device_called
from attentio.errors import AttentioError
from attentio.huggingface import is_directory
from attentio.runs import bundle
from attentio.runs.archive import WEIGHTS
from attentio.runs.build import Blueprint, Tokenizers, more_than
from attentio.runs.own_code import Files, own_code, tell_changes
from attentio.runs.places import resolve
from attentio.runs.sums import check_sums
from attentio.training.average import mean_of
from attentio.training.checkpoint import POINTERS, Checkpoint, Checkpoints

if TYPE_CHECKING:
    from attentio.huggingface.directory import Settings

_ORDINARY = 2**27
"""Numbers, half a gigabyte: a model in a bundle that may have more is first built without memory, which takes torch two
seconds more."""


class Contents(NamedTuple):
    """What a run holds.

    path: its directory, or the file that is a bundle. model: of the class that belongs to `config.model.type`.
    """

    path: Path
    config: Config
    tokenizers: Tokenizers[Any]
    model: Any


def load_directory(
    path: str | Path,
    blueprints: Iterable[Blueprint],
    *,
    checkpoint: str = "best",
    device: str | torch.device = "auto",
    allow_code: Files = (),
) -> Contents:
    """Read a run directory, a bundle, or a model directory of Hugging Face.

    path: of one of these, or the name of a model that comes along.
    blueprints: of the types of model that are taken. device: see `devices.device_called`.
    allow_code: files of the user's own code that the configuration may name.
    checkpoint: of a run directory: "best", "last", or "average:N", the mean of the weights of the newest N.

    Raises AttentioError for what is none of these, that holds a model of another type, or whose files are
    missing, truncated or altered.
    """
    called, path = Path(path), resolve(path)  # a model that comes along is told by its name, not by where it is
    device, averaged = device_called(device), _averaged(checkpoint)
    taken = {blueprint.type: blueprint for blueprint in blueprints}
    if not path.is_dir() or is_directory(path):
        if checkpoint != "best":
            raise AttentioError(f"{called} holds one set of weights and no checkpoints; leave checkpoint out")
        contents = _pretrained(path) if path.is_dir() else _bundled(path, called, taken, allow_code)
        _check_type(called, contents.config, taken)
        return contents._replace(path=called, model=contents.model.to(device))
    if not (path / "config.yaml").is_file():
        raise AttentioError(f"{path} is not a run directory: it has no config.yaml; `attentio train` makes one")
    config = load_run(path)
    _check_type(path, config, taken)
    blueprint = taken[config.model.type]
    own = own_code(config.model, allow_code, str(path))
    tokenizers = blueprint.load_tokenizers(path / "tokenizer", config)
    with torch.random.fork_rng(devices=[]):  # the first weights are not kept, so no random number is used up
        model = blueprint.build_model(config.model, tokenizers, seed=0, own=own)
    checkpoints = Checkpoints(path)
    if averaged:
        steps = checkpoints.load_latest(averaged, WEIGHTS)
        _copy(mean_of(_checked(path, config, saved, model) for saved in steps), model)
        check_finite(model, str(checkpoints.steps))
    else:
        saved = checkpoints.load(checkpoint, WEIGHTS)
        tell_changes(own, saved.facts, path)
        _copy(_checked(path, config, saved, model), model)
        check_finite(model, str(saved.path))
    return Contents(path, config, tokenizers, model.to(device))


def _averaged(checkpoint: str) -> int | None:
    """Over how many checkpoints the weights are averaged, None for those of one."""
    if checkpoint in POINTERS:
        return None
    if found := re.fullmatch(r"average:([1-9][0-9]{0,5})", checkpoint):
        return int(found[1])
    raise AttentioError(f"checkpoint must be best, last or average:N, such as average:3, got {checkpoint[:40]!r}")


def _checked(path: Path, config: Config, saved: Checkpoint, model: nn.Module) -> dict[str, Tensor]:
    """The weights of a checkpoint; AttentioError where they do not belong to the run."""
    check_sums(path, config, saved)
    weights = saved.tensors[WEIGHTS]
    if not bundle.fits(weights, model):
        raise AttentioError(
            f"{saved.path} does not fit {path / 'config.yaml'}: one of them has been changed since training"
        )
    return weights


def _bundled(path: Path, called: Path, taken: Mapping[str, Blueprint], allow_code: Files) -> Contents:
    found = bundle.read(path)
    config = found.config
    _check_type(called, config, taken)
    blueprint, own = taken[config.model.type], own_code(config.model, allow_code, str(called))
    tokenizers = blueprint.tokenizers_in(found.entries, config, path)
    with torch.random.fork_rng(devices=[]):
        try:
            large = more_than(config.model, tokenizers) > _ORDINARY  # a stranger's file may ask for anything
            with torch.device("meta" if large else "cpu"):
                model = blueprint.build(config.model, tokenizers, own)
            fits = bundle.fits(found.tensors, model)
        except ValueError:  # sizes that do not go together
            fits = False
        if not fits:
            raise AttentioError(f"{path}: the weights do not fit its config.yaml; copy the bundle again")
        if large:
            model = blueprint.build_model(config.model, tokenizers, seed=0, own=own)
    _copy(found.tensors, model)
    check_finite(model, str(path))
    return Contents(path, config, tokenizers, model)


def _check_type(path: Path, config: Config, taken: Iterable[str]) -> None:
    if config.model.type not in taken:
        raise AttentioError(f"{path} holds a model of type {config.model.type}; attentio.load opens every type")


def _pretrained(path: Path) -> Contents:
    """A model from elsewhere."""
    from attentio.huggingface.directory import read

    found = read(path)
    check_finite(found.model, str(path))
    sides = Tokenizers(found.tokenizers[0], found.tokenizers[-1], shared=found.settings.shared)
    return Contents(path, configured(path.name, found.settings), sides, found.model)


def configured(name: str, settings: "Settings") -> Config:
    """The configuration of a model from elsewhere: how to use it, and nothing of how it was made."""
    side = SideConfig(tokenizer="pretrained")
    return Config(
        name=name,
        data=DataConfig(train=""),
        # Its tokenizer does what it wants done to a text.
        text=TextConfig(
            source=side, target=side, shared=settings.shared, block=settings.facts.max_length, normalize="none"
        ),
        model=settings.config,
        decoding=DecodingConfig(beam=settings.facts.beam),
    )


def check_finite(model: nn.Module, source: str) -> None:
    """AttentioError for weights that are infinite or no number; `source` begins the message."""
    for name, parameter in model.named_parameters():
        # The sum alone passes over the values, without a copy of them; it can overflow where they are finite.
        if not parameter.sum().isfinite() and not parameter.isfinite().all():
            raise AttentioError(
                f"{source}: the weights are not finite ({name}); train again with a lower training.learning_rate"
            )


def _copy(tensors: Mapping[str, Tensor], model: nn.Module) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[name])
