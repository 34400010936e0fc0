"""A lake with a past, for the judges of tests/conformance/sync."""

import json
import shutil

from . import readers
from .feed import FeedServer, Generator
from .lake import Lake

PARTITIONS = ("Microsoft.Default", "ward 7/ä%", "a=b:c", "%41 é#?+")


class Past:
    """A lake that was synced, compacted and given columns; what its tables held, version by version.

    `moments`: {table: {version: rows by the model}}, for each version that ended a sync.
    """

    def __init__(self, folder, mode, profile):
        self.mode, self.profile = mode, profile
        self.columns_after = None
        self.generator = Generator(77, PARTITIONS)
        self.feed = self.generator.feed
        self.server = FeedServer(self.feed)
        self.lake = Lake(folder / "lake", url=self.server.url, mode=mode, profile=profile)
        self.moments = {name: {} for name in readers.KEYS}
        for changes in (60, 60, 60, 20):
            self.go_on(changes, "--BatchSize", 7, "--batch-changes", 7, "--no-maintenance")
        self.before = {name: readers.newest_version(self.lake.path(name)) for name in readers.KEYS}
        for name in readers.KEYS:
            self.lake.table("optimize", name, "--full")
        self.remember()
        self.go_on(10)  # the change at the watermark may be applied again, before there are more columns
        self.columns_after = self.feed.sequence
        self.go_on(40, *readers.column_options())
        self.empty_a_study()
        self.go_on(0, *readers.column_options())

    def model(self):
        return readers.model(self.feed, self.profile, self.columns_after)

    def remember(self, lake=None):
        want = self.model()
        for name, versions in self.moments.items():
            versions[readers.newest_version((lake or self.lake).path(name))] = want[name]

    def go_on(self, changes, *options):
        self.generator.step(changes)
        out = self.lake.sync(*options)
        self.remember()
        return out

    def empty_a_study(self):
        study = next(iter(self.feed.current))[:2]
        for key in [k for k in self.feed.current if k[:2] == study]:
            self.feed.add("Delete", key)

    def copy(self, folder):
        """The same tables elsewhere; what is done to them does not touch these."""
        shutil.copytree(self.lake.folder, folder, ignore=shutil.ignore_patterns(".dicomlake"))
        return Lake(folder, url=self.server.url, mode=self.mode, profile=self.profile)


# ---- what the history of such a table must say ----


def judge_history(past, name, history):
    """`history`: dicts with version, operation, operationParameters, operationMetrics, userMetadata."""
    history = sorted(history, key=lambda entry: entry["version"])
    newest = readers.newest_version(past.lake.path(name))
    assert [entry["version"] for entry in history] == list(range(newest + 1))
    assert history[0]["operation"] == "CREATE TABLE"
    operations = {entry["operation"] for entry in history}
    assert operations <= {"CREATE TABLE", "MERGE", "OPTIMIZE", "ADD COLUMNS"} and {"MERGE", "OPTIMIZE"} <= operations
    assert all(entry["engineInfo"].startswith("dicomlake") for entry in history)
    rows, marks = 0, []
    moments = past.moments[name]
    for entry in history:
        metrics = {k: int(v) for k, v in (entry.get("operationMetrics") or {}).items()}
        if entry["operation"] == "MERGE":
            rows += metrics["numTargetRowsInserted"] - metrics["numTargetRowsDeleted"]
            judge_merge(past, metrics)
            assert entry["operationParameters"]["predicate"]
            marks.append(json.loads(entry["userMetadata"])["seq"])
        elif entry["operation"] == "OPTIMIZE":
            assert metrics["numRemovedFiles"] >= metrics["numAddedFiles"] > 0
            assert metrics["numAddedBytes"] > 0 and metrics["numRemovedBytes"] > 0
        if entry["version"] in moments:
            assert rows == len(moments[entry["version"]]), entry
    assert marks == sorted(marks) and marks[-1] == past.feed.sequence


def judge_merge(past, metrics):
    changed = metrics["numTargetRowsInserted"] + metrics["numTargetRowsUpdated"]
    assert metrics["numTargetRowsMatchedUpdated"] == metrics["numTargetRowsUpdated"]
    assert metrics["numTargetRowsMatchedDeleted"] == metrics["numTargetRowsDeleted"]
    assert metrics["numOutputRows"] == changed + metrics["numTargetRowsCopied"]
    if past.mode == "dv":
        assert metrics["numTargetRowsCopied"] == 0
        assert (metrics["numTargetFilesAdded"] > 0) == (changed > 0)
    else:
        assert metrics["numTargetDeletionVectorsAdded"] == metrics["numTargetDeletionVectorsUpdated"] == 0
    assert (metrics["numTargetBytesAdded"] > 0) == (metrics["numTargetFilesAdded"] > 0)
    assert (metrics["numTargetBytesRemoved"] > 0) == (metrics["numTargetFilesRemoved"] > 0)
