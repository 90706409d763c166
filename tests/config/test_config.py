"""What a configuration may say, and what is told about a wrong one."""

import math
import re
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from attentio.config.read import as_begun, load_config, load_run, preset_names, to_yaml
from attentio.config.schema import (
    Config,
    MaskingConfig,
    ModelConfig,
    SideConfig,
    TextConfig,
    TrainingConfig,
    TransformerConfig,
)
from attentio.errors import AttentioError


def refused(preset_or_file: object, *overrides: str) -> str:
    """The one line that is told."""
    with pytest.raises(AttentioError) as caught:
        load_config(str(preset_or_file), overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "config.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


MINIMAL = "name: mine\ndata: {train: a.tsv, dev: b.tsv}\n"


def options(kind: Any = Config, prefix: str = "") -> dict[str, Any]:
    """Every key with its default; "required" for one that has none."""
    found: dict[str, Any] = {}
    for each in fields(kind):
        key, hint = f"{prefix}{each.name}", get_type_hints(kind)[each.name]
        if is_dataclass(hint):
            found |= options(hint, f"{key}.")
        elif each.default_factory is not MISSING:
            found[key] = each.default_factory()
        else:
            found[key] = "required" if each.default is MISSING else each.default
    return found


def test_options_and_their_defaults_are_the_recorded_ones() -> None:
    """People's files and scripts rely on them; whoever changes one on purpose changes options.yaml with it."""
    recorded = yaml.safe_load((Path(__file__).parent / "options.yaml").read_text())
    assert options() == recorded


def test_recorded_defaults_are_what_is_parsed(tmp_path: Path) -> None:
    parsed = yaml.safe_load(to_yaml(load_config(str(written(tmp_path, "name: mine\ndata: {train: a.tsv}\n")))))
    for key, default in options().items():
        value = parsed
        for part in key.split("."):
            value = value[part]
        assert default in (value, "required"), key


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_under_its_name(name: str) -> None:
    assert load_config(name).name == name


@pytest.mark.parametrize("name", preset_names())
def test_a_written_configuration_is_read_back_the_same(tmp_path: Path, name: str) -> None:
    config = load_config(name, ["--data.train=훈련.tsv", "--text.source.vocab_size=77", "--training.clip=3"])
    text = to_yaml(config)
    again = load_config(str(written(tmp_path, text)))
    assert again == config
    assert to_yaml(again) == text
    assert "훈련" in text


def test_the_command_line_has_the_last_word(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL + "training: {max_steps: 7, clip: 2.0}\nevaluation: {metrics: [ter]}\n")
    config = load_config(
        str(path), ["--training.max_steps", "11", "--data.test=null", "--evaluation.metrics=[bleu, chrf]"]
    )
    assert (config.training.max_steps, config.training.clip) == (11, 2.0)
    assert config.evaluation.metrics == ["bleu", "chrf"]
    assert config.data.test is None


def test_an_unknown_preset_or_file_suggests_the_nearest() -> None:
    assert "did you mean 'luong'?" in refused("loung")
    assert "the presets are bahdanau, " in refused("xyzzy")


@pytest.mark.parametrize("words", [["--training.max_step", "5"], ["--training.max_step=5"]])
def test_an_unknown_key_on_the_command_line_suggests_the_nearest(words: list[str]) -> None:
    assert refused("luong", *words) == (
        "unknown key 'training.max_step' in the command line; did you mean 'training.max_steps'?"
    )


@pytest.mark.parametrize(
    ("content", "key", "near"),
    [
        ("model: {atention: luong}", "model.atention", "model.attention"),
        ("text: {source: {tokeniser: char}}", "text.source.tokeniser", "text.source.tokenizer"),
        ("modell: {attention: luong}", "modell.attention", "model.attention"),
        ("model: {width: 64}", "model.width", "model.transformer.width"),
        ("beam: 3", "beam", "decoding.beam"),
    ],
)
def test_an_unknown_key_in_a_file_suggests_the_nearest(tmp_path: Path, content: str, key: str, near: str) -> None:
    path = written(tmp_path, MINIMAL + content)
    assert refused(path) == f"unknown key {key!r} in {path}; did you mean {near!r}?"


WRONG = [
    ("model.attention", "luogn", "did you mean 'luong'?"),
    ("training.decay", "cosin", "did you mean 'cosine'?"),
    ("evaluation.metrics", "[blue]", "did you mean 'bleu'?"),
    ("evaluation.metrics", "[]", "at least one"),
    ("training.max_steps", "many", "many"),
    ("training.max_steps", "0", "0"),
    ("training.max_steps", "2.5", "2.5"),
    ("training.validate_every", "0", "0"),
    ("training.learning_rate", "-1", "-1"),
    ("training.learning_rate", "nan", "nan"),
    ("training.patience", "-1", "-1"),
    ("training.average", "1.0", "1.0"),
    ("model.dropout", "1.0", "1.0"),
    ("model.hidden", "-3", "-3"),
    ("model.input_feeding", "perhaps", "perhaps"),
    ("decoding.beam", "0", "0"),
    ("decoding.length_penalty", "-1", "-1"),
    ("text.source.vocab_size", "0", "0"),
    ("data.bad_lines", "ignore", "stop, skip"),
    ("data.separator", "space", "auto, tab, comma, semicolon, or one of ,;|:"),
    ("data.header", "perhaps", "perhaps"),
    ("text.normalize", "nfd", "nfc, none"),
]


@pytest.mark.parametrize(("key", "value", "told"), WRONG)
def test_a_wrong_value_is_told_with_its_key(tmp_path: Path, key: str, value: str, told: str) -> None:
    message = refused("luong", f"--{key}={value}")
    assert key in message
    assert told in message
    content = yaml.safe_load(value)
    for part in reversed(key.split(".")):
        content = {part: content}
    top, rest = next(iter(content.items()))
    whole = yaml.safe_load(MINIMAL)
    whole[top] = {**whole.get(top, {}), **rest}
    in_file = refused(written(tmp_path, yaml.safe_dump(whole)))
    assert key in in_file
    assert str(tmp_path) in in_file


IDLE = {
    "causal-lm": (
        "decoding.beam=9",
        "data.separator=comma",
        "data.header=true",
        "evaluation.metrics=[bleu]",
        "training.samples=7",
        "text.shared=true",
        "text.target.tokenizer=char",
        "masking.unit=word",
        "model.encoder=transformer",
        "model.encoder_layers=9",
        "model.hidden=99",
        "model.attention=bahdanau",
    ),
    "masked-lm": (
        "model.decoder_layers=9",
        "masking.mean_span=7",
        "model.window=3",
        "model.transformer.embedding_norm=true",
    ),
    "transformer": ("model.attention=bahdanau", "model.cell=gru", "model.local=p", "model.transformer.max_length=5"),
    "bahdanau": ("model.score=dot", "model.input_feeding=false", "model.transformer.width=64", "masking.rate=0.3"),
    "luong": (
        "text.source.bpe_dropout=0.1",
        "text.target.bpe_dropout=0.1",
        "model.window=3",
        "model.reach=3",
        "model.readout=state",
        "text.block=9",
        "data.document=file",
    ),
    "multi30k-en-de": ("text.target.bpe_dropout=0.1", "text.target.tokenizer=whitespace", "model.encoder_hidden=5"),
}


@pytest.mark.parametrize(("preset", "option"), [(preset, option) for preset in IDLE for option in IDLE[preset]])
def test_a_key_that_would_do_nothing_is_refused(preset: str, option: str) -> None:
    assert f"{option.split('=')[0]} does nothing here; it is for " in refused(preset, f"--{option}")


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("luong", ["--model.local", "p", "--model.window", "3"]),
        ("luong", ["--model.score", "location", "--model.reach", "99", "--model.encoder_layers", "2"]),
        ("luong", ["--model.encoder", "transformer", "--model.transformer.width", "64", "--model.hidden", "32"]),
        ("transformer", ["--model.transformer.positions", "learned", "--model.transformer.max_length", "99"]),
        ("masked-lm", ["--masking.unit", "span", "--masking.mean_span", "2", "--data.document", "file"]),
        ("causal-lm", ["--model.decoder_layers", "2", "--model.transformer.embedding_norm", "true"]),
        ("multi30k-en-de", ["--text.shared", "false", "--text.target.tokenizer", "char", "--decoding.beam", "2"]),
    ],
)
def test_a_key_that_does_something_is_taken(preset: str, options: list[str]) -> None:
    assert load_config(preset, options) != load_config(preset)


