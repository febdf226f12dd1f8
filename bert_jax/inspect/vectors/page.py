"""The finding of word senses: accuracies, tables and figures."""

import numpy as np

from bert_jax.inspect.draw import layers, plane
from bert_jax.inspect.draw.finding import Finding, Part, Picture, Pictures
from bert_jax.inspect.draw.layers import Curve, Level
from bert_jax.inspect.measure import states
from bert_jax.inspect.vectors import senses
from bert_jax.inspect.vectors.senses import Difference, SensePredictions, Static, Word
from bert_jax.predict.model import Model
from bert_jax.render.document import Grid
from bert_jax.render.drawing import BASELINE, GREY, INK
from bert_jax.tasks.metrics import accuracy, wilson

METHODS = {"nearest": "nearest neighbour", "probe": "linear probe"}
COLOUR = {"nearest": INK, "probe": BASELINE}
STYLES = ("--", ":", "-.")
DRAWN = 600  # points of a figure
ABOUT = [
    (
        "Each test sentence gets the sense of the training sentence in which the "
        "vector of the word is nearest, by cosine (of equally near ones the most "
        "frequent sense); or that of a linear probe, multinomial logistic regression "
        "of standardised vectors with the penalty of scikit-learn's C = 1. A vector is "
        "that of the word in its sentence, the mean over its tokens where it is split. "
        "Layer 0 are the embeddings; last_4 are the last four layers side by side."
    ),
    (
        "A static vector of a word is the same in every sentence, so that it tells "
        "nothing but the most frequent sense. A fairer rival is the mean of the static "
        "vectors of all words of the sentence, which knows what the sentence is about. "
        "word2vec and fastText learn from all these sentences, training and test, and "
        "from no sense."
    ),
    (
        "The last layer was chosen beforehand. To take the best of the table instead "
        "would flatter it, as these are the sentences that it is measured on. "
        "Intervals are at 95 %: of a share Wilson's (1927), of a difference on the "
        "same sentences that of Agresti & Min (2005). They take sentences as "
        "independent, and of twenty intervals one misses by chance."
    ),
    (
        "That senses can be told shows that the vectors hold what tells them, be it "
        "meaning, topic or wording; not that the model uses it."
    ),
]


def find(
    model: Model, words: list[Word], statics: list[list[Static]], layer: str
) -> Finding:
    """Test every word by itself, and all of them in the last layer.

    statics: for each word the predictions of each kind of static vectors. layer: the
    one that is drawn.
    """
    parts, arrays, scores, last = [], {}, {}, []
    rivals = [baselines(static) for static in statics]
    for word, rival in zip(words, rivals, strict=True):
        train, test = (
            senses.vectors(model, split.texts, split.spans)
            for split in (word.train, word.test)
        )
        predictions = senses.layer_predictions(model, word, train, test)
        last.append(predictions[states.count(model) - 1])
        shown = [states.select(model, each, layer) for each in (train, test)]
        parts.append(_part(word, predictions, rival, shown[1], layer))
        arrays |= _arrays(word, predictions, rival, shown)
        scores |= _scores(word, predictions)
    return Finding(
        question="Do the vectors of a word tell its senses?",
        answer=answer(words, last, rivals),
        about=ABOUT,
        facts=[
            *map(_fact, words),
            f"static vectors: {', '.join(each.name for each in statics[0])}",
        ],
        parts=[
            Part("In the last layer", [*_overview(words, last, rivals)]),
            *parts,
        ],
        arrays=arrays,
        scores=scores,
    )


def baselines(statics: list[Static]) -> list[SensePredictions]:
    """The predictions of static vectors: of the word, in one if all are equal, then of
    its sentence."""
    words = [each.word for each in statics]
    are_equal = all(
        np.array_equal(each.nearest, words[0].nearest)
        and np.array_equal(each.probe, words[0].probe)
        for each in words
    )
    merged = [words[0]._replace(name="one vector")] if are_equal else words
    return [*merged, *(each.context for each in statics)]


