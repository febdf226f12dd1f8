"""Fine-tuning (Devlin et al. 2019, section 4): an encoder, one head, labelled data.

`label` is the batch's key for what is to be predicted, NO_LABEL where there is nothing.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from bert_jax.models.layers import EncoderConfig
from bert_jax.models.network import Network, Readout
from bert_jax.models.ops import MASKED
from bert_jax.objectives.base import (
    Batch,
    Counts,
    Objective,
    Sums,
    of_network,
    weighted_accuracy,
    weighted_cross_entropy,
)

NO_LABEL = -1
TASK = {"task": 1.0}  # the one loss


Weigh = Callable[[Batch], Float[Array, "*rows"]]
Score = Callable[[dict[str, Any], Batch, Float[Array, "*rows"]], Sums]


def build(config: Any, class_weights: Float[np.ndarray, "C"]) -> Objective:
    """The objective of a config with C labels, none where its kind has none."""
    encoder = EncoderConfig(**config.model)
    features = Readout.of(config.objective)
    return OBJECTIVES[config.objective.kind](encoder, features, class_weights)


def classify(
    encoder: EncoderConfig, features: Readout, class_weights: Float[np.ndarray, "C"]
) -> Objective:
    """Classify a text or a pair as one of C classes (section 4.1); label (B,).

    The mean weighs each example by its class; weights of one are the plain mean.
    """
    heads = _heads(features, "classify_head", pools=True)
    network = Network(encoder, heads, len(class_weights), features)

    def weigh(batch: Batch) -> Float[Array, "B"]:
        return batch["weights"] * jnp.asarray(class_weights)[batch["label"]]

    def score(
        outputs: dict[str, Any], batch: Batch, weights: Float[Array, "B"]
    ) -> Sums:
        logits, label = outputs["classify_logits"], batch["label"]
        return {
            "task_loss": weighted_cross_entropy(logits, label, weights),
            "accuracy": weighted_accuracy(logits, label, batch["weights"]),
        }

    return _objective(network, weigh, score)


def multilabel(
    encoder: EncoderConfig, features: Readout, class_weights: Float[np.ndarray, "C"]
) -> Objective:
    """Binary cross-entropy of C labels of a text or a pair; label (B, C).

    The mean is over texts and labels.
    """
    heads = _heads(features, "classify_head", pools=True)
    network = Network(encoder, heads, len(class_weights), features)

    def weigh(batch: Batch) -> Float[Array, "B C"]:
        return jnp.broadcast_to(batch["weights"][:, None], batch["label"].shape)

    def score(
        outputs: dict[str, Any], batch: Batch, weights: Float[Array, "B C"]
    ) -> Sums:
        logits, label = outputs["classify_logits"].astype(jnp.float32), batch["label"]
        loss = jnp.logaddexp(0.0, logits) - label * logits
        right = jnp.all((logits > 0) == (label > 0), axis=-1)
        return {
            "task_loss": (jnp.sum(weights * loss), jnp.sum(weights)),
            "accuracy": (jnp.sum(weights[:, 0] * right), jnp.sum(weights[:, 0])),
        }

    return _objective(network, weigh, score)


def regress(
    encoder: EncoderConfig, features: Readout, class_weights: Float[np.ndarray, "0"]
) -> Objective:
    """A number of a text or a pair, by its squared error; label (B,), float."""
    heads = _heads(features, "classify_head", pools=True)
    network = Network(encoder, heads, 1, features)

    def score(
        outputs: dict[str, Any], batch: Batch, weights: Float[Array, "B"]
    ) -> Sums:
        error = outputs["classify_logits"][:, 0] - batch["label"]
        return {"task_loss": (jnp.sum(weights * error**2), jnp.sum(weights))}

    return _objective(network, lambda batch: batch["weights"], score)


def tag(
    encoder: EncoderConfig, features: Readout, class_weights: Float[np.ndarray, "C"]
) -> Objective:
    """A class of each token that has a label (section 5.3); label (B, T)."""
    heads = _heads(features, "tag_head", pools=False)
    network = Network(encoder, heads, len(class_weights), features)

    def weigh(batch: Batch) -> Float[Array, "B T"]:
        return (batch["label"] != NO_LABEL) * batch["weights"][:, None]

    def score(
        outputs: dict[str, Any], batch: Batch, weights: Float[Array, "B T"]
    ) -> Sums:
        logits, label = outputs["tag_logits"], jnp.maximum(batch["label"], 0)
        return {
            "task_loss": weighted_cross_entropy(logits, label, weights),
            "accuracy": weighted_accuracy(logits, label, weights),
        }

    return _objective(network, weigh, score)


def span(
    encoder: EncoderConfig, features: Readout, class_weights: Float[np.ndarray, "0"]
) -> Objective:
    """Start and end of an answer (section 4.2); label (B, 2), 0 for no answer.

    The loss is the mean of the two cross-entropies over the row's own tokens.
    """
    heads = _heads(features, "span_head", pools=False)
    network = Network(encoder, heads, 0, features)

    def score(
        outputs: dict[str, Any], batch: Batch, weights: Float[Array, "B"]
    ) -> Sums:
        logits = jnp.moveaxis(outputs["span_logits"], -1, 1)
        places = jnp.arange(logits.shape[-1])[None, None]
        inside = places < batch["lengths"][:, None, None]
        logits = jnp.where(inside, logits, MASKED)
        ends = jnp.broadcast_to(weights[:, None], batch["label"].shape)
        total, count = weighted_cross_entropy(logits, batch["label"], ends)
        right = jnp.all(jnp.argmax(logits, -1) == batch["label"], axis=-1)
        return {
            "task_loss": (total / 2, count / 2),
            "accuracy": (jnp.sum(weights * right), jnp.sum(weights)),
        }

    return _objective(network, lambda batch: batch["weights"], score)


def choose(
    encoder: EncoderConfig, features: Readout, class_weights: Float[np.ndarray, "0"]
) -> Objective:
    """The best of C answers (section 4.4); ids and types (B, C, T), lengths (B, C)."""
    heads = _heads(features, "choice_head", pools=True)
    network = Network(encoder, heads, 0, features)

    def score(
        outputs: dict[str, Any], batch: Batch, weights: Float[Array, "B"]
    ) -> Sums:
        logits = outputs["choice_logits"].reshape(batch["lengths"].shape)
        return {
            "task_loss": weighted_cross_entropy(logits, batch["label"], weights),
            "accuracy": weighted_accuracy(logits, batch["label"], weights),
        }

    return _objective(network, lambda batch: batch["weights"], score)


def _heads(features: Readout, head: str, *, pools: bool) -> tuple[str, ...]:
    """A task's head, and the pooler if it reads one: `pools` says whether it reads the
    vector of a text."""
    pooler = features.pooler == "head" or (pools and features.pool == "pooler")
    return ("pooler", head) if pooler else (head,)


def _objective(network: Network, weigh: Weigh, score: Score) -> Objective:
    """The objective of a network, the weight of its labels, and its sums."""

    def prepare(batch: Batch, key: Key[Array, ""] | None) -> tuple[Batch, Counts]:
        return batch, {"task": jnp.sum(weigh(batch))}

    def sums(outputs: dict[str, Any], batch: Batch) -> Sums:
        return score(outputs, batch, weigh(batch))

    return of_network(network, TASK, prepare, sums)


OBJECTIVES = {
    "classify": classify,
    "multilabel": multilabel,
    "regress": regress,
    "tag": tag,
    "span": span,
    "choose": choose,
}
