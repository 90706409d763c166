"""The training data of the throughput benchmarks: every side trains on identical tokens.

Multi30k English-German: byte-pair pieces separated by spaces, for each language a vocabulary of 8,000
learnt on its training text, or one of 8,000 learnt on both. `train.en`, `train.de`: the segmented text.
`vocabulary.en`, `vocabulary.de`: the pieces that occur in it (where the vocabulary is shared, in either),
most frequent first, no reserved symbols; what a whitespace tokenizer finds in the text by itself.

Korean g2p: the first 3,600 words of the training file as they are: Hangul syllables, TAB, phones separated
by spaces.

Korean chatbot text: questions and answers, each a line of its own; about one line in 20, chosen by its hash, is
held out, so that the same line is never in both parts.

The few lines of the other two's `dev` are there because toolkits want some; no validation is timed.
"""

import csv
import gzip
import hashlib
from collections import Counter
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from attentio.text.tokenizer import Tokenizer

BPE_VOCABULARY = 8000
KOREAN_WORDS = 3600
DEV_LINES = 8


class Corpus(NamedTuple):
    """Where the data is, and how many target tokens (one EOS a line among them) an epoch has.

    train, dev: what `attentio train` takes as `--data.train` and `--data.dev`.
    """

    folder: Path
    train: str
    dev: str
    target_tokens: int


def multi30k(data: Path, work: Path, *, shared: bool = False) -> Corpus:
    """The segmented Multi30k text, made from `data/multi30k/train.lc.norm.tok.*.gz` if need be."""
    folder = work / ("multi30k-shared-bpe" if shared else "multi30k-bpe")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dev.de").exists():  # the last to be written
        raw = {
            language: read_lines(data / "multi30k" / f"train.lc.norm.tok.{language}.gz") for language in ("en", "de")
        }
        learnt_on = {language: [*raw["en"], *raw["de"]] if shared else lines for language, lines in raw.items()}
        segmented = {language: segment(lines, learnt_on[language]) for language, lines in raw.items()}
        for language, lines in segmented.items():
            occurring = Counter(
                piece for line in (chain(*segmented.values()) if shared else lines) for piece in line.split(" ")
            )
            write_lines(folder / f"vocabulary.{language}", [piece for piece, _ in occurring.most_common()])
            write_lines(folder / f"train.{language}", lines)
            write_lines(folder / f"dev.{language}", lines[:DEV_LINES])
    train, dev = (f"{folder / split}.en,{folder / split}.de" for split in ("train", "dev"))
    targets = (folder / "train.de").read_text(encoding="utf-8").splitlines()
    return Corpus(folder, train, dev, sum(len(line.split(" ")) + 1 for line in targets))


def korean_g2p(data: Path, work: Path) -> Corpus:
    """The first 3,600 Korean words and their phones, cut from `data/g2p/kor_train.tsv` if need be."""
    folder = work / "korean-g2p"
    folder.mkdir(parents=True, exist_ok=True)
    train, dev = folder / "train.tsv", folder / "dev.tsv"
    if not dev.exists():
        with (data / "g2p" / "kor_train.tsv").open(encoding="utf-8") as words:
            kept = [line.rstrip("\n") for line in islice(words, KOREAN_WORDS)]
        write_lines(train, kept)
        write_lines(dev, kept[:DEV_LINES])
    targets = [line.split("\t")[1] for line in train.read_text(encoding="utf-8").splitlines()]
    return Corpus(folder, str(train), str(dev), sum(len(line.split(" ")) + 1 for line in targets))


def korean_chatbot(data: Path, work: Path) -> tuple[Path, Path]:
    """The training and dev lines of the chatbot text, made from `data/text/korean-chatbot.csv`."""
    with (data / "text" / "korean-chatbot.csv").open(encoding="utf-8", newline="") as table:
        lines = [row[column].strip() for row in csv.DictReader(table) for column in ("Q", "A")]
    held_out = {line for line in lines if hashlib.sha256(line.encode()).digest()[0] < 256 // 20}
    train, dev = work / "korean-chatbot.train.txt", work / "korean-chatbot.dev.txt"
    write_lines(train, [line for line in lines if line not in held_out])
    write_lines(dev, [line for line in lines if line in held_out])
    return train, dev


def segment(lines: list[str], learnt_on: list[str]) -> list[str]:
    """Byte-pair encode lines with a vocabulary learnt on `learnt_on`; pieces are separated by spaces."""
    tokenizer = Tokenizer.train(learnt_on, kind="bpe", vocab_size=BPE_VOCABULARY)
    return [" ".join(tokenizer.tokens(ids)) for ids in tokenizer.encode_all(lines)]


def read_lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as text:
        return [line.rstrip("\n") for line in text]


def write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
