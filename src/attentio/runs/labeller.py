"""A trained labeller, ready to use: it labels texts, or their words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from attentio.config.schema import Config
from attentio.data.batches import length_sorted_batches, pad_rows
from attentio.data.labelled import WordRow, word_rows
from attentio.models.labeller import Labeller
from attentio.runs.build import LABELLER, Tokenizers
from attentio.runs.directory import Contents
from attentio.runs.one_kind import OneKind
from attentio.runs.outputs import SelfAttention
from attentio.runs.vocabulary import needed, suppressed_ids
from attentio.text.normal import checked, normalized
from attentio.text.protocol import AnyTokenizer
from attentio.text.unknown import Unknown, unknown_in

if TYPE_CHECKING:
    from attentio.runs.changed import Change, Changed
    from attentio.runs.inspected import Inspected

ROWS_AT_A_TIME = 64


@dataclass(frozen=True)
class Labelled:
    """What a text was labelled.

    labels: of its words, in order; or one, of the whole. probabilities: that the model gives to each.
    words: those that are labelled; of a model that labels whole texts, the text alone.
    cut: whether the text was too long for a model that labels whole texts, and its end was not read.
    unknown: what the vocabulary does not know.
    """

    words: list[str]
    labels: list[str]
    probabilities: list[float]
    cut: bool
    unknown: list[Unknown]

    def __repr__(self) -> str:
        return f"Labelled({' '.join(self.labels)!r})"


class LabelRun(OneKind):
    """A labeller with its tokenizers, as one thing that labels texts.

    >>> from pathlib import Path
    >>> from attentio.commands.main import main
    >>> _ = Path("words.tsv").write_text("14 March 2026\\tday month year\\nMay 2026\\tmonth year\\n")
    >>> main("train tagger --run runs/tagger --data.train words.tsv --training.max_steps 1 --training.warmup 0".split())
    0
    >>> run = at.LabelRun.load("runs/tagger", checkpoint="best", device="cpu", allow_code=[])
    >>> run.label(["14 March 2026"], progress=lambda done: None)
    [Labelled('... ... ...')]
    >>> run.attention("14 March 2026")
    SelfAttention(15 tokens, weights [2, 4, 15, 15])
    >>> run.inspect("14 March 2026", each_step=lambda: None)
    Inspected('... ... ...', 2 attentions; .page() shows them)
    >>> run.change("14 March 2026", at.Change(3, "erase"), each_step=lambda: None)
    Changed('... ... ...' → '... ... ...')
    >>> run.read(" 14 March 2026 "), len(run.encode("14 March 2026")), len(run.padded([[2, 3]]))
    ('14 March 2026', 15, 2)
    >>> from attentio.runs.load import read
    >>> at.LabelRun.of(read("runs/tagger"))
    <LabelRun runs/tagger: transformer, ... parameters>
    """

    blueprint = LABELLER
    main_use = "label"

    def __init__(self, path: Path, config: Config, tokenizers: Tokenizers[AnyTokenizer], model: Labeller) -> None:
        self.path, self.config, self.tokenizers = path, config, tokenizers
        self.tokenizer, self.model = tokenizers.source, model.eval()
        self.each_word = config.model.labels == "words"
        needed(self.tokenizer.begin, "begin", path)
        needed(self.tokenizer.end, "end", path)

    @classmethod
    def of(cls, contents: Contents) -> "LabelRun":
        """The run of what a directory holds."""
        return cls(contents.path, contents.config, contents.tokenizers, contents.model)

    def read(self, text: str) -> str:
        """The text as it is read in training: see `text.normalize`."""
        return normalized(text, self.config.text.normalize)

    def label(self, texts: Sequence[str], *, progress: Callable[[int], None] = lambda done: None) -> list[Labelled]:
        """The labels of each text, in order. progress: told how many more rows are done, as they are."""
        texts = [self.read(text) for text in checked(texts)]
        of_texts = word_rows(texts, self.tokenizer, block=self.config.text.block)
        read = [rows if self.each_word else rows[:1] for rows in of_texts]
        answers = iter(self._answers([row for rows in read for row in rows], progress))
        found = []
        for text, rows in zip(texts, of_texts, strict=True):
            asked = rows if self.each_word else rows[:1]
            told = [one for _ in asked for one in next(answers)]
            labels = self.tokenizers.target.tokens([label for label, _ in told])
            words = text.split() if self.each_word else [text]
            unknown = unknown_in(text, self.tokenizer)
            found.append(Labelled(words, labels, [each for _, each in told], len(asked) < len(rows), unknown))
        return found

    @torch.inference_mode()
    def _answers(self, rows: Sequence[WordRow], progress: Callable[[int], None]) -> list[list[tuple[int, float]]]:
        """The best label and its probability at each place of each row that is asked for."""
        found: list[list[tuple[int, float]]] = [[] for _ in rows]
        suppressed = torch.tensor(suppressed_ids(self.tokenizers.target, self.model.output.out_features))
        lengths = torch.tensor([len(row.ids) for row in rows])
        for indices in length_sorted_batches(lengths.numpy(), batch_size=ROWS_AT_A_TIME):
            some = [rows[i] for i in indices]
            logits = self.model(*self.padded([row.ids for row in some])).cpu().index_fill(2, suppressed, -torch.inf)
            best = logits.softmax(-1).max(-1)
            for i, row, labels, probabilities in zip(indices, some, best.indices, best.values, strict=True):
                places = row.starts if self.each_word else [0]
                found[i] = list(zip(labels[places].tolist(), probabilities[places].tolist(), strict=True))
            progress(len(some))
        return found

    def padded(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows and their lengths, as the model takes them."""
        device = self.model.output.weight.device
        return pad_rows(rows).to(device), torch.tensor([len(ids) for ids in rows], device=device)

    def encode(self, text: str) -> list[int]:
        """The ids that the model reads of a text: those of its first row."""
        return word_rows([self.read(text)], self.tokenizer, block=self.config.text.block)[0][0].ids

    def attention(self, text: str) -> SelfAttention:
        """The attention of every layer and head when the model reads a text."""
        ids = self.encode(text)
        with torch.inference_mode():
            return SelfAttention.of(self.tokenizer.tokens(ids), self.model.attention(*self.padded([ids])))

    def change(self, text: str, change: "Change", *, each_step: Callable[[], None] = lambda: None) -> "Changed":
        """The labels of a text, and once a token of it is erased, hidden or replaced; of its first row.

        each_step: called before each reading; what it raises ends the call. Raises AttentioError for a change that
        cannot be made.
        """
        from attentio.runs.changed import changed_labels

        row = word_rows([self.read(text)], self.tokenizer, block=self.config.text.block)[0][0]
        return changed_labels(self.model, self.tokenizers, row, change, each_word=self.each_word, each_step=each_step)

    def inspect(self, text: str, *, each_step: Callable[[], None] = lambda: None) -> "Inspected":
        """A text as the model reads it, with every layer and head.

        each_step: called before each reading; what it raises ends the call.
        """
        from attentio.runs.inspected import inspect_labels

        (found,), text = self.label([text]), self.read(text)
        row = word_rows([text], self.tokenizer, block=self.config.text.block)[0][0]
        places = row.starts if self.each_word else [0]
        said = " ".join(found.labels)
        return inspect_labels(self.model, self.tokenizers, text, row.ids, places, said, each_step=each_step)
