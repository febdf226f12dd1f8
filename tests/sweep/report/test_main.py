"""The report of sweeps in which something lacks, differs or is wrong: said in words."""

import re

import pytest

from bert_jax.render import markdown
from bert_jax.run import rundir
from bert_jax.run.config import UsageError
from bert_jax.sweep.report import figures
from bert_jax.sweep.report import main as report
from tests.running import amend
from tests.sweep import pretending
from tests.sweep.pretending import ARMS, Checked, Sweep, learns, loss, missing


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are most of a report's time."""
    empty = '<svg width="1pt" height="1pt"></svg>'
    monkeypatch.setattr(figures, "svg", lambda draws, heights, width: empty)


def test_too_few_seeds_for_p_are_reported(undrawn, tmp_path):
    """Three pairs: 2/8, and for two arms 2/4. Six of one arm: 2/64, which is less."""
    sweep = Sweep(tmp_path / "three")
    pretending.run_all(sweep.folder, sweep.runs, learns)
    text = sweep.report()
    assert (
        "**No p here can be below 0.05**: 3 pairs give none below 2/2^3 = 0.25, and "
        "Holm's correction for 2 arms makes that 0.5. Go by the intervals." in text
    )
    assert "states no expectation, so none is judged" in text
    assert "Expected and found" not in text
    sweep = Sweep(tmp_path / "six", SEEDS=6, arms={"nsp": {}, "deep": ARMS["deep"]})
    pretending.run_all(sweep.folder, sweep.runs, learns)
    assert "No p here" not in sweep.report()


def test_one_seed_tells_no_interval(tmp_path):
    sweep = Sweep(tmp_path, SEEDS=1, EXPECT={"valid/mlm_loss": {"none": "higher"}})
    pretending.run_all(sweep.folder, sweep.runs, learns)
    text = sweep.report()
    assert "no spread, and so no interval and no p: `none`, `deep`." in text
    assert "**Undecided.** Of 1 expectation: 1 undecided" in text


@pytest.mark.parametrize("absent", ["nsp", "none", "all"])
def test_unfinished_arm_has_row_and_note(tmp_path, absent):
    sweep = Sweep(tmp_path, EXPECT={"valid/mlm_loss": {"none": "higher"}})
    there = [run for run in sweep.runs if absent not in (run.arm, "all")]
    pretending.run_all(sweep.folder, there, learns)
    text = sweep.report()
    which = {"nsp": "baseline `nsp`", "none": "arm `none`"}
    for name in which if absent == "all" else [absent]:
        assert f"The {which[name]} has no finished run with valid/mlm_loss." in text
    assert "**Undecided.**" in text
    assert len(missing(text)) == 9 - len(there)
    assert "nan" not in text


def test_torn_lines_and_nonfinite_numbers_are_skipped(tmp_path):
    sweep = Sweep(tmp_path)
    for planned in sweep.runs:
        metrics = learns(*planned[:3])
        if planned.name == "none/seed_1/pretrain":
            del metrics["valid/mlm_loss"]
        workdir = pretending.finish(sweep.folder, planned, metrics)
        with (workdir / rundir.METRICS).open("a") as file:
            file.write('{"step": 6001, "valid/mlm_loss": NaN}\n{"step": 6002, "val')
    text = sweep.report()
    assert [
        "none/seed_1/pretrain",
        "no number",
        "its valid/mlm_loss is none",
    ] in missing(text)
    assert "0, 2 of `none`; 0–2 of `deep`" in text
    assert "nan" not in sweep.text(".svg")


def test_unplanned_and_removed_runs_are_listed(undrawn, tmp_path):
    sweep = Sweep(tmp_path)
    pretending.run_all(sweep.folder, sweep.runs, learns)
    text = sweep.path.read_text().replace("'deep'", "'deeper'")
    sweep.path.write_text(text.replace("SEEDS = 3", "SEEDS = [0, 1, 2]"))
    found = {row[0]: row[1:] for row in missing(sweep.report())}
    assert len(found) == 6
    assert found["deeper/seed_0/pretrain"][0] == "not planned"
    assert found["deep/seed_0/pretrain"] == ["done", "no more in the experiment file"]


def test_different_commits_are_reported_but_accepted(undrawn, tmp_path):
    sweep = Sweep(tmp_path)
    pretending.run_all(sweep.folder, sweep.runs, learns)
    change(sweep, "none/seed_1/pretrain", {"versions": {"commit": 40 * "d" + "-dirty"}})
    text = sweep.report()
    assert "**runs of 2 commits in one table**" in text
    assert f"`{40 * 'd'}-dirty` (1 run)" in text
    assert f"| {12 * 'd'}-dirty |" in text


