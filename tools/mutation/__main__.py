"""``python -m tools.mutation learn``, then ``run``, then ``report``; see tools/mutation/README.md."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Container
from pathlib import Path

from tools.mutation import covering
from tools.mutation.covering import Covering
from tools.mutation.mutants import Mutant, change, mutated, operators, run_with
from tools.mutation.remarks import equivalents, mark
from tools.mutation.report import write
from tools.mutation.results import Result, latest, store
from tools.mutation.sample import census
from tools.mutation.trials import Try, spread
from tools.mutation.verify import verify

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".mutation"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools.mutation")
    parser.add_argument("step", choices=["learn", "run", "report"])
    parser.add_argument("files", nargs="*", help="files of tests to learn, where only these have changed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--share", type=float, default=0.25, help="of the places of each file")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the draw; raise it once tests were written for one"
    )
    parser.add_argument(
        "--only", action="append", help="modules with this in their path; several times for more"
    )
    parser.add_argument("--again", action="store_true", help="try those again that were not killed")
    given = parser.parse_intermixed_args()
    if given.step == "learn":
        learnt = covering.learn(ROOT, FOLDER, given.workers, given.files)
        verify(ROOT, FOLDER, given.workers, learnt)
        return
    kinds = operators()
    counted = census(ROOT, kinds, given.seed, given.only or [""])
    drawn = counted.drawn(given.share)
    if given.step == "report":
        write(ROOT, FOLDER, counted, drawn, given.seed)
        return
    known = covering.known(ROOT, FOLDER, [*counted.places])
    done, remarks = latest(FOLDER), equivalents()
    work: list[Callable[[Try], None]] = []

    def task(number: int, mutant: Mutant, source: str) -> Callable[[Try], None]:
        def piece(attempt: Try) -> None:
            text = mutated(source, kinds[mutant.operator], mutant.occurrence)
            before, after = change(source, text or source)
            outcome, by, cpu_s = (
                tried(attempt, known, mutant, source, text, number) if text else ("not made", "", 0.0)
            )
            result = Result(
                mutant.key(source),
                mutant.path,
                mutant.line,
                mutant.operator,
                before,
                after,
                outcome,
                by,
                cpu_s,
            )
            store(FOLDER, result)
            print(f"{number + 1}/{len(drawn)} {outcome} {mutant.path}:{mutant.line} {after[:90]}", flush=True)

        return piece

    for number, mutant in enumerate(drawn):
        source = (ROOT / mutant.path).read_text()
        before = done.get(mutant.key(source))
        if before is None or (given.again and worth_another(before, remarks)):
            work.append(task(number, mutant, source))
    spread(ROOT, given.workers, work)


def worth_another(result: Result, remarks: Container[tuple[str, str, str]]) -> bool:
    """Whether a new test may have changed what became of a mutant."""
    return result.outcome in ("survived", "timeout", "no test") and mark(result) not in remarks


def tried(
    attempt: Try, known: Covering, mutant: Mutant, source: str, text: str, number: int
) -> tuple[str, str, float]:
    """What became of a mutant: the outcome, the test that killed it, and the seconds of processor that took."""
    spent, outcome = 0.0, "no test"
    for tests in known.stages(mutant.path, run_with(source, mutant.line)):
        answer = attempt(mutant.path, text, number, tests, sum(map(known.seconds.__getitem__, tests)))
        if answer["outcome"] == "crashed":
            answer = attempt(mutant.path, text, number, tests, sum(map(known.seconds.__getitem__, tests)))
        spent += answer["cpu_s"]
        outcome = answer["outcome"]
        if outcome != "survived":
            return outcome, answer["by"], spent
    return outcome, "", spent


if __name__ == "__main__":
    main()