@pytest.mark.parametrize("words", [["--training.max_steps"], ["--name"], ["stray"], ["--training", "3"], ["-x"]])
def test_a_command_line_that_is_not_key_and_value_is_refused(words: list[str]) -> None:
    assert words[0].lstrip("-") in refused("luong", *words)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("name: x\n", "data.train"),
        ("data: {train: a, dev: b}\n", "name"),
        ("name: x\ndata: null\n", "'data'"),
        (MINIMAL + "model: 3\n", "'model'"),
        ("", "must hold keys"),
        ("- a\n", "must hold keys"),
        ("name: {\n", "not valid YAML"),
        (b"\xff\xfe\x00", "invalid UTF-8 at byte 1"),
        (MINIMAL + "model: !!python/object/apply:os.system [ls]\n", "not valid YAML"),
    ],
)
def test_an_incomplete_or_broken_file_is_named(tmp_path: Path, content: str | bytes, told: str) -> None:
    path = written(tmp_path, content)
    message = refused(path)
    assert str(path) in message
    assert told in message


def test_other_training_data_do_not_keep_the_dev_and_test_sets_of_a_preset(tmp_path: Path) -> None:
    def sets(origin: object, *overrides: str) -> tuple[str | None, str | None]:
        data = load_config(str(origin), overrides).data
        return data.dev, data.test

    assert sets("transformer") == ("dates:dev", "dates:test")
    assert sets("transformer", "--data.train=dates:train") == ("dates:dev", "dates:test")
    assert sets("transformer", "--data.train=mine.tsv") == (None, None)
    assert sets("transformer", "--data.train=mine.tsv", "--data.test=held-out.tsv") == (None, "held-out.tsv")
    assert sets("transformer", "--data.train=mine.tsv", "--data.dev", "dates:dev") == ("dates:dev", None)
    own = written(tmp_path, "name: x\ndata: {train: a.tsv, dev: b.tsv, test: cmudict:test}\n")
    assert sets(own) == ("b.tsv", "cmudict:test")
    assert sets(own, "--data.train=mine.tsv") == ("b.tsv", None)
    assert load_config("luong", [], shared=["--data.train=mine.tsv"]).data.dev is None


