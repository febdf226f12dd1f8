"""Pretraining: masked LM with or without a sentence-pair loss, and causal LM.

Devlin et al. 2019, section 3.1 (masked LM, next sentence); Lan et al. 2020, section
3.1 (sentence order); Radford et al. 2018, section 3.1 (causal LM).
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from bert_jax.models.layers import EncoderConfig
from bert_jax.models.network import PRETRAINING, Network, Readout
from bert_jax.objectives.base import (
    Batch,
    Counts,
    Objective,
    Sums,
    of_network,
    weighted_accuracy,
    weighted_cross_entropy,
)
from bert_jax.objectives.masking import Masking, Vocabulary, mask

ALONE = ("mlm_head",)
PAIRED = ("mlm_head", "pooler", "pair_head")
HEADS = {"nsp": PAIRED, "sop": PAIRED, "none": ALONE}  # by the pair loss


def build(
    config: Any,
    vocabulary: Vocabulary,
    unigram: Float[np.ndarray, "V"],
    *,
    evaluation: bool,
) -> Objective:
    """The objective of a config, for training or with its fixed evaluation masks."""
    return KINDS[config.objective.kind](config, vocabulary, unigram, evaluation)


def masked_lm(
    encoder: EncoderConfig,
    masking: Masking,
    pair: str,
    pair_weight: float,
    vocabulary: Vocabulary,
    unigram: Float[np.ndarray, "V"],
    features: Readout = PRETRAINING,
) -> Objective:
    """Predict the masked tokens and, unless pair is "none", the pair label.

    The loss is that of the tokens plus `pair_weight` times that of the pairs.
    `unigram` holds the log-probability of every token, a baseline to stay below.
    """

    def choose(batch: Batch, key: Key[Array, ""]) -> Batch:
        return mask(batch, key, masking, vocabulary)

    network = Network(encoder, HEADS[pair], 0, features)
    return _objective(network, {"mlm": 1.0, "pair": pair_weight}, choose, unigram)


def causal_lm(
    encoder: EncoderConfig,
    vocabulary: Vocabulary,
    unigram: Float[np.ndarray, "V"],
    features: Readout = PRETRAINING,
) -> Objective:
    """Predict every token of the text from those before it; specials are no text."""
    if encoder.attention != "causal":
        raise ValueError(
            "a causal LM needs model.attention=causal: it sees its targets"
        )

    def choose(batch: Batch, key: Key[Array, ""] | None) -> Batch:
        return {**batch, **next_tokens(batch, vocabulary.special)}

    network = Network(encoder, ALONE, 0, features)
    return _objective(network, {"lm": 1.0}, choose, unigram)


def next_tokens(batch: Batch, special: Bool[np.ndarray, "V"]) -> Batch:
    """The position before each token, the token, and 1 where it is text."""
    targets = jnp.asarray(batch["ids"])[:, 1:]
    places = jnp.arange(targets.shape[1])[None]
    inside = places + 1 < jnp.asarray(batch["lengths"])[:, None]
    text = inside & ~jnp.asarray(special)[targets]
    return {
        "positions": jnp.broadcast_to(places, targets.shape),
        "targets": targets,
        "target_weights": text * jnp.asarray(batch["weights"])[:, None],
    }


def unigram_log_probs(
    counts: Int[np.ndarray, "V"], special: Bool[np.ndarray, "V"]
) -> Float[np.ndarray, "V"]:
    """Log-frequencies, add one, of the tokens that can be targets.

    Specials never are; theirs is finite only for the sake of the unused slots.
    """
    counts = np.where(special, 0, counts.astype(np.float64) + 1)
    return np.log(np.maximum(counts, 1) / counts.sum()).astype(np.float32)


def _objective(
    network: Network,
    weights: dict[str, float],
    choose: Callable[[Batch, Any], Batch],
    unigram: Float[np.ndarray, "V"],
) -> Objective:
    """The objective of a network; `choose` adds the targets to a batch.

    `weights` of the losses: that of the tokens first, then that of the pairs.
    """
    name = next(iter(weights))
    paired = "pair_head" in network.heads

    def prepare(batch: Batch, key: Key[Array, ""]) -> tuple[Batch, Counts]:
        # Shared evaluation rows come with their targets, and keep them.
        batch = batch if "targets" in batch else choose(batch, key)
        counts = {name: jnp.sum(batch["target_weights"])}
        if paired:
            counts["pair"] = jnp.sum(batch["weights"])
        return batch, counts

    def score(outputs: dict[str, Any], batch: Batch) -> Sums:
        sums = token_sums(name, outputs["logits"], batch, unigram)
        return sums | pair_sums(outputs["pair_logits"], batch) if paired else sums

    return of_network(network, weights, prepare, score)


def token_sums(
    name: str,
    logits: Float[Array, "B P V"],
    batch: Batch,
    unigram: Float[np.ndarray, "V"],
) -> Sums:
    """Loss and accuracy of the predicted tokens, and the unigram loss of the same."""
    targets, weights = batch["targets"], batch["target_weights"]
    baseline = -jnp.sum(weights * jnp.asarray(unigram)[targets])
    return {
        f"{name}_loss": weighted_cross_entropy(logits, targets, weights),
        f"{name}_accuracy": weighted_accuracy(logits, targets, weights),
        "unigram_loss": (baseline, jnp.sum(weights)),
    }


def pair_sums(logits: Float[Array, "B 2"], batch: Batch) -> Sums:
    """Loss and accuracy of the pair label: 0 in order, 1 random or swapped."""
    labels, weights = batch["pair_label"], batch["weights"]
    return {
        "pair_loss": weighted_cross_entropy(logits, labels, weights),
        "pair_accuracy": weighted_accuracy(logits, labels, weights),
    }


def evaluation_masking(rate: float) -> Masking:
    """BERT's own masks, one an example, however the model is trained.

    Arms that differ in unit or replacements could not be compared otherwise.
    """
    return Masking(rate, unit="token", token_share=0.8, random_share=0.1, copies=1)


def _masked_lm_of(
    config: Any,
    vocabulary: Vocabulary,
    unigram: Float[np.ndarray, "V"],
    evaluation: bool,
) -> Objective:
    chosen = config.objective
    masking = Masking(
        chosen.mask_rate,
        chosen.mask_unit,
        chosen.mask_token_share,
        chosen.mask_random_share,
        chosen.mask_copies,
    )
    if evaluation:
        masking = evaluation_masking(chosen.eval_mask_rate)
    encoder = EncoderConfig(**config.model)
    weight, features = chosen.pair_weight, Readout.of(chosen)
    return masked_lm(
        encoder, masking, chosen.pair, weight, vocabulary, unigram, features
    )


def _causal_lm_of(
    config: Any,
    vocabulary: Vocabulary,
    unigram: Float[np.ndarray, "V"],
    evaluation: bool,
) -> Objective:
    encoder, features = EncoderConfig(**config.model), Readout.of(config.objective)
    return causal_lm(encoder, vocabulary, unigram, features)


KINDS = {"mlm": _masked_lm_of, "clm": _causal_lm_of}
