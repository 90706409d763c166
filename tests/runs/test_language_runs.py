"""Language models at work, from Python: holes filled, texts gone on with, as the model itself would score them."""

import math
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers

import attentio as at
from attentio.config.schema import Config, DataConfig, ModelConfig, TransformerConfig
from attentio.decoding.sampling import Sampled, Sampling
from attentio.errors import AttentioError
from attentio.models.transformer_presets import causal_lm, masked_lm
from attentio.runs.filler import MaskedRun
from attentio.runs.generator import CausalRun
from attentio.runs.load import load
from attentio.runs.translator import Run
from attentio.text.pretrained import PretrainedTokenizer
from attentio.text.tokenizer import EOS, MASK, Tokenizer

ENGLISH = ["the cat sat on the mat", "a dog ran to the man", "one hat and ten men"]
KOREAN = ["안녕하세요 반갑습니다", "오늘 날씨가 좋네요", "각 가족 밥"]


def sizes(*, layers: int = 1, **options: object) -> ModelConfig:
    transformer = TransformerConfig(width=16, heads=2, feed_forward=32, **options)
    return ModelConfig(encoder_layers=layers, decoder_layers=layers, dropout=0.0, transformer=transformer)


def config(type: str) -> Config:
    return Config(name="none", data=DataConfig(train="", dev=""), model=ModelConfig(type=type))


def masked_run(texts: list[str], *, jamo: bool = False, kind: str = "char") -> MaskedRun:
    tokenizer = Tokenizer.train(texts, kind=kind, jamo=jamo, mask=True, vocab_size=26 if kind == "bpe" else None)
    model = masked_lm(sizes(), vocabulary=tokenizer.size)
    torch.nn.init.normal_(model.output.weight)
    return MaskedRun(Path("run"), config("masked-lm"), tokenizer, model)


def causal_run(texts: list[str], *, jamo: bool = False, kind: str = "char", **options: object) -> CausalRun:
    tokenizer = Tokenizer.train(texts, kind=kind, jamo=jamo, vocab_size=26 if kind == "bpe" else None)
    model = causal_lm(sizes(layers=2, **options), vocabulary=tokenizer.size)
    torch.nn.init.normal_(model.output.weight, std=0.3)
    return CausalRun(Path("run"), config("causal-lm"), tokenizer, model)


def test_candidates_are_the_models_most_probable_ordinary_tokens(seed: int) -> None:
    run = masked_run(ENGLISH)
    run.model.output.bias.data[:5] = 3.0  # special tokens would be the best
    ids = run.encode("the [MASK]at s<mask>t")
    assert ids.count(MASK) == 2
    with torch.no_grad():
        chances = run.model(torch.tensor([ids]), torch.tensor([len(ids)]))[0].double().softmax(-1)
    found = run.fill("the [MASK]at s<mask>t", top=7)
    for hole, place in zip(found, [i for i, token in enumerate(ids) if token == MASK], strict=True):
        expected = sorted(range(5, run.tokenizer.size), key=lambda i: -float(chances[place, i]))[:7]
        assert [one.token for one in hole] == run.tokenizer.tokens(expected)
        assert [one.probability for one in hole] == pytest.approx(chances[place, expected].tolist(), abs=1e-5)
    first, second = (hole[0].token for hole in found)
    assert found[0][3].text == f"the {found[0][3].token}at s{second}t"
    assert found[1][3].text == f"the {first}at s{found[1][3].token}t"


def test_more_candidates_than_tokens_are_all_the_tokens(seed: int) -> None:
    run = masked_run(ENGLISH)
    (hole,) = run.fill("[MASK]", top=1000)
    assert len(hole) == run.tokenizer.size - 5
    with pytest.raises(ValueError, match="top must be at least 1, got 0"):
        run.fill("[MASK]", top=0)


def test_a_word_in_a_hole_keeps_its_space(seed: int) -> None:
    run = masked_run(ENGLISH, kind="bpe")
    for candidate in run.fill("the [MASK] sat", top=60)[0]:
        if candidate.token.startswith("▁"):
            assert candidate.text == f"the {candidate.token[1:]} sat"


