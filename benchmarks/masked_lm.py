"""Masked language models: ours and transformers' BERT of the same size, trained for the same time on the same rows.

    python benchmarks/masked_lm.py --data D --envs D --work D [--preset ..] [--minutes 30] [--jobs ..] [--together]

| job | text | tokens |
|---|---|---|
| war-and-peace | English, a paragraph a line | 8,000 unigram pieces |
| korean-syllables | questions and answers, 1 line in 20 held out | characters |
| korean-jamo | the same | Hangul taken apart into jamo |

Ours is a preset with its schedule fitted to the time; what else is given (--key.sub value) goes to
`attentio train`. The peer is `BertForMaskedLM` with the same layers, width, heads and dropout, or, where ours has
rotary positions and norms first, `ModernBertForMaskedLM` with a gated feed-forward of as many weights (of the same
size where ours is gated too) and full attention in every layer. It is trained by `Trainer` with
`DataCollatorForLanguageModeling` on the same rows with the same tokenizer, peak learning rate and, on average, as
many tokens an update, rows of like length together (see `peer_side/language_model_training.py`).

Masked accuracy: the per cent of the masked tokens of the dev text that are guessed right. Both sides answer the very
same questions: the dev rows with our holes (15% of the tokens; 80% masked, 10% replaced, 10% left), written to a
file. Beside it, what always guessing the most frequent token of the training text gives. With --together both train
at the same time on half of the threads each. Prints a table, writes `benchmarks/results/masked_lm.json`.
"""

import argparse
import json
import os
import platform
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attentio_run
import corpora
import peers
import same_time
import torch
from safetensors.torch import save_file

from attentio.config.read import load_run
from attentio.config.schema import Config
from attentio.data.batches import IGNORE_INDEX
from attentio.data.masked_texts import MaskedBatch
from attentio.data.part import read_part
from attentio.runs import masked
from attentio.runs.build import Tokenizers
from attentio.text.tokenizer import PAD

HERE = Path(__file__).parent
JOBS = ("war-and-peace", "korean-syllables", "korean-jamo")
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "gelu-tanh": "gelu_new"}


def options_of(job: str, data: Path, work: Path) -> dict[str, str]:
    """What `attentio train` is given beside its budget."""
    if job == "war-and-peace":
        train, dev = data / "text" / "war-and-peace.train.txt.gz", data / "text" / "war-and-peace.dev.txt"
        tokenizer = {"--text.source.tokenizer": "unigram", "--text.source.vocab_size": "8000"}
    else:
        train, dev = corpora.korean_chatbot(data, work)
        tokenizer = {"--text.source.tokenizer": "char", "--text.source.jamo": str(job == "korean-jamo").lower()}
    return {"--data.train": str(train), "--data.dev": str(dev), "--data.test": str(dev), **tokenizer}


def questions(config: Config, tokenizers: Tokenizers) -> list[MaskedBatch]:
    """The dev rows with the holes that the validations of a run have."""
    dev: Any = masked.questions(config, read_part(config, str(config.data.dev)), tokenizers)
    return [dev.load(indices, 0) for indices in dev.epoch_batches(0)]


def prepare(run: Path, folder: Path) -> dict:
    """Write the training rows, the dev questions and the tokenizer for the peer; say what it is to train."""
    config = load_run(run)
    tokenizers = masked.blueprint.load_tokenizers(run / "tokenizer", config)
    content = json.loads((run / "tokenizer" / "source.json").read_text(encoding="utf-8"))
    (folder / "tokenizer.json").write_text(json.dumps(content["tokenizer"]), encoding="utf-8")
    corpus: Any = masked.corpus(config, read_part(config, config.data.train), tokenizers, seed=config.training.seed)
    batches = corpus.epoch_batches(0)
    rows = [row for indices in batches for row in whole_rows(corpus.load(indices, 0))]
    tensors = {"train.tokens": torch.cat(rows), "train.lengths": torch.tensor([len(row) for row in rows])}
    for number, batch in enumerate(questions(config, tokenizers)):
        tensors[f"dev.{number}.tokens"], tensors[f"dev.{number}.lengths"] = batch.inputs
        tensors[f"dev.{number}.labels"] = batch.labels.clamp_min(PAD)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "tokens.safetensors")
    training = config.training
    return {
        **architecture(config, tokenizers),
        "tokenizer": str(folder / "tokenizer.json"),
        "training": {
            "learning_rate": training.learning_rate,
            "warmup": max(1, training.warmup),
            "weight_decay": training.weight_decay,
            "clip": training.clip,
            "masked": config.masking.training_rate or config.masking.rate,
            "bf16": training.precision == "bf16-mixed",
            "rows_per_batch": round(training.accumulate * len(rows) / len(batches)),
            "sampling": "group_by_length",
        },
    }