def test_a_run_of_before_a_key_was_there_goes_on_as_it_was_begun(tmp_path: Path) -> None:
    old = load_config(str(written(tmp_path, MINIMAL)))
    assert (old.data.separator, old.data.header, old.text.normalize) == ("auto", "auto", "nfc")
    assert load_run(tmp_path).data.separator == "auto", "a folder without tokenizers is no run"
    (tmp_path / "tokenizer").mkdir()
    old = load_run(tmp_path)
    assert (old.data.separator, old.data.header, old.text.normalize) == ("tab", False, "none")
    assert load_run(tmp_path, ["--text.normalize=nfc"]).text.normalize == "nfc"
    written(tmp_path, to_yaml(load_config("luong")))
    assert load_run(tmp_path) == load_config("luong")
    assert as_begun(tmp_path / "nothing", []) == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--masking.rate=2"], "masking.rate must be above 0 and at most 1; got 2"),
        (["--masking.training_rate=0"], "masking.training_rate must be above 0 and at most 1; got 0"),
        (["--masking.mask=0.9", "--masking.random=0.2"], "masking.mask + masking.random must be at most 1"),
        (["--text.block=200"], "text.block must be at most model.transformer.max_length"),
    ],
)
def test_what_a_language_model_cannot_do_is_told_before_anything_is_read(overrides: list[str], message: str) -> None:
    with pytest.raises(AttentioError, match=re.escape(message)):
        load_config("masked-lm", overrides)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MaskingConfig(rate=0.0), "masking.rate must be above 0 and at most 1; got 0.0"),
        (lambda: MaskingConfig(rate=math.nan), "masking.rate must be above 0 and at most 1; got nan"),
        (lambda: MaskingConfig(mask=-0.1), "masking.mask must be from 0 to 1; got -0.1"),
        (lambda: MaskingConfig(random=0.3), "masking.mask + masking.random must be at most 1; got 0.8 + 0.3"),
        (lambda: MaskingConfig(mean_span=0.5), "masking.mean_span must be from 1 to 1,000,000; got 0.5"),
        (lambda: ModelConfig(dropout=1.0), "model.dropout must be 0 or more, and below 1 (at most 0.999); got 1.0"),
        (
            lambda: ModelConfig(transformer=TransformerConfig(heads=0)),
            "model.transformer.heads must be from 1 to 65,536; got 0",
        ),
        (
            lambda: TextConfig(target=SideConfig(vocab_size=0)),
            "text.target.vocab_size must be from 1 to 1,000,000; got 0",
        ),
        (
            lambda: TrainingConfig(clip=0.0),
            "training.clip must be from 1e-12 to 1,000,000; got 0.0",
        ),
    ],
)
def test_a_wrong_value_from_python_is_told_as_one_from_a_file(make: Callable[[], object], said: str) -> None:
    with pytest.raises(AttentioError) as caught:
        make()
    assert str(caught.value) == said
    MaskingConfig(mask=0.9, random=0.1)


