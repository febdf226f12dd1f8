"""Free texts in batches of few shapes, and the one jitted reader of a network.

A batch holds rows of about one length, padded to one width and filled up to one size:
each shape is compiled once, for all the checkpoints of a run.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from bert_jax.models import network as networks
from bert_jax.models.network import Network
from bert_jax.objectives.base import flat
from bert_jax.run.config import UsageError
from bert_jax.tasks.features import padded

BATCH = 32  # rows in one call of the network


class Row(NamedTuple):
    """The tokens of a text, or of a text and its pair, as the network reads them.

    offsets: the characters [start, end) of each token in its text, or in the pair, as
    Tokenizer.segments says; (0, 0) of special tokens.
    """

    ids: np.ndarray  # (T,) int32
    types: np.ndarray  # (T,) int32
    offsets: list[tuple[int, int]]


def slices(lengths: np.ndarray, most: Callable[[int], int]) -> Iterator[slice]:
    """The rows that go together, of (N,) sorted lengths; `most` says how many rows a
    batch holds whose first one is so long."""
    begin = 0
    while begin < len(lengths):
        end = begin + most(int(lengths[begin]))
        yield slice(begin, end)
        begin = end


def batch(
    rows: Sequence[Row], size: int, width: int, pad_id: int
) -> dict[str, np.ndarray]:
    """Arrays of `rows`, filled up to `size` rows by the last one: ids and types (size,
    width), lengths (size,)."""
    lengths = np.array([len(row.ids) for row in rows], np.int32)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    numbers = filled(np.arange(len(rows)), size)
    ids = np.concatenate([row.ids for row in rows])
    types = np.concatenate([row.types for row in rows])
    return arrays(ids, types, starts, numbers, width, pad_id)


def arrays(
    ids: np.ndarray,
    types: np.ndarray,
    starts: np.ndarray,
    numbers: np.ndarray,
    width: int,
    pad_id: int,
) -> dict[str, np.ndarray]:
    """ids and types (R, width), lengths (R,) of the rows `numbers`, (R,), of tokens that
    stand end to end: those of row r at starts[r]:starts[r + 1]."""
    return {
        "ids": padded(ids, starts, numbers, width, pad_id),
        "types": padded(types, starts, numbers, width, 0),
        "lengths": np.diff(starts)[numbers].astype(np.int32),
    }


def filled(values: np.ndarray, size: int) -> np.ndarray:
    """`values` filled up to `size` rows by the last one, or by zeros if it has none."""
    more = [(0, size - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, more, mode="edge" if len(values) else "constant")


def power(size: int) -> int:
    """The next power of two: few shapes, few compilations."""
    return 1 << max(size - 1, 0).bit_length()


def unreduced(outputs: Any, batch: Any) -> Any:
    """The outputs as they are."""
    return outputs


@partial(jax.jit, static_argnums=(0, 1, 2))
def read(
    network: Network,
    names: tuple[str, ...],
    reduce: Callable[[Any, Any], Any],
    params: Any,
    batch: Any,
) -> Any:
    """`reduce(outputs, batch)` of the outputs of a network so named.

    Only states and attention weights that are asked for are kept, and only without
    attention weights may attention be fused.
    """
    outputs: Any
    if networks.SOWN.keys() & set(names):
        outputs = networks.predict(network, params, flat(batch))
    else:
        outputs = network.apply({"params": params}, flat(batch), None)
    return reduce({name: outputs[name] for name in names}, batch)


def finite(values: Any, step: int) -> Any:
    """The values that a run gives at a step. UsageError where one is nan or infinite."""
    for array in map(np.asarray, jax.tree.leaves(values)):
        if not np.isfinite(array).all():
            raise UsageError(
                f"at step {step} the run gives numbers that are not finite: its training "
                "diverged, or its values overflow model.dtype; take another --step"
            )
    return values
