"""A client of the routes below /factory, and documents to send it."""

from .rest import Rest
from .server import wait_for
from .template import reference

START, END = "@trigger().outputs.windowStartTime", "@trigger().outputs.windowEndTime"


class Factory(Rest):
    """A client of the routes below /factory."""

    def __init__(self, base):
        super().__init__(base, "/factory")

    def ended(self, run, seconds=120):
        """The run once it has ended."""
        return wait_for(
            lambda: (lambda r: r if r["runEnd"] else None)(self.value(f"/runs/{run}")),
            seconds,
            f"the end of run {run}",
        )


def feed(url="home:"):
    return {"properties": {"type": "RestService", "typeProperties": {"url": url}}}


def lake(folder="home:"):
    return {"properties": {"type": "FileServer", "typeProperties": {"host": folder}}}


def pipeline(source="feed", into="lake", **parameters):
    activity = {
        "name": "Sync",
        "type": "SyncDicomTables",
        "typeProperties": {"source": reference(source), "lake": reference(into)},
    }
    return {"properties": {"activities": [activity], "parameters": parameters}}


def hourly(of="copy", start="2026-01-05T00:00:00Z", end="2026-01-05T05:00:00Z", **more):
    return {
        "properties": {
            "type": "TumblingWindowTrigger",
            "pipeline": {
                "pipelineReference": {"referenceName": of, "type": "PipelineReference"},
                "parameters": {"StartTime": START, "EndTime": END},
            },
            "typeProperties": {
                "frequency": "Hour",
                "interval": 1,
                "startTime": start,
                "endTime": end,
                "maxConcurrency": 1,
                **more,
            },
        }
    }


def set_up(factory, url="home:"):
    assert factory.put("/linkedServices/feed", feed(url)).status == 201
    assert factory.put("/linkedServices/lake", lake()).status == 201
    assert factory.put("/pipelines/copy", pipeline()).status == 201
    assert factory.put("/triggers/hourly", hourly()).status == 201
    assert factory.post("/publish").json() == {"published": 2}
    return factory
