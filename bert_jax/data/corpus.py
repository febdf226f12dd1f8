"""Where documents come from. Each kind of corpus is a module of three functions."""

from collections.abc import Iterator
from importlib import import_module

from ml_collections import ConfigDict

from bert_jax.data import files
from bert_jax.data.paragraphs import Document

# By name, because TFDS takes half a second to import and only its own corpus needs it.
KINDS = {
    "news": "bert_jax.data.news",
    "files": "bert_jax.data.files",
    "tfds": "bert_jax.data.tfds",
}


def documents(data) -> Iterator[Document]:
    """The documents of `config.data`, streamed, in an order that never changes."""
    return import_module(KINDS[data.corpus]).documents(data)


def finer(data) -> ConfigDict | None:
    """The same text in more and more even documents; None where what a document is has
    not been left open."""
    is_open = data.corpus == "files" and data.documents == "auto"
    return files.small_windows(data) if is_open else None


def identity(data) -> dict:
    """What the documents depend on, their contents before all: a store that is made
    from them is found again by it."""
    return {"corpus": data.corpus} | import_module(KINDS[data.corpus]).identity(data)


def describe(data) -> str:
    """One line on what is read and what is taken for a document."""
    return import_module(KINDS[data.corpus]).describe(data)
