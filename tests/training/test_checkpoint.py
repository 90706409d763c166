"""Checkpoints: what a crash at any moment leaves, and what is told about a damaged one."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from attentio.errors import AttentioError
from attentio.training.checkpoint import Checkpoints, Tensors

MODEL, TRAINING = "model.safetensors", "training.safetensors"


def contents(step: int) -> dict[str, Tensors]:
    return {
        MODEL: {"weight": torch.full((3, 5), float(step)), "bias": torch.arange(7.0)},
        TRAINING: {"random_state": torch.arange(11, dtype=torch.uint8)},
    }


def save(checkpoints: Checkpoints, step: int, *, best: bool = False) -> Path:
    return checkpoints.save(step, contents(step), {"progress": {"goal": step / 7}}, best=best)


def step_of(checkpoints: Checkpoints, which: str) -> int:
    """The step of a checkpoint that is whole: facts, tensors and folder agree."""
    loaded = checkpoints.load(which, MODEL, TRAINING)
    step = int(loaded.facts["step"])
    assert loaded.path.name == f"step-{step:06d}"
    assert loaded.facts["progress"] == {"goal": step / 7}
    for name, tensors in contents(step).items():
        assert loaded.tensors[name].keys() == tensors.keys()
        assert all(torch.equal(loaded.tensors[name][key], tensors[key]) for key in tensors)
    return step


def steps(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert not checkpoints.exists()
    save(checkpoints, 5, best=True)
    save(checkpoints, 7)
    assert checkpoints.exists()
    assert (step_of(checkpoints, "best"), step_of(checkpoints, "last")) == (5, 7)
    assert checkpoints.load("best").tensors == {}


def test_a_tensor_that_is_a_view_is_saved_as_it_looks(tmp_path: Path, seed: int) -> None:
    whole = torch.randn(5, 7)
    Checkpoints(tmp_path).save(1, {MODEL: {"view": whole.T[2:5]}}, {}, best=True)
    assert torch.equal(Checkpoints(tmp_path).load("best", MODEL).tensors[MODEL]["view"], whole.T[2:5])


def test_the_latest_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (1, 3, 90, 100, 999_999, 1_000_000):
        save(checkpoints, step, best=step == 3)
    assert steps(tmp_path) == ["step-000003", "step-1000000", "step-999999"]
    assert (step_of(checkpoints, "best"), step_of(checkpoints, "last")) == (3, 1_000_000)


def test_a_run_directory_can_be_moved(tmp_path: Path) -> None:
    save(Checkpoints(tmp_path / "here"), 3, best=True)
    (tmp_path / "here").rename(tmp_path / "there")
    assert step_of(Checkpoints(tmp_path / "there"), "best") == 3


def test_relative_run_directories_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoints = Checkpoints(Path("runs/a"))
    save(checkpoints, 3, best=True)
    checkpoints.point("best", checkpoints.load("last").path)
    assert step_of(checkpoints, "best") == 3


class Crash(BaseException):
    """Raised where nothing in the code catches it, as if the process had ended there."""


class CrashAt:
    """An audit hook that lets the n-th operation on files not happen. Hooks stay, so this one can be armed."""

    EVENTS = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "shutil.rmtree")

    def __init__(self) -> None:
        self.folder = ""
        self.left = -1
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.left < 0 or event not in self.EVENTS or not str(arguments[0]).startswith(self.folder):
            return
        self.left -= 1
        if self.left < 0:
            raise Crash

    def during(self, action: Callable[[], object], *, folder: Path, operation: int) -> bool:
        """Whether the action crashed; it did not if it has fewer operations."""
        self.folder, self.left = str(folder), operation
        try:
            action()
        except Crash:
            return True
        finally:
            self.left = -1
        return False


@pytest.fixture(scope="module")
def crash() -> CrashAt:
    return CrashAt()


@pytest.mark.parametrize(("before", "best"), [((), True), ((1,), False), ((1, 2, 3), True)])
def test_a_crash_at_any_operation_of_save_leaves_a_good_checkpoint(
    tmp_path: Path, crash: CrashAt, before: tuple[int, ...], best: bool
) -> None:
    operation = 0
    crashed = True
    while crashed:
        folder = tmp_path / str(operation)
        checkpoints = Checkpoints(folder, keep=2)
        for step in before:
            save(checkpoints, step, best=step == 1)
        crashed = crash.during(partial(save, checkpoints, 5, best=best), folder=folder, operation=operation)
        if before or checkpoints.exists():
            assert step_of(checkpoints, "last") in (*before[-1:], 5)
        if before:
            assert step_of(checkpoints, "best") in ((1, 5) if best else (1,))
        if (folder / "checkpoints" / "step-000005").exists():  # a folder of that name is whole
            checkpoints.point("last", folder / "checkpoints" / "step-000005")
            assert step_of(checkpoints, "last") == 5
        save(checkpoints, 5, best=best)  # the resumed run comes here again
        assert step_of(checkpoints, "last") == 5
        assert not best or step_of(checkpoints, "best") == 5
        assert len(steps(folder)) <= 3
        assert all(name.startswith("step-") for name in steps(folder))
        operation += 1
    assert operation > 12


SAVE_WITHOUT_END = """
import itertools, pathlib, sys, torch
from attentio.training.checkpoint import Checkpoints
checkpoints = Checkpoints(pathlib.Path(sys.argv[1]), keep=2)
print("ready", flush=True)
for step in itertools.count(1):
    tensors = {"weight": torch.full((300_000,), float(step))}
    checkpoints.save(step, {"model.safetensors": tensors}, {}, best=step % 3 == 0)
