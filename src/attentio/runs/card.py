"""A bundle's card: what its model is, what it was trained on and how good it was found to be. Light to import."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attentio.config.schema import Config
from attentio.errors import AttentioError, harmless
from attentio.files import parse_json, read_json
from attentio.runs.archive import CARD, unpack
from attentio.runs.build import parameters_of


def make_card(
    config: Config, *, parameters: int, step: int, report: Path | None = None, examples: Sequence[str] = ()
) -> dict[str, Any]:
    """What can be told of any model. step: of the checkpoint. report: the `scores.json` of an evaluation.

    examples: texts to try it with.
    """
    data = {part: getattr(config.data, part) for part in ("train", "dev", "test")}
    return {
        "name": config.name,
        "type": config.model.type,
        "attention": attention_of(config),
        "parameters": parameters,
        "step": step,
        "seed": config.training.seed,
        "data": data,
        "quality": None if report is None else quality_in(report),
        "examples": list(examples) or None,
    }


def quality_in(report: Path) -> dict[str, Any]:
    """The figures of an evaluation, and on what they were measured."""
    content = read_json(report)
    try:
        scores = {one["name"]: round(float(one["value"]), 3) for one in content["scores"]}
        return {"data": content["data"], "beam": content.get("beam"), "scores": scores}
    except (KeyError, TypeError, ValueError):
        raise AttentioError(f"{report}: not what `attentio evaluate` writes; evaluate again, or remove it") from None


def read_card(path: Path) -> dict[str, Any]:
    """The card of a bundle."""
    return parse_json(unpack(path, CARD)[CARD], path / CARD)


def described(run: Any) -> str:
    """A run in one line, for a prompt."""
    parameters = parameters_of(run.model)
    together = len(getattr(run, "members", ()))
    kind = f"{together} models together" if together > 1 else attention_of(run.config)
    return f"<{type(run).__name__} {harmless(str(run.path))}: {kind}, {parameters:,} parameters>"


def described_in_html(run: Any) -> str:
    """The same for a notebook, with what it was trained on."""
    from attentio.notebook import frame, line

    config: Config = run.config
    parts = {part: getattr(config.data, part) for part in ("train", "dev", "test")}
    given = [line(spec, f"data.{part}") for part, spec in parts.items() if spec is not None]
    return frame(described(run)[1:-1], line(config.model.type, "model.type"), *given)


def attention_of(config: Config) -> str:
    """Which attention a model has, in a few words."""
    model = config.model
    normalize = "" if model.normalize == "softmax" else f", {model.normalize}"
    if model.type != "encoder-decoder" or model.decoder == "transformer":
        return f"transformer{normalize}"
    if ".py:" in model.attention:
        return f"{model.attention}{', input feeding' if model.input_feeding else ''}"
    if model.attention in ("hard", "hard-monotonic"):
        return f"{model.attention}, order {model.order}"
    if model.attention != "luong":
        return model.attention if model.attention == "none" else f"{model.attention}{normalize}"
    local = f", local-{model.local}" if model.local else ""
    return f"luong {model.score}{normalize}{local}{', input feeding' if model.input_feeding else ''}"
