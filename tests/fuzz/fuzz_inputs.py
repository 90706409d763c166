"""Inputs of every kind, each made in a folder of its own from sound ones."""

import argparse
import gzip
import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_child import Case
from fuzz_mutations import WORDS, damaged, flipped, retyped
from safetensors.numpy import load_file, save_file

from attentio.config.plain_yaml import parse_yaml, write_yaml
from attentio.config.read import leaves, load_config

TINY = """
name: {name}
data: {{train: {data}, dev: {data}}}
text: {{source: {{tokenizer: char}}, block: 16}}
model: {{{model}, embedding: 8, hidden: 8, dropout: 0.0, transformer: {{width: 8, heads: 2, feed_forward: 8, {more}}}}}
training: {{max_steps: 2, batch_tokens: 64, validate_every: 2, validation_size: 2, log_every: 1, average: 0.9, seed: 1}}
decoding: {{max_length_ratio: 0.5}}
"""
RUNS = {
    "luong": ("pairs.tsv", "type: encoder-decoder, encoder: recurrent", "positions: sinusoidal"),
    "transformer": ("pairs.tsv", "encoder: transformer, decoder: transformer", "positions: sinusoidal"),
    "masked-lm": ("texts.txt", "type: masked-lm", "positions: learned, max_length: 32, pre_norm: false"),
    "causal-lm": (
        "texts.txt",
        "type: causal-lm",
        "positions: learned, max_length: 32, pre_norm: true, activation: gelu",
    ),
}
PAIRS = b"abc\tcba\nbad\tdab\ncab\tbac\nabcd\tdcba\n"
USES: dict[str, list[tuple[list[str], bytes]]] = {
    "pairs": [
        (["translate", "run"], b"abc\nbad\n"),
        (["look", "run", "abc", "--out", "look.png"], b""),
        (["evaluate", "run", "--data", "pairs.tsv"], b""),
        (["align", "run"], b"abc\tcba\n"),
        (["export", "run", "--to", "huggingface"], b""),
        (["train", "run", "--training.max_steps", "4"], b""),
    ],
    "masked-lm": [
        (["fill", "run", "a[MASK]c"], b""),
        (["evaluate", "run", "--data", "texts.txt"], b""),
        (["train", "run", "--training.max_steps", "4"], b""),
    ],
    "causal-lm": [
        (["generate", "run", "ab", "--seed", "1", "--max-tokens", "5"], b""),
        (["look", "run", "abc", "--out", "page.html"], b""),
        (["train", "run", "--training.max_steps", "4"], b""),
    ],
}
WRITES = {
    "train": ("run/", "out/", "runs/"),
    "evaluate": ("run/evaluation/",),
    "look": ("look.png", "page.html"),
    "export": ("run/huggingface/",),
    "compare": ("runs/",),
    "demo": ("runs/",),
}
SUMMED = ("tokenizer", "model.safetensors")
"""Files that a run has sums of: changed, they must be refused."""


def make_base(folder: Path, run: Callable[[Case, Path], None]) -> None:
    """Sound runs of every kind and what they read, made by `run`."""
    _write_sources(folder)
    for name, (data, model, more) in RUNS.items():
        (folder / f"{name}.yaml").write_text(TINY.format(name=name, data=data, model=model, more=more))
        run(Case("base", name, ["train", f"{name}.yaml", "--run", name]), folder)
        if name != "luong":
            run(Case("base", name, ["export", name, "--to", "huggingface", "--out", f"hf-{name}"]), folder)


def _write_sources(folder: Path) -> None:
    (folder / "pairs.tsv").write_bytes(PAIRS)
    (folder / "texts.txt").write_bytes(b"abc\nbad cab\nabcd\n")


