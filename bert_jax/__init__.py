"""A JAX/Flax research codebase for BERT pretraining.

`bert_jax.load(workdir)` opens a run for use; see `bert_jax.predict.model`.
"""


def __getattr__(name: str):
    # Looked up late (PEP 562), so that what never needs jax never loads it.
    if name == "load":
        from bert_jax.predict.model import load

        return load
    raise AttributeError(f"module 'bert_jax' has no attribute {name!r}")
