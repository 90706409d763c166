import importlib.util
import logging
import struct
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from attentio.errors import AttentioError
from attentio.evaluation.by_length import by_source_length
from attentio.pictures import fonts
from attentio.pictures.colours import RAMPS, colour
from attentio.pictures.curves import save_comparison, save_quality_by_length
from attentio.pictures.heat_map import save_heat_map

pytest.importorskip("matplotlib")

IPA = ["t͡ɕ", "a̠", "k̚", "ʰ", "ɡʷ", "ɑ̃", "ŋ"]
# Early dynastic cuneiform: no font is expected to have it.
NOWHERE = "\U000124d0"


def size_of(png):
    return struct.unpack(">II", png.read_bytes()[16:24])


def texts_of(svg):
    return [element.text for element in ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}text")]


def heat_map(path, source, target, **options):
    weights = torch.rand(len(target), len(source)).softmax(-1)
    return save_heat_map(path, weights, source_tokens=source, target_tokens=target, **options)


def only_these_fonts(monkeypatch, *names):
    """As on a machine that has no other fonts."""
    from matplotlib import font_manager

    kept = [entry for entry in font_manager.fontManager.ttflist if entry.name in names]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", kept)


def test_svg_keeps_the_tokens_as_text(tmp_path, seed):
    source = ["\u1112", "\u1161", " ", "$x$", "<s>"]
    path = heat_map(tmp_path / "map.svg", source, IPA, title="a title")
    texts = texts_of(path)
    for expected in ("ㅎ", "ㅏ", "␣", "$x$", "<s>", *IPA, "a title"):
        assert expected in texts


def test_svg_names_korean_fonts_of_other_systems(tmp_path, seed):
    styles = heat_map(tmp_path / "map.svg", ["a"], ["b"]).read_text()
    for family in ("DejaVu Sans", "Noto Sans CJK KR", "Malgun Gothic", "Apple SD Gothic Neo", "sans-serif"):
        assert family in styles


def test_equal_pictures_are_equal_files(tmp_path, seed):
    weights = torch.rand(3, 2).softmax(-1)
    first, second = (
        save_heat_map(tmp_path / name, weights, source_tokens="ab", target_tokens="pqr").read_bytes()
        for name in ("1.svg", "2.svg")
    )
    assert first == second


def test_the_strongest_cell_is_the_darkest_and_in_its_row(tmp_path):
    from matplotlib.image import imread

    weights = torch.zeros(3, 5)
    weights[2, 1] = 1
    path = save_heat_map(tmp_path / "map.png", weights, source_tokens=" " * 5, target_tokens=" " * 3)
    pixels = imread(path)[..., :3]
    dark = (abs(pixels - RAMPS["light"][-1] / 255) < 0.02).all(-1)
    height, width = dark.shape
    columns = dark.sum(0)
    ys, xs = dark[:, : int(width * 0.8)].nonzero()
    assert columns.any()
    assert ys.mean() > height / 2  # third of three rows: below
    assert xs.mean() < width / 2  # second of five columns: left


def test_small_weights_are_seen_and_the_more_the_darker(tmp_path):
    lightness = [
        sum(int(colour(weight)[at : at + 2], 16) for at in (1, 3, 5)) for weight in (0.0, 0.01, 0.03, 0.1, 0.5, 1.0)
    ]
    assert lightness == sorted(lightness, reverse=True)
    assert lightness[0] - lightness[2] > 60  # of 765: what a masked language model has is no white
    for ramp, order in (("light", -1), ("dark", 1)):
        assert (order * np.diff(RAMPS[ramp] @ [0.2126, 0.7152, 0.0722]) > 0).all()


@pytest.mark.parametrize("source", ["كيف حالك", "שלום"])
def test_a_title_from_right_to_left_still_begins_with_the_source(tmp_path, seed, source):
    for title, told in ((f"{source} → how are you", True), ("how are you", False), (f"1 {source}", True)):
        path = heat_map(tmp_path / "map.svg", ["a"], ["b"], title=title)
        assert ("\N{LEFT-TO-RIGHT MARK}" + title in texts_of(path)) == told


def test_the_picture_grows_with_the_tokens_and_labels_keep_their_room(tmp_path, seed):
    small = size_of(heat_map(tmp_path / "small.png", IPA[:3], IPA[:2]))
    large = size_of(heat_map(tmp_path / "large.png", [f"word{n}" for n in range(60)], IPA * 8 + IPA[:4]))
    assert small[0] < 500
    assert large[0] >= 60 * 0.24 * 150
    assert large[1] >= 60 * 0.24 * 150


def test_labels_of_60_by_60_tokens_do_not_overlap(tmp_path, seed, monkeypatch):
    from matplotlib.figure import Figure

    boxes = {}

    def measure_first(figure, *args, **options):
        axes = figure.axes[0]
        figure.draw_without_rendering()
        boxes["x"] = [text.get_window_extent() for text in axes.get_xticklabels()]
        boxes["y"] = [text.get_window_extent() for text in axes.get_yticklabels()]

    monkeypatch.setattr(Figure, "savefig", measure_first)
    heat_map(tmp_path / "map.png", ["word", "가", "t͡ɕ", "</s>"] * 15, ["wörd", "가", "ʰ", "g"] * 15)
    assert all(a.x1 <= b.x0 for a, b in zip(boxes["x"], boxes["x"][1:], strict=False))
    assert all(a.y0 >= b.y1 for a, b in zip(boxes["y"], boxes["y"][1:], strict=False))


