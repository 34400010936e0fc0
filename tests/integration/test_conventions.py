"""Contract sections 1, 2, 17, 19 and 20: what holds for every endpoint."""

import http.client
import re
import select
import time

import pytest
from support import dicom
from support.http import ANY_DICOM, ANY_MULTIPART, DICOM_JSON, stored_items, value
from support.server import sanitized, wait_for

AUDIT = "X-MS-AZUREDICOM-AUDIT-"


@pytest.fixture(scope="module")
def shared(shared_serve):
    return shared_serve()


@pytest.fixture(scope="module")
def ro(shared):
    """A client of a service that holds one small instance, `ro.one`."""
    one = dicom.capture()
    assert shared.http.store(one).status == 200
    shared.http.one = one
    return shared.http


def test_T001_no_version(ro):
    assert ro.get("/studies", absolute=True).status == 404


def test_T002_unsupported_version(ro):
    answer = ro.get("/v3/studies", absolute=True)
    assert answer.status == 400
    assert answer.type.startswith("application/json")
    assert answer.json()["error"]["code"] == "UnsupportedApiVersion"
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/vx/studies", "/v/studies", "/", "/v2", "/v2/nothing"])
def test_unknown_routes(ro, path):
    assert ro.get(path, absolute=True).status == 404


def test_T003_literal_segments_without_case(web):
    answer = web.get("/V2/Studies", absolute=True)
    assert answer.status == 204
    assert answer.body == b""


def test_identifiers_keep_their_case_but_words_do_not(ro):
    path = ro.one.path.replace("/studies/", "/STUDIES/").replace("/series/", "/Series/")
    assert ro.get(path + "/METADATA").status == 200


def test_prerelease_version_is_v1(ro):
    answer = ro.at("/v1.0-prerelease").get("/studies")
    assert answer.status == 200
    assert set(answer.json()[0]) == set(ro.at("/v1").get("/studies").json()[0])


@pytest.mark.parametrize("path", ["/studies/", "/changefeed/", "/changefeed/latest/"])
def test_trailing_slash(ro, path):
    assert ro.get(path).status == 200


@pytest.mark.parametrize("query", ["PatientName=%3Cx", "PatientName=a%3cb", "a=1&b=%3C"])
def test_T004_T005_less_than_in_the_query(ro, query):
    answer = ro.get("/studies?" + query)
    assert answer.status == 400
    assert answer.type.startswith("text/plain")
    assert answer.body


def test_less_than_is_refused_before_routing(ro):
    assert ro.get("/nowhere?a=%3c", absolute=True).status == 400


def test_raw_less_than_in_the_query(ro):
    request = b"GET /v2/studies?PatientName=<x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert ro.raw_status(request) == 400


@pytest.mark.parametrize(
    "path", ["/studies", "/changefeed", "/studies/1.2/metadata", "/changefeed/latest"]
)
def test_T006_headers_on_every_response(ro, path):
    answer = ro.get(path)
    assert answer.status in (200, 404)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert answer.headers["Content-Security-Policy"] == "frame-src 'self';"
    assert answer.headers["api-supported-versions"] == "1.0-prerelease, 1, 2"
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])


def test_security_headers_on_refusals_too(ro):
    for answer in (
        ro.get("/nowhere", absolute=True),
        ro.get("/studies", {}),
        ro.request("PATCH", "/studies"),
        ro.get("/studies?limit=0"),
    ):
        assert answer.status >= 400
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])


def test_request_ids_differ(ro):
    assert ro.get("/studies").headers["X-Request-Id"] != ro.get("/studies").headers["X-Request-Id"]


@pytest.mark.parametrize(
    "method, path, has",
    [
        ("PATCH", "/studies", {"GET", "POST"}),
        ("DELETE", "/studies", {"GET", "POST"}),
        ("POST", "/changefeed", {"GET"}),
        ("DELETE", "/changefeed/latest", {"GET"}),
        ("PUT", "/studies/1.2/metadata", {"GET"}),
        ("POST", "/studies/1.2/series/1.3", {"GET", "DELETE"}),
        ("PATCH", "/studies/1.2", {"GET", "POST", "DELETE"}),
        ("POST", "/series", {"GET"}),
    ],
)
def test_T007_wrong_method(ro, method, path, has):
    answer = ro.request(method, path, DICOM_JSON)
    assert answer.status == 405
    allowed = {m.strip() for m in answer.headers["Allow"].split(",")}
    assert has <= allowed
    assert method not in allowed


