"""The report of sweeps in which something lacks, differs or is wrong: said in words."""

import json

import pytest

from bert_jax import files, rundir
from bert_jax.config import UsageError
from bert_jax.sweep import figures, markdown, report
from tests.sweep import pretending
from tests.sweep.pretending import ARMS, Checked, Sweep, learns, loss, missing


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are most of a report's time."""
    empty = '<svg width="1pt" height="1pt"></svg>'
    monkeypatch.setattr(figures, "svg", lambda draws, heights, width: empty)


def test_too_few_seeds_for_any_p_are_said_to_be(undrawn, tmp_path):
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
def test_an_arm_without_a_finished_run_has_a_row_and_a_word(tmp_path, absent):
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


def test_torn_lines_and_numbers_that_are_none_are_left_out(tmp_path):
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


def test_runs_that_the_plan_or_the_file_lacks_are_listed(undrawn, tmp_path):
    sweep = Sweep(tmp_path)
    pretending.run_all(sweep.folder, sweep.runs, learns)
    text = sweep.path.read_text().replace("'deep'", "'deeper'")
    sweep.path.write_text(text.replace("SEEDS = 3", "SEEDS = [0, 1, 2]"))
    found = {row[0]: row[1:] for row in missing(sweep.report())}
    assert len(found) == 6
    assert found["deeper/seed_0/pretrain"][0] == "not planned"
    assert found["deep/seed_0/pretrain"] == ["done", "no more in the experiment file"]


def test_commits_that_differ_are_said_and_not_refused(undrawn, tmp_path):
    sweep = Sweep(tmp_path)
    pretending.run_all(sweep.folder, sweep.runs, learns)
    change(sweep, "none/seed_1/pretrain", {"versions": {"commit": 40 * "d" + "-dirty"}})
    text = sweep.report()
    assert "**runs of 2 commits in one table**" in text
    assert f"`{40 * 'd'}-dirty` (1 run)" in text
    assert f"| {12 * 'd'}-dirty |" in text


def change(sweep: Sweep, name: str, values: dict, file: str = rundir.RUN) -> None:
    path = sweep.folder / name / file
    files.write_json(path, json.loads(path.read_text()) | values)


@pytest.mark.parametrize(
    ("file", "values", "said"),
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
def test_other_data_vocabulary_or_steps_are_refused(tmp_path, file, values, said):
    sweep = Sweep(tmp_path)
    pretending.run_all(sweep.folder, sweep.runs, learns)
    change(sweep, "none/seed_1/pretrain", values, file)
    with pytest.raises(UsageError, match=said) as refusal:
        report.main(sweep.path, sweep.root)
    assert "run the odd ones again" in str(refusal.value)
    assert not sweep.written()


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


def test_what_an_experiment_says_is_shown_and_not_run(undrawn, tmp_path):
    text = "Is <b>1 & 2</b> **more** than `x < y`? | [a](b)"
    sweep = Sweep(tmp_path, text=text, CLAIM="<script>alert(1)</script>\n  and more")
    sweep.report()
    page = sweep.text(".html")
    assert "Is &lt;b&gt;1 &amp; 2&lt;/b&gt; <strong>more</strong>" in page
    assert "<script" not in page
    assert "\n> <script>alert(1)</script> and more\n" in sweep.text(".md")
    Checked(page)


def test_losses_that_all_agree_can_be_drawn(tmp_path):
    sweep = Sweep(tmp_path)
    pretending.run_all(sweep.folder, sweep.runs, lambda *_: loss(0.0))
    text = sweep.report()
    assert "+0.0000 to +0.0000 | 1 | 1 | 0.0000 | undecided" in text
