"""The verb plan: time and memory that a run needs on given hardware.

The train step, the very one, is compiled ahead of time for a topology; what is printed
is read from the compiled program. No data are needed, and nothing is trained.
"""

import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import FrozenConfigDict

from bert_jax.data import tokenizer
from bert_jax.data.vocabulary import SPECIALS
from bert_jax.objectives import pretrain
from bert_jax.objectives.masking import Vocabulary
from bert_jax.run import config as configs
from bert_jax.run import exits, flops, hardware, mesh, rules
from bert_jax.run.config import UsageError
from bert_jax.run.hardware import GB, Bounds, Chip
from bert_jax.train import loop, optim, setup, state
from bert_jax.train.parallel import placement as parallel
from bert_jax.train.parallel.sharding import AXES, ROWS
from bert_jax.train.plan import program
from bert_jax.train.plan import topology as topologies
from bert_jax.train.plan.program import Collective, Memory, Work
from bert_jax.train.setup import Parts

LEFT_OUT = """\
What this leaves out: every part is taken to run at the speed that its maker names,
arithmetic at that of bfloat16, which no program reaches; memory traffic is counted as if
nothing stayed in the chip's own fast memory; links are taken to be all in use, and the
wires of the topology, the start of each collective, hosts, and reading the data to cost
nothing. So the rate is what to hope for; whether memory fits is the compiler's own
account."""


class Plan(NamedTuple):
    """A step as it was compiled. memory, collectives and work are of one device."""

    topology: str
    chip: Chip | None
    devices: int
    mesh: tuple[int, int, int]
    asked: FrozenConfigDict
    config: FrozenConfigDict  # with the vocabulary's size
    parameters: int
    memory: Memory
    collectives: list[Collective]
    work: Work

    @property
    def tokens(self) -> int:
        """Tokens of a step, if every row is full."""
        return self.config.train.batch * self.config.data.length

    @property
    def formula(self) -> float:
        """FLOPs of a step on all devices, as `flops` counts them."""
        return flops.training_flops(self.config, 1, self.config.data.length)

    @property
    def bounds(self) -> Bounds | None:
        """Bounds of a step's time; XLA counts one of the `accumulate` rounds of a loop."""
        if self.chip is None:
            return None
        rounds = self.config.train.accumulate
        operations = max(self.work.flops * rounds, self.formula / self.devices)
        sent = sum(each.sent for each in self.collectives)
        return hardware.roofline(self.chip, operations, self.work.bytes * rounds, sent)


def main(config: FrozenConfigDict, topology: str) -> int:
    """Compile for a topology and print what was found. Raises UsageError."""
    print("\n".join(table(make(config, topology))))
    return exits.DONE


def make(config: FrozenConfigDict, topology: str) -> Plan:
    """Compile the step of a config. Raises UsageError.

    The environment must be as `hardware.environment` has it.
    """
    asked, config = config, _resolved(config)
    chip, devices = hardware.chip(topology), topologies.devices(topology)
    sizes = mesh.fitted(config.parallel.mesh, len(devices), mesh.batches(config))
    grid = parallel.grid(devices, sizes)
    run = described(config, grid)
    print(
        f"compiling for {grid.size} devices, {devices[0].device_kind}: "
        "a large model takes minutes",
        file=sys.stderr,
        flush=True,
    )
    with jax.sharding.use_abstract_mesh(grid.abstract_mesh):
        compiled = lowered(run, grid).compile()
    leaves = jax.tree.leaves(run.param_shapes())
    return Plan(
        topology=topology,
        chip=chip,
        devices=grid.size,
        mesh=sizes,
        asked=asked,
        config=config,
        parameters=sum(leaf.size for leaf in leaves),
        memory=program.memory(compiled),
        collectives=program.collectives(str(compiled.as_text()), grid.size),
        work=program.work(compiled),
    )


def lowered(run: Parts, grid: jax.sharding.Mesh) -> jax.stages.Lowered:
    """The step, placed, for a batch of the shapes that the pipeline makes."""
    rows, length = run.config.train.batch, run.config.data.length
    by_row, everywhere = NamedSharding(grid, ROWS), NamedSharding(grid, P())

    def batch(*shape, dtype):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=by_row)

    tokens = {name: batch(rows, length, dtype=jnp.int32) for name in ("ids", "types")}
    numbers = ("lengths", "pair_label", "example_ids", "epochs", "rows")
    each = {name: batch(rows, dtype=jnp.int32) for name in numbers}
    weights = {"weights": batch(rows, dtype=jnp.float32)}
    scalars = {
        name: jax.ShapeDtypeStruct((), value.dtype, sharding=everywhere)
        for name, value in state.scalars(run.config).items()
    }
    step = run.placement.step(loop.step_of(run))
    return step.lower(run.shapes(), tokens | each | weights, scalars)


