"""Words of texts: find those of a vocabulary, and remove some of them."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from normlime_fast._checks import Array, short_repr
from normlime_fast._inputs.rows import as_texts
from normlime_fast._kernels import masks

CHARACTERS = 1 << 18  # of texts that one kernel call writes
CODES = {1: "latin-1", 4: "utf-32-le"}  # by bytes per character

Place = tuple[int, int, str]  # start and stop of a word in a text, and its spelling in the vocabulary


@dataclass(frozen=True, eq=False)
class Words:
    """Finds the words of a vocabulary in a text."""

    columns: dict[str, int]  # of the words of the vocabulary
    pattern: re.Pattern[str]  # matches a word; if it has groups, the word is the first group
    tokenizer: Callable[[str], Iterable[str]] | None  # in place of the pattern
    spell: Callable[[str], str] | None  # turns a word of the text into the vocabulary's spelling

    @classmethod
    def of_documents(cls, documents: object, tokenizer: Any) -> "Words":
        """Use all words of documents, sorted, as the vocabulary."""
        if tokenizer is not None and not callable(tokenizer):
            raise TypeError(f"tokenizer must be callable, got {short_repr(tokenizer)}")
        words = cls({}, re.compile(r"\w+"), tokenizer, None)
        vocabulary = {word for text in as_texts(documents, "documents").values for _, _, word in words._places(text)}
        if not vocabulary:
            raise ValueError("documents must have some words, got none")
        words.columns.update((word, column) for column, word in enumerate(sorted(vocabulary)))
        return words

    @classmethod
    def of_vectorizer(cls, vectorizer: Any) -> "Words":
        """Use the vocabulary and tokenization of scikit-learn's CountVectorizer or TfidfVectorizer."""
        if not all(hasattr(vectorizer, name) for name in ("analyzer", "build_preprocessor", "get_feature_names_out")):
            raise TypeError(f"vectorizer must be a CountVectorizer or TfidfVectorizer, got {short_repr(vectorizer)}")
        if vectorizer.analyzer != "word":
            raise ValueError(
                f"vectorizer must find words, got analyzer {short_repr(vectorizer.analyzer)}; pass a tokenizer"
            )
        if not hasattr(vectorizer, "vocabulary_"):
            raise ValueError(f"vectorizer must be fitted, got {short_repr(vectorizer)}")
        columns = {str(word): column for column, word in enumerate(vectorizer.get_feature_names_out())}
        pattern = re.compile(vectorizer.token_pattern or r"\w+")
        return cls(columns, pattern, vectorizer.tokenizer, vectorizer.build_preprocessor())

    def find(self, text: str) -> tuple[Array, Array]:
        """Return the ascending columns of the text's d words, and the word of each character, 0 to d - 1, or d."""
        places = [(start, stop, self.columns.get(word, -1)) for start, stop, word in self._places(text)]
        columns = np.unique(np.array([column for _, _, column in places if column >= 0], np.int64))
        feature = np.full(len(text), len(columns), np.uint32)
        position = {column: j for j, column in enumerate(columns.tolist())}
        for start, stop, column in places:
            if column >= 0:
                feature[start:stop] = position[column]
        return columns, feature

    def _places(self, text: str) -> Iterator[Place]:
        spell = self.spell or str
        if self.tokenizer is not None:
            for start, stop in _pieces(text, self.tokenizer(text)):
                yield start, stop, spell(text[start:stop])
        else:
            group = 1 if self.pattern.groups else 0
            for match in self.pattern.finditer(text):
                yield *match.span(group), spell(match[group])


def _pieces(text: str, tokens: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each token in a text."""
    stop = 0
    for token in tokens:
        start = text.find(token, stop) if isinstance(token, str) else -1
        if start < 0:
            raise ValueError(f"tokenizer must return pieces of the text in their order, got {short_repr(token)}")
        stop = start + len(token)
        if token:
            yield start, stop


def written(text: str, feature: Array, Z: Array) -> list[str]:
    """Return the text of each sample of Z (n, d), without the characters of features that are off."""
    size = 1 if max(text, default=" ") < "\u0100" else 4
    codes: Array = np.frombuffer(bytearray(text, CODES[size], "surrogatepass"), f"u{size}")
    n = len(Z)
    rows = max(1, min(n, CHARACTERS // max(1, len(text))))
    ends, room = np.empty(rows, np.int64), np.empty(rows * len(text) + 1, codes.dtype)
    texts: list[str] = []
    for first in range(0, n, rows):
        masked = Z[first : first + rows]
        masks.write(masked, codes, feature, ends, room)
        stops = ends[: len(masked)].tolist()
        joined = str(room[: stops[-1]].view(np.uint8).data, CODES[size], "surrogatepass")
        texts.extend([joined[start:stop] for start, stop in zip([0, *stops], stops, strict=False)])
    return texts
