"""What the commands say to a person, found in the source; and their Korean, brought up to date: `make words`.

A message is a string that is given to, assigned to, appended to or returned by one of NAMES. Of an f-string, what is in
braces becomes {0}, {1} .., with `said` where it is a message itself, and `word` where that may be a word alone. Each
clause, up to a "; ", is an entry of its own.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from babel.messages import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).parents[1] / "src" / "attentio"
CATALOGUE = PACKAGE / "locale" / "ko" / "LC_MESSAGES" / "attentio.po"

ROOMS = (
    *("commands", "config", "data", "decoding", "evaluation", "export", "huggingface", "runs", "text", "training"),
    *("devices.py", "errors.py", "files.py", "memory.py", "doctor/diagnosis.py", "layers/positions.py"),
    *("pictures/figure.py", "serving/names.py", "serving/server.py"),
)
"""Where messages to the people at the command line are. What a server answers over HTTP stays English."""

NAMES = frozenset(
    re.findall(
        r"\w+",
        """
        attentioerror missingextraerror argumenttypeerror say said help epilog description verbs heading headings
        advice remedy hint told doubled nothing idle lost astray not_finite more pickled limited limits kinds
        readable strerror skipped header notes title summary rows trimmed composed where place length_limit
        did_you_mean nearest without_use without_header unknown check_memory check_text metrics language_metrics
        label_metrics
        verdict attentionpicture metadata tell json_object string_field read_facts callable_of
        """,
    )
)
"""In small letters, without underscores around them."""

MAY_BE_WORDS = frozenset(("devices", "kind", "side", "unit", "what", "which"))

_WORDS = ("say", "said", "heading", "headings")
"""Names to which a word alone is a message too."""

ARGPARSE = (
    "usage: ",
    "options",
    "positional arguments",
    "show this help message and exit",
    "show program's version number and exit",
)
"""Python's own, which it looks up by itself."""

OF_OTHERS = (
    # argparse, when it has put its values in
    "argument {}: {:said}",
    "expected one argument",
    "expected at least one argument",
    "the following arguments are required: {}",
    "invalid choice: {} (choose from {})",
    "ignored explicit argument {}",
    "unrecognized arguments: {}",
    # operating systems
    "No such file or directory",
    "Permission denied",
    "Is a directory",
    "Not a directory",
    "File exists",
    "No space left on device",
    "Read-only file system",
    "Input/output error",
    "Address already in use",
    "Too many levels of symbolic links",
)
"""What other programs say, which is told with our errors."""

OUR_WORDS = (
    # of Python's users too, and so no AttentioError where it is raised
    "width must be a multiple of the number of heads, got width {} and {} heads",
    "heads must be a multiple of key_value_heads, got {} heads and {} key-value heads",
    "width must be even for sinusoidal positions, got {}",
    "heads must have an even number of features for rotary positions, got {}",
    "window must be at least 1 position on each side, got {}",
    "score 'dot' compares decoder and encoder states as they are, so they need equally many features",
    "got {} and {}. Choose equal sizes, or score 'general'",
    "coverage is for the additive score: attention bahdanau, or luong with score concat",
    "copy needs an attention that mixes values, such as luong or bahdanau",
    "copy is for recurrent decoders",
    "temperature must be 0 (greedy), or {} to {}, got {}",
    "skipped {:said}",
    "{} is not as it was written",
    "it is now {}, and a new one begins",
    "the model does not run on example_inputs ({}): {:said}",
    # put into messages, or with others into one
    "the command line",
    "{}: not valid YAML: the key {} a second time",
    "{}: not valid YAML: no tag, anchor or alias may be there",
    "line {}, character {}",
    "line {}, source, character {}",
    "line {}, target, character {}",
    "language models",
    "language models and labellers",
    "model.type encoder-decoder or labeller",
    "models that have an encoder",
    "models that have a decoder",
    "recurrent parts",
    "a Transformer has model.transformer.width",
    "a recurrent encoder",
    "a recurrent decoder",
    "model.attention luong of a recurrent decoder",
    "Transformers",
    "going on from a trained model, with --init RUN",
    "learning from another model, with --teacher RUN",
    "model.local m or p of model.attention luong, and model.order 1 of hard attention",
    "model.attention hard or hard-monotonic of a recurrent decoder",
    "a recurrent decoder with model.attention bahdanau, luong or delayed, or of your own",
    "model.attention luong, or of your own, of a recurrent decoder",
    "model.attention bahdanau of a recurrent decoder",
    "Transformers, and model.attention bahdanau, luong and delayed",
    "an attention that comes along",
    "models with attention",
    "models with dropout",
    "models without model.copy",
    "model.score location",
    "model.transformer.positions learned",
    "causal language models, and for masked ones and labellers with model.transformer.pre_norm true",
    "model.copy true",
    "models without model.copy, hard attention and transducer",
    "train",
    "dev",
    "pairs",
    "documents",
    "{} pairs",
    "{} documents",
    "{} for {} ({} of {})",
    "nothing for {} ({} of {})",
    "{} too much ({})",
    "{}, held out",
    "prefix {}",
    "require {}",
    "source",
    "target",
    "letters",
    "words",
    "device",
    "it knows {} (and {} more there)",
    "leave it out (and {} more there)",
    "write something else there (and {} more there)",
    "the first: {} ({:said}): the model does not know it{:said}",
    "error",
    "warning",
    "note",
    "→ another token",
    "→ itself",
    "variant",
    "trial",
    "source character",
    "source word",
    "target character",
    "target word",
    "training tokens/s",
    "waits for attention",
    "minutes",
    "peak MB",
    "parameters",
    "seeds",
)
"""What no rule finds."""


