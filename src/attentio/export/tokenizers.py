"""The tokenizers beside an exported model, as the `tokenizers` library opens them."""

from pathlib import Path

from attentio.system import naming
from attentio.text.pretrained import PretrainedTokenizer
from attentio.text.tokenizer import Tokenizer

Exported = Tokenizer | PretrainedTokenizer


def write_tokenizers(source: Exported, target: Exported, folder: Path) -> None:
    """Write `source_tokenizer.json` and `target_tokenizer.json`.

    Hangul syllables that are read as jamo they do not take apart, nor put together.
    """
    for side, tokenizer in (("source", source), ("target", target)):
        path = folder / f"{side}_tokenizer.json"
        with naming(path):
            tokenizer.core.save(str(path))
