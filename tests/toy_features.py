"""Words of which the first letter is to be said (F) or the last (L), as their features say."""

import random
from pathlib import Path


def write_featured(path: Path, *, count: int, seed: int) -> Path:
    """Lines of a word, its letter, and its features: which it is, and one that says nothing (X, Y)."""
    draw, rows = random.Random(seed), []
    for _ in range(count):
        word, which = "".join(draw.choices("abcd", k=draw.randint(2, 4))), draw.choice("FL")
        rows.append(f"{word}\t{word[0] if which == 'F' else word[-1]}\t{which};{draw.choice('XY')}\n")
    path.write_text("".join(rows), encoding="utf-8")
    return path
