"""Quality on SIGMORPHON 2021 task 1 (medium): one model a language, dev words, beside the published figures.

    python benchmarks/g2p_quality.py --data DIR --work DIR [--languages kor ..] [--presets g2p ..] [--threads 2]

--data holds kor_train.tsv, kor_dev.tsv and so on; --work takes the runs. Trains the presets `g2p` (recurrent),
`g2p-transducer` and `g2p-transformer` (Korean with jamo) and evaluates the checkpoint that was best on dev, so the dev
figures are slightly kind to us; the published ones are of the test words, which are not given out with the task's data
here.
Prints a table and writes `benchmarks/results/g2p_quality.json`.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PRESETS = ("g2p", "g2p-transducer", "g2p-transformer")
LANGUAGES = {"kor": "Korean", "fre": "French", "bul": "Bulgarian", "hun": "Hungarian"}
ENSEMBLE = {"kor": 16.3, "fre": 8.5, "bul": 18.3, "hun": 1.8}
"""WER of the official baseline, an ensemble of ten neural transducers."""
TRANSFORMER = {"kor": 30.2, "fre": 10.2, "bul": 20.1, "hun": 1.9}
"""WER of one Transformer a language, a participant's report."""


def train_and_evaluate(preset: str, language: str, data: Path, work: Path, threads: int) -> dict:
    run = work / preset / language
    train, dev = (data / f"{language}_{part}.tsv" for part in ("train", "dev"))
    options = ["--data.train", train, "--data.dev", dev, "--data.test", dev, "--training.samples", "0"]
    if language == "kor":
        options += ["--text.source.jamo", "true"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    attentio = [sys.executable, "-m", "attentio.commands.main"]
    subprocess.run([*attentio, "train", preset, "--run", run, *options], env=environment, check=True)
    subprocess.run([*attentio, "evaluate", run], env=environment, check=True)
    report = json.loads((run / "evaluation" / "scores.json").read_text())
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        **{score["name"]: score["value"] for score in report["scores"]},
        "parameters": report["parameters"],
        "minutes": float(rows[-1]["seconds"]) / 60,
        "threads": threads,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Quality of grapheme-to-phoneme conversion beside published figures.")
    parser.add_argument("--data", type=Path, required=True, help="directory that holds kor_train.tsv and the like")
    parser.add_argument("--work", type=Path, required=True, help="directory for the runs")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=list(PRESETS))
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=list(LANGUAGES))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    path = HERE / "results" / "g2p_quality.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for language in arguments.languages:
        for preset in arguments.presets:
            found = train_and_evaluate(preset, language, arguments.data, arguments.work, arguments.threads)
            results.setdefault(preset, {})[language] = found
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(
        f"{'':10} {'':16} {'WER':>6} {'PER':>6} {'ensemble WER':>13} {'Transformer WER':>16} {'parameters':>11} "
        f"{'minutes':>8}"
    )
    for preset, languages in results.items():
        for language, result in languages.items():
            print(
                f"{LANGUAGES[language]:10} {preset:16} {result['wer']:6.1f} {result['per']:6.2f} "
                f"{ENSEMBLE[language]:13.1f} {TRANSFORMER[language]:16.1f} {result['parameters']:11,} "
                f"{result['minutes']:8.1f}"
            )
    print(f"written to {path}")


if __name__ == "__main__":
    main()
