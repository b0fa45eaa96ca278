"""Outputs of the model: which functions are refused, names of targets and features, links, outputs in several units."""

import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logit
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import normlime_fast as nlf

X, LABELS = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
MODEL = LogisticRegression(max_iter=1000).fit(X, NAMES[LABELS])
PIPELINE = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, NAMES[LABELS])
SEARCH = GridSearchCV(PIPELINE, {"logisticregression__C": [1.0]}, cv=2).fit(X, NAMES[LABELS])
FOREST = RandomForestClassifier(5, random_state=0).fit(X, LABELS)


def explainer(predict, neighborhood=None, **options):
    options = {"n_features": 2, "n_samples": 200, "rng": 0} | options
    return nlf.NormLIME(predict, neighborhood or nlf.Gaussian.from_data(X), **options)


def explain(predict, rows=X[::15], **options):
    return explainer(predict, **options).explain(rows)


def refuse(error, message, call):
    with pytest.raises(error) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert re.match(message, str(caught.value)), str(caught.value)


class NotCalled:
    def __call__(self, X):
        raise AssertionError("the model was called")


# ---- Functions that are refused


@pytest.mark.parametrize("labels", [LABELS, NAMES[LABELS], LABELS > 0])
def test_predict_of_a_classifier(labels):
    forest = RandomForestClassifier(3, random_state=0).fit(X, labels)
    message = r"predict must return .* got RandomForestClassifier\.predict, .* class labels; pass its predict_proba$"
    refuse(TypeError, message, lambda: explainer(forest.predict))
    refuse(TypeError, message, lambda: explainer(partial(partial(forest.predict))))


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (SVC().fit(X, LABELS), "its decision_function"),
        (SEARCH, "its predict_proba or decision_function"),
        (PIPELINE, "its predict_proba or decision_function"),
        (MultiOutputClassifier(FOREST).fit(X, np.c_[LABELS > 0, LABELS > 1]), "its predict_proba"),
        (GridSearchCV(RidgeClassifier(), {"alpha": [1.0]}, cv=2).fit(X, LABELS), "its decision_function"),
    ],
)
def test_the_methods_that_a_classifier_has_are_named(model, advice):
    refuse(
        TypeError,
        rf"predict must return .* got {type(model).__name__}\.predict,.*; pass {advice}$",
        lambda: explainer(model.predict),
    )


def test_a_classifier_that_is_fitted_after_the_explainer_is_made():
    model = LogisticRegression(max_iter=1000)
    one = explainer(model.predict)
    model.fit(X, LABELS)
    for call in (one.explain, one.statistics, one.probe):
        refuse(TypeError, "predict must return probabilities or scores", lambda call=call: call(X[:2]))


class Odd:
    """Like a regressor of CatBoost, which has no classes but the attribute, and a booster's options of predict."""

    def __init__(self, classes):
        self.classes_ = classes

    def predict(self, X, raw=False):
        return X[:, 0]


def test_functions_that_return_no_labels_are_explained():
    for predict in (Odd(np.array([])).predict, Odd(None).predict, partial(Odd(np.arange(2)).predict, raw=True)):
        assert len(explain(predict)) == 10
    search = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2).fit(X[:, 1:], X[:, 0])
    assert len(explainer(search.predict, nlf.Gaussian(1.0)).explain(X[:2, 1:])) == 2


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (FOREST, "; pass its predict_proba"),
        (SEARCH, "; pass its predict_proba or decision_function"),
        (LinearRegression(), "; pass its predict"),
        (np.zeros(3), ""),
    ],
)
def test_a_model_in_place_of_its_function(model, advice):
    got = rf"predict must be callable, such as model\.predict_proba, got {type(model).__name__}{advice}$"
    refuse(TypeError, got, lambda: explainer(model))


