"""Association tests of words and sentences, the direction of word pairs, and the
effects and costs of its removal."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bert_jax.inspect import probe
from bert_jax.inspect.bias import costs, direction, files, measures, page
from bert_jax.inspect.bias.files import Test
from bert_jax.inspect.bias.measures import Relation, Vectors
from bert_jax.inspect.draw.finding import Finding
from bert_jax.inspect.measure import similarity, states
from bert_jax.inspect.measure import space as spaces
from bert_jax.inspect.measure.similarity import Judged
from bert_jax.inspect.measure.space import Space
from bert_jax.predict.model import Model
from bert_jax.run.config import UsageError
from bert_jax.tasks.records import lines

ALONE = "every word or sentence is read alone, between [CLS] and [SEP]; its vector is "
POOLS = {
    "mean": f"{ALONE}the mean over all tokens, [CLS] and [SEP] included",
    "pieces": f"{ALONE}the mean over its tokens",
    "first": f"{ALONE}that of [CLS]",
}


class BiasRequest(NamedTuple):
    """A request for associations; tests or pairs are not empty. static: "" for the
    vectors of a run. task: None unless the cost for a task is requested."""

    tests: list[Test]
    pairs: list[tuple[str, str]]
    words: list[str]
    judged: list[Judged]
    task: probe.ProbeRequest | None
    layer: str
    pool: str
    samples: int
    seed: int
    static: str
    sentences: list[str]


def request(args: argparse.Namespace, overrides: Mapping[str, str]) -> BiasRequest:
    """Read the options and their files. UsageError for a wrong request."""
    _check(args, overrides)
    return BiasRequest(
        files.tests(args.tests),
        files.pairs(Path(args.direction)) if args.direction else [],
        args.words,
        [similarity.read(path) for path in args.similarity],
        _task(args, overrides),
        args.layer,
        args.pool,
        args.samples,
        args.seed,
        args.static,
        list(lines(Path(args.corpus), "utf-8")) if args.corpus else [],
    )


def _task(
    args: argparse.Namespace, overrides: Mapping[str, str]
) -> probe.ProbeRequest | None:
    if not args.config:
        return None
    return probe.prepare(args.workdir, args.config, overrides, probe.MOST)


def _check(args: argparse.Namespace, overrides: Mapping[str, str]) -> None:
    if not args.tests and not args.direction:
        raise UsageError("bias needs --tests=FILE, --direction=FILE or both")
    for name in ("words", "similarity", "config"):
        if getattr(args, name) and not args.direction:
            raise UsageError(f"--{name} needs --direction=FILE: it is of a direction")
    if overrides and not args.config:
        raise UsageError("--config.KEY=VALUE changes a task: give --config=FILE too")
    if args.config and args.static:
        raise UsageError("--config probes a run: it goes with --workdir, not --static")
    if args.corpus and not args.static:
        raise UsageError(f"--corpus is what --static={spaces.LEARNED} learns from")
    if args.samples < 1:
        raise UsageError(f"--samples={args.samples}: draw one partition or more")
    if args.seed < 0:
        raise UsageError(f"--seed={args.seed} is negative")
    if args.layer == states.LAST_FOUR:
        raise UsageError("--layer=last_4: bias looks at one layer: 0 to L, or last")


def find(model: Model | None, request: BiasRequest) -> Finding:
    """The associations in every layer, and the effect of the direction in one."""
    space = _space(model, request)
    layer = _layer(model, space, request.layer)
    vectors = measures.gather(space, _texts(request))
    relation = measures.relate(vectors, request.pairs) if request.pairs else None
    if relation and not relation.share[layer]:
        raise UsageError(
            f"at layer {layer} no pair differs, and so there is no "
            "direction: look at another layer, or other pairs"
        )
    b = relation.b if relation else None
    measured = [
        measures.measure(vectors, test, b, request.samples, request.seed)
        for test in request.tests
    ]
    results = page.Results(
        space=space.name,
        layers=space.layers,
        layer=layer,
        facts=_facts(request, space),
        measured=measured,
        relation=None,
        words=[],
        ripa=np.zeros((0, len(space.layers))),
        remainder=None,
        costs=[],
        tasks=[],
    )
    if relation:
        results = _add_direction(results, model, request, vectors, relation)
    return page.finding(results)


def _add_direction(
    results: page.Results,
    model: Model | None,
    request: BiasRequest,
    vectors: Vectors,
    relation: Relation,
) -> page.Results:
    """Add the measures of a direction to the results."""
    k, words = results.layer, _words(request, vectors, relation.pairs)
    word_vectors = np.array([vectors[word] for word in words])
    ends = {word for pair in relation.pairs for word in pair}
    is_single = [word not in ends and len(word.split()) == 1 for word in words]
    judged = {
        word: vectors[word][k]
        for word in similarity.words(request.judged)
        if word in vectors
    }
    return results._replace(
        relation=relation,
        words=words,
        ripa=direction.ripa(word_vectors, relation.b),
        remainder=measures.remainder(
            word_vectors[is_single, k], relation.b[k], request.seed
        ),
        costs=costs.similarity_costs(
            request.judged, judged, relation.b[k], results.space, request.seed
        ),
        tasks=_tasks(model, request, k, relation.b[k]),
    )


def _tasks(
    model: Model | None, request: BiasRequest, layer: int, b: np.ndarray
) -> list[costs.TaskCost]:
    if request.task is None:
        return []
    assert model is not None
    return costs.task_costs(probe.read(model, request.task), layer, b)


def _space(model: Model | None, request: BiasRequest) -> Space:
    if request.static:
        return spaces.static_space(request.static, request.sentences, request.seed)
    assert model is not None
    return spaces.model_space(model, request.pool)


def _layer(model: Model | None, space: Space, text: str) -> int:
    if len(space.layers) > 1:
        assert model is not None
        return states.layer(model, text)
    if text not in ("last", "0"):
        raise UsageError(f"--layer={text}: static vectors have one layer, 0")
    return 0


def _texts(request: BiasRequest) -> list[str]:
    """The texts of the request, all to be looked up at once."""
    tests = [text for test in request.tests for texts in test.sets for text in texts]
    pairs = [word for pair in request.pairs for word in pair]
    return [*tests, *pairs, *request.words, *similarity.words(request.judged)]


def _words(
    request: BiasRequest, vectors: Vectors, pairs: Sequence[tuple[str, str]]
) -> list[str]:
    """The words whose RIPA is measured: the requested ones, or single words of the
    tests, or those of the pairs. UsageError for a requested word that is not known."""
    for word in request.words:
        if word not in vectors:
            raise UsageError(f"--words: {word!r} is not known")
    inside = [text for test in request.tests for texts in test.sets for text in texts]
    single = [text for text in inside if len(text.split()) == 1]
    for asked in (request.words, single, inside):
        if known := [word for word in dict.fromkeys(asked) if word in vectors]:
            return known
    return list(dict.fromkeys(word for pair in pairs for word in pair))


def _facts(request: BiasRequest, space: Space) -> list[str]:
    if len(space.layers) == 1:
        facts = [f"static vectors `{space.name}`; of a sentence the mean of its words'"]
        if request.sentences:
            facts = [f"{facts[0]}; learnt from {len(request.sentences):,} lines"]
    else:
        facts = [POOLS[request.pool]]
    if request.tests:
        facts.append(
            f"{len(request.tests)} association tests, {request.samples:,} partitions "
            f"drawn where there are too many to count, seed {request.seed}"
        )
    if request.pairs:
        facts.append(f"{len(request.pairs)} pairs for the direction")
    return facts
