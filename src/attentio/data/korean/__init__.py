"""Korean words and how they are spoken: "국물" -> "궁물", in Hangul.

The words are those between spaces and signs, of 12 syllables at most, of the questions and answers of
https://github.com/songys/Chatbot_data (`ChatbotData.csv`), whose licence, `LICENSE`, lies beside them. `words.txt.xz`
has each once, sorted. How they are spoken is computed by `rules`; the split goes by a hash of the word, and so never
changes.
"""

import hashlib
import lzma
from importlib import resources

from attentio.data.korean.rules import pronounce


def pairs(split: str) -> list[tuple[str, str]]:
    """The pairs of one part, in the order of the alphabet.

    With h = SHA-256 of the word, mod 100, dev has the words with h in 0-4, test those in 5-9, train the rest.
    """
    if split not in ("train", "dev", "test"):
        raise ValueError(f"split must be train, dev or test, got {split!r}")
    packed = resources.files(__name__).joinpath("words.txt.xz").read_bytes()
    words = lzma.decompress(packed).decode("utf-8").splitlines()
    return [(word, pronounce(word)) for word in words if _split(word) == split]


def _split(word: str) -> str:
    bucket = int.from_bytes(hashlib.sha256(word.encode()).digest()) % 100
    return "dev" if bucket < 5 else "test" if bucket < 10 else "train"