def architecture(config: Config, tokenizers: Tokenizers) -> dict:
    """The peer's model and its size."""
    model, transformer = config.model, config.model.transformer
    same = {
        "vocab_size": tokenizers.source.size,
        "hidden_size": transformer.width,
        "num_hidden_layers": model.encoder_layers,
        "num_attention_heads": transformer.heads,
        "max_position_embeddings": transformer.max_length,
        "pad_token_id": PAD,
    }
    if transformer.pre_norm and transformer.positions == "rotary":
        gated = transformer.activation == "swiglu"  # a gate makes three matrices of two
        sizes: dict[str, Any] = {
            "intermediate_size": transformer.feed_forward if gated else 2 * transformer.feed_forward // 3,
            "global_attn_every_n_layers": 1,
            "embedding_dropout": model.dropout,
            "mlp_dropout": model.dropout,
        }
        return {"architecture": "modernbert", "model": same | sizes}
    sizes = {
        "intermediate_size": transformer.feed_forward,
        "hidden_act": ACTIVATIONS[transformer.activation],
        "hidden_dropout_prob": model.dropout,
        "attention_probs_dropout_prob": 0.0,
        "type_vocab_size": 1,
    }
    return {"architecture": "bert", "model": same | sizes}


def whole_rows(batch: MaskedBatch) -> Iterable[torch.Tensor]:
    """The rows without their holes and without padding."""
    tokens, lengths = batch.inputs
    whole = torch.where(batch.labels != IGNORE_INDEX, batch.labels, tokens)
    return [row[:length] for row, length in zip(whole, lengths.tolist(), strict=True)]


def measure(**asked: Any) -> dict:
    """asked: of `same_time.train`."""
    both = same_time.train(prepare=prepare, **asked)
    mine = attentio_run.evaluate(both.run, threads=asked["threads"])
    if mine["tokens"] != both.theirs["tokens"]:
        raise RuntimeError(f"not the same questions: {mine['tokens']} and {both.theirs['tokens']}")
    return {
        "together": asked["together"],
        "commonest-token-accuracy": commonest_token_accuracy(both.run),
        "ours": {**both.ours, **mine},
        "theirs": both.theirs,
    }


def commonest_token_accuracy(run: Path) -> float:
    """The per cent of the dev questions whose answer is the most frequent token of the training text."""
    config = load_run(run)
    tokenizers = masked.blueprint.load_tokenizers(run / "tokenizer", config)
    encoded = tokenizers.source.encode_all(read_part(config, config.data.train).items)
    counts = Counter(i for ids in encoded for i in ids if i not in tokenizers.source.special_ids)
    ((commonest, _),) = counts.most_common(1)
    labels = torch.cat([batch.labels[batch.labels != IGNORE_INDEX] for batch in questions(config, tokenizers)])
    return 100 * float((labels == commonest).float().mean())


def report(results: dict) -> str:
    lines = [
        f"{'masked accuracy, %':18} {'attentio':>9} {'theirs':>6} {'commonest':>10} "
        f"{'parameters':>21} {'minutes':>13} {'updates':>14}"
    ]
    for job, result in results.items():
        ours, theirs = result["ours"], result["theirs"]
        lines.append(
            f"{job:18} {ours['masked-accuracy']:9.2f} {theirs['masked-accuracy']:6.2f} "
            f"{result['commonest-token-accuracy']:10.2f} {ours['parameters']:10,} {theirs['parameters']:10,} "
            f"{ours['minutes']:6.1f} {theirs['minutes']:6.1f} {ours['updates']:7,} {theirs['updates']:6,}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Masked language models of ours and of transformers.")
    parser.add_argument("--data", type=Path, required=True, help="directory that holds text/")
    parser.add_argument("--envs", type=Path, required=True, help="directory of the peers' environments")
    parser.add_argument("--work", type=Path, required=True, help="directory for the runs")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--preset", choices=("masked-lm", "masked-lm-modern"), default="masked-lm-modern")
    parser.add_argument("--minutes", type=float, default=30.0, help="of training, each side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--together", action="store_true", help="both sides at once, half of the threads each")
    arguments, rest = parser.parse_known_args()
    overrides = dict(zip(rest[::2], rest[1::2], strict=True))
    python = peers.environment("transformers", arguments.envs)
    path = HERE / "results" / "masked_lm.json"
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"jobs": {}}
    document |= {"threads": arguments.threads, "machine": machine}
    for job in arguments.jobs:
        work = arguments.work / "masked-lm" / job
        work.mkdir(parents=True, exist_ok=True)
        document["jobs"][job] = measure(
            preset=arguments.preset,
            options=options_of(job, arguments.data, work) | overrides,
            work=work,
            python=python,
            minutes=arguments.minutes,
            threads=arguments.threads,
            together=arguments.together,
        )
        text = json.dumps(document, indent=2, ensure_ascii=False)
        for folder, name in ((arguments.work, "WORK"), (arguments.data, "DATA")):  # no path of this machine
            text = text.replace(str(folder), name)
        path.write_text(text + "\n", encoding="utf-8")
    print(report({job: document["jobs"][job] for job in arguments.jobs}))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
