"""Every pair of awkward characters through every function that reads text.

  .venv/bin/python -m tests.attacks.linear_time

Prints the pairs that take more than a second for 100,000 characters; some twenty
minutes of one core.
"""

from itertools import permutations

from tests.data.test_linear_time import CHARACTERS, READERS, seconds, texts


def main() -> None:
    for name, function in READERS.items():
        slow = [
            (round(took, 1), pair)
            for pair in permutations(CHARACTERS, 2)
            for text in texts(pair)
            if (took := seconds(function, text)) > 1
        ]
        print(name, sorted(slow, reverse=True) or "nothing is slow", flush=True)


if __name__ == "__main__":
    main()
