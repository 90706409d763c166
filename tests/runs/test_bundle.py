"""A run in one file: it does what the run does, and what a stranger may have put into the file does no harm."""

import io
import json
import os
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from untrained_runs import untrained

import attentio as at
from attentio.config.schema import TextConfig
from attentio.errors import AttentioError
from attentio.runs import bundle
from attentio.runs.archive import CONFIG, SUMS, TOKENIZERS, WEIGHTS, pack, unpack
from attentio.runs.build import Tokenizers

KINDS = [
    {"attention": "none"},
    {"attention": "bahdanau"},
    {"attention": "luong", "local": "p"},
    {"encoder": "transformer", "decoder": "transformer"},
    {"type": "masked-lm"},
    {"type": "causal-lm"},
]


def written(run: Any, path: Path) -> Path:
    """A bundle of a run that was never trained, and has one tokenizer."""
    tokenizer = run.tokenizers.source if isinstance(run, at.Run) else run.tokenizer
    config = replace(run.config, text=TextConfig(shared=True))
    bundle.write(path, config, Tokenizers(tokenizer, tokenizer), run.model, {"name": "untrained"})
    return path


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return written(untrained(), tmp_path / "model.zip")


def refused(path: Path) -> str:
    with pytest.raises(AttentioError) as caught:
        at.load(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    return said


def rewritten(path: Path, change: Callable[[zipfile.ZipInfo], None], *, without: str = "", more: Any = ()) -> Path:
    """The zip with its entries' descriptions changed, and with other entries."""
    with zipfile.ZipFile(path) as old:
        entries = [(info, old.read(info)) for info in old.infolist() if info.filename != without]
    with zipfile.ZipFile(path, "w") as new:
        for info, content in [*entries, *more]:
            change(info)
            new.writestr(info, content)
    return path


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_bundle_computes_what_its_run_computes_within_half_precision(options: dict, tmp_path: Path) -> None:
    run = untrained(**options)
    again = at.load(written(run, tmp_path / "model.zip"))
    for ours, theirs in zip(run.model.parameters(), again.model.parameters(), strict=True):
        assert theirs.dtype == torch.float32
        torch.testing.assert_close(theirs, ours, rtol=2**-11, atol=2**-24)
    kind = options.get("type")
    if kind == "masked-lm":
        first, second = (one.fill("ab[MASK]d", top=4)[0] for one in (run, again))
        torch.testing.assert_close(
            *(torch.tensor([c.probability for c in each]) for each in (first, second)), atol=0.02, rtol=0
        )
    elif kind == "causal-lm":
        first, second = (one.attention("abcd").weights for one in (run, again))
        torch.testing.assert_close(first, second, atol=0.02, rtol=0)
    else:
        if options.get("attention") != "none":
            pairs = [("abcd", "hgf"), ("안", "녕")]
            for one, other in zip(run.align(pairs), again.align(pairs), strict=True):
                torch.testing.assert_close(one.attention, other.attention, atol=0.02, rtol=0)
        assert again.translate(["abcd"])[0].score == pytest.approx(run.translate(["abcd"])[0].score, abs=0.1)


def test_the_same_run_makes_the_same_bytes(packed: Path) -> None:
    entries = unpack(packed)
    assert pack(entries) == packed.read_bytes()


def test_weights_beyond_half_precision_are_not_written(tmp_path: Path) -> None:
    run = untrained()
    with torch.no_grad():
        next(run.model.parameters()).flatten()[0] = 70_000.0
    with pytest.raises(AttentioError, match="half precision"):
        written(run, tmp_path / "model.zip")
    assert not list(tmp_path.iterdir())


# What a stranger may send


def test_every_altered_byte_is_noticed(packed: Path, seed: int) -> None:
    whole = packed.read_bytes()
    draw = torch.Generator().manual_seed(seed)
    for place in torch.randint(len(whole), (60,), generator=draw).tolist():
        packed.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            found = unpack(packed)
        except AttentioError:
            continue
        packed.write_bytes(whole)  # a byte of the zip that tells nothing, such as a date
        assert found == unpack(packed)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_bundle_is_told(packed: Path, part: float) -> None:
    packed.write_bytes(packed.read_bytes()[: int(packed.stat().st_size * part)])
    assert "bundle" in refused(packed)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "tokenizer/../../evil", "C:\\evil", "sub/", "more.txt"])
def test_an_entry_that_is_no_part_of_a_bundle_is_refused(packed: Path, name: str) -> None:
    before = set(packed.parent.rglob("*"))
    rewritten(packed, lambda info: None, more=[(zipfile.ZipInfo(name), b"")])
    assert "no part of a bundle" in refused(packed)
    assert set(packed.parent.rglob("*")) == before


