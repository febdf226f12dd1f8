"""Tags of words -> entities -> precision, recall and F1 of whole entities.

As the shared tasks score chunks and names (Tjong Kim Sang & Buchholz 2000 and their
script conlleval): an entity is correct if its type, its start and its end are.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bert_jax.tasks.metrics import f1_of_counts

OUTSIDE = "O"
# Where in an entity a word stands: B first, I inside, E last, S alone; BILOU and BMEW
# have other letters for the same.
PLACES = dict(zip("BIESMLUW", "BIESIESS", strict=True))
_TAG = re.compile(f"([{''.join(PLACES)}])[-_](.+)")
_SPECIAL = re.compile(r"\[[A-Z]+\]|<[^>]+>")  # [CLS], which some label sets name
SUB_PIECE = "X"  # in such sets what stands for a later token of a word


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


def is_of_a_word(label: str) -> bool:
    """Whether a label says something: not O, "", nor what [CLS] and such are labelled."""
    return label not in (OUTSIDE, "") and not _SPECIAL.fullmatch(label)


def marks(labels: Iterable[str]) -> dict[str, tuple[str, str]] | None:
    """The place in an entity that each label marks (B, I, E, S, or O for none), and the
    type of the entity; None where labels mark no entities but words, as
    parts of speech do.

    Types stand after a place (IOB, BIOES, BILOU), or places stand alone, for entities of
    one type without a name. Beside O types may stand alone (O PER LOC): neighbours of
    one type are one entity, as in transformers.
    """
    given = set(labels)
    names = {OUTSIDE, "", *given}
    tagged = {name for name in names if is_of_a_word(name)} - {SUB_PIECE}
    tags = {name: match for name in tagged if (match := _TAG.fullmatch(name))}
    if tags.keys() == tagged and (tagged or SUB_PIECE not in names):
        found = {name: (PLACES[tag[1]], tag[2]) for name, tag in tags.items()}
    elif tagged <= PLACES.keys() and tagged & {"B", "I"}:
        found = {name: (PLACES[name], "") for name in tagged}
    elif OUTSIDE in given and not tags and not tagged & PLACES.keys():
        found = {name: ("I", name) for name in tagged or {SUB_PIECE}}
    else:
        return None
    return {name: (OUTSIDE, "") for name in names} | found


def from_tags(tags: Sequence[str], labels: Iterable[str] | None = None) -> list[Entity]:
    """The entities of one sentence in order; no tags are illegal in sequence.

    All sets that `marks` knows are read by one rule: I and E continue an entity of their
    type that a B or I just before them left open, and any other tag than O starts one.
    `labels` is the set that the tags are of; by default, those that occur. ValueError
    for tags that mark no entities.
    """
    known = marks(tags if labels is None else labels) or {}
    if unknown := sorted({tag for tag in tags if tag not in (known or OUTSIDE)}):
        names = ", ".join(map(repr, unknown))
        raise ValueError(f"tags {names}: want O, or B-, I-, E- or S- before a type")
    found: list[Entity] = []
    is_open = False
    for position, tag in enumerate(tags):
        prefix, kind = known[tag]
        if is_open and prefix in ("I", "E") and found[-1].type == kind:
            found[-1] = found[-1]._replace(end=position + 1)
        elif prefix != OUTSIDE:
            found.append(Entity(kind, position, position + 1))
        is_open = prefix in ("B", "I")
    return found


def score(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    labels: Iterable[str] | None = None,
) -> tuple[Score, dict[str, Score]]:
    """Scores over all entities (micro) and of each type, gold or predicted.

    `labels` is the set that all tags are of; by default, those that occur.
    One sequence of tags a sentence, none of which an entity crosses. ValueError where
    the tags of a sentence differ in number, counting sentences from 1.
    """
    _check(gold, predicted)
    if labels is None:
        labels = {tag for tags in (*gold, *predicted) for tag in tags}
    wanted, found, correct = Counter[str](), Counter[str](), Counter[str]()
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        here, there = (
            set(from_tags(tags, labels)) for tags in (gold_tags, predicted_tags)
        )
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
