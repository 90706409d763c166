"""What systems do differently: how threads wait, memory, signals, standard output; and that one file alone asks."""

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import attentio
from attentio import system
from attentio.config.read import load_config

PROBE = """
import os, sys
from attentio.system import settle
settle()
print(os.environ["GOMP_SPINCOUNT"], "torch" in sys.modules)
"""


def said(**environment: str) -> str:
    kept = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=kept | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_threads_are_told_to_spin_for_a_moment_only_before_torch_is_loaded() -> None:
    spins, torch_was_loaded = said().split()
    assert 0 < int(spins) < 300_000
    assert torch_was_loaded == "False"


def test_a_setting_of_the_user_stays() -> None:
    assert said(GOMP_SPINCOUNT="7").split()[0] == "7"


HOLES = """
import ctypes
from attentio import system
system.settle()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def resident():
    return int(open("/proc/self/statm").read().split()[1]) // 256

blocks = [libc.malloc(2**20) for _ in range(300)]
for block in blocks:
    ctypes.memset(block, 1, 2**20)
for block in blocks[:-1]:
    libc.free(block)
kept = resident()
system.give_back_memory()
print(kept, resident())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="needs Linux")
def test_memory_that_is_kept_free_can_be_given_back() -> None:
    """300 MB, of which the last is in use: what is below it stays the process's own."""
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 300
    assert left < kept - 250


def test_no_other_file_asks_for_the_system_or_for_what_only_some_have() -> None:
    only_some = re.compile(
        r"os\.name\b|sys\.platform|\bfcntl\b|import resource\b|os\.(wait|fork|symlink|open\()|signal\.SIG"
    )
    folder = Path(attentio.__file__).parent
    asking = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*.py") if only_some.search(path.read_text())
    }
    assert asking == {"system.py"}


def test_the_peak_of_memory_is_in_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux counts in KB, macOS in bytes."""
    here = system.peak_megabytes()
    assert here is not None
    assert 50 < here < 100_000
    monkeypatch.setattr(system, "_status", lambda name: None)
    in_kb = system.peak_megabytes()
    assert in_kb is not None
    assert in_kb >= 0.9 * here
    monkeypatch.setattr(sys, "platform", "darwin")
    assert system.peak_megabytes() == pytest.approx(in_kb / 1024, rel=0.1)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert system.peak_megabytes() is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process holds")
def test_what_the_process_that_began_this_one_held_is_not_counted() -> None:
    child = "from attentio import system; print(system.held_megabytes(), system.peak_megabytes())"
    parent = f"import subprocess, sys; held = b'x' * 400_000_000; subprocess.run([sys.executable, '-c', {child!r}])"
    said = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True).stdout
    held, peak = map(float, said.split())
    assert 1 < held <= peak < 200


def test_signals_to_stop_are_noted_and_handled_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in system.stop_signals()]
    with system.noted_signals() as received:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            os.kill(os.getpid(), number)
    assert received == [signal.SIGINT, signal.SIGHUP, signal.SIGTERM]
    assert [signal.getsignal(number) for number in system.stop_signals()] == before


def test_a_hang_up_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with system.noted_signals() as received:
            os.kill(os.getpid(), signal.SIGHUP)
        assert received == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_output_is_utf8_whatever_the_system_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    system.write_in_utf8()
    print("한 → 글", flush=True)
    assert written.getvalue().decode("utf-8").strip() == "한 → 글"


def test_a_text_is_replaced_whole_with_line_ends_that_are_the_same_everywhere(tmp_path: Path) -> None:
    system.replace_text(tmp_path / "a.txt", "한\n글\n")
    system.replace_text(tmp_path / "a.txt", "one\ntwo\n")
    assert (tmp_path / "a.txt").read_bytes() == b"one\ntwo\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_paths_of_windows_are_kept_as_other_systems_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--data.train", r"data\a.tsv,data\b.tsv", "--data.dev", r"C:\data\dev.tsv"]
    assert load_config("luong", options).data.train == r"data\a.tsv,data\b.tsv"  # here a name may hold one
    monkeypatch.setattr(os, "sep", "\\")
    data = load_config("luong", options).data
    assert (data.train, data.dev, data.test) == ("data/a.tsv,data/b.tsv", "C:/data/dev.tsv", None)


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({}, "en"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko"}, "ko"),
        ({"LANG": "kok_IN"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "ko_KR.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "ko_KR.EUC-KR"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LANGUAGE": "en"}, "en"),
        ({"LANG": "ko_KR.UTF-8", "LANGUAGE": "en:ko"}, "en"),
        ({"LANG": "C", "LANGUAGE": "fr:ko:en"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LANGUAGE": ""}, "ko"),
    ],
)
def test_the_language_is_the_one_that_the_variables_of_gettext_ask_for(
    variables: dict[str, str], language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("locale.getlocale", lambda: (None, None))
    assert system.language() == language


def test_without_variables_as_on_windows_the_locale_says_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("locale.getlocale", lambda: ("Korean_Korea", "949"))
    assert system.language() == "ko"


FULL = """
import resource, signal, sys
from collections.abc import Callable
from pathlib import Path
import attentio as at, matplotlib.font_manager, torch
from attentio import system
from attentio.export.tokenizers import write_tokenizers
from attentio.pictures import curves
from attentio.training.checkpoint import Checkpoints
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    {write}
except OSError as error:
    print(error.filename)
