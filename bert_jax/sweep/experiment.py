"""Experiment files: a question, its arms, and the metrics that answer it.

'''Does the sentence-pair loss help? (BERT table 5)'''      # the question, then details
BASE = "configs/pretrain/bert_small.py"                     # FILE[:ARG]
METRIC = "valid/mlm_loss"                                   # the main metric
ALSO = ["sst2/valid/accuracy"]                              # further metrics
BASELINE = "nsp"                                            # the arm to compare with
SEEDS = 6                                                   # 0 to 5, or a list
CLAIM = "Published: ... Contradicted if ..."
EXPECT = {"valid/mlm_loss": {"none": "lower"}}              # than the baseline
THEN = {"sst2": "configs/finetune/sst2.py"}                 # fine-tuned from each run

def arms():
    yield "nsp", {}
    yield "none", {"objective.pair": "none", "data.pairs": "single"}

An entry of EXPECT (metric, arm, direction) is a claim. On the shared rows,
`valid/single/X` and `valid/pair/X` must have equal entries, which are one claim. It is
confirmed if both intervals lie on the expected side, contradicted if both lie on the
other, else undecided. All intervals that EXPECT lists hold at once, at 95 %. Metrics on
`valid/nsp/` are reported and never judged. An experiment with a CLAIM is judged only if
its baseline learnt enough (`sweep/report/verdicts.py`).
"""

import importlib.util
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from bert_jax.run.config import UsageError

PRETRAIN = "pretrain"  # first stage of every arm; the others are keys of THEN
LONGEST = 80  # characters of a name, which is used for folders and jobs
SINGLE_AND_PAIR = ("valid/single/", "valid/pair/")  # shared rows of the same targets
RANDOM_PARTNERS = "valid/nsp/"  # metrics that are reported, never judged
RESERVED = ("code", "compiled", "slurm", "kubernetes", "lease", "plan.json")
NAMES = {
    "BASE": str,
    "METRIC": str,
    "ALSO": list,
    "BASELINE": str,
    "SEEDS": (int, list),
    "CLAIM": str,
    "EXPECT": dict,
    "THEN": dict,
}
OPTIONAL = {"ALSO": [], "EXPECT": {}, "THEN": {}, "CLAIM": ""}


class Experiment(NamedTuple):
    """Contents of an experiment file.

    metrics: the first is the main one. arms: name -> changed keys, in order. then: task
    -> config file. expect: metric -> arm -> "lower" or "higher" than the baseline.
    """

    name: str
    path: Path
    text: str
    base: str
    metrics: tuple[str, ...]
    baseline: str
    arms: dict[str, dict[str, object]]
    seeds: tuple[int, ...]
    then: dict[str, str]
    claim: str
    expect: dict[str, dict[str, str]]

    @property
    def question(self) -> str:
        return self.text.strip().partition("\n")[0]

    @property
    def stages(self) -> tuple[str, ...]:
        return PRETRAIN, *self.then


def load(path: Path) -> Experiment:
    """Read and check an experiment file. Raises UsageError naming every mistake."""
    experiment, problems = read(path)
    if problems:
        raise UsageError("\n".join(problems))
    return experiment


def read(path: Path) -> tuple[Experiment, list[str]]:
    """Return the experiment and the mistakes found without reading its configs.

    Raises UsageError for a file that is no experiment.
    """
    module = _module(path)
    given: dict[str, Any] = {
        name: getattr(module, name, OPTIONAL.get(name)) for name in NAMES
    }
    for name, kind in NAMES.items():
        if not isinstance(given[name], kind) or isinstance(given[name], bool):
            raise UsageError(f"{path}: {_wanted(name, kind, given[name])}")
    _check_texts(path, given)
    pairs = _arms(path, module)
    seeds = given["SEEDS"]
    experiment = Experiment(
        name=path.stem,
        path=path,
        text=inspect.getdoc(module) or "",
        base=given["BASE"],
        metrics=(given["METRIC"], *given["ALSO"]),
        baseline=given["BASELINE"],
        arms=dict(pairs),
        seeds=tuple(range(seeds) if isinstance(seeds, int) else seeds),
        then=given["THEN"],
        claim=given["CLAIM"],
        expect=given["EXPECT"],
    )
    return experiment, [*_name_problems(experiment, pairs), *_problems(experiment)]


def _check_texts(path: Path, given: dict[str, Any]) -> None:
    """Refuse lists and dicts that hold anything but text."""
    expected = given["EXPECT"].values()
    flat = {
        "ALSO": given["ALSO"],
        "THEN": [*given["THEN"], *given["THEN"].values()],
        "EXPECT": [
            y for x in expected if isinstance(x, dict) for y in (*x, *x.values())
        ],
    }
    wrong = [name for name, texts in flat.items() if not _are_texts(texts)]
    wrong += ["EXPECT"] * (not all(isinstance(arms, dict) for arms in expected))
    if wrong:
        raise UsageError(
            f"{path}: {wrong[0]} holds what is no text: ALSO lists metrics, THEN maps "
            "tasks to config files, EXPECT metrics to arms to lower or higher"
        )