def test_jamo_in_holes_become_syllables(seed: int) -> None:
    run = masked_run(KOREAN, jamo=True)
    for hole in run.fill("안녕하세[MASK][MASK]", top=20):
        for candidate in hole:
            assert candidate.text == unicodedata.normalize("NFC", candidate.text)
            assert candidate.text.startswith("안녕하")
    vowel = run.tokenizer.tokens(run.tokenizer.encode("요"))[1]
    (hole,) = run.fill("안녕하세ᄋ[MASK]", top=1000)
    assert next(one.text for one in hole if one.token == vowel) == "안녕하세요"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the cat", "no [MASK] in the text"),
        ("the [MASK] Q", "does not know 'Q'"),
        ("[MASK]\tcat", r"does not know '\t'"),
    ],
)
def test_a_text_that_cannot_be_filled_is_told(text: str, told: str) -> None:
    with pytest.raises(AttentioError) as caught:
        masked_run(ENGLISH).fill(text)
    assert told in str(caught.value)


def rescored(run: CausalRun, prompt: str, tokens: list[str]) -> float:
    ids = run.encode(prompt)
    ids += [run.tokenizer.tokens(range(run.tokenizer.size)).index(token) for token in tokens]
    with torch.no_grad():
        log_probs = run.model(torch.tensor([ids[:-1]]))[0].double().log_softmax(-1)
    first = len(ids) - len(tokens)
    return sum(float(log_probs[i - 1, ids[i]]) for i in range(first, len(ids)))


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "alibi"])
def test_samples_have_the_probability_that_the_model_gives_them(seed: int, positions: str) -> None:
    """Drawn with a cache that the samples share, scored without one."""
    run = causal_run(ENGLISH, positions=positions)
    found = run.generate("the ", Sampling(temperature=1.5), samples=5, max_tokens=23, seed=seed)
    assert len({one.text for one in found}) > 1
    for one in found:
        assert one.log_prob == pytest.approx(rescored(run, "the ", one.tokens), abs=1e-3)
        assert one.finished == (one.tokens[-1] == "</s>")
        assert one.text == "the " + "".join(one.tokens).removesuffix("</s>")
        assert one.finished or len(one.tokens) == 23
        assert not {"<pad>", "<unk>", "<s>"} & set(one.tokens)


def test_greedy_takes_the_most_probable_token_each_time(seed: int) -> None:
    run = causal_run(ENGLISH)
    (found,) = run.generate("one", Sampling(temperature=0.0), max_tokens=11)
    ids = run.encode("one")
    for token in found.tokens:
        with torch.no_grad():
            logits = run.model(torch.tensor([ids]))[0, -1]
        logits[[0, 1, 2]] = -math.inf
        ids.append(int(logits.argmax()))
        assert run.tokenizer.tokens(ids[-1:]) == [token]


@pytest.mark.parametrize(("kind", "jamo"), [("char", False), ("char", True), ("bpe", False), ("whitespace", False)])
def test_a_stream_is_the_sample_of_its_seed_in_pieces(seed: int, kind: str, jamo: bool) -> None:
    texts, prompt = (KOREAN, "안녕") if jamo else (ENGLISH, "the man")
    run = causal_run(texts, kind=kind, jamo=jamo)
    (whole,) = run.generate(prompt, max_tokens=40, seed=seed)
    pieces = list(run.stream(prompt, max_tokens=40, seed=seed))
    assert "".join(piece.text for piece in pieces) == whole.text
    assert [piece.token for piece in pieces] == whole.tokens
    assert sum(piece.log_prob for piece in pieces) == pytest.approx(whole.log_prob, rel=1e-12)


