"""The questionnaire: who sees what, what the page gives back, and what the analysis makes of it."""

import base64
import copy
import io
import json
import math
import re
import shutil
import sys
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from scipy import stats

from benchmarks.paper import questionnaire
from benchmarks.paper.questionnaire import METHODS, analyse, build, simulate

ANY = [[str(other) for other in range(10) if other != digit] for digit in range(10)]
EQUAL = dict.fromkeys(METHODS, 1.0)


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    return {name: scale * rng.random((10, 784)) for name, scale in zip(METHODS, (1e-3, 1, 20, 1e6), strict=True)}


@pytest.fixture
def means():
    return np.random.default_rng(1).random((10, 784))


def read(path):
    """Return what surrounds the data of a page, and the data."""
    before, data, after = re.split(
        r'(?<=<script type="application/json" id="data">)(.*?)(?=</script>)', path.read_text(encoding="utf-8")
    )
    return before + after, json.loads(data)


def votes_of(*rows):
    """Return answers of participants who give the methods these votes."""
    answers = simulate(len(rows), EQUAL, seed=0)
    for content, row in zip(answers, rows, strict=True):
        left = [name for name, n in zip(METHODS, row, strict=True) for _ in range(n)]
        for answer in content["answers"]:
            if answer["kind"] == "vote":
                answer["chosen"] = left.pop()
        assert not left
    return answers


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n_questions", "n_checks"), [(25, 5), (8, 2), (30, 0), (50, 12)])
def test_questions_are_balanced(n_questions, n_checks, seed):
    def is_even(counts, n):
        return len(counts) <= n and max(counts.values()) - (min(counts.values()) if len(counts) == n else 0) <= 1

    asked = questionnaire.questions(ANY, seed, n_questions, n_checks)
    votes, checks = ([question for question in asked if question.kind == kind] for kind in ("vote", "check"))
    assert (len(votes), len(checks)) == (n_questions, n_checks)
    assert is_even(Counter(question.digit for question in votes), 10)
    assert all(one.digit != other.digit for one, other in pairwise(votes))
    assert is_even(Counter(question.shown for question in votes), 24)
    for place in range(4):
        assert is_even(Counter(question.shown[place] for question in votes), 4)
    if checks:
        assert all(len(set(question.shown)) == 4 for question in checks)
        assert is_even(Counter(question.shown.index(str(question.digit)) for question in checks), 4)
        assert is_even(Counter(question.digit for question in checks), 10)


def test_checks_stand_anywhere_and_orders_follow_the_seed():
    all_asked = [questionnaire.questions(ANY, seed) for seed in range(200)]
    # a place has a check in 1 of 6 pages: 200 pages leave one of 30 without with a chance of 30 * (5/6)^200 < 1e-14
    assert {place for asked in all_asked for place, question in enumerate(asked) if question.kind == "check"} == {
        *range(30)
    }
    assert len({tuple(asked) for asked in all_asked}) == 200
    assert questionnaire.questions(ANY, 3) == all_asked[3]


def test_page_is_one_file_that_shows_the_maps(maps, means, tmp_path):
    build(maps, means, tmp_path / "page.html", seed=4)
    text, data = read(tmp_path / "page.html")
    assert not re.search(r"https?:|//[a-z]|<link|src=|@import|url\(", text)
    assert all(picture.startswith("data:image/png;base64,") for picture in [*data["means"], data["colours"]])
    for name, rows in {**maps, "means": means}.items():
        for row, picture in zip(rows, data["means"] if name == "means" else data["maps"][name], strict=True):
            png = base64.b64decode(picture.removeprefix("data:image/png;base64,"))
            shown = matplotlib.image.imread(io.BytesIO(png))
            np.testing.assert_allclose(
                shown, matplotlib.colormaps["cividis"]((row / row.max()).reshape(28, 28)), atol=1 / 255
            )
    build(maps, means, tmp_path / "again.html", seed=4)
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "page.html").read_bytes()
    build(maps, means, tmp_path / "other.html", seed=5)
    other = read(tmp_path / "other.html")[1]
    assert other["page"] == data["page"]
    assert other["questions"] != data["questions"]
    build(maps, means + 1, tmp_path / "other.html", seed=4)
    assert read(tmp_path / "other.html")[1]["page"] != data["page"]


