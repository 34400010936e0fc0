"""Data Factory's own files: the public template in its revisions, exported triggers and linked services,
and files that mean harm. What they hold is described in tests/support/template.py."""

import io
import json
import random
import struct
import subprocess
import zipfile

import pytest
from support import server, template

FIT = template.TITLE.replace(" ", "-")
TRIGGER = template.resource("triggers", "hourly", template.trigger()["properties"])


def load(path, *names):
    """What came of it, and whether it was taken."""
    done = subprocess.run(
        [server.unit_program("factory/gallery_dump"), str(path), *names], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout), done.returncode == 0


def save(tmp_path, content, name="template.json"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def taken(tmp_path, content, *names, name="template.json"):
    answer, good = load(save(tmp_path, content, name), *names)
    assert good, answer
    return answer


def refused(tmp_path, content, *names, name="template.json"):
    answer, good = load(save(tmp_path, content, name), *names)
    assert not good, answer
    assert answer["error"]
    return answer


def zipped(entries, **options):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, **options) as z:
        for name, content in entries.items():
            z.writestr(name, content if isinstance(content, (str, bytes)) else json.dumps(content))
    return out.getvalue()


def sync_of(answer):
    return answer["pipeline"]["properties"]["activities"][0]["typeProperties"]


def without(document, *keys):
    return {k: v for k, v in document.items() if k not in keys}


# ---- the template ----


@pytest.mark.parametrize("form", ["arm", "zip", "support"])
@pytest.mark.parametrize("revision", ["r1", "r2", "r3", "r4"])
def test_revisions(tmp_path, revision, form):
    if form == "arm":
        content = template.arm(revision)
    elif form == "zip":
        content = zipped({f"{template.TITLE}.json": template.arm(revision), "manifest.json": template.manifest()})
    else:  # the folders that Data Factory's editor gives for download
        flow = template.dataflow(revision, "dicomWeb", "dicomLakeStorage")
        content = zipped(
            {
                f"pipeline/{template.TITLE}.json": {"name": template.TITLE, "properties": template.pipeline()},
                "dataflow/Update.json": {"name": "Update", "properties": flow},
            }
        )
    answer = taken(tmp_path, content)
    document = answer["pipeline"]
    assert document["name"] == FIT
    assert document["properties"]["template"] == {
        "id": "copy-dicom-metadata-changes",
        "revision": revision,
    }
    assert sync_of(answer)["profile"] == ("template-r2" if revision in ("r1", "r2") else "template-r4")
    assert sync_of(answer)["source"]["referenceName"] == "dicomWeb"
    assert sync_of(answer)["lake"]["referenceName"] == "dicomLakeStorage"
    assert {
        name: (p["type"], p["defaultValue"]) for name, p in document["properties"]["parameters"].items()
    } == template.PARAMETERS
    # r1 has a column that our tables have not; all else is understood.
    assert len(answer["unknown"]) == (1 if revision == "r1" else 0), answer["unknown"]


def test_names_of_the_caller(tmp_path):
    answer = taken(tmp_path, template.arm(), "copy", "clinic", "lake")
    assert answer["pipeline"]["name"] == "copy"
    assert sync_of(answer)["source"]["referenceName"] == "clinic"
    assert sync_of(answer)["lake"]["referenceName"] == "lake"
    refused(tmp_path, template.arm(), "a/b")


def test_its_own_values_come_along(tmp_path):
    parameters = {**template.PARAMETERS, "BatchSize": ("int", 50), "ContainerName": ("string", "lab")}
    answer = taken(tmp_path, template.arm(parameters=None, retry=3, timeout="0.01:00:00"))
    assert answer["pipeline"]["properties"]["activities"][0]["policy"] == {
        "timeout": "01:00:00",
        "retry": 3,
        "retryIntervalInSeconds": 30,
    }
    arm = template.arm()
    arm["resources"][0]["properties"] = template.pipeline(parameters=parameters)
    defaults = taken(tmp_path, arm)["pipeline"]["properties"]["parameters"]
    assert defaults["BatchSize"]["defaultValue"] == 50
    assert defaults["ContainerName"]["defaultValue"] == "lab"


