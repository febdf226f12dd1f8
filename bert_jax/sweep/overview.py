"""What a report says first: the answer, what was run, and what was expected."""

from collections import Counter

from bert_jax.report.document import VERDICTS, Grid, Section
from bert_jax.sweep import numbers
from bert_jax.sweep.comparison import Verdict
from bert_jax.sweep.experiment import Experiment
from bert_jax.sweep.results import Run

RULE = (
    "Confirmed: the interval excludes 0 on the expected side. Contradicted: on the "
    "other. Undecided: it includes 0, or there is none. Each interval is at 95 % by "
    "itself, and not widened for their number."
)


def answer(found: list[Verdict]) -> str:
    """The verdicts in words, or that there is none."""
    if not found:
        return "The experiment states no expectation, so none is judged."
    counts = Counter(verdict.word for verdict in found)
    parts = [f"{counts[word]} {word}" for word in VERDICTS if counts[word]]
    return (
        f"Of {numbers.count(len(found), 'expectation')}: {', '.join(parts)}, by the "
        "95 % interval of the paired difference."
    )


def about(experiment: Experiment) -> list[str]:
    """The paragraphs of the file's text after the question, its commands left out."""
    paragraphs = experiment.text.strip().split("\n\n")[1:]
    words = [text for text in paragraphs if not text.startswith("  ")]
    return [" ".join(text.split()) for text in words]


def facts(experiment: Experiment, runs: list[Run]) -> list[str]:
    tasks = [f"`{spec}` as {task}" for task, spec in experiment.then.items()]
    what = [f"{numbers.count(len(experiment.arms), 'arm')} of `{experiment.base}`"]
    what += [f"then {', '.join(tasks)}"] if tasks else []
    what += [f"seeds {numbers.seeds(experiment.seeds)}"]
    return [
        "; ".join([*what, f"baseline `{experiment.baseline}`"]),
        _progress(runs),
        _commits(runs),
        *_machines(runs),
    ]


def _progress(runs: list[Run]) -> str:
    states = Counter(run.state for run in runs if not run.done)
    parts = [f"{sum(run.done for run in runs)} of {len(runs)} runs done"]
    parts += [f"{count} {state}" for state, count in states.items()]
    degenerate = sum(run.degenerate for run in runs)
    parts += [f"{degenerate} of the done degenerate"] if degenerate else []
    return ", ".join(parts)


def _commits(runs: list[Run]) -> str:
    commits = Counter(run.commit or "unknown" for run in runs if run.done)
    each = [f"`{commit}`" for commit in commits]
    if len(commits) < 2:
        return f"commit {each[0]}" if each else "no run is done, of any commit"
    return f"**runs of {len(commits)} commits in one table**: " + ", ".join(
        f"{commit} ({numbers.count(count, 'run')})"
        for commit, count in zip(each, commits.values(), strict=True)
    )


def _machines(runs: list[Run]) -> list[str]:
    """What they ran on, once for all that are alike."""
    return list(dict.fromkeys(run.machine for run in runs if run.done and run.machine))


def expectations(found: list[Verdict], baseline: str) -> list[Section]:
    """A row for each; no section where there is none."""
    header = ("metric", "arm", "expected", "difference", "95 % interval", "verdict")
    rows = []
    for verdict in found:
        kind, arm = numbers.unit(verdict.metric), verdict.arm
        row = (verdict.metric, arm.name, f"{verdict.expected} than {baseline}")
        gap = f"{kind.difference(arm.difference)} {kind.step}"
        rows.append((*row, gap, kind.interval(*arm.interval), verdict.word))
    blocks = [Grid(header, "lllrrl", rows, -1), RULE]
    return [Section("Expected and found", blocks)] if found else []
