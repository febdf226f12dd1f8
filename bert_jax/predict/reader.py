"""A trained network and its task: what they say of records.

The rows, batches and reading of outputs are those of evaluation.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import FrozenConfigDict

from bert_jax.data.tokenizer import Tokenizer
from bert_jax.models.network import Network, pooled
from bert_jax.objectives.base import flat
from bert_jax.run import rules
from bert_jax.run.config import UsageError
from bert_jax.tasks import decode, features, kinds
from bert_jax.tasks.decode import Found
from bert_jax.tasks.examples import Examples
from bert_jax.tasks.features import Features
from bert_jax.tasks.records import Choice, Sentence, Tagged
from bert_jax.train import evaluate

BATCH = 32  # examples in one call of the network
MEAN = "mean"  # the output that is the mean of the vectors of a text's tokens
# What a head of an imported model does: the config of such a run names no task.
TASKS = {
    "classify_head": "classify",
    "choice_head": "choose",
    "tag_head": "tag",
    "span_head": "span",
}


class Labelled(NamedTuple):
    label: str  # the likeliest
    probability: float
    probabilities: dict[str, float]  # of every label, the likeliest first


class Chosen(NamedTuple):
    choice: int  # the likeliest, from 0
    probability: float
    probabilities: list[float]  # in the order of the choices


class Passage(NamedTuple):
    """A text and the characters [start, end) of each of its words."""

    text: str
    words: list[tuple[int, int]]


class Reader:
    """The task of a run, with its network and labels.

    Texts are cut to the `data.length` pieces of training. What is lost of them is
    counted until `warn`. Batches have `least` rows or more, a power of two: who reads
    many blocks of records says BATCH, lest a small last one is compiled anew.
    """

    def __init__(
        self,
        config: FrozenConfigDict,
        tokenizer: Tokenizer,
        network: Network,
        params: Any,
        step: int,
        labels: Sequence[str],
    ):
        self.config, self.tokenizer, self.step = config, tokenizer, step
        self.params, self.labels = params, tuple(labels)
        self.kind = _kind(config, network)
        self._lost = Counter[str]()
        self._say = partial(_said, network)

    def read(self, records: Sequence[Any], least: int) -> list[Any]:
        """A result for each record: of a text Labelled or a number, of a Question an
        Answer, of a Choice Chosen; of a tag run's Passage its Founds.

        UsageError for records of unlike numbers of choices.
        """
        if self.kind == "tag":
            return self._tagged(records, least)
        if self.kind == "choose":
            _check_choices(records)
        return [self.conclude(said) for said in self._said(records, least)]

    def means(self, records: Sequence[Sentence], least: int) -> np.ndarray:
        """(B, D) float32: the mean of the last layer's vectors over each text's tokens,
        [CLS] and [SEP] included."""
        outputs = self._outputs(MEAN, records, self.features("regress", records), least)
        rows = [outputs[number] for number in range(len(records))]
        return np.array(rows, np.float32).reshape(-1, self.config.model.model_dim)

    def features(self, kind: str, records: Sequence[Any]) -> Features:
        """The rows of unlabelled records, as in training."""
        task, length = self.config.task, self.config.data.length
        made = features.make(kind, records, self.labels, self.tokenizer, task, length)
        self._lost.update(made.lost)
        return made

    def conclude(self, said: Any) -> Any:
        """What `tasks` makes of one record's outputs, as a result."""
        match self.kind:
            case "classify":
                order = np.argsort(-said, kind="stable")
                chances = {self.labels[i]: float(said[i]) for i in order}
                return Labelled(*next(iter(chances.items())), chances)
            case "choose":
                best = int(np.argmax(said))
                return Chosen(best, float(said[best]), said.tolist())
            case "span" if self.config.task.no_answer and said.no_answer > 0.5:
                return said._replace(text="", start=-1, end=-1)
            case _:
                return said

    def passage(self, text: str) -> Passage:
        """A text and its words, whose tokens are those of the text."""
        added = self.tokenizer.added_spans(text)
        return Passage(text, decode.words_beside(text, added))

    def rows(self, passages: Sequence[Passage]) -> list[list[Tagged]]:
        """The words of each passage, parted where a row is full, so that none is cut."""
        words = [text[a:b] for text, spans in passages for a, b in spans]
        sizes = iter(map(len, self.tokenizer.ids(words)))
        parted = []
        for text, spans in passages:
            own = list(islice(sizes, len(spans)))
            starts = _starts(own, self.config.data.length - 2)
            ends = [*starts[1:], len(spans)]
            parts = [spans[a:b] for a, b in zip(starts, ends, strict=True)]
            rows = [tuple(text[a:b] for a, b in part) for part in parts]
            parted.append([Tagged("", row, ()) for row in rows])
        return parted

    def found(self, passage: Passage, rows: Sequence[kinds.WordTags]) -> list[Found]:
        """What is in a passage, given the tags of its rows of words."""
        tags = np.concatenate([row.tags for row in rows])
        chances = np.concatenate([row.probabilities for row in rows])
        names = kinds.names(tags.tolist(), self.labels)
        return decode.entities(*passage, names, chances.tolist(), self.labels)

    def warn(self) -> None:
        """Say on stderr what was lost since the last warning."""
        length = self.config.data.length
        for what, note in (
            ("texts cut", f"texts cut to the {length} tokens of training"),
            (
                "words vanished",
                "words without a visible character, and so without a tag",
            ),
        ):
            if count := self._lost[what]:
                print(f"warning: {note}: {count:,}", file=sys.stderr)
        self._lost.clear()

    def _said(self, records: Sequence[Any], least: int) -> list[Any]:
        task, made = kinds.KINDS[self.kind], self.features(self.kind, records)
        outputs = self._outputs(task.output, records, made, least)
        return task.read(records, made, outputs, self.labels, self.config.task)

    def _outputs(
        self, output: str, records: Sequence[Any], made: Features, least: int
    ) -> dict[int, np.ndarray]:
        """What the network says of each example by its number."""
        length = self.config.data.length
        examples = Examples(records, made, self.tokenizer.pad_id, length, 0)
        rows = min(max(power(examples.num_examples), least), BATCH)
        batches = examples.evaluation(rows, 0, np.arange(rows))
        seen = partial(self._seen, output)
        found = evaluate.total(seen, self.params, batches, lambda: False)
        return finite(found.outputs if found else {}, self.step)

    def _seen(self, output: str, params: Any, batch: dict[str, Any]) -> tuple:
        """As step.make_evaluation has it, without sums."""
        inputs = {name: batch[name] for name in ("ids", "types", "lengths", "rows")}
        kept = {name: batch[name] for name in ("example_ids", "weights")}
        return {}, {"output": self._say(output, params, inputs), **kept}

    def _tagged(self, passages: Sequence[Passage], least: int) -> list[list[Found]]:
        rows = self.rows(passages)
        tags = iter(self._said([row for own in rows for row in own], least))
        return [
            self.found(passage, list(islice(tags, len(own))))
            for passage, own in zip(passages, rows, strict=True)
        ]