"""


def test_a_kill_at_a_random_moment_leaves_a_good_checkpoint(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    children = [
        subprocess.Popen([sys.executable, "-c", SAVE_WITHOUT_END, tmp_path / str(n)], stdout=subprocess.PIPE)
        for n in range(3)
    ]
    for n, child in enumerate(children):
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        while not (tmp_path / str(n) / "best").exists():
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.2))
        child.kill()
        assert child.wait() == -signal.SIGKILL
        child.stdout.close()
        for which in ("last", "best"):
            loaded = Checkpoints(tmp_path / str(n)).load(which, MODEL)
            assert (loaded.tensors[MODEL]["weight"] == loaded.facts["step"]).all()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGE = {"truncated": truncate, "altered": flip_a_bit, "emptied": empty, "missing": Path.unlink}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    path = save(checkpoints, 3, best=True) / MODEL
    DAMAGE[damage](path)
    reason = "cannot be read" if damage == "missing" else "has been truncated or altered since it was saved"
    with pytest.raises(AttentioError) as caught:
        checkpoints.load("best", MODEL)
    assert str(caught.value) == (
        f"{path} {reason}; "
        f"write the name of another step in {tmp_path}/checkpoints into {tmp_path}/best, or train again"
    )
    checkpoints.load("best", TRAINING)


@pytest.mark.parametrize(
    "content",
    [
        *["", "{", "[" * 10_000, "[]", "3", "{}", "\udcff", '{"step": 3, "sha256": 3}', '{"sha256": {}}'],
        *(f'{{"step": 3, "sha256": {{}}, "{name}": 3}}' for name in ("progress", "tokenizer_sha256", "config")),
    ],
)
def test_damaged_facts_are_named(tmp_path: Path, content: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    path = save(checkpoints, 3, best=True) / "checkpoint.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(AttentioError, match="is damaged; write the name") as caught:
        checkpoints.load("last", MODEL)
    assert str(caught.value).startswith(f"{path} ")


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(AttentioError, match=r"/best is missing, and no checkpoint in .*/checkpoints is whole"):
        Checkpoints(tmp_path).load("best", MODEL)


def test_a_file_that_facts_do_not_know_is_refused(tmp_path: Path) -> None:
    """A file put in by another hand is not read, though it be good."""
    path = save(Checkpoints(tmp_path), 3, best=True)
    facts = json.loads((path / "checkpoint.json").read_text())
    del facts["sha256"][MODEL]
    (path / "checkpoint.json").write_text(json.dumps(facts))
    with pytest.raises(AttentioError, match="altered since it was saved"):
        Checkpoints(tmp_path).load("best", MODEL)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_whoever_may_read_the_facts_may_read_the_weights(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, {MODEL: {"x": torch.ones(2)}}, {}, best=True)
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "checkpoints" / "step-000001").iterdir()}
    (tmp_path / "plain").touch()
    assert set(modes) == {MODEL, "checkpoint.json"}
    assert set(modes.values()) == {(tmp_path / "plain").stat().st_mode}
