"""Damage that disks and people do to a run: one line, exit code 2, whatever the verb."""

import contextlib
import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest

import launch
from bert_jax.huggingface import exchange
from bert_jax.huggingface import files as directory
from bert_jax.run import config as configs
from bert_jax.run import exits, files, manifest, record, rundir
from bert_jax.train import checkpoint
from tests.exchanging import classifier, write_directory
from tests.running import ROOT, amend, begin_run, end_run

CLASSIFIES = {"architectures": ["BertForSequenceClassification"]}


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    exchange.import_model(
        write_directory(folder / "bert", classifier(2), **CLASSIFIES), folder / "run"
    )
    return folder / "run"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A pretrained run that has ended; tests/golden/make.py says how."""
    folder = tmp_path_factory.mktemp("trained")
    with tarfile.open(ROOT / "tests" / "golden" / "pretrained.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "runs" / "masks" / "few" / "seed_0" / "pretrain"


@pytest.fixture
def run(imported, tmp_path) -> Path:
    return shutil.copytree(imported, tmp_path / "run")


def said(capsys, *command: object) -> str:
    """The one line with which a command ends at once."""
    capsys.readouterr()
    assert launch.main([str(each) for each in command]) == exits.USAGE
    out, error = capsys.readouterr()
    assert not out
    assert error.count("\n") == 1
    return error


def verbs(run: Path) -> list[list[object]]:
    """Those that read a run."""
    workdir = f"--workdir={run}"
    return [
        ["predict", workdir, "the king"],
        ["export", workdir, f"--to={run.parent / 'out'}"],
        ["inspect", "attention", workdir, "the king"],
    ]


# What a run says of itself.


def swapped(text: str) -> str:
    """A tokenizer.json whose last two tokens have each other's ids."""
    content = json.loads(text)
    words = content["model"]["vocab"]
    one, other = list(words)[-2:]
    words[one], words[other] = words[other], words[one]
    return json.dumps(content)


def flipped(text: str) -> str:
    """A tokenizer.json with a bit flipped in its last token."""
    content = json.loads(text)
    last = list(content["model"]["vocab"])[-1]
    return text.replace(f'"{last}"', f'"{last[:-1]}{chr(ord(last[-1]) ^ 16)}"')


@pytest.mark.parametrize("edit", [swapped, flipped])
def test_another_tokenizer_is_named_with_both_fingerprints(edit, run, capsys):
    """FAULTS 39"""
    path = run / rundir.TOKENIZER
    path.write_text(edit(path.read_text()))
    for command in verbs(run):
        line = said(capsys, *command)
        assert re.search(
            rf"{path} has fingerprint 2:\w{{12}} and run.json says 2:\w{{12}}: ", line
        )
    assert not (run.parent / "out").exists()


def test_where_the_store_has_the_tokenizer_the_run_s_is_checked(
    trained, tmp_path, capsys
):
    """FAULTS 39: what evaluates and trains reads the vocabulary of the store."""
    run = shutil.copytree(trained, tmp_path / "run")
    path = run / rundir.TOKENIZER
    path.write_text(swapped(path.read_text()))
    record.read(run)  # tells once that its version is older
    for verb in ("evaluate", "train"):
        line = said(capsys, verb, f"--workdir={run}")
        assert f"{path} has fingerprint 2:" in line
        assert "and run.json says " in line


@pytest.mark.parametrize(
    "change", [("norm_epsilon", 1e-3), ("activation", "gelu_tanh"), ("num_heads", 4)]
)
def test_another_config_is_named_with_both_fingerprints(change, run, capsys):
    """FAULTS 39: by one who leaves the check out, or makes it right."""
    path = run / rundir.CONFIG
    written = json.loads(path.read_text())
    written["model"] |= [change]
    path.write_text(json.dumps(written))
    for command in [*verbs(run), ["evaluate", f"--workdir={run}"]]:
        assert "config.json was edited or damaged" in said(capsys, *command)
    del written[files.CHECK]
    config = configs.from_json(json.dumps(written))
    path.write_text(configs.canonical(config))
    for command in verbs(run):
        assert re.search(
            r"config.json has fingerprint \w{12} and run.json says \w{12}: one of",
            said(capsys, *command),
        )
    assert not (run.parent / "out").exists()