def answer(
    words: list[Word],
    last: list[SensePredictions],
    rivals: list[list[SensePredictions]],
) -> str:
    """The accuracy of nearest neighbours in the last layer beside that of static
    vectors."""
    shares = [
        f"{word.name} in {_share(word, prediction, 'nearest')} % of its test sentences "
        f"(one static vector: {_share(word, word_rivals[0], 'nearest')} %)"
        for word, prediction, word_rivals in zip(words, last, rivals, strict=True)
    ]
    against = [
        f"{_sides(signs)} against {name}"
        for name, signs in _signs(words, last, rivals).items()
    ]
    return (
        "In the last layer the nearest neighbour tells the sense of "
        f"{'; '.join(shares)}. The 95 % interval of the difference is "
        f"{'; '.join(against)}."
    )


def _sides(signs: list[int]) -> str:
    """The number of words whose interval lies above 0, and below."""
    above, below = signs.count(1), signs.count(-1)
    if len(signs) == 1:
        return "above 0" if above else "below 0" if below else "about 0"
    least = f" and below for {below}" if below else ""
    return f"above 0 for {above} of {len(signs)} words{least}"


def _signs(
    words: list[Word],
    last: list[SensePredictions],
    rivals: list[list[SensePredictions]],
) -> dict[str, list[int]]:
    """The side of 0, or 0, on which the interval lies, for each rival and word."""
    signs: dict[str, list[int]] = {}
    for word, prediction, word_rivals in zip(words, last, rivals, strict=True):
        for rival in word_rivals:
            gain = _gain(word, prediction, rival, "nearest")
            sign = int(gain.low > 0) - int(gain.high < 0)
            signs.setdefault(rival.name, []).append(sign)
    return signs


def _part(
    word: Word,
    predictions: list[SensePredictions],
    rivals: list[SensePredictions],
    shown: np.ndarray,
    layer: str,
) -> Part:
    where = (
        f"Layer {layer}"
        if layer.isdecimal()
        else {
            "last": "The last layer",
            states.LAST_FOUR: "The last four layers side by side",
        }[layer]
    )
    drawn = np.unique(np.linspace(0, len(shown) - 1, DRAWN).round().astype(int))
    flat = plane.project(shown[drawn])
    file = "".join(c if c.isalnum() else "_" for c in word.name)
    points = Picture(
        f"plane_{file}",
        plane.classes(flat, word.test.senses[drawn], word.senses),
        4.8,
        3.8,
        f"{where}: `{word.name}` in {len(drawn):,} test sentences, coloured by sense; "
        "the first two principal components. A static vector would be one point.",
    )
    counts = [
        np.bincount(split.senses, minlength=len(word.senses))
        for split in (word.train, word.test)
    ]
    rows = [
        (sense, f"{sizes[0]:,}", f"{sizes[1]:,}")
        for sense, sizes in zip(word.senses, np.array(counts).T, strict=True)
    ]
    return Part(
        word.name,
        [
            Pictures([points, _curves(word, predictions, rivals, file)]),
            *(_table(word, predictions, rivals, method) for method in METHODS),
            Grid(("sense", "training sentences", "test sentences"), "lrr", rows, -1),
        ],
    )


def _curves(
    word: Word,
    predictions: list[SensePredictions],
    rivals: list[SensePredictions],
    file: str,
) -> Picture:
    """Accuracy by layer, with baselines as levels; the last four are in the table."""
    by_layer = [each for each in predictions if each.name != states.LAST_FOUR]
    shown = []
    for method, text in METHODS.items():
        right = [_right(word, each, method) for each in by_layer]
        ends = [wilson(each.sum(), len(each)) for each in right]
        shown.append(
            Curve(
                text,
                [100 * each.mean() for each in right],
                [(100 * low, 100 * high) for low, high in ends],
                COLOUR[method],
            )
        )
    levels, style = [], iter(STYLES * len(rivals))
    for rival in rivals:
        both = [100 * _right(word, rival, method).mean() for method in METHODS]
        if np.array_equal(rival.nearest, rival.probe):
            levels.append(Level(rival.name, both[0], GREY, "-"))
            continue
        line, name = next(style), rival.name.removesuffix(f", {senses.CONTEXT}")
        levels += [
            Level(f"{name}, {method}", value, COLOUR[method], line)
            for method, value in zip(METHODS, both, strict=True)
        ]
    return Picture(
        f"accuracy_{file}",
        layers.curves(shown, levels, "accuracy, %"),
        4.8,
        3.8,
        f"Accuracy on the {len(word.test.texts):,} test sentences of `{word.name}` by "
        "layer, with 95 % intervals. Lines across: one static vector of the word, and "
        "the mean over the words of the sentence.",
    )


