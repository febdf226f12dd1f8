"""Small labelled data in the words of `story`, and runs fine-tuned on them."""

import json
import random
from pathlib import Path

import pytest

from bert_jax.run import config as configs
from bert_jax.run import exits, lineage
from bert_jax.train import loop
from tests.running import metrics

SIZES = {"train": 48, "valid": 16, "test": 16}
EPOCHS, BATCH = 4, 8
EPOCH = SIZES["train"] // BATCH
PEOPLE = ["the king", "a farmer", "my aunt", "the old dog", "her brother"]
THINGS = ["a red stone", "the long road", "some bread", "the quiet house"]
REST = "saw wanted lost"  # so that all are of one width

# A constant rate, so that runs of any number of steps are compiled once; no dropout
# but of choices, whose rows are not those of the batch.
COMMON = {
    "train.epochs": EPOCHS,
    "train.batch": BATCH,
    "train.save_every": 0,
    "eval.every": 0,
    "optim.learning_rate": 1e-2,
    "optim.schedule": "constant",
    "optim.warmup_share": 0,
    "model.dropout": 0,
    "model.attention_dropout": 0,
}
# The config of each kind, and what differs.
TASKS = {
    "classify": (
        "configs/finetune/sst2.py",
        {"task.labels": "", "objective.pool": "mean"},
    ),
    "multilabel": (
        "configs/finetune/recipe.py",
        {
            "objective.kind": "multilabel",
            "objective.pool": "mean",
            "task.format": "jsonl",
        },
    ),
    "tag": ("configs/finetune/wnut17.py", {}),
    "span": (
        "configs/finetune/squad.py",
        {"task.max_question": 8, "task.stride": 2},
    ),
    "choose": (
        "configs/finetune/recipe.py",
        {
            "objective.kind": "choose",
            "task.format": "jsonl",
            "task.choices": "endings",
            "model.dropout": 0.1,
            "optim.learning_rate": 3e-3,
        },
    ),
}


@pytest.fixture(scope="session")
def labelled(once) -> Path:
    """A folder with the files of each kind: `classify.train`, `tag.test`, ..."""
    return once("labelled", _write_labelled)


def _write_labelled(folder: Path) -> None:
    folder.mkdir()
    draw = random.Random(1)
    for split, size in SIZES.items():
        facts = [(draw.choice(PEOPLE), draw.choice(THINGS)) for _ in range(size)]
        for kind, write in WRITERS.items():
            (folder / f"{kind}.{split}").write_text(write(facts))


def _classify(facts) -> str:
    return "".join(
        f"{thing.split()[-1]}\t{who} found {thing}\n" for who, thing in facts
    )


def _multilabel(facts) -> str:
    kinds = {"outside": ("stone", "road"), "large": ("road", "house")}
    lines = []
    for who, thing in facts:
        label = [kind for kind, words in kinds.items() if thing.split()[-1] in words]
        lines.append(json.dumps({"text": f"{who} found {thing}", "label": label}))
    return "\n".join(lines) + "\n"


def _tag(facts) -> str:
    rows = []
    for who, thing in facts:
        first, *more = who.split()
        rows += [f"{first}\tB-PER", *(f"{word}\tI-PER" for word in more)]
        rows += [f"{word}\tO" for word in ("found", *thing.split(), *REST.split())] + [
            ""
        ]
    return "\n".join(rows) + "\n"


def _span(facts) -> str:
    paragraphs = []
    for number, (who, thing) in enumerate(facts):
        context = f"number {number} is that {who} found {thing} ."
        answer = {"text": thing, "answer_start": context.index(thing)}
        qa = {"id": str(number), "question": f"what found {who}", "answers": [answer]}
        paragraphs.append({"context": context, "qas": [qa]})
    return json.dumps({"data": [{"paragraphs": paragraphs}]})


def _choose(facts) -> str:
    lines = []
    for number, (who, thing) in enumerate(facts):
        endings = ["found saw lost"] * 3
        endings[number % 3] = thing
        line = {"text": f"{who} found", "endings": endings, "label": number % 3}
        lines.append(json.dumps(line))
    return "\n".join(lines) + "\n"


WRITERS = {
    "classify": _classify,
    "multilabel": _multilabel,
    "tag": _tag,
    "span": _span,
    "choose": _choose,
}


@pytest.fixture(scope="session")
def task(overrides, straight, labelled, tmp_path_factory):
    """task(kind, CHANGES): the config of a run from `straight` that evaluates and saves
    once an epoch of six steps."""

    def make(kind: str, changes: dict[str, object]):
        source, own = TASKS[kind]
        files = {f"task.{split}": labelled / f"{kind}.{split}" for split in SIZES}
        path = tmp_path_factory.mktemp("config") / "config.json"
        small = configs.smoke(configs.load(source, overrides))
        path.write_text(configs.canonical(small))
        wishes = {"init_from": straight, **files, **COMMON, **own, **changes}
        return lineage.load(str(path), {k: str(v) for k, v in wishes.items()})

    return make


@pytest.fixture(scope="session")
def tuned(task, once):
    """tuned(kind): the directory of that run, done once."""

    def run(kind: str) -> Path:
        def train(workdir: Path) -> None:
            assert loop.run(task(kind, {}), workdir) == exits.DONE

        return once(f"tuned-{kind}", train)

    return run


def scores(workdir: Path) -> dict[int, dict[str, float]]:
    """Losses and what was evaluated: norms of small gradients differ by more."""
    return {
        step: {name: row[name] for name in row if name != "train/grad_norm"}
        for step, row in metrics(workdir).items()
    }
