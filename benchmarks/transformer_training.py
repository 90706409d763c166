"""Training throughput of a small Transformer beside JoeyNMT's and transformers' Marian, in turn in one run.

    python benchmarks/transformer_training.py --data DIR --envs DIR --work DIR [--repeats 3] [--updates 30]

The model: 3 + 3 layers, width 256, feed-forward 1,024, 4 heads, ReLU, post-norm, sinusoidal positions, one matrix
for both embeddings and the softmax, dropout 0.1. Multi30k English-German in byte-pair pieces, one vocabulary of
8,000 learnt on both languages (7,731 with the reserved ones occur and are the vocabulary of every side). Batches
of at most 2,048 tokens a side, padding included; AdamW, label smoothing 0.1, gradient norm clipped at 1.

Ours is `attentio train`. transformers gets exactly the same batches, in the same order, ready made as tensors (see
`peer_side/marian_training.py`); that both counted the same target tokens is checked. JoeyNMT draws its own, its way
(see `joeynmt_run.py`). A token is a real target token, the end of a sentence included, neither padding nor the
first. 10 updates are thrown away, the next ones timed.

How near this is to the limit: the floating-point operations of all matrix products of the timed batches, of real
tokens only (see `product_limit.py`), over the time, and that over the best float32 product rate in this run. It
needs the machine for itself. Prints a table, writes `benchmarks/results/transformer_training.json`.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import attentio_run
import corpora
import joeynmt_run
import peers
import product_limit
from safetensors.torch import save_file

from attentio.config.read import load_config
from attentio.config.schema import Config
from attentio.data.part import read_part
from attentio.runs import translation

HERE = Path(__file__).parent
CONFIG = "multi30k_transformer"
WARM_UP = joeynmt_run.WARM_UP


class Prepared(NamedTuple):
    """What both sides train on.

    batches: the file that transformers reads. settings: its model and how it is trained.
    flops: of the products of the timed batches.
    """

    corpus: corpora.Corpus
    batches: Path
    settings: dict
    flops: int


def prepare(data: Path, work: Path, updates: int) -> Prepared:
    """Write down the batches that `attentio train` begins with."""
    corpus = corpora.multi30k(data, work, shared=True)
    config = load_config(
        str(HERE / "configs" / f"{CONFIG}.yaml"), [f"--data.train={corpus.train}", f"--data.dev={corpus.dev}"]
    )
    part = read_part(config, config.data.train)
    tokenizers = translation.learn(config, part)
    batches = translation.corpus(config, part, tokenizers, seed=config.training.seed)
    vocabulary, tensors, flops = tokenizers.target.size, {}, 0
    for number, indices in enumerate(batches.epoch_batches(0)[: WARM_UP + updates]):
        batch: Any = batches.load(indices, 0)
        tensors[f"{number}.source"] = batch.source
        tensors[f"{number}.target_input"] = batch.target_input
        tensors[f"{number}.labels"] = batch.target_output
        if number >= WARM_UP:
            lengths = batch.source_lengths.tolist(), batch.target_lengths.tolist()
            flops += product_limit.training_flops(*lengths, sizes=sizes(config, vocabulary))
    path = work / "batches.safetensors"
    save_file(tensors, path)
    return Prepared(corpus, path, marian_settings(config, vocabulary), flops)


def sizes(config: Config, vocabulary: int) -> dict[str, int]:
    model = config.model
    return {
        "width": model.transformer.width,
        "feed_forward": model.transformer.feed_forward,
        "encoder_layers": model.encoder_layers,
        "decoder_layers": model.decoder_layers,
        "vocabulary": vocabulary,
    }


def marian_settings(config: Config, vocabulary: int) -> dict:
    model, training = config.model, config.training
    both = {
        "attention_heads": model.transformer.heads,
        "ffn_dim": model.transformer.feed_forward,
    }
    return {
        "model": {
            "vocab_size": vocabulary,
            "d_model": model.transformer.width,
            "encoder_layers": model.encoder_layers,
            "decoder_layers": model.decoder_layers,
            **{f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in both.items()},
            "activation_function": model.transformer.activation,
            "dropout": model.dropout,
            "scale_embedding": True,
            "max_position_embeddings": 512,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "decoder_start_token_id": 2,
        },
        "learning_rate": training.learning_rate,
        "label_smoothing": training.label_smoothing,
        "clip": training.clip,
        "warm_up": WARM_UP,
    }


def run_marian(prepared: Prepared, python: Path, run: Path, threads: int) -> dict:
    run.mkdir(parents=True, exist_ok=True)
    settings = run / "settings.json"
    settings.write_text(json.dumps(prepared.settings, indent=2), encoding="utf-8")
    program = HERE / "peer_side" / "marian_training.py"
    peers.launch(
        [python, program, prepared.batches, settings, run / "result.json"], threads=threads, log=run / "output.txt"
    )
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    return result | {
        "versions": peers.versions(python, ("transformers", "torch")),
        "settings": prepared.settings,
        "gflops": prepared.flops / result["seconds"] / 1e9,
    }


def run_attentio(prepared: Prepared, run: Path, updates: int, threads: int) -> dict:
    result = attentio_run.train(
        config=CONFIG,
        data={"--data.train": prepared.corpus.train, "--data.dev": prepared.corpus.dev},
        run=run,
        warm_up=WARM_UP,
        updates=updates,
        log_every=joeynmt_run.LOG_EVERY,
        threads=threads,
    )
    return result | {"gflops": prepared.flops / result["seconds"] / 1e9}


def measure(prepared: Prepared, envs: Path, work: Path, repeats: int, updates: int, threads: int) -> dict:
    """Run all sides in turn, in the other direction every second time; the product rates before each round."""
    joeynmt, transformers = (peers.environment(name, envs) for name in ("joeynmt", "transformers"))
    sides: dict[str, Callable[[Path], dict]] = {
        "joeynmt": lambda run: joeynmt_run.train(
            python=joeynmt,
            corpus=prepared.corpus.folder,
            run=run,
            model="transformer",
            updates=updates,
            threads=threads,
        ),
        "transformers": lambda run: run_marian(prepared, transformers, run, threads),
        "attentio": lambda run: run_attentio(prepared, run, updates, threads),
    }
    runs: dict[str, list[dict]] = {side: [] for side in sides}
    rates = []
    for repeat in range(repeats):
        rates.append(product_limit.rates(threads, work / f"products-{repeat}.txt"))
        for side in list(sides) if repeat % 2 == 0 else list(sides)[::-1]:
            load = os.getloadavg()[0]
            runs[side].append(sides[side](work / f"{side}-{repeat}") | {"load_before": load})
            print(f"{side} {repeat}: {runs[side][-1]['target_tokens_per_second']:.0f} tokens/s", flush=True)
        theirs, mine = (runs[side][-1]["target_tokens"] for side in ("transformers", "attentio"))
        if theirs != mine:
            raise RuntimeError(f"not the same batches: {theirs} target tokens in transformers, {mine} in attentio")
    return {"product_gflops": rates, "runs": runs}


def report(results: dict) -> str:
    runs = results["runs"]
    best = {name: max(rates[name] for rates in results["product_gflops"]) for name in results["product_gflops"][0]}
    limit = max(best.values())
    lines = [
        f"best float32 product rate: torch {best['torch']:.0f}, attentio {best['attentio']:.0f} GFLOP/s",
        f"{'':24} {'target tokens/s':>15} {'GFLOP/s':>8} {'of the limit':>12} {'ours is':>9} (of single repeats)",
    ]
    rates = {side: [run["target_tokens_per_second"] for run in rows] for side, rows in runs.items()}
    for side, rows in runs.items():
        ratios = [mine / theirs for mine, theirs in zip(rates["attentio"], rates[side], strict=True)]
        product = median(run["gflops"] for run in rows) if "gflops" in rows[0] else None
        reached = f"{product:8.1f} {product / limit:11.0%} " if product else f"{'':21}"
        lines.append(
            f"{side + ' ' + rows[0]['versions'][side]:24} {median(rates[side]):15.0f} {reached} "
            f"{median(rates['attentio']) / median(rates[side]):8.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Training throughput of a small Transformer beside the peers'.")
    parser.add_argument("--data", type=Path, required=True, help="directory that holds multi30k/")
    parser.add_argument("--envs", type=Path, required=True, help="directory of the peers' environments")
    parser.add_argument("--work", type=Path, required=True, help="directory for prepared data and runs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--updates", type=int, default=30, help="updates that are timed; a multiple of 5")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    work = arguments.work / "transformer-training"
    work.mkdir(parents=True, exist_ok=True)
    prepared = prepare(arguments.data, work, arguments.updates)
    results = measure(prepared, arguments.envs, work, arguments.repeats, arguments.updates, arguments.threads)
    print(report(results))
    path = HERE / "results" / "transformer_training.json"
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
    document = {"threads": arguments.threads, "machine": machine, "flops": prepared.flops, **results}
    text = json.dumps(document, indent=2).replace(str(arguments.work), "WORK")  # no path of this machine
    path.write_text(text + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
