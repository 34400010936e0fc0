"""What an acknowledgement is worth: the server is killed at any moment (contract 5.3, 23.10).

Two ways. Random: concurrent stores, replacements and deletes, SIGKILL after a few milliseconds,
again and again on one home. Exact: a preloaded library (crashpoint.c) kills the server at its n-th
call that changes a file, for every n until the request comes through.
"""

import http.client
import os
import pathlib
import random
import threading
import time

import pytest
from support import dicom
from support.http import ANY_MULTIPART
from support.server import preloadable, sanitized, wait_for

GONE = None
DISCONNECTED = (OSError, http.client.HTTPException)


class Model:
    """What may be there: for each instance the set of contents that the client cannot exclude."""

    def __init__(self):
        self.allowed = {}  # sop -> set of bytes or GONE
        self.paths = {}  # sop -> instance path

    def pending(self, instance, content):
        known = self.allowed.setdefault(instance.sop, {GONE})
        self.paths[instance.sop] = instance.path
        known.add(content)

    def done(self, instance, content):
        self.allowed[instance.sop] = {content}

    def present(self):
        return {sop for sop, states in self.allowed.items() if GONE not in states}

    def check(self, web, study):
        """Compare with the service, and from then on know what is there."""
        listed = {}
        for offset in range(0, 10000, 200):
            page = web.search(f"/studies/{study}/instances?limit=200&offset={offset}")
            listed.update((item["00080018"]["Value"][0], item) for item in page)
            if len(page) < 200:
                break
        answer = web.get(f"/studies/{study}", ANY_MULTIPART)
        assert answer.status == (200 if listed else 404), answer
        found = {}
        for part in answer.parts() if listed else []:
            found[part.headers["content-location"].rsplit("/", 1)[1]] = part.body
        assert set(found) == set(listed)
        for sop, states in self.allowed.items():
            content = found.get(sop, GONE)
            assert content in states, (
                f"{sop}: {'gone' if content is GONE else 'other content'}, "
                f"{'an acknowledged store is lost' if GONE not in states else 'not as allowed'}"
            )
            self.allowed[sop] = {content}
        assert set(found) <= set(self.allowed)
        return set(found)


class Worker(threading.Thread):
    """Stores, replaces and deletes in a study of its own until the server is gone."""

    def __init__(self, web, model, base, seed):
        super().__init__()
        self.web, self.model, self.base = web, model, base
        self.random = random.Random(seed)
        self.acknowledged = 0
        self.failure = None

    def run(self):
        try:
            while self.step():
                self.acknowledged += 1
        except DISCONNECTED:
            pass
        except Exception as e:  # the main thread asks for it
            self.failure = e

    def answered(self, answer, *wanted):
        """False when the service is stopping: then nothing is known of this request."""
        assert answer.status in (*wanted, 503), answer
        return answer.status != 503

    def known(self):
        sops = sorted(s for s in self.model.allowed if self.model.allowed[s] != {GONE})
        sop = self.random.choice(sops)
        return self.base.with_(SOPInstanceUID=sop)

    def step(self):
        kind = self.random.random()
        present = len(self.model.present())
        if present > 40 or (present > 3 and kind < 0.2):
            instance = self.known()
            self.model.pending(instance, GONE)
            answer = self.web.delete(instance.path)
            if not self.answered(answer, 204, 404):
                return False
            self.model.done(instance, GONE)
        elif present > 0 and kind < 0.4:
            instance = self.known().with_(StudyID=str(self.random.randrange(10**6)))
            self.model.pending(instance, instance.bytes)
            answer = self.web.store(instance, method="PUT")
            if not self.answered(answer, 200):
                return False
            self.model.done(instance, instance.bytes)
        else:
            batch = [self.base.fresh("instance") for _ in range(self.random.choice((1, 1, 1, 5)))]
            for instance in batch:
                self.model.pending(instance, instance.bytes)
            answer = self.web.store(*batch)
            if not self.answered(answer, 200):
                return False
            for instance in batch:
                self.model.done(instance, instance.bytes)
        return True


class Feed:
    """Follows the feed across crashes: no gap, no row twice, time never falls."""

    def __init__(self):
        self.sequence = 0
        self.timestamp = ""
        self.current = {}

    def follow(self, web):
        while True:
            rows = web.feed(
                f"?afterSequence={self.sequence}&limit=10000&includeMetadata=false"
            )
            for row in rows:
                assert row["sequence"] == self.sequence + 1
                assert row["timestamp"] >= self.timestamp
                self.sequence, self.timestamp = row["sequence"], row["timestamp"]
                sop = row["sopInstanceUid"]
                if row["action"] == "Delete":
                    assert self.current.pop(sop, None) is not None
                else:
                    self.current[sop] = row["studyInstanceUid"]
            if not rows:
                return


def progress(workers):
    return sum(w.acknowledged for w in workers)


