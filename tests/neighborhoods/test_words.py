import pickle
import re

import numpy as np
import pytest
from helpers.masks import samples
from lime.lime_text import IndexedString, LimeTextExplainer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.metrics import pairwise_distances

from normlime_fast._neighborhoods import words
from normlime_fast._neighborhoods.mask import Mask

DOCUMENTS = ["Good dress. Really good!", "a bad fit, bad\n colour", "?!", "good fit"]


@pytest.mark.parametrize("width", [0.1, 0.25, 3.0])
def test_weights_and_words_and_texts_are_limes(width):
    text = "It is good, good -- really GOOD stuff; isn't it?\n"
    inputs, on, weights, columns = samples(mask := Mask.text([text], width=width), [text], n=200)
    indexed = IndexedString(text)
    names = [mask._features(mask._rows([text])).names[column] for column in columns]
    assert names == sorted(indexed.inverse_vocab)
    order = [indexed.inverse_vocab.index(name) for name in names]
    expected = [indexed.inverse_removing([order[j] for j in np.flatnonzero(row == 0)]) for row in on]
    assert inputs.tolist() == expected
    on = on.astype(float)  # as lime's are
    distances = pairwise_distances(on, on[:1], metric="cosine").ravel() * 100
    np.testing.assert_allclose(weights, LimeTextExplainer(100 * width).base.kernel_fn(distances), rtol=1e-12)
    assert (on.sum(axis=1) == 0).any()  # nothing left: a distance of 1


ALPHABETS = {
    "ascii": "good bad fit! ",
    "latin-1": "gründlich, pâte ",
    "latin extended": "Āžuols, ķer ",
    "wide": "добрый день 字 ",
    "emoji": "fine \U0001f600 fit \U0001f600\U0001f600 ",
    "surrogates": "a\ud83d b\ude00 \ud83d ",
}


def removed(text, names, on, pattern=r"\w+", spell=str):
    off = [{name for name, present in zip(names, row, strict=True) if not present} for row in on]
    return [re.sub(pattern, lambda m: "" if spell(m[0]) in gone else m[0], text) for gone in off]  # noqa: B023


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("characters", [1, 100, 1 << 20])
def test_texts_against_regular_expressions(alphabet, characters, monkeypatch):
    monkeypatch.setattr(words, "CHARACTERS", characters)
    text = ALPHABETS[alphabet] * 3
    mask = Mask.text([text, "and others"])
    inputs, on, _, columns = samples(mask, [text], n=41)  # which no number of texts at a time divides
    names = [mask._features(mask._rows([text])).names[column] for column in columns]
    assert set(names) == set(re.findall(r"\w+", text))
    assert inputs.tolist() == removed(text, names, on)


SPELLED = "The Café, a CAFE. B-side the bees' knees caf\u00e9"


@pytest.mark.parametrize(
    ("vectorizer", "pattern"),
    [
        (CountVectorizer(), r"\b\w\w+\b"),
        (TfidfVectorizer(strip_accents="unicode", stop_words=["bees"]), r"\b\w\w+\b"),
        (CountVectorizer(lowercase=False, token_pattern=r"\w+"), r"\w+"),
        (CountVectorizer(ngram_range=(1, 2)), r"\b\w\w+\b"),
        (CountVectorizer(token_pattern=r"\s(\w+)"), r"(?<=\s)\w+"),
        (CountVectorizer(tokenizer=str.split, token_pattern=None), r"\S+"),
    ],
)
def test_words_of_vectorizers(vectorizer, pattern):
    vectorizer.fit([SPELLED, "some more"])
    mask = Mask.text(vectorizer=vectorizer)
    inputs, on, _, columns = samples(mask, [SPELLED])
    vocabulary = vectorizer.get_feature_names_out()
    assert mask._features(mask._rows([SPELLED])) == (len(vocabulary), tuple(vocabulary))
    spell = vectorizer.build_preprocessor()
    assert inputs.tolist() == removed(SPELLED, vocabulary[columns], on, pattern, spell)
    found = vectorizer.transform([SPELLED]).indices
    assert columns.tolist() == sorted(column for column in found if " " not in vocabulary[column])
    if "(" not in pattern:  # what follows a word counts there, and may be gone
        seen = vectorizer.transform(inputs.tolist()).toarray()[:, columns] > 0
        np.testing.assert_array_equal(seen, on == 1)
    pickle.dumps(mask)


def test_words_of_a_tokenizer():
    text = "un-do, redo; un"
    pieces = re.compile(r"un|do|re")
    mask = Mask.text([text], tokenizer=pieces.findall)
    inputs, on, _, _ = samples(mask, [text])
    assert mask._features(mask._rows([text])).names == ("do", "re", "un")
    assert inputs.tolist() == removed(text, ("do", "re", "un"), on, pieces)


def test_words_outside_the_vocabulary_stay():
    inputs, on, _, columns = samples(Mask.text(["good fit"]), ["good or bad fit?"])
    assert columns.tolist() == [0, 1]
    assert inputs.tolist() == removed("good or bad fit?", ["fit", "good"], on)


def test_uniform_weights():
    assert samples(Mask.text(DOCUMENTS, kernel="uniform"), DOCUMENTS)[2] is None


def test_texts_without_features():
    for text in ("", "?!"):
        inputs, on, weights, columns = samples(Mask.text(DOCUMENTS), [text])
        assert inputs.tolist() == [text] * 40
        assert (on.shape, columns.shape) == ((40, 0), (0,))
        np.testing.assert_array_equal(weights, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Mask.text(), "documents must be a list of str, got None"),
        (lambda: Mask.text(["?!"]), "documents must have some words, got none"),
        (lambda: Mask.text("text"), "documents must be a list of str, got a single str"),
        (lambda: Mask.text(DOCUMENTS, str.split), "vectorizer must be a CountVectorizer or TfidfVectorizer, got "),
        (lambda: Mask.text(DOCUMENTS, CountVectorizer()), "vectorizer must be fitted, got CountVectorizer"),
        (
            lambda: Mask.text(vectorizer=CountVectorizer(analyzer="char").fit(DOCUMENTS)),
            "vectorizer must find words, got",
        ),
        (
            lambda: Mask.text(vectorizer=CountVectorizer(), tokenizer=str.split),
            "tokenizer must be None with a vectorizer",
        ),
        (lambda: Mask.text(DOCUMENTS, tokenizer=3), "tokenizer must be callable, got 3"),
        (lambda: Mask.text(DOCUMENTS, tokenizer=lambda text: ["other"]), "tokenizer must return pieces of the text in"),
        (lambda: samples(Mask(), DOCUMENTS), "X must hold numbers, got texts; Mask.text takes"),
        (lambda: samples(Mask.text(DOCUMENTS), np.ones((2, 3))), "X must be a list of str"),
    ],
)
def test_refused_in_one_line(call, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
