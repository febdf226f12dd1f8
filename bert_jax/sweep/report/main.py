"""The `report` command: a sweep's results as HTML, Markdown and CSV.

Files are written beside the experiment file: X.html, X.md with X.svg, X.csv.
"""

from pathlib import Path

from bert_jax.render import markdown, webpage
from bert_jax.render.document import Document, Items, Section
from bert_jax.run import exits, files
from bert_jax.run.config import UsageError
from bert_jax.sweep import experiment as experiments
from bert_jax.sweep import plan
from bert_jax.sweep.experiment import PRETRAIN, Experiment
from bert_jax.sweep.report import (
    comparison,
    cost,
    figures,
    measured,
    overview,
    results,
    traces,
    verdicts,
)
from bert_jax.sweep.report.results import RunResult
from bert_jax.tasks import intervals

METHODS = f"""\
A pair is two runs of one seed: they share data order, masks and initial values wherever
their shapes agree. Only finished runs count, a degenerate one like any other.

95 % interval: the mean of the differences ± t(0.975, n − 1) times their standard
deviation over √n (Student 1908).

simultaneous 95 %: as that, with t(1 − 0.025/m, n − 1) for the m intervals that the
experiment's EXPECT lists, so that all of them hold at once (Bonferroni; Dunn 1961).

95 % bootstrap, from {intervals.MANY} pairs up: studentised, of
{intervals.RESAMPLES:,} resamples (Efron & Tibshirani 1993, section 12.5).

p: the share of sign flips of the differences whose sum is at least as far from 0, of all
2^n up to {intervals.EXACT} pairs (Fisher 1935, section 21). p, Holm: adjusted over the
arms of its table (Holm 1979).

detectable: the true difference that a two-sided t test at 5 % finds with 80 % power, had
differences the standard deviation seen (noncentral t; Cohen 1988, chapter 2).

Band of a curve: the same t interval, of the metric itself at each step.
"""


def main(path: Path, root: Path) -> int:
    """Write the report of an experiment file from the runs under `root`.

    Raises UsageError, before it writes a file, for runs that cannot be compared.
    """
    experiment = experiments.load(path)
    folder = root / experiment.name
    planned = results.read(folder, plan.read(folder))
    runs = [run for run in planned if _is_in_experiment(experiment, run)]
    # All tables depend on the pretraining; other differences affect one table each.
    results.check_comparable([r for r in runs if r.planned.stage == PRETRAIN])
    document = compose(experiment, runs, [run for run in planned if run not in runs])
    texts = {
        ".html": webpage.render(document),
        ".md": markdown.render(document),
        ".svg": document.picture,
        ".csv": traces.table_of_runs(experiment, runs),
    }
    _check_overwritable(path.with_suffix(".md"))
    for suffix, text in texts.items():
        if text:
            _write(path.with_suffix(suffix), text)
        else:  # nothing to draw: remove an older drawing
            path.with_suffix(suffix).unlink(missing_ok=True)
    print(f"{document.question}\n{document.verdict or 'no verdict'}: {document.answer}")
    print(f"report: {path.with_suffix('.html')}, and .md, .svg and .csv beside it")
    return exits.DONE


def _is_in_experiment(experiment: Experiment, run: RunResult) -> bool:
    """Whether the file still names the run's arm, seed and stage."""
    arm, seed, stage, _ = run.planned
    named = arm in experiment.arms and seed in experiment.seeds
    return named and stage in experiment.stages


def compose(
    experiment: Experiment, runs: list[RunResult], removed: list[RunResult]
) -> Document:
    """Compose the report of these runs, and of runs `removed` from the file."""
    tables = comparison.tables(experiment, runs)
    required = verdicts.conditions(experiment, runs)
    judged = verdicts.verdicts(experiment, tables, required)
    return Document(
        name=experiment.name,
        question=experiment.question or experiment.name,
        verdict=verdicts.overall(judged),
        answer=overview.answer(judged),
        about=overview.about(experiment),
        claim=" ".join(experiment.claim.split()),
        facts=overview.facts(experiment, runs),
        picture=figures.overview(tables, runs),
        sections=[
            *overview.expectations(judged, required, experiment.baseline),
            *(measured.section(table, runs) for table in tables),
            cost.section(tables, runs, experiment.stages),
            traces.attention(experiment, tables, runs, removed),
            traces.section(tables, runs, experiment.stages),
            _methods(),
        ],
    )


def _methods() -> Section:
    lines = [" ".join(text.split()) for text in METHODS.split("\n\n")]
    return Section("How the numbers are made", [Items(lines)])


def _check_overwritable(path: Path) -> None:
    """Refuse to overwrite a file that this command did not write. Raises UsageError."""
    if path.is_file() and not path.read_bytes().startswith(markdown.MARK.encode()):
        raise UsageError(
            f"{path} was not written by this command: give it another name first"
        )


def _write(path: Path, text: str) -> None:
    try:
        files.write_text(path, text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