def test_checks_show_digits_that_look_different(maps, tmp_path):
    """Digits c and c + 1 of ten waves look alike, c and c + 5 are opposites."""
    waves = [1 + np.cos(2 * np.pi * (np.arange(784) / 28 - digit / 10)) for digit in range(10)]
    build(maps, np.array(waves), tmp_path / "page.html", seed=0, n_checks=20)
    checks = [question for question in read(tmp_path / "page.html")[1]["questions"] if question["kind"] == "check"]
    apart = {(int(shown) - check["digit"]) % 10 for check in checks for shown in check["shown"]}
    assert apart == {0, 3, 4, 5, 6, 7}


@pytest.mark.parametrize("bad", [np.zeros((10, 28, 28)), -np.ones((10, 784)), np.full((10, 784), np.nan)])
def test_maps_are_checked(maps, means, tmp_path, bad):
    with pytest.raises(ValueError, match=r"VarGrad: class maps are \(10, 784\)"):
        build({**maps, "VarGrad": bad}, means, tmp_path / "page.html", seed=0)
    with pytest.raises(ValueError, match="means: class maps"):
        build(maps, bad, tmp_path / "page.html", seed=0)


def test_analysis_of_votes_counted_by_hand():
    counts = np.array([[13, 4, 5, 3], [10, 7, 6, 2], [16, 3, 2, 4], [9, 8, 7, 1], [12, 5, 6, 2]])
    found = analyse(votes_of(*counts))
    assert [tuple(row.values()) for row in found.votes.values()] == [tuple(row) for row in counts]
    n, k = counts.shape
    mean = counts.mean(axis=0)
    within = counts.var(axis=0, ddof=1).mean()
    f = n * mean.var(ddof=1) / within
    assert found.anova == pytest.approx((f, stats.f.sf(f, k - 1, k * (n - 1))))
    ranks = counts.argsort(axis=1).argsort(axis=1) + 1  # no ties within a row
    friedman = 12 / (n * k * (k + 1)) * (ranks.sum(axis=0) ** 2).sum() - 3 * n * (k + 1)
    assert found.friedman == pytest.approx((friedman, stats.chi2.sf(friedman, k - 1)))
    for column, row in zip(counts.T, found.means, strict=True):
        half = stats.t.ppf(0.975, n - 1) * column.std(ddof=1) / math.sqrt(n)
        assert row[1:] == pytest.approx((column.mean(), column.mean() - half, column.mean() + half))
    assert [pair[:2] for pair in found.pairs] == [(METHODS[i], METHODS[j]) for i in range(k) for j in range(i + 1, k)]
    for pair in found.pairs:
        i, j = METHODS.index(pair.first), METHODS.index(pair.second)
        error = math.sqrt(within / n)
        half = stats.studentized_range.ppf(0.95, k, k * (n - 1)) * error
        difference = mean[i] - mean[j]
        assert pair[2:5] == pytest.approx((difference, difference - half, difference + half))
        assert pair.p_tukey == pytest.approx(stats.studentized_range.sf(abs(difference) / error, k, k * (n - 1)))
        apart = counts[:, i] - counts[:, j]
        t = difference / (apart.std(ddof=1) / math.sqrt(n))
        assert pair.p_paired == pytest.approx(min(1, 6 * 2 * stats.t.sf(abs(t), n - 1)))
    assert re.search(r"^NormLIME - LIME +6\.60 +\S+ to \S+ +\S+ +\S+$", str(found), re.MULTILINE)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["pairs"][0]["difference"] == pytest.approx(6.6)


def test_who_fails_two_checks_is_excluded():
    answers = simulate(8, EQUAL, seed=0)
    for failed, content in enumerate(answers[:6]):
        for answer in [answer for answer in content["answers"] if answer["kind"] == "check"][:failed]:
            wrong = next(name for name in answer["shown"] if name != str(answer["digit"]))
            answer.update(chosen=wrong, passed=False)
    found = analyse(answers)
    assert found.excluded == [f"simulated {number}" for number in (2, 3, 4, 5)]
    assert list(found.votes) == [f"simulated {number}" for number in (0, 1, 6, 7)]


def test_careless_participants_are_excluded():
    """With one right answer in four, 63 in 64 fail two of five checks: of 200, 197 with a standard deviation of 1.8."""
    found = analyse(simulate(210, EQUAL, seed=1, careless=200))
    assert set(found.votes) >= {f"simulated {number}" for number in range(10)}
    assert 197 - 4 * 1.8 < len(found.excluded) <= 200


def test_where_all_vote_alike_there_is_no_number():
    found = analyse(votes_of(*[[7, 6, 6, 6]] * 3))
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["pairs"][0]["p_paired"] in (None, 0)
    assert "NormLIME" in str(found)