@pytest.mark.parametrize(
    ("labels", "dtype"), [(NAMES[LABELS], "<U10"), (LABELS > 0, "bool"), (NAMES[LABELS].astype(object), "object")]
)
@pytest.mark.parametrize("wrap", [np.asarray, list])
def test_labels_from_a_function(labels, dtype, wrap):
    forest = RandomForestClassifier(3, random_state=0).fit(X, labels)
    dtype = "<U10" if wrap is list and dtype == "object" else dtype
    got = rf"predict must return .* got dtype {dtype}; .* predict_proba"
    refuse(TypeError, got, lambda: explain(lambda X: wrap(forest.predict(X))))


# ---- Names


@pytest.mark.parametrize(
    "predict",
    [
        MODEL.predict_proba,
        MODEL.predict_log_proba,
        MODEL.decision_function,
        PIPELINE.predict_proba,
        SEARCH.predict_proba,
        partial(SEARCH.predict_proba),
        partial(partial(PIPELINE.decision_function)),
        make_pipeline(SEARCH).predict_proba,
    ],
)
def test_targets_by_name(predict):
    by_name = explain(predict, targets=["virginica", "setosa"])
    by_number = explain(predict, targets=[2, 0])
    assert by_name.target_names == tuple(NAMES)
    assert_array_equal(by_name.target, by_number.target)
    assert_array_equal(by_name.weights.toarray(), by_number.weights.toarray())
    assert by_name.importance(by="target").groups.tolist() == ["setosa", "virginica"]
    for one in ("versicolor", ["versicolor"], np.array(["versicolor"]), pd.Index(["versicolor"]), ("versicolor",)):
        assert explain(predict, targets=one).target.tolist() == [1] * 10


def test_names_for_a_function_without_any():
    options = {"target_names": NAMES, "feature_names": pd.Index(["a", "b", "c", "d"])}
    one = explainer(lambda X: np.log(MODEL.predict_proba(X)), targets="setosa", **options)
    local = one.explain(X[::15])
    assert (local.target_names, local.feature_names) == (tuple(NAMES), ("a", "b", "c", "d"))
    assert_array_equal(local.target, 0)
    statistics = one.statistics(X[::15], by="target")
    assert (statistics.groups.tolist(), statistics.feature_names) == (["setosa"], ("a", "b", "c", "d"))
    with ThreadPoolExecutor(1) as pool:
        shipped = one.explain(X[::15], executor=pool, block_size=3)
    assert (shipped.target_names, shipped.feature_names) == (local.target_names, local.feature_names)
    assert_array_equal(shipped.weights.toarray(), local.weights.toarray())


def test_names_replace_those_of_classes_in_their_order():
    assert explain(FOREST.predict_proba).target_names == ("0", "1", "2")
    local = explain(FOREST.predict_proba, target_names=NAMES, targets="virginica")
    assert local.target_names == tuple(NAMES)
    assert_array_equal(local.target, 2)
    message = r"target_names must be in the order of the model's classes, \['setosa', .*, got \['virginica', "
    refuse(ValueError, message, lambda: explainer(MODEL.predict_proba, target_names=NAMES[::-1]))


def test_targets_follow_a_model_that_is_fitted_again():
    model = LogisticRegression(max_iter=1000).fit(X, NAMES[LABELS])
    one = explainer(model.predict_proba, targets="virginica")
    model.fit(X[50:], NAMES[LABELS[50:]])
    assert_array_equal(one.explain(X[::15]).target, 1)
    model.fit(X[:100], NAMES[LABELS[:100]])
    refuse(ValueError, "targets must be .* got 'virginica'; there are 'setosa', 'versicolor'", lambda: one.explain(X))


@pytest.mark.parametrize(
    "predict",
    [SVC().fit(X, LABELS > 0).decision_function, LinearRegression().fit(X, LABELS).predict, NotCalled()],
)
def test_outputs_without_names(predict):
    message = "targets must be .* got 'virginica'; the outputs have no names: pass target_names$"
    refuse(ValueError, message, lambda: explainer(predict, targets="virginica"))