def test_a_parameter_that_is_missing_has_the_templates_default(tmp_path):
    arm = template.arm()
    arm["resources"][0]["properties"] = template.pipeline(parameters={"BatchSize": ("int", 5)})
    defaults = taken(tmp_path, arm)["pipeline"]["properties"]["parameters"]
    assert list(defaults) == list(template.PARAMETERS)
    assert defaults["RetentionHours"]["defaultValue"] == 720


def test_defaults_that_do_not_fit_together(tmp_path):
    for changed in ({"RetentionHours": ("int", 167)}, {"SeriesTablePath": ("string", "instance")}):
        arm = template.arm()
        arm["resources"][0]["properties"] = template.pipeline(
            parameters={**template.PARAMETERS, **changed}
        )
        answer = taken(tmp_path, {**arm, "resources": [*arm["resources"], TRIGGER]})
        assert answer["pipeline"] is None
        assert any("properties.parameters" in path for path in answer["unknown"])
        bare = {"name": "p", "properties": arm["resources"][0]["properties"]}
        assert "properties.parameters" in refused(tmp_path, bare)["error"]


def test_what_is_not_the_templates_is_listed(tmp_path):
    arm = template.arm("r4", extra=["stationname", "kvp = toString(x)"])
    properties = arm["resources"][0]["properties"]
    properties["activities"].append({"name": "Tell me", "type": "WebActivity", "typeProperties": {}})
    loop = properties["activities"][0]["typeProperties"]["activities"]
    loop.append({"name": "Rest", "type": "Wait"})
    loop[1]["typeProperties"]["ifTrueActivities"].append({"name": "Mail", "type": "WebActivity"})
    properties["parameters"]["Colour"] = {"type": "string", "defaultValue": "red"}
    properties["variables"]["Mine"] = {"type": "String"}
    properties["concurrency"] = 3
    arm["resources"].append(template.resource("datasets", "d", {"type": "Json"}))
    unknown = "\n".join(taken(tmp_path, arm)["unknown"])
    for words in (
        "column stationname",
        "column kvp",
        "activities[1] (WebActivity 'Tell me')",
        "activities[3] (Wait 'Rest')",
        "WebActivity 'Mail'",
        "parameters.Colour",
        "variables.Mine",
        "properties.concurrency",
        "resources[2] (Microsoft.DataFactory/factories/datasets)",
    ):
        assert words in unknown, unknown


def test_a_pipeline_without_its_data_flow(tmp_path):
    answer = taken(tmp_path, {"name": "p", "properties": template.pipeline()})
    assert sync_of(answer)["profile"] == "template-r4"
    assert "data flow (not in the file" in answer["unknown"][0]


def test_another_pipeline_is_refused_with_what_it_is(tmp_path):
    other = {"name": "p", "properties": {"activities": [{"name": "w", "type": "Wait"}]}}
    answer = refused(tmp_path, other)
    assert "no pipeline" in answer["error"]
    assert "does not copy DICOM metadata" in answer["hint"]


def test_a_second_pipeline_is_listed(tmp_path):
    arm = template.arm(resources=[template.resource("pipelines", "two", template.pipeline())])
    assert any("two" in path and "second" in path for path in taken(tmp_path, arm)["unknown"])


# ---- triggers, linked services ----


def test_exported_triggers(tmp_path):
    arm = template.arm(
        resources=[template.resource("triggers", "hourly", template.trigger()["properties"])]
    )
    answer = taken(tmp_path, arm, "copy")
    (trigger,) = answer["triggers"]
    properties = trigger["properties"]
    assert properties["pipeline"]["pipelineReference"]["referenceName"] == "copy"
    assert properties["runtimeState"] == "Started"
    typed = properties["typeProperties"]
    assert (typed["frequency"], typed["interval"], typed["delay"]) == ("Hour", 1, "00:15:00")
    assert typed["maxConcurrency"] == 1
    assert typed["startTime"] == "2026-01-05T08:00:00Z"
    assert properties["pipeline"]["parameters"]["StartTime"].startswith("@formatDateTime(")
    alone = taken(tmp_path, template.trigger("a b"), "copy", name="a b.json")
    assert alone["triggers"][0]["name"] == "a-b"
    assert alone["triggers"][0]["properties"]["pipeline"]["pipelineReference"]["referenceName"] == "copy"


