"""The study of defaults, in small: both truths are those of the simulated table, and each question finds its own."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies import defaults
from benchmarks.studies.defaults import ADDS, CHANGES, EFFECTS, FLAG, INTERCEPT, QUICK, TREESHAP, WAYS, Data

CREDIT = defaults.credit(QUICK.credits)


@pytest.fixture(scope="module")
def found():
    pytest.importorskip("lightgbm")
    return defaults.importances(CREDIT, QUICK)


def effects_of(data):
    """What each column adds to the log-odds, (n, d), from the columns as they are."""
    columns = []
    for effect, column in zip(EFFECTS, data.table.X.T, strict=True):
        if effect.shares:
            columns.append(np.array(effect.effect)[column.astype(int)])
        else:
            mean, deviation, _ = defaults.NUMBERS[effect.name]
            columns.append(effect.effect * (column - mean) / deviation)
    return np.column_stack(columns)


def test_truths_are_those_of_many_rows():
    """Means over 100,000 rows: of a category of 1 %, the rarest, the share has a relative error of 0.03."""
    data = defaults.credit(100_000, seed=1)
    effects = effects_of(data)
    sizes = np.abs(effects - effects.mean(axis=0))
    np.testing.assert_allclose(data.truths[ADDS], sizes.mean(axis=0), rtol=5 * 0.03, atol=1e-12)
    flag = data.table.X[:, FLAG] == 1
    assert data.truths[CHANGES][FLAG] == pytest.approx(effects[flag, FLAG].mean() - effects[~flag, FLAG].mean())
    np.testing.assert_allclose(data.truths[CHANGES][:4], effects[:, :4].std(axis=0), rtol=0.02)
    assert (data.truths[ADDS][-4:] == 0).all()
    assert (data.truths[CHANGES][-4:] == 0).all()


def test_labels_are_drawn_from_the_log_odds():
    probabilities = 1 / (1 + np.exp(-INTERCEPT - effects_of(CREDIT).sum(axis=1)))
    error = (CREDIT.table.y - probabilities) / np.sqrt(probabilities * (1 - probabilities))
    assert abs(error.mean()) < 4 / np.sqrt(QUICK.credits)
    for column in (CREDIT.table.X[:, 0] > 600, CREDIT.table.X[:, FLAG] == 1):
        assert abs(error[column].mean()) < 4 / np.sqrt(column.sum())


def test_each_question_has_its_own_answer(found):
    """The flag changes most of all columns where it changes, and adds less than others, since it is rare."""
    for name in ("Gaussian", "Pool", "Binned"):
        assert defaults.place(found.all[f"{name}, weights, mean_abs"], FLAG) == "1"
    for way in (TREESHAP, "Binned, contributions, mean_abs"):
        assert int(defaults.place(found.all[way], FLAG)) > 2
        assert defaults.place(found.flagged[way], FLAG) == "1"
    assert defaults.agreement(found, "Binned, contributions, mean_abs") > 0.85
    assert defaults.agreement(found, "Binned, weights, mean_abs", CHANGES) > 0.85


def test_agreement_and_places_by_hand():
    first, second = np.array([[4.0, 3.0, 2.0, 1.0]]), np.array([[3.0, 4.0, 2.0, 1.0], [4.0, 3.0, 2.0, 2.0]])
    one = defaults.Found(Data(CREDIT.table, True, {}), {TREESHAP: first, "other": second}, {})
    # 1 - 6 * 2 / (4 * 15), and the correlation of the ranks 4, 3, 2, 1 with 4, 3, 1.5, 1.5
    assert defaults.agreement(one, "other") == pytest.approx((0.8 + 4.5 / np.sqrt(5 * 4.5)) / 2)
    assert [defaults.place(second, column) for column in range(4)] == ["1 to 2", "1 to 2", "3", "3 to 4"]


def test_report_has_every_way_and_every_column(found):
    page = defaults.report([found], ["Adult: no network"], QUICK)
    for way in WAYS:
        assert f"| {way}, mean_abs " in page
    for effect in EFFECTS:
        assert f"| {effect.name} " in page
    assert page.endswith("Skipped: Adult: no network\n")


def test_the_guide_has_tables_of_the_page():
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
    section = guide.split("### What each default answers\n")[1].split("\n#")[0]
    page = Path(defaults.__file__).with_name("DEFAULTS.md").read_text(encoding="utf-8").splitlines()
    tables = [line for line in section.splitlines() if line.startswith("|")]
    assert len(tables) > 15
    assert set(tables) <= set(page)