def scripted(run: CausalRun, ids: list[int], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the pieces when these ids are drawn."""

    def draw(*_: object) -> Iterator[Sampled]:
        for token in ids:
            yield Sampled(torch.tensor([[token]]), torch.zeros(1, 1), None, torch.ones(1, 1, dtype=torch.bool))

    monkeypatch.setattr(run, "_draw", draw)
    return [piece.text for piece in run.stream("")]


def test_a_syllable_is_written_when_no_final_consonant_can_join_it(monkeypatch: pytest.MonkeyPatch) -> None:
    run = causal_run(KOREAN, jamo=True)
    ids = [*run.tokenizer.encode("각 가족"), EOS]
    assert scripted(run, ids, monkeypatch) == ["", "", "각", " ", "", "", "가", "", "족", ""]
    assert scripted(run, [*run.tokenizer.encode("가"), EOS], monkeypatch) == ["", "", "가"]


def byte_level() -> PretrainedTokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = tokenizers.Tokenizer(models.BPE({token: i for i, token in enumerate([*alphabet, "<end>"])}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<end>"])
    return PretrainedTokenizer(core=core, begin=None, end=len(alphabet), pad=None, unknown=None, mask=None)


def test_a_letter_in_several_bytes_is_written_with_the_last_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = byte_level()
    model = causal_lm(sizes(), vocabulary=tokenizer.size)
    run = CausalRun(Path("run"), config("causal-lm"), tokenizer, model)
    assert scripted(run, [*tokenizer.encode("a각é"), tokenizer.end], monkeypatch) == ["a", "", "", "각", "", "é", ""]
    monkeypatch.undo()
    assert run.encode("") == [tokenizer.end], "a text without a begin token follows the end of another"
    assert run.encode("a") == tokenizer.encode("a")
    (found,) = run.generate("각", max_tokens=3, seed=1)
    assert found.text.startswith("각")


def test_a_text_ends_where_the_learnt_positions_do(seed: int) -> None:
    run = causal_run(ENGLISH, positions="learned", max_length=12)
    prompt = "the cat"  # 8 tokens, the begin token counted: 4 more are read, and the last one drawn is not
    found = run.generate(prompt, samples=20, max_tokens=100, seed=seed)
    assert max(len(one.tokens) for one in found) == 5
    with pytest.raises(AttentioError, match="has learnt 12 positions"):
        run.generate("the cat sat on", max_tokens=5)


def test_bad_arguments_are_told(seed: int) -> None:
    run = causal_run(ENGLISH)
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        run.generate("the", samples=0)
    with pytest.raises(ValueError, match="max_tokens must be at least 1, got 0"):
        run.generate("the", max_tokens=0)
    with pytest.raises(ValueError, match="max_tokens must be at least 1, got 0"):
        run.change("the", at.Change(1, "hide"), max_tokens=0)
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match=f"seed must be at least 0 and below 2\\*\\*64, got {seed}"):
            run.generate("the", seed=seed)
    with pytest.raises(TypeError, match="must be a text"):
        run.generate(None)  # type: ignore[arg-type]
    with pytest.raises(AttentioError, match="does not know 'Q'"):
        run.generate("the Q")
    with pytest.raises(AttentioError, match="no mask token"):
        MaskedRun(Path("run"), config("masked-lm"), Tokenizer.train(ENGLISH, kind="char"), masked_run(ENGLISH).model)


def test_load_gives_what_the_directory_holds(toy, masked: Path, causal: Path) -> None:
    assert isinstance(load(toy.run), Run)
    assert isinstance(load(masked), MaskedRun)
    assert isinstance(load(causal, checkpoint="last"), CausalRun)


def test_a_dev_set_without_a_hole_is_told_before_training(attentio: Callable, tmp_path: Path) -> None:
    train, dev = tmp_path / "train.txt", tmp_path / "dev.txt"
    train.write_text("one two three four five\n" * 20)
    dev.write_text("o\n")
    said = attentio("train", "masked-lm", "--run", tmp_path / "run", "--data.train", train, "--data.dev", dev)
    assert (said.code, said.out) == (2, "")
    assert "dev: no token of it is to be predicted; give more text" in said.err
    assert not (tmp_path / "run").exists()
