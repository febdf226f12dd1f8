"""Exact match and F1 of answers: SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018).

By the definitions of the scripts evaluate-v1.1 and evaluate-v2.0, though in [0, 1] and
not in percent. `gold` holds the answers of each question, none where 2.0 says that it
has none; `predicted` holds one text each, "" for no answer. ValueError where there
are no questions or the lengths differ.

The versions differ in answers of which normalising leaves nothing, such as "The":
1.1  two such are an exact match, of F1 0 since they share no words;
2.0  two such are an exact match of F1 1, and in gold such an answer does not count:
     a question that has only such wants "", though it stays an answerable one.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from bert_jax.tasks.metrics import f1_of_counts

_PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII: “ and ¿ stay
_ARTICLE = re.compile(r"\b(a|an|the)\b")

Answers = Sequence[Sequence[str]]


def normalise(text: str) -> str:
    """Lower case without punctuation, then without articles, single spaces between."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(answer: str, predicted: str) -> float:
    return float(normalise(answer) == normalise(predicted))


def f1_v1(answer: str, predicted: str) -> float:
    """F1 of the words as bags; 0 where either has none."""
    words, found = normalise(answer).split(), normalise(predicted).split()
    shared = (Counter(words) & Counter(found)).total()
    return f1_of_counts(shared, len(found), len(words))


def f1_v2(answer: str, predicted: str) -> float:
    """F1 of the words as bags; 1 where neither has any."""
    if not normalise(answer) and not normalise(predicted):
        return 1.0
    return f1_v1(answer, predicted)


def squad_v1(gold: Answers, predicted: Sequence[str]) -> dict[str, float]:
    """Means over questions of `exact` and `f1`, each the best over a question's answers.

    ValueError for a question without answers, counting from 1.
    """
    _check(gold, predicted)
    for number, answers in enumerate(gold, 1):
        if not answers:
            raise ValueError(f"question {number} has no answer: SQuAD 1.1 knows none")
    pairs = list(zip(gold, predicted, strict=True))
    return {
        "exact": _mean([max(exact(a, p) for a in answers) for answers, p in pairs]),
        "f1": _mean([max(f1_v1(a, p) for a in answers) for answers, p in pairs]),
    }


def squad_v2(
    gold: Answers,
    predicted: Sequence[str],
    no_answer: Sequence[float],
    threshold: float,
) -> dict[str, float]:
    """Means of `exact` and `f1` over all questions and, under has_answer_ and
    no_answer_, over those with and without answers where there are such.

    Where the probability no_answer (B,) is above the threshold, the prediction is "";
    zeros, or a threshold of 1, leave all predictions as they are.
    """
    means = {}
    answerable = _answerable(gold)
    for name, scores in zip(("exact", "f1"), scores_v2(gold, predicted), strict=True):
        scores = with_threshold(scores, gold, no_answer, threshold)
        means[name] = _mean(scores)
        if answerable.any():
            means[f"has_answer_{name}"] = _mean(scores[answerable])
        if not answerable.all():
            means[f"no_answer_{name}"] = _mean(scores[~answerable])
    return means


def scores_v2(gold: Answers, predicted: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Exact match (B,) and F1 (B,) of the predictions as they are, by question."""
    _check(gold, predicted)
    wanted = [[a for a in answers if normalise(a)] or [""] for answers in gold]
    pairs = list(zip(wanted, predicted, strict=True))
    return (
        np.array([max(exact(a, p) for a in answers) for answers, p in pairs]),
        np.array([max(f1_v2(a, p) for a in answers) for answers, p in pairs]),
    )


def with_threshold(
    scores: np.ndarray, gold: Answers, no_answer: Sequence[float], threshold: float
) -> np.ndarray:
    """scores_v2's (B,) once predictions give way to "" above the threshold."""
    silent = _probabilities(no_answer, gold) > threshold
    return np.where(silent, ~_answerable(gold), scores)


def best_threshold(
    scores: np.ndarray,
    gold: Answers,
    predicted: Sequence[str],
    no_answer: Sequence[float],
) -> tuple[float, float]:
    """The best mean over all thresholds of one of scores_v2's, and its threshold.

    0 or a probability of `no_answer`, the lowest where several are best. It is the
    script's search, to be comparable, and the mean may differ from with_threshold's in
    two cases: questions of equal probability are taken one by one in their order,
    though no threshold parts them; and any prediction but "" to a question without
    answers is a loss, even "The".
    """
    _check(gold, predicted)
    probability, answerable = _probabilities(no_answer, gold), _answerable(gold)
    # What answering a question adds, one after the other, to answering none.
    added = np.where(answerable, scores, [-1.0 if text else 0.0 for text in predicted])
    order = np.argsort(probability, kind="stable")
    totals = np.cumsum([(~answerable).sum(), *added[order]])
    best = int(np.argmax(totals))
    thresholds = [0.0, *probability[order].tolist()]
    return float(totals[best] / len(gold)), thresholds[best]


def _answerable(gold: Answers) -> np.ndarray:
    return np.array([len(answers) > 0 for answers in gold])


def _probabilities(no_answer: Sequence[float], gold: Answers) -> np.ndarray:
    probability = np.asarray(no_answer, np.float64)
    if probability.shape != (len(gold),):
        raise ValueError(f"no_answer {probability.shape} of {len(gold)} questions")
    if not ((probability >= 0) & (probability <= 1)).all():  # nan is neither
        raise ValueError("no_answer: want probabilities, in [0, 1]")
    return probability


def _check(gold: Answers, predicted: Sequence[str]) -> None:
    if len(gold) != len(predicted):
        raise ValueError(f"{len(predicted)} answers predicted of {len(gold)} questions")
    if not len(gold):
        raise ValueError("no questions to score")


def _mean(scores: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(scores))
