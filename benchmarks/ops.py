"""Candidates for each op, timed in turns: what `bert_jax/models/ops.py` does, and did.

  python -m benchmarks.ops [--batch=16] [--length=128] [--dim=512] [--heads=8]
                           [--rounds=15] [--only gelu dropout] [--json=FILE]

The first candidate of each op is the plain one, the second what the ops do on this
device or, of those that only another device has a use for, might do. "forward" is the
op, "both" with its gradients. Candidates take turns, so that whatever else the machine
does hits all of them; the table says medians of milliseconds by the clock and, on a
CPU, of processor time, which busy neighbours disturb less. What was predicted of each,
and what no machine at hand could answer, stands in benchmarks/NOTES.md.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks import cases, tables
from bert_jax.models import lookup, ops
from bert_jax.objectives import base

VOCAB, SHARE, MASK = 30_522, 0.15, 103  # tokens, the predicted share, and [MASK]
RATE = 0.1


class Race(NamedTuple):
    """An op: ways to do it, its arguments, and how many of them have a gradient."""

    name: str
    candidates: dict[str, Callable]
    arguments: tuple
    differentiable: int


def races(batch: int, length: int, dim: int, heads: int) -> Iterator[Race]:
    key = jax.random.key(0)
    predicted = max(int(SHARE * length), 1)
    rows = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(batch))

    def normal(*shape, dtype=jnp.float32):
        return jax.random.normal(key, shape).astype(dtype)

    dropped = {"threefry": threefry, "hash": partial(ops.dropout, rate=RATE)}
    for name, shape in (
        ("hidden", (batch, length, dim)),
        ("weights", (batch, heads, length, length)),
    ):
        yield Race(f"dropout of {name}", by_keys(dropped, rows), (normal(*shape),), 1)
    for dtype in (jnp.float32, jnp.bfloat16):
        name, x = jnp.dtype(dtype).name, normal(batch, length, dim, dtype=dtype)
        wide = normal(batch, length, 4 * dim, dtype=dtype)
        up, bias = normal(dim, 4 * dim, dtype=dtype), normal(4 * dim, dtype=dtype)
        dots = {"lax": plain_dot, "ops": partial(ops.dot, axis=0, dtype=dtype)}
        yield Race(f"dot {name}", dots, (x, up), 2)
        yield Race(f"bias {name}", {"jnp": jnp.add, "ops": ops.add}, (wide, bias), 2)
        gelus = {"erfc": partial(jax.nn.gelu, approximate=False), "ops": ops.gelu}
        yield Race(f"gelu {name}", gelus, (wide,), 1)
        three = 3 * (normal(batch, length, heads, dim // heads, dtype=dtype),)
        lengths = jnp.full(batch, length)
        attentions = {"lax": plain_attention, "ops": partial(attention, lengths)}
        yield Race(f"attention {name}", attentions, three, 3)
        hidden, table = (normal(*s, dtype=dtype) for s in (x.shape, (VOCAB, dim)))
        decoders = {"lax": plain_decoder, "ops": ops.decode, "padded": padded_decoder}
        yield Race(f"decoder {name}", decoders, (hidden[:, :predicted], table), 2)
    logits = normal(batch, predicted, VOCAB)
    targets = jax.random.randint(key, logits.shape[:2], 0, VOCAB)
    losses = {"sums": plain_loss, "ops": loss}
    yield Race("loss", losses, (logits, targets, jnp.ones(targets.shape)), 1)
    yield Race("wide bias", {"jnp": jnp.add, "ops": ops.add}, (logits, logits[0, 0]), 2)
    ids = jax.random.randint(key, (batch, length), 0, VOCAB)
    ids = jnp.where(jax.random.uniform(key, ids.shape) < 0.12, MASK, ids)
    lookups = {"jnp": lookup.rows, "ops": ops.embed}
    yield Race("embedding", lookups, (normal(VOCAB, dim), ids), 1)


def by_keys(candidates: dict[str, Callable], keys: Any) -> dict[str, Callable]:
    return {name: partial(drop, keys=keys) for name, drop in candidates.items()}


def threefry(x, keys):
    """Dropout as it was: JAX's own generator, eight bits an entry."""
    shape = (*x.shape[1:-1], x.shape[-1] // 4)
    words = jax.vmap(lambda key: jax.random.bits(key, shape, jnp.uint32))(keys)
    octets = lax.bitcast_convert_type(words, jnp.uint8).reshape(x.shape)
    threshold = round(RATE * 256)
    return jnp.where(octets >= threshold, x * (256 / (256 - threshold)), 0)


def plain_dot(x, matrix):
    return jnp.einsum("BTD,DF->BTF", x, matrix)


def plain_attention(query, key, value):
    wide = jnp.float32
    scores = jnp.einsum("BTNH,BSNH->BNTS", query, key, preferred_element_type=wide)
    weights = jax.nn.softmax(scores * query.shape[-1] ** -0.5, axis=-1)
    return jnp.einsum("BNTS,BSNH->BTNH", weights.astype(value.dtype), value)


def attention(lengths, query, key, value):
    options = {"causal": False, "window": 0, "slopes": None, "first": 0}
    options |= {"rate": 0.0, "keys": None, "record": False}
    return ops.attention(query, key, value, lengths=lengths, **options)[0]


def plain_decoder(x, table):
    return jnp.einsum("BPD,VD->BPV", x, table, preferred_element_type=jnp.float32)


def padded_decoder(x, table):
    """With rows up to a multiple of 128, and without their logits, on any device."""
    rows = jnp.pad(table, ((0, -len(table) % 128), (0, 0)))
    return ops.decode(x, rows)[..., : len(table)]


def plain_loss(logits, targets, weights):
    """Cross-entropy and accuracy as they were."""
    chosen = jax.nn.one_hot(targets, logits.shape[-1], dtype=bool)
    log_likelihood = jnp.where(chosen, logits, 0).sum(-1) - jax.nn.logsumexp(logits, -1)
    correct = lax.stop_gradient(jnp.argmax(logits, -1)) == targets
    return -jnp.sum(weights * log_likelihood), jnp.sum(weights * correct)


def loss(logits, targets, weights):
    total = base.weighted_cross_entropy(logits, targets, weights)[0]
    return total, base.weighted_accuracy(logits, targets, weights)[0]


def forward_and_back(function: Callable, count: int) -> Callable:
    """The op and the gradients of its first `count` arguments."""

    def both(gradient, *arguments):
        varied, fixed = arguments[:count], arguments[count:]
        value, pull = jax.vjp(lambda *varied: function(*varied, *fixed), *varied)
        return value, pull(gradient)

    return both


def compiled(race: Race) -> Iterator[tuple[str, Callable[[], Any]]]:
    """For each candidate a call of the op alone and one with its gradients, warm."""
    for name, op in race.candidates.items():
        shapes = jax.eval_shape(op, *race.arguments)
        gradient = jax.tree.map(
            lambda x: jax.random.normal(jax.random.key(1), x.shape, x.dtype), shapes
        )
        both = forward_and_back(op, race.differentiable)
        forward = partial(jax.jit(op), *race.arguments)
        backward = partial(jax.jit(both), gradient, *race.arguments)
        for part, function in (("forward", forward), ("both", backward)):
            jax.block_until_ready(function())
            yield f"{name} {part}", function


def run(race: Race, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each candidate, by the clock and of the processor."""
    functions = dict(compiled(race))
    found = {name: {"clock": [], "processor": []} for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            clock, processor = time.perf_counter(), time.process_time()
            jax.block_until_ready(function())
            found[name]["clock"].append(1e3 * (time.perf_counter() - clock))
            found[name]["processor"].append(1e3 * (time.process_time() - processor))
    return found


def line(race: Race, name: str, found: dict[str, dict[str, list[float]]]) -> list[str]:
    medians = (
        tables.number(statistics.median(found[f"{name} {part}"][kind]))
        for part in ("forward", "both")
        for kind in ("clock", "processor")
    )
    return [race.name, name, *medians]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in {"batch": 16, "length": 128, "dim": 512, "heads": 8}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rounds", type=int, default=15, help="timed calls of each")
    parser.add_argument("--only", nargs="+", default=[""], help="words of their names")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    given = parser.parse_args()

    lines, found = [], {}
    for race in races(given.batch, given.length, given.dim, given.heads):
        if any(word in race.name for word in given.only):
            found[race.name] = run(race, given.rounds)
            lines += [line(race, name, found[race.name]) for name in race.candidates]
    device = jax.devices()[0].device_kind
    print(tables.conditions([cases.processor(), device], [f"jax {jax.__version__}"]))
    header = ["op", "how", "forward, ms", "of processor", "both, ms", "of processor"]
    print(tables.markdown(header, lines))
    tables.write(given.json, {"device": device, "milliseconds": found})


if __name__ == "__main__":
    main()