def test_ipa_needs_no_font_beyond_the_one_that_comes_with_matplotlib():
    assert fonts.choose_fonts([*IPA, "␣", "↵", "…", "∅"]) == (["DejaVu Sans"], "")


@pytest.mark.skipif(
    importlib.util.find_spec("koreanize_matplotlib") is None, reason="the packaged Korean font is absent"
)
def test_hangul_is_drawn_on_a_machine_without_korean_fonts(tmp_path, seed, monkeypatch, caplog):
    only_these_fonts(monkeypatch, "DejaVu Sans")
    choice = fonts.choose_fonts(["각힣ㄱㅏ"])
    assert choice == (["DejaVu Sans", "NanumGothic"], "")
    heat_map(tmp_path / "map.png", ["각", "\u1100"], ["t͡ɕ"])
    assert not caplog.records
    assert "koreanize_matplotlib" not in sys.modules


def test_hangul_without_any_font_is_said_once_with_the_remedy(tmp_path, seed, monkeypatch, caplog):
    only_these_fonts(monkeypatch, "DejaVu Sans")
    monkeypatch.setattr(fonts, "_packaged_korean_font", lambda: None)
    with caplog.at_level(logging.WARNING, logger="attentio"):
        path = heat_map(tmp_path / "map.png", ["각", "각"], ["a"])
    assert path.stat().st_size > 0
    (record,) = [record for record in caplog.records if record.name.startswith("attentio")]
    assert "각" in record.getMessage()
    assert "pip install 'attentio[plot]'" in record.getMessage()


def test_a_character_that_no_font_has_does_not_spoil_the_picture(tmp_path, seed, caplog):
    path = heat_map(tmp_path / "map.png", [NOWHERE, "a"], ["b"])
    assert path.stat().st_size > 0
    assert NOWHERE in caplog.text


@pytest.mark.parametrize("name", ["map.pdf", "map.jpg", "map"])
def test_another_suffix_is_refused_with_the_choices(tmp_path, name):
    with pytest.raises(AttentioError, match=r"\.png or \.svg"):
        save_heat_map(tmp_path / name, torch.ones(1, 1), source_tokens="a", target_tokens="b")
    assert not (tmp_path / name).exists()


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(AttentioError, match=r"pip install 'attentio\[plot\]'"):
        save_heat_map(tmp_path / "map.png", torch.ones(1, 1), source_tokens="a", target_tokens="b")


def test_no_tokens_make_no_picture(tmp_path):
    with pytest.raises(ValueError, match="at least one row and one column"):
        save_heat_map(tmp_path / "map.png", torch.ones(0, 1), source_tokens="a", target_tokens="")


def test_drawing_leaves_matplotlib_as_it_was(tmp_path, seed):
    import matplotlib

    before = dict(matplotlib.rcParams)
    heat_map(tmp_path / "new folder" / "map.png", ["가"], ["a"])
    assert dict(matplotlib.rcParams) == before


def test_the_comparison_shows_every_variant_with_quality_and_speed(tmp_path):
    rows = [("Bahdanau 덧셈", 23.456, 1234.0), ("no attention", 48.0, 98765.4)]
    texts = texts_of(save_comparison(tmp_path / "compare.svg", rows, quality="WER, lower is better"))
    for expected in ("Bahdanau 덧셈", "23.46", "1,234", "no attention", "48.00", "98,765"):
        assert expected in texts
    assert "WER, lower is better" in texts
    assert size_of(save_comparison(tmp_path / "compare.png", rows))[0] > 1000


def test_quality_by_length_draws_one_line_a_variant(tmp_path):
    bins = by_source_length([1, 2, 3, 4], list("abcd"), [["a"], ["b"], ["x"], ["y"]], metric="wer", bins=2)
    path = save_quality_by_length(tmp_path / "length.svg", {"luong 내적": bins, "none": bins})
    texts = texts_of(path)
    assert {"luong 내적", "none", "wer", "source length in tokens"} <= set(texts)


def test_lines_of_different_metrics_do_not_share_a_picture(tmp_path):
    one, other = (by_source_length([1], ["a"], [["a"]], metric=metric, bins=1) for metric in ("wer", "bleu"))
    with pytest.raises(ValueError, match=r"one metric, got \['bleu', 'wer'\]"):
        save_quality_by_length(tmp_path / "length.png", {"a": one, "b": other})
    with pytest.raises(ValueError, match="got no bins"):
        save_quality_by_length(tmp_path / "length.png", {})


def test_an_svg_of_characters_that_xml_has_not_can_be_read(tmp_path, seed):
    path = heat_map(tmp_path / "map.svg", ["a\x01", "\uffff"], ["\ufffe"], title="a\x01b\uffff")
    assert "␁" in "".join(filter(None, texts_of(path)))
