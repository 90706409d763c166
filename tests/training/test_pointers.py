"""`best` and `last`: files that name a checkpoint, what runs had before in their place, and what is lost or wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from test_checkpoint import MODEL, flip_a_bit, save, step_of, steps
from tiny_training import RECIPE, TinyRun, outcome

from attentio.errors import AttentioError
from attentio.training.checkpoint import Checkpoints


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Steps 3, 5 and 7; the best is 5."""
    for step in (3, 5, 7):
        save(Checkpoints(tmp_path / "run"), step, best=step == 5)
    return tmp_path / "run"


def as_before(run: Path) -> None:
    """`best` and `last` as symbolic links."""
    for which in ("best", "last"):
        target = Path("checkpoints", (run / which).read_text().strip())
        (run / which).unlink()
        (run / which).symlink_to(target)


def as_texts(run: Path) -> None:
    """What some archives make of a link: a file that holds where it led."""
    for which in ("best", "last"):
        (run / which).write_text("checkpoints/" + (run / which).read_text().strip())


def as_followed(run: Path) -> None:
    """What `cp -rL`, scp and most archives make of a link: the directory once more."""
    as_before(run)
    shutil.move(run, run.with_name("linked"))
    shutil.copytree(run.with_name("linked"), run, symlinks=False)
    assert (run / "best").is_dir()
    assert not (run / "best").is_symlink()


OLDER = (as_before, as_texts, as_followed)


def test_a_pointer_is_a_line_of_text(run: Path) -> None:
    assert (run / "best").read_bytes() == b"step-000005\n"
    assert (run / "last").read_bytes() == b"step-000007\n"
    assert {path.name for path in run.iterdir()} == {"best", "last", "checkpoints"}


@pytest.mark.parametrize("older", OLDER)
def test_a_run_of_the_old_form_opens_and_has_files_after_the_next_save(run: Path, older: Callable) -> None:
    older(run)
    checkpoints = Checkpoints(run)
    assert checkpoints.exists()
    assert (step_of(checkpoints, "best"), step_of(checkpoints, "last")) == (5, 7)
    save(checkpoints, 9)
    assert (step_of(checkpoints, "best"), step_of(checkpoints, "last")) == (5, 9)
    assert not (run / "best").is_symlink()
    assert (run / "last").read_text() == "step-000009\n"
    assert older is as_texts or (run / "best").read_text() == "step-000005\n"
    assert steps(run) == ["step-000005", "step-000007", "step-000009"]


@pytest.mark.parametrize("older", OLDER)
def test_a_run_of_the_old_form_is_resumed_bit_for_bit(tmp_path: Path, seed: int, older: Callable) -> None:
    TinyRun(tmp_path / "whole", seed=seed).train()
    TinyRun(tmp_path / "run", seed=seed).train(stop_at=7)
    older(tmp_path / "run")
    again = TinyRun(tmp_path / "run", seed=seed)
    again.trainer.resume()
    assert again.trainer.progress.step == 7
    again.train()
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_without_pointers_the_newest_whole_checkpoint_is_taken(run: Path) -> None:
    checkpoints = Checkpoints(run)
    for which in ("best", "last"):
        (run / which).unlink()
    assert checkpoints.exists()
    assert (step_of(checkpoints, "best"), step_of(checkpoints, "last")) == (7, 7)
    flip_a_bit(run / "checkpoints" / "step-000007" / MODEL)
    assert step_of(checkpoints, "last") == 5
    (run / "checkpoints" / "step-000005" / "checkpoint.json").unlink()
    assert step_of(checkpoints, "last") == 3
    (run / "checkpoints" / "step-000003" / MODEL).unlink()
    assert checkpoints.exists()
    with pytest.raises(
        AttentioError, match=r"last is missing, and no checkpoint in .* is whole; train to another --run"
    ):
        checkpoints.load("last")


def test_a_lost_pointer_to_the_best_is_found_again_when_training_goes_on(tmp_path: Path, seed: int) -> None:
    TinyRun(tmp_path, seed=seed).train(stop_at=RECIPE.validate_every + 1)
    (tmp_path / "best").unlink()
    again = TinyRun(tmp_path, seed=seed)
    again.trainer.resume()
    assert (tmp_path / "best").read_text() == f"step-{RECIPE.validate_every:06d}\n"


OUTSIDE = (
    "../../elsewhere/step-000007",
    "..",
    ".",
    "",
    "/",
    "step-7",
    "../step-000007",
    "step-000007/../../best",
    "\0",
)


@pytest.mark.parametrize("content", OUTSIDE)
def test_a_pointer_to_elsewhere_is_refused(run: Path, content: str) -> None:
    elsewhere = shutil.copytree(run / "checkpoints" / "step-000007", run.parent.parent / "elsewhere" / "step-000007")
    for text in (content, str(elsewhere)):
        (run / "last").write_text(text)
        with pytest.raises(AttentioError) as caught:
            Checkpoints(run).load("last", MODEL)
        assert str(caught.value) == (
            f"{run}/last must hold a name such as step-000100; "
            f"write the name of another step in {run}/checkpoints into {run}/last, or train again"
        )
    shutil.rmtree(elsewhere.parent)


def test_links_that_lead_elsewhere_are_refused(run: Path, tmp_path: Path) -> None:
    elsewhere = shutil.move(run / "checkpoints" / "step-000007", tmp_path / "step-000007")
    (run / "checkpoints" / "step-000007").symlink_to(elsewhere)
    with pytest.raises(AttentioError, match=r"last names .*/checkpoints/step-000007, which is missing"):
        Checkpoints(run).load("last", MODEL)
    (run / "last").unlink()
    assert step_of(Checkpoints(run), "last") == 5
    (run / "last").symlink_to(elsewhere)
    with pytest.raises(AttentioError, match="last must hold a name such as step-000100"):
        Checkpoints(run).load("last", MODEL)


def test_a_pointer_to_what_is_missing_is_refused_and_so_is_training_without_its_best(tmp_path: Path, seed: int) -> None:
    TinyRun(tmp_path, seed=seed).train(stop_at=7)
    (tmp_path / "best").write_text("step-000999\n")
    with pytest.raises(AttentioError, match=r"best names .*/step-000999, which is missing; write the name of another"):
        Checkpoints(tmp_path).load("best")
    with pytest.raises(AttentioError, match="best names"):
        TinyRun(tmp_path, seed=seed).trainer.resume()


def test_strange_names_among_the_checkpoints_are_left_alone(run: Path) -> None:
    strange = ("step-old", "step-000100 copy", "step-1", "step-٠٠٠٠٠٩")
    for name in strange:
        (run / "checkpoints" / name).mkdir()
    (run / "checkpoints" / "notes.txt").write_text("mine")
    (run / "checkpoints" / "step-000100").write_text("a file")
    checkpoints = Checkpoints(run, keep=1)
    save(checkpoints, 9)
    assert {*strange, "notes.txt", "step-000100", "step-000005", "step-000009"} == set(steps(run))
    (run / "last").unlink()
    assert step_of(checkpoints, "last") == 9
