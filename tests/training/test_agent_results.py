"""What evaluations of an agent come to: the highest is best, and what is passed is said once."""

import json

import pytest
from heard_results import HeardResults

from rlmaster.training.agent_results import AgentResults
from rlmaster.training.playing import Returns

RANDOM, HUMAN = -20.7, 14.6  # in Pong
MEANS = [-21.0, -20.0, -21.0, 15.0, 14.0, *[0.0] * 12, 18.0]


def returns(mean: float, game: str = "pong") -> Returns:
    return Returns(game, (mean - 1, mean + 1), (900, 1100))


def results() -> tuple[AgentResults, HeardResults]:
    heard = HeardResults()
    return AgentResults(heard.as_recording), heard


def measured(means: list[float], done: AgentResults, first_step: int = 100) -> list[bool]:
    steps = range(first_step, first_step + 100 * len(means), 100)
    return [done.add(step, returns(mean)) for step, mean in zip(steps, means, strict=True)]


def test_the_result_is_the_mean_of_the_last_three_and_the_highest_is_the_best() -> None:
    done, heard = results()
    done.begin(returns(-20.0))
    assert measured([-21.0, -19.0, -1.0, -5.0], done) == [False, True, True, False]
    assert heard.last == {
        "step": 400,
        "metric": "evaluation/return",
        "axis": "steps",
        "name": "mean return of 2 episodes",
        "value": pytest.approx(-25 / 3),
        "before": -20.0,
        "best": -1.0,
        "higher_is_better": True,
        "evaluation/median_return": pytest.approx(-25 / 3),
        "evaluation/episode_steps": 1000.0,
        "evaluation/human_normalised": pytest.approx((-25 / 3 - RANDOM) / (HUMAN - RANDOM)),
    }
    assert done.best_step == 300
    assert [heard.curves[step]["evaluation/return"] for step in (0, 100, 200)] == [-20, -21, -19]


def test_events_are_the_best_the_first_above_a_reference_and_a_plateau() -> None:
    done, heard = results()
    done.begin(returns(-20.5))  # above random play already, by luck and not by learning
    measured(MEANS, done)
    assert heard.events == [
        ("new_best", 200, "mean return -20.0, the highest so far"),
        ("above_random", 200, "first mean return above the random agent's -20.7: -20.0"),
        ("new_best", 400, "mean return 15.0, the highest so far"),
        ("above_human", 400, "first mean return above the human tester's 14.6: 15.0"),
        (
            "plateau",
            1400,
            "10 evaluations without a new best; the highest mean return is 15.0, of step 400",
        ),
        ("new_best", 1800, "mean return 18.0, the highest so far"),
    ]
    assert heard.values[:2] == [{"mean_return": -20.0}] * 2


def test_a_game_without_reference_scores_has_neither_event_nor_curve() -> None:
    done, heard = results()
    done.begin(returns(0.0, "adventure"))
    done.add(100, returns(1e6, "adventure"))
    assert heard.kinds == [("new_best", 100)]
    assert "evaluation/human_normalised" not in heard.last


@pytest.mark.parametrize("cut_at", range(0, len(MEANS), 3))
def test_a_resume_judges_on_as_if_nothing_had_happened(cut_at: int) -> None:
    whole, heard_whole = results()
    whole.begin(returns(-20.5))
    measured(MEANS, whole)
    first, heard_first = results()
    first.begin(returns(-20.5))
    measured(MEANS[:cut_at], first)
    second, heard_second = results()
    second.restore(json.loads(json.dumps(first.state())))
    assert heard_second.last == heard_first.last
    measured(MEANS[cut_at:], second, 100 + 100 * cut_at)
    assert heard_first.events + heard_second.events == heard_whole.events
    assert heard_second.last == heard_whole.last
    assert second.state() == whole.state()


def test_a_branch_passes_only_what_it_did_not_begin_above() -> None:
    parent, _ = results()
    parent.begin(returns(-21.0))
    measured([15.0], parent)
    branch, heard = results()
    branch.restore(json.loads(json.dumps(parent.state())))
    branch.begin_branch(100, returns(-10.0))
    assert (heard.last["best"], heard.last["before"], branch.best_step) == (-10.0, -21.0, 100)
    assert measured([-9.0, 16.0], branch, first_step=200) == [True, True]
    assert heard.kinds == [("new_best", 200), ("new_best", 300), ("above_human", 300)]


def test_one_episode_is_called_one() -> None:
    done, heard = results()
    done.begin(Returns("pong", (1.0,), (900,)))
    done.add(1, Returns("pong", (2.0,), (900,)))
    assert heard.last["name"] == "mean return of 1 episode"
