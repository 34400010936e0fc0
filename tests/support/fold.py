"""The model: a feed folded to the three tables, in a few dozen lines (docs/tables.md)."""

import datetime
import json

from .feed import at

R4 = {  # column -> attribute
    "studydate": "00080020", "studydescription": "00081030", "issuerofpatientid": "00100021",
    "patientid": "00100020", "patientname": "00100010", "modality": "00080060", "sopclassuid": "00080016",
    "patientbirthdate": "00100030", "accessionnumber": "00080050", "referringphysicianname": "00080090",
    "modalitiesinstudy": "00080061", "performedprocedurestepstartdate": "00400244",
    "manufacturermodelname": "00081090", "studytime": "00080030", "timezoneoffsetfromutc": "00080201",
    "numberofstudyrelatedseries": "00201206", "numberofstudyrelatedinstances": "00201208",
    "seriesnumber": "00200011", "seriesdescription": "0008103E", "numberofseriesrelatedinstances": "00201209",
    "bodypartexamined": "00180015", "laterality": "00200060", "seriesdate": "00080021", "seriestime": "00080031",
    "instancenumber": "00200013", "documenttitle": "00420010",
}  # fmt: skip
NAMES = {"00100010", "00080090"}
KEYS = {
    "instance": ("partitionName", "studyinstanceuid", "seriesinstanceuid", "sopinstanceuid"),
    "series": ("partitionName", "studyInstanceUid", "seriesInstanceUid"),
    "study": ("partitionName", "studyInstanceUid"),
}


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def first(metadata, tag):
    values = (metadata.get(tag) or {}).get("Value") or [None]
    value = values[0]
    if tag in NAMES:
        value = value.get("Alphabetic") if isinstance(value, dict) else None
    return value if value is None or isinstance(value, str) else compact(value)


def date(text):
    if text is None or len(text) != 8 or not text.isascii() or not text.isdigit():
        return None
    try:
        return datetime.datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None


def instance_row(entry, created):
    p, study, series, sop = entry["key"]
    m = entry["metadata"] or {}
    row = {"partitionName": p, "studyinstanceuid": study, "seriesinstanceuid": series, "sopinstanceuid": sop,
           "lastModifiedTimestamp": at(entry["us"]), "filepath": entry["path"], "created_date": at(created)}
    row.update({c: first(m, t) for c, t in R4.items()})
    row["studydate_formatted"] = date(row["studydate"])
    known = entry["metadata"] is not None
    row["metadata_string"] = compact(m) if known else None
    row["metadata"] = None if not known else {
        t: (a.get("vr"), None if "Value" not in a else
            [v if v is None or isinstance(v, str) else compact(v) for v in a["Value"]]) for t, a in m.items()}
    return row


def fold(feed, require_path=False):
    """(instance, series, study): dicts of rows by key."""
    instances = {}
    for e in sorted(feed.rows, key=lambda r: r["sequence"]):
        if e["action"] == "Delete":
            instances.pop(e["key"], None)
        elif e["state"] != "Deleted" and (e["path"] or not require_path):
            created = instances.get(e["key"], (None, e["us"]))[1]
            instances[e["key"]] = (e, created)
    rows = {k: instance_row(e, c) for k, (e, c) in instances.items()}
    series, study = {}, {}
    for k, r in rows.items():
        s = series.setdefault(k[:3], {"instanceCount": 0, "top": None})
        s["instanceCount"] += 1
        if s["top"] is None or (r["lastModifiedTimestamp"], k[3]) > s["top"][0]:
            s["top"] = ((r["lastModifiedTimestamp"], k[3]), r)
    for k, s in series.items():
        t = study.setdefault(k[:2], {"seriesCount": 0, "instanceCount": 0, "top": None})
        t["seriesCount"] += 1
        t["instanceCount"] += s["instanceCount"]
        if t["top"] is None or (s["top"][0][0], k[2]) > t["top"][0]:
            t["top"] = ((s["top"][0][0], k[2]), s["top"][1])
    return rows, {k: shown(k, s, True) for k, s in series.items()}, {k: shown(k, s, False) for k, s in study.items()}


def shown(key, group, is_series):
    r = group["top"][1]
    row = {"partitionName": key[0], "studyInstanceUid": key[1], "lastModifiedTimestamp": r["lastModifiedTimestamp"],
           "studyDate": r["studydate_formatted"], "studyDescription": r["studydescription"],
           "issuerOfPatientId": r["issuerofpatientid"], "patientId": r["patientid"], "patientName": r["patientname"],
           "instanceCount": group["instanceCount"]}
    if is_series:
        row.update(seriesInstanceUid=key[2], modality=r["modality"])
    else:
        row.update(seriesCount=group["seriesCount"])
    return row
