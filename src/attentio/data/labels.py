"""What is wrong with pairs of texts and labels. No torch.

Models that label begin as masked language models: in their texts `<mask>` is reserved too.
"""

from attentio.data.lines import check_text
from attentio.data.pairs import Pair
from attentio.errors import AttentioError


def check_word_labels(pair: Pair, where: str) -> None:
    """AttentioError where there is not one label for each word, or for `<mask>`."""
    check_text(pair.source, f"{where}: source", max_line_length=None, mask=True)
    words, labels = len(pair.source.split()), len(pair.target.split())
    if words != labels:
        raise AttentioError(
            f"{where}: {words} words and {labels} labels; write one label for each word, with spaces between them, "
            f"or give --model.labels text"
        )


def check_text_label(pair: Pair, where: str) -> None:
    """AttentioError for a label of several words, or for `<mask>`."""
    check_text(pair.source, f"{where}: source", max_line_length=None, mask=True)
    if len(pair.target.split()) != 1:
        raise AttentioError(f"{where}: the label {pair.target[:40]!r} holds white space; write_it_as_one_word")
