"""attentio train PRESET_OR_YAML [--run DIR] [--key.sub value ...]"""

import argparse
import fcntl
import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from attentio.commands.config import load_config, preset_names, to_yaml
from attentio.commands.options import Config, TrainingConfig
from attentio.errors import AttentioError

if TYPE_CHECKING:
    from torch import nn

    from attentio.commands.build import Tokenizers
    from attentio.commands.corpora import Part
    from attentio.training.loop import Recipe
    from attentio.training.records import Row

HELP = "train a model; the same command again goes on where it stopped"
TAKES_OVERRIDES = True

MAY_CHANGE = {
    f"training.{key}"
    for key in ("max_steps", "patience", "checkpoint_every", "log_every", "keep_checkpoints", "samples")
}
"""Keys in which a resumed run may differ from its beginning; any other would make it another run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = f"presets: {', '.join(preset_names())}"
    parser.add_argument(
        "config", metavar="PRESET_OR_YAML", help="a preset, a YAML file, or a run directory to go on with"
    )
    parser.add_argument("--run", type=Path, metavar="DIR", help="where to write (default: runs/NAME)")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    given = Path(arguments.config)
    if (given / "config.yaml").is_file():
        return train(load_config(str(given / "config.yaml"), overrides), arguments.run or given)
    config = load_config(arguments.config, overrides)
    return train(config, arguments.run or Path("runs") / config.name)


def train(config: Config, folder: Path) -> int:
    """Train as `config` says and leave everything in `folder`. Returns the exit code."""
    from lightning_fabric import Fabric
    from rich.console import Console

    from attentio.commands.build import build_model
    from attentio.commands.corpora import make_corpus, make_validation, read_part, validation_metrics
    from attentio.commands.progress import training_progress
    from attentio.commands.run import Run
    from attentio.evaluation.metrics import score
    from attentio.layers.unchanging import unchanging_weights
    from attentio.models.encoder_decoder import EncoderDecoder
    from attentio.training.checkpoint import Checkpoints
    from attentio.training.loop import Trainer
    from attentio.training.records import Records

    console = Console(stderr=True, emoji=False, highlight=False)
    options = config.training
    # A BLEU tokenizer that cannot be used is told now, not at the first validation.
    score(["x"], [["x"]], metrics=config.evaluation.metrics, bleu_tokenize=config.evaluation.bleu_tokenize)
    train_part, dev_part = read_part(config, config.data.train), read_part(config, config.data.dev)
    checkpoints = Checkpoints(folder, keep=options.keep_checkpoints)
    with _alone_in(folder):
        tokenizers = _prepare(folder, config, train_part, dev_part, resuming=checkpoints.exists())
        model = build_model(config.model, tokenizers, seed=options.seed)
        _introduce(console, folder, train_part, dev_part, tokenizers, model)

        def translate(texts: list[str]) -> list[str]:
            assert isinstance(model, EncoderDecoder)
            with unchanging_weights():  # without loops, which would be taken up at another place after a restart
                found = Run(folder, config, tokenizers, model).candidates(texts, beam=1, attention=False)
            return [best[0].text for best in found]

        trainer = Trainer(
            model,
            _recipe(options),
            checkpoints,
            fabric=Fabric(accelerator="auto", devices=1, precision=options.precision),
            corpus=make_corpus(config, train_part, tokenizers, seed=options.seed),
            validate=make_validation(
                config, dev_part, tokenizers, translate, lambda text: console.print(text, markup=False, soft_wrap=True)
            ),
        )
        if checkpoints.exists():
            trainer.resume()
            console.print(f"going on after step {trainer.progress.step}")
        with (
            _stop_signals() as received,
            Records(folder, validation_metrics(config), after=trainer.progress.step) as records,
            training_progress(console, options.max_steps, trainer.progress.step) as show,
        ):

            def record(row: "Row") -> None:
                records.write(row)
                show(row)

            progress = trainer.run(record, should_stop=lambda: bool(received))
    if received:
        console.print(f"stopped and saved at step {progress.step}; the same command goes on from there")
        return 128 + received[0]
    use = {
        "encoder-decoder": f"translate {folder}",
        "masked-lm": f'fill {folder} "a text with a [MASK] in it"',
        "causal-lm": f'generate {folder} "a beginning"',
    }[config.model.type]
    console.print(
        f"finished at step {progress.step}; the best was step {progress.best_step}. Now try\n"
        f"  attentio evaluate {folder}\n  attentio {use}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return 0


def _recipe(options: TrainingConfig) -> "Recipe":
    from attentio.training.loop import Recipe

    shared = set(Recipe.__dataclass_fields__) & set(vars(options))
    return Recipe(peak_learning_rate=options.learning_rate, **{key: getattr(options, key) for key in shared})


def _prepare(folder: Path, config: Config, train_part: "Part", dev_part: "Part", *, resuming: bool) -> "Tokenizers":
    """Write what the later commands need before training starts, or check that it still holds."""
    from attentio.commands.build import Tokenizers
    from attentio.commands.corpora import learn_tokenizers

    facts = {"train": train_part.facts(), "dev": dev_part.facts()}
    if resuming:
        if not (folder / "config.yaml").is_file():
            raise AttentioError(
                f"{folder} holds checkpoints and no config.yaml; choose another --run, or remove it to begin anew"
            )
        begun = load_config(str(folder / "config.yaml"))
        different = {
            key for key, value in _flat(asdict(config)).items() if _flat(asdict(begun)).get(key) != value
        } - MAY_CHANGE
        if different:
            raise AttentioError(
                f"{folder} was begun with another {', '.join(sorted(different))}; "
                f"choose another --run, or remove {folder} to begin anew"
            )
        try:
            content = json.loads((folder / "data.json").read_text())
            known = {part: content[part]["sha256"] for part in facts}
        except (OSError, ValueError, KeyError, TypeError):
            raise AttentioError(f"{folder / 'data.json'} is damaged; choose another --run to begin anew") from None
        for part, fact in facts.items():
            if known[part] != fact["sha256"]:
                raise AttentioError(f"{fact['name']} has changed since {folder} was begun; choose another --run")
        tokenizers = Tokenizers.load(folder / "tokenizer", config)
    else:
        tokenizers = learn_tokenizers(config, train_part)
        tokenizers.save(folder / "tokenizer")
        (folder / "data.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    beside = folder / "config.yaml.new"
    beside.write_text(to_yaml(config), encoding="utf-8")
    os.replace(beside, folder / "config.yaml")  # at no moment is it half written
    return tokenizers


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _introduce(
    console: Any,
    folder: Path,
    train_part: "Part",
    dev_part: "Part",
    tokenizers: "Tokenizers",
    model: "nn.Module",
) -> None:
    for part in (train_part, dev_part):
        console.print(f"{part.name}: {len(part.items):,} {part.unit}", markup=False, soft_wrap=True)
        if part.skipped:
            console.print(
                f"  skipped {len(part.skipped):,} bad lines; the first: {part.skipped[0]}", markup=False, soft_wrap=True
            )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    sizes = dict.fromkeys(f"{tokenizer.size:,}" for tokenizer in tokenizers)
    console.print(
        f"vocabulary: {' and '.join(sizes)}; {parameters:,} parameters; writing to {folder}",
        highlight=False,
    )


@contextmanager
def _alone_in(folder: Path) -> Iterator[IO[str]]:
    """The run directory, created if need be and held against a second process until the end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise AttentioError(f"cannot write to {folder}: {error.strerror}; choose another --run") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AttentioError(f"another process is training in {folder}; wait, or choose another --run") from None
        yield lock


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Inside, SIGINT and SIGTERM are only noted, so that the step in hand can be finished and saved."""
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