class Inputs:
    """Makes inputs from what `make_base` made. baseline: the standard output of a command on a sound run."""

    def __init__(self, base: Path, baseline: Callable[[str, list[str], bytes], bytes]) -> None:
        self.base, self.baseline = base, baseline

    def make(self, draw: random.Random, folder: Path) -> Case:
        """One input of any kind, its files in the folder."""
        _write_sources(folder)
        for name in ("home", "tmp"):
            (folder / name).mkdir()
        kinds = [self.run_file, self.run_entry, self.run_tensor, self.huggingface, self.data, self.lines, self.options,
                 self.keys, self.yaml]  # fmt: skip
        return draw.choice(kinds)(draw, folder)

    def _run(self, draw: random.Random, folder: Path, *, prefix: str = "") -> tuple[str, list[str], bytes]:
        name = draw.choice([name for name in RUNS if (self.base / f"{prefix}{name}").exists()])
        shutil.copytree(self.base / f"{prefix}{name}", folder / "run", symlinks=True)
        words, given = draw.choice(USES[name if name in USES else "pairs"])
        return name, list(words), given

    def _case(self, kind: str, note: str, words: list[str], given: bytes = b"", expected: bytes | None = None) -> Case:
        return Case(kind, note, words, given, WRITES.get(words[0], ()), expected)

    def run_file(self, draw: random.Random, folder: Path) -> Case:
        """A file of a run with other bytes, or none."""
        name, words, given = self._run(draw, folder)
        path = draw.choice(sorted(path for path in (folder / "run").rglob("*") if path.is_file()))
        done = damaged(draw, path)
        summed = any(part in str(path) for part in SUMMED) and words[0] in ("translate", "align", "fill", "generate")
        expected = self.baseline(name, words, given) if summed else None
        return self._case("run file", f"{name}: {path.relative_to(folder)}: {done}", words, given, expected)

    def run_entry(self, draw: random.Random, folder: Path) -> Case:
        """An entry of a JSON or YAML file of a run missing, or of another type; with sums that are right again."""
        name, words, given = self._run(draw, folder)
        paths = [path for kind in ("json", "yaml") for path in (folder / "run").rglob(f"*.{kind}")]
        path = draw.choice(sorted(paths))
        text = path.read_text(encoding="utf-8")
        yaml = path.suffix == ".yaml"
        changed, note = retyped(draw, parse_yaml(text) if yaml else json.loads(text))
        path.write_text(_dump(changed, yaml=yaml), encoding="utf-8", errors="surrogatepass")
        if path.parent.name == "tokenizer" and draw.random() < 0.7:
            _mend_sums(folder / "run", path, "tokenizer_sha256")
        return self._case("run entry", f"{name}: {path.relative_to(folder)}{note}", words, given)

    def run_tensor(self, draw: random.Random, folder: Path) -> Case:
        """A tensor of a checkpoint missing, of another shape or type, or no number; with sums that are right."""
        name, words, given = self._run(draw, folder)
        path = draw.choice(sorted((folder / "run").rglob("*.safetensors")))
        note = _change_tensor(draw, path)
        _mend_sums(folder / "run", path, "sha256")
        return self._case("run tensor", f"{name}: {path.relative_to(folder)}: {note}", words, given)

    def huggingface(self, draw: random.Random, folder: Path) -> Case:
        """A directory of Hugging Face with another file, entry or tensor."""
        name, words, given = self._run(draw, folder, prefix="hf-")
        path = draw.choice(sorted(path for path in (folder / "run").rglob("*") if path.is_file()))
        if path.suffix == ".safetensors" and draw.random() < 0.7:
            note = _change_tensor(draw, path)
        elif path.suffix == ".json" and draw.random() < 0.8:
            changed, note = retyped(draw, json.loads(path.read_text(encoding="utf-8")))
            path.write_text(_dump(changed, yaml=False), encoding="utf-8", errors="surrogatepass")
        else:
            note = damaged(draw, path)
        return self._case("huggingface", f"{name}: {path.relative_to(folder)} {note}", words, given)

    def data(self, draw: random.Random, folder: Path) -> Case:
        """A file of data that training or evaluation reads."""
        suffix = draw.choice((".tsv", ".txt", ".jsonl", ".json", ".csv"))
        content, note = _content(draw, suffix)
        if draw.random() < 0.3:
            suffix += ".gz"
            content = gzip.compress(content, 1)
            if draw.random() < 0.3:
                content, note = flipped(draw, content), note + ", compressed and damaged"
        name = f"data{suffix}"
        (folder / name).write_bytes(content)
        kind = draw.choice(sorted(RUNS))
        (folder / "tiny.yaml").write_text(
            TINY.format(name="tiny", data=name, model=RUNS[kind][1], more=RUNS[kind][2]), encoding="utf-8"
        )
        words = ["train", "tiny.yaml", "--run", "out"]
        words += draw.choice(([], ["--data.bad_lines", "skip"], ["--text.source.tokenizer", "whitespace"]))
        return self._case("data", f"{kind}: {name}: {note}", words)

    def lines(self, draw: random.Random, folder: Path) -> Case:
        """Standard input that is translated, aligned or filled."""
        name, words, _ = self._run(draw, folder)
        content, note = _content(draw, ".tsv" if draw.random() < 0.5 else ".txt")
        verb = {"masked-lm": "fill", "causal-lm": "generate"}.get(name) or draw.choice(("translate", "align"))
        if verb == "generate":
            prompt = content[:3000].replace(b"\0", b"").decode(errors="surrogateescape")
            return self._case("lines", f"{name}: {note}", ["generate", "run", "--max-tokens", "3", "--", prompt])
        words = [verb, "run", *draw.choice(([], ["--bad-lines", "skip"] if verb == "translate" else []))]
        # Neither so many that they take minutes, nor so long that loops are compiled for them.
        short = (line if len(line) > 10_000 else line[:300] for line in content[:20_000].split(b"\n"))
        return self._case("lines", f"{name}: {verb}: {note}", words, b"\n".join(short))

    def options(self, draw: random.Random, folder: Path) -> Case:
        """An option of a verb, or its argument, with a value from the edge."""
        all_uses = [use for uses in USES.values() for use in uses]
        verb = draw.choice(sorted({words[0] for words, _ in all_uses}))
        name, words, given = self._run(draw, folder)
        chosen = [use for use in all_uses if use[0][0] == verb]
        words, given = draw.choice(chosen)
        action, word = draw.choice(_options(verb)), draw.choice(WORDS)
        if not action.option_strings:
            words = [word if number == 1 else each for number, each in enumerate(words)]
            return self._case("options", f"{name}: {words!r}"[:300], words, given)
        option = [action.option_strings[0], word] if action.nargs != 0 else [action.option_strings[0]]
        case = self._case("options", f"{name}: {verb} {option!r}"[:300], [*words, *option], given)
        # The folder that was asked for is where it may write.
        return replace(case, intended=("",)) if action.dest in ("out", "run") else case

    def keys(self, draw: random.Random, folder: Path) -> Case:
        """A key of the configuration with a value from the edge."""
        name = draw.choice(sorted(RUNS))
        shutil.copy(self.base / f"{name}.yaml", folder)
        key = draw.choice(sorted(dict(leaves(asdict(load_config(str(self.base / f"{name}.yaml")))))))
        word = draw.choice(WORDS)
        if key == "training.max_steps" and len(word) > 3:  # is meant to take as long
            word = "3"
        words = ["train", f"{name}.yaml", "--run", "out", f"--{key}={word}"]
        return self._case("keys", f"{name}: {key} {word[:60]!r}", words)

    def yaml(self, draw: random.Random, folder: Path) -> Case:
        """A file of YAML that training or comparing reads."""
        name = draw.choice(sorted(RUNS))
        text = (self.base / f"{name}.yaml").read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        match draw.randrange(6):
            case 0:
                changed, note = retyped(draw, parse_yaml(text))
                content = _dump(changed, yaml=True).encode("utf-8", "surrogatepass")
            case 1:
                content, note = flipped(draw, text.encode()), "bytes"
            case 2:
                at = draw.randrange(1, len(lines))
                content, note = "".join([*lines, lines[at]]).encode(), f"line {at + 1} twice"
            case 3:
                depth = draw.choice((10, 30, 1000, 60_000))
                content, note = (text + "evaluation: " + "[" * depth + "]" * depth).encode(), f"{depth} levels"
            case 4:
                bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"
                content, note = (bomb + text).encode(), "aliases"
            case _:
                tags = ("!!python/object/apply:os.system [ls]", "!!binary aGk=", "!x y", "<<: {a: 1}", "? [a]\n: b")
                tag = draw.choice(tags)
                content, note = (text + f"masking: {tag}\n").encode(), tag
        (folder / "mine.yaml").write_bytes(content)
        # The default's thousands of steps are meant to take long: a file whose own number is gone has few here.
        train = ["train", "mine.yaml", "--run", "out", "--training.max_steps", "4"]
        words = train if draw.random() < 0.8 else ["compare", "mine.yaml"]
        return self._case("yaml", f"{name}: {note}", words)


