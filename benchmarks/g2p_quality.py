"""Quality on SIGMORPHON 2021 task 1 (medium): one model a language, several seeds, several together, one distilled.

    python benchmarks/g2p_quality.py --data DIR --work DIR [--languages kor ..] [--presets g2p-transducer ..]
        [--seeds 1 2 3 4 5] [--distil] [--part test] [--threads 1] [--key.sub value ..]

--data holds kor_train.tsv, kor_dev.tsv and so on, and kor_test.tsv for `--part test`, all from the task's repository.
Presets are trained as they are (Korean with jamo) but for what else is given, and the checkpoint that was best on the
dev words is measured on those of --part, beam 5: on dev that is slightly kind. With several seeds also their models
together (`attentio evaluate A,B,C`), and with --distil one more of the same preset that learns from the probabilities
of all of them (`--teacher A,B,C`). What is there already is not done again. --work takes the runs.
Prints a table and writes `benchmarks/results/g2p_quality.json`, beside the published figures, which are of the test
words: WER of the official baseline, an ensemble of ten neural transducers.
"""

import argparse
import json
import statistics
from pathlib import Path

import attentio_run
import peers

HERE = Path(__file__).parent
PRESETS = ("g2p", "g2p-transducer", "g2p-transformer")
BASELINE = {
    "arm_e": 7.0,
    "bul": 18.3,
    "dut": 14.7,
    "fre": 8.5,
    "geo": 0.0,
    "hbs_latn": 32.1,
    "hun": 1.8,
    "jpn_hira": 5.2,
    "kor": 16.3,
    "vie_hanoi": 2.5,
}


class Language:
    """The models of one language and preset."""

    def __init__(self, language: str, preset: str, arguments: argparse.Namespace, overrides: list[str]) -> None:
        self.preset, self.overrides, self.threads = preset, overrides, arguments.threads
        self.folder = arguments.work / preset / language
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data, self.part, self.language = arguments.data, arguments.part, language

    def trained(self, name: str, *options: str) -> Path:
        """A run; one that is there already is gone on with, which for a finished one is nothing."""
        run = self.folder / name
        data = ["--data.train", self._file("train"), "--data.dev", self._file("dev"), "--training.samples", "0"]
        jamo = ["--text.source.jamo", "true"] if self.language == "kor" else []
        self._launch(name, "train", self.preset, "--run", run, *data, *jamo, *self.overrides, *options)
        return run

    def measured(self, runs: list[Path], name: str) -> dict:
        out = self.folder / self.part / name
        if not (out / "scores.json").exists():
            out.mkdir(parents=True, exist_ok=True)
            which = ",".join(map(str, runs))
            self._launch(f"{name}-{self.part}", "evaluate", which, "--data", self._file(self.part), "--out", out)
        report = json.loads((out / "scores.json").read_text(encoding="utf-8"))
        minutes = sum(float(attentio_run.metrics(run)[-1]["seconds"]) / 60 for run in runs)
        scores = {score["name"]: score["value"] for score in report["scores"]}
        return {**scores, "parameters": report["parameters"], "minutes": minutes}

    def _file(self, part: str) -> Path:
        return self.data / f"{self.language}_{part}.tsv"

    def _launch(self, log: str, *words: object) -> None:
        command: list[str | Path] = [attentio_run.ATTENTIO, *map(str, words)]
        peers.launch(command, threads=self.threads, log=self.folder / f"{log}.txt")


def measure(language: Language, seeds: list[int], *, distil: bool) -> dict:
    runs = [language.trained(f"seed-{seed}", "--training.seed", str(seed)) for seed in seeds]
    found: dict = {"single": [language.measured([run], run.name) for run in runs]}
    if len(runs) > 1:
        found["together"] = language.measured(runs, f"{len(runs)}-together")
    if distil:
        student = language.trained("distilled", "--teacher", ",".join(map(str, runs)))
        found["distilled"] = language.measured([student], "distilled")
    return found


def report(results: dict, part: str) -> str:
    lines = [
        f"WER on {part:24} {'mean':>6} {'s.d.':>5} {'together':>9} {'distilled':>10} {'ten, test':>10} {'minutes':>8}"
    ]
    for preset, languages in results.items():
        for language, found in languages.get(part, {}).items():
            wers = [one["wer"] for one in found["single"]]
            deviation = f"{statistics.stdev(wers):5.1f}" if len(wers) > 1 else " " * 5
            more = [f"{found[kind]['wer']:.1f}" if kind in found else "" for kind in ("together", "distilled")]
            lines.append(
                f"{preset:20} {language:10} {statistics.mean(wers):7.1f} {deviation} {more[0]:>9} {more[1]:>10} "
                f"{BASELINE[language]:10.1f} {statistics.mean(one['minutes'] for one in found['single']):8.1f}"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Quality of grapheme-to-phoneme conversion beside published figures.")
    parser.add_argument("--data", type=Path, required=True, help="directory that holds kor_train.tsv and the like")
    parser.add_argument("--work", type=Path, required=True, help="directory for the runs")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=["g2p-transducer"])
    parser.add_argument("--languages", nargs="+", choices=BASELINE, default=["bul", "fre", "hun", "kor"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--distil", action="store_true", help="also one model that learns from all seeds'")
    parser.add_argument("--part", choices=("dev", "test"), default="dev")
    parser.add_argument("--threads", type=int, default=1)
    arguments, overrides = parser.parse_known_args()
    path = HERE / "results" / "g2p_quality.json"
    results: dict = {}
    for preset in arguments.presets:
        for name in arguments.languages:
            language = Language(name, preset, arguments, overrides)
            found = measure(language, arguments.seeds, distil=arguments.distil)
            results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}  # others may have written
            results.setdefault(preset, {}).setdefault(arguments.part, {})[name] = found
            path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(report(results, arguments.part))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