def _are_texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def locate(metric: str, then: Mapping[str, str]) -> tuple[str, str]:
    """Split a metric into stage and key: `sst2/test/accuracy` -> (sst2, test/accuracy).
    Metrics of no task belong to pretraining."""
    stage, _, key = metric.partition("/")
    return (stage, key) if stage in then else (PRETRAIN, metric)


def partner(metric: str) -> str:
    """The name of a metric of `single` rows on `pair` rows and vice versa, "" for other
    rows."""
    for ours, other in (SINGLE_AND_PAIR, SINGLE_AND_PAIR[::-1]):
        if metric.startswith(ours):
            return other + metric.removeprefix(ours)
    return ""


def lower_is_better(metric: str) -> bool:
    return metric.endswith("loss")


def _module(path: Path) -> ModuleType:
    spec = path.suffix == ".py" and importlib.util.spec_from_file_location(
        "experiment", path
    )
    if not path.is_file() or not spec or not spec.loader:
        raise UsageError(f"{path} is no experiment file: name one, experiments/X.py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's file may raise anything
        raise UsageError(f"{path}: {type(error).__name__}: {_line(error)}") from error
    return module


def _arms(path: Path, module: ModuleType) -> list[tuple[str, dict[str, object]]]:
    try:
        pairs = [(name, dict(changes)) for name, changes in module.arms()]
    except Exception as error:
        raise UsageError(
            f"{path}: arms() must yield names with the keys they change: "
            f"{type(error).__name__}: {_line(error)}"
        ) from error
    if not pairs:
        raise UsageError(f"{path}: arms() yields no arm")
    for name, changes in pairs:
        if not _are_texts([name, *changes]):
            raise UsageError(f"{path}: an arm and its keys are texts, not {name!r}")
    return pairs


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _wanted(name: str, kind: Any, value: object) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    wanted = " or ".join(k.__name__ for k in kinds)
    return f"{name} must be of type {wanted}, " + (
        "and is missing" if value is None else f"not {value!r}"
    )


def _name_problems(experiment: Experiment, pairs: list) -> Iterator[str]:
    """Problems of arm and task names as folders, on case-insensitive systems too."""
    seen: dict[str, str] = {}
    for name, _ in pairs:
        yield from _folder_name_problems("arm", name)
        folded = name.lower()
        if folded in RESERVED:
            yield f"arm {name!r} would be the sweep's own {folded}: choose another name"
        if folded in seen:
            other = seen[folded]
            conflict = (
                "is there twice" if other == name else f"and {other!r} share a folder"
            )
            yield f"arm {name!r} {conflict}: choose another name"
        seen[folded] = name
    for name in experiment.then:
        yield from _folder_name_problems("task", name)
        if name.lower() in (PRETRAIN, "train", "valid", "test", "time"):
            yield f"task {name!r} of THEN is taken: choose another name"


def _folder_name_problems(kind: str, name: str) -> Iterator[str]:
    if len(name) > LONGEST:
        yield f"{kind} {name[:20]}... has {len(name)} characters, above {LONGEST}"
    elif not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.+=-]*[A-Za-z0-9_+])?", name):
        yield (
            f"{kind} {name!r} is no folder's name: letters, digits, _ and, inside, . + "
            "= - alone"
        )


def _problems(experiment: Experiment) -> Iterator[str]:
    arms, seeds = experiment.arms, experiment.seeds
    if experiment.baseline not in arms:
        yield f"BASELINE {experiment.baseline!r} is none of {', '.join(arms)}"
    integers = all(type(seed) is int and seed >= 0 for seed in seeds)
    if not seeds or not integers or len(set(seeds)) < len(seeds):
        yield f"SEEDS must be a positive count or different whole numbers, not {seeds}"
    for metric in experiment.metrics:
        if experiment.metrics.count(metric) > 1:
            yield f"metric {metric!r} is there twice"
        if "/" not in metric:
            yield f"metric {metric!r} is none: valid/mlm_loss, or TASK/test/accuracy"
    for metric, expected in experiment.expect.items():
        if metric not in experiment.metrics:
            yield f"EXPECT names {metric!r}, which is neither METRIC nor in ALSO"
        for arm, direction in expected.items():
            if arm not in arms or arm == experiment.baseline:
                yield f"EXPECT names {arm!r}, which is no arm beside the baseline"
            if direction not in ("lower", "higher"):
                yield f"EXPECT of {arm!r} is lower or higher, not {direction!r}"
            yield from _shared_row_problems(experiment, metric, arm, direction)


def _shared_row_problems(
    experiment: Experiment, metric: str, arm: str, direction: str
) -> Iterator[str]:
    other = partner(metric)
    if other and experiment.expect.get(other, {}).get(arm) != direction:
        yield (
            f"EXPECT of {arm!r} on {metric} needs the same on {other}: a claim on "
            "shared rows is judged on both"
        )
    if metric.startswith(RANDOM_PARTNERS):
        yield (
            f"EXPECT names {metric!r}: half of those rows hold a random partner, so "
            "they are reported and never judged"
        )