def test_T015_eleven_audit_headers(ro):
    ten = {f"{AUDIT}{n}": "x" for n in range(10)}
    assert ro.get("/studies", {**DICOM_JSON, **ten}).status == 200
    assert ro.get("/studies", {**DICOM_JSON, **ten, AUDIT + "10": "x"}).status == 400


def test_T016_long_audit_header(ro):
    assert ro.get("/studies", {**DICOM_JSON, AUDIT + "a": "x" * 2048}).status == 200
    assert ro.get("/studies", {**DICOM_JSON, AUDIT + "a": "x" * 2049}).status == 400


def test_audit_header_name_without_case(ro):
    assert ro.get("/studies", {**DICOM_JSON, AUDIT.lower() + "a": "x" * 2049}).status == 400


# -- CORS --

PREFLIGHT = {"Access-Control-Request-Method": "GET"}


@pytest.fixture(scope="module")
def cors(shared_serve):
    return shared_serve(
        {"cors.origins": "https://viewer.example,https://other.example", "cors.max_age": 600}
    ).http


@pytest.mark.parametrize("origin", ["https://viewer.example", "https://other.example"])
def test_T017_preflight(cors, origin):
    answer = cors.request("OPTIONS", "/studies", {"Origin": origin, **PREFLIGHT})
    assert answer.status == 204
    assert answer.body == b""
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "GET" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert "Origin" in answer.headers.get("Vary", "")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://viewer.example.evil", "http://viewer.example", "null"]
)
def test_T018_preflight_of_a_foreign_origin(cors, origin):
    answer = cors.request("OPTIONS", "/studies", {"Origin": origin, **PREFLIGHT})
    assert answer.headers.get("Access-Control-Allow-Origin") is None
    assert answer.headers.get("Access-Control-Allow-Methods") is None


def test_cors_on_the_answer_itself(cors):
    answer = cors.get("/changefeed", {"Origin": "https://viewer.example"})
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://viewer.example"
    exposed = {h.strip() for h in answer.headers["Access-Control-Expose-Headers"].split(",")}
    assert {"ETag", "Location", "Content-Location", "Warning"} <= exposed
    assert "erroneous-dicom-attributes" in exposed
    assert {"Accept-Ranges", "Content-Range", "X-Request-Id"} <= exposed
    assert {"dl-feed-id", "dl-next-sequence"} <= exposed
    foreign = cors.get("/changefeed", {"Origin": "https://evil.example"})
    assert foreign.status == 200
    assert foreign.headers.get("Access-Control-Allow-Origin") is None


def test_cors_answers_vary_also_without_an_origin(cors):
    """A cache may not give an answer without the CORS headers to a page that needs them."""
    for path in ("/changefeed", "/studies?limit=0", "/studies/1.2/metadata"):
        for headers in ({}, {"Origin": "https://viewer.example"}, {"Origin": "https://no.example"}):
            assert cors.get(path, {**DICOM_JSON, **headers}).headers.get_all("Vary") == ["Origin"]


def test_cors_on_a_refusal(cors):
    answer = cors.get("/studies?limit=0", {**DICOM_JSON, "Origin": "https://viewer.example"})
    assert answer.status == 400
    assert answer.headers["Access-Control-Allow-Origin"] == "https://viewer.example"


@pytest.mark.parametrize(
    "request_lines, status",
    [
        ("GET /v2/studies?x=" + "a" * 17000 + " HTTP/1.1\r\nHost: localhost\r\n", 414),
        ("GET /v2/studies HTTP/1.1\r\nHost: localhost\r\nX-Big: " + "a" * 66000 + "\r\n", 431),
        ("GET /v2/studies HTTP/1.1\r\nHost: localhost\r\nExpect: magic\r\n", 417),
        ("GET /v2/studies HTTP/1.1\r\nHost: a/b\r\n", 400),
        ("POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n", 413),
        (
            "POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nAccept: application/dicom+json\r\n"
            "Content-Type: application/dicom\r\nTransfer-Encoding: chunked\r\n",
            413,
        ),
    ],
)
def test_cors_on_what_the_server_refuses_by_itself(serve, request_lines, status):
    """Without them the page hears of a broken network, and not of the status."""
    web = serve({"cors.origins": "https://viewer.example", "http.body_limit": 2000}).http
    body = "800\r\n" + "a" * 2048 + "\r\n0\r\n\r\n" if "chunked" in request_lines else ""
    for origin, want in [("https://viewer.example", ["https://viewer.example"]), ("https://no.example", [])]:
        head = f"{request_lines}Origin: {origin}\r\nConnection: close\r\n\r\n{body}"
        lines = web.raw(head.encode()).split(b"\r\n\r\n")[0].decode().split("\r\n")
        assert lines[0].split()[1] == str(status)
        allowed = [line for line in lines if line.startswith("Access-Control-Allow-Origin")]
        assert allowed == [f"Access-Control-Allow-Origin: {one}" for one in want]
        assert lines.count("Vary: Origin") == 1