def _options(verb: str) -> list[argparse.Action]:
    parser = argparse.ArgumentParser(add_help=False)
    import_module(f"attentio.commands.{verb}").add_arguments(parser)
    parser.add_argument("--device")
    return parser._actions


def _dump(tree: Any, *, yaml: bool) -> str:
    if not yaml:
        return json.dumps(tree)
    try:
        return write_yaml(tree)
    except Exception:  # what YAML cannot hold
        return json.dumps(tree)


def _mend_sums(run: Path, path: Path, where: str) -> None:
    """Let the checkpoints say that the file is as it was saved."""
    facts = [path.parent / "checkpoint.json"] if where == "sha256" else run.rglob("checkpoint.json")
    for each in facts:
        content = json.loads(each.read_text(encoding="utf-8"))
        content[where][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        each.write_text(json.dumps(content), encoding="utf-8")


def _change_tensor(draw: random.Random, path: Path) -> str:
    tensors = load_file(path)
    name = draw.choice(sorted(tensors))
    one = tensors[name]
    changes: dict[str, Callable[[], Any]] = {
        "missing": lambda: None,
        "float64": lambda: one.astype(np.float64),
        "float16": lambda: one.astype(np.float16),
        "int64": lambda: np.nan_to_num(one).astype(np.int64),
        "bool": lambda: one.astype(bool),
        "flat": lambda: one.reshape(-1),
        "one": lambda: one.reshape(-1)[:1],
        "empty": lambda: one.reshape(-1)[:0],
        "longer": lambda: np.concatenate([one.reshape(-1), one.reshape(-1)]),
        "nan": lambda: np.full_like(one, np.nan) if one.dtype.kind == "f" else one[::-1].copy(),
        "huge": lambda: np.full_like(one, 3e38) if one.dtype.kind == "f" else one * 0,
    }
    what = draw.choice(sorted(changes))
    changed = changes[what]()
    tensors.pop(name)
    if changed is not None:
        tensors[name] = np.ascontiguousarray(changed)
    save_file(tensors, path, metadata={"format": "pt"})
    return f"{name} {what}"


def _content(draw: random.Random, suffix: str) -> tuple[bytes, str]:
    """Bytes of a file, and what is odd about them."""
    jsonl = suffix in (".jsonl", ".json")
    sound = (
        b'{"source": "abc", "target": "cba", "text": "abc"}\n' * 4
        if jsonl
        else PAIRS
        if suffix == ".tsv"
        else b"abc\nbad\n"
    )
    odd: dict[str, Callable[[], bytes]] = {
        "bytes": lambda: flipped(draw, sound),
        "UTF-16": lambda: sound.decode().encode("utf-16"),
        "Latin-1": lambda: sound + "é\té\n".encode("latin-1"),
        "BOM": lambda: b"\xef\xbb\xbf" + sound,
        "CR only": lambda: sound.replace(b"\n", b"\r"),
        "CR LF": lambda: sound.replace(b"\n", b"\r\n"),
        "NUL": lambda: sound + b"a\0b\tc\n",
        "surrogates": lambda: sound + b"\xed\xa0\x80\tx\n",
        "U+2028": lambda: sound + "a\u2028b\tc\u0085d\n".encode(),
        "one line": lambda: b"a" * draw.choice((9_999, 10_001, 300_000, 20_000_000)),
        "short lines": lambda: draw.choice((b"a\tb\n", b"\n", b"\t\n", b" \n")) * draw.choice((1000, 300_000)),
        "nothing": lambda: b"",
        "line feeds": lambda: b"\n" * draw.randrange(1, 9),
        "reserved": lambda: sound + b"<s>\t</s>\n<mask>\t<pad>\n[MASK]\tx\n",
        "letters": lambda: sound + "ABC\tÄ\ncafe\u0301\tx\n가\tㄱㅏ\n".encode(),
        "quotes": lambda: b'source,target\n"a,b","c""d"\n"a\nb",c\n',
        "nested": lambda: b'{"source": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
        "types": lambda: b'{"source": 1, "target": null}\n[1]\n"a"\nNaN\n{"text": {"a": 1}}\n',
        "numbers": lambda: b'{"source": "a", "target": "b", "text": "a", "x": ' + b"9" * 5000 + b"}\n",
        "escapes": lambda: b'{"source": "\\ud800", "target": "\\u0000", "text": "\\n\\t"}\n',
        "sound": lambda: sound,
    }
    what = draw.choice(sorted(odd))
    return odd[what](), what


def seeds(first: int) -> Iterator[int]:
    """Of the inputs of one run."""
    while True:
        yield first
        first += 1
