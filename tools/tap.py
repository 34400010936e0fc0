"""Reading TAP: the cases of one test program, judged together with how it ended."""

import dataclasses
import re

LINE = re.compile(r"^(not )?ok\b(?: +(\d+))?(?: +-)? *(.*?)(?: +# *(skip|todo)\b *(.*))?$", re.I)
PLAN = re.compile(r"^1\.\.(\d+)\s*(?:#.*)?$")


@dataclasses.dataclass
class Case:
    name: str
    outcome: str  # passed, failed, skipped
    detail: str = ""
    seconds: float = 0


def parse(text, exit_code):
    """The cases in `text`; one more, failed, for each thing that is wrong with the whole."""
    cases, notes, plan = [], [], None
    for line in text.splitlines():
        if line.startswith("#"):
            notes.append(line)
            continue
        planned, found = PLAN.match(line), LINE.match(line)
        if planned:
            plan = int(planned.group(1))
        elif found:
            failed, _, name, directive, why = found.groups()
            outcome = "failed" if failed else "passed"
            if directive:
                outcome = "skipped"
                notes.append(why or "no reason given")
            cases.append(Case(name, outcome, "\n".join(notes)))
            notes = []
    wrong = []
    if plan is None:
        wrong.append("ended without its plan")
    elif plan != len(cases):
        wrong.append(f"planned {plan} cases and ran {len(cases)}")
    if not cases:
        wrong.append("ran no case")
    if exit_code != 0 and not any(case.outcome == "failed" for case in cases):
        wrong.append(f"exit code {exit_code} without a failed case")
    if wrong:
        cases.append(Case("the program as a whole", "failed", "\n".join(wrong + notes)))
    return cases