def _table(
    word: Word,
    predictions: list[SensePredictions],
    rivals: list[SensePredictions],
    method: str,
) -> Grid:
    """A row for each layer, then for each baseline."""
    header = [METHODS[method], "accuracy, %", "95 % interval"]
    rows = []
    for each in [*predictions, *rivals]:
        right = _right(word, each, method)
        cells = [each.name, _share(word, each, method)]
        cells.append(layers.interval(*wilson(right.sum(), len(right))))
        contextual = any(each is layer for layer in predictions)
        cells += [
            _change(_gain(word, each, rival, method)) if contextual else ""
            for rival in rivals
        ]
        rows.append(tuple(cells))
    header += [f"− {rival.name}" for rival in rivals]
    return Grid(tuple(header), "l" + "r" * (len(header) - 1), rows, -1)


def _overview(
    words: list[Word],
    last: list[SensePredictions],
    rivals: list[list[SensePredictions]],
) -> list[Grid]:
    """A table for each method, with a row for each word."""
    grids = []
    for method, text in METHODS.items():
        names = [rival.name for rival in rivals[0]]
        header = [text, "test sentences", "last layer, %", f"{names[0]}, %"]
        header += [f"− {name}" for name in names]
        rows = []
        for word, prediction, word_rivals in zip(words, last, rivals, strict=True):
            right = _right(word, prediction, method)
            low, high = wilson(right.sum(), len(right))
            cells = [word.name, f"{len(right):,}"]
            cells.append(
                f"{layers.percent(right.mean())} ({layers.interval(low, high)})"
            )
            cells.append(_share(word, word_rivals[0], method))
            cells += [
                _change(_gain(word, prediction, rival, method)) for rival in word_rivals
            ]
            rows.append(tuple(cells))
        grids.append(Grid(tuple(header), "l" + "r" * (len(header) - 1), rows, -1))
    return grids


def _arrays(
    word: Word,
    predictions: list[SensePredictions],
    rivals: list[SensePredictions],
    shown: list[np.ndarray],
) -> dict[str, np.ndarray]:
    """The vectors of the drawn layer, and the predictions of each kind of vectors."""
    arrays = {
        "train_vectors": shown[0],
        "test_vectors": shown[1],
        "train_senses": word.train.senses,
        "test_senses": word.test.senses,
        "senses": np.array(word.senses),
        "vectors": np.array([each.name for each in [*predictions, *rivals]]),
        "nearest": np.array([each.nearest for each in [*predictions, *rivals]]),
        "probe": np.array([each.probe for each in [*predictions, *rivals]]),
    }
    return {f"{word.name}_{name}": values for name, values in arrays.items()}


def _scores(word: Word, predictions: list[SensePredictions]) -> dict[str, float]:
    return {
        f"{word.name} {text}/{layers.name(each.name)}": float(
            _right(word, each, method).mean()
        )
        for method, text in METHODS.items()
        for each in predictions
    }


def _right(word: Word, prediction: SensePredictions, method: str) -> np.ndarray:
    return getattr(prediction, method) == word.test.senses


def _share(word: Word, prediction: SensePredictions, method: str) -> str:
    return layers.percent(accuracy(word.test.senses, getattr(prediction, method)))


def _gain(
    word: Word, prediction: SensePredictions, rival: SensePredictions, method: str
) -> Difference:
    return senses.difference(
        _right(word, prediction, method), _right(word, rival, method)
    )


def _change(gain: Difference) -> str:
    low, high = layers.points(gain.low), layers.points(gain.high)
    return f"{layers.points(gain.value)} ({low} to {high})"


def _fact(word: Word) -> str:
    again = senses.repeated(word)
    seen = f", {again} of them among the training sentences too" if again else ""
    return (
        f"`{word.name}`: {len(word.senses)} senses, {len(word.train.texts):,} training "
        f"and {len(word.test.texts):,} test sentences{seen}"
    )
