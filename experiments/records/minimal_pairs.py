"""Minimal pairs of plain English, for `launch.py inspect score --pairs=FILE`.

  python -m experiments.records.minimal_pairs > pairs.jsonl

Sentences of a few templates, so that words are balanced: each noun and verb form stands
as often in a good sentence as in a bad one. Phenomena as in BLiMP (Warstadt et al. 2020),
which is far larger and harder.
"""

import json
import random
from collections.abc import Iterator

NOUNS = {
    "boy": "boys",
    "girl": "girls",
    "man": "men",
    "woman": "women",
    "lady": "ladies",
    "friend": "friends",
    "brother": "brothers",
    "horse": "horses",
    "servant": "servants",
    "child": "children",
}
BE = {"was": "were", "is": "are", "has been": "have been"}
STATES = ("tired", "happy", "ill", "silent", "ready", "very poor")
PLACES = ("room", "garden", "house", "door", "window", "fire")
SELVES = {"king": "himself", "queen": "herself", "father": "himself"}
SELVES |= {"mother": "herself", "gentleman": "himself", "daughter": "herself"}
DEEDS = ("saw", "asked", "blamed", "found", "hurt", "thought of")
COUNT = 120  # of each phenomenon


def main() -> None:
    draw = random.Random(0)
    for name, make in PHENOMENA.items():
        pairs = sorted(set(make()))
        for good, bad in draw.sample(pairs, min(COUNT, len(pairs))):
            line = {"sentence_good": good, "sentence_bad": bad, "phenomenon": name}
            print(json.dumps(line))


def agreement() -> Iterator[tuple[str, str]]:
    """The boys were tired."""
    for one, many in NOUNS.items():
        for single, plural in BE.items():
            for state in STATES:
                yield f"The {one} {single} {state}.", f"The {one} {plural} {state}."
                yield f"The {many} {plural} {state}.", f"The {many} {single} {state}."


def across_a_phrase() -> Iterator[tuple[str, str]]:
    """The boy near the horses was tired: the nearest noun misleads."""
    for one, many in NOUNS.items():
        for other, others in NOUNS.items():
            for single, plural in BE.items():
                if one != other:
                    start, end = f"The {one} near the {others}", "tired."
                    yield f"{start} {single} {end}", f"{start} {plural} {end}"
                    start = f"The {many} near the {other}"
                    yield f"{start} {plural} {end}", f"{start} {single} {end}"


def reflexives() -> Iterator[tuple[str, str]]:
    """The queen saw herself in the garden."""
    wrong = {"himself": "herself", "herself": "himself"}
    for who, self in SELVES.items():
        for deed in DEEDS:
            for place in PLACES:
                start, end = f"The {who} {deed}", f"in the {place}."
                yield f"{start} {self} {end}", f"{start} {wrong[self]} {end}"


def word_order() -> Iterator[tuple[str, str]]:
    """The boy went into the room: the preposition before the verb is wrong."""
    for one in NOUNS:
        for verb in ("went into", "looked at", "came from", "stood near"):
            for place in PLACES:
                first, second = verb.split()
                good = f"The {one} {first} {second} the {place}."
                yield good, f"The {one} {second} {first} the {place}."


PHENOMENA = {
    "agreement": agreement,
    "agreement across a phrase": across_a_phrase,
    "reflexives": reflexives,
    "word order": word_order,
}

if __name__ == "__main__":
    main()
