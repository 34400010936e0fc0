"""Contract section 5: storing over what is there, and for a time (T070 to T074)."""

import concurrent.futures

import pytest
from support import dicom
from support.http import failed_items, nothing_stored, reason, stored_items, value
from support.server import wait_for


# -- replacement --


def test_T070_put_into_an_empty_service(web, g):
    answer = web.store(g, method="PUT")
    assert answer.status == 200
    assert len(stored_items(answer)) == 1
    assert web.retrieve(g) == g.bytes


def test_T071_put_replaces(web, g):
    assert web.store(g).status == 200
    before = web.get(g.path + "/metadata")
    changed = g.with_(PatientName="Other^Name")
    answer = web.store(changed, method="PUT")
    assert answer.status == 200
    after = web.get(g.path + "/metadata")
    assert value(after.json()[0], "00100010")["Alphabetic"] == "Other^Name"
    assert int(after.headers["ETag"]) > int(before.headers["ETag"])
    assert [(r["action"], r["state"]) for r in web.feed()] == [
        ("Create", "Replaced"),
        ("Create", "Current"),
    ]
    assert web.retrieve(g) == changed.bytes
    assert web.search("/studies?PatientName=Anony%20Mous") == []
    assert len(web.search("/studies?PatientName=Other^Name")) == 1


def test_put_with_another_sop_class(web, g):
    assert web.store(g).status == 200
    changed = g.with_(SOPClassUID=dicom.CT_IMAGE)
    assert web.store(changed, method="PUT", study=g.study).status == 200
    assert value(web.metadata(g.path)[0], "00080016") == dicom.CT_IMAGE


def test_put_of_another_study_than_the_path(web, g):
    answer = web.store(g, method="PUT", study="1.2.3")
    assert answer.status == 409
    assert [reason(i) for i in failed_items(answer)] == [43265]


@pytest.mark.parametrize("dedup, rows", [("on", 1), ("off", 2)])
def test_put_of_the_same_bytes(serve, g, dedup, rows):
    web = serve({"store.put_dedup": dedup}).http
    assert web.store(g, method="PUT").status == 200
    answer = web.store(g, method="PUT")
    assert answer.status == 200
    assert len(stored_items(answer)) == 1
    assert len(web.feed()) == rows
    assert web.store(g.with_(StudyID="2"), method="PUT").status == 200
    assert len(web.feed()) == rows + 1


def test_parallel_puts_of_one_instance(web, g):
    """All answer; the last version in the feed is the one that is read."""
    versions = [g.with_(StudyID=str(n)) for n in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda v: web.store(v, method="PUT"), versions))
    assert {a.status for a in answers} <= {200, 409}
    stored = [v for v, a in zip(versions, answers, strict=True) if a.status == 200]
    for answer in answers:
        assert answer.status == 200 or reason(failed_items(answer)[0]) == 45071
    rows = web.feed()
    assert len(rows) == len(stored)
    assert [r["state"] for r in rows] == ["Replaced"] * (len(rows) - 1) + ["Current"]
    assert web.retrieve(g) in [v.bytes for v in stored]


# -- expiry --

EXPIRY = "msdicom-expiry-time-milliseconds"
SOON = "6000"  # long enough for a second store on a busy machine


def test_T072_expiry(web, g):
    later = g.fresh()
    assert web.store(later, headers={EXPIRY: "3600000"}).status == 200
    assert web.store(g, headers={EXPIRY: "1000"}).status == 200
    wait_for(lambda: web.get(f"/studies/{g.study}/metadata").status == 404, what="the end of the study")
    assert web.get(f"/studies/{later.study}/metadata").status == 200
    assert [r["action"] for r in web.feed()] == ["Create", "Create", "Delete"]


def test_expiry_counts_for_the_whole_study(web, g):
    r = g.fresh("series")
    assert web.store(g).status == 200
    assert web.store(r, headers={EXPIRY: "1", "msdicom-expiry-level": "Study"}).status == 200
    wait_for(lambda: web.search("/instances") == [], 60, "the end of the study")
    assert [r["action"] for r in web.feed()] == ["Create", "Create", "Delete", "Delete"]


def test_T073_a_later_store_cancels(web, g):
    marker = g.fresh()
    assert web.store(g, headers={EXPIRY: SOON}).status == 200
    assert web.store(g.fresh("instance")).status == 200
    assert web.store(marker, headers={EXPIRY: SOON}).status == 200
    wait_for(lambda: web.get(f"/studies/{marker.study}/metadata").status == 404, what="the marker's end")
    assert web.get(f"/studies/{g.study}/metadata").status == 200
    assert len(web.search(f"/studies/{g.study}/instances")) == 2


def test_the_same_bytes_again_cancel_an_expiry(serve, g):
    web = serve({"store.put_dedup": "on"}).http
    marker = g.fresh()
    assert web.store(g, headers={EXPIRY: SOON}).status == 200
    assert web.store(g, method="PUT").status == 200
    assert web.store(marker, headers={EXPIRY: SOON}).status == 200
    wait_for(lambda: web.get(f"/studies/{marker.study}/metadata").status == 404, what="the marker's end")
    assert web.get(f"/studies/{g.study}/metadata").status == 200


@pytest.mark.parametrize("value_", ["0", "x", "-5", "", "1.5", "9" * 30])
def test_T074_bad_expiry(web, g, value_):
    assert web.store(g, headers={EXPIRY: value_}).status == 400
    nothing_stored(web)


@pytest.mark.parametrize(
    "headers",
    [
        {EXPIRY: "1000", "msdicom-expiry-option": "Absolute"},
        {EXPIRY: "1000", "msdicom-expiry-level": "Series"},
    ],
)
def test_bad_expiry_options(web, g, headers):
    assert web.store(g, headers=headers).status == 400
    nothing_stored(web)


def test_expiry_survives_a_restart(serve, g):
    server = serve()
    assert server.http.store(g, headers={EXPIRY: "2000"}).status == 200
    server.restart()
    web = server.http
    wait_for(lambda: web.search("/studies") == [], 60, "the end of the study")
