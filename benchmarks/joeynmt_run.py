"""Training throughput of JoeyNMT 2.3.0 on the segmented Multi30k text.

    python benchmarks/joeynmt_run.py --data DIR --envs DIR --work DIR --model bahdanau

Models `bahdanau` (additive) and `luong` (general): embeddings 256 (source, target and softmax untied), one
bidirectional LSTM of 256 a direction (JoeyNMT's `hidden_size` is that of one direction; the encoder's output has
512), one LSTM decoder of 256 started from a learned projection of the encoder's last state ("bridge"), both
attentions with input feeding and with the current decoder state as the query, which is what JoeyNMT does under
either name. Dropout 0.2 on the embeddings (the decoder's includes the fed-back attentional vector) and before
the attentional layer. Adam, plain cross-entropy averaged over target tokens, no label smoothing.

Model `transformer`: 3 + 3 layers, width 256, feed-forward 1,024, 4 heads, ReLU, normalisation after each block,
sinusoidal positions, one matrix for source embeddings, target embeddings and softmax over a shared vocabulary.
Dropout 0.1. AdamW, label smoothing 0.1.

All: learning rate constant, gradient norm clipped at 1.

Batches: JoeyNMT's `batch_type: token`, 2,048: it takes sentences in a random order, with no sorting by
length, until sentences x (the longest source or target in the batch, EOS included) reaches 2,048, padding
included.

What is counted: `target_tokens` are JoeyNMT's own `ntokens`, the target pieces and one EOS a sentence,
without padding and without BOS. Time runs from the start of one training step to the start of the next, so
that reading the batch, forward, backward, clipping and the optimizer's step are all in it; there is no
validation. The first `WARM_UP` updates are thrown away, and the last one only ends the time. JoeyNMT's own
log ("Tokens per Sec") counts the same tokens over the same stretch of work; its lines after the warm-up are
kept in the result as `logged_tokens_per_second`.

JoeyNMT 2.3.0 refuses to train without a scheduler, and its `plateau` hands torch an argument, `verbose`,
that torch no longer takes. `scheduling: exponential` with `decrease_factor: 1.0` is a constant learning
rate, touched once an epoch, and runs unpatched.
"""

import argparse
import json
import re
from pathlib import Path

import corpora
import peers
import yaml

WARM_UP = 10
LOG_EVERY = 5
PLAIN_ADAM = {"optimizer": "adam", "learning_rate": 0.001}
SMOOTHED_ADAMW = {"optimizer": "adamw", "learning_rate": 0.0005, "label_smoothing": 0.1}


def train(*, python: Path, corpus: Path, run: Path, model: str, updates: int, threads: int) -> dict:
    """Train for `WARM_UP + updates + 1` updates and say how many target tokens a second the middle ones made.

    Args:
        python: the interpreter of JoeyNMT's environment.
        corpus: the folder that `corpora.multi30k` made; for the Transformer, of the shared vocabulary.
        run: folder for the configuration, the output, the clock's readings and JoeyNMT's model.
        model: "bahdanau", "luong" or "transformer".
    """
    run.mkdir(parents=True, exist_ok=True)
    settings = configuration(corpus=corpus, run=run, model=model, updates=WARM_UP + updates + 1)
    (run / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    clock = Path(__file__).parent / "peer_side" / "joeynmt_clock.py"
    peers.launch([python, clock, run / "config.yaml", run / "clock.json"], threads=threads, log=run / "output.txt")
    steps = json.loads((run / "clock.json").read_text(encoding="utf-8"))
    counted = steps[WARM_UP:-1]
    seconds = steps[-1]["start"] - counted[0]["start"]
    tokens = sum(step["target_tokens"] for step in counted)
    return {
        "target_tokens_per_second": tokens / seconds,
        "target_tokens": tokens,
        "padded_target_tokens": sum(step["padded_target_tokens"] for step in counted),
        "sentences": sum(step["sentences"] for step in counted),
        "updates": len(counted),
        "seconds": seconds,
        "logged_tokens_per_second": logged_rates(run / "model" / "train.log")[WARM_UP // LOG_EVERY :],
        "versions": peers.versions(python, ("joeynmt", "torch")),
        "settings": settings,
    }


def logged_rates(log: Path) -> list[int]:
    """JoeyNMT's own "Tokens per Sec" lines, one every `LOG_EVERY` updates."""
    return [int(rate) for rate in re.findall(r"Tokens per Sec: +(\d+)", log.read_text(encoding="utf-8"))]


def configuration(*, corpus: Path, run: Path, model: str, updates: int) -> dict:
    def side(language: str) -> dict:
        return {"lang": language, "level": "word", "voc_file": str(corpus / f"vocabulary.{language}")}

    return {
        "name": f"multi30k-{model}",
        "joeynmt_version": "2.3.0",
        "model_dir": str(run / "model"),
        "use_cuda": False,
        "random_seed": 42,
        "data": {
            "train": str(corpus / "train"),
            "dev": str(corpus / "dev"),
            "dataset_type": "plain",
            "src": side("en"),
            "trg": side("de"),
        },
        "model": transformer() if model == "transformer" else recurrent(attention=model),
        "training": (SMOOTHED_ADAMW if model == "transformer" else PLAIN_ADAM)
        | {
            "scheduling": "exponential",
            "decrease_factor": 1.0,
            "clip_grad_norm": 1.0,
            "normalization": "tokens",
            "batch_size": 2048,
            "batch_type": "token",
            "updates": updates,
            "logging_freq": LOG_EVERY,
            "validation_freq": LOG_EVERY * updates,
            "overwrite": True,
        },
        "testing": {},
    }


def recurrent(*, attention: str) -> dict:
    embeddings = {"embedding_dim": 256, "dropout": 0.2}
    recurrence = {"type": "recurrent", "rnn_type": "lstm", "hidden_size": 256, "num_layers": 1}
    return {
        "encoder": recurrence | {"bidirectional": True, "embeddings": embeddings},
        "decoder": recurrence
        | {
            "attention": attention,
            "input_feeding": True,
            "init_hidden": "bridge",
            "hidden_dropout": 0.2,
            "embeddings": embeddings,
        },
    }


def transformer() -> dict:
    side = {
        "type": "transformer",
        "num_layers": 3,
        "num_heads": 4,
        "hidden_size": 256,
        "ff_size": 1024,
        "dropout": 0.1,
        "layer_norm": "post",
        "embeddings": {"embedding_dim": 256, "scale": True, "dropout": 0.1},
    }
    return {"encoder": side, "decoder": side, "tied_embeddings": True, "tied_softmax": True, "initializer": "xavier"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Training throughput of JoeyNMT on Multi30k.")
    parser.add_argument("--data", type=Path, required=True, help="directory that holds multi30k/")
    parser.add_argument("--envs", type=Path, required=True, help="directory of the peers' environments")
    parser.add_argument("--work", type=Path, required=True, help="directory for prepared data and runs")
    parser.add_argument("--model", choices=("bahdanau", "luong", "transformer"), default="bahdanau")
    parser.add_argument("--updates", type=int, default=30, help="updates that are timed")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    result = train(
        python=peers.environment("joeynmt", arguments.envs),
        corpus=corpora.multi30k(arguments.data, arguments.work, shared=arguments.model == "transformer").folder,
        run=arguments.work / f"joeynmt-{arguments.model}",
        model=arguments.model,
        updates=arguments.updates,
        threads=arguments.threads,
    )
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
