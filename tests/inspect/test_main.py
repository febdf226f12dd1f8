"""The verb: what can be asked, of which steps, and what it prints."""

import pytest

import launch
from bert_jax.inspect import main as verb
from bert_jax.run import exits
from bert_jax.train import checkpoint
from tests.inspect.test_output import finding


class Seen:
    """A kind whose finding is the number of its step."""

    def __init__(self):
        self.steps = []

    def request(self, args, overrides):
        return args.text

    def find(self, model, request):
        assert request == "a b"
        self.steps.append(model.step)
        return finding(fit_one=float(model.step))


@pytest.fixture
def seen(monkeypatch):
    kind = Seen()
    monkeypatch.setattr(verb, "_kind", lambda name: kind)
    return kind


def asked(*more: str) -> int:
    return launch.main(["inspect", "attention", "a b", *more])


def test_a_page_of_the_newest_step(straight, seen, tmp_path, capsys):
    assert asked(f"--workdir={straight}", f"--to={tmp_path}") == exits.DONE
    assert seen.steps == checkpoint.steps(straight / "checkpoints")[-1:]
    out = capsys.readouterr().out
    assert "Does <it> fall?\nIt does." in out
    assert "There\na  b\nx  1" in out
    assert str(tmp_path / "attention.html") in out
    assert straight.name in (tmp_path / "attention.html").read_text()


def test_all_steps_are_followed(straight, seen, tmp_path):
    assert (
        asked(f"--workdir={straight}", f"--to={tmp_path}", "--step=all") == exits.DONE
    )
    assert seen.steps == checkpoint.steps(straight / "checkpoints")
    assert (tmp_path / "over_training.npz").is_file()


def test_it_goes_beside_the_run_by_default(straight, seen, tmp_path, monkeypatch):
    where = []

    def write(folder, kind, facts, findings):
        where.append(folder)
        return folder / "page"

    monkeypatch.setattr(verb.output, "write", write)
    assert asked(f"--workdir={straight}") == exits.DONE
    assert where == [straight / "inspect" / "attention"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["attention", "a"], "attention needs --workdir=RUN"),
        (["words", "a"], "words needs --workdir=RUN, or --static=..."),
        (["words", "a", "--static=cbow"], "without --workdir say --to=DIR"),
        (["attention", "a", "--workdir=no", "--step=x"], "neither a number nor all"),
        (["attention", "a", "--workdir=no"], "no is no run"),
        (["attention", "a", "--workdir=no", "--config.seed=1"], "takes no overrides"),
    ],
)
def test_what_cannot_be_asked_is_one_line(arguments, line, seen, capsys):
    assert launch.main(["inspect", *arguments]) == exits.USAGE
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


def test_a_step_that_was_not_kept(straight, seen, capsys):
    assert asked(f"--workdir={straight}", "--step=1") == exits.USAGE
    assert "kept no step 1; it has" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [[], ["nothing"], ["words", "--top=x"]])
def test_a_wrong_command_line_exits_with_2(wrong, capsys):
    with pytest.raises(SystemExit) as slip:
        launch.main(["inspect", *wrong])
    assert slip.value.code == exits.USAGE