def test_a_trigger_that_cannot_be_taken_is_listed_or_refused(tmp_path):
    blob = {"name": "b", "properties": {"type": "BlobEventsTrigger", "pipelines": [], "typeProperties": {}}}
    assert "type" in refused(tmp_path, blob)["error"]
    arm = template.arm(
        resources=[
            template.resource("triggers", "b", blob["properties"]),
            template.resource("triggers", "hourly", template.trigger()["properties"]),
        ]
    )
    answer = taken(tmp_path, arm)
    assert len(answer["triggers"]) == 1
    assert any(path.startswith("trigger 'b': properties.type") for path in answer["unknown"])


def test_parameters_of_the_deployment_are_put_in(tmp_path):
    url = "https://x.dicom.azurehealthcareapis.com"
    arm = template.arm(
        resources=[
            template.resource(
                "linkedServices",
                "dicomWeb",
                {"type": "RestService", "typeProperties": {"url": "[parameters('web_url')]"}},
            )
        ],
        parameters={"web_url": {"type": "string", "defaultValue": url}},
    )
    (connection,) = taken(tmp_path, arm)["connections"]
    assert connection["properties"]["typeProperties"]["url"] == url
    assert connection["properties"]["typeProperties"]["aadResourceId"] == "https://dicom.healthcareapis.azure.com"


SECRETS = {
    "password": {"type": "SecureString", "value": "hunter2"},
    "accountKey": "hunter2",
    "sasUri": "https://x/?sig=hunter2",
    "connectionString": "AccountName=x;AccountKey=hunter2",
    "encryptedCredential": "hunter2",
    "servicePrincipalKey": "[parameters('key')]",
}


@pytest.mark.parametrize("member", SECRETS)
def test_secrets_are_dropped_and_listed(tmp_path, member):
    typed = {"host": "/lake", member: SECRETS[member]}
    arm = template.arm(
        resources=[template.resource("linkedServices", "l", {"type": "FileServer", "typeProperties": typed})],
        parameters={"key": {"type": "secureString", "defaultValue": "hunter2"}},
    )
    answer = taken(tmp_path, arm)
    assert "hunter2" not in json.dumps(answer)
    assert len(answer["connections"]) == 1
    assert any(f"typeProperties.{member} (a secret, dropped)" in path for path in answer["unknown"])


def test_export_is_taken_back(tmp_path):
    arm = template.arm(
        retry=2,
        resources=[
            template.resource("triggers", "hourly", template.trigger()["properties"]),
            template.resource(
                "linkedServices", "l", {"type": "FileServer", "typeProperties": {"host": "[lake]"}}
            ),
        ],
    )
    arm["resources"][-1]["properties"]["typeProperties"]["host"] = "[[lake]"  # ARM's own escape
    first = taken(tmp_path, arm, "copy", "d", "l")
    assert first["connections"][0]["properties"]["typeProperties"]["host"] == "[lake]"
    second = taken(tmp_path, first["export"])
    assert without(second, "unknown", "unknownCount") == without(first, "unknown", "unknownCount")
    assert second["unknownCount"] == 0, second["unknown"]
    types = [r["type"].rsplit("/", 1)[1] for r in first["export"]["resources"]]
    assert sorted(types) == ["linkedServices", "pipelines", "triggers"]


# ---- harm ----


