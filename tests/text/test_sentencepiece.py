"""The tokenizers of published Marian models, with transformers and the sentencepiece library as judges."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from transformers import MarianTokenizer

from attentio.errors import AttentioError
from attentio.text.sentencepiece import read_sides

LINES = [
    "the cat sat on the mat, and the dog on the log",
    "a cat and a dog sat in the sun; the sun set",
    "nothing of it is the same as what was there",
    "너는 밥을 먹고 물을 마셨다",
    "Ich heiße Müller, größer als ½",
    "naïve café — “quoted” text…",
]
UNSEEN = ["", "  two   spaces ", "☃ zebra ☃☃ x", ">>fra<< the cat", ">>deu<<the cat", "ﬁne ①", "tab\there", "a\u00a0b"]


def learn(texts: list[str], *, kind: str = "unigram") -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts * 3),
        model_writer=model,
        model_type=kind,
        vocab_size=90,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


def pieces(model: bytes) -> list[str]:
    library = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [
        library.id_to_piece(i) for i in range(len(library)) if not library.is_control(i) and not library.is_unknown(i)
    ]


@pytest.fixture(scope="module", params=["shared", "separate"])
def folder(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its target language is the source's, read backwards."""
    made: Path = tmp_path_factory.mktemp(request.param)
    models = {"source": learn(LINES), "target": learn([line[::-1] for line in LINES])}
    for side, model in models.items():
        (made / f"{side}.spm").write_bytes(model)
    sides = [sorted(pieces(model)) for model in models.values()]
    if request.param == "shared":
        sides = [[*dict.fromkeys(sides[0] + sides[1])]]
    for name, side in zip(("vocab.json", "target_vocab.json"), sides, strict=False):
        entries = ["</s>", "<unk>", *side, ">>fra<<", ">>deu<<", "<pad>"]
        (made / name).write_text(json.dumps({piece: i for i, piece in enumerate(entries)}))
    return made


def in_transformers(folder: Path) -> Any:
    own = folder / "target_vocab.json"
    target = {"target_vocab_file": str(own), "separate_vocabs": True} if own.exists() else {}
    with pytest.warns(UserWarning, match="sacremoses"):
        return MarianTokenizer(*(str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")), **target)


def test_both_sides_encode_and_decode_as_in_transformers(folder: Path) -> None:
    theirs = in_transformers(folder)
    source, target = read_sides(folder)
    assert (source.begin, source.end, source.unknown, source.pad) == (None, 0, 1, theirs.pad_token_id)
    for text in [*LINES, *(line[::-1] for line in LINES), *UNSEEN]:
        assert [*source.encode(text), source.end] == theirs(text).input_ids
        if text.startswith(">>"):
            continue  # no target says its language
        ids = theirs(text_target=text).input_ids
        assert [*target.encode(text), target.end] == ids
        assert target.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


def test_a_piece_of_the_other_side_can_be_decoded(folder: Path) -> None:
    source, target = read_sides(folder)
    if (folder / "target_vocab.json").exists():
        return  # it has no id there
    ids = source.encode(LINES[0])
    assert target.decode(ids) == LINES[0]


@pytest.mark.parametrize("name", ["source.spm", "target.spm", "vocab.json"])
def test_a_missing_or_truncated_file_is_named(name: str, folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-5])
    with pytest.raises(AttentioError, match=name):
        read_sides(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(AttentioError, match=name):
        read_sides(tmp_path)


def test_a_model_of_another_kind_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "source.spm").write_bytes(learn(LINES, kind="bpe"))
    with pytest.raises(AttentioError, match="not a unigram model"):
        read_sides(tmp_path)


def test_a_vocabulary_with_gaps_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    vocabulary = json.loads((tmp_path / "vocab.json").read_text())
    del vocabulary[">>deu<<"]
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(AttentioError, match=r"vocab\.json: its ids"):
        read_sides(tmp_path)
