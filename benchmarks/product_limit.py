"""The limit that matrix products set to training: how fast they run here, and how many a batch needs.

    python benchmarks/product_limit.py [--threads 2]

Prints the rates, in 10^9 floating-point operations a second, of float32 products of two square matrices: by
torch (MKL) and by `attentio.layers.product` (oneDNN). The best of many single products of each size counts.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import peers
import torch

from attentio.layers.product import product

SIZES = (1024, 2048)
SECONDS_OF_EACH = 1.0


def rates(threads: int, log: Path) -> dict[str, float]:
    """Both rates, measured in a process of their own."""
    peers.launch([sys.executable, __file__, "--threads", str(threads)], threads=threads, log=log)
    return json.loads(log.read_text(encoding="utf-8").splitlines()[-1])


def training_flops(source_lengths: list[int], target_lengths: list[int], *, sizes: dict[str, int]) -> int:
    """Floating-point operations of all matrix products of a training batch: forward, and twice that backward.

    Real tokens only; a token attends to every real token of its sentence, the later ones of the target too. What is
    no product (softmax, normalisation, dropout, the optimizer) is not counted.

    Args:
        sizes: width, feed_forward, encoder_layers, decoder_layers, vocabulary.
    """
    width, feed_forward = sizes["width"], sizes["feed_forward"]
    sources, targets = sum(source_lengths), sum(target_lengths)
    within_sources = sum(length**2 for length in source_lengths)
    within_targets = sum(length**2 for length in target_lengths)
    across = sum(s * t for s, t in zip(source_lengths, target_lengths, strict=True))
    encoder = sources * (4 * width**2 + 2 * width * feed_forward) + 2 * width * within_sources
    decoder = targets * (6 * width**2 + 2 * width * feed_forward) + sources * 2 * width**2
    decoder += 2 * width * (within_targets + across)
    output = targets * width * sizes["vocabulary"]
    multiplications = sizes["encoder_layers"] * encoder + sizes["decoder_layers"] * decoder + output
    return 3 * 2 * multiplications


def measure() -> dict[str, float]:
    best = {"torch": 0.0, "attentio": 0.0}
    for size in SIZES:
        left, right = torch.randn(size, size), torch.randn(size, size)
        for name, multiply in (("torch", lambda a, b: a @ b.T), ("attentio", product)):
            began = time.perf_counter()
            while time.perf_counter() - began < SECONDS_OF_EACH:
                started = time.perf_counter()
                multiply(left, right)
                best[name] = max(best[name], 2e-9 * size**3 / (time.perf_counter() - started))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description="Rates of float32 matrix products.")
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    print(json.dumps(measure()))


if __name__ == "__main__":
    main()
