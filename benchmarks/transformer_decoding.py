"""Speed of translation beside transformers' `generate` and CTranslate2: one model, the same weights, in one run.

    python benchmarks/transformer_decoding.py --data DIR --envs DIR --work DIR [--repeats 3]

The model is that of `transformer_training.py` (3 + 3 layers, width 256, vocabulary 8,000), trained for a few hundred
updates so that its outputs are words, in float32. `attentio export` hands it to transformers and to CTranslate2.
Ours runs a second time with products in bfloat16.
Every sentence takes exactly 16 steps on every side: the end of a sentence and the other special tokens have a bias of
-1000, or CTranslate2's least length, so that nothing ends before its limit. (Ours ends with the end token, as the
16th; the others with one more word.)

Rows: greedy and beam 5 in batches of 64, the longest sentences first; greedy, one sentence at a time. Sources are
sentences of Multi30k. A first batch is thrown away; time is that of `search`, `generate` and `translate_batch` with
whatever each needs to take ids and give ids. That the three agree in what they say greedily is checked. It needs
the machine for itself. Prints a table, writes `benchmarks/results/transformer_decoding.json`.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from statistics import median

import attentio_run
import corpora
import peers

from attentio.data.batches import EncodedPairs, length_sorted_batches
from attentio.data.pairs import read_pairs
from attentio.runs.translator import Run
from attentio.text.tokenizer import BOS, EOS, PAD, UNK

HERE = Path(__file__).parent
STEPS = 16
SILENT_BIAS = -1000.0
OURS = ("attentio", "bfloat16")


def prepare(data: Path, work: Path, *, updates: int, sentences: int, threads: int) -> Path:
    """Train the model, export it, and write down what all sides are to do."""
    corpus = corpora.multi30k(data, work, shared=True)
    attentio_run.train(
        config="multi30k_transformer",
        data={"--data.train": corpus.train, "--data.dev": corpus.dev},
        run=work / "trained",
        warm_up=updates // 2,
        updates=updates - updates // 2,
        log_every=updates // 2,
        threads=threads,
    )
    run = work / "trained" / "run"
    exported = {format: str(work / f"exported-{format}") for format in ("huggingface", "ctranslate2")}
    for format, out in exported.items():
        peers.launch(
            [attentio_run.ATTENTIO, "export", run, "--to", format, "--out", out],
            threads=threads,
            log=work / f"export-{format}.txt",
        )
    tokenizers = Run.load(run).tokenizers
    encoded = EncodedPairs.encode(read_pairs(corpus.train).pairs[:sentences], tokenizers.source, tokenizers.target)
    batches = [
        [encoded.source(i) for i in batch.tolist()]
        for batch in length_sorted_batches(encoded.source_lengths, batch_size=64)
    ]
    single = [[encoded.source(i)] for i in range(min(64, sentences))]
    job = {
        "threads": threads,
        "run": str(run),
        "exported": exported,
        "steps": STEPS,
        "silent": [PAD, UNK, BOS, EOS],
        "silent_bias": SILENT_BIAS,
        "tokens": tokenizers.target.tokens(range(tokenizers.target.size)),
        "rows": [
            {"name": "greedy, batch 64", "beam": 1, "batches": batches},
            {"name": "beam 5, batch 64", "beam": 5, "batches": batches},
            {"name": "greedy, one at a time", "beam": 1, "batches": single},
        ],
    }
    path = work / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


def measure(job: Path, python: Path, work: Path, repeats: int, threads: int) -> dict:
    """Run all sides in turn, in the other direction every second time."""
    sides: dict[str, list[str | Path]] = {
        "transformers": [python, HERE / "peer_side" / "transformers_decoding.py"],
        "ctranslate2": [python, HERE / "peer_side" / "ctranslate2_decoding.py"],
        "attentio": [Path(sys.executable), HERE / "attentio_decoding.py"],
        "bfloat16": [Path(sys.executable), HERE / "attentio_decoding.py", "--bfloat16"],
    }
    rows = json.loads(job.read_text(encoding="utf-8"))["rows"]
    sentences = {row["name"]: sum(map(len, row["batches"])) for row in rows}
    rates: dict[str, dict[str, list[float]]] = {row["name"]: {side: [] for side in sides} for row in rows}
    outputs: dict[str, dict[str, list[list[int]]]] = {}
    for repeat in range(repeats):
        for side in list(sides) if repeat % 2 == 0 else list(sides)[::-1]:
            result = work / f"{side}-{repeat}.json"
            peers.launch([*sides[side], job, result], threads=threads, log=work / f"{side}-{repeat}.txt")
            found = json.loads(result.read_text(encoding="utf-8"))
            for name, row in found.items():
                rates[name][side].append(STEPS * sentences[name] / row["seconds"])
            outputs[side] = {name: row["outputs"] for name, row in found.items()}
            print(side, repeat, {name: round(rates[name][side][-1]) for name in rates}, flush=True)
    agreement = {
        f"{name}: {side}": agree(outputs["attentio"][name], outputs[side][name])
        for name in rates
        if "greedy" in name
        for side in ("transformers", "ctranslate2", "bfloat16")
    }
    return {"tokens_per_second": rates, "same_greedy_outputs": agreement}


def agree(ours: list[list[int]], theirs: list[list[int]]) -> float:
    """The share of sentences in which the words that both sides chose are the same."""
    chosen = STEPS - 1
    if any(len(output) < chosen for output in (*ours, *theirs)):
        raise RuntimeError(f"an output has fewer than {chosen} tokens")
    return sum(mine[:chosen] == other[:chosen] for mine, other in zip(ours, theirs, strict=True)) / len(ours)


def report(results: dict) -> str:
    peer_names = ("transformers", "ctranslate2")
    lines = [
        f"{'output tokens/s':24}" + "".join(f"{name:>14}" for name in (*peer_names, *OURS)) + "   ours / theirs, twice"
    ]
    for name, sides in results["tokens_per_second"].items():
        middle = {side: median(rates) for side, rates in sides.items()}
        ratios = "   ".join(" ".join(f"{middle[own] / middle[side]:.2f}x" for side in peer_names) for own in OURS)
        values = "".join(f"{middle[side]:14.0f}" for side in (*peer_names, *OURS))
        lines.append(f"{name:24}{values}   {ratios}")
    lines += [f"same outputs, {name}: {share:.1%}" for name, share in results["same_greedy_outputs"].items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of translation beside transformers and CTranslate2.")
    parser.add_argument("--data", type=Path, required=True, help="directory that holds multi30k/")
    parser.add_argument("--envs", type=Path, required=True, help="directory of the peers' environments")
    parser.add_argument("--work", type=Path, required=True, help="directory for prepared data and runs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--updates", type=int, default=300, help="how long the model is trained")
    parser.add_argument("--sentences", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    work, threads = arguments.work / "transformer-decoding", arguments.threads
    work.mkdir(parents=True, exist_ok=True)
    python = peers.environment("transformers", arguments.envs)
    job = prepare(arguments.data, work, updates=arguments.updates, sentences=arguments.sentences, threads=threads)
    results = measure(job, python, work, arguments.repeats, threads)
    print(report(results))
    path = HERE / "results" / "transformer_decoding.json"
    document = {
        "threads": threads,
        "machine": {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()},
        "versions": peers.versions(python, ("transformers", "ctranslate2", "torch")),
        **results,
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
