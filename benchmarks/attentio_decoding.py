"""Our side of `transformer_decoding.py`: searches with a trained run, forced to a fixed number of steps.

python attentio_decoding.py [--bfloat16] JOB.json RESULT.json
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from attentio.system import settle

settle()  # as the command does, before torch is loaded

import torch  # noqa: E402

from attentio.decoding.search import search  # noqa: E402
from attentio.layers.bfloat16 import in_bfloat16  # noqa: E402
from attentio.layers.packed import PackedWeights  # noqa: E402
from attentio.runs.load import load  # noqa: E402
from attentio.text.tokenizer import BOS, EOS, PAD, UNK  # noqa: E402


def main() -> None:
    *rounded, job_file, result_file = sys.argv[1:]
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    model: Any = load(job["run"]).model
    with torch.no_grad():
        model.output.bias[job["silent"]] = job["silent_bias"]

    if rounded:
        model = in_bfloat16(model, but=model.output)
    packed = PackedWeights()  # as in `Run.candidates`

    def decode(batch: list[list[int]], beam: int) -> list[list[int]]:
        lengths = torch.tensor([len(sentence) for sentence in batch])
        source = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(sentence) for sentence in batch], batch_first=True, padding_value=PAD
        )
        with torch.inference_mode():
            found = search(
                model,
                model.start(model.encode(source, lengths), packed=packed),
                max_lengths=torch.full_like(lengths, job["steps"] - 1),
                begin=BOS,
                end=EOS,
                forbidden=(PAD, BOS, UNK),
                beam=beam,
                need_weights=False,
            )
        return [best[0].tokens for best in found]

    result = {}
    for row in job["rows"]:
        decode(row["batches"][0], row["beam"])
        started = time.perf_counter()
        outputs = [output for batch in row["batches"] for output in decode(batch, row["beam"])]
        result[row["name"]] = {"seconds": time.perf_counter() - started, "outputs": outputs}
    Path(result_file).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
