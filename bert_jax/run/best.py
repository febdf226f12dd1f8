"""Which step of a run is the best on its validation set, by its metrics alone.

Reads no clock and no checkpoint, so that a resumed run decides as the first would have.
"""

import math
from pathlib import Path

from bert_jax.run import record, rules, rundir
from bert_jax.run.config import Config
from bert_jax.run.history import History


def step(config: Config, history: History, until: int) -> int | None:
    """The first of the best steps evaluated up to one, None unless train.keep_best or
    if none of them has a number."""
    values = _values(config, history, until)
    numbers = {step: value for step, value in values.items() if value > -math.inf}
    return max(numbers, key=numbers.__getitem__, default=None)


def of_run(workdir: Path) -> int | None:
    """The best step of a run as far as it got, None unless train.keep_best."""
    config = record.read(workdir).config
    if not config.train.keep_best:
        return None
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
    steps, values = history.series(f"valid/{rules.metric(config)}")
    return {
        step: value if math.isfinite(value) else -math.inf
        for step, value in zip(steps.tolist(), values.tolist(), strict=True)
        if step <= until
    }