def test_a_choice_that_does_not_exist_is_told_with_those_that_do() -> None:
    masking = MaskingConfig()
    object.__setattr__(masking, "unit", "letter")  # as an argument it would not pass the type checks of the tests
    with pytest.raises(AttentioError, match=r"masking\.unit must be one of token, word, span; got 'letter'"):
        masking.__post_init__()


WRONG = {
    "model.hidden=1e400": "model.hidden must be a whole number, from 1 to 65,536; got 'inf'",
    "model.encoder_hidden=nan": "model.encoder_hidden must be null or a whole number, from 1 to 65,536; got 'nan'",
    "model.dropout=x": "model.dropout must be a number, 0 or more, and below 1 (at most 0.999); got 'x'",
    f"training.clip={'1' * 5000}": "training.clip must be a number, from 1e-12 to 1,000,000; "
    "got a number of too many digits",
    f"training.seed={'9' * 30}": f"training.seed must be from 0 to 9,223,372,036,854,775,807; got {'9' * 30}",
    "training.seed=1:30": "training.seed must be a whole number, from 0 to 9,223,372,036,854,775,807; got '1:30'",
    "training.seed=1_000": "training.seed must be a whole number, from 0 to 9,223,372,036,854,775,807; got '1_000'",
    "training.clip=1:30.5": "training.clip must be a number, from 1e-12 to 1,000,000; got '1:30.5'",
    "model.encoder_hidden=1:30": "model.encoder_hidden must be null or a whole number, from 1 to 65,536; got '1:30'",
    "text.shared=on": "text.shared must be true or false; got 'on'",
    "data.header=yes": "data.header must be true, false or auto; got 'yes'",
    "training.freeze=[": "training.freeze must be a list, such as [a, b]; got '['",
    "data.header=often": "data.header must be true, false or auto; got 'often'",
    "model.local=q": "model.local must be null or one of m, p; got 'q'",
    "model.cell=lst": "model.cell must be one of lstm, gru; got 'lst'; did you mean 'lstm'?",
    "evaluation.metrics=bleu2": "evaluation.metrics must be a list, such as [wer], of wer, per, exact, bleu, chrf, "
    "ter; got 'bleu2'; did you mean 'bleu'?",
    f"text.normalize={'x' * 1000}": f"text.normalize must be one of nfc, none; got {'x' * 40!r}",
}


@pytest.mark.parametrize("given", WRONG, ids=range(len(WRONG)))
def test_a_value_of_another_kind_is_told_with_what_the_key_takes(given: str) -> None:
    with pytest.raises(AttentioError) as caught:
        load_config("luong", [f"--{given}"])
    assert str(caught.value) == f"luong.yaml or the command line: {WRONG[given]}"


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("*embedding*", ["*embedding*"]),
        ("encoder.[ab]*, *bias", ["encoder.[ab]*", "*bias"]),
        ("[a, 1]", ["a", "1"]),
        ("'a,b',c", ["a,b", "c"]),
    ],
)
def test_items_of_a_list_are_taken_as_they_are_written(value: str, items: list[str]) -> None:
    assert load_config("luong", ["--training.freeze", value]).training.freeze == items


def test_columns_are_called_as_they_are_written() -> None:
    for value in ("word #1,sounds", "1.10,x", "null,x", "IPA: x,y", "%a,*b"):
        columns = load_config("luong", ["--data.columns", value]).data.columns
        assert columns is not None
        assert list(columns) == value.split(",")


def test_named_features_of_a_table_without_a_header_are_refused() -> None:
    with pytest.raises(AttentioError, match=r"data.features has names, and data.header false says that nothing"):
        load_config("luong", ["--data.features", "V", "--data.header", "false"])


EXTREME = {
    "decoding.beam": "300000",
    "decoding.length_penalty": ".inf",
    "decoding.max_length_ratio": "1e9",
    "decoding.batch_size": "1e99",
    "training.batch_tokens": "9999999999",
    "training.samples": "100000000",
    "training.seed": "99999999999999999999",
    "training.learning_rate": "1e-320",
    "training.clip": "null",
    "training.warmup": "null",
    "model.dropout": "0.999999999999",
    "model.hidden": "10000000",
    "model.encoder_layers": "9999999",
    "model.embedding": "9" * 5000,
    "text.source.vocab_size": "1000000000000",
}


