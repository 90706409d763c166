"""Features as tokens of an encoder: rows of their own, the same wherever they stand."""

from typing import Any

import pytest
import torch
from torch import nn
from untrained_runs import LETTERS, untrained

from attentio.layers.feature_embedding import FeatureEmbedding
from attentio.runs.translator import Run
from attentio.text.featured import FeaturedTokenizer
from attentio.text.tokenizer import Tokenizer

FEATURES = ["PST", "V", "3"]
KINDS: dict[str, dict[str, Any]] = {
    "luong": {},
    "bahdanau": {"attention": "bahdanau"},
    "local": {"local": "p", "window": 2},
    "hard": {"attention": "hard"},
    "monotonic": {"attention": "hard-monotonic", "order": 1, "window": 3},
    "copy": {"copy": True},
    "transducer": {"attention": "transducer"},
    "none": {"attention": "none"},
    "transformer": {"encoder": "transformer", "decoder": "transformer"},
    "mixed, copying": {"encoder": "transformer", "copy": True},
}


def run_with_features(**model: Any) -> Run:
    plain = Tokenizer.train([LETTERS], kind="char")
    run: Run = untrained(source=FeaturedTokenizer(plain, FEATURES), tokenizer=plain, **model)
    return run


def test_each_id_has_the_row_that_is_its_own(seed: int) -> None:
    embedding = FeatureEmbedding(nn.Embedding(7, 5), 3, unknown=1)
    rows = [*embedding.weight, *embedding.features.weight, *[embedding.weight[1]] * 2]
    torch.testing.assert_close(embedding(torch.arange(12)), torch.stack(rows))
    embedding(torch.tensor([[8, 2]])).sum().backward()
    assert embedding.features.weight.grad is not None
    assert embedding.features.weight.grad.any(1).tolist() == [False, True, False]


@pytest.mark.parametrize("kind", KINDS)
def test_a_feature_decides_what_is_said_whatever_the_batch(kind: str, seed: int) -> None:
    run = run_with_features(**KINDS[kind])
    sources = ["abc\tV;PST", "abc\tV;3", "h\tV", "gfe dcb\tPST;V;3"]
    together = run.score([(source, "cba") for source in sources])
    alone = [run.score([(source, "cba")])[0] for source in sources]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one.log_probs, other.log_probs, atol=1e-4, rtol=1e-4)
    assert together[0].log_probs != together[1].log_probs
    found = run.translate(sources)
    assert [one.source_tokens[-3:-1] for one in found] == [["V", "PST"], ["V", "3"], ["h", "V"], ["V", "3"]]
    if KINDS[kind].get("attention") != "none":
        assert found[0].attention is not None
        assert found[0].attention.shape[1] == 6
        assert run.inspect(sources[0]).tokens == ["a", "b", "c", "V", "PST", "</s>"]
    run.sample(sources[:1], seed=1)


def test_no_feature_is_copied(seed: int) -> None:
    run = run_with_features(copy=True)
    (source,) = run._source_ids(["ab\tV;PST;3"])
    lengths = torch.tensor([len(source)])
    target = torch.tensor([[2, 4, 5]])
    said = run.model.eval()(torch.tensor([source]), lengths, target).exp()
    torch.testing.assert_close(said.sum(-1), torch.ones(1, 3))
    assert said.shape[-1] == run.tokenizers.target.size
    assert 0 not in run.translate(["ab\tV;PST;3"])[0].ids


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_a_transformer_reads_features_as_a_set(positions: str, seed: int) -> None:
    sizes = {"width": 24, "heads": 3, "feed_forward": 13, "positions": positions}
    from attentio.config.schema import TransformerConfig

    run = run_with_features(encoder="transformer", decoder="transformer", transformer=TransformerConfig(**sizes))
    one, other = run.score([("abc\tV;PST;3", "cba"), ("abc\t3;V;PST", "cba")])
    torch.testing.assert_close(one.log_probs, other.log_probs, atol=1e-5, rtol=1e-5)


def test_a_shared_vocabulary_is_still_one_embedding(seed: int) -> None:
    run = run_with_features(encoder="transformer", decoder="transformer")
    encoder, decoder = run.model.encoder, run.model.decoder
    assert encoder.embedding.tokens.weight is decoder.embedding.tokens.weight is decoder.output.weight
    assert decoder.output.out_features == run.tokenizers.target.size
