"""The interactive map of a short text on a page: every head, and the weights of a
token."""

import base64
import json
from collections.abc import Sequence
from importlib import resources

import numpy as np
from jaxtyping import Float

from bert_jax.render.document import Live

PAGE = (
    resources.files("bert_jax.inspect.attention")
    .joinpath("explorer.html")
    .read_text("utf-8")
)
LONGEST = 64  # tokens; the page stores two bytes per weight


def explorer(
    tokens: Sequence[str],
    weights: Float[np.ndarray, "L N T T"],
    layer: int,
    head: int,
    token: int,
) -> Live:
    """The interactive map, opened at a layer and head from 0, where head N is the mean,
    and at a token from 0, or -1 for none.

    It needs a script, but no network and no library; without scripts, and in print, it
    is absent.
    """
    layers, heads = weights.shape[:2]
    stored = np.rint(weights * 65535).astype("<u2").tobytes()
    data = {
        "tokens": list(tokens),
        "layers": layers,
        "heads": heads,
        "layer": layer,
        "head": head,
        "token": token,
        "weights": base64.b64encode(stored).decode(),
    }
    # Only a "<" could end the script: it is escaped.
    text = json.dumps(data).replace("<", "\\u003c")
    return Live(PAGE.replace("{{data}}", text))
