import pytest

from rlmaster.errors import SpecificationError
from rlmaster.grid import MOST_RUNS, as_typed, combinations, number_of_runs, split_values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("64", ["64"]),
        ("", [""]),
        ("1,2,3", ["1", "2", "3"]),
        (" 1 , 2 ", ["1", "2"]),
        ("1,2,1", ["1", "2"]),
        ("[32,64,64]", ["[32,64,64]"]),
        ("[1,2],[3,4]", ["[1,2]", "[3,4]"]),
        ('"a,b",c', ["a,b", "c"]),
        ('["x,y"],["z"]', ['["x,y"]', '["z"]']),
        ('"say \\"a,b\\""', ['say "a,b"']),
        ('"never closed, so it is text', ['"never closed, so it is text']),
    ],
)
def test_a_text_is_split_at_its_own_commas(text, values):
    assert split_values(text) == values


def test_lists_make_every_combination_and_the_last_changes_fastest():
    assert combinations(["name=x", "a.b=1,2", "seed=3,4"]) == [
        ("name=x", "a.b=1", "seed=3"),
        ("name=x", "a.b=1", "seed=4"),
        ("name=x", "a.b=2", "seed=3"),
        ("name=x", "a.b=2", "seed=4"),
    ]


def test_nothing_to_change_is_one_run():
    assert combinations([]) == [()]
    assert number_of_runs([]) == 1


def test_the_later_assignment_to_a_field_counts():
    assert combinations(["seed=1,2", "seed=3"]) == [("seed=3",)]


def test_what_is_no_assignment_is_left_to_whoever_reads_it():
    assert combinations(["seed"]) == [("seed",)]


def test_an_empty_value_in_a_list_is_a_problem_of_its_field():
    with pytest.raises(SpecificationError, match="seed: there is an empty value in the list"):
        combinations(["seed=1,,2"])


def test_a_grid_that_is_far_too_large_is_refused_before_it_is_made():
    values = ",".join(map(str, range(MOST_RUNS)))
    assert number_of_runs([f"seed={values}"]) == MOST_RUNS
    with pytest.raises(SpecificationError, match="these lists make 1,000,000 runs"):
        combinations([f"seed={values}", f"training.updates={values}"])


@pytest.mark.parametrize("value", [True, None, 3, 0.5, "text", [32, 64]])
def test_a_value_is_written_as_one_would_type_it(value):
    typed = as_typed(value)
    assert split_values(typed) == [typed]
    assert typed == {True: "true", None: "null", "text": "text"}.get(
        value if not isinstance(value, list) else "", str(value)
    )
