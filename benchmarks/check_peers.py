"""Make the peers' environments and see that every peer still works; it needs no data.

    python benchmarks/check_peers.py --envs DIR --work DIR        (or `make peers`)

The benchmarks' own functions run, with a few updates on words of the pronouncing dictionary laid out as the real data
is. Prints what was installed. Nothing is timed: the rates of such runs mean nothing.
"""

import argparse
import gzip
from pathlib import Path

import corpora
import joeynmt_run
import peers
import transformer_decoding
import transformer_training
import yoyodyne_run

from attentio.data import cmudict

UPDATES = 5
WORDS_PER_LINE = 5


def toy_data(data: Path) -> None:
    """Lines of words and the same words backwards for Multi30k, words and phones for the Korean ones."""
    pairs = cmudict.pairs("train")[::4]  # enough for 8,000 byte-pair pieces, from A to Z
    lines = [[word for word, _ in pairs[i : i + WORDS_PER_LINE]] for i in range(0, len(pairs), WORDS_PER_LINE)]
    for folder in ("multi30k", "g2p"):
        (data / folder).mkdir(parents=True, exist_ok=True)
    for language, step in (("en", 1), ("de", -1)):
        with gzip.open(data / "multi30k" / f"train.lc.norm.tok.{language}.gz", "wt", encoding="utf-8") as text:
            text.writelines(" ".join(words[::step]) + "\n" for words in lines)
    corpora.write_lines(data / "g2p" / "kor_train.tsv", ["\t".join(pair) for pair in pairs[:200]])


def check_joeynmt(python: Path, data: Path, work: Path) -> None:
    corpus = corpora.multi30k(data, work).folder
    joeynmt_run.train(python=python, corpus=corpus, run=work / "run", model="bahdanau", updates=UPDATES, threads=1)


def check_transformers(python: Path, data: Path, work: Path) -> None:
    """Marian trains; transformers and CTranslate2 translate with a model of ours."""
    prepared = transformer_training.prepare(data, work, UPDATES)
    transformer_training.run_marian(prepared, python, work / "run", threads=1)
    job = transformer_decoding.prepare(data, work, updates=2, sentences=8, threads=1)
    transformer_decoding.measure(job, python, work, repeats=1, threads=1)


def check_yoyodyne(python: Path, data: Path, work: Path) -> None:
    corpus = corpora.korean_g2p(data, work).folder
    yoyodyne_run.train(python=python, corpus=corpus, run=work / "run", epochs=1, threads=1)


CHECKS = {
    "joeynmt": (check_joeynmt, ("joeynmt", "torch", "sentencepiece", "numpy")),
    "transformers": (check_transformers, ("transformers", "ctranslate2", "accelerate", "torch", "numpy")),
    "yoyodyne": (check_yoyodyne, ("yoyodyne", "lightning", "torch", "numpy")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the peers' environments and see that every peer works.")
    parser.add_argument("--envs", type=Path, required=True, help="directory of the peers' environments")
    parser.add_argument("--work", type=Path, required=True, help="directory for the words and the runs")
    parser.add_argument("--peer", nargs="+", choices=CHECKS, default=list(CHECKS))
    arguments = parser.parse_args()
    data = arguments.work / "data"
    toy_data(data)
    for peer in arguments.peer:
        check, packages = CHECKS[peer]
        python = peers.environment(peer, arguments.envs)
        (arguments.work / peer).mkdir(exist_ok=True)
        check(python, data, arguments.work / peer)
        print("works:", ", ".join(f"{name} {version}" for name, version in peers.versions(python, packages).items()))


if __name__ == "__main__":
    main()
