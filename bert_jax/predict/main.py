"""The verb: texts from arguments, a file or standard input -> what the run says of them.

Inputs are taken in blocks and sorted by length inside each; they are printed in order.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bert_jax.predict import explain, inputs
from bert_jax.predict.batches import BATCH
from bert_jax.predict.inputs import Source
from bert_jax.predict.model import Filled, Model, load
from bert_jax.render.text import percent, shortened
from bert_jax.run.config import UsageError
from bert_jax.tasks.records import Sentence
from bert_jax.tasks.texts import as_json

BLOCK = 2_000  # inputs that are held and sorted together
NUMBERS = 4  # of a vector


class Mode(NamedTuple):
    """predict(model, records, least): results. as_json, as_text(record, result)."""

    predict: Callable[[Model, list[Any], int], Iterable[Any]]
    as_json: Callable[[Any, Any], dict[str, Any]]
    as_text: Callable[[Any, Any], str]


class Style(NamedTuple):
    """Choice of output: results for people or programs, or an explanation; of the
    run's task, or vectors whatever it is."""

    as_json: bool
    explain: bool
    vectors: bool


def main(workdir: Path, step: int | None, source: Source, style: Style) -> int:
    """Print what the run predicts. UsageError names what cannot be read, and its line."""
    _check(source, style)
    model = load(workdir, step)
    mode = _mode(model, style.vectors)
    records = inputs.records(model.reader, mode, source)
    if style.explain:
        print(explain.explain(model, mode, _only(records)))
    else:
        _print_all(model, _printed(model, mode), records, style.as_json)
    model.reader.warn()
    return 0


def _check(source: Source, style: Style) -> None:
    if source.texts and source.file:
        raise UsageError("give TEXT or --file, not both")
    if style.explain and style.as_json:
        raise UsageError("--explain is for people: leave out --json")


def _mode(model: Model, vectors: bool) -> str:
    """The mode of a run: its kind of task, or masks, or else vectors."""
    if vectors:
        return "vectors"
    if model.reader.task:
        return model.reader.kind
    return "masks" if "mlm_head" in model.network.heads else "vectors"


def _printed(model: Model, mode: str) -> Mode:
    """The functions that predict and print results."""
    if mode in MODES:
        return MODES[mode]
    task = model.reader.known_task
    return Mode(_task, task.as_json, task.as_text)


def _only(records: Iterator[Any]) -> Any:
    first = list(islice(records, 2))
    if len(first) != 1:
        count = "more" if first else "none"
        raise UsageError(f"--explain takes one text, not {count}: give it as TEXT")
    return first[0]


def _print_all(model: Model, mode: Mode, records: Iterator[Any], as_json: bool) -> None:
    begun = since = time.perf_counter()
    count = 0
    while block := list(islice(records, BLOCK)):
        least = BATCH if count else 1  # a first block may be all that there is
        for record, result in zip(block, mode.predict(model, block, least)):
            if as_json:
                print(_line(mode.as_json(record, result)))
            else:
                print(mode.as_text(record, result))
        count, now = count + len(block), time.perf_counter()
        if len(block) == BLOCK:
            _say(f"{count:,} lines, {BLOCK / (now - since):,.0f} lines/s")
        since = now
    if count > BLOCK:
        _say(
            f"{count:,} lines in {since - begun:.1f} s, "
            f"{count / (since - begun):,.0f} lines/s"
        )


def _line(result: dict[str, Any]) -> str:
    """JSON has no nan: what is not finite was refused where it was computed."""
    return json.dumps(result, ensure_ascii=False, allow_nan=False)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# Results: of a block of records; for programs; for people.


def _task(model: Model, records: list[Any], least: int) -> list[Any]:
    return model.reader.read(records, least)


def _masks(model: Model, records: list[Sentence], least: int) -> list[list[Filled]]:
    """Fill masks of 32 texts of like length at a time, the longest first."""
    texts = [record.text for record in records]
    order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
    found: dict[int, list[Filled]] = {}
    for begin in range(0, len(order), BATCH):
        numbers = order[begin : begin + BATCH]
        batch = [texts[number] for number in numbers]
        batch += batch[-1:] * (least - len(batch))
        found.update(zip(numbers, model.fill_masks(batch)))
    return [found[number] for number in range(len(texts))]


def _vectors(model: Model, records: list[Sentence], least: int) -> np.ndarray:
    return model.reader.means(records, least)


def _masks_json(record: Sentence, filled: list[Filled]) -> dict[str, Any]:
    masks = [
        [{"token": token, "probability": chance} for token, chance in mask.candidates]
        for mask in filled
    ]
    return {"text": record.text, "masks": masks}


def _masks_text(record: Sentence, filled: list[Filled]) -> str:
    lines = [record.text]
    for mask in filled:
        words = [f"{token} {percent(chance)}" for token, chance in mask.candidates]
        lines.append(f"  {mask.mask + 1}. " + "   ".join(words))
    return "\n".join(lines)


def _vector_json(record: Sentence, vector: np.ndarray) -> dict[str, Any]:
    return as_json(record) | {"vector": vector.tolist()}


def _vector_text(record: Sentence, vector: np.ndarray) -> str:
    numbers = " ".join(f"{number:8.4f}" for number in vector[:NUMBERS])
    norm = np.linalg.norm(vector)
    texts = shortened(record.text, record.pair)
    return f"  {numbers} ...  norm {norm:.4f}  {texts}"


MODES = {
    "masks": Mode(_masks, _masks_json, _masks_text),
    "vectors": Mode(_vectors, _vector_json, _vector_text),
}
