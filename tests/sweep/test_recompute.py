"""A large report: other code finds its every number, and nothing is left out."""

import csv
import re
import shutil

import numpy as np
import pytest

from bert_jax.run import record, rundir
from tests.sweep import pretending, recompute
from tests.sweep.pretending import QUESTION, Checked, Sweep, grids, learns, missing

PREFIXES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
NUMBER = re.compile(r"([+−]?\d[\d,]*(?:\.\d+)?(?:e[+−]\d+)?)(?: ([kMGTP])(?= |\)|$))?")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Twelve seeds and a task, of which some runs failed."""
    sweep = Sweep(
        tmp_path_factory.mktemp("large"),
        METRIC="topics/test/accuracy",
        ALSO=["valid/mlm_loss"],
        SEEDS=12,
        THEN={"topics": "configs/finetune/topics.py"},
        EXPECT={
            "topics/test/accuracy": {"deep": "lower"},
            "valid/mlm_loss": {"deep": "lower", "none": "higher"},
        },
    )
    random = np.random.default_rng(0)
    for planned in sweep.runs:
        arm, seed, stage, _ = planned
        if (arm, seed) == ("none", 4):
            if stage == "pretrain":
                pretending.diverge(sweep.folder, planned)
        elif (arm, seed, stage) == ("none", 5, "topics"):
            pretending.begin(sweep.folder, planned)
        elif stage == "pretrain":
            pretending.finish(sweep.folder, planned, learns(*planned[:3]))
        else:
            score = 0.2 if (arm, seed) == ("none", 6) else random.normal(0.8, 0.01)
            score += 0.05 * (arm == "deep")
            metrics = {"test/accuracy": score, "test/baseline": 0.25}
            pretending.finish(sweep.folder, planned, metrics)
    foreign = sweep.folder / "deep/seed_7/topics"
    shutil.rmtree(foreign)
    shutil.copytree(sweep.folder / "deep/seed_6/topics", foreign)
    sweep.report()
    return sweep


def shown(cell: str) -> list[tuple[float, float]]:
    """The numbers of a cell, each with half a unit of its last digit."""
    found = []
    for text, prefix in NUMBER.findall(cell):
        plain, scale = text.replace("−", "-").replace(",", ""), PREFIXES.get(prefix, 1)
        mantissa, _, exponent = plain.partition("e")
        decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
        found.append((scale * float(plain), 0.5 * scale * 10**-decimals))
    return found


def check_cell(cell: str, expected: str | list[float]) -> int:
    """How many numbers of it were compared."""
    if isinstance(expected, str):
        assert cell == expected
        return 0
    numbers = shown(cell)
    assert len(numbers) == len(expected), (cell, expected)
    for (value, margin), truth in zip(numbers, expected, strict=True):
        assert value == pytest.approx(truth, abs=1.01 * margin), (cell, expected)
    return len(numbers)


@pytest.fixture(scope="module")
def on_shared_rows(tmp_path_factory):
    """Claims on `single` and `pair`, one run of older rows, and a metric of others."""
    metrics = [f"valid/{rows}/mlm_loss" for rows in ("single", "pair", "nsp")]
    sweep = Sweep(
        tmp_path_factory.mktemp("shared"),
        BASE="configs/pretrain/pairs.py",
        METRIC=metrics[0],
        ALSO=[*metrics[1:], "valid/mlm_loss", "valid/mlm_accuracy"],
        EXPECT={metric: {"none": "higher", "deep": "lower"} for metric in metrics[:2]}
        | {
            "valid/mlm_loss": {"deep": "lower"},
            "valid/mlm_accuracy": {"deep": "lower"},
        },
    )
    for planned in sweep.runs:
        learnt = learns(*planned[:3])
        shared = {
            f"valid/{rows}/{name.removeprefix('valid/')}": value + number
            for number, rows in enumerate(("single", "pair", "nsp"))
            for name, value in learnt.items()
        }
        scores = {**learnt, **shared, "valid/mlm_accuracy": 0.3}
        pretending.finish(sweep.folder, planned, scores)
    odd = sweep.folder / "none/seed_1/pretrain"
    result = rundir.read(odd, rundir.RESULT)
    measured = {**result["measured"], "valid": "of its own"}
    record.write_result(odd, {**result, "measured": measured})
    sweep.report()
    return sweep


@pytest.mark.parametrize(("which", "least"), [("large", 300), ("on_shared_rows", 100)])
def test_other_code_finds_every_number_of_the_tables(which, least, request):
    sweep = request.getfixturevalue(which)
    expected = recompute.tables(recompute.Sweep(sweep.path, sweep.folder))
    found = [grid for grid in grids(sweep.text(".md")) if grid[0][0] != "run"]
    assert len(found) == len(expected)
    compared = 0
    for (header, rows), wanted in zip(found, expected, strict=True):
        assert len(rows) == len(wanted)
        for cells, row in zip(rows, wanted, strict=True):
            assert header == list(row)
            for name, cell in zip(header, cells, strict=True):
                if name == "steps" and not row[name]:
                    assert cell in ("stopped", "diverged")
                else:
                    compared += check_cell(cell, row[name])
    assert compared > least


def test_claims_on_shared_rows_are_judged_on_both(on_shared_rows):
    text = on_shared_rows.text(".md")
    assert "Of 4 expectations: 1 confirmed, 1 undecided, 2 not comparable" in text
    assert "hold all 6 at once" in text
    assert text.count("| lower than nsp | −0.") == 2


def test_page_cells_equal_markdown_cells(large):
    cells = re.findall(r"<t[hd] [^>]*>(.*?)</t[hd]>", large.text(".html"))
    expected = [
        cell
        for header, rows in grids(large.text(".md"))
        for row in [header, *rows]
        for cell in row
    ]
    assert cells == expected


def test_other_code_finds_every_line_of_the_csv(large):
    expected = recompute.lines(recompute.Sweep(large.path, large.folder))
    found = list(csv.DictReader(large.text(".csv").splitlines()))
    assert len(found) == len(large.runs) == len(expected) == 72
    for line, wanted in zip(found, expected, strict=True):
        assert line.keys() == wanted.keys() | {"state"}
        for name, value in wanted.items():
            expected_value = (
                value if isinstance(value, str) else pytest.approx(value, rel=1e-12)
            )
            assert (
                type(value)(line[name]) if value != "" else line[name]
            ) == expected_value
    states = {(run["arm"], run["seed"], run["stage"]): run["state"] for run in found}
    assert states["none", "4", "pretrain"] == "diverged"
    assert states["deep", "7", "topics"] == "foreign"


def test_no_run_is_dropped_in_silence(large):
    rows = {row[0]: row[1] for row in missing(large.text(".md"))}
    assert rows == {
        "none/seed_4/pretrain": "diverged",
        "none/seed_4/topics": "waiting",
        "none/seed_5/topics": "stopped",
        "none/seed_6/topics": "degenerate",
        "deep/seed_7/topics": "foreign",
    }
    text = large.text(".md")
    assert "0–3, 6–11 of `none`; 0–6, 8–11 of `deep`" in text
    assert (
        "68 of 72 runs done, 1 diverged, 1 waiting, 1 stopped, 1 foreign, 1 of the "
        "done degenerate" in text
    )


def test_a_verdict_follows_the_intervals(large):
    text = large.text(".md")
    assert (
        "**Contradicted.** Of 3 expectations: 1 confirmed, 1 contradicted, 1 unde"
        in text
    )
    assert "| valid/mlm_loss | deep | lower than nsp | −0." in text
    assert f"# {QUESTION}\n" in text
    assert "> Published: it helps." in text
    assert "\n\nMore of it.\n\n> " in text


def test_the_page_needs_nothing_but_itself(large):
    text = large.text(".html")
    page = Checked(text)
    assert not page.tags & {"script", "link", "img", "iframe", "object", "use"}
    links = [value for name, value in page.attributes if name.endswith(("href", "src"))]
    assert all(value.startswith("#") for value in links)
    assert not re.search(r"@import|url\((?!#)", text)
    assert text.count("<svg") == 4


def test_equal_runs_give_equal_files(large):
    before = {suffix: large.text(suffix) for suffix in (".html", ".md", ".csv", ".svg")}
    assert large.written() == {"pairs" + suffix for suffix in before}
    large.report()
    assert {suffix: large.text(suffix) for suffix in before} == before


def test_figures_draw_every_seed_and_name_every_arm(large):
    drawing = large.text(".svg")
    for name in ("none", "deep", "topics/test/accuracy", "valid/mlm_loss"):
        assert name in drawing
