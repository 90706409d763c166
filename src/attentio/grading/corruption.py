"""How somebody's masking of tokens is called: on enough tokens that shares tell."""

import inspect
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentio.errors import AttentioError
from attentio.grading.attempt import attempt
from attentio.grading.candidates import Candidate, Failed
from attentio.grading.paper import Given, Paper, none
from attentio.grading.papers.mlm_masking import MASK, SPECIAL, measured
from attentio.grading.quiet import quiet
from attentio.grading.reading import Case, Run, Unreadable

ROWS, POSITIONS, VOCABULARY = 250, 200, 25
_TOLERANCE = 0.03  # five times what chance moves the least certain share

_ROLES = {
    "tokens": "tokens inputids ids inputs input x batch tokenids sequence seq sentence text",
    "mask_id": "maskid masktokenid masktoken maskidx mask mid",
    "vocabulary": "vocabsize vocab nvocab numtokens v vocabularysize vocabulary size",
    "special_ids": "specialids specialtokens specials specialtokenids special neveruse nevermask",
    "special_mask": "specialtokensmask specialmask",
    "pad_id": "padid padtokenid padtoken pad padidx",
    "cls_id": "clsid clstokenid cls",
    "sep_id": "sepid septokenid sep",
    "first_word": "firstword firstordinary numspecial nspecial firstid",
    "words": "ordinary ordinaryids words wordids candidates",
}
_ORDER = ("tokens", "mask_id", "vocabulary", "special_ids")


def corruption_candidates(code: Callable[..., Any], paper: Paper, *, seed: int) -> Iterator[Candidate]:
    """Ways to call it that work: all rows at once as a tensor or an array, or row by row."""
    roles = _roles(code, paper)
    raised: list[Exception] = []
    knows = bool({"special_ids", "special_mask", "first_word", "words"} & set(roles.values())) or {
        "pad_id",
        "cls_id",
        "sep_id",
    } <= set(roles.values())
    for form in ("tensor", "array", "row tensor", "row array", "list"):

        def run(seed: int, form: str = form) -> tuple[Run, ...]:
            given = _drawn(seed, special=knows, padded="pad_id" in roles.values())
            tokens, inputs, labels = _called(code, roles, given, form)
            return (Run(Case("many tokens"), given, paper.oracle(given, none), measured(tokens, inputs, labels), {}),)

        runs = attempt(partial(run, seed), raised)
        if runs is None:
            continue
        barred = frozenset() if knows else frozenset({"special tokens chosen"})
        yield Candidate(runs, (), barred, _TOLERANCE, run, seed=seed)
        return
    raise Failed(next((one for one in raised if not isinstance(one, Unreadable)), raised[0]))


def _roles(code: Callable[..., Any], paper: Paper) -> dict[str, str]:
    roles: dict[str, str] = {}
    parameters = inspect.signature(code).parameters.values()
    for one in parameters:
        plain = one.name.lower().replace("_", "")
        role = next((role for role, names in _ROLES.items() if plain in names.split()), None)
        if role is not None and role not in roles.values():
            roles[one.name] = role
    free = [role for role in _ORDER if role not in roles.values()]
    for one in parameters:
        if one.default is one.empty and one.name not in roles and one.kind is one.POSITIONAL_OR_KEYWORD:
            if any(word in one.name for word in ("prob", "rate", "ratio")) or one.name == "p":
                roles[one.name] = "rate"
            elif any(word in one.name for word in ("rng", "generator", "seed", "random")):
                roles[one.name] = "generator" if "gen" in one.name else "rng" if "seed" not in one.name else "seed"
            elif free:
                roles[one.name] = free.pop(0)
            else:
                raise AttentioError(
                    f"it is not clear what the argument {one.name!r} is; write it as: {paper.signature}"
                )
    if "tokens" not in roles.values():
        raise AttentioError(f"it takes no tokens; write it as: {paper.signature}")
    return roles


def _drawn(seed: int, *, special: bool, padded: bool) -> Given:
    """Tokens with those special ones among them that the code is told of."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(SPECIAL, VOCABULARY, (ROWS, POSITIONS), generator=generator)
    if special or padded:
        lengths = torch.randint(POSITIONS // 2, POSITIONS, (ROWS,), generator=generator)
        tokens[torch.arange(POSITIONS) >= lengths[:, None]] = 0
    if special:
        tokens[:, 0] = 1
        tokens[torch.arange(ROWS), lengths - 1] = 2
    return {"tokens": tokens, "vocabulary": VOCABULARY, "seed": seed}


def _called(code: Callable[..., Any], roles: dict[str, str], given: Given, form: str) -> tuple[Tensor, Tensor, Tensor]:
    tokens, seed = given["tokens"], given["seed"]
    fixed = {
        "mask_id": MASK,
        "vocabulary": VOCABULARY,
        "special_ids": list(range(SPECIAL)),
        "pad_id": 0,
        "cls_id": 1,
        "sep_id": 2,
        "first_word": SPECIAL,
        "words": list(range(SPECIAL, VOCABULARY)),
        "rate": 0.15,
        "seed": seed,
        "rng": np.random.default_rng(seed),
        "generator": torch.Generator().manual_seed(seed),
    }
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        with torch.random.fork_rng(devices=[]), quiet():
            torch.manual_seed(seed)
            rows = [tokens] if form in ("tensor", "array") else list(tokens)
            pairs = []
            for row in rows:
                written = {"tokens": _written(row, form), "special_mask": _written(row < SPECIAL, form)}
                returned = code(**{name: written.get(role, fixed.get(role)) for name, role in roles.items()})
                pairs.append(_pair(returned, row))
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
    inputs, labels = (torch.stack(part).reshape(tokens.shape) for part in zip(*pairs, strict=True))
    return tokens, inputs, labels


def _written(row: Tensor, form: str) -> Any:
    if form == "list":
        return row.tolist()
    return row.clone().numpy() if "array" in form else row.clone()


def _pair(returned: Any, row: Tensor) -> tuple[Tensor, Tensor]:
    """inputs and labels: the first two of what is returned."""
    if isinstance(returned, dict):
        inputs = next((one for name, one in returned.items() if "input" in name), None)
        returned = (inputs, returned.get("labels", next((o for n, o in returned.items() if "label" in n), None)))
    if not isinstance(returned, (tuple, list)) or len(returned) < 2:
        raise Unreadable("it must return (inputs, labels)")
    inputs, labels = (torch.as_tensor(np.asarray(_filled(one))) for one in returned[:2])
    if inputs.shape != row.shape or labels.shape != row.shape:
        raise Unreadable(f"it returned {list(inputs.shape)} and {list(labels.shape)} for tokens {list(row.shape)}")
    return inputs.long(), labels if labels.dtype == torch.bool else labels.long()


def _filled(labels: Any) -> Any:
    """None in a list of labels means: no label."""
    return [-100 if one is None else one for one in labels] if isinstance(labels, list) else labels
