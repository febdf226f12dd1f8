"""A prediction explained in numbered steps, from characters to probabilities."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_jax.predict import rows as token_rows
from bert_jax.predict.model import Model
from bert_jax.predict.rows import Rows
from bert_jax.render.text import columns, percent
from bert_jax.tasks.features import of_texts
from bert_jax.tasks.records import Choice, Question, Sentence
from bert_jax.tasks.windows import Window
from bert_jax.tasks.words import Passage, names, rows_of

BEST = 5  # tokens of a vocabulary, starts, ends and numbers that are shown


class Step(NamedTuple):
    title: str
    lines: list[str]


def explain(model: Model, mode: str, record: Any) -> str:
    """The steps from a record to what the run says of it.

    `mode` is the kind of the run's task, "masks" or "vectors".
    """
    steps = MODES.get(mode, _text)(model, record)
    return "\n".join(
        "\n   ".join([f"{number}. {title}", *lines])
        for number, (title, lines) in enumerate(steps, 1)
    )


# One for each mode.


def _text(model: Model, record: Sentence | Choice) -> list[Step]:
    """Steps for a task that says one thing of a record: a label, a number, a choice."""
    task = model.reader.known_task
    made = model.reader.features([record])
    rows = token_rows.of_texts(model.reader, made, _texts(record))
    outputs = model.outputs(("states", "hidden", "pooled", task.output), rows.batch)
    logits = outputs[task.output].reshape(-1)
    names = task.names(record)
    return [
        *_encoder(model, rows, outputs, []),
        Step("What the head reads", [_pooled(model, outputs["pooled"])]),
        Step(
            f"The logits, {outputs[task.output].shape}: a dense layer of that",
            columns([name, f"{x:.4f}"] for name, x in zip(names, logits, strict=True)),
        ),
        Step(*task.conclusion(names, logits)),
    ]


def _texts(record: Sentence | Choice) -> list[tuple[str, ...]]:
    """The texts of each row of a record."""
    if isinstance(record, Choice):
        return [(record.text, choice) for choice in record.choices]
    return [(record.text, record.pair) if record.pair else (record.text,)]


def _tags(model: Model, passage: Passage) -> list[Step]:
    reader, task = model.reader, model.reader.known_task
    records = rows_of(passage, reader.tokenizer, model.config.data.length)
    made = reader.features(records)
    counts = [len(record.words) for record in records]
    rows = token_rows.of_words(reader, made, passage, counts)
    outputs = model.outputs(("states", "hidden", "features", "tag_logits"), rows.batch)
    by_row = dict(enumerate(outputs["tag_logits"]))
    tags: list[Any] = task.predictions(records, made, by_row)
    table = [["word", "token", "tag", "logit", "probability"]]
    for number, record in enumerate(records):
        logits, ids = by_row[number], rows.batch["ids"][number]
        lines = zip(record.words, made.places[number], *tags[number], strict=True)
        for word, place, tag, chance in lines:
            piece = model.tokenizer.display_tokens[ids[place]] if place >= 0 else "none"
            logit = f"{logits[place, tag]:.4f}" if place >= 0 else ""
            [name] = names([tag], reader.labels)
            table.append([word, piece, name, logit, percent(chance)])
    found = [
        f"{each.type}  {each.text}  [{each.start}:{each.end}]  "
        f"{percent(each.probability)}"
        for each in task.result(passage, tags)
    ]
    count = len(records)
    notes = [f"{count} rows: they are more than one row holds"] * (count > 1)
    return [
        *_encoder(model, rows, outputs, notes),
        Step("What the head reads", [_each(model, outputs["features"])]),
        Step(
            f"The logits, {outputs['tag_logits'].shape}: a dense layer at each token",
            [f"one for each of {', '.join(reader.labels)}"],
        ),
        Step("Softmax at each word's first token: its likeliest tag", columns(table)),
        Step("What the tags mark; as likely as its least likely word", found or ["-"]),
    ]


def _span(model: Model, record: Question) -> list[Step]:
    task = model.reader.known_task
    made = model.reader.features([record])
    rows = token_rows.of_windows(model.reader, made, record)
    outputs = model.outputs(("states", "hidden", "features", "span_logits"), rows.batch)
    by_row = dict(enumerate(outputs["span_logits"]))
    [answer] = task.predictions([record], made, by_row)
    at = _window_of(made.places, answer.start)
    one = {name: _only(value, at) for name, value in outputs.items()}
    count = len(made.places)
    window = f"the context needs {count} windows; number {at + 1} has the best span:"
    notes = [window] * (count > 1)
    place = f"[{answer.start}:{answer.end}]"
    best = f"the best span: {answer.text!r}  {place}  {percent(answer.probability)}"
    chosen = [best]
    if task.settings.no_answer:
        kept = (
            "so it is kept" if task.result(record, [answer]).text else "so it is none"
        )
        chosen.append(f"no answer, against it: {percent(answer.no_answer)}, {kept}")
    return [
        *_encoder(model, rows.only(at), one, notes),
        Step("What the head reads", [_each(model, one["features"])]),
        Step(
            f"The logits, {one['span_logits'].shape}: a dense layer at each token, of "
            "its being the answer's start and end",
            _ends(model, rows.only(at), made.places[at], one["span_logits"][0]),
        ),
        Step(
            "Softmax over spans of at most "
            f"{task.settings.max_answer} tokens, each scored by start plus end",
            chosen,
        ),
    ]


def _only(value: Any, number: int) -> Any:
    """A row of an output, or of each layer's."""
    if isinstance(value, list):
        return [_only(each, number) for each in value]
    return value[number : number + 1]


