"""Hugging Face's last Flax BERT for benchmarks.step: transformers 4.x has it, 5 not.

Its step is that of the library's own example: labels in their places, logits of every
position, AdamW of optax, jit with parameters and moments donated.
"""

import functools

import jax
import jax.numpy as jnp
import optax
import transformers  # pyright: ignore[reportMissingImports]

from benchmarks import cases
from benchmarks.cases import Case, Side
from benchmarks.ours import peak_bytes
from benchmarks.worker import Stepper


def build(case: Case, side: Side) -> Stepper:
    model = transformers.FlaxBertForPreTraining(
        transformers.BertConfig(
            vocab_size=case.vocabulary,
            **cases.hugging_face(case),
        ),
        input_shape=(1, case.length),
        dtype=jnp.dtype(side.dtype),
    )
    optimiser = optax.chain(
        optax.clip_by_global_norm(case.clip_norm),
        optax.adamw(
            case.learning_rate, eps=case.epsilon, weight_decay=case.weight_decay
        ),
    )
    names = ("ids", "types", "labels", "pair_label")
    host = cases.masked(case)
    batch = {name: jnp.asarray(host[name], jnp.int32) for name in names}
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels

    def loss(params, batch, key):
        outputs = model(
            batch["ids"],
            token_type_ids=batch["types"],
            params=params,
            dropout_rng=key,
            train=True,
        )
        predicted = batch["labels"] != cases.NOT_PREDICTED
        logits = outputs.prediction_logits.astype(jnp.float32)
        tokens = cross_entropy(logits, jnp.where(predicted, batch["labels"], 0))
        pair_logits = outputs.seq_relationship_logits.astype(jnp.float32)
        pairs = cross_entropy(pair_logits, batch["pair_label"])
        return (tokens * predicted).sum() / predicted.sum() + pairs.mean()

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, batch, key):
        params, moments, count = state
        value, gradient = jax.value_and_grad(loss)(
            params, batch, jax.random.fold_in(key, count)
        )
        updates, moments = optimiser.update(gradient, moments, params)
        return (optax.apply_updates(params, updates), moments, count + 1), value

    key, moments = jax.random.key(0), optimiser.init(model.params)
    current = model.params, moments, jnp.zeros((), jnp.int32)

    def run(steps: int) -> None:
        nonlocal current
        value = None
        for _ in range(steps):
            current, value = step(current, batch, key)
        jax.block_until_ready((current, value))

    versions = f"jax {jax.__version__}, transformers {transformers.__version__}"
    about = {"device": jax.devices()[0].device_kind, "versions": versions}
    return Stepper(run, peak_bytes, about)
