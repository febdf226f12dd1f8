"""What a config and a prepared store make together: the parts of one run."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.experimental import multihost_utils
from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax import config as configs
from bert_jax import optim, parallel, rundir, state
from bert_jax.config import UsageError
from bert_jax.data import store
from bert_jax.data.pipeline import Pipeline
from bert_jax.objectives import pretrain
from bert_jax.objectives.base import Objective
from bert_jax.objectives.masking import Vocabulary
from bert_jax.tokenizer import Tokenizer

NO_DATA = ""  # the data's fingerprint in the run.json of an imported model


class Setup(NamedTuple):
    """config: with model.vocab_size resolved. train, valid: host batches. objective,
    held_out: the same model, with training masks and with the fixed ones."""

    config: FrozenConfigDict
    store: store.Store
    train: Pipeline
    valid: Pipeline
    objective: Objective
    held_out: Objective
    optimiser: optax.GradientTransformation
    placement: parallel.Placement

    def shapes(self) -> state.TrainState:
        """The state as shapes, types and shardings."""
        return self.sharded(state.shapes(self.objective.init, self.optimiser))

    def param_shapes(self) -> Any:
        """Those of the parameters alone."""
        return self.shapes().params

    def sharded(self, tree: Any) -> Any:
        """A tree of shapes, with the sharding of each."""

        def join(leaf, sharding):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

        return jax.tree.map(join, tree, self.placement.shardings(tree))


def build(config: FrozenConfigDict) -> Setup:
    """Prepare the store if need be, and put everything together. Raises UsageError."""
    data = _prepared(config)
    config = resolved(config, data.tokenizer.vocab_size)
    placement = parallel.place(
        config.parallel.placement,
        config.parallel.mesh,
        {
            "train.batch / train.accumulate": config.train.batch
            // config.train.accumulate,
            "eval.batch": config.eval.batch,
        },
    )
    objective, held_out = objectives(config, data.tokenizer, data.train.counts)
    data_seed = configs.stream(config.seed, "data")
    train = Pipeline(data.train, data.tokenizer, config.data, data_seed)
    train.require(config.train.batch)
    return Setup(
        config=config,
        store=data,
        train=train,
        valid=Pipeline(data.valid, data.tokenizer, config.data, data_seed),
        objective=objective,
        held_out=held_out,
        optimiser=optim.make(config.optim, config.train.steps),
        placement=placement,
    )


def reopen(workdir: Path) -> Setup:
    """The parts of a run that exists, on the devices at hand.

    Raises UsageError if the data are no longer those that it was trained on.
    """
    check_has_data(workdir)
    config = read_config(workdir)
    setup = build(config)
    check_data(workdir, setup.store)
    return setup


def read_config(workdir: Path) -> FrozenConfigDict:
    """The config of a run."""
    rundir.read(workdir, rundir.CONFIG)
    return configs.load(str(workdir / rundir.CONFIG), {})


def begin(
    workdir: Path,
    config: ConfigDict | FrozenConfigDict,
    tokenizer: Tokenizer,
    parent: str,
    facts: dict[str, Any],
) -> None:
    """Write what a run is: tokenizer.json, run.json with these facts, config.json."""
    tokenizer.save(workdir / rundir.TOKENIZER)
    common = {
        "fingerprint": configs.fingerprint(config, parent),
        "parent": parent,
        "seed": config.seed,
        "versions": rundir.versions(),
        "devices": [device.device_kind for device in jax.devices()],
        "tokenizer": tokenizer.fingerprint,
    }
    rundir.write_json(workdir / rundir.RUN, common | facts)
    rundir.write_text(workdir / rundir.CONFIG, configs.canonical(config))


def check_has_data(workdir: Path) -> None:
    """Refuse an imported model where data of its own are needed."""
    if rundir.read(workdir, rundir.RUN)["data"] == NO_DATA:
        raise UsageError(
            f"{workdir} is an imported model and has no data: train a run from it with "
            f"--config=FILE --config.init_from={workdir}"
        )


def check_data(workdir: Path, data: store.Store) -> None:
    """Refuse data or a vocabulary other than the run began with."""
    began = rundir.read(workdir, rundir.RUN)
    for name, now in fingerprints(data).items():
        if began[name] != now:
            raise UsageError(
                f"the {name} changed since {workdir} began ({began[name]} -> {now}): "
                "restore it, or choose another --workdir"
            )


def fingerprints(data: store.Store) -> dict[str, str]:
    """Of the data and of the tokenizer, as run.json keeps them."""
    return {"data": data.fingerprint, "tokenizer": data.tokenizer.fingerprint}


def resolved(config: FrozenConfigDict, vocab_size: int) -> FrozenConfigDict:
    """The config with the vocabulary's true size, which a stated one must equal."""
    stated = config.model.vocab_size
    if stated not in (0, vocab_size):
        raise UsageError(
            f"model.vocab_size is {stated} but the tokenizer has {vocab_size} pieces: "
            "set model.vocab_size=0 to follow the tokenizer"
        )
    full = ConfigDict(config.to_dict())
    full.model.vocab_size = vocab_size
    return FrozenConfigDict(full)


def objectives(config, tokenizer, counts: np.ndarray) -> tuple[Objective, Objective]:
    """The objective as trained and as evaluated."""
    vocabulary = Vocabulary(
        tokenizer.continuation, tokenizer.special, tokenizer.mask_id
    )
    unigram = pretrain.unigram_log_probs(counts, tokenizer.special)
    trained = pretrain.build(config, vocabulary, unigram, evaluation=False)
    return trained, pretrain.build(config, vocabulary, unigram, evaluation=True)


def _prepared(config: FrozenConfigDict) -> store.Store:
    """Process 0 prepares what is not there yet; the others wait and open it."""
    if jax.process_count() == 1:
        return store.prepare(config)
    if jax.process_index() == 0:
        store.prepare(config)
    multihost_utils.sync_global_devices("store")
    return store.prepare(config, progress=lambda text: None)
