"""The page's script reads back the weights of the model, whatever the tokens are."""

import base64
import json
import re

import numpy as np

from bert_jax.inspect.attention.explorer import explorer

TOKENS = ["[CLS]", "</script>", "<!--", "{{data}}", "“é”", "[SEP]"]


def test_weights_and_tokens_come_back_from_the_markup():
    maps = np.random.default_rng(0).dirichlet(np.ones(6), (2, 3, 6)).astype(np.float32)
    markup = explorer(TOKENS, maps, 1, 3, 4).markup
    [text] = re.findall(r'<script type="application/json">(.*)</script>', markup)
    given = json.loads(text)
    assert given["tokens"] == TOKENS
    assert [given[name] for name in ("layers", "heads", "layer", "head", "token")] == [
        *(2, 3),
        *(1, 3, 4),
    ]
    stored = np.frombuffer(base64.b64decode(given["weights"]), "<u2")
    np.testing.assert_allclose(stored.reshape(maps.shape) / 65535, maps, atol=1e-5)


def test_tokens_are_escaped_and_nothing_is_fetched():
    maps = np.full((1, 1, 6, 6), 1 / 6, np.float32)
    markup = explorer(TOKENS, maps, 0, 0, -1).markup
    assert markup.count("</script>") == markup.count("<script") == 2
    assert "<!--" not in markup
    assert not re.search(r"(src|href)=|url\(|@import|fetch\(", markup)
