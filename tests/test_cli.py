"""The command line: help, and one line and exit code 2 for every mistake."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bert_jax import cli
from bert_jax.run import config as configs
from bert_jax.run import exits, options, rundir

ROOT = Path(__file__).parents[1]
TEXT = "The king lost a stone. My aunt found it. " * 20


def replaced(verb: str, action) -> options.Verb:
    return cli.VERBS[verb]._replace(action=action)


@pytest.fixture
def train(tiny, tmp_path, capsys):
    """Runs `train` on the tiny config; the exit code and what was said."""

    def run(*arguments: str) -> tuple[int, str]:
        path = tmp_path / "tiny.json"
        path.write_text(configs.canonical(tiny({})))
        workdir = tmp_path / "run"
        command = ["train", f"--config={path}", f"--workdir={workdir}"]
        code = cli.main(
            [*command, f"--config.data.cache={tmp_path / 'cache'}", *arguments]
        )
        assert not rundir.is_run(workdir), "something was half-written"
        return code, capsys.readouterr().err

    return run


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_explains_itself_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as leave:
        cli.main([verb, "--help"])
    assert leave.value.code == 0
    assert f"example: python launch.py {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["trian"],
        ["train"],
        ["train", "--workdir"],
        ["train", "--workdir=w", "--confg=x"],
        ["evaluate", "--workdir=w", "--step=last"],
        ["evaluate", "--workdir=w", "--config.seed=1"],
        ["train", "--workdir=w", "--config.seed"],
    ],
)
def test_a_mistyped_command_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as leave:
        cli.main(arguments)
    assert leave.value.code == 2
    assert "launch.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("train --workdir=w --seed=3", "did you mean --config.seed=3?"),
        ("prepare --config=c --seed=3", "did you mean --config.seed=3?"),
        ("sweep x.py --seed=3", "seed is a key of the config, which sweep does not"),
        ("evaluate --workdir=w --seed=3", "seed is a key of the config, which eval"),
        ("train --workdir=w --learning_rate=3", "--config.optim.learning_rate=3?"),
        ("train --workdir=w --agains=x", "did you mean --against=x?"),
        ("generate --workdir=w --max=3 text", "did you mean --max_tokens=3?"),
        ("predict --workdir=w --jsn text", "did you mean --json?"),
        ("inspect score --workdir=w --pair=a", "did you mean --pairs=a?"),
        ("predict --workdir=w --zzz=3 text", "predict --help lists all options"),
    ],
)
def test_options_are_not_abbreviated(arguments, said, capsys):
    """FAULTS 55: --seed=3 was read as --seeds=3."""
    with pytest.raises(SystemExit) as leave:
        cli.main(arguments.split())
    assert leave.value.code == 2
    assert said in capsys.readouterr().err


def test_an_override_may_stand_before_its_value():
    """FAULTS 65"""
    spoken = ["train", "--workdir=w", "--config.train.steps", "10"]
    assert cli.parse(spoken)[1] == {"train.steps": "10"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(28, "No space left on device", "w/x"),
            "w/x: No space left on device: ",
        ),
        (OSError(30, "Read-only file system", "w"), "w: Read-only file system: name"),
        (
            OSError(36, "File name too long", "x" * 5000),
            "xx... (5,000 characters): File",
        ),
        (NotADirectoryError(20, "Not a directory", "w"), "w: Not a directory"),
        (ValueError("DATA_LOSS: ... [No space left on device]"), "free some space"),
    ],
)
def test_what_a_disk_refuses_is_one_line(error, said, monkeypatch, capsys):
    """FAULTS 45"""

    def fails(*_):
        raise error

    monkeypatch.setitem(cli.VERBS, "report", replaced("report", fails))
    assert cli.main(["report", "x.py"]) == 2
    text = capsys.readouterr().err
    assert text.startswith("launch.py report: ")
    assert said in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    "error", [TypeError("x"), OSError(9, "Bad file"), OSError("x")]
)
def test_mistakes_of_a_program_stay_visible(error, monkeypatch):
    def fails(*_):
        raise error

    monkeypatch.setitem(cli.VERBS, "report", replaced("report", fails))
    with pytest.raises(type(error)):
        cli.main(["report", "x.py"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.num_layer=2", "did you mean model.num_layers"),
        ("train.steps=ten", "train.steps must be of type int"),
        (f"tokenizer.vocab_size={10**300}", "must be at most 10,000,000, not of 301"),
        (f"train.batch={10**400}", "at most 2,147,483,647, not of 401 digits"),
        ("optim.learning_rate=nan", "optim.learning_rate must be a finite number"),
        ("model.num_heads=3", "not divisible by model.num_heads 3"),
        ("data.length=65", "data.length 65 is above model.max_length 64"),
        ("parallel.mesh=3x1x1", "8 is not divisible by the 3 devices"),
        ("parallel.mesh=9x1x1", "does not fit 8 devices"),
        ("objective.mask_unit=letter", "objective.mask_unit must be token | word"),
        ("train.batch=800000", "fewer than a batch of 800000"),
        ("model.vocab_size=77", "model.vocab_size is 77 but the tokenizer has"),
        ("data.files=nowhere", "there is no file or folder nowhere"),
        ("init_from=nowhere", "nowhere is no run"),
        ("optim.freeze=nothing", "optim.freeze"),
    ],
)
def test_a_mistake_in_the_config_is_one_line(train, override, said):
    code, text = train(f"--config.{override}")
    assert code == 2
    last = text.strip().splitlines()[-1]
    assert said in last
    assert last.startswith("launch.py train: ")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", b"", "is empty"),
        ("blank.txt", b"\n \n", "is empty"),
        ("binary.txt", bytes(range(256)) * 50, "binary"),
        ("wide.txt", TEXT.encode("utf-16"), "is UTF-16"),
        ("latin.txt", ("caf\u00e9 " + TEXT).encode("latin-1"), "line 1: no utf-8"),
        ("long.txt", b"word " * 10_000_000, "line 1: longer than"),
        ("only.txt", TEXT.encode(), "document"),
        (
            "empty.jsonl",
            b'{"text": "One."}\n{"text": ""}\n',
            "too few to hold two out",
        ),
        ("broken.jsonl", b'{"text": "One."}\n{"text": \n', "line 2"),
        ("picture.png", b"png", "only .txt"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(train, tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    code, text = train(f"--config.data.files={path}")
    last = text.strip().splitlines()[-1]
    assert code == 2
    assert said in last
    assert name in last or "document" in last
    assert not list((tmp_path / "cache").glob("*/manifest.json"))


def test_a_dangling_link_is_named(train, tmp_path):
    """FAULTS 50"""
    (tmp_path / "run").symlink_to(tmp_path / "nowhere" / "run")
    code, text = train()
    assert code == 2
    assert "run is a link to nothing" in text.splitlines()[-1]


def test_a_directory_that_is_no_run(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    for verb in ("evaluate", "predict"):
        assert cli.main([verb, f"--workdir={tmp_path}"]) == 2
        assert "is no run" in capsys.readouterr().err
    assert cli.main(["train", f"--workdir={tmp_path}"]) == 2
    assert "is no run to continue: give --config" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_directory_of_something_else_is_not_written_to(train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    code, text = train()
    assert code == 2
    assert "thesis.tex" in text
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_ctrl_c_before_there_is_anything_to_save_is_one_line(
    tiny, tmp_path, monkeypatch, capsys
):
    def interrupt(*_):
        raise KeyboardInterrupt

    path = tmp_path / "tiny.json"
    path.write_text(configs.canonical(tiny({})))
    monkeypatch.setattr("bert_jax.data.build._survey", interrupt)
    command = [
        "prepare",
        f"--config={path}",
        f"--config.data.cache={tmp_path / 'cache'}",
    ]
    assert cli.main(command) == 75
    assert "interrupted" in capsys.readouterr().err.splitlines()[-1]
    assert not [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]


def printing(command: str, tail: str) -> subprocess.CompletedProcess[str]:
    """A command, its verb one that prints a lot and returns 9, in a shell."""
    verb = command.split()[0]
    script = (
        "import sys\nfrom bert_jax import cli\n"
        f"verb = cli.VERBS[{verb!r}]\n"
        "action = lambda args, overrides: print(*range(40_000)) or 9\n"
        f"cli.VERBS[{verb!r}] = verb._replace(action=action)\n"
        f"sys.exit(cli.main({command.split()}))"
    )
    shell = (
        f"{shlex.join([sys.executable, '-c', script])} {tail}; exit ${{PIPESTATUS[0]}}"
    )
    return subprocess.run(
        ["bash", "-c", shell], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False
    )


FULL = "standard output cannot be written: No space left on device"
CLOSED = "standard output is closed, and there is nothing but to print"


@pytest.mark.parametrize(
    ("command", "tail", "code", "said"),
    [
        ("predict --workdir=w", "| head -0", 0, ""),
        ("predict --workdir=w", "> /dev/full", 2, f"launch.py predict: {FULL}\n"),
        ("predict --workdir=w", ">&-", 2, f"launch.py predict: {CLOSED}\n"),
        ("sweep x.py --status", "| head -0", 0, ""),
        ("sweep x.py --status", ">&-", 2, f"launch.py sweep: {CLOSED}\n"),
        ("report x.py", "| head -0", 9, ""),
        ("report x.py", ">&-", 9, ""),
        ("train --workdir=w", "| head -0", 9, ""),
    ],
)
def test_a_reader_that_has_seen_enough_ends_what_only_reads(command, tail, code, said):
    """FAULTS 57: what writes files besides goes on to its end."""
    done = printing(command, tail)
    assert (done.returncode, done.stderr) == (code, said)


def test_help_loads_no_jax():
    """Which is why cli imports a verb's module when the verb runs."""
    code = "import sys\nfrom bert_jax import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n"
    code += "print('jax' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("program", [["launch.py"], ["-m", "bert_jax"]])
def test_the_command_line_exits_with_the_code(program, tmp_path):
    command = [sys.executable, *program, "train", f"--workdir={tmp_path}"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "character", ["\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u2028"]
)
@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--config=configs/demo.py", "--workdir=runs/a{}b"],
        ["sweep", "experiments/mask_rate.py", "--root=a{}b"],
        ["sweep", "experiments/a{}b.py"],
        ["report", "experiments/mask_rate.py", "--root=a{}b"],
        ["export", "--workdir=runs/x", "--to=a{}b"],
        ["import", "--from=a{}b", "--workdir=runs/x"],
        ["inspect", "words", "--workdir=a{}b", "cat"],
        ["train", "--config=c", "--workdir=a", "--on=slurm", "--cluster=a{}b"],
    ],
)
def test_control_characters_in_paths_are_refused(arguments, character, capsys):
    """FAULTS 51: a line's end in --root ran as a line of the batch script."""
    given = [argument.format(character) for argument in arguments]
    assert cli.main(given) == exits.USAGE
    said = capsys.readouterr().err
    assert f"holds {character!r}, which no path here may: choose another name" in said
    assert len(said.splitlines()) == 1
