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
from bert_jax.predict.inputs import Source
from bert_jax.predict.model import Chosen, Filled, Labelled, Model, load
from bert_jax.predict.reader import BATCH, Passage
from bert_jax.run import rules
from bert_jax.run.config import UsageError
from bert_jax.tasks.decode import Answer, Found
from bert_jax.tasks.records import Choice, Question, Sentence

BLOCK = 2_000  # inputs that are held and sorted together
SHOWN = 60  # characters of a text
BESIDE = 40  # characters of a context at either side of its answer
OTHERS = 3  # labels shown beside the likeliest
NUMBERS = 4  # of a vector


class Mode(NamedTuple):
    """predict(model, records, least): results. as_json, as_text(record, result)."""

    predict: Callable[[Model, list[Any], int], Iterable[Any]]
    as_json: Callable[[Any, Any], dict[str, Any]]
    as_text: Callable[[Any, Any], str]


class Style(NamedTuple):
    """What to print: results for people or programs, or how one comes about; of the
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
        _print_all(model, MODES[mode], records, style.as_json)
    model.reader.warn()
    return 0


def _check(source: Source, style: Style) -> None:
    if source.texts and source.file:
        raise UsageError("give TEXT or --file, not both")
    if style.explain and style.as_json:
        raise UsageError("--explain is for people: leave out --json")


def _mode(model: Model, vectors: bool) -> str:
    """A key of MODES: what the run was trained for, or else vectors."""
    if vectors:
        return "vectors"
    if model.reader.kind in rules.METRICS:
        return model.reader.kind
    return "masks" if "mlm_head" in model.network.heads else "vectors"


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
    """By 32 texts of like length, the longest first; too few are filled up."""
    texts = [record.text for record in records]
    order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
    found: dict[int, list[Filled]] = {}
    for begin in range(0, len(order), BATCH):
        own = order[begin : begin + BATCH]
        batch = [texts[number] for number in own]
        batch += batch[-1:] * (least - len(batch))
        found.update(zip(own, model.fill_masks(batch)))
    return [found[number] for number in range(len(texts))]


def _vectors(model: Model, records: list[Sentence], least: int) -> np.ndarray:
    return model.reader.means(records, least)


def _texts(record: Sentence) -> dict[str, Any]:
    return {"text": record.text} | ({"pair": record.pair} if record.pair else {})


def _answer_json(record: Question, answer: Answer) -> dict[str, Any]:
    asked = {"question": record.question, "context": record.context}
    own = {"id": record.id} if record.id else {}
    return own | asked | {"answer": answer.text} | _without(answer, "text")


def _without(result: Any, name: str) -> dict[str, Any]:
    return {key: value for key, value in result._asdict().items() if key != name}


def _masks_json(record: Sentence, filled: list[Filled]) -> dict[str, Any]:
    masks = [
        [{"token": token, "probability": chance} for token, chance in mask.candidates]
        for mask in filled
    ]
    return {"text": record.text, "masks": masks}


def _label_text(record: Sentence, result: Labelled) -> str:
    first, *others = result.probabilities.items()
    line = f"  {first[0]}{_percent(first[1])}  {_both(record)}"
    if len(others) < 2:
        return line
    more = ", ".join(f"{x} {explain.percent(chance)}" for x, chance in others[:OTHERS])
    return f"{line}  ({more})"


def _found_text(passage: Passage, found: list[Found]) -> str:
    wide = max((len(each.type) for each in found), default=0)
    lines = [
        f"  {each.type:{wide}}  {each.text}  [{each.start}:{each.end}]"
        f"{_percent(each.probability)}"
        for each in found
    ]
    return "\n".join([passage.text, *(lines or ["  (nothing)"])])


def _answer_text(record: Question, answer: Answer) -> str:
    if answer.start < 0:
        return f"{record.question}\n  (no answer){_percent(answer.no_answer)}"
    place = f"[{answer.start}:{answer.end}]"
    first = f"  {answer.text}{_percent(answer.probability)}  {place}"
    before, after = record.context[: answer.start], record.context[answer.end :]
    left = before if len(before) <= BESIDE else "..." + before[-BESIDE:]
    right = after if len(after) <= BESIDE else after[:BESIDE] + "..."
    marked = f"{left}**{answer.text}**{right}"
    return f"{record.question}\n{first}\n  {' '.join(marked.split())}"


def _choice_text(record: Choice, result: Chosen) -> str:
    lines = [
        f"  {'>' if number == result.choice else ' '}{_percent(chance)}  {choice}"
        for number, (choice, chance) in enumerate(
            zip(record.choices, result.probabilities, strict=True)
        )
    ]
    return "\n".join([record.text, *lines])


def _masks_text(record: Sentence, filled: list[Filled]) -> str:
    lines = [record.text]
    for mask in filled:
        words = [
            f"{token} {explain.percent(chance)}" for token, chance in mask.candidates
        ]
        lines.append(f"  {mask.mask + 1}. " + "   ".join(words))
    return "\n".join(lines)


def _vector_text(record: Sentence, vector: np.ndarray) -> str:
    numbers = " ".join(f"{number:8.4f}" for number in vector[:NUMBERS])
    norm = np.linalg.norm(vector)
    return f"  {numbers} ...  norm {norm:.4f}  {_both(record)}"


def _percent(chance: float) -> str:
    return f"{explain.percent(chance):>9}"


def _both(record: Sentence) -> str:
    """The texts of a record on one line, shortened."""
    texts = [record.text, record.pair] if record.pair else [record.text]
    flat = [" ".join(text.split()) for text in texts]
    return " | ".join(x if len(x) <= SHOWN else x[: SHOWN - 3] + "..." for x in flat)


MODES = {
    "classify": Mode(_task, lambda r, x: _texts(r) | x._asdict(), _label_text),
    "regress": Mode(
        _task,
        lambda r, x: _texts(r) | {"value": x},
        lambda r, x: f"  {x:9.4f}  {_both(r)}",
    ),
    "tag": Mode(
        _task,
        lambda r, x: {"text": r.text, "entities": [each._asdict() for each in x]},
        _found_text,
    ),
    "span": Mode(_task, _answer_json, _answer_text),
    "choose": Mode(
        _task,
        lambda r, x: {"text": r.text, "choices": list(r.choices)} | x._asdict(),
        _choice_text,
    ),
    "masks": Mode(_masks, _masks_json, _masks_text),
    "vectors": Mode(
        _vectors, lambda r, x: _texts(r) | {"vector": x.tolist()}, _vector_text
    ),
}
