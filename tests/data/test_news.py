"""The packaged news as labelled articles."""

import importlib.util

import pytest

from bert_jax.data import news
from bert_jax.run.config import UsageError
from bert_jax.tasks.formats import sources

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec(news.PACKAGE) is None, reason=f"needs {news.PACKAGE}"
)


@pytest.fixture(scope="module")
def splits():
    return {name: list(sources.packaged_news(None, name, "")) for name in sources.NEWS}


def test_articles_are_unique_across_splits(splits):
    texts = [record.text for records in splits.values() for record in records]
    assert len(set(texts)) == len(texts)
    assert set(texts) == {document.text for document in news.documents(None)}


def test_the_splits_are_shares_of_all_five_topics(splits):
    total = sum(map(len, splits.values()))
    assert {name: len(records) for name, records in splits.items()} == pytest.approx(
        {"train": 0.5 * total, "valid": 0.1 * total, "test": 0.4 * total}, abs=1
    )
    for records in splits.values():
        topics = [record.label for record in records]
        assert set(topics) == {
            "business",
            "entertainment",
            "politics",
            "sports",
            "tech",
        }
        # Of all articles, 17 to 23 % are of each topic; 10 % of so many are within 10.
        assert all(0.07 < topics.count(x) / len(topics) < 0.33 for x in set(topics))


def test_the_splits_never_change(splits):
    assert {name: records[0].where for name, records in splits.items()} == {
        "train": f"{news.PACKAGE} business/002",
        "valid": f"{news.PACKAGE} business/001",
        "test": f"{news.PACKAGE} business/004",
    }
    assert splits["valid"] == list(sources.packaged_news(None, "valid", ""))


def test_another_split_is_refused():
    with pytest.raises(UsageError, match="no split 'dev', but train, valid, test"):
        list(sources.packaged_news(None, "dev", ""))