def test_damage_to_an_import_is_named(run, capsys):
    """Its parameters are checked like those of any run, whenever they are read."""
    folder = run / rundir.CHECKPOINTS / "0"
    files = [path for path in folder.rglob("*") if path.is_file()]
    path = max((p for p in files if "params" in str(p)), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for command in verbs(run):
        assert said(capsys, *command).endswith(
            f"{run} has no checkpoint that verifies: {folder}: "
            f"{path.relative_to(folder)} does not match its sha256. Restore one from a "
            f"copy, or remove {folder.parent} to begin anew\n"
        )
    assert not (run.parent / "out").exists()


# What a run has lost.


@pytest.fixture
def begun(tmp_path) -> Path:
    """A run with a checkpoint and a line of metrics; it has ended."""
    workdir = tmp_path / "run"
    begin_run(workdir, configs.load("configs/demo.py", {}))
    save(workdir, 7)
    end_run(workdir, {"valid/mlm_loss": 3.0})
    return workdir


def save(workdir: Path, step: int) -> None:
    """A line of metrics and a checkpoint of that step."""
    with rundir.append_metrics(workdir) as file:
        file.write(rundir.metrics_line(step, {"train/loss": 3.5}))
    folder = workdir / rundir.CHECKPOINTS / str(step)
    (folder / "params").mkdir(parents=True)
    (folder / "params" / "values").write_bytes(b"0123456789")
    size = (workdir / rundir.METRICS).stat().st_size
    manifest.write(folder, rundir.began(workdir)["fingerprint"], size)


LOST = {
    ("config.json", "result.json"): (
        "metrics.jsonl and checkpoints of a run, but lacks config.json"
    ),
    ("config.json", "result.json", "run.json", "metrics.jsonl"): (
        "checkpoints of a run, but lacks config.json and run.json"
    ),
    ("run.json",): (
        "metrics.jsonl and result.json and checkpoints and config.json of a run, but "
        "lacks run.json"
    ),
}


@pytest.mark.parametrize("lost", LOST, ids=" ".join)
def test_checkpoints_without_a_run_are_refused(lost, begun, capsys):
    """FAULTS 36: they went on under the identity of another run."""
    for name in lost:
        (begun / name).unlink()
    left = sorted(begun.rglob("*"))
    train = ["train", "--config=configs/demo.py", f"--workdir={begun}"]
    more = ["--config.seed=3", "--config.optim.learning_rate=0.5"]
    assert said(capsys, *train, *more) == (
        f"launch.py train: {begun} holds {LOST[lost]}: restore that from a copy, or "
        "choose another --workdir\n"
    )
    assert sorted(begun.rglob("*")) == left


# What a crash leaves in metrics.jsonl.

NULS = b"\0" * 40


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_of_nuls_after_a_checkpoint_is_cut_and_told(end, begun, capsys):
    """FAULTS 14: every later reader met it."""
    (begun / rundir.RESULT).unlink()
    path = begun / rundir.METRICS
    whole = path.read_bytes()
    path.write_bytes(whole + NULS + end)
    assert resume(begun) == [
        f"{path}: line 2 was damaged and removed: its step is repeated"
    ]
    assert path.read_bytes() == whole
    assert resume(begun) == []


def resume(workdir: Path) -> list[str]:
    """What is told where a run goes on, from step 7."""
    told = []
    with contextlib.closing(checkpoint.Checkpoints(workdir, 1, 0, False)) as saved:
        assert saved.newest(told.append) == 7
        saved.rewind(7, told.append)
    return told


def test_a_line_of_nuls_before_a_checkpoint_is_moved_aside_and_told(begun, capsys):
    """FAULTS 14: what the checkpoint saw is then there again, to the byte."""
    (begun / rundir.RESULT).unlink()
    path = begun / rundir.METRICS
    whole = path.read_bytes()
    path.write_bytes(NULS + b"\n" + whole)
    assert resume(begun) == [f"{path}: line 1 was damaged and moved to metrics.damaged"]
    assert path.read_bytes() == whole
    assert path.with_name("metrics.damaged").read_bytes() == NULS + b"\n"
    assert resume(begun) == []


# Names and numbers that nobody would choose.


def test_folders_that_are_no_checkpoints_are_none(run, capsys):
    """FAULTS 50: a digit that is none, an empty folder and a copy, all of later steps."""
    folder = run / rundir.CHECKPOINTS
    (folder / "²").mkdir()
    (folder / "900").mkdir()
    shutil.copytree(folder / "0", folder / "901")
    assert checkpoint.chosen(run, None) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"passing over checkpoint {folder}/901: it is of step 0, not of 901",
        f"passing over checkpoint {folder}/900: its save never finished",
    ]
    predict = ["predict", f"--workdir={run}", "the king"]
    assert said(capsys, *predict, "--step=900") == (
        f"launch.py predict: checkpoint {folder}/900: its save never finished\n"
    )


