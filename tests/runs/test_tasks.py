"""The kinds of models: what the verbs are told of each."""

import copy
import unicodedata
from dataclasses import replace
from typing import Any, get_args, get_type_hints

import pytest
import torch
from untrained_runs import untrained

from attentio.commands.main import VERBS
from attentio.config.schema import ModelConfig, TextConfig
from attentio.errors import AttentioError
from attentio.runs.one_kind import OF_SOME_KIND
from attentio.runs.tasks import TASKS, options_for, task_of

OPTIONS = {
    "evaluate": {"beam": 3, "metrics": ["wer"], "pseudo_perplexity": 2},
    "look": {"beam": 3, "layer": 1, "head": 1},
}


def test_every_type_of_model_that_can_be_configured_has_its_task_and_verb() -> None:
    assert set(TASKS) == set(get_args(get_type_hints(ModelConfig)["type"]))
    assert {task.verb for task in TASKS.values()} <= set(VERBS)


@pytest.mark.parametrize("type", TASKS)
@pytest.mark.parametrize("verb", OPTIONS)
def test_options_of_other_kinds_of_models_are_refused_and_none_is_left_out(seed: int, type: str, verb: str) -> None:
    config = untrained(type=type).config
    for name, value in OPTIONS[verb].items():
        given: dict[str, Any] = {**dict.fromkeys(OPTIONS[verb]), name: value}
        if name in task_of(config).options[verb]:
            assert options_for(verb, config, given) == {name: value}
        else:
            with pytest.raises(
                AttentioError, match=rf"--{name.replace('_', '-')} is for .*, not for {type}; leave it out"
            ):
                options_for(verb, config, given)


@pytest.mark.parametrize("type", TASKS)
def test_every_kind_of_run_reads_text_in_other_forms_as_it_is_read_in_training(seed: int, type: str) -> None:
    run = untrained(type=type)
    plain, other = "안녕 abc", unicodedata.normalize("NFD", " \ufeff안녕 abc")
    pictures = [task_of(run.config).look(run, text) for text in (plain, other)]
    assert pictures[0].source_tokens == pictures[1].source_tokens
    assert pictures[0].title == pictures[1].title
    assert torch.equal(pictures[0].weights, pictures[1].weights)
    inspected = [run.inspect(text) for text in (plain, other)]
    assert inspected[0].tokens == inspected[1].tokens
    assert inspected[0].title == inspected[1].title
    assert run.read(f"{plain} ") == (f"{plain} " if type == "causal-lm" else plain), "more may follow a beginning"
    run.config = replace(run.config, text=TextConfig(normalize="none"))
    assert run.read(other) == other


@pytest.mark.parametrize("type", TASKS)
def test_every_kind_of_run_is_looked_at_in_the_same_way(seed: int, type: str) -> None:
    run = untrained(type=type)
    picture = task_of(run.config).look(run, "abc")
    assert picture.weights.shape == (len(picture.target_tokens), len(picture.source_tokens))
    steps: list[None] = []
    inspected = task_of(run.config).live(run, "abc", lambda: steps.append(None))
    assert inspected.tokens[-2 if type != "causal-lm" else 3] == "c"
    assert steps, "it can be stopped"


@pytest.mark.parametrize("type", TASKS)
def test_a_method_of_another_kind_names_what_this_one_does(seed: int, type: str) -> None:
    run = untrained(type=type)
    classes = [task.run_class for task in TASKS.values()]
    public = [{name for name in vars(each) if not name.startswith("_")} for each in classes]
    assert set.union(*public) >= OF_SOME_KIND
    assert run.main_use == task_of(run.config).verb
    lacking = [name for name in OF_SOME_KIND if name not in dir(run)]
    assert lacking
    for name in lacking:
        assert not hasattr(run, name)
        with pytest.raises(AttentioError) as caught:
            getattr(run, name)(["abc"])
        told = f"untrained holds a model of type {type}, which has no {name}(); use {run.main_use}()"
        assert str(caught.value) == told
    with pytest.raises(AttributeError, match="has no attribute 'transalte'"):
        run.transalte  # noqa: B018
    assert copy.copy(run).config is run.config
