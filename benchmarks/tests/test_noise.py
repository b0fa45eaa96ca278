"""The study of noise, in small: less error with the noise subtracted, intervals that cover, and known limits."""

import numpy as np
import pytest

from benchmarks.studies import noise


@pytest.fixture(scope="module")
def case():
    return noise.cases(noise.QUICK, tables=False)[0][0]


@pytest.fixture(scope="module")
def found(case):
    return {(one.n_samples, one.way): one for one in noise.study(case, noise.QUICK)}


def test_the_slopes_are_the_derivatives(case):
    X, step = case.X[:9], 1e-6
    for j in range(8):
        shift = step * (np.arange(8) == j)
        slope = (noise.function(X + shift) - noise.function(X - shift)) / (2 * step)
        np.testing.assert_allclose(slope, noise.slopes(X)[:, j], atol=1e-8)


def test_many_samples_lead_to_the_known_limit(case):
    local = noise.explain(case, case.X[:20], 40_000, None, "iid")
    np.testing.assert_allclose(
        noise.by_way(local, "plain").values, noise.of_slopes(noise.slopes(case.X[:20])), atol=0.01
    )


def test_less_noise_is_less_error(found):
    for n in noise.QUICK.sizes:
        plain, debias, significant = (found[n, way] for way in noise.WAYS)
        assert debias.error < plain.error / 2
        assert debias.null < plain.null / 4
        assert significant.error > plain.error
        assert 0.8 < plain.halves <= 1


def test_intervals_cover_the_value_of_endless_samples():
    plain, debias = noise.coverage(100, noise.QUICK)
    for share in (*debias.endless, *debias.this, *plain.this):
        assert 0.8 < share < 0.98
    assert plain.endless[1] == 0


def test_sizes_have_their_theory():
    rows = noise.sizes(noise.QUICK)
    assert rows[0].theory == pytest.approx(0, abs=1e-12)
    assert max(abs(row.debiased) for row in rows) < 0.4 < rows[0].plain


def test_quick_study_prints_its_report(capsys):
    assert noise.main(["--quick"]) == 0
    page = capsys.readouterr().out
    assert "| function | all | 100 | debias " in page
    assert "80% removed" in page
