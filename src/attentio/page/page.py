"""at.view: the attention that was seen, as one HTML file."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from attentio.capturing.seen import Seen
from attentio.page.document import Page, document
from attentio.page.evidence import NOTHING, Evidence
from attentio.page.given import Given, calls_of
from attentio.page.payload import Alternatives, build, joined
from attentio.page.tokens import TokenLists, Tokens
from attentio.page.walk import Walk

# app.js comes first, frame.js last; the order of the views is that of their tabs.
SCRIPTS = (
    *("app.js", "address.js", "data.js", "colours.js", "tones.js", "measures.js", "pen.js", "answer.js"),
    *("overview.js", "heat_drawing.js", "profile.js", "minimap.js", "heat.js", "together.js", "arcs.js"),
    *("grids_picture.js", "grids.js", "compare.js", "translation.js", "erase.js", "lens.js"),
    *("arithmetic.js", "steps_vectors.js", "steps_table.js", "steps_words.js", "steps_stages.js"),
    *("steps_picture.js", "steps.js"),
    *("table.js", "framed.js", "tour.js", "frame.js"),
)
STYLES = ("page.css", "evidence.css", "steps.css", "framed.css")
STRINGS = ("strings", "evidence", "tour", "steps")


def view(
    seen: Given | Mapping[str, Given],
    tokens: TokenLists | Mapping[str, TokenLists] | None = None,
    *,
    target_tokens: TokenLists | Mapping[str, TokenLists] | None = None,
    decoder_tokens: TokenLists | Mapping[str, TokenLists] | None = None,
    alternatives: Alternatives | Sequence[Alternatives] | None = None,
    walks: Sequence[Walk] | None = (),
    evidence: Evidence = NOTHING,
    title: str = "",
    language: Literal["en", "ko"] | None = None,
    megabytes: float = 40.0,
) -> Page:
    """A page that shows attention: every layer and head, each weight, and what it was computed from.

    Up to a million weights go into the page as captured (float16); more in a byte each, within 0.8 % of a weight of 1
    and 8 % of one of 0.0001; and where even those are more than `megabytes`, the largest weights of each row. The page
    and the log say what was left out; the page shows the notes of the capture, too.

    Args:
        seen: what `capture` saw; or weights, of torch or NumPy: [q, k], [heads, q, k] or [layers, heads, q, k] of one
            sequence, or a tuple of [batch, heads, q, k], one a layer, as `outputs.attentions` of transformers is.
            Several by their names, {"before": .., "after": ..}, are compared: two models, checkpoints or texts.
        tokens: one for each key, and for each query where these are the same; a list of such lists for a batch, in
            which shorter ones are taken to end in padding. None: those that were saved with `seen`.
        target_tokens: of the queries that are another sequence; the row of a token is the attention that produced it.
        decoder_tokens: what stands at the keys of a decoder's self-attention, where that is not the target tokens
            themselves but what the decoder read before each, such as <s> and all but the last.
        alternatives: for each target token, tokens with their probabilities, the likeliest first; a list of such lists
            where the tokens are one.
        walks: what a model of one sequence computed around its attentions, as a run records it; None where it was too
            much, which the page says.
        evidence: what else is known of an output, as a run records it.
        title: the heading.
        language: of the page at first, English or Korean; None: the reader's.
        megabytes: what the weights may take in the page, before they are compressed.

    Raises:
        ValueError: tokens, alternatives, walks, evidence and weights do not belong together, the weights are none
            (below 0, or those of a query sum to more than 1), or the language is another.
        AttentioError: the weights are too many; the message says how to choose.

    >>> at.view(torch.full((2, 3, 3), 1 / 3), ["to", "be", "or"], title="Two heads", language="ko", megabytes=1.0)
    <Page of ... MB; .save(path) writes it>
    >>> at.view({"before": torch.eye(2), "after": torch.full((2, 2), 0.5)}, ["to", "be"])
    <Page of ... MB; .save(path) writes it>
    >>> alternatives = [[("sein", 0.9), ("haben", 0.1)]]
    >>> at.view(torch.tensor([[0.5, 0.5]]), ["to", "be"], target_tokens=["sein"], alternatives=alternatives)
    <Page of ... MB; .save(path) writes it>
    >>> model = torch.nn.Transformer(8, 2, 1, 1, 16, batch_first=True).eval()
    >>> with at.capture(model) as seen:
    ...     output = model(torch.randn(1, 2, 8), torch.randn(1, 1, 8))
    >>> at.view(seen, ["to", "be"], target_tokens=["sein"], decoder_tokens=["<s>"])
    <Page of ... MB; .save(path) writes it>
    >>> inspected = at.load("dates-bahdanau", device="cpu").inspect("14 March 2026")
    >>> at.view(inspected.seen, walks=inspected.walks, evidence=inspected.evidence)
    <Page of ... MB; .save(path) writes it>
    """
    title = title.encode(errors="replace").decode()  # half a surrogate pair cannot be written to a file
    versions: Mapping[str, Given] = seen if isinstance(seen, Mapping) else {"": seen}
    if isinstance(seen, Mapping) and (
        len(seen) < 2 or "" in seen or alternatives is not None or walks or evidence is not NOTHING
    ):
        raise ValueError(
            f"several versions must be two or more with names, without alternatives, walks and evidence, got {[*seen]}"
        )
    blobs: dict[str, str] = {}
    payloads = []
    for name, given in versions.items():
        calls = calls_of(given, crossing=target_tokens is not None)
        captured: Sequence[str] = ()
        keys, queries = _of_version(tokens, name), _of_version(target_tokens, name)
        if isinstance(given, Seen):
            captured = given.notes
            if keys is None:
                keys, queries = given.tokens, given.target_tokens if queries is None else queries
        if keys is None:
            raise ValueError("tokens must be given: one for each key, got None, and none were saved with seen")
        batched = len(keys) > 0 and not isinstance(keys[0], str)
        payloads.append(
            build(
                calls,
                Tokens(source=keys, target=queries, decoder=_of_version(decoder_tokens, name)),
                alternatives=cast(Any, alternatives if alternatives is None or batched else [alternatives]),
                megabytes=megabytes / len(versions),
                captured=captured,
                walks=walks,
                evidence=evidence,
                title=title,
                version=name,
                blobs=blobs,
            )
        )
    head = joined(payloads).head
    return document(head, blobs, scripts=SCRIPTS, styles=STYLES, strings=STRINGS, language=language)


def _of_version(tokens: TokenLists | Mapping[str, TokenLists] | None, name: str) -> TokenLists | None:
    return tokens.get(name) if isinstance(tokens, Mapping) else tokens