def test_no_vary_without_cors(ro):
    assert ro.get("/changefeed", {}).headers.get("Vary") is None


def test_what_accept_decides_varies_by_it(ro, cors):
    assert ro.get(ro.one.path, ANY_DICOM).headers.get_all("Vary") == ["Accept"]
    assert ro.get(ro.one.path, {"Accept": "text/html"}).headers.get_all("Vary") == ["Accept"]
    assert ro.get(ro.one.path + "/frames/1", {"Accept": "*/*"}).headers.get_all("Vary") == ["Accept"]
    assert set(cors.get("/studies/1.2", ANY_MULTIPART).headers.get_all("Vary")) == {"Accept", "Origin"}


def test_cors_off_by_default(ro):
    answer = ro.request("OPTIONS", "/studies", {"Origin": "https://a.example", **PREFLIGHT})
    assert answer.headers.get("Access-Control-Allow-Origin") is None
    assert ro.get("/changefeed", {"Origin": "https://a.example"}).headers.get(
        "Access-Control-Allow-Origin"
    ) is None


@pytest.mark.parametrize("credentials", ["on", "off"])
def test_preflight_allows_the_headers_it_asks_for(serve, credentials):
    """`*` would cover neither Authorization nor, beside credentials, anything at all."""
    origin = "https://viewer.example"
    web = serve({"cors.origins": origin, "cors.credentials": credentials}).http
    asked = {"Access-Control-Request-Headers": "accept,authorization"}
    answer = web.request("OPTIONS", "/studies", {"Origin": origin, **PREFLIGHT, **asked})
    assert answer.headers["Access-Control-Allow-Headers"] == "accept,authorization"
    answer = web.request("OPTIONS", "/studies", {"Origin": origin, **PREFLIGHT})
    assert answer.headers["Access-Control-Allow-Headers"] == "*"


def test_preflight_with_headers_that_are_listed(serve):
    origin = "https://viewer.example"
    web = serve({"cors.origins": origin, "cors.headers": "Accept, Content-Type"}).http
    asked = {"Access-Control-Request-Headers": "x-other"}
    answer = web.request("OPTIONS", "/studies", {"Origin": origin, **PREFLIGHT, **asked})
    assert answer.headers["Access-Control-Allow-Headers"] == "Accept, Content-Type"


def test_cors_any_origin(serve):
    web = serve({"cors.origins": "*"}).http
    answer = web.request("OPTIONS", "/studies", {"Origin": "https://a.example", **PREFLIGHT})
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://a.example")


def test_an_origin_that_no_browser_sends(serve):
    server = serve({"cors.origins": "https://a.example, https://viewer.example/"}, start=False, check=False)
    code, said = server.refused()
    assert code in (1, 2)
    assert "cors.origins: 'https://viewer.example/' is not an origin" in said


def test_cors_credentials_need_named_origins(serve):
    server = serve({"cors.origins": "*", "cors.credentials": "on"}, start=False, check=False)
    code, said = server.refused()
    assert code in (1, 2)
    assert "cors" in said


# -- health and service documents --


def test_T019_health(ro):
    answer = ro.get("/health/check", {}, absolute=True)
    assert answer.status == 200
    assert answer.type.startswith("application/json")
    found = answer.json()
    assert found["overallStatus"] == "Healthy"
    assert isinstance(found["details"], list) and found["details"]
    for detail in found["details"]:
        assert detail["status"] == "Healthy"
    names = {d["name"] for d in found["details"]}
    assert {"FeedHealthCheck", "CleanupHealthCheck"} <= names


