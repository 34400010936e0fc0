"""Zones, schedules and windows against Python's zoneinfo and a model that counts them out.

The model shares nothing with the C code: it looks at each day (or minute) in turn, and finds the end of
a gap by asking zoneinfo for offsets.
"""

import calendar
import datetime
import functools
import pathlib
import random
import zoneinfo

import pytest
from support.factory_dump import ask

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
MICRO = datetime.timedelta(microseconds=1)
SECOND = datetime.timedelta(seconds=1)
NEVER = 2**63 - 1
MINUTE, HOUR, DAY, WEEK, MONTH = range(5)
HORIZON = datetime.datetime(2130, 1, 1, tzinfo=UTC)
RECURRENCES = 4000

# Clock changes of all kinds: by an hour, half an hour and two; at midnight; negative; a day left out;
# twice a year round Ramadan; given up.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/St_Johns",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Tehran",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Antarctica/Troll",
    "Pacific/Apia",
    "Pacific/Chatham",
]


def micros(time):
    return (time - EPOCH) // MICRO


def time_of(us):
    return EPOCH + us * MICRO


@functools.cache
def zone(name):
    return zoneinfo.ZoneInfo(name)


def moment(local, name):
    """The moment of a local time: the first of two; the first after a gap."""
    tz = zone(name)
    first = local.replace(tzinfo=tz, fold=0).astimezone(UTC)
    if first.astimezone(tz).replace(tzinfo=None) == local:
        return first
    low = local.replace(tzinfo=tz, fold=1).astimezone(UTC) - SECOND
    high = first
    before = low.astimezone(tz).utcoffset()
    low, high = low.replace(microsecond=0), high.replace(microsecond=0) + SECOND
    while high - low > SECOND:
        middle = low + (high - low) // 2 // SECOND * SECOND
        if middle.astimezone(tz).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


# ---- zones ----


@functools.cache
def changes(name):
    """Moments round which the zone's clocks change, found by asking once a day."""
    tz, found = zone(name), []
    day = datetime.datetime(1975, 1, 1, tzinfo=UTC)
    offset = day.astimezone(tz).utcoffset()
    while day.year < 2060:
        day += datetime.timedelta(days=1)
        now = day.astimezone(tz).utcoffset()
        if now != offset:
            found.append(day)
            offset = now
    return found


def some_times(source, name, count):
    """Half of them near a change."""
    for _ in range(count):
        near = changes(name) if name in ZONES else []
        if near and source.random() < 0.5:
            yield source.choice(near) + datetime.timedelta(
                seconds=source.randrange(-3 * 86400, 2 * 86400)
            )
        else:
            yield EPOCH + datetime.timedelta(seconds=source.randrange(-(10**9), 8 * 10**9))


def test_every_zone_tells_zoneinfos_local_time():
    source = random.Random(1)
    names = sorted(zoneinfo.available_timezones() - {"localtime"})
    assert len(names) > 400
    asked = [(name, time) for name in names for time in some_times(source, name, 60)]
    answers = ask([["local", name, micros(time)] for name, time in asked])
    for (name, time), answer in zip(asked, answers):
        local = time.astimezone(zone(name))
        weekday = local.isoweekday() % 7
        yearday = local.timetuple().tm_yday
        offset = int(local.utcoffset().total_seconds())
        want = [*local.timetuple()[:6], weekday, yearday, offset]
        assert [int(word) for word in answer] == want, (name, time)


def test_local_times_become_moments():
    source = random.Random(2)
    asked = []
    for name in ZONES:
        for time in some_times(source, name, 400):
            local = time.astimezone(zone(name)).replace(tzinfo=None)
            # Also what the zone leaves out or has twice.
            local += source.choice([0, 0, -1, 1, 2]) * datetime.timedelta(minutes=30)
            asked.append((name, local))
    answers = ask([["time", name, *local.timetuple()[:6]] for name, local in asked])
    for (name, local), (answer,) in zip(asked, answers):
        assert time_of(int(answer)) == moment(local, name), (name, local)


