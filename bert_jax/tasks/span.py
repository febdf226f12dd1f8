"""An answer as a span of a context (Devlin et al. 2019, sections 4.2 and 4.3)."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bert_jax.data.tokenizer import Tokenizer
from bert_jax.render.text import column
from bert_jax.tasks import squad
from bert_jax.tasks.features import Features, joined
from bert_jax.tasks.formats import sources
from bert_jax.tasks.records import Question, Sentence
from bert_jax.tasks.task import Outputs, Task, fields
from bert_jax.tasks.windows import (
    Answer,
    Window,
    answer,
    answer_span,
    question_windows,
)

QUESTION = "QUESTION<TAB>CONTEXT"
NOTHING = Answer("", -1, -1, 0.0, 1.0)
BESIDE = 40  # characters of a context shown at either side of its answer


class Span(Task):
    head = "span_head"
    formats = sources.QUESTIONS
    needs_label = False  # answers stand at one place in the file
    one_to_one = False  # a context may need several windows

    def is_labelled(self, record: Question) -> bool:
        return bool(record.answers) or self.settings.no_answer

    def group(self, record: Question, number: int) -> str:
        """Questions about one context go together."""
        return record.context

    def features(
        self, records: Sequence[Question], tokenizer: Tokenizer, length: int
    ) -> Features:
        """Features of each question: as many windows as its context needs."""
        rows, targets, owners, places = [], [], [], []
        unseen = 0
        windows = question_windows(
            tokenizer,
            [record.question for record in records],
            [record.context for record in records],
            length,
            self.settings.stride,
            self.settings.max_question,
        )
        for number, (record, of_record) in enumerate(
            zip(records, windows, strict=True)
        ):
            spans = [_target(record, window) for window in of_record]
            unseen += bool(record.answers) and not any(any(span) for span in spans)
            for window, span in zip(of_record, spans, strict=True):
                rows.append((window.ids, window.begin, 0))
                targets.append(span)
                owners.append(number)
                places.append(window)
        flat = np.array(targets, np.int32).reshape(-1, 2)
        found = joined(rows, 1, flat, np.array(owners, np.int64), places)
        return found._replace(lost={"answers in no window": unseen})

    def predictions(
        self, records: Sequence[Question], features: Features, outputs: Outputs
    ) -> list[Answer]:
        windows: list[list[int]] = [[] for _ in records]
        for number in sorted(outputs):  # eval.max_examples may leave some out
            windows[features.owners[number]].append(number)
        return [
            answer(
                record.context,
                [features.places[i] for i in numbers],
                [outputs[i] for i in numbers],
                self.settings.max_answer,
                self.settings.no_answer,
            )
            for record, numbers in zip(records, windows, strict=True)
        ]

    def gold(self, record: Question) -> tuple[str, ...]:
        return tuple(text for _, text in record.answers)

    def score(
        self, gold: list[tuple[str, ...]], guesses: list[Answer]
    ) -> dict[str, float]:
        """SQuAD 1.1's, or where a question has no answer 2.0's, silent above one half."""
        found = [guess.text for guess in guesses]
        if all(gold):
            return squad.squad_v1(gold, found)
        return squad.squad_v2(gold, found, [guess.no_answer for guess in guesses], 0.5)

    def constants(self, gold: list[tuple[str, ...]]) -> Iterable[list[Answer]]:
        return [[NOTHING] * len(gold)]

    def record(
        self, where: str, line: str, paired: bool, tokenizer: Tokenizer
    ) -> Question:
        question, context = fields(where, line, QUESTION)
        return Question(where, "", question, context, ())

    def sentence(self, record: Question) -> Sentence:
        return Sentence(record.where, record.question, record.context, "")

    def result(self, record: Question, predictions: list[Answer]) -> Answer:
        """The answer, without text if the run thinks it likelier that there is none."""
        [found] = predictions
        if self.settings.no_answer and found.no_answer > 0.5:
            return found._replace(text="", start=-1, end=-1)
        return found

    def as_json(self, record: Question, result: Answer) -> dict[str, Any]:
        details = {key: x for key, x in result._asdict().items() if key != "text"}
        asked = {"question": record.question, "context": record.context}
        identity = {"id": record.id} if record.id else {}
        return identity | asked | {"answer": result.text} | details

    def as_text(self, record: Question, result: Answer) -> str:
        if result.start < 0:
            return f"{record.question}\n  (no answer){column(result.no_answer)}"
        place = f"[{result.start}:{result.end}]"
        first = f"  {result.text}{column(result.probability)}  {place}"
        before, after = record.context[: result.start], record.context[result.end :]
        left = before if len(before) <= BESIDE else "..." + before[-BESIDE:]
        right = after if len(after) <= BESIDE else after[:BESIDE] + "..."
        marked = f"{left}**{result.text}**{right}"
        return f"{record.question}\n{first}\n  {' '.join(marked.split())}"


def _target(record: Question, window: Window) -> tuple[int, int]:
    """The span of the first answer, as the authors train, or that of [CLS]."""
    if not record.answers:
        return 0, 0
    return answer_span(window, *record.answers[0]) or (0, 0)
