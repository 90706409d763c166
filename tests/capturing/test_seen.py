"""What was seen: dense, joined, and its files, which must be refused clearly when they are not right."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from attentio.capturing.record import SeenAttention
from attentio.capturing.seen import Seen
from attentio.errors import AttentioError

BATCH, HEADS, Q, K = 2, 3, 5, 7


def _one(name: str = "a", call: int = 0, *, q: int = Q, k: int = K, batch: int = BATCH, **more: Any) -> SeenAttention:
    weights = torch.rand(batch, HEADS, q, k).softmax(-1).half()
    return SeenAttention(
        **{"name": name, "call": call, "kind": "self", "heads": (0, 2, 5), "weights": weights, "keys": k, **more}
    )


def _sparse(one: SeenAttention, top_k: int, **more: Any) -> SeenAttention:
    weights, indices = one.weights.topk(top_k)
    return _one(one.name, one.call, k=one.keys, weights=weights, indices=indices.int(), **more)


def test_dense_puts_every_kept_weight_at_its_key_and_zero_elsewhere(seed: int) -> None:
    one = _one()
    sparse = _sparse(one, 4)
    expected = torch.zeros(BATCH, HEADS, Q, K).half()
    for place in torch.cartesian_prod(*map(torch.arange, (BATCH, HEADS, Q, 4))).tolist():
        key = int(sparse.indices[tuple(place)])
        expected[*place[:3], key] = one.weights[*place[:3], key]
    assert torch.equal(sparse.dense(), expected)


def test_an_index_of_minus_one_brings_nothing_to_the_first_key(seed: int) -> None:
    weights = torch.tensor([0.75, 0.25, 0.0]).half().expand(1, 1, 1, 3)
    indices = torch.tensor([0, 1, -1]).int().expand(1, 1, 1, 3)
    one = _one(weights=weights, indices=indices, keys=2, heads=(0,))
    assert one.dense().flatten().tolist() == [0.75, 0.25]


def test_what_is_saved_is_loaded(seed: int, tmp_path: Path) -> None:
    parts = {
        "query": torch.randn(BATCH, HEADS, Q, 11).half(),
        "key": torch.randn(BATCH, HEADS, K, 11).half(),
        "value": torch.randn(BATCH, HEADS, K, 13).half(),
        "scores": torch.randn(BATCH, HEADS, Q, K).half().transpose(1, 2).contiguous().transpose(1, 2),
        "allowed": torch.rand(Q, K) > 0.5,
        "scale": 0.25,
        "q_start": 2,
    }
    calls = [_one("decoder.0", **parts), _sparse(_one("decoder.0", 1), 4), _one("ü", kind="cross", q=1)]
    tokens = [["a", "</script>", "한글"], []]
    Seen(calls, tokens=tokens).save(tmp_path / "new" / "seen")

    read = Seen.load(tmp_path / "new" / "seen")
    assert read.names == ["decoder.0", "ü"]
    assert (read.tokens, read.target_tokens) == (tokens, None)
    for wrote, one in zip(calls, read, strict=True):
        for name in SeenAttention.__dataclass_fields__:
            mine, theirs = getattr(wrote, name), getattr(one, name)
            same = torch.equal(mine, theirs) if isinstance(mine, torch.Tensor) else mine == theirs
            assert same, name


def test_saving_does_not_overwrite(seed: int, tmp_path: Path) -> None:
    Seen([_one()]).save(tmp_path)
    with pytest.raises(AttentioError, match=r"attention\.json exists already"):
        Seen([_one()]).save(tmp_path)


def test_loading_what_another_program_wrote_in_one_file(seed: int, tmp_path: Path) -> None:
    weights = torch.rand(1, 2, 3, 5).half()
    save_file({"layer0": weights}, tmp_path / "numbers.safetensors")
    entry = {
        "name": "enc",
        "call": 0,
        "kind": "self",
        "heads": [0, 1],
        "shape": [1, 2, 3, 5],
        "keys": 5,
        "file": "numbers.safetensors",
        "tensors": {"weights": "layer0"},
    }
    index = {"format": "attentio-attention", "version": 1, "entries": [entry]}
    (tmp_path / "attention.json").write_text(json.dumps(index), encoding="utf-8")
    (one,) = Seen.load(tmp_path)
    assert torch.equal(one.weights, weights)
    assert (one.q_start, one.indices, one.query, one.scale) == (0, None, None, None)


def _change_index(directory: Path, **changes: Any) -> None:
    path = directory / "attention.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}), encoding="utf-8")


def _change_entry(directory: Path, **changes: Any) -> None:
    entries = json.loads((directory / "attention.json").read_text())["entries"]
    _change_index(directory, entries=[{**entries[0], **changes}])


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda d: (d / "attention.json").unlink(), r"attention\.json is missing.*did not finish"),
        (lambda d: _cut(d / "attention.json"), r"attention\.json is damaged"),
        (lambda d: (d / "attention.json").write_bytes(b"\xff\xfe"), r"attention\.json is damaged"),
        (lambda d: (d / "attention.json").write_text("[1, 2]"), r"attention\.json is not a file of attention"),
        (lambda d: _change_index(d, format="other"), r"attention\.json is not a file of attention"),
        (lambda d: _change_index(d, version=2), r"attention\.json has version 2.*update attentio"),
        (lambda d: _change_index(d, entries={}), "entries must be a list"),
        (lambda d: _change_index(d, entries=["x"]), "entry 0 is damaged"),
        (lambda d: _change_index(d, tokens=["a"]), "tokens must be a list of strings"),
        (lambda d: _change_index(d, notes="a"), "notes must be a list of strings"),
        (lambda d: _change_entry(d, kind="both"), "entry 0 is damaged.*kind must be"),
        (lambda d: _change_entry(d, file="../000000.safetensors"), "entry 0 is damaged.*file must be the name"),
        (lambda d: _change_entry(d, file="weights.pt"), "entry 0 is damaged.*file must be the name"),
        (lambda d: _change_entry(d, alpha="x"), "entry 0 is damaged.*alpha must be a finite number or null, got 'x'"),
        (lambda d: _change_entry(d, scale=float("nan")), "entry 0 is damaged.*scale must be a finite number"),
        (lambda d: _change_entry(d, q_start=-3), "entry 0 is damaged.*q_start must be whole numbers of at least 0"),
        (lambda d: _change_entry(d, call=True), "entry 0 is damaged.*call must be whole numbers"),
        (lambda d: _change_entry(d, heads=[0, 0.5, 1]), "entry 0 is damaged.*heads must be whole numbers"),
        (lambda d: _change_entry(d, heads=[0, 1, 1]), "entry 0 is damaged.*heads must be different ones"),
        (lambda d: _change_entry(d, name=3), "entry 0 is damaged.*name must be a string, got 3"),
        (lambda d: _change_entry(d, tensors={"query": "weights"}), "entry 0 is damaged.*must name weights"),
        (lambda d: _change_entry(d, tensors={"weights": "w"}), r"000000\.safetensors cannot be read"),
        (lambda d: _change_entry(d, shape=[2, 3, 5, 6]), r"000000\.safetensors: weights must be"),
        (lambda d: _change_entry(d, keys=6), r"000000\.safetensors: shape .* does not go with 6 keys"),
        (lambda d: _cut(d / "000000.safetensors"), r"000000\.safetensors cannot be read"),
        (lambda d: (d / "000000.safetensors").unlink(), r"000000\.safetensors cannot be read"),
    ],
)
def test_files_that_are_not_right_are_refused_by_name(seed: int, tmp_path: Path, damage: Any, complaint: str) -> None:
    Seen([_one()]).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(AttentioError, match=complaint) as raised:
        Seen.load(tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("part", "tensor"),
    [
        ("query", torch.zeros(BATCH, HEADS, K, 11).half()),
        ("key", torch.zeros(BATCH, HEADS, K, 11)),
        ("value", torch.zeros(BATCH, K, 11).half()),
        ("scores", torch.zeros(BATCH, 1, Q, K).half()),
        ("allowed", torch.ones(3, 1, Q, K, dtype=torch.bool)),
        ("allowed", torch.ones(K, dtype=torch.bool)),
    ],
)
def test_parts_of_a_wrong_shape_are_refused(seed: int, tmp_path: Path, part: str, tensor: torch.Tensor) -> None:
    save_file({"weights": _one().weights, part: tensor}, tmp_path / "x.safetensors")
    entry = {
        "name": "a",
        "call": 0,
        "kind": "self",
        "heads": [0, 1, 2],
        "shape": [BATCH, HEADS, Q, K],
        "keys": K,
        "file": "x.safetensors",
        "tensors": {"weights": "weights", part: part},
    }
    index = {"format": "attentio-attention", "version": 1, "entries": [entry]}
    (tmp_path / "attention.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ValueError, match=part):
        Seen.load(tmp_path)


def test_names_slices_and_calls_of_one_name(seed: int) -> None:
    seen = Seen([_one("a"), _one("b"), _one("a", 1)], tokens=[["x"]])
    assert seen.names == ["a", "b"]
    assert [one.call for one in seen.of("a")] == [0, 1]
    assert seen[1:].names == ["b", "a"]
    assert seen[1:].tokens == [["x"]]
    with pytest.raises(ValueError, match="name must be one of 'a', 'b', got 'c'"):
        seen.of("c")


def test_a_cached_generation_becomes_one_row_for_each_token_produced(seed: int) -> None:
    prompt = _one(q=3, k=3, query=torch.randn(BATCH, HEADS, 3, 11).half())
    steps = [_one(call=n, q=1, k=3 + n, q_start=2 + n, query=torch.randn(BATCH, HEADS, 1, 11).half()) for n in (1, 2)]
    encoder = _one("encoder")
    joined = Seen([encoder, prompt, *steps]).joined()
    assert joined.names == ["encoder", "a"]
    assert joined[0] is encoder
    assert joined[1].weights.shape == (BATCH, HEADS, 3, 5)
    assert (joined[1].q_start, joined[1].keys) == (2, 5)
    for row, one in enumerate([prompt, *steps]):
        assert torch.equal(joined[1].weights[:, :, row, : one.keys], one.weights[:, :, -1])
        assert not joined[1].weights[:, :, row, one.keys :].any()
        assert joined[1].query is not None
        assert one.query is not None
        assert torch.equal(joined[1].query[:, :, row], one.query[:, :, -1])
        assert joined[1].allowed is not None
        assert joined[1].allowed.expand(BATCH, HEADS, 3, 5)[0, 0, row].tolist() == [key < one.keys for key in range(5)]


def test_the_rows_of_the_winning_beam_are_joined(seed: int) -> None:
    steps = [_one(call=n, q=1, k=n + 1, batch=6, q_start=n) for n in range(4)]
    beams = torch.tensor([[0, 2, 1, -1], [3, 3, -1, -1]])
    (one,) = Seen(steps).joined(beams)
    assert one.weights.shape == (2, HEADS, 3, 3)
    for sentence, step in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        expected = steps[step].weights[beams[sentence, step], :, 0]
        assert torch.equal(one.weights[sentence, :, step, : step + 1], expected)
    assert not one.weights[1, :, 2].any()


def test_joining_keeps_top_k_as_it_is(seed: int) -> None:
    steps = [_sparse(_one(call=n, q=1), 4, kind="cross") for n in range(3)]
    (one,) = Seen(steps).joined()
    assert one.indices is not None
    assert torch.equal(one.dense(), torch.cat([step.dense()[:, :, -1:] for step in steps], dim=2))


@pytest.mark.parametrize("top_k", [None, 3])
def test_keys_that_a_short_cache_has_dropped_leave_their_places(seed: int, top_k: int | None) -> None:
    """A window of 4: after a prompt of 5, every call has the last 4 keys only."""
    calls = [_one(q=5, k=5), *(_one(call=n, q=1, k=4, q_start=3) for n in (1, 2))]
    if top_k is not None:
        calls = [_sparse(one, top_k, q_start=one.q_start) for one in calls]
    (one,) = Seen(calls).joined()
    assert (one.q_start, one.keys) == (4, 7)
    for row, call in enumerate(calls):
        first = 0 if row == 0 else row + 1
        assert torch.equal(one.dense()[:, :, row, first : first + call.keys], call.dense()[:, :, -1])
        assert not one.dense()[:, :, row, :first].any()
        assert not one.dense()[:, :, row, first + call.keys :].any()


def test_calls_that_are_no_generation_are_not_joined(seed: int) -> None:
    with pytest.raises(ValueError, match="not the steps of one generation: call 1"):
        Seen([_one(), _one(call=1)]).joined()
    with pytest.raises(ValueError, match="beams must name rows of the batch, below 2"):
        Seen([_one(q=1), _one(call=1, q=1)]).joined(torch.tensor([[0, 2]]))


def test_steps_of_two_tokens_as_of_assisted_decoding_are_not_joined(seed: int) -> None:
    calls = [_one(q=1, k=9, q_start=8), _one(call=1, q=2, k=11, q_start=9)]
    with pytest.raises(ValueError, match="not the steps of one generation: call 1"):
        Seen(calls).joined()
