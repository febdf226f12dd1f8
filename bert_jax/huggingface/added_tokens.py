"""Tokens that the files of a Hugging Face directory add to its vocabulary."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import tokenizers
from tokenizers import AddedToken

from bert_jax.data import components, vocabulary
from bert_jax.run.config import UsageError

NAME = "added_tokens.json"


class Added(NamedTuple):
    token: AddedToken
    id: int | None  # None: the next one, if it is no token yet
    name: str  # of the file that says so


def by_id(decoder: Any, name: str) -> Iterator[Added]:
    """The added_tokens_decoder of a tokenizer_config.json: tokens by their ids."""
    if not isinstance(decoder, Mapping) or not all(map(_is_id, decoder)):
        raise UsageError(
            f"{name}: added_tokens_decoder must be an object of tokens by id"
        )
    for id in sorted(decoder, key=int):
        yield Added(_token(decoder[id], name, False), int(id), name)


def numbered(numbers: Mapping[str, Any], specials: Collection[str]) -> Iterator[Added]:
    """An added_tokens.json: ids by their tokens, some of which are special."""
    if wrong := [token for token, id in numbers.items() if not _is_id(id)]:
        raise UsageError(f"{NAME}: {wrong[0]!r} must have an id, a number from 0")
    for token in sorted(numbers, key=numbers.__getitem__):
        special = token in specials
        yield Added(_token(token, NAME, special), numbers[token], NAME)


def special(value: Any, name: str) -> Added:
    """A special token, as text or as an object, that a file names without an id."""
    return Added(_token(value, name, True), None, name)


def add(library: tokenizers.Tokenizer, added: Added, roles: Collection[str]) -> None:
    """Add a token, unless it has a role, whose flags stay.

    Raises UsageError for an id that is another's, or does not follow the others.
    """
    content = added.token.content
    vocabulary.check_lines([content], added.name)
    if not content.strip() and library.token_to_id(content) is None:
        raise UsageError(f"{added.name}: an added token is empty")
    if content not in roles:
        library.add_tokens([added.token])
    found = library.token_to_id(content)
    if added.id not in (None, found):
        raise UsageError(
            f"{added.name}: the added token {content!r} has the id {added.id}, and by "
            f"the vocabulary it is {found}"
        )


def _is_id(value: Any) -> bool:
    text = "" if isinstance(value, bool) else str(value)
    return text.isascii() and text.isdecimal() and len(text) < 10


def _token(value: Any, name: str, special: bool) -> AddedToken:
    flags: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {}
    flags = flags or {"content": value}
    flags.pop("__type", None)
    is_special = special or flags.get("special") is True
    flags = {"normalized": not is_special} | flags | {"special": is_special}
    if unknown := flags.keys() - components.AddedToken.__annotations__.keys():
        raise UsageError(f"{name}: {min(map(str, unknown))!r} of a token is not known")
    try:
        token = AddedToken(**flags)
    except (TypeError, ValueError):
        raise UsageError(f"{name}: {str(value)[:60]!r} is no token") from None
    return token
