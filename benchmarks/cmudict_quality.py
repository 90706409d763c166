"""Pronunciation of English words beside yoyodyne 0.5.27: the same words, the same held-out words, one core each.

    python benchmarks/cmudict_quality.py --envs DIR --work DIR [--minutes 60] [--threads 1] [--sides ours peer]

Ours: the preset `cmudict-long` as it is, the checkpoint that was best on the dev words.
The peer: the attentive LSTM of `yoyodyne_run.py`, in batches of 256 words and clipping at 3 as in its example
configuration, in 32 bits; it trains for --minutes, and the epoch that was best on the dev words by its own measure is
taken.
Both have the words of `cmudict:train`, a pair for each pronunciation, and search with a beam of 5. WER is the share of
the words of `cmudict:test` for which the first output is none of the word's pronunciations, PER against the nearest.
What is there already in --work is not done again. Writes `benchmarks/results/cmudict_quality.json`.
"""

import argparse
import csv
import json
import shutil
from collections import defaultdict
from pathlib import Path

import attentio_run
import peers
import yaml
import yoyodyne_run

from attentio.data.pairs import read_pairs
from attentio.evaluation.metrics import score

HERE = Path(__file__).parent
BEAM = 5


def ours(work: Path, *, threads: int) -> dict:
    run = work / "cmudict-long"
    peers.launch(
        [attentio_run.ATTENTIO, "train", "cmudict-long", "--run", run, "--training.samples", "0"],
        threads=threads,
        log=work / "cmudict-long.txt",
    )
    measured = attentio_run.evaluate(run, threads=threads)
    return {**measured, "minutes": float(attentio_run.metrics(run)[-1]["seconds"]) / 60}


def peer(python: Path, work: Path, *, minutes: int, threads: int) -> dict:
    folder = work / "yoyodyne"
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "dev"):
        pairs = read_pairs(f"cmudict:{part}").pairs
        (folder / f"{part}.tsv").write_text("".join(f"{word}\t{phones}\n" for word, phones in pairs), encoding="utf-8")
    references = defaultdict(list)
    for word, phones in read_pairs("cmudict:test").pairs:
        references[word].append(phones)
    (folder / "test.tsv").write_text("".join(f"{word}\t\n" for word in references), encoding="utf-8")

    yoyodyne = python.with_name("yoyodyne")
    settings = configuration(folder, minutes=minutes)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    if not (fitted := folder / "fitted").exists():  # a training that was stopped has left a checkpoint too
        shutil.rmtree(folder / "model", ignore_errors=True)
        peers.launch([yoyodyne, "fit", "--config", folder / "config.yaml"], threads=threads, log=folder / "fit.txt")
        fitted.touch()
    searching: list[str | Path] = [
        "--config",
        folder / "config.yaml",
        "--ckpt_path",
        next(folder.glob("model/**/best.ckpt")),
    ]
    beam: list[str | Path] = ["--model.init_args.beam_width", str(BEAM), "--prediction.path", folder / "outputs.tsv"]
    peers.launch([yoyodyne, "predict", *searching, *beam], threads=threads, log=folder / "predict.txt")
    with (folder / "outputs.tsv").open(encoding="utf-8", newline="") as lines:
        outputs = [row[0] for row in csv.reader(lines, delimiter="\t")]
    scores = score(outputs, list(references.values()), metrics=["wer", "per"])
    with next(folder.glob("model/**/version_0/metrics.csv")).open(encoding="utf-8", newline="") as lines:
        updates = max(int(row["step"]) for row in csv.DictReader(lines)) + 1
    return {
        **{one.name: one.value for one in scores},
        "minutes": minutes,
        "updates": updates,
        "versions": peers.versions(python, ("yoyodyne", "lightning", "torch")),
        "settings": settings,
    }


def configuration(folder: Path, *, minutes: int) -> dict:
    return {
        "seed_everything": 1,
        "data": {
            "model_dir": str(folder / "model"),
            "train": str(folder / "train.tsv"),
            "val": str(folder / "dev.tsv"),
            "predict": str(folder / "test.tsv"),
            "target_sep": " ",
            "tie_embeddings": False,
            "batch_size": 256,
        },
        "model": yoyodyne_run.attentive_lstm(),
        "prediction": {"target_sep": " "},
        "checkpoint": {"filename": "best", "monitor": "val_accuracy", "mode": "max"},
        "trainer": {
            "accelerator": "cpu",
            "precision": "32-true",
            "max_epochs": 1000,
            "max_time": f"00:{minutes // 60:02d}:{minutes % 60:02d}:00",
            "gradient_clip_val": 3,
            "enable_progress_bar": False,
            "logger": {
                "class_path": "lightning.pytorch.loggers.CSVLogger",
                "init_args": {"save_dir": str(folder / "model")},
            },
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Quality on CMUdict beside yoyodyne.")
    parser.add_argument("--envs", type=Path, required=True, help="directory of the peers' environments")
    parser.add_argument("--work", type=Path, required=True, help="directory for runs")
    parser.add_argument("--minutes", type=int, default=60, help="how long the peer trains")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sides", nargs="+", choices=("ours", "peer"), default=["ours", "peer"])
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    path = HERE / "results" / "cmudict_quality.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if "ours" in arguments.sides:
        results["ours"] = ours(arguments.work, threads=arguments.threads)
    if "peer" in arguments.sides:
        python = peers.environment("yoyodyne", arguments.envs)
        results["peer"] = peer(python, arguments.work, minutes=arguments.minutes, threads=arguments.threads)
    text = json.dumps(results, indent=2).replace(str(arguments.work), "WORK")  # no path of this machine
    path.write_text(text + "\n", encoding="utf-8")
    for side, found in results.items():
        print(f"{side:6} WER {found['wer']:.1f}, PER {found['per']:.2f}, {found['minutes']:.0f} minutes")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
