"""Training throughput of yoyodyne 0.5.27's attentive LSTM on Korean g2p.

    python benchmarks/yoyodyne_run.py --data DIR --envs DIR --work DIR

Model: `SoftAttentionLSTMModel`: embeddings 128 (yoyodyne's default; source and target apart:
`tie_embeddings: false`, which leaves the softmax over phones alone), one bidirectional LSTM of 256 a
direction (`hidden_size` is that of one direction), one LSTM decoder of 256 with a learned first state,
additive attention with the previous decoder state as the query and its context in the decoder's input,
dropout 0.2 (yoyodyne's default: embeddings and decoder output). Adam, learning rate 0.001, no clipping, no
label smoothing, batches of 64 words in a random order, not sorted by length; 3,600 words are 57 updates an
epoch, the last of 16 words.

What is counted: `target_tokens` are the phones and one end symbol a word, without padding (yoyodyne puts no
start symbol into the target): 27,533 an epoch. Time is that of a training epoch, from Lightning's
`on_train_epoch_start` to its `on_train_epoch_end`: loading, forward, backward and the optimizer's step; no
validation, no checkpoint, no progress bar. The first epoch is thrown away; `seconds_per_epoch` is the
median of the others, and tokens a second follow from it. yoyodyne loads its batches in a worker process of
its own, which it does not let a user turn off.
"""

import argparse
import json
from pathlib import Path
from statistics import median

import corpora
import peers
import yaml


def train(*, python: Path, corpus: Path, run: Path, epochs: int, threads: int) -> dict:
    """Train for `1 + epochs` epochs and say how long the later ones took, and how fast they were.

    Args:
        python: the interpreter of yoyodyne's environment.
        corpus: the folder that `corpora.korean_g2p` made.
        run: folder for the configuration, the output, the clock's readings and yoyodyne's index.
    """
    run.mkdir(parents=True, exist_ok=True)
    settings = configuration(corpus=corpus, run=run, epochs=1 + epochs)
    (run / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    peers.launch(
        [python.with_name("yoyodyne"), "fit", "--config", run / "config.yaml"],
        threads=threads,
        log=run / "output.txt",
        python_path=Path(__file__).parent / "peer_side",
    )
    counted = json.loads((run / "clock.json").read_text(encoding="utf-8"))[1:]
    seconds = median(epoch["seconds"] for epoch in counted)
    return {
        "target_tokens_per_second": counted[0]["target_tokens"] / seconds,
        "seconds_per_epoch": seconds,
        "epochs": counted,
        "versions": peers.versions(python, ("yoyodyne", "lightning", "torch")),
        "settings": settings,
    }


def attentive_lstm() -> dict:
    encoder = {"bidirectional": True, "embedding_size": 128, "hidden_size": 256, "layers": 1, "dropout": 0.2}
    return {
        "class_path": "yoyodyne.models.SoftAttentionLSTMModel",
        "init_args": {
            "embedding_size": 128,
            "decoder_hidden_size": 256,
            "decoder_layers": 1,
            "decoder_dropout": 0.2,
            "optimizer": {"class_path": "yoyodyne.optimizers.Adam", "init_args": {"lr": 0.001}},
            "source_encoder": {"class_path": "yoyodyne.models.modules.LSTMEncoder", "init_args": encoder},
        },
    }


def configuration(*, corpus: Path, run: Path, epochs: int) -> dict:
    return {
        "seed_everything": 42,
        "data": {
            "model_dir": str(run / "model"),
            "train": str(corpus / "train.tsv"),
            "target_sep": " ",
            "tie_embeddings": False,
            "batch_size": 64,
        },
        "model": attentive_lstm(),
        "checkpoint": {"save_top_k": 0},
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": epochs,
            "limit_val_batches": 0,
            "enable_progress_bar": False,
            "logger": {
                "class_path": "lightning.pytorch.loggers.CSVLogger",
                "init_args": {"save_dir": str(run / "model")},
            },
            "callbacks": [{"class_path": "yoyodyne_clock.EpochClock", "init_args": {"path": str(run / "clock.json")}}],
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Training throughput of yoyodyne on Korean g2p.")
    parser.add_argument("--data", type=Path, required=True, help="directory that holds g2p/")
    parser.add_argument("--envs", type=Path, required=True, help="directory of the peers' environments")
    parser.add_argument("--work", type=Path, required=True, help="directory for prepared data and runs")
    parser.add_argument("--epochs", type=int, default=3, help="epochs that are timed")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    result = train(
        python=peers.environment("yoyodyne", arguments.envs),
        corpus=corpora.korean_g2p(arguments.data, arguments.work).folder,
        run=arguments.work / "yoyodyne",
        epochs=arguments.epochs,
        threads=arguments.threads,
    )
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
