"""Setup: the parts of a run, made of its config and its data."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import optax
from jax.experimental import multihost_utils
from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax import prepare
from bert_jax.data import shared_rows
from bert_jax.data import tokenizer as tokenizers
from bert_jax.data.pipeline import Pipeline
from bert_jax.data.shared_rows import SharedRows
from bert_jax.data.store import Store
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.objectives import finetune, pretrain
from bert_jax.objectives.base import Objective
from bert_jax.objectives.masking import Vocabulary
from bert_jax.run import config as configs
from bert_jax.run import lineage, mesh, record, rules, rundir
from bert_jax.run.config import UsageError
from bert_jax.tasks import dataset, kinds
from bert_jax.tasks.dataset import Dataset
from bert_jax.tasks.examples import Examples
from bert_jax.train import optim, state
from bert_jax.train.parallel.placement import Placement, place


@dataclass(frozen=True, eq=False)
class Parts:
    """Parts of the step of a run: enough to compile it, without any data.

    config: with the vocabulary's size and the numbers of steps resolved.
    """

    config: FrozenConfigDict
    objective: Objective
    optimiser: optax.GradientTransformationExtraArgs
    placement: Placement

    def shapes(self) -> state.TrainState:
        """The state as shapes, types and shardings."""
        made = state.shapes(self.objective.init, self.optimiser)
        return self.sharded(made._replace(skips=self._no_skips()))

    def begun(self, made: state.TrainState) -> state.TrainState:
        """A new state as the step of this run takes it."""
        none = self._no_skips()
        skips = jax.device_put(none, self.placement.shardings(none))
        return self.placement.local(made._replace(skips=skips))

    def _no_skips(self) -> Any:
        skips = self.config.train.on_nonfinite == "skip"
        return state.no_skips() if skips else ()

    def param_shapes(self) -> Any:
        """The parameters as shapes, types and shardings."""
        return self.shapes().params

    def sharded(self, tree: Any) -> Any:
        """A tree of shapes, with the sharding of each."""

        def join(leaf, sharding):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

        return jax.tree.map(join, tree, self.placement.shardings(tree))


@dataclass(frozen=True, eq=False)
class Setup(Parts):
    """The parts of a run and its data.

    held_out: the objective with masks that never change. train, valid, test: host
    batches. shared: the evaluation rows of all arms, by kind.
    """

    held_out: Objective
    data: Store | Dataset
    train: Pipeline | Examples
    valid: Pipeline | Examples
    test: Examples | None
    shared: Mapping[str, SharedRows]


def build(config: FrozenConfigDict, workdir: Path | None) -> Setup:
    """Prepare the data if need be, and put everything together. Raises UsageError.

    `workdir` is the run's directory, None for one that has none.
    """
    data = _load_data(lineage.with_vocabulary(config, workdir))
    train, valid, test = _splits(config, data)
    config = resolved(config, data.tokenizer.vocab_size)
    config = configs.scheduled(config, train.num_examples)
    wanted = config.parallel
    placement = place(wanted.placement, wanted.mesh, mesh.batches(config))
    objective, held_out = map(placement.objective, objectives(config, data))
    train.require(config.train.batch)
    return Setup(
        config=config,
        data=data,
        train=train,
        valid=valid,
        test=test,
        shared=_shared(config, data),
        objective=objective,
        held_out=held_out,
        optimiser=optim.make(config.optim, config.train.steps),
        placement=placement,
    )


def sibling(setup: Setup, config: FrozenConfigDict) -> Setup:
    """The parts of a run that differs from another in its seed and learning rate alone:
    they share the data, the objective and whatever is compiled of them."""
    assert isinstance(setup.train, Pipeline)  # the batches of a task differ by seed
    full = resolved(config, setup.config.model.vocab_size)
    seed = configs.stream(config.seed, "data")
    return dataclasses.replace(
        setup,
        config=configs.scheduled(full, setup.train.num_examples),
        train=setup.train.with_seed(seed),
    )


def _splits(config: FrozenConfigDict, data: Store | Dataset) -> tuple[Any, Any, Any]:
    if isinstance(data, Dataset):
        return data.train, data.valid, data.test
    seed = configs.stream(config.seed, "data")
    train, valid = (
        Pipeline(split, data.tokenizer, config.data, seed)
        for split in (data.train, data.valid)
    )
    return train, valid, None


def _shared(config: FrozenConfigDict, data: Store | Dataset) -> dict[str, SharedRows]:
    kinds = rules.shared_rows(config)
    if isinstance(data, Dataset) or not kinds:
        return {}
    paired = config.data.pairs in ("nsp", "sop") and config.model.num_types > 1
    length = config.eval.length
    return shared_rows.make(kinds, data.valid, data.tokenizer, length, paired)


def read_tokenizer(workdir: Path) -> Tokenizer:
    """The vocabulary of a run. Raises UsageError if it is not that which it began with."""
    run, path = record.read(workdir), workdir / rundir.TOKENIZER
    words = tokenizers.load(path, run.config.tokenizer.lowercase)
    if not words.has_fingerprint(began := run.run["tokenizer"]):
        raise UsageError(
            f"{path} has fingerprint {words.fingerprint} and {rundir.RUN} says {began}: "
            "one of them was edited or damaged; restore it"
        )
    return words


def resolved(config: FrozenConfigDict, vocab_size: int) -> FrozenConfigDict:
    """The config with the vocabulary's true size, which a stated one must equal."""
    stated = config.model.vocab_size
    if stated not in (0, vocab_size):
        raise UsageError(
            f"model.vocab_size is {stated} but the tokenizer has {vocab_size} tokens: "
            "set model.vocab_size=0 to follow the tokenizer"
        )
    full = ConfigDict(config.to_dict())
    full.model.vocab_size = vocab_size
    return FrozenConfigDict(full)


def objectives(
    config: FrozenConfigDict, data: Store | Dataset
) -> tuple[Objective, Objective]:
    """The objective as trained and as evaluated."""
    if isinstance(data, Dataset):
        kinds.of_config(config, data.labels).check_metric(rules.metric(config))
        text, targets = config.task.class_weights, data.train.features.targets
        weights = dataset.class_weights(text, data.labels, targets)
        fine_tuned = finetune.build(config, weights)
        return fine_tuned, fine_tuned
    tokenizer = data.tokenizer
    if config.objective.kind == "mlm":
        tokenizer.check_mask()
    vocabulary = Vocabulary(
        tokenizer.continuation, tokenizer.special, tokenizer.mask_id
    )
    unigram = pretrain.unigram_log_probs(data.train.counts, tokenizer.special)
    trained = pretrain.build(config, vocabulary, unigram, evaluation=False)
    return trained, pretrain.build(config, vocabulary, unigram, evaluation=True)


def _load_data(config: FrozenConfigDict) -> Store | Dataset:
    """Process 0 prepares what is not there yet; the others wait and open it."""
    if rules.is_task(config) or jax.process_count() == 1:
        return prepare.load(config)
    if jax.process_index() == 0:
        prepare.load(config)
    multihost_utils.sync_global_devices("store")
    return prepare.load(config, progress=lambda text: None)