def test_false_positives():
    """Friedman's test keeps its level, the ANOVA does not.

    F is k / (k - 1) times that of an analysis within participants, whose degrees of freedom are 3 and 3 (n - 1).
    """
    repetitions, n = 1000, 40
    anova, friedman = questionnaire.false_positives(repetitions, n, seed=0)
    expected = stats.f.sf(3 / 4 * stats.f.ppf(0.95, 3, 4 * (n - 1)), 3, 3 * (n - 1))
    assert 0.11 < expected < 0.13
    for rate, level in ((anova, expected), (friedman, 0.05)):
        assert abs(rate - level) < 4 * math.sqrt(level * (1 - level) / repetitions)


@pytest.mark.parametrize("preferences", [EQUAL, questionnaire.PAPER], ids=["equal", "paper"])
def test_simulated_votes_follow_the_preferences(preferences):
    n = 300
    found = analyse(simulate(n, preferences, seed=2))
    for mean in found.means:
        chance = preferences[mean.method] / sum(preferences.values())
        assert abs(mean.mean / 25 - chance) < 4 * math.sqrt(chance * (1 - chance) / (25 * n))


def test_the_effect_of_the_paper_is_found():
    found = analyse(simulate(83, questionnaire.PAPER, seed=0, careless=5))
    assert found.friedman.p < 1e-9
    for pair in found.pairs[:3]:
        assert pair.first == "NormLIME"
        assert pair.low > 0
        assert max(pair.p_tukey, pair.p_paired) < 1e-9


def without(key):
    return lambda content: content.pop(key)


def in_first(**changes):
    """Change the first question, which is a vote."""
    return lambda content: content["answers"][0].update(changes)


def in_check(**changes):
    return lambda content: next(one for one in content["answers"] if one["kind"] == "check").update(changes)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("page"), "lacks page"),
        (without("answers"), "lacks answers"),
        (lambda content: content.update(version=2), "is of version 2, not 1"),
        (lambda content: content.update(participant=3), "page or participant is not text"),
        (lambda content: content.update(answers=3), "answers are not a list"),
        (lambda content: content.update(answers=[]), "has no votes"),
        (lambda content: content.update(answers=[3]), "question 1 is not"),
        (lambda content: content.update(page="other"), "other maps"),
        (lambda content: content["answers"].pop(), "another number of questions"),
        (lambda content: content.update(participant="simulated 0"), "participant simulated 0 answered already"),
        (in_first(chosen=None), "question 1 is not"),
        (in_first(chosen="SHAP"), "question 1 is not"),
        (in_first(shown=[*METHODS[:3], "SHAP"]), "question 1 is not"),
        (in_first(shown=[*METHODS, "LIME"]), "question 1 is not"),
        (in_first(shown="NormLIME"), "question 1 is not"),
        (in_first(kind="other"), "question 1 is not"),
        (in_first(digit=10), "question 1 is not"),
        (in_first(seconds="3"), "question 1 is not"),
        (in_check(passed=False), "is not answered as the page does"),
        (in_check(chosen="?"), "is not answered as the page does"),
    ],
)
def test_bad_answers_are_named(spoil, message, tmp_path):
    answers = copy.deepcopy(simulate(3, EQUAL, seed=0))
    assert answers[1]["answers"][0]["kind"] == "vote"
    spoil(answers[1])
    for number, content in enumerate(answers):
        (tmp_path / f"{number}.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"\A1\.json: .*{message}.*\Z"):
        analyse(tmp_path)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({}, "no answers"),
        ({"a.json": b"{"}, "a.json: not JSON"),
        ({"a.json": b"\xff\xfe"}, "a.json: not JSON"),
        ({"a.json": b"[1]"}, "a.json: not an object"),
        ({"a.json": json.dumps(simulate(1, EQUAL, 0)[0]).encode()}, "1 participants are left, 0 are excluded"),
    ],
)
def test_command_line_says_what_is_wrong_in_a_line(contents, message, tmp_path, monkeypatch):
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(sys, "argv", ["questionnaire", str(tmp_path)])
    with pytest.raises(SystemExit, match=rf"\A.*{message}.*\Z"):
        questionnaire.main()


def test_command_line_prints_table_and_json(tmp_path, monkeypatch, capsys):
    answers = simulate(12, EQUAL, seed=0, careless=2)
    for number, content in enumerate(answers):
        (tmp_path / f"{number:02}.json").write_text(json.dumps(content), encoding="utf-8-sig")
    for options, expected in (([], str(analyse(answers))), (["--json"], analyse(answers).to_json())):
        monkeypatch.setattr(sys, "argv", ["questionnaire", str(tmp_path), *options])
        questionnaire.main()
        printed = capsys.readouterr().out
        assert (json.loads(printed) if options else printed.rstrip("\n")) == expected