def test_health_live(ro):
    assert ro.get("/health/live", {}, absolute=True).status == 200


def test_T020_health_with_the_database_gone(serve):
    """The files of the database are overwritten under the running service."""
    server = serve(check=False)
    assert server.http.store(dicom.capture()).status == 200
    for path in (server.home / "state").glob("index.db*"):
        size = path.stat().st_size
        with open(path, "r+b") as f:
            f.write(b"\xa5" * size)

    def unhealthy():
        answer = server.http.get("/health/check", {}, absolute=True)
        return answer.status == 503 and answer.json()["overallStatus"] == "Unhealthy"

    wait_for(unhealthy, 60, "503 from /health/check")  # the result may be 10 s old
    checks = server.http.get("/health/check", {}, absolute=True).json()["details"]
    assert {c["status"] for c in checks} == {"Healthy", "Unhealthy"}
    for check in checks:  # what is looked at, not how it is: that is the status
        assert check["description"].startswith("whether "), check
    assert server.http.get("/studies").status in (500, 503)
    assert server.http.get("/health/live", {}, absolute=True).status == 200


def test_T021_openapi(ro):
    answer = ro.get("/api.yaml", {})
    assert answer.status == 200
    assert re.search(r"""(^|[\s{,])["']?/v2/changefeed["']?:""", answer.text)  # JSON is YAML too
    answer = ro.get("/api.json", {})
    assert answer.status == 200
    document = answer.json()
    assert document["openapi"].startswith("3.")
    assert document["info"]["version"] == "2"
    assert ro.at("/v1").get("/api.json", {}).json()["info"]["version"] == "1"
    for path in (
        "/v2/studies",
        "/v2/studies/{study}",
        "/v2/studies/{study}/metadata",
        "/v2/studies/{study}/series/{series}/instances/{sop}/frames/{frames}",
        "/v2/changefeed",
        "/v2/changefeed/latest",
    ):
        wanted = re.sub(r"\{[^}]*\}", "{}", path)
        assert wanted in {re.sub(r"\{[^}]*\}", "{}", p) for p in document["paths"]}, path


# -- identifiers --


@pytest.mark.parametrize(
    "study, status",
    [
        ("1.2.A", 400),  # T022
        ("1" * 65, 400),  # T023
        ("1" * 64, 404),
        ("1.02.3", 404),  # T024
        ("1..2", 404),
        (".1", 404),
        ("1.2.", 400),  # T025
        ("1.2-3", 400),
        ("$1.2", 400),
        ("1.2%20", 404),
        ("1.2%20%20", 404),
        ("%201.2", 400),
        ("1.2%00", 400),
        ("1%2E2", 404),
        ("%D9%A1", 400),
        ("1.2%zz", 400),
        ("0", 404),
    ],
)
def test_T022_T025_identifiers(ro, study, status):
    assert ro.get(f"/studies/{study}/metadata").status == status


def test_identifier_with_trailing_spaces_is_the_same(ro):
    assert ro.get(f"/studies/{ro.one.study}%20/metadata").status == 200


# -- integers and booleans in queries --


@pytest.mark.parametrize("value", ["+1", "1", "001"])
def test_integers_taken(ro, value):
    answer = ro.get("/changefeed?limit=" + value.replace("+", "%2B"), {})
    assert answer.status == 200


@pytest.mark.parametrize("value", ["1.0", "0x1", "1e1", "", "9" * 30, "%201x", "1%00"])
def test_integers_refused(ro, value):
    assert ro.get("/changefeed?limit=" + value, {}).status == 400


@pytest.mark.parametrize("value, status", [("TRUE", 200), ("False", 200), ("yes", 400), ("1", 400)])
def test_booleans(ro, value, status):
    assert ro.get("/changefeed?includeMetadata=" + value, {}).status == status


def test_unknown_parameters_outside_search_are_ignored(ro):
    assert ro.get("/changefeed?foo=1", {}).status == 200
    assert ro.get(ro.one.path + "?foo=1", ANY_DICOM).status == 200
    assert ro.get(ro.one.path + "/metadata?foo=1").status == 200


@pytest.mark.parametrize("query", ["limit=1&limit=2", "LIMIT=1&limit=1"])
def test_duplicate_known_parameters(ro, query):
    """A key twice is ambiguous: search refuses it; the feed refuses it or takes the first."""
    answer = ro.get("/changefeed?" + query, {})
    assert answer.status == 400 or len(answer.json()) == 1
    assert ro.get("/studies?" + query).status == 400


