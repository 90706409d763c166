"""transformers' side of `transformer_decoding.py`: `generate`, forced to a fixed number of steps.

python transformers_decoding.py JOB.json RESULT.json        (transformers' interpreter)
"""

import json
import sys
import time
from pathlib import Path

import torch
from transformers import MarianMTModel


def main() -> None:
    job_file, result_file = map(Path, sys.argv[1:])
    job = json.loads(job_file.read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    model = MarianMTModel.from_pretrained(job["exported"]["huggingface"]).eval()
    model.generation_config.forced_eos_token_id = None
    padding = model.config.pad_token_id
    with torch.no_grad():
        model.final_logits_bias[:, job["silent"]] = job["silent_bias"]

    def decode(batch: list[list[int]], beam: int) -> list[list[int]]:
        source = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(sentence) for sentence in batch], batch_first=True, padding_value=padding
        )
        with torch.inference_mode():
            found = model.generate(
                input_ids=source,
                attention_mask=(source != padding).long(),
                num_beams=beam,
                do_sample=False,
                max_new_tokens=job["steps"],
                min_new_tokens=job["steps"],
            )
        return found[:, 1:].tolist()

    result = {}
    for row in job["rows"]:
        decode(row["batches"][0], row["beam"])
        started = time.perf_counter()
        outputs = [output for batch in row["batches"] for output in decode(batch, row["beam"])]
        result[row["name"]] = {"seconds": time.perf_counter() - started, "outputs": outputs}
    result_file.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