def test_step_writes_page_and_simulated_analyses(maps, tmp_path, capsys):
    np.savez(tmp_path / "maps.npz", another=np.zeros(3), **maps)
    rng = np.random.default_rng(0)
    data = SimpleNamespace(X=rng.random((50, 784), dtype=np.float32), y=np.arange(50) % 10)
    study = SimpleNamespace(work=tmp_path, out=tmp_path / "out", data=data, plan=SimpleNamespace(voters=40))
    questionnaire.run(study)
    asked = read(study.out / "results" / "questionnaire.html")[1]["questions"]
    assert Counter(question["kind"] for question in asked) == {"vote": 25, "check": 5}
    results = (study.out / "results" / "questionnaire.jsonl").read_text(encoding="utf-8").splitlines()
    equal, paper, rates = map(json.loads, results)
    assert all(line["simulated"] is True for line in (equal, paper, rates))
    assert equal["participants"] + len(equal["excluded"]) == paper["participants"] + len(paper["excluded"]) == 40
    assert equal["friedman"]["p"] > paper["friedman"]["p"]
    assert rates["false positives at 0.05"]["anova"] > rates["false positives at 0.05"]["friedman"]
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_page_in_a_browser(maps, means, tmp_path):
    """Answered by the keyboard alone: nothing goes on without an answer, changed answers count, and all arrive."""
    playwright = pytest.importorskip("playwright.sync_api")
    browser = shutil.which("chromium") or shutil.which("google-chrome") or pytest.skip("no browser")
    build(maps, means, tmp_path / "page.html", seed=6)
    asked = read(tmp_path / "page.html")[1]["questions"]
    answers = tmp_path / "answers"
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        for right in (0, 1):
            page = chromium.new_page(viewport={"width": 360, "height": 640})
            problems, requests = [], []
            page.on("pageerror", lambda error, problems=problems: problems.append(str(error)))
            page.on("console", lambda message, problems=problems: problems.append(message.text))
            page.on("request", lambda request, requests=requests: requests.append(request.url))
            page.goto((tmp_path / "page.html").as_uri())
            download = answer_all(page, asked, right)
            download.save_as(answers / download.suggested_filename)
            assert page.locator("#json").input_value() == (answers / download.suggested_filename).read_text("utf-8")
            assert not problems
            assert [url for url in requests if not url.startswith(("data:", "blob:"))] == requests[:1]
            page.close()
        chromium.close()
    found = analyse(answers)
    assert not found.excluded
    for path in answers.iterdir():
        content = json.loads(path.read_text(encoding="utf-8"))
        assert path.name == f"answers-{content['participant']}.json"
        given = content["answers"]
        assert [{key: answer[key] for key in ("kind", "digit", "shown")} for answer in given] == asked
        assert sum(answer["seconds"] for answer in given) > 0
        assert {answer["chosen"] for answer in given if answer["kind"] == "vote"} <= {"LIME", "VarGrad"}
    assert {tuple(row.values()) for row in found.votes.values()} == {(0, 25, 0, 0), (0, 24, 0, 1)}


def answer_all(page, asked, changed):
    """Choose LIME, and what the checks ask for; go back and, if `changed`, choose VarGrad in the first vote."""
    text = page.evaluate("document.body.innerText")
    page.locator("#begin").press("Enter")
    for number, question in enumerate(asked):
        text += page.evaluate("document.body.innerText")
        assert page.locator("#place").text_content() == f"{number + 1} of {len(asked)}"
        assert page.evaluate("document.activeElement.id") == "question"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator("#next").press("Enter")
        assert page.locator("#error").text_content() == "Please choose a map."
        wanted = "LIME" if question["kind"] == "vote" else str(question["digit"])
        page.keyboard.press("Space")  # the first, which has the focus now
        for _ in range(question["shown"].index(wanted)):
            page.keyboard.press("ArrowRight")
        if number + 1 < len(asked):
            page.keyboard.press("Enter")
    first = next(number for number, question in enumerate(asked) if question["kind"] == "vote")
    for _ in range(len(asked) - 1 - first):
        page.locator("#back").press("Enter")
    assert page.locator("input:checked").input_value() == str(asked[first]["shown"].index("LIME"))
    if changed:
        page.locator("input").nth(asked[first]["shown"].index("VarGrad")).check()
    for _ in range(len(asked) - first):
        page.locator("#next").press("Enter")
    assert page.locator("#end h1").is_visible()
    assert not any(name in text for name in METHODS)
    with page.expect_download() as download:
        page.locator("#download").press("Enter")
    return download.value
