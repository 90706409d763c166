"""Where a run is, be it a path or the name of a model that comes along, and where its outputs go. Light to import."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from attentio.config.read import preset_names
from attentio.errors import AttentioError, did_you_mean
from attentio.files import is_missing

SUFFIX = ".zip"


def along() -> dict[str, Path]:
    """The bundles that come along with attentio, by name."""
    folder = Path(str(resources.files("attentio"))) / "models_along"
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def run_at(run: str) -> Path | None:
    """The directory, the bundle, or the model that comes along, if there is one of this path or name."""
    path = Path(run)
    if path.is_dir() or (path.suffix == SUFFIX and path.is_file()):
        return path
    return along().get(run)


def runs_in(run: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """The runs that are meant: those of a list, or of names with commas between them; else the one given.

    A path that is there is one run, commas or not. Raises AttentioError for a comma with nothing beside it.
    """
    if not isinstance(run, str | Path):
        return list(run)
    if "," not in str(run) or not is_missing(Path(run)):
        return [run]
    names = [name.strip() for name in str(run).split(",")]
    if not all(names):
        raise AttentioError(f"{run}: a comma with no run beside it; write RUN,RUN")
    return [*names]


def resolve(run: str | Path) -> Path:
    """The path that is meant: the one given if anything is there, else that of the model of this name.

    Raises AttentioError where there is neither.
    """
    path, known = Path(run), along()
    if not is_missing(path):
        return path
    if str(path) in known:
        return known[str(path)]
    if str(run) in preset_names():
        raise AttentioError(f"{run}: a preset, and no run; `attentio train {run}` makes one, runs/{run}")
    if len(runs_in(run)) > 1:
        raise AttentioError(
            f"{run}: several runs, where one is needed; translate, score, evaluate, look and align take several"
        )
    hint, here = did_you_mean(path.name, known) if path.name else "", Path("runs") / path
    if (here / "config.yaml").is_file():  # where `train` writes what is not told otherwise
        hint = did_you_mean(str(here), [str(here)])
    raise AttentioError(
        f"{path}: no such run; `attentio train` makes one, and `attentio models` lists those that come along{hint}"
    )


def outputs_folder(run: str | Path, what: str) -> Path:
    """Where pictures and the like go unless it is said: into the run directory.

    For a bundle it is `what`/NAME, for several runs `what`/NAME+NAME.
    """
    paths = [resolve(one) for one in runs_in(run)]
    if len(paths) == 1 and paths[0].is_dir():
        return paths[0] / what
    return Path(what) / "+".join(path.resolve().name.removesuffix(SUFFIX) for path in paths)
