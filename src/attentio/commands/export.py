"""attentio export RUN --to FORMAT [--out PATH]: a trained model as other programs open it, or as one small file."""

import argparse
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attentio.commands.words import said

if TYPE_CHECKING:
    from attentio.export.ctranslate2 import Type
    from attentio.export.tokenizers import Exported
    from attentio.runs.directory import Contents

TAKES_OVERRIDES = False

_CTRANSLATE2 = """\
    import ctranslate2, tokenizers
    out = {out!r}
    source = tokenizers.Tokenizer.from_file(out + "/source_tokenizer.json")
    target = tokenizers.Tokenizer.from_file(out + "/target_tokenizer.json")
    tokens = [*source.encode("...", add_special_tokens=False).tokens, "{end}"]
    found = ctranslate2.Translator(out).translate_batch([tokens], beam_size=1, min_decoding_length=0)[0]
    target.decode([target.token_to_id(token) for token in found.hypotheses[0]])"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "huggingface: a masked language model as BERT, a causal one as GPT-2, an encoder-decoder as Marian.\n"
        "An option that these lack is refused by name. attentio can read such a directory too.\n"
        "bundle: one file with the configuration, the tokenizers and the best weights in half precision, which every\n"
        "verb takes as a RUN.\n"
        "ctranslate2: an encoder-decoder of two Transformers for CTranslate2, a fast translator in C++.\n"
        "onnx: an encoder-decoder without hard attention, transducer or model.copy, as a graph that reads and one\n"
        "that takes a step of decoding."
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        help="a run directory; also a bundle or a model that comes along, but not for --to bundle; for ctranslate2 and "
        "onnx also a directory of Hugging Face",
    )
    parser.add_argument(
        "--to", choices=("huggingface", "bundle", "ctranslate2", "onnx"), required=True, help="the format"
    )
    parser.add_argument(
        "--type",
        choices=("float32", "int8"),
        help="of the weights, for --to ctranslate2: int8 is smaller and faster, and rounds (default: float32)",
    )
    parser.add_argument(
        "--out", metavar="PATH", type=Path, help="where to write (default: RUN/FORMAT, or RUN/NAME.zip for a bundle)"
    )


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from attentio.errors import AttentioError
    from attentio.huggingface import is_directory
    from attentio.runs.load import read
    from attentio.runs.places import resolve

    if arguments.type and arguments.to != "ctranslate2":
        raise AttentioError("--type is for --to ctranslate2; leave it out")
    path = resolve(arguments.run)
    theirs = is_directory(path)
    if arguments.to == "bundle" and theirs:
        raise AttentioError(f"{path} is of Hugging Face; a bundle is made of a run directory of attentio train")
    if (theirs and arguments.to == "huggingface") or (arguments.to == "bundle" and path.is_file()):
        raise AttentioError(f"{arguments.run} is in that format already; copy it")
    found = read(path, device="cpu", allow_code=arguments.allow_code)
    if arguments.to == "bundle":
        return _bundle(found, arguments.out)
    if arguments.to == "onnx":
        return _onnx(found, arguments.run, arguments.out)
    if arguments.to == "ctranslate2":
        return _ctranslate2(found, arguments.run, arguments.out, arguments.type or "float32")
    return _huggingface(found, arguments.run, arguments.out)


def _huggingface(found: "Contents", run: Path, out: Path | None) -> int:
    from attentio.errors import AttentioError
    from attentio.huggingface.directory import ARCHITECTURES, OF_TARGET, write
    from attentio.runs.places import outputs_folder
    from attentio.runs.tasks import task_of

    if found.config.model.type not in ARCHITECTURES:
        raise AttentioError("a labeller cannot be written for transformers; export it as a bundle")
    _refuse_features(found)
    out = _empty(out) if out else outputs_folder(run, "huggingface")
    decoding = found.config.decoding
    tokenizers = [found.tokenizers.source, found.tokenizers.target]
    with _whole(out, stale=OF_TARGET) as folder:
        write(found.model, tokenizers, folder, beam=decoding.beam, length_penalty=decoding.length_penalty)
    print(f"{said(f'wrote {out}; to open it:')}\n\n{task_of(found.config).transformers_snippet(out)}")
    return 0


def _ctranslate2(found: "Contents", run: Path, out: Path | None, type: "Type") -> int:
    from attentio.export.ctranslate2 import VOCABULARIES, write
    from attentio.export.tokenizers import write_tokenizers
    from attentio.runs.places import outputs_folder
    from attentio.runs.vocabulary import needed, suppressed_ids

    (source, target), out = _sides(found), _empty(out) if out else outputs_folder(run, "ctranslate2")
    end = needed(target.end, "end", found.path)
    silent = suppressed_ids(target, found.model.output.out_features, but=end)
    with _whole(out, stale=VOCABULARIES) as folder:
        write(found.model, source, target, folder, silent=silent, type=type)
        write_tokenizers(source, target, folder)
    print(
        f"{said(f'wrote {out}; to open it:')}\n\n{_CTRANSLATE2.format(out=out.as_posix(), end=target.tokens([end])[0])}"
    )
    return 0


def _onnx(found: "Contents", path: Path, out: Path | None) -> int:
    from rich.console import Console

    from attentio.export.onnx import write
    from attentio.export.tokenizers import write_tokenizers
    from attentio.runs.places import outputs_folder
    from attentio.runs.searcher import EXTRA_OUTPUT_TOKENS
    from attentio.runs.translator import Run

    (source, target), out = _sides(found), _empty(out) if out else outputs_folder(path, "onnx")
    ours = Run.of(found)
    facts = {
        "source_end": ours.source_end,
        "begin": ours.begin,
        "end": ours.end,
        "never": ours.suppressed,
        "max_length_ratio": ours.config.decoding.max_length_ratio,
        "extra_output_tokens": EXTRA_OUTPUT_TOKENS,
    }
    with Console(stderr=True).status(said("writing the two graphs")), _whole(out) as folder:
        write(found.model, folder, facts)
        write_tokenizers(source, target, folder)
    print(said(f"wrote {out}; docs/export.md shows how to decode with it"))
    return 0


def _empty(out: Path) -> Path:
    """The folder that was asked for; AttentioError where files are that would be written over."""
    from attentio.errors import AttentioError

    if out.exists() and not out.is_dir():
        raise AttentioError(f"{out} is a file; name a folder that is new or empty")
    if out.is_dir() and any(out.iterdir()):
        raise AttentioError(f"{out} holds files already; name a folder that is new or empty")
    return out


@contextmanager
def _whole(out: Path, *, stale: Collection[str] = ()) -> Iterator[Path]:
    """A folder to write into; what is in it then comes to `out` at once, in place of an export that was there.

    Where it is interrupted while files come there, some are missing, and none are of another export.

    stale: files of an earlier export that this one may not have.
    """
    from attentio.system import beside, naming, sync

    out = out.resolve()
    new = beside(out)
    try:
        with naming(out):
            new.mkdir(parents=True)
            yield new
            names = [str(path.relative_to(new)) for path in new.rglob("*") if path.is_file()]
            for name in names:
                sync(new / name)
            for name in {*names, *stale}:
                (out / name).unlink(missing_ok=True)
            for name in names:
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(new / name, out / name)
            sync(out)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _sides(found: "Contents") -> "tuple[Exported, Exported]":
    """The tokenizers of source and target; AttentioError where the model has no two sides."""
    from attentio.errors import AttentioError

    if found.config.model.type != "encoder-decoder":
        raise AttentioError(
            f"{found.path} holds a model of type {found.config.model.type}; only an encoder-decoder can be exported so"
        )
    _refuse_features(found)
    return found.tokenizers.source, found.tokenizers.target


def _refuse_features(found: "Contents") -> None:
    from attentio.errors import AttentioError
    from attentio.text.featured import FeaturedTokenizer

    if isinstance(found.tokenizers.source, FeaturedTokenizer):
        raise AttentioError(f"{found.path} is trained with features, which no other format has; choose --to bundle")


def _bundle(found: "Contents", out: Path | None) -> int:
    import shlex

    from attentio.errors import AttentioError
    from attentio.files import read_json
    from attentio.runs.archive import is_bundle
    from attentio.runs.build import parameters_of
    from attentio.runs.bundle import write
    from attentio.runs.card import make_card
    from attentio.runs.examples import examples
    from attentio.runs.sums import weights_sum
    from attentio.runs.tasks import task_of
    from attentio.training.checkpoint import Checkpoints

    out = out or found.path / f"{found.config.name}.zip"
    if out.is_dir():
        raise AttentioError(f"{out} is a folder; name a file, such as {out / found.config.name}.zip")
    if out.exists() and not is_bundle(out):
        raise AttentioError(f"{out} is a file already, and no bundle; name another one")
    checkpoint, report = Checkpoints(found.path).path("best"), found.path / "evaluation" / "scores.json"
    current = report.is_file() and read_json(report).get("weights_sha256") == weights_sum(found.model)
    card = make_card(
        found.config,
        parameters=parameters_of(found.model),
        step=int(checkpoint.name.removeprefix("step-")),
        report=report if current else None,
        examples=examples(found.path, found.config),
    )
    write(out, found.config, found.tokenizers, found.model, card)
    place = shlex.quote(str(out))
    print(said(f"wrote {out}, {out.stat().st_size:,} bytes; now try"))
    print(f"  attentio {task_of(found.config).example(place)}")
    return 0
