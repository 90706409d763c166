"""Documents of plain text, for language models: from files, from the sets that come along, from the hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attentio.config.schema import BadLines, DocumentUnit, Normalize
from attentio.data.lines import check_text, decode_line
from attentio.data.rows import (
    Row,
    embedded_rows,
    file_rows,
    hub_rows,
    is_json,
    json_object,
    names_embedded,
    parse_rows,
    string_field,
)
from attentio.data.spool import collected
from attentio.errors import AttentioError
from attentio.text.normal import Normalizer, trimmed


@dataclass(frozen=True, kw_only=True)
class Texts:
    """What `read_texts` read.

    name: the data specification they were read from.
    documents: in the order of the data.
    skipped: one message ("FILE:LINE: what is wrong") for each bad line left out.
    trimmed, composed: documents with white space around them, and documents whose letters were not composed.
    """

    name: str
    documents: Sequence[str]
    skipped: tuple[str, ...]
    trimmed: int
    composed: int


def read_texts(
    spec: str, *, document: DocumentUnit = "line", normalize: Normalize = "nfc", bad_lines: BadLines = "stop"
) -> Texts:
    """Read documents.

    | spec | documents |
    |---|---|
    | `cmudict:train`, `dates:dev`, `...:test` | the sources of a set that comes along |
    | `FILE` | plain text; see `document` |
    | `FILE.jsonl`, `FILE.json` | one JSON object per line, with the string "text" |
    | `hub:NAME:SPLIT` | column "text" of a data set of the Hugging Face hub, or a local folder |

    Every file may end in .gz. Line ends are LF or CR LF; a byte order mark at the beginning of a line is dropped. There
    is no limit to the length of a document. Those with nothing but white space are left out: corpora use them to set
    paragraphs apart. `<mask>` is refused like the other reserved symbols, so that every kind of
    language model can read the same text.

    Args:
        spec: see the table.
        document: what a document of plain text is: a "line", or the whole "file" with its line breaks.
        normalize: "nfc" reads documents without white space around them, in NFC; "none" as they are.
        bad_lines: "stop" at a bad line, or "skip" it and say so in `Texts.skipped`.

    Raises:
        AttentioError: no such data, or a bad line (see `check_text`) that may not be skipped.
    """
    path = Path(spec)
    plain = False
    if spec.startswith("hub:") and not path.exists():
        rows, parse = hub_rows(spec), _parse_hub
    elif names_embedded(spec) and not path.exists():
        rows, parse = embedded_rows(spec), _parse_embedded
    elif is_json(path):
        rows, parse = file_rows(path), _parse_json
    else:
        rows, parse, plain = file_rows(path), _parse_plain, True

    def checked(row: Row) -> str:
        text = parse(row)
        if trimmed(text):
            check_text(text, row.where, max_line_length=None, mask=True)
        return text

    texts, skipped = parse_rows(rows, checked, bad_lines=bad_lines)
    if plain and document == "file":
        texts = ["\n".join(texts)]
    normal = Normalizer(normalize)
    texts = collected(normal(text) for text in texts if trimmed(text))
    if not texts and skipped:
        raise AttentioError(f"{spec}: no good line among {len(skipped)}, the first: {skipped[0]}")
    if not texts:
        raise AttentioError(f"{spec}: no text, only white space; give a file with text, or choose another split")
    return Texts(name=spec, documents=texts, skipped=tuple(skipped), trimmed=normal.trimmed, composed=normal.composed)


def _parse_plain(row: Row) -> str:
    return decode_line(row.raw, row.where)


def _parse_embedded(row: Row) -> str:
    source, _ = row.raw
    return source


def _parse_json(row: Row) -> str:
    remedy = 'write one object a line, {"text": "..."}'
    return string_field(json_object(row.raw, row.where, remedy), "text", row.where, remedy)


def _parse_hub(row: Row) -> str:
    return string_field(row.raw, "text", row.where, 'it needs the column "text"')