def _window_of(windows: Sequence[Window], start: int) -> int:
    """The one from which an answer that starts at this character is taken."""
    has = [(w.best & (w.offsets[:, 0] == start)).any() for w in windows]
    return has.index(True) if any(has) else 0


def _ends(model: Model, rows: Rows, window: Window, logits: np.ndarray) -> list[str]:
    """The best starts and the best ends, and CLS where it means no answer."""
    context = logits[window.begin : window.end]
    best = window.begin + np.argsort(-context, axis=0, kind="stable")[:BEST]
    ids, words = rows.batch["ids"][0], model.tokenizer.display_tokens
    table = [["start", "place", "logit", "end", "place", "logit"]]
    for places in [*best, *[[0, 0]] * model.config.task.no_answer]:
        cells = [
            [words[ids[place]], str(place), f"{logits[place, column]:.4f}"]
            for column, place in enumerate(places)
        ]
        table.append(cells[0] + cells[1])
    return columns(table)


def _vectors(model: Model, record: Sentence) -> list[Step]:
    made = of_texts([record], np.zeros(1), model.tokenizer, model.config.data.length)
    rows = token_rows.of_texts(model.reader, made, _texts(record))
    outputs = model.outputs(("states", "hidden"), rows.batch)
    vector = outputs["hidden"][0].astype(np.float32).mean(0)
    numbers = " ".join(f"{number:.4f}" for number in vector[:BEST])
    return [
        *_encoder(model, rows, outputs, []),
        Step(
            f"The mean of the last layer's tokens, shape (1, {len(vector)})",
            [f"{numbers} ...  norm {np.linalg.norm(vector):.4f}"],
        ),
    ]


