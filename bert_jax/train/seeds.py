"""A config trained with several seeds, and their summary.

A fine-tuned model depends on its seed by more than many a claimed gain, and some seeds
learn nothing at all (Devlin et al. 2019, section 4.1; Dodge et al. 2020): such runs are
counted, not dropped.
"""

import math
import statistics
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict

from matplotlib.figure import Figure
from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax.render import curve
from bert_jax.run import exits, files, record, rules, rundir
from bert_jax.run.config import UsageError
from bert_jax.tasks.intervals import half
from bert_jax.train import loop, session

SUMMARY = "seeds.json"
FIGURE = "seeds.png"
ROWS_UNKNOWN = "; rows unknown: a run of an older version does not say on which it was"


class Summary(TypedDict):
    """seeds.json: every score, and over the seeds the mean, the standard deviation (of
    one run, n - 1) and the 95 % interval of the mean by Student's t."""

    metric: str
    scores: dict[str, float]
    baseline: float
    degenerate: list[int]
    diverged: list[int]
    mean: NotRequired[float]
    deviation: NotRequired[float]
    half_interval: NotRequired[float]
    measured: NotRequired[dict[str, str]]
    check: NotRequired[str]


class Result(NamedTuple):
    """Score of a seed on the test set, or on the validation set if there is none."""

    seed: int
    score: float
    baseline: float  # of looking at nothing
    rows: str = (
        ""  # the fingerprint of what it was measured on, "" if the run notes none
    )

    @property
    def degenerate(self) -> bool:
        return not self.score > self.baseline  # so is nan


def run(
    config: FrozenConfigDict, workdir: Path, count: int, against: Path | None
) -> int:
    """Train the seeds config.seed, config.seed + 1, ..., each in a directory of its own
    under `workdir`, and write and print their summary; the exit code.

    The same command goes on where it was stopped. A run that diverges is counted.
    `against` is such a directory, and the gain over it is told too.
    """
    if not rules.is_task(config):
        raise UsageError("--seeds needs a task: pretraining seeds are arms of a sweep")
    if count < 1:
        raise UsageError(f"--seeds={count}: one or more runs are expected")
    if rundir.is_run(workdir):
        raise UsageError(f"{workdir} is one run: choose another --workdir for --seeds")
    other = _summary_of(against, config) if against else None
    seeds = range(config.seed, config.seed + count)
    diverged = []
    for seed in seeds:
        session.say(f"seed {seed}: {directory(workdir, seed)}")
        code = loop.run(_with_seed(config, seed), directory(workdir, seed))
        if code == exits.DIVERGED:
            diverged.append(seed)
        elif code != exits.DONE:
            return code
    finished = [seed for seed in seeds if seed not in diverged]
    results = [_result(config, directory(workdir, seed), seed) for seed in finished]
    summary = summarise(config, results, diverged)
    files.write_json(workdir / SUMMARY, files.checked(summary))
    if results:
        draw(summary, workdir / FIGURE)
    print(table(summary))
    if other:
        print(gain(summary, other, str(against)))
    return exits.DONE


def directory(workdir: Path, seed: int) -> Path:
    return workdir / f"seed_{seed}"


def _with_seed(config: FrozenConfigDict, seed: int) -> FrozenConfigDict:
    full = ConfigDict(config.to_dict())
    full.seed = seed
    return FrozenConfigDict(full)


def _result(config: FrozenConfigDict, run_directory: Path, seed: int) -> Result:
    result = record.read(run_directory).result
    metrics = result["metrics"] if result else {}
    rows = result.get("measured", {}) if result else {}
    split = _split(config)
    # A score that is no number is left out of result.json, and counts as degenerate.
    score = metrics.get(_metric(config), math.nan)
    if (baseline := metrics.get(f"{split}/baseline")) is None:
        raise UsageError(f"{run_directory} is done, but has no {split}/baseline")
    return Result(seed, score, baseline, rows.get(split, ""))


def _summary_of(workdir: Path, config: FrozenConfigDict) -> Summary:
    """The summary of other seeds, which must be of the same metric, and of the runs
    beside it, as far as they are still there."""
    path = workdir / SUMMARY
    if not path.is_file():
        raise UsageError(f"{workdir} holds no {SUMMARY}: train it with --seeds first")
    summary = files.read_json(path, Summary)
    if summary["metric"] != _metric(config):
        raise UsageError(f"{workdir} has {summary['metric']}, not {_metric(config)}")
    for seed, score in summary["scores"].items():
        run = workdir / f"seed_{seed}"
        result = record.read(run).result if rundir.is_run(run) else None
        if result:
            stated, true = (score,), (result["metrics"].get(summary["metric"]),)
            if "measured" in summary:  # earlier versions did not write it
                stated += (_rows(summary, seed),)
                true += (result.get("measured", {}).get(_split(config), ""),)
            if stated != true:
                raise UsageError(
                    f"{path}: seed {seed} has {stated}, and its run has {true}: remove "
                    "it, and train that directory with --seeds again"
                )
    return summary


