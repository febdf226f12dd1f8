"""The verb evaluate: a checkpoint's held-out numbers, each beside its baseline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from bert_jax.objectives.base import means
from bert_jax.render import curve
from bert_jax.run import config as configs
from bert_jax.run import files, record, rules, rundir
from bert_jax.run.config import UsageError
from bert_jax.tasks import kinds
from bert_jax.tasks.dataset import Dataset
from bert_jax.tasks.metrics import wilson
from bert_jax.train import checkpoint, evaluate
from bert_jax.train.evaluate import Evaluated, Sums
from bert_jax.train.session import reopen_as
from bert_jax.train.setup import Setup


def main(workdir: Path, step: int | None, overrides: Mapping[str, str]) -> int:
    """Evaluate one checkpoint of a run on its held-out examples and say how it did.

    Overrides ask for shared rows, whatever the run was evaluated on when it was trained.
    """
    config = record.read(workdir).config
    if overrides:
        config = configs.frozen(configs.overridden(config, overrides))
    setup = reopen_as(workdir, config)
    step = checkpoint.chosen(workdir, step)
    shapes = setup.param_shapes()
    params = checkpoint.restore_params(workdir, step, shapes)
    params = setup.placement.local(params)
    function = evaluate.compiled(setup)
    for name in evaluate.prefixes(setup) + (["test"] if setup.test else []):
        found = evaluate.total(
            function, params, evaluate.batches(setup, name), lambda: False
        )
        if found is None:
            raise UsageError("the evaluation was stopped")
        if jax.process_index() == 0:
            print(_table_of(setup, step, name, found))
    if jax.process_index() == 0:
        with files.warn_if_not_drawn(workdir / rundir.CURVE):
            print(f"learning curve: {curve.draw(workdir)}")
    return 0


def _table_of(setup: Setup, step: int, name: str, found: Evaluated) -> str:
    if not isinstance(setup.data, Dataset):
        kind = name.removeprefix("valid/")
        rows = setup.shared[kind].describe() if "/" in name else "held-out documents"
        sums = evaluate.meant(name, found.sums)
        return "\n".join([f"{rows}, step {step}", *_rows(sums), _measured(setup, name)])
    values = evaluate.named(setup, name, found)
    metrics = {key.removeprefix(f"{name}/"): value for key, value in values.items()}
    examples = evaluate.examples_of(setup, name)
    seen = {int(examples.features.owners[number]) for number in found.outputs}
    records = [examples.records[number] for number in seen]
    count = kinds.of_config(setup.config, setup.data.labels).count(records)
    return task_table(setup.config, step, name, metrics, count)


def _measured(setup: Setup, name: str) -> str:
    mark = evaluate.fingerprint(setup, name)
    return f"  {'measured on':<15}{mark:>12}  equal wherever rows may be compared"


def task_table(
    config: Any, step: int, name: str, metrics: dict[str, float], count: int
) -> str:
    """The metrics of a task; the one that decides first, with what it must beat.

    `count` examples were scored (tags: words): accuracies have a 95 % interval.
    """
    decides, baseline = rules.metric(config), metrics.pop("baseline")
    rows = []
    for metric in sorted(metrics, key=lambda metric: metric != decides):
        value, note = metrics[metric], []
        if metric.endswith("accuracy"):
            low, high = wilson(value * count, count)
            note.append(f"95 % interval {100 * low:.1f} to {100 * high:.1f} %")
        if metric == decides:
            worse = "; no better than that" if value <= baseline else ""
            note.append(f"looking at nothing gives {_shown(metric, baseline)}{worse}")
        rows.append((metric, _shown(metric, value), "; ".join(note)))
    lines = [f"  {name:<15}{value:>12}  {note}".rstrip() for name, value, note in rows]
    return "\n".join([f"{name}, {count:,} scored, step {step}", *lines])


def _shown(metric: str, value: float) -> str:
    if metric in ("task_loss", "matthews", "pearson", "spearman"):
        return f"{value:.3f}"
    return f"{100 * value:.1f} %"


def table(step: int, sums: Sums) -> str:
    """Table of an evaluation's numbers, each with its baseline."""
    return "\n".join([f"held-out documents, step {step}", *_rows(sums)])


def _rows(sums: Sums) -> list[str]:
    mean = means(sums)
    rows = []
    for name in ("mlm", "lm"):
        if f"{name}_loss" in mean:
            gain = mean["unigram_loss"] - mean[f"{name}_loss"]
            rows += [
                (f"{name}_loss", f"{mean[f'{name}_loss']:.3f} nats", ""),
                ("unigram_loss", f"{mean['unigram_loss']:.3f} nats", "of those tokens"),
                ("gain", f"{gain:.3f} nats", "below the unigram loss"),
                (f"{name}_accuracy", f"{100 * mean[f'{name}_accuracy']:.1f} %", ""),
            ]
    if "pair_accuracy" in sums:
        right, count = sums["pair_accuracy"]
        low, high = wilson(right, count)
        chance = "; still at chance, 50 %" if low <= 0.5 <= high else ""
        note = f"95 % interval {100 * low:.1f} to {100 * high:.1f} %{chance}"
        rows.append(("pair_accuracy", f"{100 * right / count:.1f} %", note))
    return [f"  {name:<15}{value:>12}  {note}".rstrip() for name, value, note in rows]
