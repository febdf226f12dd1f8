"""The finding of what a linear probe reads in each layer."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bert_jax.inspect.draw import layers
from bert_jax.inspect.draw.finding import Finding, Part, Picture, Pictures
from bert_jax.inspect.draw.layers import Curve, Level
from bert_jax.inspect.probe.sets import VALID, Sets, Split
from bert_jax.render.document import Block, Grid
from bert_jax.render.drawing import BASELINE, GREY, INK
from bert_jax.tasks import entities, tag
from bert_jax.tasks.metrics import macro_f1, wilson

TITLES = {"valid": "On the validation split", "test": "On the test split"}
MAJORITY = "most frequent class"
ABOUT = [
    (
        "A probe is a linear classifier that learns the task from the vectors of one "
        "layer, which stay as they are (Alain & Bengio 2017): multinomial logistic "
        "regression of standardised features with the penalty of scikit-learn's C = 1. "
        "Layer 0 are the embeddings, which know words and their places, but not what "
        "stands around them: what a later layer tells beyond it has come from context."
    ),
    (
        "A high score shows that the layer holds what tells the classes, in a form that "
        "a linear function can read. It does not show that the model uses it (Belinkov "
        "2022); a low one does not show that it is not there. Fine-tuning, which moves "
        "the layers too, mostly does better."
    ),
    (
        "Intervals of shares are Wilson's, at 95 %. They take texts or words as "
        "independent, so that of words, which come in sentences, they are too narrow; "
        "and they know nothing of other training examples."
    ),
]
OF_TEXTS = "The vector of a text is the mean over its tokens, [CLS] and [SEP] included."
OF_WORDS = "The vector of a word is that of its first piece."
OF_CONTROL = (
    "In the control task every word has one class, drawn as often as the classes are in "
    "train: what a probe knows of it, it knows by heart. Selectivity is the accuracy "
    "less that (Hewitt & Liang 2019)."
)
OF_CHUNKS = (
    "Entity F1 counts whole entities, of which type, start and end are right. Most "
    "words are outside of all, so that accuracy says little: compare it with that of "
    "the most frequent class."
)


class Reading(NamedTuple):
    """Of one layer, by the name of a split: the classes that its probe says, (n,) int;
    and whether that of the control task is right, (n,) bool."""

    said: dict[str, np.ndarray]
    control: dict[str, np.ndarray]


class Score(NamedTuple):
    """Shares; nan are `entity_f1` but of tags that mark chunks, and `control` but of
    those that mark none."""

    right: np.ndarray  # (n,) bool
    macro_f1: float
    entity_f1: float
    control: float

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(float(self.right.sum()), len(self.right))


def finding(
    names: Sequence[str], sets: Sets, readings: list[Reading], facts: list[str]
) -> Finding:
    """Tables and curves of the splits that were not learnt from."""
    scores = {
        split.name: [
            score(sets, split, each.said[split.name], each.control.get(split.name))
            for each in readings
        ]
        for split in sets.seen
    }
    plain = {
        split.name: score(sets, split, _most(sets, split), None) for split in sets.seen
    }
    return Finding(
        question="What does a linear probe read in each layer?",
        answer=_answer(names, sets, scores, plain),
        about=[ABOUT[0], _how(sets), *ABOUT[1:]],
        facts=facts,
        parts=[
            Part(
                TITLES[name],
                _blocks(name, names, own, plain[name]),
            )
            for name, own in scores.items()
        ],
        arrays=_arrays(sets, readings),
        scores=_followed(names, scores[VALID]),
    )


def _how(sets: Sets) -> str:
    """What vectors are of, and what is measured besides accuracy."""
    if not sets.train.words:
        return OF_TEXTS
    chunked = tag.is_chunked(sets.labels)
    return f"{OF_WORDS} {OF_CHUNKS if chunked else OF_CONTROL}"


def score(
    sets: Sets, split: Split, said: np.ndarray, control: np.ndarray | None
) -> Score:
    """Of the classes (n,) that are said of a split."""
    chunked = bool(split.words) and tag.is_chunked(sets.labels)
    return Score(
        said == split.targets,
        macro_f1(split.targets, said, list(range(len(sets.labels)))),
        _entity_f1(sets, split, said) if chunked else np.nan,
        np.nan if control is None else float(control.mean()),
    )


def _entity_f1(sets: Sets, split: Split, said: np.ndarray) -> float:
    """Of whole sentences; a word that was not read is outside of all."""
    found = [[""] * len(tags) for tags in split.tags]
    for (sentence, word), label in zip(split.places, said, strict=True):
        found[sentence][word] = sets.labels[label]
    return entities.score(split.tags, found, sets.labels)[0].f1


def _most(sets: Sets, split: Split) -> np.ndarray:
    """The most frequent class of train, for each."""
    most = np.bincount(sets.train.targets, minlength=len(sets.labels)).argmax()
    return np.full(len(split.targets), most)


def _decides(scores: list[Score]) -> str:
    """Where most words are outside of all entities, accuracy says little."""
    return "accuracy" if np.isnan(scores[0].entity_f1) else "entity_f1"


def _answer(
    names: Sequence[str],
    sets: Sets,
    scores: dict[str, list[Score]],
    plain: dict[str, Score],
) -> str:
    key = _decides(scores[VALID])
    values = [getattr(each, key) for each in scores[VALID]]
    best = int(np.argmax(values))
    named = {"accuracy": "an accuracy of", "entity_f1": "an entity F1 of"}[key]

    def told(split: str, layer: int) -> str:
        own = scores[split][layer]
        share = layers.percent(getattr(own, key))
        if key == "entity_f1":
            return f"{share} %"
        return f"{share} % ({layers.interval(*own.interval)})"

    answer = (
        f"On the validation split a linear probe reads most from "
        f"{_where(names, best)}: {named} {told(VALID, best)}; "
        f"from the embeddings {told(VALID, 0)}, "
        f"from the last layer {told(VALID, len(names) - 1)}."
    )
    if key == "accuracy":
        answer += f" The {MAJORITY} has {layers.percent(plain[VALID].accuracy)} %."
    if sets.test:
        answer += (
            " On the test split, which had no part in choosing it, "
            f"{_where(names, best)} has {told(sets.test.name, best)}."
        )
    return answer


def _where(names: Sequence[str], layer: int) -> str:
    return layers.name(names[layer]) if layer else "the embeddings"


def _blocks(
    split: str, names: Sequence[str], scores: list[Score], plain: Score
) -> list[Block | Pictures]:
    accuracy = [100 * each.accuracy for each in scores]
    ends = [(100 * low, 100 * high) for low, high in (s.interval for s in scores)]
    pictures = [
        Picture(
            f"accuracy_{split}",
            layers.curves(
                [Curve("probe", accuracy, ends, INK), *_control(scores)],
                [Level(MAJORITY, 100 * plain.accuracy, GREY, "-")],
                "accuracy, %",
            ),
            4.8,
            3.2,
            "Accuracy by layer, with 95 % intervals"
            + (", and that of the control task." if scores[0].control >= 0 else "."),
        )
    ]
    if _decides(scores) == "entity_f1":
        values = [100 * each.entity_f1 for each in scores]
        draw = layers.curves([Curve("probe", values, (), INK)], [], "entity F1, %")
        caption = "F1 of whole entities by layer."
        pictures.append(Picture(f"entity_f1_{split}", draw, 4.8, 3.2, caption))
    return [Pictures(pictures), _table(names, scores, plain)]


def _control(scores: list[Score]) -> list[Curve]:
    if np.isnan(scores[0].control):
        return []
    values = [100 * each.control for each in scores]
    return [Curve("control task", values, (), BASELINE)]


def _table(names: Sequence[str], scores: list[Score], plain: Score) -> Grid:
    chunked = _decides(scores) == "entity_f1"
    words = not np.isnan(scores[0].control)
    header = ["layer", "accuracy, %", "95 % interval", "macro F1, %"]
    header += ["entity F1, %"] * chunked + ["control task, %", "selectivity"] * words
    rows = []
    for name, own in zip([*names, MAJORITY], [*scores, plain], strict=True):
        cells = [name, layers.percent(own.accuracy), layers.interval(*own.interval)]
        cells.append(layers.percent(own.macro_f1))
        cells += [layers.percent(own.entity_f1)] * chunked
        if words and own is not plain:
            cells.append(layers.percent(own.control))
            cells.append(layers.points(own.accuracy - own.control))
        rows.append(tuple(cells + [""] * (len(header) - len(cells))))
    return Grid(tuple(header), "l" + "r" * (len(header) - 1), rows, len(names))


def _arrays(sets: Sets, readings: list[Reading]) -> dict[str, np.ndarray]:
    """Of each split the classes that are true, and those that each layer's probe says."""
    found = {"labels": np.array(sets.labels)}
    for split in sets.seen:
        found[f"{split.name}_targets"] = split.targets
        found[f"{split.name}_said"] = np.array(
            [each.said[split.name] for each in readings]
        )
    return found


def _followed(names: Sequence[str], scores: list[Score]) -> dict[str, float]:
    found = {}
    for name, own in zip(names, scores, strict=True):
        found[f"accuracy/{layers.name(name)}"] = own.accuracy
        found[f"macro F1/{layers.name(name)}"] = own.macro_f1
        if not np.isnan(own.entity_f1):
            found[f"entity F1/{layers.name(name)}"] = own.entity_f1
    return found