def template() -> Catalog:
    """Every message, in English."""
    found = Catalog(project="attentio", fuzzy=False)
    for room in map(PACKAGE.joinpath, ROOMS):
        for path in sorted(room.rglob("*.py")) if room.is_dir() else [room]:
            if path.name != "fields.py":  # of requests over HTTP
                for text in messages(path.read_text(encoding="utf-8")):
                    found.add(text)
    for text in (*ARGPARSE, *OF_OTHERS, *OUR_WORDS):
        found.add(_numbered(text))
    return found


def messages(source: str) -> set[str]:
    """The messages of a file."""
    return {
        _numbered(clause)
        for node in ast.walk(ast.parse(source))
        for name, value in _given(node)
        for text in _strings(value)
        for clause in ([text] if "\n" in text else text.split("; "))
        if re.search(r"[A-Za-z]{2}", _PLACE.sub("", clause)) and (" " in clause or name in _WORDS)
    }


_PLACE = re.compile(r"\{(:said|:word)?\}")


def _numbered(text: str) -> str:
    numbers = iter(range(100))
    return _PLACE.sub(lambda place: f"{{{next(numbers)}{place[1] or ''}}}", text)


def _given(node: ast.AST) -> Iterable[tuple[str, ast.expr]]:
    """What a node gives to one of NAMES, and to which."""
    targets: Iterable[ast.AST] = ()
    values: Iterable[ast.expr | None] = ()
    match node:
        case ast.Call(func=ast.Attribute(value=owner, attr="append" | "extend")):
            targets, values = [owner], node.args
        case ast.Call():
            targets, values = [node.func], [*node.args, *(each.value for each in node.keywords)]
        case ast.keyword(arg=str(name)):
            targets, values = [ast.Name(name)], [node.value]
        case ast.Assign():
            targets, values = node.targets, [node.value]
        case ast.AnnAssign() | ast.AugAssign():
            targets, values = [node.target], [node.value]
        case ast.For() | ast.comprehension():
            targets, values = [node.target], [node.iter]
        case ast.FunctionDef():
            targets = [ast.Name(node.name)]
            values = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
    names = [name for target in targets for each in _flat(target) if (name := _name(each)) in NAMES | MAY_BE_WORDS]
    return [(names[0], value) for value in values if names and value is not None]


def _flat(target: ast.AST) -> Iterable[ast.AST]:
    return target.elts if isinstance(target, ast.Tuple) else [target]


def _name(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.strip("_").lower()
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Subscript(value=value):
            return _name(value)
    return ""


def _strings(node: ast.AST | None) -> Iterator[str]:
    """The texts that an expression may come to, and those that they are put together from."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            said = (
                part.value if isinstance(part, ast.Constant) else f"{{{_kind(part.value)}}}"
                for part in parts
                if isinstance(part, ast.Constant | ast.FormattedValue)
            )
            yield "".join(map(str, said))
            for part in parts:
                if isinstance(part, ast.FormattedValue):
                    yield from _strings(part.value)
        case ast.Call(func=ast.Attribute(value=owner, attr="get"), args=arguments):
            for each in [owner, *arguments]:
                yield from _strings(each)
        case ast.Call(func=ast.Name(), args=several):
            for each in several:
                yield from _strings(each)
        case ast.BinOp(left=one, op=ast.Add(), right=other) | ast.IfExp(body=one, orelse=other):
            yield from _strings(one)
            yield from _strings(other)
        case ast.Dict(values=several) | ast.BoolOp(values=several) | ast.List(elts=several) | ast.Tuple(elts=several):
            for each in several:
                yield from _strings(each)
        case ast.Starred(value=value):
            yield from _strings(value)


def _kind(place: ast.expr) -> str:
    return ":word" if _name(place) in MAY_BE_WORDS else ":said" if _is_message(place) else ""


def _is_message(place: ast.expr) -> bool:
    match place:
        case ast.IfExp() | ast.BoolOp():
            return any(" " in text for text in _strings(place)) or any(map(_is_message, ast.iter_child_nodes(place)))
        case ast.Call(func=ast.Name(id="len")):
            return False
        case ast.Call(func=called, args=arguments):
            method_of = called.value if isinstance(called, ast.Attribute) else called
            return _name(called) in NAMES or any(map(_is_message, [method_of, *arguments]))
    return _name(place) in NAMES


def main() -> None:
    """Write the catalogue anew, with what is to be translated, and compile it."""
    with CATALOGUE.open("rb") as file:
        known = read_po(file, locale="ko")
    known.update(template(), no_fuzzy_matching=True, update_creation_date=False)
    with CATALOGUE.open("wb") as file:
        # In the order of the alphabet, without the places in the code: a function that moves changes nothing here.
        write_po(file, known, width=120, no_location=True, ignore_obsolete=True, sort_output=True)
    with CATALOGUE.with_suffix(".mo").open("wb") as file:
        write_mo(file, known)
    for message in known:
        if message.id and (message.fuzzy or not message.string):
            print(f"to be translated: {message.id}")


if __name__ == "__main__":
    main()
