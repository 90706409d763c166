"""A Transformer learns, is exported, and transformers translates with it as attentio does."""

from collections.abc import Callable
from pathlib import Path

from toy_pairs import OPTIONS, as_arguments, reverse, write_task
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer


def test_transformers_translates_with_an_exported_model_as_attentio(
    tmp_path: Path, attentio: Callable, drawn: int
) -> None:
    recurrent = {"model.embedding", "model.hidden"}
    options = {key: value for key, value in OPTIONS.items() if key not in recurrent}
    options |= write_task(tmp_path, reverse, seed=drawn)
    options |= {
        "model.encoder": "transformer",
        "model.decoder": "transformer",
        "model.transformer.width": 32,
        "model.transformer.feed_forward": 64,
        "training.max_steps": 200,
        "training.validate_every": 200,
        "training.learning_rate": 0.005,
        "training.seed": drawn,
    }
    run = tmp_path / "run"
    assert attentio("train", "luong", "--run", run, *as_arguments(options)).returncode == 0
    assert attentio("export", run, "--to", "huggingface").returncode == 0
    words = [line.split("\t")[0] for line in (tmp_path / "dev.tsv").read_text().splitlines()]
    said = attentio("translate", run, "--beam", 1, given="\n".join(words).encode())
    tokenizer = AutoTokenizer.from_pretrained(run / "huggingface")
    model = AutoModelForSeq2SeqLM.from_pretrained(run / "huggingface")
    batch = tokenizer(words, return_tensors="pt", padding=True)
    ids = model.generate(**batch, num_beams=1, max_length=40)
    target = AutoTokenizer.from_pretrained(run / "huggingface" / "target")
    theirs = target.batch_decode(ids, skip_special_tokens=True)
    ours = said.stdout.decode().splitlines()
    # attentio cuts an output off that does not end, the sooner the shorter its source.
    cut = [len(one) == 3 * len(word) + 10 for one, word in zip(ours, words, strict=True)]
    assert sum(cut) < 20
    assert [one for one, is_cut in zip(ours, cut, strict=True) if not is_cut] == [
        one for one, is_cut in zip(theirs, cut, strict=True) if not is_cut
    ]
