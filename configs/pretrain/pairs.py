"""The demo's recipe, evaluated on rows that are the same for all kinds of pairs.

  python launch.py sweep experiments/sentence_pair.py

Arms that differ in `data.pairs` have held-out rows of their own: without a pair loss a
row is one text, with it two, of which half do not belong together. What an arm learnt is
compared on `single` and `pair` rows, which ask for the same tokens behind the same masks;
`nsp` rows tell how many pairs it tells apart. Evaluated every 500 steps, as in the demo,
four kinds of rows would take a fifth of the time.
"""

from configs import demo


def get_config():
    config = demo.get_config()
    config.eval.update(rows="single,pair,nsp", length=128, every=3000)
    return config