def test_a_link_is_refused(packed: Path) -> None:
    def link(info: zipfile.ZipInfo) -> None:
        if info.filename == CONFIG:
            info.external_attr = (stat.S_IFLNK | 0o777) << 16

    assert "link" in refused(rewritten(packed, link))


@pytest.mark.parametrize("name", [CONFIG, SUMS, WEIGHTS, TOKENIZERS[0]])
def test_a_missing_entry_is_named(packed: Path, name: str) -> None:
    assert f"{name} is missing" in refused(rewritten(packed, lambda info: None, without=name))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_there_twice_is_refused(packed: Path) -> None:
    assert "twice" in refused(rewritten(packed, lambda info: None, more=[(zipfile.ZipInfo(CONFIG), b"name: x")]))


def test_another_compression_is_refused(packed: Path) -> None:
    def bzip2(info: zipfile.ZipInfo) -> None:
        info.compress_type = zipfile.ZIP_BZIP2

    assert "deflate" in refused(rewritten(packed, bzip2))


def test_a_bomb_is_refused_before_it_is_unpacked(packed: Path) -> None:
    zeros = zipfile.ZipInfo(TOKENIZERS[1])
    zeros.compress_type = zipfile.ZIP_DEFLATED
    bomb = rewritten(packed, lambda info: None, without=zeros.filename, more=[(zeros, bytes(2**26))])
    assert "unpack to" in refused(bomb)


def test_many_entries_are_refused_before_their_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3000):
            archive.writestr(f"{number}", b"")
    assert "3,000 entries" in refused(path)


def test_a_size_that_is_not_true_is_refused(packed: Path) -> None:
    content = packed.read_bytes()
    with zipfile.ZipFile(packed) as archive:
        info = archive.getinfo(WEIGHTS)
    said = info.file_size.to_bytes(4, "little")
    assert content.count(said) >= 2  # in the entry itself, and in the list at the end
    packed.write_bytes(content.replace(said, (info.file_size // 2).to_bytes(4, "little")))
    refused(packed)


def test_altered_weights_are_refused_though_the_zip_is_sound(packed: Path) -> None:
    entries = unpack(packed)
    sums = zipfile.ZipFile(packed).read(SUMS)
    other = bytearray(entries[WEIGHTS])
    other[-1] ^= 1
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**entries, WEIGHTS: bytes(other), SUMS: sums}.items():
            archive.writestr(name, content)
    packed.write_bytes(file.getvalue())
    assert f"{WEIGHTS} has been altered" in refused(packed)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (CONFIG, b"\xff\xfe", "UTF-8"),
        (CONFIG, b"- a\n- b\n", "must hold keys"),
        (CONFIG, b"name: x\nnmae: y\n", "nmae"),
        (WEIGHTS, b"no tensors", "cannot be read"),
        (WEIGHTS, save({"a": torch.zeros(3, dtype=torch.int64)}), "no fractions"),
        (WEIGHTS, save({"a": torch.zeros(3)}), "do not fit"),
        (TOKENIZERS[0], b"{}", "not a tokenizer"),
        (TOKENIZERS[0], b"[", "damaged JSON"),
    ],
)
def test_content_that_is_wrong_is_told_with_its_entry(packed: Path, name: str, content: bytes, said: str) -> None:
    packed.write_bytes(pack({**unpack(packed), name: content}))
    assert said in refused(packed)


def test_a_configuration_that_asks_for_all_memory_is_refused_without_taking_it(packed: Path) -> None:
    entries = unpack(packed)
    huge = entries[CONFIG].replace(b"hidden: 14", b"hidden: 65536").replace(b"embedding: 10", b"embedding: 65536")
    assert huge != entries[CONFIG]
    packed.write_bytes(pack({**entries, CONFIG: huge}))
    assert "do not fit" in refused(packed)


def test_a_bundle_of_a_later_format_is_told(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries[SUMS] = json.dumps({**json.loads(entries[SUMS]), "format": 2}).encode()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    assert "update attentio" in refused(packed)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have no names here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in refused(tmp_path / "pipe")


def test_a_tokenizer_that_is_missing_is_named(packed: Path) -> None:
    entries = unpack(packed)
    packed.write_bytes(pack({**entries, CONFIG: entries[CONFIG].replace(b"shared: true", b"shared: false")}))
    assert f"{TOKENIZERS[1]} is missing" in refused(packed)


def test_what_is_no_zip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    path.write_text("a text of more than forty-two letters, which is the end of a zip")
    assert "not a bundle" in refused(path)
