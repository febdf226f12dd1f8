"""The one command: `python -m bert_jax VERB ...` does what launch.py does."""

import sys

from bert_jax.cli import main, use_large_pages

if __name__ == "__main__":
    use_large_pages(sys.argv[1:])
    sys.exit(main(sys.argv[1:]))
