"""Text that a tiny language model learns in seconds: words in the order of a round, from anywhere in it."""

import random
from pathlib import Path

ROUND = ("one", "two", "three", "four", "five", "six", "seven")
OPTIONS = """
name: round
data: {{train: {train}, dev: {dev}}}
text: {{source: {{tokenizer: whitespace}}, block: 16}}
model:
  type: {type}
  encoder_layers: 1
  decoder_layers: 1
  dropout: 0.0
  transformer: {{width: 32, heads: 2, feed_forward: 64, positions: rotary}}
training:
  max_steps: 600
  batch_tokens: 512
  learning_rate: 0.005
  warmup: 20
  label_smoothing: 0.0
  validate_every: 600
  log_every: 50
  seed: {seed}
"""


def part_of_the_round(start: int, length: int) -> str:
    return " ".join(ROUND[(start + i) % len(ROUND)] for i in range(length))


def write_round(folder: Path, *, type: str, seed: int) -> Path:
    """Text for training and dev, and the configuration that names it; returns the latter."""
    draw = random.Random(seed)
    for name, count in (("train", 1000), ("dev", 53)):
        lines = [part_of_the_round(draw.randrange(len(ROUND)), draw.randint(4, 9)) for _ in range(count)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    config = folder / "config.yaml"
    config.write_text(OPTIONS.format(train=folder / "train.txt", dev=folder / "dev.txt", type=type, seed=seed))
    return config
