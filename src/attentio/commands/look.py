"""attentio look RUN "text": the attention behind an output, in the terminal and as a picture, or as a page.

attentio look RUN --over-time: how the attention of some examples formed in training, as a page.
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from attentio.commands.numbers import Beam, Count
from attentio.commands.words import said
from attentio.errors import AttentioError, MissingExtraError, harmless

TAKES_OVERRIDES = False
PAGES = (".html", ".htm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "For a translation model, the rows are the output's tokens and the columns the source's; for a Transformer\n"
        "the last layer is shown, averaged over its heads. In a language model the tokens of a text look at one\n"
        "another.\n"
        "A page, one HTML file for any browser, shows every layer and head, the alternatives, and what was computed."
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        help="a run directory, a bundle, or a model that comes along; several with commas between answer together",
    )
    parser.add_argument("text", nargs="?", help="a source text; for a language model, any text")
    parser.add_argument(
        "--over-time",
        action="store_true",
        help="without a text: a page on how the attention formed in training, of a run with training.watch",
    )
    parser.add_argument("--features", help="of the text, such as V;PST, for a model that is trained with features")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help=".html for a page; .png or .svg for a picture (default: TEXT.png, or over-time.html, in RUN/pictures or "
        "pictures/RUN)",
    )
    parser.add_argument("--beam", type=Beam, help="hypotheses per text; 1 is greedy (default: as configured)")
    parser.add_argument("--layer", type=Count, help="of a language model, from 1 (default: the last)")
    parser.add_argument("--head", type=Count, help="of a language model, from 1 (default: the mean of all)")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    if arguments.over_time:
        return _over_time(arguments)
    if arguments.text is None:
        raise AttentioError("give a text to look at, or --over-time for how the attention formed in training")

    from rich.console import Console

    from attentio.data.lines import check_text
    from attentio.pictures.figure import SUFFIXES
    from attentio.pictures.heat_map import save_heat_map
    from attentio.pictures.terminal import print_alignment
    from attentio.runs.load import load
    from attentio.runs.places import outputs_folder
    from attentio.runs.tasks import options_for, task_of
    from attentio.text.features import BETWEEN, joined

    check_text(arguments.text, "the text")
    suffix = arguments.out.suffix.lower() if arguments.out else ".png"
    if suffix not in (*PAGES, *SUFFIXES):
        raise AttentioError(f"{arguments.out}: a page is written as .html, a picture as .png or .svg")
    if suffix in PAGES and (arguments.layer or arguments.head):
        raise AttentioError("a page shows every layer and head; leave --layer and --head out")
    trained = load(
        arguments.run, checkpoint=arguments.checkpoint, device=arguments.device, allow_code=arguments.allow_code
    )
    text, known = arguments.text, getattr(trained, "features", ())
    if known and not arguments.features and BETWEEN not in text:
        raise AttentioError(f"{arguments.run} is trained with features; give those of the text with --features 'V;PST'")
    if arguments.features is not None:
        if not known:
            raise AttentioError("--features is for models that are trained with them; leave it out")
        text = joined(text, arguments.features)
    given = {"beam": arguments.beam, "layer": arguments.layer, "head": arguments.head}
    options = options_for("look", trained.config, given)
    console = Console(emoji=False, highlight=False)
    if suffix in PAGES:
        inspected = trained.inspect(text, **options)
        _warn(inspected.warnings)
        page = inspected.page().save(arguments.out)
        console.print(said(f"wrote {page}"), markup=False, soft_wrap=True)
        return 0
    picture = task_of(trained.config).look(trained, text, **options)
    _warn(picture.warnings)
    console.print(f"{harmless(picture.title)}   ({said(picture.note)})", markup=False)
    tokens = {"source_tokens": picture.source_tokens, "target_tokens": picture.target_tokens}
    print_alignment(picture.weights, **tokens, console=console)
    name = re.sub(r"[^\w-]+", "-", text)[:60]
    if name.replace("-", " ") != text:  # another text may come to the same name
        name += f"-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    if re.fullmatch(r"(?i)con|prn|aux|nul|(com|lpt)\d", name):  # devices of Windows
        name += "_"
    default = outputs_folder(arguments.run, "pictures") / f"{name}.png"
    try:
        path = save_heat_map(arguments.out or default, picture.weights, **tokens, title=picture.title)
    except MissingExtraError as error:
        if arguments.out:
            raise
        console.print(said(f"no picture was written: {error}"), markup=False, soft_wrap=True)
    else:
        console.print(said(f"wrote {path}"), markup=False, soft_wrap=True)
    if not arguments.out:
        console.print(said("every layer and head, in a browser: --out page.html"), style="dim")
    return 0


def _over_time(arguments: argparse.Namespace) -> int:
    from attentio.page.over_time import over_time
    from attentio.runs.places import outputs_folder, resolve
    from attentio.runs.watched import over_time as kept
    from attentio.text.tokenizer import BOS, SPECIAL_TOKENS

    out = arguments.out or outputs_folder(arguments.run, "pictures") / "over-time.html"
    if any((arguments.text, arguments.beam, arguments.layer, arguments.head)):
        raise AttentioError(
            "--over-time shows the examples that training kept, every layer and head; "
            "leave the text, --beam, --layer and --head out"
        )
    if out.suffix.lower() not in PAGES:
        raise AttentioError(f"{out}: a page is written as .html")
    folder = resolve(arguments.run)
    page = over_time(dict(kept(folder, arguments.run)), begin=SPECIAL_TOKENS[BOS], title=folder.resolve().name)
    print(said(f"wrote {page.save(out)}"))
    return 0


def _warn(warnings: Sequence[str]) -> None:
    for line in warnings:
        print(said(line), file=sys.stderr)
