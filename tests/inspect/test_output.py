"""Findings become files, all of them or none; curves follow scores over the steps."""

import io

import numpy as np
import pytest

from bert_jax.inspect.draw import output
from bert_jax.inspect.draw.finding import Finding, Part, Picture, Pictures
from bert_jax.render.document import Grid
from bert_jax.run import files
from bert_jax.run.config import UsageError
from tests.sweep.pretending import Checked


def draw(canvas):
    canvas.subplots().plot([0, 1], [1, 0])


def finding(**scores: float) -> Finding:
    picture = Picture("slope", draw, 2.0, 1.5, "A line < falling.")
    return Finding(
        question="Does <it> fall?",
        answer="It does.",
        about=["What this does not show."],
        facts=["text: `a & b`"],
        parts=[
            Part("Here", ["A text.", Pictures([picture])]),
            Part("There", [Grid(("a", "b"), "lr", [("x", "1")], -1)]),
        ],
        arrays={"numbers": np.arange(3)},
        scores={name.replace("_", "/"): value for name, value in scores.items()},
    )


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_one_step_gives_arrays_figures_and_a_page(tmp_path):
    path = output.write(tmp_path / "to", "slope", ["run x"], {7: finding()})
    assert path == tmp_path / "to" / "slope.html"
    assert names(path.parent) == {"slope.npz", "slope.svg", "slope.png", "slope.html"}
    loaded = np.load(path.with_suffix(".npz"))
    np.testing.assert_array_equal(loaded["numbers"], [0, 1, 2])
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    text = path.read_text()
    Checked(text)
    for part in ("Does &lt;it&gt; fall?", "A line &lt; falling.", "run x", "<svg"):
        assert part in text


def test_equal_findings_give_equal_bytes(tmp_path):
    for name in "ab":
        output.write(tmp_path / name, "slope", [], {7: finding()})
    for name in names(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (
            tmp_path / "b" / name
        ).read_bytes()


def test_several_steps_give_arrays_and_curves(tmp_path):
    steps = {4: finding(fit_one=0.5), 0: finding(fit_one=0.1, fit_two=0.2)}
    path = output.write(tmp_path, "slope", [], steps)
    found = np.load(tmp_path / "over_training.npz")
    np.testing.assert_array_equal(found["step"], [0, 4])
    np.testing.assert_array_equal(found["fit/one"], [0.1, 0.5])
    np.testing.assert_array_equal(found["fit/two"], [0.2, np.nan])
    assert names(tmp_path) >= {
        "slope_0.npz",
        "slope_4.npz",
        "over_training_fit.svg",
        "over_training_fit.png",
    }
    assert path.read_text().index("Over training") < path.read_text().index("Here")


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(UsageError, match="cannot be written: No space left"):
        output.write(tmp_path, "slope", [], {0: finding()})
    assert not names(tmp_path)


def test_a_place_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="file cannot be written"):
        output.write(tmp_path / "file", "slope", [], {0: finding()})


def test_arrays_do_not_depend_on_the_time():
    first = output.arrays({"a": np.ones(2)})
    assert np.load(io.BytesIO(first))["a"].sum() == 2
    assert first == output.arrays({"a": np.ones(2)})
