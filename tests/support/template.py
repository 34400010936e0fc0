"""The public template, described: what Data Factory's "Copy DICOM Metadata Changes to ADLS Gen2 in Delta
Format" holds in its revisions r1 to r4, as far as an import can tell. Nothing is copied from it."""

TITLE = "Copy DICOM Metadata Changes to ADLS Gen2 in Delta Format"

PARAMETERS = {
    "BatchSize": ("int", 200),
    "ApiVersion": ("int", 2),
    "StartTime": ("string", "0001-01-01T00:00:00Z"),
    "EndTime": ("string", "9999-12-31T23:59:59Z"),
    "ContainerName": ("string", "dicom"),
    "InstanceTablePath": ("string", "instance"),
    "SeriesTablePath": ("string", "series"),
    "StudyTablePath": ("string", "study"),
    "RetentionHours": ("int", 720),
}

KEYS = ["studyInstanceUid", "seriesInstanceUid", "sopInstanceUid"]
FIRST = ["studyDate", "studyDescription", "issuerOfPatientId", "patientId", "patientName", "modality"]
MORE = """studydate_formatted metadata metadata_string created_date patientbirthdate accessionnumber
referringphysicianname modalitiesinstudy performedprocedurestepstartdate manufacturermodelname studytime
timezoneoffsetfromutc numberofstudyrelatedseries numberofstudyrelatedinstances seriesnumber seriesdescription
numberofseriesrelatedinstances bodypartexamined laterality seriesdate seriestime instancenumber
documenttitle""".split()


def columns(revision):
    """Of the instance table, as the revision's sink maps them."""
    base = ["partitionName", *KEYS, "lastModifiedTimestamp", *FIRST, "sopClassUid"]
    if revision == "r1":
        return [*base, "metadata"]
    if revision == "r2":
        return [*base, "filePath"]
    low = [c if c in ("partitionName", "lastModifiedTimestamp") else c.lower() for c in base]
    return [*low, "filepath", *MORE]


def script(revision, extra=()):
    """A data flow's script with one sink that matters."""
    name = (
        "regexExtract(toString(byPath('x')), 'y')"
        if revision == "r4"
        else "toString(byPath('x'))"
    )
    mapped = ",\n".join(f"          {c}" for c in [*columns(revision), *extra])
    return [
        "source(output(body as (action as string)), format: 'rest') ~> changeFeed",
        f"flattened derive(patientname = {name}) ~> extracted",
        "instanceSinkUpdates sink(format: 'delta',",
        "     mapColumn(",
        *mapped.split("\n"),
        "     ),",
        "     partitionBy('key',",
        "          0,",
        "          partitionName",
        "     )) ~> instanceTable",
    ]


def reference(name, kind="LinkedServiceReference"):
    return {"referenceName": name, "type": kind}


def dataflow(revision, dicom="[parameters('dicomWeb')]", lake="[parameters('dicomLakeStorage')]", extra=()):
    return {
        "type": "MappingDataFlow",
        "typeProperties": {
            "sources": [{"linkedService": reference(dicom), "name": "changeFeed"}],
            "sinks": [{"linkedService": reference(lake), "name": "instanceTable"}],
            "transformations": [],
            "scriptLines": script(revision, extra),
        },
    }


def variable(name):
    return {"name": name, "type": "SetVariable", "typeProperties": {"variableName": "Temp"}}


def pipeline(retry=0, timeout="0.12:00:00", parameters=PARAMETERS):
    inner = [
        {
            "name": "Process Batch",
            "type": "ExecuteDataFlow",
            "policy": {"timeout": timeout, "retry": retry, "retryIntervalInSeconds": 30},
            "typeProperties": {
                "dataflow": {"referenceName": "Update DICOM Delta Tables", "type": "DataFlowReference"}
            },
        },
        {
            "name": "Determine Continuation",
            "type": "IfCondition",
            "typeProperties": {
                "ifTrueActivities": [variable("Check Rows"), variable("Update Offset")],
                "ifFalseActivities": [variable("Complete Processing")],
            },
        },
        variable("Cancel Processing"),
    ]
    return {
        "activities": [
            {
                "name": "Update Delta Tables",
                "type": "Until",
                "typeProperties": {"activities": inner, "timeout": "0.12:00:00"},
            }
        ],
        "parameters": {
            name: {"type": kind, "defaultValue": value} for name, (kind, value) in parameters.items()
        },
        "variables": {"CurrentOffset": {"type": "String", "defaultValue": "0"}},
        "annotations": [],
        "lastPublishTime": "2023-06-23T19:54:06Z",
    }


def resource(kind, name, properties):
    return {
        "name": f"[concat(parameters('factoryName'), '/{name}')]",
        "type": f"Microsoft.DataFactory/factories/{kind}",
        "apiVersion": "2018-06-01",
        "properties": properties,
        "dependsOn": [],
    }


def arm(revision="r4", resources=(), parameters=None, **changes):
    """The ARM template; `changes` are those of pipeline()."""
    extra = changes.pop("extra", ())
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {
            "factoryName": {"type": "string"},
            "dicomWeb": {"type": "string"},
            "dicomLakeStorage": {"type": "string"},
            **(parameters or {}),
        },
        "variables": {
            "factoryId": "[concat('Microsoft.DataFactory/factories/', parameters('factoryName'))]"
        },
        "resources": [
            resource("pipelines", TITLE, pipeline(**changes)),
            resource("dataflows", "Update DICOM Delta Tables", dataflow(revision, extra=extra)),
            *resources,
        ],
    }


def manifest():
    return {"name": TITLE, "description": "...", "image": "<svg/>", "requires": {"linkedservices": {}}}


def trigger(name="hourly", parameters=None, **typed):
    """A tumbling window as Data Factory exports it."""
    return {
        "name": name,
        "properties": {
            "annotations": [],
            "runtimeState": "Started",
            "pipeline": {
                "pipelineReference": {"referenceName": TITLE, "type": "PipelineReference"},
                "parameters": parameters
                or {
                    "StartTime": "@formatDateTime(trigger().outputs.windowStartTime)",
                    "EndTime": "@formatDateTime(trigger().outputs.windowEndTime)",
                },
            },
            "type": "TumblingWindowTrigger",
            "typeProperties": {
                "frequency": "Hour",
                "interval": 1,
                "startTime": "2026-01-05T08:00:00Z",
                "delay": "00:15:00",
                "maxConcurrency": 1,
                "retryPolicy": {"intervalInSeconds": 30},
                "dependsOn": [],
                **typed,
            },
        },
    }
