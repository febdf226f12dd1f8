"""Which step of a run is the best on its validation set, by its metrics alone.

Reads no clock and no checkpoint, so that a resumed run decides as the first would have.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bert_jax import config as configs
from bert_jax import rules, rundir

Config = Any  # a ConfigDict: its attributes have no static types
History = Mapping[int, Mapping[str, float]]  # as rundir.read_metrics gives it


def step(config: Config, history: History, until: int) -> int | None:
    """The first of the best steps evaluated up to one, None unless train.keep_best or
    if none of them has a number."""
    values = _values(config, history, until)
    numbers = {step: value for step, value in values.items() if value > -math.inf}
    return max(numbers, key=numbers.__getitem__, default=None)


def of_run(workdir: Path) -> int | None:
    """The best step of a run as far as it got."""
    config = configs.from_json(rundir.read_text(workdir, rundir.CONFIG))
    history = rundir.read_metrics(workdir)
    return step(config, history, max(history, default=0))


def is_long_ago(config: Config, history: History, until: int) -> bool:
    """Whether the best is train.patience evaluations ago."""
    values = _values(config, history, until)
    found = max(values, key=values.__getitem__, default=0)
    later = sum(step > found for step in values)
    return bool(config.train.patience) and later >= config.train.patience


def _values(config: Config, history: History, until: int) -> dict[int, float]:
    """The deciding metric by step; what is no number is worse than any."""
    if not config.train.keep_best:
        return {}
    name = f"valid/{rules.metric(config)}"
    return {
        step: row[name] if math.isfinite(row[name]) else -math.inf
        for step, row in history.items()
        if step <= until and name in row
    }
