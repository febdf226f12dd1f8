"""Runs from Hugging Face directories, and directories from runs."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from safetensors.numpy import save_file

from bert_jax.huggingface import (
    bert_tokenizer,
    families,
    imported,
    keys,
    model_card,
    names,
)
from bert_jax.huggingface import card as cards
from bert_jax.huggingface import files as directory
from bert_jax.huggingface.family.base import Family, Tensors
from bert_jax.models import network as networks
from bert_jax.models.layers import EncoderConfig
from bert_jax.run import files, record, rundir
from bert_jax.run.config import UsageError
from bert_jax.train import checkpoint, session, setup
from bert_jax.train.state import TrainState

CARD, RULES = families.NAME, bert_tokenizer.RULES
POOLED = {"classify_head", "choice_head"}


def say(text: str) -> None:
    print(text, file=sys.stderr)


def import_model(
    source: Path, workdir: Path, overrides: Mapping[str, str] | None = None
) -> int:
    """Make a run of one checkpoint, step 0, of a Hugging Face directory.

    `overrides` are dotted keys of the config that say how the run is used. Raises
    UsageError, before anything is written, for what cannot be read safely or has no
    place in our BERT.
    """
    found = imported.read(source, overrides or {}, say)
    card, config, words = found.card, found.config, found.words
    facts: dict[str, Any] = {"source": str(source), "labels": found.labels}
    facts["data"] = session.NO_DATA
    # Of one class a head says a number, whatever its problem is called.
    if card.get("problem_type") and found.classes > 1:
        facts["task"] = names.PROBLEMS[card["problem_type"]]
    kept = cards.kept(card, families.of_card(card))
    facts["kept"] = {CARD: kept, RULES: words.kept}

    with _named(workdir):
        rundir.create(workdir)
        workdir = workdir.resolve()
        with rundir.lease(workdir, "--workdir"):
            _check_is_empty(workdir)
            with files.atomic_directory(workdir) as beside:
                session.write_run(beside, config, words.tokenizer, found.digest, facts)
                _save(found.params, beside)
                # Still held; the rename needs an empty place.
                (workdir / rundir.LEASE).unlink()
    count = sum(leaf.size for leaf in jax.tree.leaves(found.params))
    say(f"{workdir}: {count:,} parameters in {', '.join(sorted(found.params))}")
    return 0


def _check_is_empty(workdir: Path) -> None:
    if rundir.is_run(workdir):
        raise UsageError(f"{workdir} is a run already: choose another --workdir")
    if strangers := sorted({path.name for path in workdir.iterdir()} - {rundir.LEASE}):
        raise UsageError(
            f"{workdir} is no run, and holds {strangers[0]}; choose another --workdir"
        )


@contextlib.contextmanager
def _named(target: Path) -> Iterator[None]:
    """Says of what cannot be written where that was to be."""
    try:
        yield
    except (OSError, safetensors.SafetensorError) as error:
        raise UsageError(f"cannot write {target}: {error}") from error


def export_run(workdir: Path, step: int | None, target: Path, wanted: str = "") -> int:
    """Write a run's step as a directory that `from_pretrained` reads.

    `wanted` is the model_type of its family, "" for that of the import or the first that
    fits. Raises UsageError for a model that no family can express, and for a directory
    that holds anything.
    """
    entry, facts = record.read(workdir), rundir.began(workdir)
    config = entry.config
    kept = facts.get("kept", {CARD: {}, RULES: {}})  # of an imported model alone
    family = cards.chosen_family(wanted, kept[CARD].get("model_type", ""), config)
    if config.objective.layers != "last":
        raise UsageError(
            f"the heads of their {family.name} read its last layer, and this run's "
            "those of "
            f"objective.layers={config.objective.layers}"
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is not empty: choose another --to")
    if target.is_symlink() and not target.exists():
        raise UsageError(f"{target} is a link to nothing: choose another --to")
    target = target.resolve()  # "." has no name, and a link cannot be replaced
    step = checkpoint.chosen(workdir, step)
    words = setup.read_tokenizer(workdir)
    config = setup.resolved(config, words.vocab_size)
    params = jax.device_get(checkpoint.restore_alone(workdir, step))
    network = networks.of_params(
        EncoderConfig(**config.model), params, networks.Readout.of(config.objective)
    )
    name, tensors = names.to_theirs(params, family, network.heads, words.pad_id)
    _check_heads(name, family, config)
    _check_finite(tensors, f"{workdir}, step {step}")
    if kept[CARD].get("model_type", family.model_types[0]) not in family.model_types:
        kept = {CARD: {}, RULES: kept[RULES]}  # those of another family
    where = f"{workdir / rundir.RUN}, kept of "
    keys.check(cards.keys_of(family), kept[CARD], where + CARD, say)
    bert_tokenizer.check_kept(kept[RULES], where + RULES, say)
    sized = networks.SIZED & params.keys()
    problems = {task: problem for problem, task in names.PROBLEMS.items()}
    regression = config.objective.kind == "regress"
    labels = facts.get("labels", []) if sized else []
    labels = ["LABEL_0"] if regression else labels  # as theirs calls a number
    special = cards.SpecialIds(words.pad_id, words.cls_id, words.sep_id)
    theirs = cards.their_config(config, family, name, labels, special, kept[CARD])
    if config.objective.kind in problems:
        theirs["problem_type"] = problems[config.objective.kind]

    _say_what_is_lost(name, family, params, config.objective.pair)

    with _named(target), files.atomic_directory(target) as beside:
        save_file(tensors, beside / directory.WEIGHTS, metadata={"format": "pt"})
        files.write_json(beside / CARD, theirs)
        count = sum(array.size for array in tensors.values())
        page = model_card.text(entry, config, step, theirs, count)
        files.write_text(beside / model_card.NAME, page)
        bert_tokenizer.write(beside, words, config.model, kept[RULES])
    say(f"{target}: {name}, step {step} of {workdir}")
    return 0


def _check_finite(tensors: Tensors, source: str) -> None:
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise UsageError(f"{source}: {name} holds numbers that are not finite")


def _check_heads(name: str, family: Family, config: Any) -> None:
    """Refuse a pooler, or a pooling, that their class does not have."""
    wanted, objective = family.classes[name], config.objective
    if "pooler" in wanted and objective.pooler != family.pooler:
        raise UsageError(
            f"{name} pools by {family.pooler}, and this run by "
            f"objective.pooler={objective.pooler}"
        )
    known = family.poolings
    if wanted.keys() & POOLED and objective.pool not in known:
        raise UsageError(
            f"{name} reads a text by objective.pool={' | '.join(known)}, and this run by "
            f"{objective.pool}"
        )


def _say_what_is_lost(
    name: str, family: Family, params: Mapping[str, Any], pair: str
) -> None:
    """Tell what of a Hugging Face class has no place here."""
    wanted = family.classes[name]
    if "pooler" in params and "pooler" not in wanted:
        say(f"the pooler is left out: {name} has none")
    if "pooler" in wanted and "pooler" not in params:
        say(f"there is no pooler: {name} makes a random one (add_pooling_layer=False)")
    if "pair_head" in params and pair == "sop":
        say("the pair head tells the order of two sentences, not if the second is next")


def _save(params: Any, workdir: Path) -> None:
    state = TrainState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.asarray, params), ())
    checkpoints = checkpoint.Checkpoints(workdir, 1, 0, False)
    try:
        checkpoints.save(0, state)
    finally:
        checkpoints.close()
