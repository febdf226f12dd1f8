"""Corpora: sources of documents. Each kind is a module of three functions."""

from collections.abc import Iterator
from importlib import import_module

from ml_collections import ConfigDict

from bert_jax.data import files
from bert_jax.data.paragraphs import CorpusDocument

# Module names, because TFDS takes half a second to import and only `tfds` needs it.
KINDS = {
    "news": "bert_jax.data.news",
    "files": "bert_jax.data.files",
    "tfds": "bert_jax.data.tfds",
}


def documents(data) -> Iterator[CorpusDocument]:
    """The documents of `config.data`, streamed in a fixed order."""
    return import_module(KINDS[data.corpus]).documents(data)


def finer(data) -> ConfigDict | None:
    """A config for the same text in more documents of even size; None unless
    documents=auto."""
    is_open = data.corpus == "files" and data.documents == "auto"
    return files.small_windows(data) if is_open else None


def identity(data) -> dict:
    """Identity of the documents, mainly their contents: part of the store's key."""
    return {"corpus": data.corpus} | import_module(KINDS[data.corpus]).identity(data)


def describe(data) -> str:
    """Describe in one line the files read and the unit of a document."""
    return import_module(KINDS[data.corpus]).describe(data)
