"""Corpus of a TFDS dataset, read by `as_data_source`, which needs no TensorFlow."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.core.download.util import DownloadError

from bert_jax.data.paragraphs import CorpusDocument, clean
from bert_jax.run import files
from bert_jax.run.config import UsageError

# TFDS knows the datasets of these packages (wikipedia, glue) only once they are imported.
PACKAGES = ("text", "question_answering")
_UNPREPARED = (
    OSError,  # no network, no space
    ImportError,  # preparing a few datasets needs TensorFlow or Beam
    AssertionError,  # files that must be downloaded by hand
    DownloadError,
    NonMatchingChecksumError,
)


def documents(data) -> Iterator[CorpusDocument]:
    mend = "say --config.data.tfds_split=NAME"
    features, examples = source(data.tfds_name, data.tfds_split, data.tfds_dir, mend)
    require(data.tfds_name, features, data.text_field, "--config.data.text_field")
    for number, example in enumerate(examples):
        name = f"{data.tfds_name} {data.tfds_split}[{number}]"
        yield CorpusDocument(name, clean(decoded(name, example[data.text_field])))


def identity(data) -> dict:
    dataset = prepared(data.tfds_name, data.tfds_dir)
    folder = Path(dataset.data_dir)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as threads:
        contents = threads.map(files.content_digest, paths)
        listed = {str(p.relative_to(folder)): c for p, c in zip(paths, contents)}
    return {
        "name": dataset.info.full_name,
        "files": listed,
        "split": data.tfds_split,
        "field": data.text_field,
    }


def describe(data) -> str:
    return f"{data.tfds_name}, {data.tfds_split}: an example a document"


def builder(name: str, directory: str) -> Any:
    """Return the TFDS builder of a dataset; directory "" is TFDS's default. UsageError
    if unknown."""
    for package in PACKAGES:
        import_module(f"tensorflow_datasets.{package}")
    try:
        return tfds.builder(
            name, data_dir=directory or None, file_format="array_record"
        )
    except (AssertionError, ImportError, ValueError) as error:
        raise UsageError(f"no TFDS dataset {name!r}: {_reason(error)}") from error


def prepared(name: str, directory: str) -> Any:
    """Return the builder of a dataset, downloaded if need be. Raises UsageError."""
    dataset = builder(name, directory)
    try:
        dataset.download_and_prepare()
    except _UNPREPARED as error:
        raise UsageError(
            f"cannot prepare {name} in {dataset.data_dir}: {_reason(error)}: "
            "copy this folder from a machine with a network that has prepared it"
        ) from error
    return dataset


def source(
    name: str, split: str, directory: str, mend: str
) -> tuple[Any, Sequence[dict]]:
    """Return a dataset's features and a split's examples, downloaded if need be.

    UsageError if the dataset is unavailable, or for an unknown or empty split; `mend`
    then names the option to change.
    """
    dataset = prepared(name, directory)
    try:
        examples = dataset.as_data_source(split=split)
    except ValueError as error:
        raise UsageError(
            f"{name} has no split {split!r}, but {', '.join(dataset.info.splits)}: "
            f"{mend} ({_reason(error)})"
        ) from error
    if not len(examples):
        raise UsageError(f"{name} {split} is empty: {mend}")
    return dataset.info.features, examples


def require(name: str, features: Any, field: str, key: str) -> None:
    """Refuse a dataset without this field; the UsageError suggests the option `key`."""
    if field not in features:
        raise UsageError(
            f"{name} has no field {field!r}, but {', '.join(features)}: say {key}=NAME"
        )


def decoded(where: str, value: Any) -> str:
    """Decode a Text feature. UsageError for another kind of value."""
    try:
        return value.decode()
    except (AttributeError, UnicodeDecodeError) as error:
        raise UsageError(f"{where}: no UTF-8 text ({error})") from error


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
