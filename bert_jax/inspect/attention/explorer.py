"""The maps of a short text on a page, to be pointed at: every head, a token's lines."""

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
LONGEST = 64  # tokens: the page holds two bytes of each weight


def explorer(
    tokens: Sequence[str],
    weights: Float[np.ndarray, "L N T T"],
    layer: int,
    head: int,
    token: int,
) -> Live:
    """Opened at a layer and head from 0, where head N is the mean, and at the token
    from 0 that is looked at, -1 for none. Needs a script, but no network and no
    library; without one, and in print, it is not there."""
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
    # Inside a script only "<" could end it: no token can.
    text = json.dumps(data).replace("<", "\\u003c")
    return Live(PAGE.replace("{{data}}", text))
