"""Which words make a review a recommendation, and which do not: texts (clothing reviews, 1,200 of them)."""

from pathlib import Path

import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import normlime_fast as nlf

reviews = pd.read_csv(Path(__file__).parents[1] / "data" / "reviews.csv.gz")
texts = reviews["text"].tolist()
vectorizer = TfidfVectorizer(min_df=3)
model = make_pipeline(vectorizer, LogisticRegression(C=10)).fit(texts, reviews["recommended"])

# The model takes strings: words are taken out of them.
by_text = nlf.NormLIME(model.predict_proba, nlf.Mask.text(texts, vectorizer=vectorizer), n_samples=300, rng=0)
one = by_text.explain(texts[:1])
names = one.feature_names
print(texts[0])
for word, weight in sorted(zip(one.weights.indices, one.weights.data, strict=True), key=lambda pair: -abs(pair[1])):
    print(f"{weight:+.3f}  {names[word]}")

# The same words as columns of a sparse matrix, which costs much less.
matrix = vectorizer.transform(texts)
words = nlf.Mask(scheme="text", feature_names=vectorizer.get_feature_names_out())
classifier = model[-1]
local = nlf.NormLIME(classifier.predict_proba, words, n_samples=500, rng=0).explain(matrix)
# A mean over one or two explanations says little: a word must be used in 20.
table = local.importance(by="target", sign="positive", min_count=20)
for best in table.top(10):
    print("recommended" if best.group == "1" else "not        ", f"{best.value:.3f}  {best.feature} ({best.count})")
