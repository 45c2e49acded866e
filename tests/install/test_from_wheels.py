"""`make wheels` goes on where it was interrupted, and a part of it leaves the rest of the table."""

from __future__ import annotations

from pathlib import Path

from install.from_wheels import Outcome, Outcomes, Runner, merged, read, write


def test_a_run_of_the_same_commit_goes_on(tmp_path: Path) -> None:
    kept = tmp_path / "outcomes.json"
    runner = Runner("base", tmp_path, tmp_path, Outcomes(kept, "abc"))
    write_line = ["sh", "-c", "echo x >> lines"]
    assert runner.run(write_line, "write")
    assert not runner.run(["sh", "-c", "exit 3"], "fail")
    again = Runner("base", tmp_path, tmp_path, Outcomes(kept, "abc"))
    assert again.run(write_line, "write")
    assert (tmp_path / "lines").read_text() == "x\n"
    assert again.run(["sh", "-c", "exit 0"], "fail")  # what failed is tried again
    assert [row.outcome for row in again.outcomes.all] == ["done", "done"]
    for other in ("def", "abc+"):  # of what is not committed nothing is known
        assert Outcomes(kept, other).all == []


def test_rows_of_other_environments_stay(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("environment,command,outcome\nbase,call,done\ntrain,train,done\n,make demo,not run: why\n")
    write(merged([Outcome("train", "train", "FAILED", "abc")], read(table), ["train"]), table)
    rows = [row for row in read(table) if row.environment]
    assert rows == [Outcome("base", "call", "done", ""), Outcome("train", "train", "FAILED", "abc")]
