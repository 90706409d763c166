"""A BERT, ModernBERT or GPT-2 of transformers, trained by its Trainer for a given time on tokens made beforehand.

    python language_model_training.py SETTINGS.json TOKENS.safetensors RESULT.json        (transformers' interpreter)

SETTINGS: architecture (bert, modernbert or gpt2), model (its configuration), training, and for a masked model the
tokenizer file. TOKENS, for a masked model: `train.tokens`, rows <s> .. </s> one after the other, and `train.lengths`;
`dev.N.tokens`, `dev.N.lengths` and `dev.N.labels`, batches of rows with holes and what is asked for there, 0 elsewhere.
For gpt2: `train.tokens` and `dev.tokens`, documents one after the other with </s> before, between and after them.

The learning rate climbs over the first updates and then falls with the time that has passed, to 0 at its end; so
the schedule fits the time whatever the speed. All else is as the Trainer does it: AdamW in its fused form, gradient
norm clipped; float32, or bfloat16 under autocast where ours is trained so.
"""

import json
import sys
import time
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

IGNORED = -100


class Deadline(transformers.TrainerCallback):
    """Stops training when the time is up, and says how much of it has passed."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.start, self.losses = seconds, 0.0, []

    @property
    def passed(self) -> float:
        return (time.perf_counter() - self.start) / self.seconds if self.start else 0.0

    def on_train_begin(self, args, state, control, **others) -> None:
        self.start = time.perf_counter()

    def on_step_end(self, args, state, control, **others) -> None:
        control.should_training_stop = self.passed >= 1

    def on_log(self, args, state, control, logs=None, **others) -> None:
        self.losses.append(logs.get("loss"))


def train(model, rows: list[dict], collator, given: dict, folder: Path) -> dict:
    deadline = Deadline(given["seconds"])
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=given["learning_rate"], weight_decay=given["weight_decay"], fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / given["warmup"]) * max(0.0, 1 - deadline.passed)
    )
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        bf16=given["bf16"],
        per_device_train_batch_size=given["rows_per_batch"],
        train_sampling_strategy=given["sampling"],
        max_steps=10**9,
        max_grad_norm=given["clip"],
        logging_steps=100,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=1,
    )
    trainer = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=collator,
        optimizers=(optimizer, schedule),
        callbacks=[deadline],
    )
    trainer.train()
    return {
        "minutes": (time.perf_counter() - deadline.start) / 60,
        "updates": trainer.state.global_step,
        "losses": [loss for loss in deadline.losses if loss is not None],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def masked(given: dict, tensors: dict[str, torch.Tensor], folder: Path) -> dict:
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=given["tokenizer"],
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        mask_token="<mask>",
    )
    kinds = {
        "bert": (transformers.BertForMaskedLM, transformers.BertConfig),
        "modernbert": (transformers.ModernBertForMaskedLM, transformers.ModernBertConfig),
    }
    model_class, config_class = kinds[given["architecture"]]
    model = model_class(config_class(**given["model"], attn_implementation="sdpa"))
    rows = [{"input_ids": row.tolist()} for row in tensors["train.tokens"].split(tensors["train.lengths"].tolist())]
    collator = transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=given["training"]["masked"])
    result = train(model, rows, collator, given["training"], folder)
    model.eval()
    asked, correct, nats = 0, 0, 0.0
    with torch.inference_mode():
        for number in range(sum(name.endswith(".labels") for name in tensors)):
            tokens, lengths, labels = (tensors[f"dev.{number}.{name}"] for name in ("tokens", "lengths", "labels"))
            real = torch.arange(tokens.shape[1]) < lengths[:, None]
            where = labels != 0
            logits = model(input_ids=tokens, attention_mask=real.long()).logits[where]
            asked += int(where.sum())
            correct += int((logits.argmax(-1) == labels[where]).sum())
            nats += float(torch.nn.functional.cross_entropy(logits, labels[where], reduction="sum"))
    return result | {"tokens": asked, "masked-accuracy": 100 * correct / asked, "nats": nats}


def gpt2(given: dict, tensors: dict[str, torch.Tensor], folder: Path) -> dict:
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**given["model"], attn_implementation="sdpa"))
    block = given["model"]["n_positions"]
    rows = [{"input_ids": row, "labels": row} for row in tensors["train.tokens"].split(block) if len(row) == block]
    result = train(model, rows, transformers.default_data_collator, given["training"], folder)
    model.eval()
    stream = tensors["dev.tokens"]
    predicted, nats = 0, 0.0
    # Rows overlap by a half: every token is predicted once, all but the first ones from at least half a block.
    with torch.inference_mode():
        for start in range(0, max(1, len(stream) - block // 2), block // 2):
            row = stream[start : start + block]
            labels = row[None].clone()
            labels[:, : block // 2 if start else 1] = IGNORED
            asked = int((labels != IGNORED).sum())
            nats += float(model(input_ids=row[None], labels=labels).loss) * asked
            predicted += asked
    if predicted != len(stream) - 1:
        raise RuntimeError(f"{predicted} tokens predicted of {len(stream) - 1}")
    return result | {"tokens": predicted, "nats": nats}


def main() -> None:
    settings, tokens, result = map(Path, sys.argv[1:])
    given = json.loads(settings.read_text(encoding="utf-8"))
    torch.manual_seed(1)
    found = (gpt2 if given["architecture"] == "gpt2" else masked)(given, load_file(tokens), result.parent)
    result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
