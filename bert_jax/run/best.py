"""Best step of a run on its validation set, from its metrics alone.

Uses neither clock nor checkpoints, so that a resumed run decides as an uninterrupted
one.
"""

import math
from pathlib import Path

from bert_jax.run import record, rules, rundir
from bert_jax.run.config import Config
from bert_jax.run.history import History


def step(config: Config, history: History, until: int) -> int | None:
    """The first of the best steps up to `until`; None without train.keep_best or finite
    values."""
    values = _values(config, history, until)
    numbers = {step: value for step, value in values.items() if value > -math.inf}
    return max(numbers, key=numbers.__getitem__, default=None)


def run_step(workdir: Path) -> int | None:
    """The best step of a run so far, None unless train.keep_best."""
    config = record.read(workdir).config
    if not config.train.keep_best:
        return None
    history = rundir.read_metrics(workdir)
    return step(config, history, max(history, default=0))


def is_patience_exhausted(config: Config, history: History, until: int) -> bool:
    """Whether the best step is train.patience evaluations ago."""
    values = _values(config, history, until)
    best_step = max(values, key=values.__getitem__, default=0)
    later = sum(step > best_step for step in values)
    return bool(config.train.patience) and later >= config.train.patience


def _values(config: Config, history: History, until: int) -> dict[int, float]:
    """The main metric by step; -inf if not finite."""
    if not config.train.keep_best:
        return {}
    steps, values = history.series(f"valid/{rules.metric(config)}")
    return {
        step: value if math.isfinite(value) else -math.inf
        for step, value in zip(steps.tolist(), values.tolist(), strict=True)
        if step <= until
    }