def test_plus_is_a_space(web):
    assert web.store(dicom.capture(PatientName="Anony Mous")).status == 200
    assert len(web.search("/studies?PatientName=Anony+Mous")) == 1


# -- Accept in general --


@pytest.mark.parametrize(
    "accept, status",
    [
        ("application/dicom+json", 200),
        ("APPLICATION/DICOM+JSON", 200),
        ("application/*", 200),
        ("*/*", 200),
        ("text/html, application/dicom+json;q=0.1", 200),
        ("application/dicom+json;q=0", 406),
        ("application/dicom+json; q=0.0, text/html", 406),
        ("application/json", 406),
        ("application/dicom+xml", 406),
        ("text/*", 406),
        ("garbage, application/dicom+json", 200),  # the range that can be read is listed
        ("text/html;q=2, application/dicom+json", 200),
        ("garbage, text/html", 406),
        ("", 406),
        (";;;", 406),
        (None, 406),
    ],
)
@pytest.mark.parametrize("path", ["/studies", "metadata"])
def test_accept_of_dicom_json(ro, path, accept, status):
    path = ro.one.path + "/metadata" if path == "metadata" else path
    answer = ro.get(path, {} if accept is None else {"Accept": accept})
    assert answer.status == status
    if status == 406:
        assert answer.body == b""
    else:
        assert answer.type == "application/dicom+json; charset=utf-8"


def test_lenient_accept(serve):
    web = serve({"http.lenient_accept": "on"}).http
    one = dicom.capture()
    answer = web.store(one, headers={"Accept": "application/json"})
    assert answer.status == 200
    assert answer.type == "application/dicom+json; charset=utf-8"
    for path in ("/studies", one.path + "/metadata"):
        answer = web.get(path, {"Accept": "application/json"})
        assert answer.status == 200
        assert answer.type == "application/dicom+json; charset=utf-8"


def test_accept_is_not_enforced_on_service_json(ro):
    answer = ro.get("/changefeed", {"Accept": "text/html"})
    assert answer.status == 200
    assert answer.type == "application/json; charset=utf-8"


# -- HEAD --


def test_head_wherever_get_is(ro):
    for path, headers in [
        ("/studies", DICOM_JSON),
        ("/series", DICOM_JSON),
        (ro.one.path, ANY_DICOM),
        (ro.one.path + "/metadata", DICOM_JSON),
        (ro.one.path + "/frames/1", {"Accept": "application/octet-stream"}),
        ("/changefeed", {}),
        ("/changefeed/latest", {}),
        ("/api.json", {}),
    ]:
        whole = ro.get(path, headers)
        head = ro.request("HEAD", path, headers)
        assert head.status == whole.status == 200, path
        assert head.body == b"", path
        assert head.type == whole.type, path
        for name in ("ETag", "Content-Length"):
            if head.headers.get(name) is not None:
                assert head.headers[name] == whole.headers[name], (path, name)
    assert ro.request("HEAD", "/health/check", absolute=True).status == 200
    assert ro.request("HEAD", "/studies/1.2.3/metadata", DICOM_JSON).status == 404


def test_head_sends_no_body_on_the_wire(ro):
    request = (
        f"HEAD /v2{ro.one.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Accept: application/dicom; transfer-syntax=*\r\n\r\n"
    )
    answer = ro.raw(request.encode())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


# -- limits of the protocol --


def test_url_limit(ro):
    base = "/v2/changefeed?x="
    fits = base + "a" * (16 * 1024 - len(base) - 200)
    assert ro.get(fits, {}, absolute=True).status == 200
    assert ro.get(base + "a" * (16 * 1024), {}, absolute=True).status == 414


def test_header_block_limit(ro):
    value = "a" * 8000
    fits = {f"X-Fill-{n}": value for n in range(7)}
    assert ro.get("/changefeed", fits).status == 200
    too_much = {f"X-Fill-{n}": value for n in range(9)}
    assert ro.get("/changefeed", too_much).status == 431