def _masks(model: Model, record: Sentence) -> list[Step]:
    [filled] = model.fill_masks([record.text], BEST)
    batch = model.encode([record.text])
    offsets = [(a, b) if b > a else None for a, b in batch.pop("offsets")[0]]
    places = np.flatnonzero(batch["ids"][0] == model.tokenizer.mask_id)
    batch["positions"] = places[None].astype(np.int32)
    rows = Rows(batch, [offsets], [(record.text,)])
    outputs = model.outputs(("states", "hidden", "logits"), batch)
    logits, words = outputs["logits"][0], model.tokenizer.display_tokens
    best = np.argsort(-logits, axis=-1, kind="stable")[:, :BEST]
    scored = [
        "   ".join([f"at {place}:", *(f"{words[i]} {row[i]:.4f}" for i in top)])
        for place, row, top in zip(places, logits, best, strict=True)
    ]
    likely = [
        "   ".join([f"at {place}:", *(f"{w} {percent(p)}" for w, p in mask.candidates)])
        for place, mask in zip(places, filled, strict=True)
    ]
    where = ", ".join(map(str, places))
    size = (1, len(places), outputs["hidden"].shape[-1])
    return [
        *_encoder(model, rows, outputs, []),
        Step(
            f"The {model.tokenizer.mask_token} at {where}",
            [f"the last layer's vectors there, {size}"],
        ),
        Step(f"The logits, {outputs['logits'].shape}, of all tokens; the best", scored),
        Step("Softmax: exp of each logit, divided by the sum of them all", likely),
    ]


MODES = {"tag": _tags, "span": _span, "vectors": _vectors, "masks": _masks}


# What they share.


def _encoder(
    model: Model, rows: Rows, outputs: dict[str, Any], notes: list[str]
) -> list[Step]:
    """The steps up to the last layer; notes are of the rows that are shown."""
    ids, words = rows.batch["ids"], model.tokenizer.display_tokens
    lengths = rows.batch["lengths"]
    texts = list(dict.fromkeys(text for row_texts in rows.texts for text in row_texts))
    row_lines = [" ".join(words[i] for i in row) for row in ids]
    states = dict(enumerate(outputs["states"]))
    layers = {"embeddings": states.pop(0)}
    layers |= {f"block_{number - 1:02d}": state for number, state in states.items()}
    if model.config.model.norm != "post":
        layers["final_norm"] = outputs["hidden"]
    inside = np.arange(ids.shape[1])[None] < lengths[:, None]
    table = [["layer", "shape", "mean norm"]]
    for name, state in layers.items():
        norms = np.linalg.norm(state.astype(np.float32), axis=-1)[inside]
        table.append([name, str(state.shape), f"{norms.mean():.3f}"])
    return [
        Step("The text" + "s" * (len(texts) > 1), texts),
        Step(
            "The tokens, each with the characters that it stands for",
            notes + [x for row in range(len(ids)) for x in _pieces(model, rows, row)],
        ),
        Step(f"What the network reads, {ids.shape}: rows, and tokens a row", row_lines),
        Step("The layers: of each row, for each token, a vector", columns(table)),
    ]


def _pieces(model: Model, rows: Rows, row: int) -> list[str]:
    table = [["place", "token", "id", "type", "characters", "text"]]
    ids, types = rows.batch["ids"][row], rows.batch["types"][row]
    segments = model.tokenizer.segments(ids)
    for place, span in enumerate(rows.offsets[row]):
        piece = model.tokenizer.display_tokens[ids[place]]
        cells = [str(place), piece, str(ids[place]), str(types[place])]
        if span is not None:
            start, end = span
            text = rows.texts[row][segments[place]]
            cells += [f"{start}:{end}", text[start:end]]
        table.append(cells + [""] * (6 - len(cells)))
    several = len(rows.offsets) > 1
    return [f"row {row + 1}", *columns(table)] if several else columns(table)


def _pooled(model: Model, pooled: np.ndarray) -> str:
    """Describe the pooled vector that the head of a text reads."""
    layers = _layers(model)
    if "pooler" in model.network.heads:
        how = f"the pooler: tanh of a dense layer of the first token in {layers}"
    elif model.config.objective.pool == "mean":
        how = f"the mean of the tokens in {layers}"
    else:
        last = model.config.objective.pool == "last"
        how = f"the {'last' if last else 'first'} token in {layers}"
    return f"{how}, {pooled.shape}"


def _each(model: Model, features: np.ndarray) -> str:
    return f"each token in {_layers(model)}, {features.shape}"


def _layers(model: Model) -> str:
    layers = model.config.objective.layers
    named = {"last": "the last layer", "last_4": "the last four layers side by side"}
    return named.get(layers, f"layer {layers}, where 0 are the embeddings")
