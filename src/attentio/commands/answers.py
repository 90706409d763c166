"""What a served run answers to a request: its fields checked, the run asked, the result as JSON or as a page."""

from collections.abc import Mapping
from typing import Any

from attentio.commands.causal_run import CausalRun
from attentio.commands.language import VERBS
from attentio.commands.masked_run import MaskedRun
from attentio.commands.run import Run
from attentio.data.lines import check_text
from attentio.decoding.sampling import Sampling
from attentio.errors import AttentioError
from attentio.serving.fields import Fields
from attentio.serving.live import IN_A_FRAME, failure_page, form_page, language_of
from attentio.serving.server import Reply, Route

AnyRun = Run | MaskedRun | CausalRun

GOES_ON = 24
"""Tokens that a causal model adds to a text on the live page."""


def routes(run: AnyRun, *, page: bool) -> dict[str, Route]:
    """What can be asked for, by path."""
    kind = run.config.model.type
    answer = {"encoder-decoder": _translate, "masked-lm": _fill, "causal-lm": _generate}[kind]
    verb = f"/{VERBS[kind]}"
    found = {verb: Route(lambda given, _: Reply.json(answer(run, Fields(given))), takes="json")}
    if not page:
        about = {"run": run.path.name, "model": kind, "post": [verb]}
        return {"/": Route(lambda *_: Reply.json(about), uses_model=False), **found}
    title = f"attentio · {run.path.resolve().name}"
    return {
        "/": Route(
            lambda given, headers: form_page(title=title, kind=kind, language=language_of(given, headers)),
            uses_model=False,
        ),
        "/look": Route(lambda *asked: _look(run, *asked), takes="form", refuse=failure_page),
        **found,
    }


def _translate(run: Any, fields: Fields) -> dict[str, Any]:
    text = _checked(fields)
    beam = fields.whole("beam", None, least=1, most=50)
    n_best = fields.whole("n_best", 1, least=1, most=beam or run.config.decoding.beam) or 1
    attention = fields.flag("attention")
    fields.end()
    (found,) = run.candidates([text], n_best=n_best, beam=beam, attention=attention)
    outputs = [vars(one) | {"attention": None if one.attention is None else one.attention.tolist()} for one in found]
    for output in outputs:
        del output["ids"]
        if not attention:
            del output["attention"]
    return {"text": text, "translations": outputs}


def _fill(run: Any, fields: Fields) -> dict[str, Any]:
    text = _checked(fields)
    top = fields.whole("top", 5, least=1, most=100) or 1
    fields.end()
    holes = run.fill(text, top=top)
    return {"text": text, "holes": [[vars(candidate) for candidate in candidates] for candidates in holes]}


def _generate(run: Any, fields: Fields) -> dict[str, Any]:
    text = fields.text("text", "")
    if text:
        check_text(text, "text", max_line_length=None)
    samples = fields.whole("samples", 1, least=1, most=16) or 1
    max_tokens = fields.whole("max_tokens", 64, least=1, most=1024) or 1
    seed = fields.whole("seed", None, least=0, most=2**63 - 1)
    numbers = {name: fields.number(name, default) for name, default in _NUMBERS.items()}
    top_k = fields.whole("top_k", None, least=1, most=10**6)
    fields.end()
    try:
        sampling = Sampling(top_k=top_k, **numbers)  # type: ignore[arg-type]
    except ValueError as error:
        raise AttentioError(str(error)) from None
    found = run.generate(text, sampling, samples=samples, max_tokens=max_tokens, seed=seed)
    kept = ("text", "tokens", "log_prob", "finished")
    return {"text": text, "samples": [{name: getattr(one, name) for name in kept} for one in found]}


_NUMBERS = {"temperature": 1.0, "top_p": None, "min_p": None, "repetition_penalty": 1.0}


def _look(run: AnyRun, given: Mapping[str, Any], headers: Mapping[str, str]) -> Reply:
    fields = Fields(given)
    text = _checked(fields)
    fields.text("language", "")
    fields.end()
    inspected = run.inspect(text, max_tokens=GOES_ON) if isinstance(run, CausalRun) else run.inspect(text)
    return Reply.html(inspected.page(language=language_of(given, headers)).html, policy=IN_A_FRAME)


def _checked(fields: Fields) -> str:
    text = fields.text("text")
    check_text(text, "text", max_line_length=None)
    return text