def table(plan: Plan) -> list[str]:
    """The plan in lines for a person."""
    model, kind = plan.config.model, plan.chip.kind if plan.chip else "simulated CPU"
    rows = plan.config.train.batch
    lines = [
        _row("devices", f"{plan.devices} x {kind}, {_mesh(plan.mesh)}"),
        _row(
            "model",
            f"{plan.parameters / 1e6:.1f} M parameters, compute in {model.dtype}, "
            f"a vocabulary of {model.vocab_size:,}{_origin(plan.asked)}",
        ),
        _row(
            "batch",
            f"{rows} rows of {plan.config.data.length} tokens, "
            f"{rows // (plan.mesh[0] * plan.mesh[1])} a device"
            f"{_rounds(plan.config.train.accumulate)}",
        ),
        _row("memory", _memory(plan)),
        _row("FLOPs", _flops(plan)),
        *_collectives(plan.collectives),
    ]
    if plan.chip is None or plan.bounds is None:
        return [*lines, "", "A simulated device has no speed: no times."]
    return [*lines, *_times(plan, plan.chip, plan.bounds), "", LEFT_OUT]


def _flops(plan: Plan) -> str:
    formula = f"{_digits(plan.formula / plan.devices / 1e12)} T by the formula"
    counted = plan.work.flops * plan.config.train.accumulate / 1e12
    return (
        f"{_digits(counted)} T a device by the program, {formula}"
        if counted
        else (f"{formula}, a device")
    )


def _memory(plan: Plan) -> str:
    found = plan.memory
    parts = (
        f"state and batch {_gb(found.arguments)}, temporary {_gb(found.temporaries)}, "
        f"program {_gb(found.code)}"
    )
    if plan.chip is None:
        return f"{_gb(found.peak)} GB a device: {parts}"
    fits = "fits" if found.peak <= plan.chip.memory else "DOES NOT FIT"
    share = f"{_gb(found.peak)} of {plan.chip.memory / GB:.0f} GB a device"
    return f"{share}, {fits}: {parts}"


def _collectives(found: Sequence[Collective]) -> list[str]:
    lines = []
    for kind in program.KINDS:
        chosen = [each for each in found if each.kind == kind]
        if not chosen:
            continue
        size = sum(each.rounds * each.bytes for each in chosen)
        sent = sum(each.sent for each in chosen)
        looped = sum(each.rounds > 1 for each in chosen)
        lines.append(
            _row(
                kind,
                f"{len(chosen)}, together {_digits(size / 1e6)} MB, of which a device "
                f"sends {_digits(sent / 1e6)}"
                + (f"; {looped} in the loop over micro-batches" if looped else ""),
            )
        )
    return lines or [_row("collectives", "none")]


def _times(plan: Plan, chip: Chip, bounds: Bounds) -> list[str]:
    def rate(seconds):
        mfu = plan.formula / plan.devices / chip.peak / seconds
        return (
            f"{_digits(1e3 * seconds)} ms, {_digits(plan.tokens / seconds)} tokens/s, "
            f"MFU {100 * mfu:.0f} %"
        )

    return [
        _row("arithmetic", f"{_digits(1e3 * bounds.compute)} ms"),
        _row("memory traffic", f"{_digits(1e3 * bounds.memory)} ms"),
        _row("links", f"{_digits(1e3 * bounds.links)} ms"),
        _row("step, at best", f"{rate(bounds.together)}: all three at once"),
        _row("step, in turn", f"{rate(bounds.in_turn)}: one after the other"),
        _row("what binds", bounds.binding),
    ]


def _row(name: str, text: str) -> str:
    return f"{name:<19} {text}"


def _digits(value: float) -> str:
    """Three of them: 0.0123, 12.3, 12,300."""
    if value < 100:
        return f"{value:.3g}"
    return f"{round(value, 2 - math.floor(math.log10(value))):,.0f}"


def _origin(sources: FrozenConfigDict) -> str:
    """The origin of the vocabulary's size, if no vocabulary was at hand."""
    stated = sources.model.vocab_size or sources.tokenizer.path
    return "" if stated else " at most (tokenizer.vocab_size)"


def _gb(size: float) -> str:
    return f"{size / GB:.2f}"


def _mesh(sizes: Sequence[int]) -> str:
    named = " x ".join(f"{axis} {n}" for axis, n in zip(AXES, sizes))
    return f"mesh {named}"


def _rounds(accumulate: int) -> str:
    return f", in {accumulate} micro-batches" if accumulate > 1 else ""


def _resolved(config: FrozenConfigDict) -> FrozenConfigDict:
    """The config with its vocabulary's size; the number of examples changes no program."""
    if rules.is_task(config):
        raise UsageError(
            "a plan is of pretraining: what a task needs follows from its data"
        )
    size = config.model.vocab_size or config.tokenizer.vocab_size
    settings = config.tokenizer
    if settings.path:
        size = tokenizer.load(
            settings.path, settings.lowercase, settings.strip_accents
        ).vocab_size
    return configs.scheduled(setup.resolved(config, size), config.train.batch)


def described(config: FrozenConfigDict, grid: jax.sharding.Mesh) -> Parts:
    """The parts of a run that has no data."""
    placement = parallel.Jit(grid)
    objective = placement.objective(
        pretrain.build(config, *_words(config), evaluation=False)
    )
    optimiser = optim.make(config.optim, config.train.steps)
    return Parts(config, objective, optimiser, placement)


def _words(config: FrozenConfigDict) -> tuple[Vocabulary, np.ndarray]:
    """A vocabulary of a tokenizer's size: which token is which changes no program."""
    number = np.arange(config.model.vocab_size)
    special = number < len(SPECIALS)
    counts = np.where(special, 0, 1 + number)
    vocabulary = Vocabulary(number % 2 == 0, special, len(SPECIALS) - 1)
    return vocabulary, pretrain.unigram_log_probs(counts, special)
