"""Causal language models: ours and transformers' GPT-2 of the same size, trained for the same time on the same text.

    python benchmarks/causal_lm.py --data DIR --envs DIR --work DIR [--preset ..] [--minutes 30] [--together]

War and Peace, English, a paragraph a line, in 8,000 byte-pair pieces. Ours is a preset with its schedule
fitted to the time; what else is given (--key.sub value) goes to `attentio train`. The peer is `GPT2LMHeadModel` with
the same layers, width, heads and dropout, trained by `Trainer` on the same tokens in blocks of the same length, with
the same peak learning rate and tokens an update (see `peer_side/language_model_training.py`); its paragraphs follow
each other, an end token between them, and see each other. Ours do not.

Bits per byte: nats of all tokens of the dev text, the end of each paragraph among them, over ln 2 and the bytes of
the paragraphs in UTF-8. On both sides a text longer than a block is read in rows that overlap by half a block, so
that what is predicted there has at least half a block before it; for the peer all paragraphs are one text. With
--together both train at the same time on half of the threads each. Prints a table, writes
`benchmarks/results/causal_lm.json`.
"""

import argparse
import json
import math
import os
import platform
from pathlib import Path
from typing import Any

import attentio_run
import peers
import same_time
import torch
from safetensors.torch import save_file

from attentio.config.read import load_run
from attentio.data.part import read_part
from attentio.runs import causal

HERE = Path(__file__).parent
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "gelu-tanh": "gelu_new"}


def prepare(run: Path, folder: Path) -> dict:
    """Write the tokens of both parts for the peer; say what it is to train."""
    config = load_run(run)
    tokenizer = causal.blueprint.load_tokenizers(run / "tokenizer", config).source
    tensors = {}
    for name, part in (("train.tokens", config.data.train), ("dev.tokens", config.data.dev)):
        encoded = tokenizer.encode_all(read_part(config, str(part)).items)
        tensors[name] = torch.tensor([tokenizer.end, *(i for ids in encoded for i in (*ids, tokenizer.end))])
    save_file(tensors, folder / "tokens.safetensors")
    model, training, block = config.model, config.training, config.text.block
    return {
        "architecture": "gpt2",
        "model": {
            "vocab_size": tokenizer.size,
            "n_positions": block,
            "n_embd": model.transformer.width,
            "n_layer": model.decoder_layers,
            "n_head": model.transformer.heads,
            "n_inner": model.transformer.feed_forward,
            "activation_function": ACTIVATIONS.get(model.transformer.activation, "gelu_new"),
            "resid_pdrop": model.dropout,
            "embd_pdrop": model.dropout,
            "attn_pdrop": 0.0,
            "bos_token_id": tokenizer.end,
            "eos_token_id": tokenizer.end,
        },
        "training": {
            "learning_rate": training.learning_rate,
            "warmup": max(1, training.warmup),
            "weight_decay": training.weight_decay,
            "clip": training.clip,
            "bf16": training.precision == "bf16-mixed",
            "rows_per_batch": max(1, training.accumulate * training.batch_tokens // block),
            "sampling": "random",
        },
    }


def options_of(data: Path) -> dict[str, str]:
    """What `attentio train` is given beside its budget."""
    train, dev = data / "text" / "war-and-peace.train.txt.gz", data / "text" / "war-and-peace.dev.txt"
    tokenizer = {"--text.source.tokenizer": "bpe", "--text.source.vocab_size": "8000"}
    return {"--data.train": str(train), "--data.dev": str(dev), "--data.test": str(dev), **tokenizer}


def measure(**asked: Any) -> dict:
    """asked: of `same_time.train`."""
    both = same_time.train(prepare=prepare, **asked)
    mine = attentio_run.evaluate(both.run, threads=asked["threads"])
    if mine["tokens"] != both.theirs["tokens"]:
        raise RuntimeError(f"not the same tokens: {mine['tokens']} and {both.theirs['tokens']}")
    config = load_run(both.run)
    size = sum(len(document.encode()) for document in read_part(config, str(config.data.dev)).items)
    nats = both.theirs["nats"]
    return {
        "dev_bytes": size,
        "together": asked["together"],
        "ours": {**both.ours, **mine},
        "theirs": {
            **both.theirs,
            "bits-per-byte": nats / math.log(2) / size,
            "perplexity": math.exp(nats / both.theirs["tokens"]),
        },
    }


def report(result: dict) -> str:
    lines = [f"{'':10} {'bits per byte':>13} {'perplexity':>11} {'parameters':>11} {'minutes':>8} {'updates':>8}"]
    for name, side in (("attentio", result["ours"]), ("GPT-2", result["theirs"])):
        lines.append(
            f"{name:10} {side['bits-per-byte']:13.3f} {side['perplexity']:11.1f} {side['parameters']:11,} "
            f"{side['minutes']:8.1f} {side['updates']:8,}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Causal language models of ours and of transformers.")
    parser.add_argument("--data", type=Path, required=True, help="directory that holds text/")
    parser.add_argument("--envs", type=Path, required=True, help="directory of the peers' environments")
    parser.add_argument("--work", type=Path, required=True, help="directory for the runs")
    parser.add_argument("--preset", choices=("causal-lm", "causal-lm-modern"), default="causal-lm-modern")
    parser.add_argument("--minutes", type=float, default=30.0, help="of training, each side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--together", action="store_true", help="both sides at once, half of the threads each")
    arguments, rest = parser.parse_known_args()
    overrides = dict(zip(rest[::2], rest[1::2], strict=True))
    work = arguments.work / "causal-lm"
    work.mkdir(parents=True, exist_ok=True)
    python = peers.environment("transformers", arguments.envs)
    result = measure(
        preset=arguments.preset,
        options=options_of(arguments.data) | overrides,
        work=work,
        python=python,
        minutes=arguments.minutes,
        threads=arguments.threads,
        together=arguments.together,
    )
    print(report(result))
    path = HERE / "results" / "causal_lm.json"
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
    text = json.dumps({"threads": arguments.threads, "machine": machine, **result}, indent=2, ensure_ascii=False)
    for folder, name in ((arguments.work, "WORK"), (arguments.data, "DATA")):  # no path of this machine
        text = text.replace(str(folder), name)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
