"""A plain training loop round transformers' MarianMTModel, on batches that were made beforehand.

    python marian_training.py BATCHES.safetensors SETTINGS.json RESULT.json        (transformers' interpreter)

The loop computes what ours does: cross-entropy smoothed by 0.1 and averaged over the real target tokens, gradient
norm clipped, AdamW in its fused form. Attention is torch's scaled_dot_product_attention. Time is that of whole
updates, from the batch as it lies in memory; the first `warm_up` are thrown away.
"""

import json
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import MarianConfig, MarianMTModel


def main() -> None:
    batches, settings, result = map(Path, sys.argv[1:])
    given = json.loads(settings.read_text(encoding="utf-8"))
    torch.manual_seed(1)
    model = MarianMTModel(MarianConfig(**given["model"], attn_implementation="sdpa")).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=given["learning_rate"], betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    tensors = load_file(batches)
    padding = model.config.pad_token_id
    seconds, tokens, losses = [], [], []
    for number in range(len(tensors) // 3):
        started = time.perf_counter()
        source, target_input, labels = (tensors[f"{number}.{name}"] for name in ("source", "target_input", "labels"))
        optimizer.zero_grad(set_to_none=True)
        logits = model(
            input_ids=source,
            attention_mask=(source != padding).long(),
            decoder_input_ids=target_input,
            use_cache=False,
        ).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=padding, label_smoothing=given["label_smoothing"]
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), given["clip"])
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - started)
        tokens.append(int((labels != padding).sum()))
    timed = slice(given["warm_up"], None)
    content = {
        "target_tokens_per_second": sum(tokens[timed]) / sum(seconds[timed]),
        "target_tokens": sum(tokens[timed]),
        "updates": len(seconds[timed]),
        "seconds": sum(seconds[timed]),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "parameters": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
    }
    result.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
