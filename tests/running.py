"""Runs for the tests: in a process of their own, on two hosts, and compared."""

import json
import multiprocessing
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

import launch
from bert_jax.data import tokenizer
from bert_jax.models import network as networks
from bert_jax.models.layers import EncoderConfig
from bert_jax.models.network import PRETRAINING, Network
from bert_jax.predict.model import Model
from bert_jax.predict.reader import Reader
from bert_jax.run import config as configs
from bert_jax.run import exits, files, record, rundir
from bert_jax.train import checkpoint, loop, session, setup

ROOT = Path(__file__).parents[1]
STEPS = 24
CHANGES = {
    "train.steps": STEPS,
    "train.save_every": 3,
    "eval.every": 6,
    "model.dropout": 0.1,
    "model.attention_dropout": 0.1,
}
SHALLOW = {**CHANGES, "model.num_layers": 1}  # half of what there is to compile


@pytest.fixture(scope="session")
def config(tiny):
    """A run of a few seconds that evaluates, saves and drops."""
    return tiny(CHANGES)


@pytest.fixture(scope="session")
def straight(config, once) -> Path:
    """The directory of the run that nothing interrupts."""

    def train(workdir: Path) -> None:
        assert loop.run(config, workdir) == exits.DONE

    return once("straight", train)


# Of the words of conftest's `story`, and more of their kinds.
PEOPLE = ("the king", "a farmer", "my aunt", "the old dog", "her brother")
THINGS = {"stone": "a red stone", "way": "the long road", "food": "some bread"}
FINETUNING = {
    "train.epochs": 0.0,
    "train.steps": 24,
    "train.save_every": 12,
    "eval.every": 12,
    "eval.max_examples": 0,
    "optim.warmup_share": 0.0,
    "optim.warmup_steps": 2,
    "optim.learning_rate": 0.01,
}


@pytest.fixture(scope="session")
def finetune(tiny, straight, once):
    """Trains a task from `straight` on the text of a file: (recipe, text, changes)."""

    def run(recipe: str, text: str, changes: dict[str, object]) -> Path:
        def train(folder: Path) -> None:
            folder.mkdir()
            (folder / "train").write_text(text)
            given = {"task.train": folder / "train", "task.valid": "", "task.test": ""}
            given |= {"init_from": straight, "model.norm": "pre"}
            wishes = {**FINETUNING, **given, "data.valid_share": 0.3, **changes}
            config = tiny(wishes, f"configs/finetune/{recipe}.py")
            assert loop.run(config, folder / "run") == exits.DONE

        return (
            once(f"{recipe}-{files.digest(text, str(changes), length=8)}", train)
            / "run"
        )

    return run


@pytest.fixture(scope="session")
def classifier(finetune) -> Path:
    """A run that tells stones, ways and food."""
    rows = [
        f"{label}\t{who} {did} {what} ."
        for label, what in THINGS.items()
        for who in PEOPLE
        for did in ("saw", "took")
    ]
    return finetune("sst2", "\n".join(rows), {"task.labels": ""})


@pytest.fixture(scope="session")
def tagger(finetune) -> Path:
    """A run that finds who did what: B-WHO I-WHO O B-WHAT ... O."""
    sentences = [
        [*_tagged(who, "WHO"), f"{did}\tO", *_tagged(what, "WHAT"), ".\tO", ""]
        for what in THINGS.values()
        for who in PEOPLE
        for did in ("saw", "took")
    ]
    lines = [line for sentence in sentences for line in sentence]
    return finetune("wnut17", "\n".join(lines), {})


def _tagged(words: str, kind: str) -> list[str]:
    tags = [f"B-{kind}"] + [f"I-{kind}"] * words.count(" ")
    return [f"{word}\t{tag}" for word, tag in zip(words.split(), tags, strict=True)]


@pytest.fixture(scope="session")
def answerer(finetune) -> Path:
    """A run that says what was taken, if anything; contexts need several windows."""
    rows = {"max_question": 8, "stride": 4, "max_answer": 4}
    changes = {f"task.{key}": value for key, value in rows.items()}
    text = json.dumps(squad())
    return finetune("squad", text, {**changes, "task.no_answer": True})


def squad() -> dict:
    """Ten questions, every second of which has no answer."""
    paragraphs = []
    for number, who in enumerate(PEOPLE):
        what = list(THINGS.values())[number % 3]
        context = (
            f"my aunt saw the quiet house . {who} took {what} . " + "a dog lost . " * 8
        )
        answer = {"text": what, "answer_start": context.index(what)}
        questions = [("what was taken ?", [answer]), ("what was sold ?", [])]
        qas = [
            {"id": f"{number}/{i}", "question": question, "answers": answers}
            | {"is_impossible": not answers}
            for i, (question, answers) in enumerate(questions)
        ]
        paragraphs.append({"context": context, "qas": qas})
    return {"data": [{"title": "things", "paragraphs": paragraphs}]}


def untrained(
    tiny, straight: Path, head: str, classes: int, task: dict[str, str]
) -> Model:
    """A model of random weights, large enough that texts differ."""
    source = {"task.format": "jsonl", "task.train": "none"}
    config = tiny({"model.init_stddev": 0.5, **source, **task})
    words = tokenizer.load(straight / "tokenizer.json", True)
    config = setup.resolved(config, words.vocab_size)
    heads = ("pooler", head)
    network = Network(EncoderConfig(**config.model), heads, classes, PRETRAINING)
    params = networks.init(network, jax.random.key(0))
    labels = ["b", "a"][:classes]
    return Model(Reader(config, words, network, params, 0, labels, ""))