def change(sweep: Sweep, name: str, values: dict, file: str = rundir.RUN) -> None:
    amend(sweep.folder / name / file, values)


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        (
            rundir.RUN,
            {"data": "other"},
            "data differ: pretrain-1 of nsp/seed_1/pretrain",
        ),
        (
            rundir.RUN,
            {"tokenizer": "other"},
            "tokenizer differ: .*other of none/seed_1",
        ),
        (
            rundir.RESULT,
            {"steps": 5000},
            "steps differ: .*; 5000 of none/seed_1/pretrain",
        ),
    ],
)
def test_other_data_vocabulary_or_steps_are_refused(tmp_path, file, values, message):
    sweep = Sweep(tmp_path)
    pretending.run_all(sweep.folder, sweep.runs, learns)
    change(sweep, "none/seed_1/pretrain", values, file)
    with pytest.raises(UsageError, match=message) as refusal:
        report.main(sweep.path, sweep.root)
    assert "run the odd ones again" in str(refusal.value)
    assert not sweep.written()


def test_other_rows_cost_one_table_and_no_other(undrawn, tmp_path):
    """FAULTS 54: arms that differ in their pairs have held-out rows of their own."""
    expect = {
        "valid/mlm_loss": {"none": "higher"},
        "t/test/accuracy": {"deep": "higher"},
    }
    then = {"ALSO": ["t/test/accuracy"], "THEN": {"t": "configs/finetune/topics.py"}}
    sweep = Sweep(tmp_path, **then, EXPECT=expect)
    pretending.run_all(sweep.folder, sweep.runs, with_task)
    for seed in range(3):
        changes = {"measured": {"valid": "rows of its own"}}
        change(sweep, f"none/seed_{seed}/pretrain", changes, rundir.RESULT)
    text = sweep.report()
    assert (
        "## valid/mlm_loss\n\n**Not comparable**: the rows differ: `rows of pretrain` of "
        "nsp, deep; `rows of its own` of none.\n\n## t/test/accuracy" in text
    )
    row = "| valid/mlm_loss | none | higher than nsp | – | – | – | not comparable |"
    assert row in text
    assert "1 undecided, 1 not comparable" in text
    assert "All were measured on the same rows, `rows of t`." in text


def test_where_nothing_compares_nothing_is_drawn(undrawn, tmp_path):
    sweep = Sweep(tmp_path)
    pretending.run_all(sweep.folder, sweep.runs, learns)
    sweep.report()
    assert "(pairs.svg)" in sweep.text(".md")
    change(sweep, "deep/seed_0/pretrain", {"measured": {"valid": "x"}}, rundir.RESULT)
    assert "deep/seed_0" in sweep.report()
    assert sweep.written() == {"pairs.html", "pairs.md", "pairs.csv"}
    assert "svg" not in sweep.text(".md")


def test_runs_of_before_confirm_nothing(undrawn, tmp_path):
    sweep = Sweep(tmp_path, EXPECT={"valid/mlm_loss": {"deep": "lower"}})
    pretending.run_all(sweep.folder, sweep.runs, learns)
    assert "**Confirmed.**" in sweep.report()
    change(sweep, "nsp/seed_0/pretrain", {"measured": {}}, rundir.RESULT)
    text = sweep.report()
    assert "**Rows unknown.** Of 1 expectation: 1 rows unknown" in text
    assert "**Rows unknown**: some of these runs, of an older version," in text
    assert "better" not in text.replace("is better", "")


def test_short_runs_say_that_they_are(undrawn, tmp_path):
    """As the runs of a million tokens: 0.26 nats below, pairs told apart by chance."""
    sweep = Sweep(tmp_path, EXPECT={"valid/mlm_loss": {"deep": "lower"}})
    short = {"valid/unigram_loss": 4.46, "valid/pair_accuracy": 0.5}
    pretending.run_all(sweep.folder, sweep.runs, lambda *run: learns(*run) | short)
    text = sweep.report()
    assert "**Too short to say.** Of 1 expectation: 1 too short to say" in text
    assert "- **Too short to say**: the baseline `nsp` is 0.2" in text
    assert "- **Too short to say**: `nsp` tells 50.0 %" in text


