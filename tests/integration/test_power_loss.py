"""What an acknowledgement is worth when the power fails (contract 5.3): more than after a kill.

A kill leaves all that was written; a loss of power leaves what was synced, and of the rest whatever
it likes. So the service runs under a recorder (powerloss.c), support/power.py says what a disk may
hold at a moment of that run, and a service is started on it. Whatever had been answered by then must
be there, nothing half written may be seen, and `verify` must be content, before the start and after.

POWER_STATES: how many states of a disk each test looks at; POWER_SEED repeats a run.
"""

import collections
import itertools
import os
import random
import shutil
import threading

import pytest
from support import dicom, power
from support.http import ANY_MULTIPART, Client
from support.server import Server, sanitized, wait_for

STATES = int(os.environ.get("POWER_STATES", 6 if sanitized() else 40))
GONE = None
SETTINGS = {"service.partitions": "on", "store.deletion_delay": 0}
PARTITIONS = ("Microsoft.Default", "north", "south")


def said(row):
    """What never changes of a row of the feed."""
    return tuple(row[k] for k in ("sequence", "timestamp", "action", "partitionName", "sopInstanceUid"))


class NotedClient(power.Noted, Client):
    pass


# One request: `content` is what it made of instances, `rows` what it was shown of the feed.
Event = collections.namedtuple("Event", "port content partition rows")