def test_pairs_of_classes_have_no_names():
    """The three outputs of three classes are those of their pairs."""
    pairs = SVC(decision_function_shape="ovo", random_state=0).fit(X, NAMES[LABELS])
    pipeline = make_pipeline(StandardScaler(), pairs).fit(X, NAMES[LABELS])
    search = GridSearchCV(make_pipeline(StandardScaler(), pairs), {"svc__C": [1.0]}, cv=2).fit(X, NAMES[LABELS])
    for model in (pairs, pipeline, search):
        assert model.decision_function(X[:2]).shape == (2, 3)
        assert explain(model.decision_function).target_names is None
        refuse(
            ValueError, "targets must be .* no names", lambda m=model: explainer(m.decision_function, targets="setosa")
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn 1.9 deprecates `probability`
        probable = SVC(decision_function_shape="ovo", probability=True, random_state=0).fit(X, NAMES[LABELS])
        assert explain(probable.predict_proba).target_names == tuple(NAMES)


def test_names_that_are_not_as_many():
    message = "target_names must be one name for each of the model's 3 outputs, got 2"
    refuse(ValueError, message, lambda: explain(lambda X: X[:, :3], target_names=["a", "b"]))
    message = "feature_names must be one name for each of 4 features, got 2"
    for call in (nlf.NormLIME.explain, nlf.NormLIME.statistics, nlf.NormLIME.importance):
        for neighborhood in (nlf.Gaussian(1.0), nlf.Pool.from_data(X)):
            one = explainer(NotCalled(), neighborhood, feature_names=["a", "b"])
            refuse(ValueError, message, lambda call=call, one=one: call(one, X))


def test_names_of_a_frame_are_its_own():
    frame = load_iris(as_frame=True).data
    neighborhood = nlf.Gaussian.from_data(frame)
    one = explainer(NotCalled(), neighborhood, feature_names=list("abcd"))
    message = r"feature_names must be those that the features have, got 'a' in place of 'sepal length \(cm\)'; leave"
    refuse(ValueError, message, lambda: one.explain(frame))
    named = explain(lambda X: X.to_numpy()[:, 0], frame[:2], neighborhood=neighborhood, feature_names=frame.columns)
    assert named.feature_names == tuple(frame.columns)


def test_names_of_segments():
    images = np.random.default_rng(0).normal(size=(3, 4, 4))
    one = explainer(
        lambda X: X.sum(axis=(1, 2)),
        nlf.Mask(segments=np.repeat([[0, 0, 1, 1]], 4, axis=0)),
        feature_names=["left", "right"],
    )
    named = one.explain(images)
    assert named.feature_names[:2] == ("left", "right")


# ---- Links

NEIGHBORHOODS = {
    "Gaussian": nlf.Gaussian.from_data(X),
    "Pool": nlf.Pool.from_data(X),
    "Binned": nlf.Binned.from_data(X),
    "Mask": nlf.Mask(),
}


@pytest.mark.parametrize("kind", NEIGHBORHOODS)
@pytest.mark.parametrize(("link", "function"), [("logit", logit), ("log", np.log), (np.sqrt, np.sqrt)])
def test_a_link_explains_a_function_of_the_outputs(kind, link, function):
    neighborhood = NEIGHBORHOODS[kind]
    given = explain(MODEL.predict_proba, neighborhood=neighborhood, link=link)
    by_hand = explain(lambda X: function(MODEL.predict_proba(X)), neighborhood=neighborhood)
    assert_array_equal(given.target, by_hand.target)
    for name in ("prediction", "intercept"):  # log(p) - log1p(-p) is rounded otherwise than SciPy's logit
        assert_allclose(getattr(given, name), getattr(by_hand, name), rtol=1e-9, atol=1e-9)
    assert_allclose(given.weights.toarray(), by_hand.weights.toarray(), rtol=1e-9, atol=1e-9)


def test_log_odds_of_a_logistic_regression_are_linear():
    binary = LogisticRegression(max_iter=1000).fit(X, LABELS > 1)
    neighborhood = nlf.Gaussian.from_data(X, width=0.3)
    local = explain(binary.predict_proba, neighborhood=neighborhood, n_features=None, targets="True", link="logit")
    assert_allclose(local.weights.toarray(), np.tile(binary.coef_[0] * neighborhood.scale, (10, 1)), rtol=1e-6)
    assert_allclose(local.prediction, binary.decision_function(X[::15]), rtol=1e-9)
    assert_allclose(local.r2, 1.0, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_zeros_and_ones_of_a_forest(dtype):
    def predict(X):
        return FOREST.predict_proba(X).astype(dtype)

    outputs = predict(X)
    assert {0.0, 1.0} <= set(outputs.ravel().tolist())
    largest = {np.float64: 53, np.float32: 24, np.float16: 11}[dtype] * np.log(2)
    local = explain(predict, X, targets="all", link="logit", n_features=4)
    predicted = local.prediction.reshape(outputs.shape)
    assert_allclose(predicted[outputs == 0], -largest, rtol=1e-3)  # 1 - 2^-11 is not quite 1
    assert_allclose(predicted[outputs == 1], largest, rtol=1e-3)
    inside = (outputs > 0) & (outputs < 1)
    assert_allclose(predicted[inside], logit(outputs.astype(float))[inside], rtol=1e-12)
    assert np.isfinite(local.weights.data).all()
    local = explain(predict, X, targets="all", link="log", n_features=4)
    assert_allclose(local.prediction.reshape(outputs.shape)[outputs == 0], -largest, rtol=1e-12)
    assert np.isfinite(local.weights.data).all()


def test_classes_of_two_are_mirror_images():
    forest = RandomForestClassifier(5, random_state=0).fit(X, LABELS > 0)
    weights = explain(forest.predict_proba, X, targets="all", link="logit", n_features=4).weights.toarray()
    assert np.abs(weights).max() > 1
    # 5 trees: their shares p and 1 - p are rounded, and near 1 the logit magnifies that by 1 / (p (1 - p)) = 6
    assert_allclose(weights[::2], -weights[1::2], rtol=0, atol=1e-12 * np.abs(weights).max())


def test_the_predicted_target_is_the_largest_output_before_the_link():
    probabilities = MODEL.predict_proba(X[::15])
    for link in ("logit", lambda p: -np.log(p)):
        local = explain(MODEL.predict_proba, link=link)
        assert_array_equal(local.target, probabilities.argmax(axis=1))
    assert_allclose(local.prediction, -np.log(probabilities.max(axis=1)), rtol=1e-12)


def test_the_predicted_target_is_right_for_rows_that_are_left():
    def fails(X):
        if (X == X[:1]).all() and X[0, 0] == 9.0:
            raise RuntimeError
        return MODEL.predict_proba(X)

    rows = X[::15].copy()
    rows[3, 0] = 9.0
    with pytest.warns(UserWarning, match="1 empty"):
        local = explainer(fails, link="log", batch_size=1).explain(rows, on_error="skip")
    left = np.arange(10) != 3
    assert_array_equal(local.target[left], MODEL.predict_proba(rows[left]).argmax(axis=1))
    assert local.status[3] == nlf.Status.MODEL_FAILED


def test_a_link_may_write_to_its_argument_but_not_to_the_models_outputs():
    kept = {}

    def predict(X):
        kept.setdefault(len(X), np.full((len(X), 2), 0.25))
        return kept[len(X)]

    def link(p):
        p -= 7.0
        return p

    with pytest.warns(UserWarning, match="did not vary"):
        local = explain(predict, link=link)
    assert_array_equal(local.prediction, -6.75)
    assert all((outputs == 0.25).all() for outputs in kept.values())


@pytest.mark.parametrize(
    ("predict", "link", "message"),
    [
        (
            lambda X: X[:, :2] - 6,
            "logit",
            r'predict must return numbers from 0 to 1 for link="logit", got -[0-9.]+ for output 0 of .* instance 0; ',
        ),
        (
            lambda X: X[:, 0] * 0 + 1.001,
            "logit",
            r'predict must return numbers from 0 to 1 for link="logit", got 1\.001',
        ),
        (lambda X: X[:, 0] * 0 - 1e-9, "log", r'predict must return numbers of at least 0 for link="log", got -1e-09'),
        (lambda X: X[:, 0] - np.inf, "logit", "predict must return finite numbers, got -inf"),
        (lambda X: X[:, 0] * 0, np.log, "link must return finite numbers, got -inf for output 0 of a sample around"),
        (lambda X: X[:, :2], lambda Y: Y[:, 0], r"link must return numbers of shape \(10, 2\), got shape \(10,\) and"),
        (lambda X: X[:, :2], lambda Y: Y > 0, r"link must return numbers of shape \(10, 2\), got .* dtype bool"),
        (lambda X: X[:, :2], lambda Y: None, r"link must return numbers of shape \(10, 2\), got shape \(\) and"),
    ],
)
def test_outputs_that_a_link_is_not_for(predict, link, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refuse(ValueError, message, lambda: explain(predict, link=link))


def test_rounding_beyond_0_and_1_is_no_error():
    for rounded in (np.float32(1.0000001), 1.0 + 4e-16, -1e-17):
        local = explain(lambda X, p=rounded: np.where(X[:, 0] > 5.8, p, 0.5 / (1 + X[:, 1] ** 2)), link="logit")
        assert np.isfinite(local.prediction).all()


def test_a_link_belongs_to_a_checkpoint(tmp_path):
    for link in ("logit", np.sqrt):
        folder = tmp_path / str(link)[:6].strip("<")
        local = explainer(MODEL.predict_proba, link=link).explain(X[::15], checkpoint=folder)
        again = explainer(MODEL.predict_proba, link=link).explain(X[::15], checkpoint=folder)
        assert_array_equal(again.weights.toarray(), local.weights.toarray())
        other = explainer(MODEL.predict_proba, link="log")
        message = r"checkpoint .* was begun with link .*, got log; use the same"
        refuse(
            nlf.CheckpointMismatchError,
            message,
            lambda other=other, folder=folder: other.explain(X[::15], checkpoint=folder),
        )
        named = explainer(MODEL.predict_proba, link=link, target_names=list("abc"))
        message = r"checkpoint .* was begun with target_names None, got \['a', 'b', 'c'\]"
        refuse(
            nlf.CheckpointMismatchError,
            message,
            lambda named=named, folder=folder: named.explain(X[::15], checkpoint=folder),
        )


# ---- Outputs in several units

TWO = RandomForestRegressor(3, random_state=0).fit(X[:, 1:], X[:, :2] * [1.0, 1000.0])


@pytest.mark.parametrize(
    "predict",
    [
        TWO.predict,
        partial(TWO.predict),
        make_pipeline(TWO).predict,
        GridSearchCV(TWO, {"max_depth": [2]}, cv=2).fit(X[:, 1:], X[:, :2]).predict,
    ],
)
def test_the_largest_output_of_a_regressor(predict):
    one, rows = explainer(predict, nlf.Gaussian(1.0)), X[::15, 1:]
    message = (
        r'^targets is "predicted", the largest of the 2 outputs of a regressor, whose units may differ; "all" explains'
    )
    with ThreadPoolExecutor(1) as pool:
        for call in (
            lambda: one.explain(rows),
            lambda: one.explain(rows, executor=pool, block_size=2),
            lambda: one.statistics(iter([rows, rows]), block_size=3),
        ):
            with pytest.warns(UserWarning, match=message) as caught:
                call()
            assert len(caught) == 1
            assert caught[0].filename == __file__


def test_a_run_that_is_resumed_warns_too(tmp_path):
    one = explainer(TWO.predict, nlf.Gaussian(1.0))
    for _ in range(2):
        with pytest.warns(UserWarning, match="the 2 outputs of a regressor"):
            one.explain(X[::15, 1:], checkpoint=tmp_path / "run")


def test_outputs_that_can_be_compared_or_are_chosen():
    single = RandomForestRegressor(3, random_state=0).fit(X[:, 1:], X[:, 0])
    cases = [
        (TWO.predict, "all"),
        (TWO.predict, [1]),
        (single.predict, "predicted"),
        (lambda X: TWO.predict(X), "predicted"),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for predict, targets in cases:
            explainer(predict, nlf.Gaussian(1.0), targets=targets).explain(X[::15, 1:])
        explain(MODEL.predict_proba)