def test_endless_header_is_cut_off(ro):
    """431 at once; what still comes is dropped for a few seconds, then the connection ends."""
    start = b"GET /v2/changefeed HTTP/1.1\r\nHost: localhost\r\nX-A: "
    assert ro.flood(start, b"a" * 65536).startswith(b"HTTP/1.1 431 ")
    assert ro.get("/changefeed", {}).status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /v2/changefeed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1x\r\n\r\na",
        b"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\na",
        b"GET /v2/changefeed HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64 + b"\r\n\r\n",
    ],
    ids=["two lengths", "negative", "not a number", "huge", "no host", "one word", "TLS hello"],
)
def test_malformed_requests(ro, request_bytes):
    status = ro.raw_status(request_bytes, shut=True)
    assert status in (0, 400, 413, 501, 505), status
    assert ro.get("/changefeed", {}).status == 200


def test_length_and_chunked_together(ro):
    """A request that could be read two ways must not be (RFC 9112 section 6.1)."""
    answer = ro.raw(
        b"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Type: application/dicom\r\n"
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        b"GET /v2/changefeed HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 ") <= 1 or answer.startswith(b"HTTP/1.1 4"), answer[:2000]
    assert ro.get("/changefeed", {}).status == 200


def test_connection_is_kept_alive(ro):
    connection = ro.connect()
    for _ in range(3):
        connection.request("GET", "/v2/changefeed")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    connection.close()


