"""Tags of words -> entities -> precision, recall and F1 of whole entities.

As the shared tasks score chunks and names (Tjong Kim Sang & Buchholz 2000 and their
script conlleval): an entity is correct if its type, its start and its end are.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from bert_jax.metrics import f1_of_counts

_TAG = re.compile(r"O|[BIES]-.+")


class Entity(NamedTuple):
    """Words [start, end) of a sentence."""

    type: str
    start: int
    end: int


class Score(NamedTuple):
    """Shares in [0, 1], 0 where they would be 0/0, and the counts behind them."""

    precision: float
    recall: float
    f1: float
    correct: int
    predicted: int
    gold: int


def is_tag(label: str) -> bool:
    """Whether a label can mark chunks: O, or B-, I-, E- or S- before a type."""
    return bool(_TAG.fullmatch(label))


def from_tags(tags: Sequence[str]) -> list[Entity]:
    """The entities of one sentence in order; no tags are illegal in sequence.

    IOB1, IOB2 and, by E- (end) and S- (single), BIOES are all read by one rule: I- and
    E- continue an entity of their type that a B- or I- just before them left open, and
    any other tag than O starts one. ValueError for tags of another form.
    """
    unknown = sorted({tag for tag in tags if not is_tag(tag)})
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise ValueError(f"tags {names}: want O, or B-, I-, E- or S- before a type")
    found: list[Entity] = []
    is_open = False
    for position, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        if is_open and prefix in ("I", "E") and found[-1].type == kind:
            found[-1] = found[-1]._replace(end=position + 1)
        elif prefix != "O":
            found.append(Entity(kind, position, position + 1))
        is_open = prefix in ("B", "I")
    return found


def score(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> tuple[Score, dict[str, Score]]:
    """Over all entities (micro), and of each type that is in gold or predicted.

    One sequence of tags a sentence, none of which an entity crosses. ValueError where
    the tags of a sentence differ in number, counting sentences from 1.
    """
    _check(gold, predicted)
    wanted, found, correct = Counter[str](), Counter[str](), Counter[str]()
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        here, there = set(from_tags(gold_tags)), set(from_tags(predicted_tags))
        wanted.update(entity.type for entity in here)
        found.update(entity.type for entity in there)
        correct.update(entity.type for entity in here & there)
    by_type = {
        kind: _score(correct[kind], found[kind], wanted[kind])
        for kind in sorted(wanted | found)
    }
    return _score(correct.total(), found.total(), wanted.total()), by_type


def _check(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> None:
    if len(gold) != len(predicted):
        raise ValueError(f"{len(predicted)} sentences predicted of {len(gold)}")
    if not len(gold):
        raise ValueError("no sentences to score")
    for number, (here, there) in enumerate(zip(gold, predicted, strict=True), 1):
        if len(here) != len(there):
            raise ValueError(
                f"sentence {number}: {len(there)} tags predicted of {len(here)}"
            )


def _score(correct: int, predicted: int, gold: int) -> Score:
    return Score(
        precision=correct / predicted if predicted else 0.0,
        recall=correct / gold if gold else 0.0,
        f1=f1_of_counts(correct, predicted, gold),
        correct=correct,
        predicted=predicted,
        gold=gold,
    )
