"""Quality of translation on Multi30k, text only: the presets' small Transformers on test_2016_flickr.

    python benchmarks/multi30k_quality.py --data DIR --work DIR [--directions en-de] [--text lc raw] [--key.sub value]

| text | trained and tested on | BLEU of |
|---|---|---|
| lc | the lower-cased, tokenised files of the data's authors | these tokens: sacreBLEU, `--tokenize none` |
| raw | the sentences as they are | detokenised text: sacreBLEU, `--tokenize 13a` |

--data holds multi30k/; --work takes the runs, one for each row; what else is given goes to `attentio train`. Trains
the preset `multi30k-en-de` or `multi30k-de-en` with the validation set as dev (it chooses the checkpoint), then
decodes the test set with beam 5. The published figure is of a Transformer of the same sizes, lower-cased and
tokenised: 41.02 BLEU (Wu et al. 2021, their repository's README). Prints a table and writes
`benchmarks/results/multi30k_quality.json`.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

import attentio_run

HERE = Path(__file__).parent
PUBLISHED = {"en-de lc": 41.02}
SUFFIXES = {"lc": "lc.norm.tok.", "raw": ""}
BLEU_TOKENIZE = {"lc": "none", "raw": "13a"}


def train_and_evaluate(direction: str, text: str, data: Path, run: Path, threads: int, overrides: list[str]) -> dict:
    options = ["--evaluation.bleu_tokenize", BLEU_TOKENIZE[text], "--training.samples", "0", *overrides]
    for key, part in (("train", "train"), ("dev", "val"), ("test", "test_2016_flickr")):
        sides = (data / "multi30k" / f"{part}.{SUFFIXES[text]}{language}.gz" for language in direction.split("-"))
        options += [f"--data.{key}", ",".join(map(str, sides))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    train: list[str | Path] = [attentio_run.ATTENTIO, "train", f"multi30k-{direction}", "--run", run, *options]
    subprocess.run(train, env=environment, check=True)
    subprocess.run([attentio_run.ATTENTIO, "evaluate", run, "--beam", "5"], env=environment, check=True)
    report = json.loads((run / "evaluation" / "scores.json").read_text(encoding="utf-8"))
    last = attentio_run.metrics(run)[-1]
    return {
        "scores": report["scores"],
        "parameters": report["parameters"],
        "updates": int(last["step"]),
        "minutes": float(last["seconds"]) / 60,
        "threads": threads,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Quality of translation on Multi30k beside the published figure.")
    parser.add_argument("--data", type=Path, required=True, help="directory that holds multi30k/")
    parser.add_argument("--work", type=Path, required=True, help="directory for the runs")
    parser.add_argument("--directions", nargs="+", choices=("en-de", "de-en"), default=["en-de"])
    parser.add_argument("--text", nargs="+", choices=SUFFIXES, default=list(SUFFIXES))
    parser.add_argument("--threads", type=int, default=2)
    arguments, overrides = parser.parse_known_args()
    path = HERE / "results" / "multi30k_quality.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for direction in arguments.directions:
        for text in arguments.text:
            run = arguments.work / f"multi30k-{direction}-{text}"
            found = train_and_evaluate(direction, text, arguments.data, run, arguments.threads, overrides)
            results[f"{direction} {text}"] = found
            path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"{'':12} {'BLEU':>6} {'chrF':>6} {'published BLEU':>15} {'parameters':>11} {'updates':>8} {'minutes':>8}")
    for name, result in results.items():
        scores = {score["name"]: score["value"] for score in result["scores"]}
        published = f"{PUBLISHED[name]:15.2f}" if name in PUBLISHED else f"{'-':>15}"
        print(
            f"{name:12} {scores['bleu']:6.2f} {scores.get('chrf', 0.0):6.2f} {published} {result['parameters']:11,} "
            f"{result['updates']:8,} {result['minutes']:8.1f}"
        )
    print(f"written to {path}")


if __name__ == "__main__":
    main()