def power(size: int) -> int:
    """The next power of two: few shapes, few compilations."""
    return 1 << max(size - 1, 0).bit_length()


def finite(values: Any, step: int) -> Any:
    """The values that a run gives at a step. UsageError where one is nan or infinite."""
    for array in map(np.asarray, jax.tree.leaves(values)):
        if not np.isfinite(array).all():
            raise UsageError(
                f"at step {step} the run gives numbers that are not finite: its training "
                "diverged, or its values overflow model.dtype; take another --step"
            )
    return values


# Compiled once for all the steps of a run.
@partial(jax.jit, static_argnums=(0, 1))
def _said(network: Network, output: str, params: Any, batch: dict[str, Any]) -> Any:
    """(B, ...): an output of the network; of choices (B, C)."""
    outputs: Any = network.apply({"params": params}, flat(batch), None)
    if output == MEAN:
        return pooled(outputs["hidden"], batch["lengths"], "mean")
    said = outputs[output]
    return said.reshape(len(batch["lengths"]), -1, *said.shape[2:])


def _kind(config: FrozenConfigDict, network: Network) -> str:
    """What the run does: objective.kind, or of an imported model what its head does."""
    if rules.is_task(config):
        return config.objective.kind
    found = [TASKS[head] for head in network.heads if head in TASKS]
    if found == ["classify"] and network.classes == 1:
        return "regress"
    return found[0] if found else config.objective.kind


def _starts(sizes: Iterable[int], room: int) -> list[int]:
    """The first word of each row, given the pieces of every word: a row is full if the
    next word would not fit whole."""
    starts, used = [0], 0
    for number, size in enumerate(sizes):
        if used and used + size > room:
            starts.append(number)
            used = 0
        used += size
    return starts


def _check_choices(records: Sequence[Choice]) -> None:
    count = len(records[0].choices) if records else 2
    for record in records:
        if len(record.choices) != count or count < 2:
            wanted = f"{count} in the first record" if count > 1 else "two or more"
            raise UsageError(
                f"{record.where}: choices: {len(record.choices)}, but {wanted}: "
                "give each text as many"
            )