def test_each_beginning_of_a_zip(tmp_path):
    whole = zipped({"template.json": template.arm(), "manifest.json": template.manifest()})
    step = max(1, len(whole) // 150)
    for size in [*range(0, len(whole) - 1, step), len(whole) - 1]:
        answer, good = load(save(tmp_path, whole[:size], "t.zip"))
        # What is cut behind the last entry may still be read whole by its streams.
        assert good is False or answer["pipeline"]["name"] == FIT


def test_flipped_bytes(tmp_path):
    whole = bytearray(zipped({"template.json": template.arm()}))
    rng = random.Random(5)
    for _ in range(150):
        changed = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        load(save(tmp_path, bytes(changed), "t.zip"))  # an answer or an error, never a crash


def test_a_bomb(tmp_path):
    answer = refused(tmp_path, zipped({"a.json": b" " * (17 * 1024 * 1024)}), name="t.zip")
    assert answer["status"] == "limit"
    many = {f"{i}.bin": b"\0" * (4 * 1024 * 1024) for i in range(5)}
    assert refused(tmp_path, zipped(many), name="t.zip")["status"] == "limit"
    fine = {f"{i}.bin": b"\0" * (4 * 1024 * 1024) for i in range(3)}
    assert taken(tmp_path, zipped({**fine, "t.json": template.arm()}), name="t.zip")["pipeline"]


@pytest.mark.parametrize(("count", "good"), [(64, True), (65, False)])
def test_entries_at_the_bound_and_past_it(tmp_path, count, good):
    entries = {"t.json": template.arm(), **{f"{i}.txt": "x" for i in range(count - 1)}}
    path = save(tmp_path, zipped(entries), "t.zip")
    answer, was = load(path)
    assert was is good, answer


@pytest.mark.parametrize("name", ["../t.json", "/t.json", "a/../../t.json", "..\\t.json", "a\\..\\..\\t.json"])
def test_paths_that_climb(tmp_path, name):
    answer = refused(tmp_path, zipped({name: template.arm()}), name="t.zip")
    assert "path" in answer["error"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.zip"]


def test_a_link_in_the_zip_is_not_followed(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        info = zipfile.ZipInfo("t.json")
        info.create_system = 3
        info.external_attr = 0o120777 << 16
        z.writestr(info, "/etc/passwd")
    answer = refused(tmp_path, out.getvalue(), name="t.zip")
    assert "no JSON document" in answer["hint"]


def test_an_encrypted_entry(tmp_path):
    whole = bytearray(zipped({"t.json": template.arm()}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = whole.index(mark) + at
        (flags,) = struct.unpack_from("<H", whole, place)
        struct.pack_into("<H", whole, place, flags | 1)
    refused(tmp_path, bytes(whole), name="t.zip")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe{\0}\0",
        b"DICM",
        b"PK\x05\x06" + b"\0" * 18,
        b'{"resources": []}',
        b'{"resources": [1, null, {"type": 5}, {"type": "x/pipelines"}]}',
        b'{"resources": [{"type": "x/pipelines", "name": 1, "properties": 5}]}',
        b'{"resources": [{"type": "x/pipelines", "name": "[concat(", "properties": {"activities": 1}}]}',
        b'{"properties": {"activities": {"a": 1}}}',
        b'{"properties": {"activities": [1, [2], {"type": 3}]}}',
        b'{"properties": {"type": "Trigger"}}',
        b'{"a":' * 300 + b"1" + b"}" * 300,
        b'{"properties": {"activities": [' + b"[" * 150 + b"]" * 150 + b"]}}",
    ],
)
def test_what_is_none_of_it(tmp_path, content):
    refused(tmp_path, content, name="x.json")


def test_shapes_that_are_wrong_inside(tmp_path):
    """Each value of the template in turn is another kind of thing: taken or refused, never a crash."""
    arm = template.arm(resources=[template.resource("triggers", "t", template.trigger()["properties"])])

    def places(value, at=()):
        yield at
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            yield from places(inner, (*at, key))

    rng = random.Random(7)
    every = [p for p in places(arm) if p]
    for place in rng.sample(every, min(len(every), 200)):
        changed = json.loads(json.dumps(arm))
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = rng.choice([None, 5, "x", [], {}, [[]], {"value": {}}, True, "[concat('"])
        load(save(tmp_path, changed))


def test_a_folder_is_no_file(tmp_path):
    answer, good = load(tmp_path)
    assert not good
    assert "no file" in answer["error"]


def test_a_file_that_is_not_there(tmp_path):
    answer, good = load(tmp_path / "nothing.zip")
    assert not good
    assert "nothing.zip" in answer["error"]
