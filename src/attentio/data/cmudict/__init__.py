"""English words and their sounds: the CMU Pronouncing Dictionary, without stress.

A pair is a word in lower case and its phones (ARPAbet) separated by spaces: "hello" -> "HH AH L OW". A word
with several pronunciations makes several pairs. The split goes by a hash of the word, and so never changes.

`cmudict.dict.xz` is the file `cmudict.dict` of https://github.com/cmusphinx/cmudict, commit
0f8072f814306c5ee4fbf992ed853601b12c01f9 of 2024-12-17, unchanged but for its compression (SHA-256 of the file within:
81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22). The dictionary's licence, `LICENSE`, lies beside it.
"""

import hashlib
import lzma
from collections.abc import Iterator
from importlib import resources

_STRESS = str.maketrans("", "", "012")


def pairs(split: str) -> list[tuple[str, str]]:
    """The pairs of one part, in the order of the dictionary.

    With h = SHA-256 of the word, mod 100, dev has the words with h in 0-1, test those in 2-6, train the rest.
    """
    if split not in ("train", "dev", "test"):
        raise ValueError(f"split must be train, dev or test, got {split!r}")
    kept = {(word, phones.translate(_STRESS)): None for word, phones in _entries() if _split(word) == split}
    return list(kept)


def _entries() -> Iterator[tuple[str, str]]:
    """The dictionary's lines: `word PHONES`, `word(2) PHONES` for the word's second pronunciation, `... # comment`."""
    packed = resources.files(__name__).joinpath("cmudict.dict.xz").read_bytes()
    for line in lzma.decompress(packed).decode("ascii").splitlines():
        word, _, phones = line.partition("#")[0].rstrip().partition(" ")
        yield word.partition("(")[0], phones


def _split(word: str) -> str:
    bucket = int.from_bytes(hashlib.sha256(word.encode()).digest()) % 100
    return "dev" if bucket < 2 else "test" if bucket < 7 else "train"
