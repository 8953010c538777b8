"""What a data file for an expert must be, and what is said of one that is not."""
import json
import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "training/decoder"))
import expert                                                                                                  # noqa: E402


@pytest.mark.parametrize("line, told", [
    ("{", "Expecting property name"), ("[1]", "an object with a `text`"), ('{"text": 5}', "an object with a `text`"),
    ('{"text": "a", "difficulty": "hard"}', "a number from 0 to 1"), ('{"text": "a", "difficulty": 7}', "a number from 0 to 1"),
    ('{"text": "a", "outcomes": {"m": 2}}', "models and numbers"), ('{"text": "a", "split": "test"}', "train, select or held_out")])
def test_a_bad_line_is_named(tmp_path, line, told):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"text": "fine"}) + "\n\n" + line + "\n")
    with pytest.raises(SystemExit, match=f"rows.jsonl:3: .*{told}"):
        expert.read_rows(file)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SystemExit, match="none.jsonl: No such file"):
        expert.read_rows(tmp_path / "none.jsonl")


def test_rows_have_a_split():
    rows = expert.split([{"text": f"question {n}"} for n in range(200)])
    assert {row["split"] for row in rows} == {"train", "select", "held_out"}
