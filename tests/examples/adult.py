"""What makes incomes high, by column and by bin: a table with categories (UCI Adult, 3,000 of its rows)."""

import warnings
from pathlib import Path

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import normlime_fast as nlf

# 158 of 3,000 people have a category that hardly any of the samples has, and get status 10.
warnings.filterwarnings("ignore", "of .* fewer than 10 points")

people = pd.read_csv(Path(__file__).parents[1] / "data" / "adult.csv.gz")
X, y = people.drop(columns="income"), people["income"]
categorical = list(X.select_dtypes(exclude="number"))
encode = ColumnTransformer([("categories", OrdinalEncoder(), categorical)], remainder="passthrough")
model = make_pipeline(encode, HistGradientBoostingClassifier(random_state=0)).fit(X, y)

# One set of 2,000 rows is shown to the model, whatever the number of people to explain.
neighborhood = nlf.Binned.from_data(X, categorical=categorical)
explainer = nlf.NormLIME(model.predict_proba, neighborhood, n_features=6, n_samples=2000, rng=0)
local = explainer.explain(X)
print(local.importance(by="target").to_frame().pivot(index="feature", columns="group", values="value").round(3))

print("\nperson 4, explained:")
for name, weight in zip(neighborhood.describe(X[4:5])[0], local.weights[[4]].toarray()[0], strict=True):
    if weight:
        print(f"{weight:+.3f}  {name}")

bins = nlf.Binned.from_data(X, categorical=categorical, features="bin")
explainer = nlf.NormLIME(model.predict_proba, bins, n_features=6, n_samples=2000, targets=1, rng=0)
high = explainer.explain(X).importance(sign="positive", min_count=30)
print("\nwhat speaks for a high income:")
for best in high.top(8):
    print(f"{best.value:.3f}  {best.feature} ({best.count} people)")