def test_different_task_data_invalidate_one_table(undrawn, tmp_path):
    then = {"ALSO": ["t/test/accuracy"], "THEN": {"t": "configs/finetune/topics.py"}}
    sweep = Sweep(tmp_path, **then)
    pretending.run_all(sweep.folder, sweep.runs, with_task)
    change(sweep, "none/seed_1/t", {"data": "x"})
    text = sweep.report()
    message = "data differ: t-1 of nsp/seed_1/t, deep/seed_1/t; x of none/seed_1/t."
    assert f"**Not comparable**: {message}" in text
    assert "| deep | 3 |" in text


def with_task(arm: str, seed: int, stage: str) -> dict[str, float]:
    task = {"test/accuracy": 0.8 + 0.01 * seed, "test/baseline": 0.2}
    return task if stage == "t" else learns(arm, seed, stage)


def test_goodput_stands_beside_the_cost(undrawn, tmp_path):
    """20.5 s compile, 40 + seed step, 1 save: means 20.5, 41, 1 of 62.5."""
    sweep = Sweep(tmp_path)
    pretending.run_all(sweep.folder, sweep.runs, learns)
    change(sweep, "deep/seed_0/pretrain", {"goodput": {}}, rundir.RESULT)
    text = sweep.report()
    assert "| arm | runs | compile | save | step |" in text
    assert "| nsp | 3 | 20.5 (32.8 %) | 1 (1.6 %) | 41 (65.6 %) |" in text
    assert "| deep | 2 | 20.5" in text


@pytest.mark.parametrize(
    "markup",
    [
        "<img src=x onerror=alert(1)>",
        "a ` <b>x</b>",
        "`` ` <b>x</b>",
        "\\` <b>x</b> `",
        "`a`<b>x</b>`b`",
        "&lt;b&gt; <b>x</b>",
        "``a ` b ``` <b>x</b>",
    ],
)
def test_no_text_of_a_report_is_html(undrawn, tmp_path, markup):
    """FAULTS 52: a claim, the question and what a file says besides."""
    sweep = Sweep(tmp_path, text=f"{markup}?\n\nMore: {markup}", CLAIM=markup)
    sweep.report()
    for suffix in (".md", ".html"):
        text = sweep.text(suffix)
        assert not {"<b>", "</b>", "<img"} & set(re.findall(r"</?[a-z]+>?", text))
    assert sweep.text(".md").count("&lt;") >= 3


def test_code_stays_as_it_is_written(undrawn, tmp_path):
    sweep = Sweep(tmp_path, CLAIM="`a < b` is a < b")
    assert "> `a < b` is a &lt; b" in sweep.report()


def test_notes_of_a_person_are_not_written_over(undrawn, tmp_path):
    sweep = Sweep(tmp_path)
    pretending.run_all(sweep.folder, sweep.runs, learns)
    sweep.path.with_suffix(".md").write_text("# What I think\n")
    with pytest.raises(UsageError, match=r"pairs.md was not written by this command"):
        report.main(sweep.path, sweep.root)
    assert sweep.written() == {"pairs.md"}
    sweep.path.with_suffix(".md").write_text(markdown.MARK + "\n# Older\n")
    assert sweep.report().startswith(markdown.MARK)


def test_what_cannot_be_reported_is_one_clear_line(undrawn, tmp_path):
    sweep = Sweep(tmp_path)
    with pytest.raises(UsageError, match="has no plan.json: launch the sweep first"):
        report.main(sweep.path, tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is no experiment file"):
        report.main(tmp_path / "none.py", sweep.root)
    sweep.path.with_suffix(".html").mkdir()
    with pytest.raises(UsageError, match=r"pairs.html cannot be written"):
        report.main(sweep.path, sweep.root)


def test_experiment_text_is_escaped(undrawn, tmp_path):
    text = "Is <b>1 & 2</b> **more** than `x < y`? | [a](b)"
    sweep = Sweep(tmp_path, text=text, CLAIM="<script>alert(1)</script>\n  and more")
    sweep.report()
    page = sweep.text(".html")
    assert "Is &lt;b&gt;1 &amp; 2&lt;/b&gt; <strong>more</strong>" in page
    assert "<script" not in page
    assert "\n> &lt;script&gt;alert(1)&lt;/script&gt; and more\n" in sweep.text(".md")
    Checked(page)


def test_losses_that_all_agree_can_be_drawn(tmp_path):
    sweep = Sweep(tmp_path)
    pretending.run_all(sweep.folder, sweep.runs, lambda *_: loss(0.0))
    text = sweep.report()
    assert "+0.0000 to +0.0000 | 1 | 1 | 0.0000 | undecided" in text
