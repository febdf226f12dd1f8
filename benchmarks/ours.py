"""The step of bert_jax for the benchmarks: as the loop compiles it, state donated."""

import resource

import jax
import numpy as np
from ml_collections import FrozenConfigDict

from benchmarks import cases
from benchmarks.cases import Case, Side
from benchmarks.worker import Stepper
from bert_jax.objectives import pretrain
from bert_jax.objectives.masking import Vocabulary
from bert_jax.train import loop, optim, state
from bert_jax.train.parallel import placement
from bert_jax.train.setup import Parts
from bert_jax.train.state import TrainState


def parts_of(case: Case, side: Side, seed: int) -> Parts:
    """The parts of a run of a row, on one device."""
    config = cases.config_of(case.row, case.batch, case.dropout, side.dtype)
    config.seed = seed
    special = np.arange(case.vocabulary) < cases.SPECIALS
    vocabulary = Vocabulary(np.zeros_like(special), special, cases.MASK_ID)
    unigram = pretrain.unigram_log_probs(np.ones(case.vocabulary, int), special)
    objective = pretrain.build(config, vocabulary, unigram, evaluation=False)
    place = placement.place("jit", "1x1x1", {"train.batch": case.batch})
    optimiser = optim.make(config.optim, config.train.steps)
    return Parts(FrozenConfigDict(config), objective, optimiser, place)


def initial(parts: Parts) -> TrainState:
    """The state of step 0, on the device."""
    create = parts.objective.init, parts.optimiser, parts.config.seed
    made = state.initialise(*create, parts.placement.shardings)
    return jax.block_until_ready(parts.placement.local(made))


def build(case: Case, side: Side) -> Stepper:
    """For a worker of benchmarks.step."""
    return stepper(parts_of(case, side, 0), cases.unmasked(case))


def stepper(parts: Parts, host: dict[str, np.ndarray]) -> Stepper:
    """Steps on one batch, which stays on the device; masks are drawn in each."""
    place, current = parts.placement, initial(parts)
    step, scalars = place.step(loop.step_of(parts)), state.scalars(parts.config)
    batch = place.batch(host)

    def run(steps: int) -> None:
        nonlocal current
        metrics = None
        for _ in range(steps):
            current, metrics = step(current, batch, scalars)
        jax.block_until_ready((current, metrics))

    about = {
        "device": jax.devices()[0].device_kind,
        "versions": f"jax {jax.__version__}",
    }
    return Stepper(run, peak_bytes, about)


def peak_bytes() -> int:
    """The most that the device, or on a CPU the process, held so far."""
    stats = jax.local_devices()[0].memory_stats()
    if stats:
        return stats["peak_bytes_in_use"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