def test_http_1_0(ro):
    answer = ro.raw(b"GET /v2/changefeed HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert b" 200 " in answer.split(b"\r\n")[0]


def test_absolute_urls_come_from_the_host_header(serve):
    """Forwarded headers do not count."""
    ro = serve({"http.hosts": "archive.example"}).http
    one = dicom.capture()
    answer = ro.store(
        one,
        headers={
            "Host": "archive.example:8443",
            "Forwarded": "host=evil.example;proto=https",
            "X-Forwarded-Host": "evil.example",
        },
    )
    url = value(stored_items(answer)[0], "00081190")
    assert url == f"http://archive.example:8443/v2{one.path}"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example"])
@pytest.mark.parametrize("method, path", [("GET", "/studies"), ("HEAD", "/changefeed"), ("POST", "/studies")])
def test_a_name_of_somebody_else_is_not_served(ro, host, method, path):
    """Else a page could read the archive by a name of its own that leads to this address."""
    answer = ro.request(method, path, {**DICOM_JSON, "Host": host}, b"" if method == "POST" else None)
    assert answer.status == 421
    assert "http.hosts" in answer.text or method == "HEAD"


def test_health_is_for_any_name(ro):
    assert ro.get("/health/live", {"Host": "evil.example"}, absolute=True).status == 200


def test_names_of_a_proxy_are_served(serve):
    web = serve({"http.hosts": "a.example", "http.public_url": "https://b.example:8443/x"}).http
    for host in ("a.example", "A.example:81", "b.example", "localhost", "[::1]:80", "127.0.0.1"):
        assert web.get("/changefeed", {"Host": host}).status == 200, host
    assert web.get("/changefeed", {"Host": "c.example"}).status == 421


def test_public_url(serve):
    """Behind a proxy that speaks TLS and keeps the service below a path."""
    web = serve({"http.public_url": "https://images.example/dicom"}).http
    one = dicom.capture(AccessionNumber="A\\B")
    url = f"https://images.example/dicom/v2{one.path}"
    answer = web.store(one, study=one.study, headers={"Host": "images.example:1"})
    assert value(stored_items(answer)[0], "00081190") == url
    study_url = f"https://images.example/dicom/v2/studies/{one.study}"
    assert value(answer.json(), "00081190") == study_url
    assert answer.headers["Warning"].startswith("299 images.example: ")
    (found,) = web.search("/studies?includefield=RetrieveURL")
    assert value(found, "00081190") == study_url
    (part,) = web.get(one.study_path, ANY_MULTIPART).parts()
    assert part.headers["content-location"] == url
    (part,) = web.get(one.path + "/frames/1", {"Accept": "*/*"}).parts()
    assert part.headers["content-location"] == url + "/frames/1"


# -- slow and many connections --


def test_many_slow_connections_leave_room(serve):
    """200 connections that send one byte now and then; another client works meanwhile."""
    web = serve({"http.idle_timeout": 600}).http
    one = dicom.capture()
    slow = [web.socket() for _ in range(200)]
    try:
        for s in slow:
            s.sendall(b"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nAccept: application/dicom+json\r\n")
        for s in slow:
            s.sendall(b"Content-Type: application/dicom\r\nContent-Length: 100000\r\n\r\nDICM")
        assert web.store(one).status == 200
        assert web.retrieve(one) == one.bytes
        assert len(web.search("/studies")) == 1
        assert not select.select(slow, [], [], 0)[0]  # none of them was ended to make room
        for s in slow:
            s.sendall(b"x")
        assert web.get("/changefeed", {}).status == 200
    finally:
        for s in slow:
            s.close()


def test_slow_sender_is_cut_off(serve):
    web = serve({"http.idle_timeout": 2}).http
    with web.socket() as s:
        started = time.monotonic()
        s.sendall(
            b"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nAccept: application/dicom+json\r\n"
            b"Content-Type: application/dicom\r\nContent-Length: 100000\r\n\r\nhalf"
        )
        try:
            while s.recv(4096):
                pass
        except ConnectionResetError:
            pass
        assert time.monotonic() - started > 1
    assert web.search("/studies") == []
    assert web.get("/changefeed", {}).json() == []


def test_connection_limit(serve):
    """More connections than http.connections: the service says no, and recovers."""
    web = serve({"http.connections": 16}).http
    held = []
    try:
        for _ in range(40):
            held.append(web.socket())
            held[-1].sendall(b"GET /v2/changefeed HTTP/1.1\r\n")
    except (ConnectionResetError, BrokenPipeError, ConnectionRefusedError):
        pass
    finally:
        for s in held:
            s.close()

    def answers():
        try:
            return web.get("/changefeed", {}).status == 200
        except (OSError, http.client.HTTPException):
            return False

    wait_for(answers, 60, "an answer after the crowd left")


def test_threads_do_not_pile_up(serve):
    server = serve()
    web = server.http
    for _ in range(50):
        web.get("/changefeed", {})
    before = server.thread_count(), server.descriptor_count()
    for _ in range(100):
        assert web.get("/changefeed", {}).status == 200
    wait_for(
        lambda: server.thread_count() <= before[0] + 4
        and server.descriptor_count() <= before[1] + 4,
        60,
        "threads and descriptors back",
    )


# -- the process --


def test_sigterm_stops_cleanly(serve):
    server = serve()
    assert server.http.store(dicom.capture()).status == 200
    assert server.stop() == 0


def test_one_process_per_home(serve):
    first = serve()
    second = serve(home=first.home, start=False, check=False)
    second.log_path = first.home.parent / "second.log"
    code, said = second.refused()
    assert code == 1
    assert first.base in said
    assert first.http.get("/changefeed", {}).status == 200


@pytest.mark.parametrize(
    "setting, value",
    [
        ("service.partitions", "maybe"),
        ("no.such.setting", "1"),
        ("http.body_limit", "-1"),
        ("http.body_limit", "x"),
        ("service.name", "a b"),
        ("http.idle_timeout", "1x"),
        ("http.public_url", "images.example"),
    ],
)
def test_bad_settings_are_refused(serve, setting, value):
    server = serve({setting: value}, start=False, check=False)
    code, said = server.refused()
    assert code in (1, 2)
    assert setting in said


def test_only_loopback(serve):
    server = serve(start=False, check=False)
    words = server.command()
    words[words.index("127.0.0.1:0")] = "0.0.0.0:0"
    server.command = lambda: words
    code, said = server.refused()
    assert code in (1, 2)
    assert "loopback" in said


def test_settings_from_the_home(serve, tmp_path):
    home = tmp_path / "prepared"
    (home / "config").mkdir(parents=True)
    (home / "config" / "service.json").write_text('{"service.partitions": "on"}')
    web = serve(home=home).http
    assert web.get("/studies").status == 400
    assert web.get("/partitions", {}).status == 200


def test_names_are_fixed_at_first_start(serve):
    server = serve({"service.name": "first"})
    assert server.stop() == 0
    server.settings["service.name"] = "second"
    code, said = server.refused()
    assert code in (1, 2)
    assert "service.name" in said
    server.settings["service.name"] = "first"


@pytest.mark.skipif(sanitized(), reason="a sanitizer build needs more memory")
def test_idle_memory(serve):
    server = serve()
    assert server.http.get("/studies").status == 204
    assert server.memory_bytes("VmRSS") < 40 << 20