"""


LIMITED = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for the size of a file")


@LIMITED
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.html", "system.replace_text(Path('a.html'), 2000 * 'x')"),
        ("a.html", "at.view(torch.eye(2), ['a', 'b']).save('a.html')"),
        ("a.png", "curves.save_comparison(Path('a.png'), [('a', 1.0, None)])"),
    ],
)
def test_what_cannot_be_written_leaves_what_was_there_and_nothing_beside(tmp_path: Path, name: str, write: str) -> None:
    (tmp_path / name).write_text("as it was")
    done = subprocess.run(
        [sys.executable, "-c", FULL.format(write=write)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == f"{name}\n", done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "as it was"


@LIMITED
@pytest.mark.parametrize(
    ("write", "name"),
    [
        (
            "Checkpoints(Path('a')).save(1, {{'x.safetensors': {{'x': torch.ones(500)}}}}, {{}}, best=True)",
            "x.safetensors",
        ),
        ("write_tokenizers(*2 * [at.load('masked-lm').tokenizer], Path())", "source_tokenizer.json"),
    ],
)
def test_a_full_disk_is_named_where_a_library_in_rust_writes(tmp_path: Path, write: str, name: str) -> None:
    code = FULL.replace("{write}", write).replace("{{", "{").replace("}}", "}")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert Path(done.stdout.strip()).name == name, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes, and links only for some")
def test_names_may_be_as_long_as_the_system_lets_them_be(tmp_path: Path) -> None:
    path = tmp_path / ("가" * 83 + ".txt")  # 253 bytes, where 255 are the most
    system.replace_text(path, "a")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "a"


def test_pipes_are_written_to_and_links_led_along_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE) as reader:
        system.replace_text(tmp_path / "pipe", "through")
        assert reader.communicate()[0] == b"through"
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    system.replace_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "file").read_text() == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "link", "pipe", "there"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has links only for some")
@pytest.mark.parametrize("to", ["itself", "nothing"])
def test_a_link_that_leads_to_no_file_ends_in_the_file(to: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link" if to == "itself" else "file")
    system.replace_text(tmp_path / "link", "new")
    assert (tmp_path / "link").read_text() == "new"
    assert (tmp_path / "link").is_symlink() == (to == "nothing")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has links only for some")
def test_a_link_to_a_directory_is_replaced_itself_and_a_directory_never(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    system.replace_text(tmp_path / "link", "new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_text() == "new"
    with pytest.raises(OSError, match="there"):
        system.replace_text(tmp_path / "there", "new")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link", "there"]


ROUTINES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


@pytest.mark.parametrize(("preset", "few"), [("transformer", True), ("masked-lm", True), ("luong", False)])
def test_a_training_of_transformers_keeps_few_routines(
    preset: str, few: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, attentio: Callable
) -> None:
    for name in ROUTINES:
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)
    attentio("train", preset, "--run", tmp_path / "run", "--data.train", tmp_path / "missing.tsv")
    assert [name in os.environ for name in ROUTINES] == [few, few]
    monkeypatch.setenv(ROUTINES[0], "7")
    system.keep_few_routines()
    assert os.environ[ROUTINES[0]] == "7", "a setting of the user stays"
