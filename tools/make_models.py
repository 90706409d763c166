"""The models that come along: trained by pinned recipes, measured, and written as bundles with their cards.

    python tools/make_models.py [--data DIR] [--work build/models] [NAME ...]

DIR holds `text/war-and-peace.{train.txt.gz,dev.txt}` and `text/korean-chatbot.csv`, which only the language models
need. A training that was stopped goes on; a bundle is measured as it is shipped, in half precision.
"""

import argparse
import csv
import gzip
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from attentio.config.schema import DataConfig
from attentio.runs.bundle import write
from attentio.runs.card import make_card, quality_in
from attentio.runs.load import read
from attentio.training.checkpoint import Checkpoints

BUNDLES = Path(__file__).parents[1] / "src" / "attentio" / "models_along"
DATES = "dates in fourteen locales, from the Unicode CLDR's patterns (Unicode License)"
CMUDICT = "the CMU Pronouncing Dictionary, without stress (BSD-2-Clause)"
KOREAN = "words of Chatbot_data for Korean (MIT), their pronunciation by the rules of attentio.data.korean"
TEXT = "War and Peace in English (public domain), questions and answers of Chatbot_data for Korean (MIT)"
LANGUAGE = (
    "--text.source.tokenizer unigram --text.source.vocab_size 4000 --text.block 128 --model.dropout 0 "
    "--model.transformer.width 128 --model.transformer.feed_forward 512 --model.transformer.pre_norm true "
    "--model.transformer.positions rotary --training.batch_tokens 1024 --training.learning_rate 0.002 "
    "--training.max_steps {steps} --training.validate_every {half}"
)


class Recipe(NamedTuple):
    """train: the words after `attentio train`. task: what the model does. learnt: from what. text: given by path."""

    train: str
    task: str
    learnt: str
    text: bool = False


RECIPES = {
    "cmudict": Recipe("cmudict", "English spelling to sounds", CMUDICT),
    "dates-none": Recipe(
        "none --training.max_steps 600 --training.validate_every 300", "dates to ISO 8601, without attention", DATES
    ),
    "dates-bahdanau": Recipe(
        "bahdanau --training.max_steps 800 --training.validate_every 400", "dates to ISO 8601", DATES
    ),
    "dates-luong": Recipe("luong", "dates to ISO 8601", DATES),
    "dates-local": Recipe("luong --model.local p --model.window 4", "dates to ISO 8601", DATES),
    "dates-transformer": Recipe(
        "transformer --training.max_steps 800 --training.validate_every 400", "dates to ISO 8601", DATES
    ),
    "korean-pronunciation": Recipe("korean-pronunciation", "Hangul as spelt to Hangul as spoken", KOREAN),
    "masked-lm": Recipe(
        "masked-lm " + LANGUAGE.format(steps=3000, half=1500), "fills holes in English and Korean", TEXT, text=True
    ),
    "causal-lm": Recipe(
        "causal-lm " + LANGUAGE.format(steps=2000, half=1000), "continues English and Korean", TEXT, text=True
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--work", type=Path, default=Path("build/models"), metavar="DIR")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - RECIPES.keys():
        parser.error(f"no recipe for {', '.join(sorted(unknown))}; there are {', '.join(RECIPES)}")
    arguments.work.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or RECIPES:
        make(name, RECIPES[name], arguments.data, arguments.work)


def make(name: str, recipe: Recipe, data: Path, work: Path) -> None:
    words, run = ["train", *shlex.split(recipe.train), "--name", name], work / name
    if recipe.text:
        train, dev = text_files(data, work)
        words += ["--data.train", str(train), "--data.dev", str(dev), "--data.test", str(dev)]
    attentio(*words, "--run", str(run))
    found, step = read(run), int(Checkpoints(run).path("best").name.removeprefix("step-"))
    # The names of the files alone: where they lay says nothing to others.
    sets = {part: Path(spec).name for part, spec in vars(found.config.data).items() if part in ("train", "dev", "test")}
    config = replace(found.config, data=replace(found.config.data, **sets)) if recipe.text else found.config
    assert isinstance(config.data, DataConfig)
    parameters = sum(parameter.numel() for parameter in found.model.parameters())
    card = {
        "name": name,
        "task": recipe.task,
        "learnt from": recipe.learnt,
        "licence": "Apache-2.0",
        **make_card(config, parameters=parameters, step=step),
        "command": shlex.join(["attentio", *words]),
    }
    bundle, evaluation = work / f"{name}.zip", work / "evaluation" / name
    write(bundle, config, found.tokenizers, found.model, card)
    attentio("evaluate", str(bundle), "--out", str(evaluation), *(["--data", str(dev)] if recipe.text else []))
    card["quality"] = quality_in(evaluation / "scores.json")
    if recipe.text:
        card["quality"]["data"], card["command"] = dev.name, card["command"].replace(f"{work}/", "")
    BUNDLES.mkdir(exist_ok=True)
    write(BUNDLES / f"{name}.zip", config, found.tokenizers, found.model, card)
    print(json.dumps(card, ensure_ascii=False, indent=1))


def text_files(data: Path, work: Path) -> tuple[Path, Path]:
    """A paragraph or sentence a line, both languages in one file; of the Korean, one line in twenty is held out."""
    with gzip.open(data / "text" / "war-and-peace.train.txt.gz", "rt", encoding="utf-8") as file:
        train = [line for line in file if line.strip()]
    dev = (data / "text" / "war-and-peace.dev.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    with (data / "text" / "korean-chatbot.csv").open(encoding="utf-8-sig", newline="") as file:
        korean = [f"{row[column]}\n" for row in csv.DictReader(file) for column in ("Q", "A")]
    parts = {
        "english-korean.train.txt": train + [line for i, line in enumerate(korean) if i % 20],
        "english-korean.dev.txt": [line for line in dev if line.strip()] + korean[::20],
    }
    for name, lines in parts.items():
        (work / name).write_text("".join(lines), encoding="utf-8")
    return work / "english-korean.train.txt", work / "english-korean.dev.txt"


def attentio(*words: str) -> None:
    print("$", shlex.join(["attentio", *words]), flush=True)
    subprocess.run([sys.executable, "-m", "attentio", *words], check=True)


if __name__ == "__main__":
    main()
