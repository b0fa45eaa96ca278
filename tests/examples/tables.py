"""Tables as they are: five kinds of models, and text, codes and missing values that nobody encodes for the explainer.

`python tests/examples/tables.py` explains every model that is installed, for three tables; `... tables.py titanic
lightgbm` explains one model for one table. A table of polars works the same with the models that take one:
`explain(model, polars.from_pandas(X_train), polars.from_pandas(X_test))`.
"""

import sys
from pathlib import Path

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import normlime_fast as nlf

DATA = Path(__file__).parents[1] / "data"

# --- Three tables. Boosting takes text as pandas' categories, and codes of classes.


def read(name, label, **options):
    table = pd.read_csv(DATA / f"{name}.csv.gz", **options)
    X, y = table.drop(columns=label), table[label]
    X = X.astype(dict.fromkeys(X.select_dtypes(exclude="number"), "category"))
    return X, y.astype("category").cat.codes


def titanic():
    """Passengers, and whether they survived. The ages of 20 % and the decks of 77 % are missing."""
    return read("titanic", "survived")


def penguins():
    """Penguins of three species. Some were not measured, and the sex of some is not known."""
    return read("penguins", "species")


def adult():
    """People, and whether they earn more than 50,000 dollars. Some professions and countries are missing."""
    return read("adult", "income", na_values="?")


# --- Five models


def hist_gradient_boosting(X, y):
    return HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=50, random_state=0).fit(X, y)


def lightgbm(X, y):
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=50, n_jobs=1, verbose=-1).fit(X, y)


def xgboost(X, y):
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=50, n_jobs=1, enable_categorical=True).fit(X, y)


def catboost(X, y):
    from catboost import CatBoostClassifier

    text = text_columns(X)

    def name_missing(X):  # CatBoost takes missing numbers, but wants a name in place of missing text
        return X.assign(**X[text].astype(object).fillna("missing"))

    booster = CatBoostClassifier(
        iterations=200, cat_features=text, thread_count=1, random_seed=0, verbose=False, allow_writing_files=False
    )
    return make_pipeline(FunctionTransformer(name_missing), booster).fit(X, y)


def linear(X, y):
    text = text_columns(X)
    numbers = [name for name in X.columns if name not in text]
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), text),
        (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numbers),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(X, y)


def text_columns(X):
    return [name for name in X.columns if str(X[name].dtype).lower().startswith(("cat", "enum"))]


# --- One explainer


def explain(model, X_train, X_test):
    explainer = nlf.NormLIME(model.predict_proba, X_train, rng=0)
    local = explainer.explain(X_test)
    return local.importance(of="contributions")


TABLES = {function.__name__: function for function in (titanic, penguins, adult)}
MODELS = {function.__name__: function for function in (hist_gradient_boosting, lightgbm, xgboost, catboost, linear)}

if __name__ == "__main__":
    for table in TABLES.keys() & sys.argv or TABLES:
        X, y = TABLES[table]()
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
        for name in MODELS.keys() & sys.argv or MODELS:
            try:
                model = MODELS[name](X_train, y_train)
            except ModuleNotFoundError as error:
                print(f"{table}, {name}: {error}")
                continue
            best = explain(model, X_train, X_test).top(5)
            accuracy = model.score(X_test, y_test)
            print(f"{table}, {name}, {accuracy:.0%} right: {', '.join(f'{b.feature} {b.value:.3f}' for b in best)}")
