"""Messages keep the facts they are made of: in errors, notes and warnings, across processes, on the command line."""

import copy
import pickle

import numpy as np
import pytest

import normlime_fast as nlf
from normlime_fast._cli.errors import in_options
from normlime_fast._cli.explain import _describe
from normlime_fast._messages import Message, ModelNote, Numbers, Term


@pytest.mark.parametrize(
    ("numbers", "text", "in_rows"),
    [
        ([0], "instance 0", "data row 1"),
        ([3, 4, 5], "instances 3 to 5", "data rows 4 to 6"),
        ([9, 0, 5], "instances 9, 0, 5", "data rows 10, 1, 6"),
        ([8, 1, 2, 3, 4, 5], "6 instances, the first 8, 1, 2, 3, 4", "6 data rows, the first 9, 2, 3, 4, 5"),
    ],
)
def test_numbers_in_words(numbers, text, in_rows):
    message = Message("around ", Numbers("instance", np.array(numbers)), ".")
    assert message == f"around {text}."
    assert in_options(message) == f"around {in_rows}."


@pytest.mark.parametrize("copied", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy])
def test_facts_go_along_with_copies(copied):
    note = ModelNote("", Term("predict"), " was working on ", Numbers("instance", np.array([2**63 + 1], np.uint64)))
    other = copied(note)
    assert (type(other), str(other)) == (ModelNote, f"predict was working on instance {2**63 + 1}")
    assert other.rows.values.tolist() == [2**63 + 1]
    assert in_options(other) == f"the model was working on data row {2**63 + 2}"


def test_messages_are_made_of_messages():
    one, other = Message(Term("n_jobs"), " or "), Message("1 ", Term("width"))
    assert in_options(Message(one, other)) == "--jobs or 1 --width"
    assert in_options(Message.joined("; ", [one, "and", other])) == "--jobs or ; and; 1 --width"
    assert in_options(Message.joined("; ", [])) == ""


def test_what_others_say_is_left_as_it_is():
    assert in_options(ValueError("n_jobs of instance 3")) == "n_jobs of instance 3"
    assert in_options(ValueError(Message(Term("n_jobs"), " of n_jobs"))) == "--jobs of n_jobs"


def test_an_error_of_the_model_names_rows_by_numbers():
    def broken(rows):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError) as caught:
        nlf.NormLIME(broken, nlf.Gaussian(1.0), n_features=2, rng=0).explain(np.eye(3), index=[7, 3, 5])
    notes = [note for note in caught.value.__notes__ if isinstance(note, ModelNote)]
    assert [(note.rows.of, note.rows.values.tolist()) for note in notes] == [("instance", [7, 3, 5])]


def test_the_command_line_tells_of_points_that_all_rows_share():
    def broken(rows):
        if len(rows) == 30:
            raise RuntimeError("no")
        return rows[:, 0]

    X = np.random.default_rng(0).normal(size=(30, 3))
    explainer = nlf.NormLIME(broken, nlf.Pool.from_data(X), n_features=2, n_samples=30, rng=0)
    with pytest.raises(RuntimeError) as caught:
        explainer.explain(X[:4])
    told = "the model raised RuntimeError: no (while predicting the points of the neighborhood)"
    assert _describe(caught.value) == told
