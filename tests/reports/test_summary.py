import pytest

from rlmaster.reports.summary import metric_name, result_sentence, rounded
from rlmaster.run_folder import Progress


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        ({}, ""),
        ({"value": "soon"}, ""),
        ({"value": 10**400}, ""),
        ({"name": "pixel error", "metric": "a/b", "value": 1.5}, "Pixel error is 1.50."),
        ({"value": 1.5, "best": float("inf")}, "Result is 1.50."),
        ({"metric": "held_out/error", "value": 0.01}, "Held-out error is 0.0100."),
        (
            {"metric": "held_out/error", "value": 4.1e-4, "before": 0.0127, "best": 4e-4},
            "Held-out error fell from 0.0127 to 0.000410, a factor of 31; its best was 0.000400.",
        ),
        (
            {"metric": "evaluation/return", "value": 19.3, "before": -20.7, "unit": "points"},
            "Evaluation return rose from -20.7 to 19.3 (points).",
        ),
        (
            {
                "metric": "evaluation/return",
                "name": "mean return of 10 episodes",
                "value": 240.0,
                "before": 1.5,
                "best": 301.0,
                "higher_is_better": True,
                "evaluation/human_normalised": 8.28,
            },
            "Mean return of 10 episodes rose from 1.50 to 240; its best was 301. Human-normalised "
            "score 828% (random play is 0%, a human 100%).",
        ),
        (
            {
                "metric": "return",
                "value": -21.0,
                "before": -20.3,
                "evaluation/human_normalised": "much",
            },
            "Return fell from -20.3 to -21.",
        ),
        (
            {"metric": "score", "value": 2.0, "before": 1.0, "best": 2.0},
            "Score rose from 1 to 2, a factor of 2.0.",
        ),
        ({"metric": "loss", "value": 0.5, "before": 0.5}, "Loss stayed at 0.500."),
        ({"metric": "loss", "value": 0.5, "before": float("inf")}, "Loss is 0.500."),
        ({"metric": "loss", "value": float("nan"), "before": 0.5}, "Loss is not a finite number."),
        (
            {"metric": "loss", "value": 0.5, "canonical/ball_found": 0.873},
            "Loss is 0.500. The ball is found in 87% of the frames that show one.",
        ),
        ({"metric": "loss", "value": 0.5, "canonical/ball_found": "often"}, "Loss is 0.500."),
    ],
)
def test_the_result_is_one_plain_sentence(result, sentence):
    assert result_sentence(Progress(result=result)) == sentence


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12.0, "12"),
        (123456.0, "123,456"),
        (0.00012345, "0.000123"),
        (4.18e-5, "4.18e-05"),
    ],
)
def test_numbers_have_three_significant_digits(value, text):
    assert rounded(value) == text


def test_tags_become_words():
    assert metric_name("held_out/foreground_error") == "Held-out foreground error"
    assert metric_name("/") == "/"