def _metric(config: FrozenConfigDict) -> str:
    return f"{_split(config)}/{rules.metric(config)}"


def _split(config: FrozenConfigDict) -> str:
    return "test" if config.task.test else "valid"


def summarise(
    config: FrozenConfigDict, results: list[Result], diverged: list[int]
) -> Summary:
    scores = [result.score for result in results if math.isfinite(result.score)]
    summary: Summary = {
        "metric": _metric(config),
        "scores": {str(r.seed): r.score for r in results if math.isfinite(r.score)},
        "baseline": results[0].baseline if results else 0.0,
        "degenerate": [result.seed for result in results if result.degenerate],
        "diverged": diverged,
    }
    if rows := {str(r.seed): r.rows for r in results if r.rows}:
        summary["measured"] = rows
    if scores:
        summary["mean"] = statistics.mean(scores)
    if len(scores) > 1:
        summary["deviation"] = statistics.stdev(scores)
        summary["half_interval"] = float(half(scores))
    return summary


def gain(summary: Summary, other: Summary, name: str) -> str:
    """The mean difference of runs of one seed, which see the same data in one order."""
    ours, theirs = summary["scores"], other["scores"]
    common = [seed for seed in ours if seed in theirs]
    rows = {seed: (_rows(summary, seed), _rows(other, seed)) for seed in common}
    unlike = [int(seed) for seed, (a, b) in rows.items() if a and b and a != b]
    if unlike:
        return f"gain over {name}: not comparable: other rows{_named(unlike)}"
    gains = [100 * (ours[seed] - theirs[seed]) for seed in common]
    if len(gains) < 2:
        return f"gain over {name}: of {len(gains)} common seeds no interval can be told"
    mean, width = statistics.mean(gains), float(half(gains))
    clear = "excludes" if abs(mean) > width else "includes"
    return (
        f"gain over {name}: {mean:+.2f}, 95 % interval {mean - width:+.2f} to "
        f"{mean + width:+.2f} of {len(gains)} paired seeds, which {clear} 0"
        + ROWS_UNKNOWN
        * any("" in pair for pair in rows.values())
    )


def _rows(summary: Summary, seed: str) -> str:
    return summary.get("measured", {}).get(seed, "")


def table(summary: Summary) -> str:
    """The summary for a person, in hundredths."""
    lines = [f"{summary['metric']} of {len(summary['scores'])} seeds"]
    for seed, score in summary["scores"].items():
        note = "  degenerate" if int(seed) in summary["degenerate"] else ""
        lines.append(f"  seed {seed:<4}{100 * score:8.2f}{note}")
    if "mean" in summary:
        lines.append(f"  mean     {100 * summary['mean']:8.2f}")
    if "deviation" in summary and "half_interval" in summary:
        lines.append(
            f"  deviation{100 * summary['deviation']:8.2f}  of one seed; 95 % interval "
            f"of the mean +- {100 * summary['half_interval']:.2f}"
        )
    lines.append(f"  baseline {100 * summary['baseline']:8.2f}  by looking at nothing")
    degenerate, diverged = summary["degenerate"], summary["diverged"]
    lines.append(f"  degenerate: {len(degenerate)}{_named(degenerate)}")
    if diverged:
        lines.append(f"  diverged: {len(diverged)}{_named(diverged)}")
    return "\n".join(lines)


def _named(seeds: list[int]) -> str:
    return f" (seeds {', '.join(map(str, seeds))})" if seeds else ""


def draw(summary: Summary, path: Path) -> None:
    """Every seed as a point, their mean with its interval, and the baseline."""
    figure = Figure(figsize=(5, 1.6), layout="constrained", dpi=150)
    panel = figure.subplots()
    scores = [100 * score for score in summary["scores"].values()]
    panel.plot(scores, [0] * len(scores), "o", color=curve.FAINT, label="seeds")
    if "mean" in summary and "half_interval" in summary:
        panel.errorbar(
            100 * summary["mean"],
            0,
            xerr=100 * summary["half_interval"],
            fmt="D",
            ms=5,
            capsize=3,
            color=curve.INK,
            label="mean, 95 %",
        )
    baseline = 100 * summary["baseline"]
    panel.axvline(baseline, color=curve.BASELINE, ls="--", lw=1, label="baseline")
    panel.set_xlabel(f"{summary['metric']}, in hundredths")
    panel.set_yticks([])
    panel.legend(frameon=False, fontsize=8, ncols=3, loc="upper center")
    panel.set_ylim(-1, 2)
    panel.spines[["top", "right", "left"]].set_visible(False)
    with files.warn_if_not_drawn(path):
        figure.savefig(path)
