"""The finding of a linear probe in each layer: scores, tables and curves."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bert_jax.inspect.draw import layers
from bert_jax.inspect.draw.finding import Finding, Part, Picture, Pictures
from bert_jax.inspect.draw.layers import Curve, Level
from bert_jax.inspect.probe.sets import VALID, ProbeSplit, Sets
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
        "A high score shows that the layer holds what tells the classes, in a form "
        "that a linear function can read. It does not show that the model uses it "
        "(Belinkov 2022); a low one does not show that it is not there. Fine-tuning, "
        "which moves the layers too, mostly does better."
    ),
    (
        "Intervals of shares are Wilson's, at 95 %. They take texts or words as "
        "independent, so that of words, which come in sentences, they are too narrow; "
        "and they know nothing of other training examples."
    ),
]
OF_TEXTS = "The vector of a text is the mean over its tokens, [CLS] and [SEP] included."
OF_WORDS = "The vector of a word is that of its first token."
OF_CONTROL = (
    "In the control task every word has one class, drawn as often as the classes are "
    "in train: what a probe knows of it, it knows by heart. Selectivity is the "
    "accuracy less that (Hewitt & Liang 2019)."
)
OF_CHUNKS = (
    "Entity F1 counts whole entities, of which type, start and end are right. Most "
    "words are outside of all, so that accuracy says little: compare it with that of "
    "the most frequent class."
)


class Reading(NamedTuple):
    """The predictions of a probe of one layer, by split: predicted classes (n,) int,
    and whether those of the control task are right, (n,) bool."""

    predictions: dict[str, np.ndarray]
    control: dict[str, np.ndarray]


class ProbeScore(NamedTuple):
    """Scores of one split. `entity_f1` is nan except for chunk tags, and `control`, the
    accuracy on the control task, except for words with other tags."""

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
    """Tables and curves of the evaluated splits."""
    scores = {
        split.name: [
            score(
                sets, split, each.predictions[split.name], each.control.get(split.name)
            )
            for each in readings
        ]
        for split in sets.evaluated
    }
    majority = {
        split.name: score(sets, split, _most(sets, split), None)
        for split in sets.evaluated
    }
    return Finding(
        question="What does a linear probe read in each layer?",
        answer=_answer(names, sets, scores, majority),
        about=[ABOUT[0], _method(sets), *ABOUT[1:]],
        facts=facts,
        parts=[
            Part(
                TITLES[name],
                _blocks(name, names, split_scores, majority[name]),
            )
            for name, split_scores in scores.items()
        ],
        arrays=_arrays(sets, readings),
        scores=_scores(names, scores[VALID]),
    )


def _method(sets: Sets) -> str:
    """A note on the vectors that are probed, and on metrics besides accuracy."""
    if not sets.train.words:
        return OF_TEXTS
    chunked = tag.is_chunked(sets.labels)
    return f"{OF_WORDS} {OF_CHUNKS if chunked else OF_CONTROL}"


def score(
    sets: Sets, split: ProbeSplit, predictions: np.ndarray, control: np.ndarray | None
) -> ProbeScore:
    """The scores of predicted classes (n,) of a split."""
    chunked = bool(split.words) and tag.is_chunked(sets.labels)
    return ProbeScore(
        predictions == split.targets,
        macro_f1(split.targets, predictions, list(range(len(sets.labels)))),
        _entity_f1(sets, split, predictions) if chunked else np.nan,
        np.nan if control is None else float(control.mean()),
    )


def _entity_f1(sets: Sets, split: ProbeSplit, predictions: np.ndarray) -> float:
    """Entity F1 over complete sentences; a word that was not read counts as outside."""
    tags = [[""] * len(sentence) for sentence in split.tags]
    for (sentence, word), label in zip(split.places, predictions, strict=True):
        tags[sentence][word] = sets.labels[label]
    return entities.score(split.tags, tags, sets.labels)[0].f1


def _most(sets: Sets, split: ProbeSplit) -> np.ndarray:
    """The most frequent class of train, repeated for each example."""
    most = np.bincount(sets.train.targets, minlength=len(sets.labels)).argmax()
    return np.full(len(split.targets), most)


def _main_metric(scores: list[ProbeScore]) -> str:
    """The metric that ranks layers: entity F1 for chunk tags, where accuracy says
    little."""
    return "accuracy" if np.isnan(scores[0].entity_f1) else "entity_f1"


def _answer(
    names: Sequence[str],
    sets: Sets,
    scores: dict[str, list[ProbeScore]],
    majority: dict[str, ProbeScore],
) -> str:
    key = _main_metric(scores[VALID])
    values = [getattr(each, key) for each in scores[VALID]]
    best = int(np.argmax(values))
    named = {"accuracy": "an accuracy of", "entity_f1": "an entity F1 of"}[key]

    def formatted(split: str, layer: int) -> str:
        scored = scores[split][layer]
        share = layers.percent(getattr(scored, key))
        if key == "entity_f1":
            return f"{share} %"
        return f"{share} % ({layers.interval(*scored.interval)})"

    answer = (
        f"On the validation split a linear probe reads most from "
        f"{_where(names, best)}: {named} {formatted(VALID, best)}; "
        f"from the embeddings {formatted(VALID, 0)}, "
        f"from the last layer {formatted(VALID, len(names) - 1)}."
    )
    if key == "accuracy":
        answer += f" The {MAJORITY} has {layers.percent(majority[VALID].accuracy)} %."
    if sets.test:
        answer += (
            " On the test split, which had no part in choosing it, "
            f"{_where(names, best)} has {formatted(sets.test.name, best)}."
        )
    return answer


def _where(names: Sequence[str], layer: int) -> str:
    return layers.name(names[layer]) if layer else "the embeddings"


def _blocks(
    split: str, names: Sequence[str], scores: list[ProbeScore], majority: ProbeScore
) -> list[Block | Pictures]:
    accuracy = [100 * each.accuracy for each in scores]
    ends = [(100 * low, 100 * high) for low, high in (s.interval for s in scores)]
    pictures = [
        Picture(
            f"accuracy_{split}",
            layers.curves(
                [Curve("probe", accuracy, ends, INK), *_control(scores)],
                [Level(MAJORITY, 100 * majority.accuracy, GREY, "-")],
                "accuracy, %",
            ),
            4.8,
            3.2,
            "Accuracy by layer, with 95 % intervals"
            + (", and that of the control task." if scores[0].control >= 0 else "."),
        )
    ]
    if _main_metric(scores) == "entity_f1":
        values = [100 * each.entity_f1 for each in scores]
        draw = layers.curves([Curve("probe", values, (), INK)], [], "entity F1, %")
        caption = "F1 of whole entities by layer."
        pictures.append(Picture(f"entity_f1_{split}", draw, 4.8, 3.2, caption))
    return [Pictures(pictures), _table(names, scores, majority)]


def _control(scores: list[ProbeScore]) -> list[Curve]:
    if np.isnan(scores[0].control):
        return []
    values = [100 * each.control for each in scores]
    return [Curve("control task", values, (), BASELINE)]


def _table(
    names: Sequence[str], scores: list[ProbeScore], majority: ProbeScore
) -> Grid:
    chunked = _main_metric(scores) == "entity_f1"
    words = not np.isnan(scores[0].control)
    header = ["layer", "accuracy, %", "95 % interval", "macro F1, %"]
    header += ["entity F1, %"] * chunked + ["control task, %", "selectivity"] * words
    rows = []
    for name, scored in zip([*names, MAJORITY], [*scores, majority], strict=True):
        cells = [
            name,
            layers.percent(scored.accuracy),
            layers.interval(*scored.interval),
        ]
        cells.append(layers.percent(scored.macro_f1))
        cells += [layers.percent(scored.entity_f1)] * chunked
        if words and scored is not majority:
            cells.append(layers.percent(scored.control))
            cells.append(layers.points(scored.accuracy - scored.control))
        rows.append(tuple(cells + [""] * (len(header) - len(cells))))
    return Grid(tuple(header), "l" + "r" * (len(header) - 1), rows, len(names))


def _arrays(sets: Sets, readings: list[Reading]) -> dict[str, np.ndarray]:
    """The true classes of each split, and the predictions for each layer."""
    arrays = {"labels": np.array(sets.labels)}
    for split in sets.evaluated:
        arrays[f"{split.name}_targets"] = split.targets
        arrays[f"{split.name}_said"] = np.array(
            [each.predictions[split.name] for each in readings]
        )
    return arrays


def _scores(names: Sequence[str], scores: list[ProbeScore]) -> dict[str, float]:
    by_name = {}
    for name, scored in zip(names, scores, strict=True):
        by_name[f"accuracy/{layers.name(name)}"] = scored.accuracy
        by_name[f"macro F1/{layers.name(name)}"] = scored.macro_f1
        if not np.isnan(scored.entity_f1):
            by_name[f"entity F1/{layers.name(name)}"] = scored.entity_f1
    return by_name