@pytest.mark.parametrize("key", EXTREME)
def test_a_number_that_no_machine_can_bear_is_refused(key: str) -> None:
    assert key in refused("luong", f"--{key}={EXTREME[key]}")


def test_every_number_has_a_limit_on_both_sides() -> None:
    def numbers(kind: Any) -> list[Any]:
        found = []
        for each in fields(kind):
            hint = get_type_hints(kind)[each.name]
            found += numbers(hint) if is_dataclass(hint) else [each] if hint in (int, float, int | None) else []
        return found

    for each in numbers(Config):
        assert not each.metadata["allows"](-1), each.name
        assert not each.metadata["allows"](10**30), each.name
        assert not each.metadata["allows"](math.nan), each.name


@pytest.mark.parametrize(
    "given",
    [["--evaluation.metrics", "wer,per"], ["--evaluation.metrics=wer,per"], ["--evaluation.metrics", "[wer,per]"]],
)
def test_a_list_may_be_given_with_commas_alone(given: list[str]) -> None:
    assert load_config("luong", given).evaluation.metrics == ["wer", "per"]
    assert load_config("luong", ["--evaluation.metrics", "bleu"]).evaluation.metrics == ["bleu"]


@pytest.mark.parametrize(
    ("preset", "given", "units"),
    [
        ("g2p", [], "words"),
        ("g2p", ["--text.target.tokenizer=char"], "characters"),
        ("luong", [], "characters"),
        ("luong", ["--text.target.tokenizer=whitespace"], "words"),
        ("multi30k-de-en", [], "words"),
        ("luong", ["--text.shared=true", "--text.source.tokenizer=whitespace"], "words"),
        ("g2p", ["--text.target.tokenizer=char", "--evaluation.units=words"], "words"),
    ],
)
def test_errors_are_counted_in_what_the_target_is_made_of(preset: str, given: list[str], units: str) -> None:
    assert load_config(preset, given).units == units


def test_a_file_has_the_keys_of_its_base_that_it_does_not_give(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("base: luong\nmodel: {hidden: 32}\ntraining.max_steps: 7\n")
    (tmp_path / "deeper.yaml").write_text("base: mine.yaml\nmodel.cell: gru\n")
    found, preset = load_config(str(tmp_path / "deeper.yaml")), load_config("luong")
    assert (found.model.cell, found.model.hidden, found.training.max_steps) == ("gru", 32, 7)
    assert found.model == replace(preset.model, cell="gru", hidden=32)
    assert found.data == preset.data


def test_a_presets_own_dev_set_is_not_that_of_other_data_in_a_file_based_on_it(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("base: luong\ndata.train: mine.tsv\n")
    data = load_config(str(tmp_path / "mine.yaml")).data
    assert (data.train, data.dev, data.test) == ("mine.tsv", None, None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("base: loung", "mine.yaml: base: 'loung' is neither a file nor a preset; "),
        ("base: mine.yaml", "mine.yaml: base: mine.yaml is based on this file"),
        ("base: other.yaml", "other.yaml: base: mine.yaml is based on this file"),
        ("base: {a: 1}", "is neither a file nor a preset"),
        ("base: luong\nmodel.hidden: 3\nmodel: {hidden: 4}", "the key 'model.hidden' a second time"),
    ],
)
def test_a_base_that_cannot_be_is_told(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    (tmp_path / "other.yaml").write_text("base: mine.yaml")
    with pytest.raises(AttentioError, match=re.escape(told)):
        load_config(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("value", ["1:30", "1_000", "yes", "0b11"])
def test_what_yaml_1_1_takes_for_a_number_is_a_text_in_a_file_too(tmp_path: Path, value: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"name: {value}\ndata: {{train: x, columns: [{value}, 3]}}\ntraining: {{seed: '010'}}\n")
    config = load_config(str(file))
    assert (config.name, config.data.columns, config.training.seed) == (value, [value, "3"], 10)
    file.write_text(f"name: mine\ndata: {{train: x}}\ntraining: {{seed: {value}}}\n")
    with pytest.raises(AttentioError, match=rf"training\.seed must be a whole number, .*; got '{value}'"):
        load_config(str(file))
