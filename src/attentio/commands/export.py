"""attentio export RUN --to FORMAT [--out PATH]: a trained model as transformers opens it, or as one small file."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attentio.commands.words import said

if TYPE_CHECKING:
    from attentio.runs.directory import Contents

TAKES_OVERRIDES = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "huggingface: a masked language model as BERT, a causal one as GPT-2, an encoder-decoder as Marian.\n"
        "An option that these lack is refused by name. attentio can read such a directory too.\n"
        "bundle: one file with the configuration, the tokenizers and the best weights in half precision, which every\n"
        "verb takes as a RUN."
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory, made by attentio train")
    parser.add_argument("--to", choices=("huggingface", "bundle"), required=True, help="the format")
    parser.add_argument(
        "--out", metavar="PATH", type=Path, help="where to write (default: RUN/huggingface, or RUN/NAME.zip)"
    )


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from attentio.errors import AttentioError
    from attentio.huggingface import is_directory
    from attentio.runs.load import read
    from attentio.runs.places import resolve

    path = resolve(arguments.run)
    theirs = is_directory(path)
    if arguments.to == "bundle" and theirs:
        raise AttentioError(f"{path} is of Hugging Face; a bundle is made of a run directory of attentio train")
    if theirs or (arguments.to == "bundle" and path.is_file()):
        raise AttentioError(f"{path} is in that format already; copy it")
    found = read(path, device="cpu")
    if arguments.to == "bundle":
        return _bundle(found, arguments.out)
    return _huggingface(found, arguments.run, arguments.out)


def _huggingface(found: "Contents", run: Path, out: Path | None) -> int:
    from attentio.errors import AttentioError
    from attentio.huggingface.directory import ARCHITECTURES, write
    from attentio.runs.places import outputs_folder
    from attentio.runs.tasks import task_of

    if found.config.model.type not in ARCHITECTURES:
        raise AttentioError("a labeller cannot be written for transformers; export it as a bundle")
    out = out or outputs_folder(run, "huggingface")
    decoding = found.config.decoding
    tokenizers = [found.tokenizers.source, found.tokenizers.target]
    write(found.model, tokenizers, out, beam=decoding.beam, length_penalty=decoding.length_penalty)
    print(f"{said(f'wrote {out}; to open it:')}\n\n{task_of(found.config).transformers_snippet(out)}")
    return 0


def _bundle(found: "Contents", out: Path | None) -> int:
    import shlex

    from attentio.runs.bundle import write
    from attentio.runs.card import make_card
    from attentio.runs.tasks import task_of
    from attentio.training.checkpoint import Checkpoints

    out = out or found.path / f"{found.config.name}.zip"
    checkpoint, report = Checkpoints(found.path).path("best"), found.path / "evaluation" / "scores.json"
    # An evaluation from before the checkpoint was of another one.
    current = report.is_file() and report.stat().st_mtime >= checkpoint.stat().st_mtime
    card = make_card(
        found.config,
        parameters=sum(parameter.numel() for parameter in found.model.parameters()),
        step=int(checkpoint.name.removeprefix("step-")),
        report=report if current else None,
    )
    write(out, found.config, found.tokenizers, found.model, card)
    place = shlex.quote(str(out))
    print(said(f"wrote {out}, {out.stat().st_size:,} bytes; now try"))
    print(f"  attentio {task_of(found.config).example(place)}")
    return 0
