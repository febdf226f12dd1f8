"""A TFDS dataset, through `as_data_source`, which needs no TensorFlow."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from bert_jax.config import UsageError
from bert_jax.data.paragraphs import Document, clean


def documents(data) -> Iterator[Document]:
    builder = _builder(data)
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


def identity(data) -> dict:
    return {
        "name": _builder(data).info.full_name,
        "split": data.tfds_split,
        "field": data.text_field,
    }


def describe(data) -> str:
    return f"{data.tfds_name}, {data.tfds_split}: an example a document"


def _builder(data) -> Any:
    where = data.tfds_dir or None
    try:
        return tfds.builder(data.tfds_name, data_dir=where, file_format="array_record")
    except (tfds.core.DatasetNotFoundError, AssertionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"no TFDS dataset {data.tfds_name!r}: {reason}") from error
