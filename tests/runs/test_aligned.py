"""The attention between words, from that between their pieces."""

import torch

from attentio.runs.aligned import join_words


def test_weights_are_summed_over_the_source_and_averaged_over_the_target() -> None:
    weights = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [0.5, 0.5, 0.0]])
    joined = join_words(weights, target=[range(2), range(2, 3)], source=[range(2), range(2, 3)])
    assert torch.allclose(joined, torch.tensor([[(0.3 + 0.7) / 2, (0.7 + 0.3) / 2], [1.0, 0.0]]))


def test_rows_of_words_sum_to_one_whatever_the_words(seed: int) -> None:
    weights = torch.rand(2, 3, 7, 11).softmax(-1)
    words = [range(3), range(3, 4), range(4, 11)]
    joined = join_words(weights, target=[range(2), range(2, 7)], source=words)
    assert joined.shape == (2, 3, 2, 3)
    assert torch.allclose(joined.sum(-1), torch.ones(2, 3, 2))
    naive = sum(weights[1, 2, q, k] for q in range(2, 7) for k in range(4, 11)) / 5
    assert torch.allclose(joined[1, 2, 1, 2], naive)