def crash_rounds(serve, rounds, workers=4):
    seed = int(os.environ.get("CRASH_SEED", random.randrange(10**9)))
    print(f"CRASH_SEED={seed}")
    chance = random.Random(seed)
    server = serve({"store.deletion_delay": 0}, start=False)
    bases = [dicom.report() for _ in range(workers)]
    models = [Model() for _ in range(workers)]
    feed = Feed()
    acknowledged = 0
    for n in range(rounds + 1):
        server.start()
        web = server.http
        there = set()
        for base, model in zip(bases, models, strict=True):
            there |= model.check(web, base.study)
        feed.follow(web)
        assert set(feed.current) == there
        if n == rounds:
            break
        threads = [
            Worker(web, model, base, chance.random())
            for base, model in zip(bases, models, strict=True)
        ]
        for thread in threads:
            thread.start()
        some = chance.randrange(12)
        wait_for(lambda: progress(threads) >= some or not all(t.is_alive() for t in threads), 120, "some work", 0.001)
        time.sleep(chance.uniform(0, 0.02))
        server.kill()
        for thread in threads:
            thread.join()
            assert thread.failure is None, thread.failure
        acknowledged += progress(threads)
    print(f"{rounds} kills, {acknowledged} acknowledged requests, {feed.sequence} changes")
    assert acknowledged > rounds
    wait_for(lambda: len(server.stored_files()) == len(there), 60, "orphans swept")
    assert server.stop() == 0
    code, found = server.verify("--hash")
    assert (code, found["problemCount"]) == (0, 0), found


@pytest.mark.timeout(600)
def test_two_hundred_random_kills(serve):
    crash_rounds(serve, 20 if sanitized() else 200)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_random_kills(serve):
    crash_rounds(serve, 2000)


# -- every place in the order of writes --


@pytest.fixture(scope="module")
def crashpoint(tmp_path_factory):
    """The library that kills at a call, built for this run."""
    return preloadable(pathlib.Path(__file__).with_name("crashpoint.c"), tmp_path_factory.mktemp("crashpoint"))


def before_nothing(web, g):
    return {GONE}


def before_stored(web, g):
    assert web.store(g).status == 200
    return {g.bytes}


OPERATIONS = {
    "store": (before_nothing, lambda web, g, other: web.store(g), 200),
    "store of three": (
        before_nothing,
        lambda web, g, other: web.store(g.fresh(), g, g.fresh("instance")),
        200,
    ),
    "replace": (before_stored, lambda web, g, other: web.store(other, method="PUT"), 200),
    "delete": (before_stored, lambda web, g, other: web.delete(f"/studies/{g.study}"), 204),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", ["whole", "torn"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_T067_kill_at_every_write(serve, crashpoint, tmp_path, operation, mode):
    """Killed at its 1st, 2nd, ... change of a file, until the request comes through."""
    before, request, success = OPERATIONS[operation]
    arm = tmp_path / "arm"
    env = {"LD_PRELOAD": crashpoint, "CRASHPOINT_ARM": str(arm)}
    if sanitized():
        env["ASAN_OPTIONS"] = "verify_asan_link_order=0:detect_leaks=0"
    server = serve({"store.deletion_delay": 0}, start=False)
    plain = dict(server.env)
    outcomes = []
    for n in range(1, 300):
        server.env = {**plain, **env}
        server.start()
        g = dicom.report()
        other = g.with_(StudyID="2")
        old = before(server.http, g)
        new = {"store": g.bytes, "store of three": g.bytes, "replace": other.bytes}.get(operation)
        arm.write_text(f"{n} {mode}")
        try:
            answer = request(server.http, g, other)
        except DISCONNECTED:
            answer = None
        arm.unlink()
        if answer is not None:
            assert answer.status == success, answer
        alive = server.running()
        server.kill()
        server.env = plain
        server.start()
        web = server.http
        got = web.get(g.path, {"Accept": "application/dicom; transfer-syntax=*"})
        content = got.body if got.status == 200 else GONE
        assert got.status in (200, 404)
        assert content in ({new} if answer is not None else {*old, new}), n
        outcomes.append(content == new)
        assert len(web.search(f"/studies/{g.study}/series")) == (content is not GONE)
        if operation.startswith("store") and content is GONE:
            assert web.store(g).status == 200
            assert web.retrieve(g) == g.bytes
        count = len(web.search("/instances?limit=200"))
        wait_for(lambda c=count: len(server.stored_files()) == c, 60, "orphans swept")
        code, found = server.verify("--hash")
        assert (code, found["problemCount"]) == (0, 0), (n, found)
        server.kill()
        if alive and answer is not None:
            break
    print(f"{operation}: {n - 1} places to crash, {outcomes.count(True)} after the point of no return")
    assert n > 5, "the library saw no writes"
    assert n < 299


def test_killed_while_idle(serve):
    server = serve()
    g = dicom.capture()
    server.http.store(g)
    for _ in range(5):
        server.kill()
        server.start()
    assert server.http.retrieve(g) == g.bytes
    assert len(server.http.feed()) == 1


def test_terminated_under_load(serve):
    """SIGTERM in the middle: what is under way is finished or refused, never half done."""
    server = serve()
    base, model = dicom.report(), Model()
    worker = Worker(server.http, model, base, 7)
    worker.start()
    wait_for(lambda: worker.acknowledged > 20, 60, "some work")
    assert server.stop() == 0
    worker.join()
    assert worker.failure is None, worker.failure
    server.start()
    model.check(server.http, base.study)


def test_lock_of_the_dead_is_no_lock(serve):
    server = serve()
    server.kill()
    server.start()
    assert server.http.get("/changefeed", {}).status == 200
