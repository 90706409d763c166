"""CTranslate2's side of `transformer_decoding.py`: converts the exported model and translates a fixed number of steps.

    python ctranslate2_decoding.py JOB.json RESULT.json        (transformers' interpreter, which has CTranslate2)

CTranslate2's own loader of Marian models drops the last row of the vocabulary, which is the padding there, and
starts the decoder from a zero embedding. This model has its padding first and starts from <s>, as BART does, so the
loader it inherits from is used.
"""

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import ctranslate2
from ctranslate2.converters import transformers as converting


class Vocabulary:
    """What the converter asks a tokenizer for."""

    unk_token, bos_token, eos_token = "<unk>", "<s>", "</s>"

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def get_vocab(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    def convert_ids_to_tokens(self, number: int) -> str:
        return self.tokens[number]


class Converter(converting.TransformersConverter):
    def __init__(self, exported: str, tokens: list[str]) -> None:
        super().__init__(exported)
        self.tokens = tokens

    def load_tokenizer(self, *ignored, **options) -> Vocabulary:
        return Vocabulary(self.tokens)


@converting.register_loader("MarianConfig")
class Loader(converting.BartLoader):
    architecture_name = "MarianMTModel"
    silent: tuple[list[int], float]

    def get_model_spec(self, model):
        model.config.normalize_before = model.config.normalize_embedding = False
        numbers, bias = self.silent
        model.final_logits_bias[:, numbers] = bias
        return super().get_model_spec(model)


def main() -> None:
    job_file, result_file = map(Path, sys.argv[1:])
    job = json.loads(job_file.read_text(encoding="utf-8"))
    tokens = job["tokens"]
    numbers = {token: number for number, token in enumerate(tokens)}
    Loader.silent = job["silent"], job["silent_bias"]
    with TemporaryDirectory() as folder:
        Converter(job["exported"], tokens).convert(folder, quantization="float32", force=True)
        translator = ctranslate2.Translator(
            folder, device="cpu", compute_type="float32", inter_threads=1, intra_threads=job["threads"]
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