class Worker(threading.Thread):
    """One client: one request after the other in studies of its own."""

    def __init__(self, base, steps):
        super().__init__()
        self.base, self.steps = base, steps
        self.events = []
        self.there = {}  # (partition, instance's path) -> instance
        self.failure = None

    def run(self):
        try:
            for step, partition in self.steps:
                self.step(step, partition)
        except Exception as e:  # the main thread asks for it
            self.failure = e

    def step(self, step, partition):
        web = NotedClient(self.base, f"/v2/partitions/{partition}")
        mine = [i for (p, _), i in self.there.items() if p == partition]
        content, rows = {}, None
        if step.startswith("store") or not mine:
            first = mine[-1].fresh("series") if mine else dicom.report()
            made = [first, *(first.fresh("instance") for _ in range(2 if step == "store 3" else 0))]
            assert web.store(*made).status == 200
            content = {(partition, i.path): i for i in made}
        elif step == "replace":
            old = mine[len(mine) // 2]
            new = old.with_(StudyID=str(len(self.events)))
            assert web.store(new, method="PUT").status == 200
            content = {(partition, old.path): new}
        elif step == "delete":
            assert web.delete(mine[0].path).status == 204
            content = {(partition, mine[0].path): GONE}
        elif step == "delete study":
            assert web.delete(mine[0].study_path).status == 204
            content = {(partition, i.path): GONE for i in mine if i.study == mine[0].study}
        else:
            web.prefix = "/v2"
            rows = [said(row) for row in web.feed("?afterSequence=0&limit=10000&includeMetadata=false")]
        self.there.update((k, i) for k, i in content.items() if i is not GONE)
        for key in [k for k, i in content.items() if i is GONE]:
            del self.there[key]
        made = {k: i if i is GONE else i.bytes for k, i in content.items()}
        self.events.append(Event(web.asked_from, made, partition, rows))


class Run(power.Recording):
    """A recorded run of the service: what it did to files, and what it answered when."""

    def __init__(self, folder, recorder, before=None, after=None):
        """`after`: the run and the place in it where that was cut off."""
        super().__init__(folder, recorder, before)
        self.after, self.workers = after, []

    def serve(self):
        self.server = Server(self.box / "home", SETTINGS, env=self.env)
        self.server.log_path = self.folder / "service.log"
        self.server.start()

    def load(self, *steps):
        """Each a list of steps for a client of its own, all at once."""
        workers = [Worker(self.server.base, each) for each in steps]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
            assert worker.failure is None, worker.failure
        self.workers += workers

    def end(self):
        self.server.kill()
        super().end()
        self.answered_at = [[self.answered(e.port) for e in w.events] for w in self.workers]
        return self

    def moments(self):
        """Where what was promised has just grown."""
        return sorted({at + 1 for each in self.answered_at for at in each})

    def promised(self, position):
        """What has to be there after a loss of power here: contents allowed of each instance, the
        partitions that were stored to, the longest feed that was seen, and the number of answers."""
        earlier = ({}, set(), [], 0) if self.after is None else self.after[0].promised(self.after[1])
        allowed, partitions, rows, count = earlier
        for worker, at in zip(self.workers, self.answered_at, strict=True):
            done = sum(a < position for a in at)
            count += done
            for event in worker.events[:done]:
                allowed.update((k, {v}) for k, v in event.content.items())
                partitions |= {event.partition} if event.content else set()
                rows = max(rows, event.rows or [], key=len)
            for event in worker.events[done : done + 1]:  # under way: it may count or not
                for key, v in event.content.items():
                    allowed[key] = {*allowed.get(key, {GONE}), v}
        return allowed, partitions, rows, count


class Found:
    """What a program finds on a disk; the same disk is looked at once."""

    def __init__(self, folder, tree):
        self.problems = []
        self.there = {}
        self.rows = []
        self.partitions = set()
        tree.write(folder)
        self.verified = []
        server = Server(folder / "home", SETTINGS)
        server.log_path = folder / "service.log"
        try:
            self.look(server)
        except AssertionError as problem:
            self.problems.append(str(problem)[:2000])
        finally:
            if server.process is not None:
                server.kill()
            shutil.rmtree(folder, ignore_errors=True)

    def look(self, server):
        self.verify(server)
        server.start()
        web = server.http
        self.partitions = {p["partitionName"] for p in web.get("/partitions", {}).json()}
        for partition in sorted(self.partitions):
            self.look_into(partition, web.at(f"/v2/partitions/{partition}"))
        while page := web.feed(f"?afterSequence={len(self.rows)}&limit=10000&includeMetadata=false"):
            self.rows += map(said, page)
        for name in PARTITIONS:  # new files in each folder: what lay about must not be in the way
            new = dicom.report()
            mine = web.at(f"/v2/partitions/{name}")
            assert mine.store(new).status == 200
            assert mine.retrieve(new) == new.bytes
        assert server.stop() == 0
        code, found = server.verify("--hash")
        assert (code, found["problems"]) == (0, []), f"verify after the start: {code}, {found}"

    def look_into(self, partition, web):
        listed = [i["00080018"]["Value"][0] for i in web.search("/instances?limit=200")]
        for study in web.search("/studies?limit=200"):
            path = f"/studies/{study['0020000D']['Value'][0]}"
            answer = web.get(path, ANY_MULTIPART)
            assert answer.status == 200, answer
            for part in answer.parts():
                key = part.headers["content-location"].split(f"/partitions/{partition}", 1)[1]
                self.there[partition, key] = part.body
        assert sorted(k.rsplit("/", 1)[1] for p, k in self.there if p == partition) == sorted(listed)

    def verify(self, server):
        """Before anything was answered there may be no home to verify, or half of one."""
        try:
            self.verified = server.verify("--hash")
        except AssertionError as problem:
            self.verified = str(problem)

    def judge(self, promised):
        """What is wrong, in words; None when nothing is."""
        allowed, partitions, rows, count = promised
        if self.problems:
            return self.problems[0]
        if count > 0 and (isinstance(self.verified, str) or self.verified[0] != 0):
            return f"verify before the start: {self.verified}"
        if not partitions <= self.partitions:
            return f"partitions lost: {partitions - self.partitions}"
        if self.rows[: len(rows)] != rows:
            return f"the feed is another: it began with {rows}, now with {self.rows[: len(rows)]}"
        for key in {*allowed, *self.there}:
            content = self.there.get(key, GONE)
            if content not in allowed.get(key, {GONE}):
                return f"{key}: {'gone' if content is GONE else 'there, or of other content'}"
        return self.misfit()

    def misfit(self):
        """Whether the feed tells of what is there."""
        told = set()
        for n, (sequence, _, action, partition, sop) in enumerate(self.rows, 1):
            if sequence != n:
                return f"the feed has a gap: {sequence} in place {n}"
            (told.discard if action == "Delete" else told.add)((partition, sop))
        there = {(p, key.rsplit("/", 1)[1]) for p, key in self.there}
        return None if told == there else f"the feed tells of {told}, there is {there}"


class Looker:
    """Looks at states of one run's disk."""

    def __init__(self, run, folder):
        self.run, self.folder = run, folder
        self.seen = {}
        self.number = itertools.count()

    def fault(self, tree, position):
        digest = tree.digest()
        if digest not in self.seen:
            self.seen[digest] = Found(self.folder / f"found{next(self.number)}", tree)
        return self.seen[digest].judge(self.run.promised(position))

    def faults(self, cuts, chance, forgotten=None):
        """Position, mode and what is wrong, one after the other."""
        for position, mode, tree in self.run.disks(cuts, chance, forgotten):
            fault = self.fault(tree, position)
            if fault is not None:
                yield position, mode, fault


# -- the runs --


def short_run(folder, recorder):
    """A home from its very beginning, one request after the other, a stop and a start."""
    run = Run(folder, recorder)
    run.serve()
    a, b, _ = PARTITIONS
    run.load([("store", a), ("store 3", a), ("replace", a), ("feed", a), ("store", b), ("delete", a)])
    assert run.server.stop() == 0
    run.serve()
    run.load([("store", a), ("feed", a), ("store", a), ("delete study", a)])
    wait_for(lambda: run.server.verify()[1]["waiting"] == 0, 30, "the removal of files")
    run.load([("store", b)])
    return run.end()


def long_run(folder, recorder, chance, steps=25, **more):
    """Several clients at once."""
    run = Run(folder, recorder, **more)
    run.serve()
    kinds = ["store"] * 4 + ["store 3", "replace", "replace", "delete", "delete study", "feed"]
    run.load(*([(chance.choice(kinds), chance.choice(PARTITIONS)) for _ in range(steps)] for _ in range(3)))
    return run.end()


@pytest.fixture(scope="module")
def short(place, recorder):
    return short_run(place / "short", recorder)


def look(run, folder, cuts, chance, forgotten=None):
    looker = Looker(run, folder)
    fault = next(looker.faults(cuts, chance, forgotten), None)
    print(f"{len(run.records)} changes, {len(cuts)} moments, {len(looker.seen)} states")
    return fault


# -- what a loss of power may leave --


def test_recorder_sees_everything(short):
    assert short.differences() is None


@pytest.mark.timeout(900)
def test_short_run_every_promise(short, place, chance):
    """The power fails when an answer has just been sent: nothing else comes through, or the names do."""
    modes = power.MODES if STATES > 60 else ("nothing", "names", "any")
    cuts = dict.fromkeys(short.moments(), modes)
    assert look(short, place, cuts, chance) is None


@pytest.mark.timeout(3600)
def test_short_run_any_moment(short, place, chance):
    everywhere = range(1, len(short.records) + 1)
    places = everywhere if STATES >= len(everywhere) else chance.sample(everywhere, STATES)
    cuts = {at: [chance.choice(power.MODES)] for at in places}
    assert look(short, place, cuts, chance) is None


@pytest.fixture(scope="module")
def long(place, recorder, seed):
    return long_run(place / "long", recorder, random.Random(seed), steps=45)


def checkpoint(run):
    """Where the log is moved into the database while the service runs, and what follows."""
    disk, written = run.disk(), []
    for at, r in enumerate(run.records, 1):
        disk.step(r)
        made = disk.objects.get(r.file)
        if r.kind == "W" and made is not None and made.made.endswith("/index.db"):
            written.append(at)
    assert len(written) > 10, "the run is too short for a checkpoint"
    return range(written[1], min(written[-1] + 100, len(run.records)))


@pytest.mark.timeout(3600)
def test_long_run(long, place, chance):
    """Three clients: groups share syncs, and the log is moved into the database and begins anew."""
    places = chance.sample(range(1, len(long.records) + 1), STATES // 4)
    places += chance.sample(long.moments(), min(STATES // 4, len(long.moments())))
    places += chance.sample(checkpoint(long), min(STATES // 4, len(checkpoint(long))))
    cuts = {at: [chance.choice(power.MODES)] for at in places}
    assert look(long, place, cuts, chance) is None


def until(run, at, chance):
    """What a kill leaves there."""
    disk = run.disk()
    for r in run.records[:at]:
        disk.step(r)
    return disk.survivors("all", chance)


def cut_off(run, partition=""):
    """Where a file has just got its name, and the index does not know of it yet."""
    found, disk = [], run.disk()
    for at, r in enumerate(run.records, 1):
        disk.step(r)
        if r.kind == "R" and r.other.endswith(".dcm") and partition in disk.objects[r.file].last:
            found.append(at)
    return found


@pytest.mark.timeout(3600)
def test_power_fails_again(long, place, recorder, chance):
    """The second loss finds a home that has just come through the first: with files of requests that
    were cut off, and whatever the start does about them."""
    places = cut_off(long)
    for n in range(max(STATES // 20, 2)):
        at = chance.choice(places[len(places) // 4 :])
        before = until(long, at, chance)
        again = long_run(place / f"again{n}", recorder, chance, steps=2, before=before, after=(long, at))
        cuts = {m: ["nothing", chance.choice(power.MODES)] for m in again.moments()}
        assert look(again, place, cuts, chance) is None
        shutil.rmtree(again.folder)


# -- that a test can fail: what each sync is worth --


def class_of(made):
    """What a sync is for, by what it syncs."""
    path = made.made.removeprefix("/")
    if "/.spool/" in path:
        return "object"
    if path.count("/") == 6 and path.startswith("home/files/AHDS/"):
        waiting = [versions[-1][1] for versions in made.names.values() if len(versions) > 1]
        return "names of objects" if any(waiting) or not waiting else "removals of objects"
    if path.startswith("home/files"):
        return "folders above"
    if path in ("", "home"):
        return "home"
    return path.removeprefix("home/state").removeprefix("/") or "state"


def without(*names):
    return lambda kind, made: None if class_of(made) in names else kind


def only_data(kind, made):
    """fdatasync instead of fsync."""
    return power.SYNC_DATA if class_of(made) == "object" else kind


NEEDED = {
    "object": without("object"),
    "object, times": only_data,
    "names of objects": without("names of objects"),
    "removals of objects": without("removals of objects"),
    "folders above": without("folders above"),
    "home": without("home"),
    "state": without("state"),
    "log": without("index.db-wal"),
    "database": lambda kind, made: None if made.made.endswith("/index.db") and made.data else kind,
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NEEDED)
def test_without_a_sync_something_is_lost(short, place, chance, name):
    """The same runs as if one kind of sync did nothing: it has to be noticed."""
    cuts = dict.fromkeys(reversed(short.moments()), ("nothing", "names"))
    fault = look(short, place, cuts, chance, NEEDED[name])
    assert fault is not None, f"nobody notices that {name} is not synced"
    print(fault)


@pytest.mark.timeout(900)
def test_without_the_sync_of_a_checkpoint_something_is_lost(long, place, chance):
    cuts = dict.fromkeys(long.moments()[-3:], ("nothing", "names"))
    assert look(long, place, cuts, chance, NEEDED["database"]) is not None


@pytest.mark.timeout(900)
def test_file_moved_aside_stays_there(short, place, recorder, chance):
    """Its folder sees no other sync in that life: without its own the file comes back, and then nobody
    looks for it there any more."""
    here, elsewhere = PARTITIONS[1], PARTITIONS[0]
    at = cut_off(short, f"/{here}/")[-1]
    again = Run(place / "aside", recorder, before=until(short, at, chance), after=(short, at))
    again.serve()
    again.load([("store", elsewhere)] * 2)
    again.end()
    cuts = dict.fromkeys(again.moments(), ("nothing",))
    assert look(again, place, cuts, chance) is None
    assert look(again, place, cuts, chance, NEEDED["removals of objects"]) is not None


@pytest.mark.timeout(900)
def test_an_answer_before_its_sync_is_noticed(short, place, chance):
    """As if the first two answers, of stores, had been sent just before the log was on the disk."""
    looker = Looker(short, place)
    for moment in short.moments()[:2]:
        before = max(at for at, r in enumerate(short.records[:moment]) if r.kind == "E")
        ((_, _, tree),) = short.disks({before: ("nothing",)}, chance)
        assert looker.fault(tree, moment) is not None