def test_windows_names_stand_for_zones_that_are_there():
    table = pathlib.Path(__file__).resolve().parents[3] / "src/factory/data/windows_zones.tsv"
    rows = [
        line.split("\t")
        for line in table.read_text(encoding="ascii").splitlines()
        if not line.startswith("#")
    ]
    assert len(rows) > 130
    summer = micros(datetime.datetime(2026, 7, 1, tzinfo=UTC))
    answers = ask([["local", name, summer] for row in rows for name in row])
    for i, row in enumerate(rows):
        assert answers[2 * i] == answers[2 * i + 1], row
        offset = time_of(summer).astimezone(zone(row[1])).utcoffset().total_seconds()
        assert int(answers[2 * i][8]) == offset, row


# ---- windows ----


def add_months(time, months):
    month = time.year * 12 + time.month - 1 + months
    year, month = divmod(month, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return time.replace(year=year, month=month + 1, day=min(time.day, last))


def window_start(start, frequency, interval, index):
    if frequency == MONTH:
        return add_months(start, interval * index)
    unit = {MINUTE: 60, HOUR: 3600, DAY: 86400}[frequency]
    return start + index * interval * unit * SECOND


def test_windows_are_where_the_model_has_them():
    source = random.Random(3)
    starts, held = [], []
    for _ in range(3000):
        start = datetime.datetime(2000, 1, 31, 6, 30, tzinfo=UTC) + datetime.timedelta(
            seconds=source.randrange(10**9)
        )
        frequency = source.choice([MINUTE, HOUR, DAY, MONTH])
        interval, index = source.randrange(1, 20), source.randrange(0, 200)
        begin = window_start(start, frequency, interval, index)
        end = window_start(start, frequency, interval, index + 1)
        starts.append((["start", micros(start), frequency, interval, index], micros(begin)))
        inside = begin + source.randrange((end - begin) // MICRO) * MICRO
        for time in (begin, inside, end - MICRO):
            held.append((["index", micros(start), frequency, interval, micros(time)], index))
    for cases in (starts, held):
        for (question, want), (answer,) in zip(cases, ask([question for question, _ in cases])):
            assert int(answer) == want, question


# ---- schedules ----


class Recurrence:
    def __init__(self, source):
        self.zone = source.choice(ZONES)
        self.frequency = source.choice([MINUTE, HOUR, HOUR, DAY, DAY, DAY, WEEK, WEEK, MONTH, MONTH])
        self.interval = source.choice([1, 1, 1, 2, 3, 5, source.randrange(1, 40)])
        self.start = next(some_times(source, self.zone, 1))
        if not 1980 <= self.start.year < 2040:
            self.start = self.start.replace(year=source.randrange(1980, 2040), day=5)
        self.end = None
        self.hours = self.minutes = self.weekdays = self.month_days = self.monthly = ()
        if self.frequency > HOUR and source.random() < 0.6:
            # Hours in which clocks change are the interesting ones.
            self.hours = source.sample([0, 1, 2, 3, 4, 23, source.randrange(5, 23)], source.randrange(1, 4))
        if self.frequency > MINUTE and source.random() < 0.6:
            self.minutes = source.sample(range(60), source.randrange(1, 5))
        if self.frequency == WEEK and source.random() < 0.7:
            self.weekdays = source.sample(range(7), source.randrange(1, 4))
        if self.frequency == MONTH and source.random() < 0.5:
            days = [*range(1, 32), *range(-31, 0)]
            self.month_days = source.sample(days, source.randrange(1, 4))
        if self.frequency == MONTH and source.random() < 0.4:
            self.monthly = [
                (source.randrange(7), source.choice([0, 1, 2, 3, 4, 5, -1, -2, -3, -4, -5]))
                for _ in range(source.randrange(1, 3))
            ]
        if source.random() < 0.2:
            self.end = self.start + datetime.timedelta(hours=source.randrange(1, 3000))

    def question(self, after, count):
        def numbers(values):
            return ",".join(str(value) for value in values) or "-"

        return [
            "next",
            self.zone,
            self.frequency,
            self.interval,
            micros(self.start),
            NEVER if self.end is None else micros(self.end),
            micros(after),
            count,
            numbers(self.hours),
            numbers(self.minutes),
            numbers(self.weekdays),
            numbers(self.month_days),
            ",".join(f"{weekday}/{occurrence}" for weekday, occurrence in self.monthly) or "-",
        ]

    # Each yields all firings in order, also those before the start.

    def elapsed(self, after):
        step = self.interval * (60 if self.frequency == MINUTE else 3600) * SECOND
        if not self.minutes:
            time = self.start + max(0, (after - self.start) // step - 1) * step
            while time < HORIZON:
                yield time
                time += step
            return
        local = self.start.astimezone(zone(self.zone))
        hour = self.start.replace(microsecond=0) - local.minute * 60 * SECOND - local.second * SECOND
        hour += max(0, (after - hour) // step - 1) * step
        while hour < HORIZON:
            for minute in range(60):
                time = hour + minute * 60 * SECOND
                if time.astimezone(zone(self.zone)).minute in self.minutes:
                    yield time
            hour += step

    def has_day(self, first, day):
        if self.frequency == DAY:
            return (day - first).days % self.interval == 0
        if self.frequency == WEEK:
            mondays = [d - datetime.timedelta(days=d.weekday()) for d in (first, day)]
            if (mondays[1] - mondays[0]).days // 7 % self.interval:
                return False
            wanted = self.weekdays or [first.isoweekday() % 7]
            return day.isoweekday() % 7 in wanted
        if ((day.year - first.year) * 12 + day.month - first.month) % self.interval:
            return False
        last = calendar.monthrange(day.year, day.month)[1]
        if not self.month_days and not self.monthly:
            return day.day == min(first.day, last)
        if day.day in self.month_days or day.day - last - 1 in self.month_days:
            return True
        same = [d for d in range(1, last + 1) if (d - day.day) % 7 == 0]
        place = same.index(day.day)
        places = {0, place + 1, place - len(same)}
        return any(
            weekday == day.isoweekday() % 7 and occurrence in places
            for weekday, occurrence in self.monthly
        )

    def by_day(self, after):
        start = self.start.astimezone(zone(self.zone)).replace(tzinfo=None)
        hours = self.hours or (range(24) if self.minutes else [start.hour])
        minutes = self.minutes or [start.minute]
        rest = (0, 0) if self.minutes else (start.second, start.microsecond)
        day = max(start.date(), after.date() - datetime.timedelta(days=3))
        while day.year < HORIZON.year:
            if self.has_day(start.date(), day):
                times = {
                    moment(datetime.datetime(day.year, day.month, day.day, h, m, *rest), self.zone)
                    for h in hours
                    for m in minutes
                }
                yield from sorted(times)
            day += datetime.timedelta(days=1)

    def firings(self, after, count):
        found, last = [], None
        for time in (self.elapsed if self.frequency < DAY else self.by_day)(after):
            if self.end is not None and time >= self.end:
                break
            if time > after and time >= self.start and time != last:
                found.append(time)
                last = time
            if len(found) == count:
                break
        return found


def cases(seed, count):
    source = random.Random(seed)
    for _ in range(count):
        recurrence = Recurrence(source)
        after = recurrence.start + datetime.timedelta(
            seconds=source.choice([-86400, -1, 0, source.randrange(3 * 10**7)])
        )
        near = [change for change in changes(recurrence.zone) if change > recurrence.start]
        if near and source.random() < 0.5:
            after = source.choice(near[:6]) - datetime.timedelta(hours=source.randrange(96))
        yield recurrence, after


@pytest.mark.parametrize("seed", range(4))
def test_schedules_fire_when_the_model_says(seed):
    chosen = list(cases(seed, RECURRENCES // 4))
    answers = ask([recurrence.question(after, 12) for recurrence, after in chosen])
    fired = 0
    for (recurrence, after), answer in zip(chosen, answers):
        if answer[0].startswith("recurrence:"):
            assert "never fires" in answer[0], (answer, vars(recurrence))
            before = recurrence.start - MICRO
            assert recurrence.firings(before, 1) == [], (answer, vars(recurrence))
            continue
        got = [int(word) for word in answer if int(word) != NEVER]
        # Past the model's horizon it does not know.
        got = [time for time in got if time_of(time) < HORIZON - datetime.timedelta(days=2)]
        want = [micros(time) for time in recurrence.firings(after, 12)]
        want = [time for time in want if time_of(time) < HORIZON - datetime.timedelta(days=2)]
        assert got == want, (vars(recurrence), after, [time_of(t) for t in got[:3]])
        fired += len(got)
    assert fired > 5000  # or nothing was tested


# Data Factory's documented examples: frequency, schedule, and what they say of it, from a start at
# 2026-01-01T03:07:00Z (a Thursday).
EXAMPLES = [
    (DAY, {"hours": [5]}, ["01T05:07", "02T05:07"]),
    (DAY, {"minutes": [15], "hours": [5]}, ["01T05:15", "02T05:15"]),
    (DAY, {"minutes": [15], "hours": [5, 17]}, ["01T05:15", "01T17:15", "02T05:15"]),
    (DAY, {"minutes": [15, 45], "hours": [5, 17]}, ["01T05:15", "01T05:45", "01T17:15", "01T17:45"]),
    (DAY, {"minutes": [0, 15, 30, 45]}, ["01T03:15", "01T03:30", "01T03:45", "01T04:00"]),
    (DAY, {"hours": [*range(24)]}, ["01T03:07", "01T04:07", "01T05:07"]),
    (DAY, {"minutes": [0]}, ["01T04:00", "01T05:00"]),
    (HOUR, {"minutes": [15]}, ["01T03:15", "01T04:15"]),
    (WEEK, {"hours": [17], "weekdays": [6]}, ["03T17:07", "10T17:07"]),
    (WEEK, {"hours": [17], "weekdays": [1, 3, 5]}, ["02T17:07", "05T17:07", "07T17:07"]),
    (WEEK, {"minutes": [0, 15, 30, 45], "weekdays": [1, 2, 3, 4, 5]}, ["01T03:15", "01T03:30"]),
    (WEEK, {"weekdays": [2, 4]}, ["01T03:07", "06T03:07", "08T03:07"]),
    (MONTH, {"minutes": [0], "hours": [6], "month_days": [28]}, ["28T06:00"]),
    (MONTH, {"minutes": [0], "hours": [6], "month_days": [-1]}, ["31T06:00"]),
    (MONTH, {"minutes": [0], "hours": [6], "month_days": [1, -1]}, ["01T06:00", "31T06:00"]),
    (MONTH, {"month_days": [1, 14]}, ["01T03:07", "14T03:07"]),
    (MONTH, {"minutes": [0], "hours": [5], "monthly": [(5, 1)]}, ["02T05:00"]),
    (MONTH, {"monthly": [(5, 1)]}, ["02T03:07"]),
    (MONTH, {"monthly": [(5, -3)]}, ["16T03:07"]),
    (MONTH, {"monthly": [(5, 1), (5, -1)]}, ["02T03:07", "30T03:07"]),
    (MONTH, {"monthly": [(5, 5)]}, ["30T03:07"]),
    (MONTH, {"minutes": [0, 15, 30, 45], "monthly": [(5, -1)]}, ["30T00:00", "30T00:15"]),
    (MONTH, {"minutes": [15, 45], "hours": [5, 17], "monthly": [(3, 3)]}, ["21T05:15", "21T05:45"]),
]


@pytest.mark.parametrize("frequency, schedule, want", EXAMPLES)
def test_documented_schedules(frequency, schedule, want):
    recurrence = Recurrence(random.Random(0))
    start = datetime.datetime(2026, 1, 1, 3, 7, tzinfo=UTC)
    vars(recurrence).update(
        zone="UTC", frequency=frequency, interval=1, start=start, end=None, hours=(), minutes=(),
        weekdays=(), month_days=(), monthly=(),
    )  # fmt: skip
    vars(recurrence).update(schedule)
    (answer,) = ask([recurrence.question(start - MICRO, len(want))])
    assert [f"{time_of(int(word)):%dT%H:%M}" for word in answer] == want
    assert [f"{time:%dT%H:%M}" for time in recurrence.firings(start - MICRO, len(want))] == want
