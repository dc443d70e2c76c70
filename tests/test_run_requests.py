from rlmaster.run_folder import RunFolder
from rlmaster.run_requests import ask_to_stop, stop_requests


def test_a_request_is_for_one_attempt_and_what_makes_no_sense_is_passed_over(tmp_path):
    run = RunFolder(tmp_path)
    first = ask_to_stop(run, attempt=1)
    second = ask_to_stop(run, attempt=2)
    (run.requests / "stop-half.json").write_text('{"id": "x"')
    (run.requests / "stop-other.json").write_text('{"id": "x", "of_a_later_version": 1}')

    assert stop_requests(run, attempt=1) == [first]
    assert stop_requests(run, attempt=2) == [second]
    assert stop_requests(run, attempt=3) == []
