"""The one command, as is `python -m bert_jax`.

python launch.py train --config=configs/demo.py --workdir=runs/demo
"""

import sys

from bert_jax.cli import main, use_large_pages

if __name__ == "__main__":
    use_large_pages(sys.argv[1:])
    sys.exit(main(sys.argv[1:]))