def test_a_shard_of_a_long_name_is_named(tmp_path, capsys):
    """FAULTS 50"""
    source = write_directory(tmp_path / "bert", {}, **CLASSIFIES)
    (source / directory.WEIGHTS).unlink()
    index = {"weight_map": {"bert.pooler.dense.weight": "x" * 5000}}
    (source / directory.INDEX).write_text(json.dumps(index))
    line = said(capsys, "import", f"--from={source}", f"--workdir={tmp_path / 'run'}")
    assert "xx... (5," in line and line.endswith(": File name too long\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        (
            "vocab_size",
            10**300,
            "model.vocab_size must be at most 10,000,000, not of 301 digits",
        ),
        ("vocab_size", 0, "config.json: vocab_size must be at least 1, not 0"),
        ("type_vocab_size", -1, "config.json: type_vocab_size must be at least 1, not -1"),
        ("layer_norm_eps", 10**400, "config.json: layer_norm_eps is a number that is too large"),
    ],
)  # fmt: skip
def test_an_absurd_number_of_an_import_is_named(key, value, line, tmp_path, capsys):
    """FAULTS 50"""
    source = write_directory(tmp_path / "bert", classifier(2), **CLASSIFIES)
    card = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(card | {key: value}))
    command = ["import", f"--from={source}", f"--workdir={tmp_path / 'run'}"]
    assert said(capsys, *command) == f"launch.py import: {line}\n"
    assert not (tmp_path / "run").exists()


def test_a_link_to_nothing_is_no_directory(imported, tmp_path, capsys):
    """FAULTS 50"""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere" / "run")
    source = write_directory(tmp_path / "bert", classifier(2), **CLASSIFIES)
    for command in (
        ["import", f"--from={source}", f"--workdir={link}"],
        ["train", "--config=configs/demo.py", f"--workdir={link}"],
        ["export", f"--workdir={imported}", f"--to={link}"],
    ):
        assert f"{link} is a link to nothing" in said(capsys, *command)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("size", [-1, -(10**400), 10**400], ids=["-1", "less", "more"])
def test_an_absurd_size_of_the_metrics_is_named(size, trained):
    """Found by mutation: a run may say so of itself with the right check."""
    assert "metrics.jsonl has" in record.differs(trained, size, "")


def test_what_cannot_be_printed_is_an_escape(run, capsys):
    """Found by mutation: a check of control characters broke the line."""
    path = run / rundir.RUN
    path.write_text(json.dumps(json.loads(path.read_text()) | {"check": "\x1b[2J\n"}))
    line = said(capsys, "predict", f"--workdir={run}", "a")
    assert r"its check is '\x1b[2J\n'" in line


def test_what_an_import_kept_is_checked(run, tmp_path, capsys):
    """Found by mutation: an export met a missing key with a traceback."""
    amend(run / rundir.RUN, {"kept": {}})
    line = said(capsys, "export", f"--workdir={run}", f"--to={tmp_path / 'out'}")
    assert f"{run / rundir.RUN} is not what it should be" in line


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [("config.json", "is_decoder", "²"), ("tokenizer_config.json", "max_len", [])],
)
def test_kept_keys_are_refused_as_in_imports(part, key, value, run, tmp_path, capsys):
    """Found by mutation: an export wrote back what no import would have taken."""
    kept = rundir.read(run, rundir.RUN)["kept"]
    kept[part] = {key: value}
    amend(run / rundir.RUN, {"kept": kept})
    line = said(capsys, "export", f"--workdir={run}", f"--to={tmp_path / 'out'}")
    assert f"{run / rundir.RUN}, kept of {part}: " in line
