"""The doctor on the language models of transformers: what it says of every architecture that can be made small.

    python benchmarks/doctor_on_transformers.py [--seconds 60] [--only Bart T5]

Causal, masked and encoder-decoder models with random weights, two layers and a padded example; the last with labels, of
which the decoder's input is made. An architecture that does not run in these sizes says nothing of the doctor, and is
counted apart. Each is examined in a process of its own, which ends after so many seconds; on Linux and macOS. Prints
every finding but notes, and writes results/doctor_on_transformers.json.
"""

import argparse
import json
import multiprocessing
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.progress import track
from transformers.models.auto import modeling_auto as auto
from transformers.utils import logging

import attentio as at

RESULT = Path(__file__).parent / "results" / "doctor_on_transformers.json"
KINDS = {
    "causal": auto.MODEL_FOR_CAUSAL_LM_MAPPING,
    "masked": auto.MODEL_FOR_MASKED_LM_MAPPING,
    "encoder-decoder": auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
}
VOCABULARY, LENGTHS, PAD = 40, (12, 8, 11), 0
LARGEST = 3_000_000
"""Parameters: what is larger has not taken the sizes."""
COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "pad_token_id": PAD,
}
SIZES = COMMON | {
    **dict.fromkeys(("d_model", "n_embd", "dim", "embedding_size", "word_embed_proj_dim", "emb_dim"), 32),
    **dict.fromkeys(("n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers"), 2),
    **dict.fromkeys(("n_head", "n_heads", "num_heads", "decoder_attention_heads", "encoder_attention_heads"), 4),
    **dict.fromkeys(("ffn_dim", "hidden_dim", "n_inner", "d_ff", "decoder_ffn_dim", "encoder_ffn_dim"), 24),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 64),
    **dict.fromkeys(("num_key_value_heads", "num_local_experts", "num_experts", "n_routed_experts"), 2),
    **dict.fromkeys(("head_dim", "d_kv", "v_head_dim"), 8),
    **dict.fromkeys(("rotary_dim", "qk_rope_head_dim", "qk_nope_head_dim"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_hidden_groups", "n_group", "topk_group", "first_k_dense_replace"), 1),
    **dict.fromkeys(("moe_intermediate_size", "q_lora_rank", "kv_lora_rank"), 16),
    **{"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2},
}


def built(configuration: Any, architecture: Any) -> torch.nn.Module:
    """With weights so wide that nothing is nearly linear.

    Raises:
        Exception: of any kind, where it does not take these sizes.
    """
    try:
        config = configuration(**SIZES)
    except Exception:
        config = configuration(**COMMON)
    with torch.device("meta"):
        numbers = sum(one.numel() for one in architecture(config).parameters())
    if numbers > LARGEST:
        raise ValueError(f"{numbers:,} parameters: it does not take these sizes")
    model = architecture(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def example(kind: str) -> dict[str, torch.Tensor]:
    real = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    inputs = {
        "input_ids": torch.randint(4, VOCABULARY, real.shape).masked_fill(~real, PAD),
        "attention_mask": real.long(),
    }
    if kind == "encoder-decoder":
        inputs["labels"] = torch.randint(4, VOCABULARY, real.shape)  # as long as the source
    return inputs


def examine(kind: str, configuration: Any, architecture: Any, seed: int, answer: Connection) -> None:
    """What is sent: why it does not run, or the findings but notes, each "severity check where"."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    try:
        model, inputs = built(configuration, architecture), example(kind)
        model(**inputs)
    except Exception as error:
        answer.send({"does not run": f"{type(error).__name__}: {str(error).splitlines()[:1]}"})
        return
    diagnosis = at.diagnose(model, inputs)
    found = [f"{one.severity} {one.check} {one.where}" for one in diagnosis.findings if one.severity != "note"]
    failed = [f"failed {name}: {why}" for name, why in diagnosis.skipped.items() if "check itself failed" in why]
    answer.send({"found": found + failed, "checked": len(diagnosis.checked)})


def main() -> None:
    parser = argparse.ArgumentParser(description="The doctor on the language models of transformers.")
    parser.add_argument("--seconds", type=float, default=60, help="for one architecture")
    parser.add_argument("--only", nargs="+", default=[""], help="architectures whose names begin so")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    seed = torch.seed() % 2**31
    context = multiprocessing.get_context("fork")  # transformers is imported once
    chosen: list[tuple[str, Any, Any]] = [
        (kind, configuration, architecture[0] if isinstance(architecture, list | tuple) else architecture)
        for kind, models in KINDS.items()
        for configuration, architecture in models.items()
        if configuration.__name__.startswith(tuple(arguments.only))
    ]
    results: dict[str, Any] = {}
    for kind, configuration, architecture in track(chosen, console=Console(stderr=True)):
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=examine, args=(kind, configuration, architecture, seed, theirs))
        process.start()
        theirs.close()
        told = mine.poll(arguments.seconds)
        try:
            results[f"{kind} {architecture.__name__}"] = mine.recv() if told else {"does not run": "too slow"}
        except EOFError:
            results[f"{kind} {architecture.__name__}"] = {"does not run": "the process ended"}
        process.kill()
        process.join()
    examined = {name: one for name, one in results.items() if "found" in one}
    for name, one in examined.items():
        for found in one["found"]:
            print(f"{name}: {found}")
    counts = Counter(name.split()[0] for name in examined)
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    quiet = sum(not one["found"] for one in examined.values())
    print(f"{said}: {quiet} of {len(examined)} with nothing but notes; {len(results) - len(examined)} do not run so")
    if arguments.only == [""]:
        record = {"transformers": transformers.__version__, "seed": seed, "results": results}
        RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
