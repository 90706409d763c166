"""CTranslate2's side of `transformer_decoding.py`: translates a fixed number of steps with the exported model.

python ctranslate2_decoding.py JOB.json RESULT.json        (transformers' interpreter, which has CTranslate2)
"""

import json
import sys
import time
from pathlib import Path

import ctranslate2


def main() -> None:
    job_file, result_file = map(Path, sys.argv[1:])
    job = json.loads(job_file.read_text(encoding="utf-8"))
    tokens = job["tokens"]
    numbers = {token: number for number, token in enumerate(tokens)}
    translator = ctranslate2.Translator(
        job["exported"]["ctranslate2"],
        device="cpu",
        compute_type="float32",
        inter_threads=1,
        intra_threads=job["threads"],
    )

    def decode(batch: list[list[int]], beam: int) -> list[list[int]]:
        found = translator.translate_batch(
            [[tokens[number] for number in sentence] for sentence in batch],
            beam_size=beam,
            max_decoding_length=job["steps"],
            min_decoding_length=job["steps"],
        )
        return [[numbers[token] for token in result.hypotheses[0]] for result in found]

    result = {}
    for row in job["rows"]:
        decode(row["batches"][0], row["beam"])
        started = time.perf_counter()
        outputs = [output for batch in row["batches"] for output in decode(batch, row["beam"])]
        result[row["name"]] = {"seconds": time.perf_counter() - started, "outputs": outputs}
    result_file.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