def final_state(workdir: Path):
    """Everything in the newest checkpoint, as numpy."""
    parts = session.reopen(workdir)
    checkpoints = checkpoint.Checkpoints(workdir, 3, 0, False)
    step = checkpoints.newest(print)
    assert step is not None
    state = jax.device_get(checkpoints.restore(step, parts.shapes()))
    checkpoints.close()
    return state


def begin_run(workdir: Path, config: FrozenConfigDict, parent: str = "") -> None:
    """What a run writes first, of data and a vocabulary that are none."""
    workdir.mkdir(parents=True, exist_ok=True)
    facts = {
        "fingerprint": configs.fingerprint(config, parent),
        "parent": parent,
        "seed": config.seed,
        "versions": {"commit": 40 * "c"},
        "devices": ["cpu"],
        "tokenizer": "7" * 12,
        "data": "d",
    }
    record.write_began(workdir, config, facts)


def end_run(workdir: Path, metrics: Mapping[str, float]) -> None:
    """What a run writes last."""
    result = {"steps": 1, "tokens": 1, "seconds": 1.0, "flops": 1.0, "metrics": metrics}
    mark = {"fingerprint": rundir.began(workdir)["fingerprint"]}
    record.write_result(workdir, result | mark)


def amend(path: Path, changes: Mapping[str, object]) -> None:
    """Change keys of a JSON file as one who wrote it would: its check is right."""
    written = json.loads(path.read_text()) | changes
    written.pop(files.CHECK, None)
    files.write_json(path, files.checked(written))


def unchecked(path: Path) -> None:
    """Take from a JSON file what versions before format 2 did not write."""
    written = json.loads(path.read_text())
    later = ("format", "check", "metrics_bytes", "metrics_sha256")
    files.write_json(path, {k: v for k, v in written.items() if k not in later})


def become(workdir: Path, changes: Mapping[str, object]) -> None:
    """Make a run one of another config, in all its files but those of its data."""
    config = configs.changed(configs.read(str(workdir / rundir.CONFIG), {}), changes)
    identity = configs.fingerprint(config, rundir.began(workdir)["parent"])
    files.write_text(workdir / rundir.CONFIG, configs.canonical(config))
    amended = [workdir / rundir.RUN, workdir / rundir.RESULT]
    amended += (workdir / rundir.CHECKPOINTS).glob("*/manifest.json")
    for path in amended:
        amend(path, {"fingerprint": identity})


def metrics(workdir: Path):
    """metrics.jsonl without what depends on the clock."""
    return {
        step: {k: v for k, v in values.items() if not k.startswith("time/")}
        for step, values in rundir.read_metrics(workdir).items()
    }


def assert_same_run(workdir: Path, other: Path):
    """Parameters, optimiser and metrics, bit for bit."""
    jax.tree.map(
        np.testing.assert_array_equal, final_state(workdir), final_state(other)
    )
    assert metrics(workdir) == metrics(other)


# Processes are forked of one that has imported what they need: to import takes longer
# than such a run.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["bert_jax.train.loop"])


class Started(NamedTuple):
    """A process that was started, and what it prints to stderr."""

    process: Any
    log: Path

    def is_running(self) -> bool:
        return self.process.is_alive()

    def send(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self, seconds: float = 300) -> tuple[int | None, str]:
        """Its exit code, None if it has not ended in time, and what it said."""
        self.process.join(seconds)
        code, said = self.process.exitcode, self.log.read_text()
        self.process.kill()
        return code, said


def start(config, workdir: Path, **environment: str) -> Started:
    """`launch.py train` in a process of its own."""
    path = workdir.with_suffix(".json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(configs.canonical(config))
    command = ["train", f"--config={path}", f"--workdir={workdir}"]
    return start_command(command, path.parent, environment)


def start_command(
    command: list[str], folder: Path, environment: Mapping[str, str]
) -> Started:
    """A command of launch.py in a process of its own, its log in a folder."""
    descriptor, log = tempfile.mkstemp(dir=folder, suffix=".log")
    os.close(descriptor)
    process = FORKS.Process(target=_launch, args=(command, log, environment))
    process.start()
    return Started(process, Path(log))


def _launch(command: list[str], log: str, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    os.chdir(ROOT)
    for stream, name in ((1, os.devnull), (2, log)):
        os.dup2(os.open(name, os.O_WRONLY), stream)
    sys.exit(launch.main(command))


def start_two_hosts(config, workdir: Path, devices: int) -> list[Started]:
    """Two processes of one run, each with its own simulated devices."""
    flags = re.sub(r"count=\d+", f"count={devices}", os.environ["XLA_FLAGS"])
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return [
        start(
            config,
            workdir,
            JAX_COORDINATOR_ADDRESS=f"localhost:{port}",
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(number),
            XLA_FLAGS=flags,
        )
        for number in range(2)
    ]


def wait_until(done, started: Started):
    """Looks often, and gives up when the process has ended."""
    while not done() and started.is_running():
        time.sleep(0.002)


def logged(workdir: Path) -> int:
    """The last step in metrics.jsonl, -1 before there is one."""
    return max(rundir.read_metrics(workdir), default=-1)


def reached(workdir: Path, step: int) -> bool:
    return logged(workdir) >= step
