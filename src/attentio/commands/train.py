"""attentio train PRESET_OR_YAML [--run DIR] [--key.sub value ...]"""

import argparse
import fcntl
import hashlib
import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from attentio.commands.config import Config, TrainingConfig, load_config, preset_names, to_yaml
from attentio.errors import AttentioError

if TYPE_CHECKING:
    from torch import nn

    from attentio.commands.build import Tokenizers
    from attentio.commands.run import Run
    from attentio.data.pairs import Example, Pairs
    from attentio.training.loop import Recipe, Validation
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
    from attentio.commands.progress import training_progress
    from attentio.commands.run import Run
    from attentio.data.batches import EncodedPairs, epoch_batches
    from attentio.data.pairs import group_references, read_pairs
    from attentio.evaluation.metrics import score
    from attentio.training.checkpoint import Checkpoints
    from attentio.training.loop import Trainer
    from attentio.training.records import Records

    console = Console(stderr=True, emoji=False, highlight=False)
    options = config.training
    # A BLEU tokenizer that cannot be used is told now, not at the first validation.
    score(["x"], [["x"]], metrics=config.evaluation.metrics, bleu_tokenize=config.evaluation.bleu_tokenize)
    train_pairs, dev_pairs = (
        read_pairs(spec, bad_lines=config.data.bad_lines) for spec in (config.data.train, config.data.dev)
    )
    checkpoints = Checkpoints(folder, keep=options.keep_checkpoints)
    with _alone_in(folder):
        tokenizers = _prepare(folder, config, train_pairs, dev_pairs, resuming=checkpoints.exists())
        model = build_model(config.model, tokenizers, seed=options.seed)
        encoded = EncodedPairs.encode(train_pairs.pairs, *tokenizers)
        examples = _sample(group_references(dev_pairs.pairs), options.validation_size, options.seed)
        _introduce(console, folder, train_pairs, dev_pairs, tokenizers, model)

        trainer = Trainer(
            model,
            _recipe(options),
            checkpoints,
            fabric=Fabric(accelerator="auto", devices=1, precision=options.precision),
            epoch_batches=lambda epoch: epoch_batches(
                encoded.source_lengths,
                encoded.target_lengths,
                batch_tokens=options.batch_tokens,
                seed=options.seed,
                epoch=epoch,
            ),
            load=encoded.batch,
            validate=lambda _: _validate(Run(folder, config, tokenizers, model), examples, console),
        )
        if checkpoints.exists():
            trainer.resume()
            console.print(f"going on after step {trainer.progress.step}")
        with (
            _stop_signals() as received,
            Records(folder, config.evaluation.metrics, after=trainer.progress.step) as records,
            training_progress(console, options.max_steps, trainer.progress.step) as show,
        ):

            def record(row: "Row") -> None:
                records.write(row)
                show(row)

            progress = trainer.run(record, should_stop=lambda: bool(received))
    if received:
        console.print(f"stopped and saved at step {progress.step}; the same command goes on from there")
        return 128 + received[0]
    console.print(
        f"finished at step {progress.step}; the best was step {progress.best_step}. Now try\n"
        f"  attentio evaluate {folder}\n  attentio translate {folder}",
        highlight=False,
    )
    return 0


def _recipe(options: TrainingConfig) -> "Recipe":
    from attentio.training.loop import Recipe

    shared = set(Recipe.__dataclass_fields__) & set(vars(options))
    return Recipe(peak_learning_rate=options.learning_rate, **{key: getattr(options, key) for key in shared})


def _prepare(folder: Path, config: Config, train_pairs: "Pairs", dev_pairs: "Pairs", *, resuming: bool) -> "Tokenizers":
    """Write what the later commands need before training starts, or check that it still holds."""
    from attentio.commands.build import Tokenizers, build_tokenizers
    from attentio.text.tokenizer import Tokenizer

    facts = {
        part: {"name": pairs.name, "pairs": len(pairs.pairs), "sha256": _hash(pairs), "skipped": list(pairs.skipped)}
        for part, pairs in (("train", train_pairs), ("dev", dev_pairs))
    }
    if resuming:
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
        tokenizers = Tokenizers(*(Tokenizer.load(folder / "tokenizer" / f"{side}.json") for side in Tokenizers._fields))
    else:
        tokenizers = build_tokenizers(config, train_pairs.pairs)
        (folder / "tokenizer").mkdir(exist_ok=True)
        for side, tokenizer in tokenizers._asdict().items():
            tokenizer.save(folder / "tokenizer" / f"{side}.json")
        (folder / "data.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    beside = folder / "config.yaml.new"
    beside.write_text(to_yaml(config), encoding="utf-8")
    os.replace(beside, folder / "config.yaml")  # at no moment is it half written
    return tokenizers


def _hash(pairs: "Pairs") -> str:
    digest = hashlib.sha256()
    for source, target in pairs.pairs:
        digest.update(f"{source}\t{target}\n".encode())
    return digest.hexdigest()


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _sample(examples: "list[Example]", size: int, seed: int) -> "list[Example]":
    """A fixed choice of the dev set, so that validations can be compared."""
    import numpy as np

    chosen = np.random.default_rng(seed).permutation(len(examples))[:size]
    return [examples[i] for i in sorted(chosen)]


def _validate(run: "Run", examples: "Sequence[Example]", console: Any) -> "Validation":
    """Quality of greedy decoding on the dev sample, and some outputs to look at."""
    from attentio.evaluation.metrics import score
    from attentio.training.loop import Validation

    evaluation = run.config.evaluation
    outputs = run.translate([example.source for example in examples], beam=1)
    scores = score(
        [output.text for output in outputs],
        [example.references for example in examples],
        metrics=evaluation.metrics,
        units=evaluation.units,
        bleu_tokenize=evaluation.bleu_tokenize,
    )
    summary = ", ".join(f"{one.name} {one.value:.2f}" for one in scores)
    console.print(f"dev, {len(examples)} decoded greedily: {summary}")
    for example, output in list(zip(examples, outputs, strict=True))[: run.config.training.samples]:
        console.print(f"  {example.source} → {output.text}  ({example.references[0]})", highlight=False, markup=False)
    goal = scores[0].value if scores[0].higher_is_better else -scores[0].value
    return Validation(goal, {one.name: one.value for one in scores})


def _introduce(
    console: Any,
    folder: Path,
    train_pairs: "Pairs",
    dev_pairs: "Pairs",
    tokenizers: "Tokenizers",
    model: "nn.Module",
) -> None:
    for pairs in (train_pairs, dev_pairs):
        console.print(f"{pairs.name}: {len(pairs.pairs):,} pairs")
        if pairs.skipped:
            console.print(f"  skipped {len(pairs.skipped):,} bad lines; the first: {pairs.skipped[0]}", markup=False)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    console.print(
        f"vocabularies: {tokenizers.source.size:,} and {tokenizers.target.size:,}; "
        f"{parameters:,} parameters; writing to {folder}",
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
