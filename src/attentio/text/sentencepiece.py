"""The tokenizers of Marian's published translators: SentencePiece models, and a vocabulary that numbers their pieces.

A `.spm` file is a protobuf message; what is needed of it are its pieces with their scores and its normalisation, so it
is taken apart here. Reference: `sentencepiece_model.proto` of SentencePiece (Kudo & Richardson 2018).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from attentio.errors import AttentioError
from attentio.files import LARGEST, check_regular, read_json
from attentio.text.pretrained import ABSENT, PretrainedTokenizer

_END, _UNKNOWN, _PAD = "</s>", "<unk>", "<pad>"
_NORMAL, _USER_DEFINED = 1, 4
_UNIGRAM = 1


class _Model(NamedTuple):
    """scores: of each piece that text may become. charsmap: the rules of normalisation, compiled."""

    scores: dict[str, float]
    charsmap: bytes


def read_sides(folder: Path) -> tuple[PretrainedTokenizer, PretrainedTokenizer]:
    """The tokenizers of the source and the target: `source.spm`, `target.spm` and `vocab.json`, or for a target with a
    vocabulary of its own `target_vocab.json`.

    Pieces without an id are left out, so that others take their place. Codes of languages at the beginning of a text,
    as `>>fra<<`, are entries of the vocabulary. Punctuation is left as it is, as transformers leaves it without
    sacremoses.

    Raises:
        AttentioError: a missing or damaged file, a model that is no unigram model, or a vocabulary without the special
            tokens, or whose ids are not 0, 1, 2, ...
    """
    own = folder / "target_vocab.json"
    return _read(folder / "source.spm", folder / "vocab.json"), _read(
        folder / "target.spm", own if own.is_file() else folder / "vocab.json"
    )


def _read(path: Path, vocabulary_path: Path) -> PretrainedTokenizer:
    vocabulary = read_json(vocabulary_path)
    if not {_END, _UNKNOWN, _PAD} <= vocabulary.keys():
        raise AttentioError(f"{vocabulary_path} has not all of {_END}, {_UNKNOWN} and {_PAD}; copy it again")
    ids = [i for i in vocabulary.values() if type(i) is int]
    if sorted(ids) != list(range(len(vocabulary))):
        raise AttentioError(f"{vocabulary_path}: its ids are not 0, 1, 2, ...; copy it again")
    end, unknown, pad = (vocabulary[name] for name in (_END, _UNKNOWN, _PAD))
    model = _parse(path)
    try:
        core = _core(model, vocabulary)
    except Exception as error:  # the class that the library raises
        raise AttentioError(f"{path}: a damaged SentencePiece model ({error}); copy it again") from None
    return PretrainedTokenizer(core=core, begin=None, end=end, pad=pad, unknown=unknown, mask=None)


def _core(model: _Model, vocabulary: dict[str, int]) -> tokenizers.Tokenizer:
    """A pipeline that makes of a text the ids that the vocabulary gives to its pieces."""
    scores, charsmap = model
    lowest = min(scores.values())
    codes = [piece for piece in vocabulary if piece.startswith(">>") and piece.endswith("<<")]
    made = {*scores, *codes, _END, _UNKNOWN, _PAD}
    entries = [
        (piece if piece in made else ABSENT + piece, scores.get(piece, lowest))
        for piece in sorted(vocabulary, key=vocabulary.__getitem__)
    ]
    core = tokenizers.Tokenizer(models.Unigram(entries, unk_id=vocabulary[_UNKNOWN]))
    core.normalizer = normalizers.Sequence(
        [
            *([normalizers.Precompiled(charsmap)] if charsmap else []),
            normalizers.Strip(),
            normalizers.Replace(tokenizers.Regex(" {2,}"), " "),
        ]
    )
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Sequence(
        [
            decoders.Replace(ABSENT, ""),
            decoders.Metaspace(),
            decoders.Fuse(),
            decoders.Replace(tokenizers.Regex(r"^\s+|\s+$"), ""),
        ]
    )
    core.add_tokens([tokenizers.AddedToken(code, normalized=False, rstrip=True) for code in codes])
    core.add_special_tokens([tokenizers.AddedToken(name, normalized=False) for name in (_END, _UNKNOWN, _PAD)])
    return core


def _parse(path: Path) -> _Model:
    """ModelProto: pieces (1), how it was trained (2), how it normalises (3)."""
    scores: dict[str, float] = {}
    charsmap, kind = b"", _UNIGRAM
    if not path.is_file():
        raise AttentioError(f"{path} is missing; copy the whole directory again")
    check_regular(path, most=LARGEST)
    try:
        for field, value in _fields(path.read_bytes()):
            if field == 1:
                piece = dict(_fields(value))
                if piece.get(3, _NORMAL) in (_NORMAL, _USER_DEFINED):
                    scores[piece[1].decode()] = struct.unpack("<f", piece[2])[0]
            elif field == 2:
                kind = dict(_fields(value)).get(3, _UNIGRAM)
            elif field == 3:
                charsmap = dict(_fields(value)).get(2, b"")
    except (IndexError, KeyError, AttributeError, TypeError, UnicodeDecodeError, struct.error):
        scores = {}
    if not scores:
        raise AttentioError(f"{path}: not a SentencePiece model, or a damaged one; copy it again")
    if kind != _UNIGRAM:
        raise AttentioError(f"{path}: not a unigram model, the only kind that can be read")
    return _Model(scores, charsmap)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: numbers as int, 32 and 64 bits and anything longer as bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        wire = key & 7
        if wire == 0:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if wire == 2:
            length, place = _varint(message, place)
        else:
            length = {1: 8, 5: 4}[wire]
        if place + length > len(message):
            raise IndexError("the message ends too early")
        yield key >> 3, message[place : place + length]
        place += length


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends."""
    number = shift = 0
    while True:
        byte = message[place]
        if shift > 63:
            raise IndexError("a number of more than 64 bits")
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place
