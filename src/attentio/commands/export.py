"""attentio export RUN --to huggingface [--out DIR]: a trained model as transformers opens it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

HELP = "write a trained Transformer in another library's format"
TAKES_OVERRIDES = False

_PIPELINE = """\
    from transformers import pipeline
    {verb} = pipeline("{task}", "{out}")
    {verb}("{text}")"""

_TRANSLATION = """\
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    tokenizer, model = AutoTokenizer.from_pretrained("{out}"), AutoModelForSeq2SeqLM.from_pretrained("{out}")
    {decode}(model.generate(**tokenizer("...", return_tensors="pt"))[0], skip_special_tokens=True)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "huggingface: a masked language model as BERT, a causal one as GPT-2, an encoder-decoder as Marian.\n"
        "Options that those do not have are refused by name. attentio reads such a directory too."
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory, made by attentio train")
    parser.add_argument("--to", choices=("huggingface",), required=True, help="the format")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where to write (default: RUN/huggingface)")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from attentio.commands.loading import load_directory
    from attentio.errors import AttentioError
    from attentio.export.huggingface import write
    from attentio.text.tokenizer import Tokenizer

    loaded = load_directory(arguments.run)
    tokenizers = [tokenizer for tokenizer in loaded.tokenizers if isinstance(tokenizer, Tokenizer)]
    if not tokenizers:
        raise AttentioError(f"{arguments.run} is in that format already; copy it")
    out: Path = arguments.out or arguments.run / "huggingface"
    decoding = loaded.config.decoding
    write(loaded.model, tokenizers, out, beam=decoding.beam, length_penalty=decoding.length_penalty)
    print(f"wrote {out}; to open it:\n\n{_snippet(out, loaded.config.model.type)}")
    return 0


def _snippet(out: Path, kind: str) -> str:
    if kind == "masked-lm":
        return _PIPELINE.format(verb="fill", task="fill-mask", out=out, text="... <mask> ...")
    if kind == "causal-lm":
        return _PIPELINE.format(verb="generate", task="text-generation", out=out, text="...")
    decode = "tokenizer.decode"
    if (out / "target" / "tokenizer.json").is_file():
        decode = f'AutoTokenizer.from_pretrained("{out / "target"}").decode'
    return _TRANSLATION.format(out=out, decode=decode)
