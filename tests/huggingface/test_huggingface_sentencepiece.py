"""A directory as the published translators are: Marian, SentencePiece models and a vocabulary."""

import io
import json
from pathlib import Path

import pytest
import sentencepiece
import torch
from huggingface_models import marian
from transformers import MarianTokenizer

import attentio as at

LINES = ["the cat sat on the mat", "a dog and a cat sat in the sun", "nothing of it is the same as it was"]


@torch.no_grad()
def test_a_published_translator_translates_as_in_transformers(seed: int, tmp_path: Path) -> None:
    pieces: list[str] = []
    for side, lines in (("source", LINES), ("target", [line[::-1] for line in LINES])):
        model = io.BytesIO()
        options = {"vocab_size": 50, "hard_vocab_limit": False, "minloglevel": 2}
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, **options)
        (tmp_path / f"{side}.spm").write_bytes(model.getvalue())
        library = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        pieces += [library.id_to_piece(i) for i in range(3, len(library))]
    entries = ["</s>", "<unk>", *dict.fromkeys(pieces), "<pad>"]
    (tmp_path / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(entries)}))
    pad = len(entries) - 1
    special = {"pad_token_id": pad, "decoder_start_token_id": pad, "eos_token_id": 0, "forced_eos_token_id": 0}
    theirs = marian(vocab_size=len(entries), max_position_embeddings=197, scale_embedding=True, **special)
    theirs.final_logits_bias[0, 0] += 2.0
    theirs.generation_config.bad_words_ids = [[pad], [1]]
    theirs.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="sacremoses"):
        tokenizer = MarianTokenizer(*(str(tmp_path / name) for name in ("source.spm", "target.spm", "vocab.json")))
    batch = tokenizer(LINES, return_tensors="pt", padding=True)
    expected = theirs.generate(**batch, max_length=190, num_beams=1)
    for ours, ids in zip(at.load(tmp_path).translate(LINES, beam=1), expected.tolist(), strict=True):
        words = tokenizer.convert_ids_to_tokens(ids)[1:]
        if len(ours.tokens) == len(words[: words.index("</s>") + 1]):
            assert ours.text == tokenizer.decode(ids, skip_special_tokens=True)
        assert ours.tokens[:-1] == words[: len(ours.tokens) - 1]
