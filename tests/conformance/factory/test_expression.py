"""Expressions: the examples of docs/expressions.md, documented ones, and random ones against a model."""

import datetime
import pathlib
import random
import re
import zoneinfo

import pytest
from support.factory_dump import ask, expressions

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
MICRO = datetime.timedelta(microseconds=1)
PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs" / "expressions.md"
FORMATTED = datetime.datetime(2009, 6, 15, 13, 45, 30, 91205, tzinfo=UTC)


def formatted(pairs):
    """Each (time, is UTC, format) as text."""
    questions = [
        ["format", (time - EPOCH) // MICRO, int(is_utc), text.encode().hex()]
        for time, is_utc, text in pairs
    ]
    answers = ask(questions)
    assert all(answer[0] == "ok" for answer in answers), answers
    return [bytes.fromhex(answer[1]).decode() for answer in answers]


# ---- the page ----


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def quoted(cell):
    found = re.fullmatch(r"`(.*)`", cell)
    return found and found.group(1)


def examples():
    """[(expression, value)] and [(format, text)] of the page's tables."""
    found, formats, table = [], [], ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            table = ""
        elif not table:
            table = cells(line)[0]
        elif table == "format" and not line.startswith("|--"):
            first = cells(line)
            formats += [tuple(map(quoted, first[:2])), tuple(map(quoted, first[3:]))]
        elif not line.startswith("|--"):
            found.append(tuple(map(quoted, cells(line)[:2])))
    return found, formats


def test_examples_of_the_page():
    found, _ = examples()
    assert len(found) > 85 and all(all(pair) for pair in found)
    answers = expressions("eval", [text for text, _ in found])
    assert [(text, *answer) for (text, _), answer in zip(found, answers)] == [
        (text, "ok", value) for text, value in found
    ]
    assert {status for status, *_ in expressions("check", [text for text, _ in found])} == {"ok"}


def test_formats_of_the_page():
    _, formats = examples()
    assert len(formats) > 40 and all(all(pair) for pair in formats)
    got = formatted([(FORMATTED, True, text) for text, _ in formats])
    assert list(zip([text for text, _ in formats], got)) == formats


def test_errors_of_the_page():
    blocks = re.findall(r"```error\n(.*?)\n---\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 3
    for text, shown in blocks:
        for kind in ("check", "eval"):
            ((status, message, hint),) = expressions(kind, [text])
            assert status == "invalid"
            assert shown == message + "\n" + (hint + "\n" if hint else "")


def test_all_functions_are_on_the_page():
    source = (PAGE.parents[1] / "src/factory/expression_functions.c").read_text(encoding="utf-8")
    names = re.findall(r'^    \{"(\w+)", +"\w*",', source, re.M)
    assert len(names) > 55
    text = " ".join(example for example, _ in examples()[0])
    assert [name for name in names if f"{name}(" not in text] == []


def test_without_windows():
    text = "@formatDateTime(trigger().outputs.windowStartTime)"
    ((status, message, hint),) = expressions("plain", [text])
    assert status == "invalid" and "tumbling windows only" in message and "scheduledTime" in hint


# ---- what Microsoft's pages give as examples, beside those on our page ----

DOCUMENTED = [
    ("@utcNow('D')", "Thursday, October 29, 2026"),
    ("@addHours('2018-03-15T00:00:00Z', 10)", "2018-03-15T10:00:00.0000000Z"),
    ("@addHours('2018-03-15T15:00:00Z', -5)", "2018-03-15T10:00:00.0000000Z"),
    ("@addDays('2018-03-15T00:00:00Z', -5)", "2018-03-10T00:00:00.0000000Z"),
    ("@addMinutes('2018-03-15T00:10:00Z', 10)", "2018-03-15T00:20:00.0000000Z"),
    ("@addSeconds('2018-03-15T00:00:00Z', 10)", "2018-03-15T00:00:10.0000000Z"),
    ("@addToTime('2018-01-01T00:00:00Z', 1, 'Day')", "2018-01-02T00:00:00.0000000Z"),
    ("@addToTime('2018-01-01T00:00:00Z', 1, 'Day', 'D')", "Tuesday, January 2, 2018"),
    (
        "@convertFromUtc('2018-01-01T08:00:00.0000000Z', 'Pacific Standard Time', 'D')",
        "Monday, January 1, 2018",
    ),
    (
        "@convertTimeZone('2018-01-01T08:00:00.0000000Z', 'UTC', 'Pacific Standard Time')",
        "2018-01-01T00:00:00.0000000",
    ),
    ("@convertToUtc('01/01/2018 00:00:00', 'Pacific Standard Time', 'D')", "Monday, January 1, 2018"),
    ("@subtractFromTime('2018-01-02T00:00:00Z', 1, 'Day', 'D')", "Monday, January 1, 2018"),
    ("@formatDateTime('01/31/2016', 'dddd MMMM d')", "Sunday January 31"),
    ("@formatDateTime('03/15/2018')", "2018-03-15T00:00:00.0000000"),
    ("@coalesce(null, true, false)", "true"),
    ("@coalesce(null, 'hello', 'world')", "hello"),
    ("@coalesce(null, null, null)", ""),
    ("@contains('hello world', 'universe')", "false"),
    ("@endsWith('hello world', 'universe')", "false"),
    ("@equals(true, 1)", "true"),
    ("@greater(5, 10)", "false"),
    ("@greater('apple', 'banana')", "false"),
    ("@greaterOrEquals('apple', 'banana')", "false"),
    ("@less(10, 5)", "false"),
    ("@less('banana', 'apple')", "false"),
    ("@lessOrEquals('apply', 'apple')", "false"),
    ("@div(10, 5)", "2"),
    ("@div(11, 5)", "2"),
    ("@mul(1.5, 2)", "3"),
    ("@add(1, 1.5)", "2.5"),
    ("@not(false)", "true"),
    ("@or(equals(1, 1), equals(1, 2))", "true"),
    ("@trim(' Hello World ')", "Hello World"),
    ("Answer is: @{pipeline().parameters.BatchSize}", "Answer is: 200"),
    ("@concat('Answer is: ', string(pipeline().parameters.BatchSize))", "Answer is: 200"),
    ("Answer is: @@{pipeline().parameters.BatchSize}", "Answer is: @{pipeline().parameters.BatchSize}"),
    ("@@", "@"),
    (" @", " @"),
]


def test_documented_examples():
    answers = expressions("eval", [text for text, _ in DOCUMENTED])
    got = [(text, *answer[:2]) for (text, _), answer in zip(DOCUMENTED, answers)]
    assert got == [(text, "ok", value) for text, value in DOCUMENTED]


# ---- formats against a model ----

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = (
    "January February March April May June July August September October November December".split()
)
FIELDS = {
    "d": lambda t: str(t.day),
    "dd": lambda t: f"{t.day:02}",
    "ddd": lambda t: DAYS[t.weekday()][:3],
    "dddd": lambda t: DAYS[t.weekday()],
    "M": lambda t: str(t.month),
    "MM": lambda t: f"{t.month:02}",
    "MMM": lambda t: MONTHS[t.month - 1][:3],
    "MMMM": lambda t: MONTHS[t.month - 1],
    "yy": lambda t: f"{t.year % 100:02}",
    "yyyy": lambda t: f"{t.year:04}",
    "H": lambda t: str(t.hour),
    "HH": lambda t: f"{t.hour:02}",
    "h": lambda t: str((t.hour + 11) % 12 + 1),
    "hh": lambda t: f"{(t.hour + 11) % 12 + 1:02}",
    "m": lambda t: str(t.minute),
    "mm": lambda t: f"{t.minute:02}",
    "s": lambda t: str(t.second),
    "ss": lambda t: f"{t.second:02}",
    "tt": lambda t: "AM" if t.hour < 12 else "PM",
    "fff": lambda t: f"{t.microsecond // 1000:03}",
    "ffffff": lambda t: f"{t.microsecond:06}",
    "fffffff": lambda t: f"{t.microsecond:06}0",
    "FFFFFF": lambda t: f"{t.microsecond:06}".rstrip("0"),
}
LITERALS = ["-", "/", ":", " ", ", ", "_", "'T'", '"at"', "\\d", "'it\\'s'", "Q"]
MEANT = {"'T'": "T", '"at"': "at", "\\d": "d", "'it\\'s'": "it's"}


def some_time(source):
    return datetime.datetime(1, 1, 1, tzinfo=UTC) + datetime.timedelta(
        days=source.randrange(3650000),
        seconds=source.randrange(86400),
        microseconds=source.choice([0, 500000, 120, source.randrange(10**6)]),
    )


def test_random_formats():
    source = random.Random(11)
    pairs, wanted = [], []
    for _ in range(3000):
        time, text, want = some_time(source), "", ""
        for _ in range(source.randrange(1, 7)):
            field, literal = source.choice(list(FIELDS)), source.choice(LITERALS)
            text += field + literal
            want += FIELDS[field](time) + MEANT.get(literal, literal)
        pairs.append((time, source.random() < 0.5, text))
        wanted.append(want)
    got = formatted(pairs)
    assert [p for p, g, w in zip(pairs, got, wanted) if g != w] == []


# ---- random expressions against a model ----


def shown(time):
    return f"{time.year:04}-{time:%m-%dT%H:%M:%S}.{time.microsecond:06}0Z"


class Model:
    """Makes expressions and says what they give: (text, value)."""

    def __init__(self, source):
        self.source = source

    def text(self, depth):
        pick = self.source.randrange(8) if depth > 0 else 0
        if pick == 0:
            value = "".join(self.source.choice("ab'@{}, üX") for _ in range(self.source.randrange(6)))
            return "'" + value.replace("'", "''") + "'", value
        if pick == 1:
            parts = [self.any(depth - 1) for _ in range(self.source.randrange(1, 4))]
            return f"concat({', '.join(p for p, _ in parts)})", "".join(as_text(v) for _, v in parts)
        if pick == 2:
            of, value = self.text(depth - 1)
            return f"toUpper({of})", value.upper()
        if pick == 3:
            of, value = self.text(depth - 1)
            with_text, with_value = self.text(depth - 1)
            return f"replace({of}, 'a', {with_text})", value.replace("a", with_value)
        if pick == 4:
            of, value = self.text(depth - 1)
            start = self.source.randrange(len(value) + 1)
            count = self.source.randrange(len(value) - start + 1)
            return f"substring({of}, {start}, {count})", value[start : start + count]
        if pick == 5:
            of, value = self.text(depth - 1)
            parts = value.split(",")
            i = self.source.randrange(len(parts))
            return f"split({of}, ',')[{i}]", parts[i]
        if pick == 6:
            condition, truth = self.truth(depth - 1)
            yes, no = self.text(depth - 1), self.text(depth - 1)
            return f"if({condition}, {yes[0]}, {no[0]})", yes[1] if truth else no[1]
        return self.time(depth - 1)

    def time(self, depth):
        pick = self.source.randrange(4) if depth > 0 else 0
        at = some_time(self.source).replace(year=self.source.randrange(1900, 2200), day=9)
        if pick == 0:
            return f"formatDateTime('{shown(at)}')", shown(at)
        if pick == 1:
            unit = self.source.choice(["Days", "Hours", "Minutes", "Seconds"])
            count = self.source.randrange(-10000, 10000)
            after = at + datetime.timedelta(**{unit.lower(): count})
            return f"add{unit}('{shown(at)}', {count})", shown(after)
        if pick == 2:
            name = self.source.choice(["Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"])
            there = at.astimezone(zoneinfo.ZoneInfo(name)).replace(tzinfo=UTC)
            return f"convertFromUtc('{shown(at)}', '{name}')", shown(there)[:-1]
        start = at.replace(minute=0, second=0, microsecond=0)
        return f"startOfHour('{shown(at)}')", shown(start)

    def number(self, depth):
        pick = self.source.randrange(5) if depth > 0 else 0
        if pick == 0:
            value = self.source.randrange(-1000, 1000)
            return str(value), value
        if pick == 1:
            of, value = self.text(depth - 1)
            return f"length({of})", len(value)
        if pick == 2:
            of, value = self.text(depth - 1)
            return f"indexOf({of}, 'b')", value.lower().find("b")
        (a, x), (b, y) = self.number(depth - 1), self.number(depth - 1)
        name, value = self.source.choice(
            [("add", x + y), ("sub", x - y), ("mul", x * y), ("max", max(x, y)), ("min", min(x, y))]
            + ([("div", int(x / y)), ("mod", x - y * int(x / y))] if y and abs(x) < 2**50 else [])
        )
        if not -(2**63) <= value < 2**63:
            return a, x
        return f"{name}({a}, {b})", value

    def truth(self, depth):
        pick = self.source.randrange(5) if depth > 0 else 0
        if pick == 0:
            value = self.source.random() < 0.5
            return str(value).lower(), value
        if pick == 1:
            (a, x), (b, y) = self.number(depth - 1), self.number(depth - 1)
            name, value = self.source.choice(
                [("less", x < y), ("greater", x > y), ("equals", x == y), ("lessOrEquals", x <= y)]
            )
            return f"{name}({a}, {b})", value
        if pick == 2:
            (a, x), (b, y) = self.truth(depth - 1), self.truth(depth - 1)
            name, value = self.source.choice([("and", x and y), ("or", x or y)])
            return f"{name}({a}, {b})", value
        if pick == 3:
            of, value = self.truth(depth - 1)
            return f"not({of})", not value
        (a, x), (b, y) = self.text(depth - 1), self.text(depth - 1)
        return f"contains({a}, {b})", y in x

    def any(self, depth):
        return self.source.choice([self.text, self.number, self.truth, self.time])(depth)


def as_text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_random_expressions():
    model = Model(random.Random(12))
    made = []
    while len(made) < 4000:
        if model.source.random() < 0.3:
            (a, x), (b, y) = model.any(2), model.any(2)
            text, value = f"p@{{{a}}}q@{{ {b} }}", f"p{as_text(x)}q{as_text(y)}"
        else:
            text, value = model.any(4)
            text, value = "@" + text, as_text(value)
        if len(text.encode()) <= 8192:
            made.append((text, value))
    answers = expressions("eval", [text for text, _ in made])
    wrong = [
        (text, value, answer)
        for (text, value), answer in zip(made, answers)
        if answer != ("ok", value)
    ]
    assert wrong == []
    assert sum(len(text) > 100 for text, _ in made) > 500  # they are not all trivial
    checked = expressions("check", [text for text, _ in made])
    assert {status for status, *_ in checked} == {"ok"}


@pytest.mark.parametrize("seed", range(2))
def test_damaged_expressions_give_a_place(seed):
    source = random.Random(seed)
    model = Model(source)
    texts = []
    while len(texts) < 2000:
        text = "@" + model.any(3)[0]
        at = source.randrange(1, len(text))
        texts.append(
            source.choice(
                [text[:at], text[:at] + text[at + 1 :], text[:at] + source.choice("()[],.'@x1") + text[at:]]
            )
        )
    texts = [text for text in texts if len(text.encode()) <= 8192]
    refused = 0
    for text, (status, *rest) in zip(texts, expressions("eval", texts)):
        if status != "ok":
            refused += 1
            message = rest[0]
            assert status == "invalid", (text, message)
            line, caret = message.split("\n")[-2:]
            assert caret.endswith("^") and caret[:-1].strip() == "", (text, message)
            assert len(caret) <= len(line) + 1, (text, message)
            assert line.strip(".") in text, (text, message)
    assert refused > 1000
