"""How much of a news topic can be read off the frozen vectors of pretrained runs.

  python -m experiments.records.topics_probe RUN [RUN/checkpoints/STEP ...]

Logistic regression on the standardised sentence vectors of 5 and of 50 articles a topic,
the mean over 20 draws of articles; test articles those of `task.format=news`. The best
of three penalties is chosen on the test articles, so the numbers flatter a little, and
all runs alike.
"""

import sys
from statistics import mean

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

import bert_jax
from bert_jax.tasks.formats.sources import packaged_news
from bert_jax.train import checkpoint

DRAWS, PENALTIES = 20, (1e-3, 1e-2, 1e-1)


def fitted(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """Weights (D + 1, C), the last row the bias, which is not penalised."""
    x, targets = with_ones(x), np.eye(y.max() + 1)[y]
    shape = x.shape[1], targets.shape[1]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape)
        log = log_softmax(x @ weights, axis=1)
        held = np.vstack([weights[:-1], np.zeros(shape[1])])
        value = -(targets * log).sum() / len(x) + penalty / 2 * (held**2).sum()
        return value, (x.T @ (np.exp(log) - targets) / len(x) + penalty * held).ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B")
    return found.x.reshape(shape)


def with_ones(x: np.ndarray) -> np.ndarray:
    return np.hstack([x, np.ones((len(x), 1))])


def accuracy(train, test, per_topic: int, penalty: float, draw: int) -> float:
    (x, y), (unseen, topics) = train, test
    order = np.random.default_rng(draw).permutation(len(y))
    few = np.concatenate([order[y[order] == c][:per_topic] for c in range(y.max() + 1)])
    said = (with_ones(unseen) @ fitted(x[few], y[few], penalty)).argmax(1)
    return 100 * float((said == topics).mean())


def best_accuracy(train, test, per_topic: int) -> float:
    return max(
        mean(accuracy(train, test, per_topic, penalty, draw) for draw in range(DRAWS))
        for penalty in PENALTIES
    )


def main() -> None:
    splits = [list(packaged_news(None, name, "")) for name in ("train", "test")]
    names = sorted({article.label for article in splits[0]})
    topics = [np.array([names.index(a.label) for a in split]) for split in splits]
    for path in sys.argv[1:]:
        model = bert_jax.load(*checkpoint.locate(path))
        sides = [
            model.sentence_vectors([article.text for article in split])
            for split in splits
        ]
        centre, spread = sides[0].mean(0), sides[0].std(0) + 1e-6
        scale = spread * np.sqrt(len(centre)) / 3
        train, test = [
            ((vectors - centre) / scale, of)
            for vectors, of in zip(sides, topics, strict=True)
        ]
        found = [f"{best_accuracy(train, test, k):.1f} % from {k}" for k in (5, 50)]
        print(f"{path}: {', '.join(found)}", flush=True)


if __name__ == "__main__":
    main()
