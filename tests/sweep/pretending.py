"""Sweeps whose runs were never trained: real plans, and directories as runs write them,
and what a test reads in their reports."""

import html.parser
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from bert_jax.run import config as configs
from bert_jax.run import exits, record, rundir
from bert_jax.sweep import experiment as experiments
from bert_jax.sweep import plan
from bert_jax.sweep.plan import PRETRAIN, PlannedRun
from bert_jax.sweep.report import main as report

STEPS = 6000  # of configs/demo.py

QUESTION = "Does the sentence-pair loss help? (BERT table 5)"
ARMS = {
    "nsp": {},
    "none": {"objective.pair": "none", "data.pairs": "single"},
    "deep": {"model.num_layers": 3},
}

# (arm, seed, stage) -> the metrics of that run
Outcome = Callable[[str, int, str], dict[str, float]]


def write_experiment(path: Path, **names: object) -> Path:
    """An experiment file; `text` is its docstring, `arms` name -> what it changes."""
    text, arms = names.pop("text"), names.pop("arms")
    lines = [repr(text), ""]
    lines += [f"{name} = {value!r}" for name, value in names.items()]
    lines += ["", "def arms():", f"    yield from {arms!r}.items()", ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


def launch(path: Path, root: Path) -> plan.SweepPlan:
    """What the sweep would freeze."""
    experiment, problems = experiments.read(path)
    folder = root / experiment.name
    return plan.freeze(folder, plan.resolve(experiment, problems, folder, 1))


def run_all(folder: Path, runs: Iterable[PlannedRun], outcome: Outcome) -> None:
    for planned in runs:
        metrics = outcome(planned.arm, planned.seed, planned.stage)
        finish(folder, planned, metrics)


def begin(folder: Path, planned: PlannedRun) -> Path:
    """config.json and run.json; the run directory."""
    workdir, parent = folder / planned.name, ""
    if planned.stage != PRETRAIN:
        result = rundir.read(workdir.parent / PRETRAIN, rundir.RESULT)
        parent = f"{result['fingerprint']}/{result['steps']}"
    workdir.mkdir(parents=True)
    run = {
        "fingerprint": configs.fingerprint(planned.config, parent),
        "parent": parent,
        "seed": planned.seed,
        "versions": {"commit": 40 * "c"},
        "devices": ["cpu"],
        "tokenizer": "7" * 12,
        "data": f"{planned.stage}-{planned.seed}",
    }
    record.write_began(workdir, planned.config, run)
    return workdir


def finish(folder: Path, planned: PlannedRun, metrics: dict[str, float]) -> Path:
    """A done run, with a learning curve down to its metrics."""
    workdir = begin(folder, planned)
    steps = STEPS if planned.stage == PRETRAIN else 200
    log = {
        step: {
            name: value + 4 * (1 - step / steps) ** 3 for name, value in metrics.items()
        }
        for step in range(0, steps + 1, steps // 8)
        if planned.stage == PRETRAIN
    }
    write_log(workdir, log)
    record.write_result(
        workdir,
        {
            "fingerprint": rundir.read(workdir, rundir.RUN)["fingerprint"],
            "steps": steps,
            "tokens": steps * 1000 + planned.seed,
            "seconds": 61.5 + planned.seed,
            "flops": 1e9 * steps * planned.config.model.num_layers,
            "metrics": metrics,
            "measured": {
                name.rpartition("/")[0]: f"rows of {planned.stage}" for name in metrics
            },
            "goodput": {"compile": 20.5, "step": 40.0 + planned.seed, "save": 1.0},
        },
    )
    return workdir


def diverge(folder: Path, planned: PlannedRun) -> Path:
    workdir = begin(folder, planned)
    write_log(workdir, {20: {"train/loss": 9.0}, 40: {"train/loss": float("nan")}})
    return workdir


def write_log(workdir: Path, log: dict[int, dict[str, float]]) -> None:
    lines = [json.dumps({"step": step, **row}) for step, row in log.items()]
    (workdir / rundir.METRICS).write_text("".join(line + "\n" for line in lines))


class Sweep:
    """An experiment file beside its runs, none of which is there yet."""

    def __init__(self, top: Path, **names: object):
        given = {
            "text": QUESTION + "\n\nMore of it.",
            "BASE": "configs/demo.py",
            "METRIC": "valid/mlm_loss",
            "BASELINE": "nsp",
            "SEEDS": 3,
            "CLAIM": "Published: it helps. Contradicted by a lower loss of `none`.",
            "arms": ARMS,
        }
        path = top / "experiments" / "pairs.py"
        self.path = write_experiment(path, **given | names)
        self.root = top / "runs"
        self.folder = self.root / "pairs"
        self.runs = launch(self.path, self.root).runs

    def report(self) -> str:
        """The Markdown."""
        assert report.main(self.path, self.root) == exits.DONE
        return self.text(".md")

    def text(self, suffix: str) -> str:
        return self.path.with_suffix(suffix).read_text()

    def written(self) -> set[str]:
        return {path.name for path in self.path.parent.iterdir()} - {"pairs.py"}


def loss(value: float) -> dict[str, float]:
    losses = {"valid/mlm_loss": value, "valid/unigram_loss": 6.0}
    return {**losses, "valid/pair_accuracy": 0.62}


def learns(arm: str, seed: int, stage: str) -> dict[str, float]:
    """Of no arm better than another but by chance, `deep` by 0.2 nats."""
    chance = np.random.default_rng([list(ARMS).index(arm), seed]).normal(0, 0.02)
    return loss(4.2 + chance - 0.2 * (arm == "deep"))


def grids(text: str) -> list[tuple[list[str], list[list[str]]]]:
    """Header and rows of every table of a Markdown text."""
    found = []
    for block in text.split("\n\n"):
        if block.startswith("|"):
            rows = [line[2:-2].split(" | ") for line in block.splitlines()]
            found.append((rows[0], rows[2:]))
    return found


def missing(text: str) -> list[list[str]]:
    return next((rows for header, rows in grids(text) if header[0] == "run"), [])


class Checked(html.parser.HTMLParser):
    """What a page is made of, its elements closed in their order."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.attributes, self.tags = [], [], set()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
