"""Contract section 6: retrieving frames (T116 to T127, T139)."""

import struct

import pytest
from support import dicom
from support.dicom import Element, Fragments
from support.http import media_type

OCTETS = "application/octet-stream"
OCTETS_ANY = {"Accept": "application/octet-stream; transfer-syntax=*"}
FRAMES_ANY = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
LE = dicom.EXPLICIT


@pytest.mark.parametrize("accept", [OCTETS + "; transfer-syntax=*", OCTETS, f"{OCTETS}; transfer-syntax={LE}"])
def test_T116_one_frame(full, accept):
    answer = full.get(full.trio.g.path + "/frames/1", {"Accept": accept})
    assert answer.status == 200
    assert media_type(answer.type) == (OCTETS, {"transfer-syntax": LE})
    assert len(answer.body) == 2892945
    assert answer.body == full.trio.g.pixels


@pytest.mark.parametrize(
    "accept",
    [
        f'multipart/related; type="{OCTETS}"',
        f"multipart/related; type={OCTETS}",
        f'multipart/related; type="{OCTETS}"; transfer-syntax=*',
        "*/*",
    ],
)
def test_T117_one_frame_multipart(full, accept):
    answer = full.get(full.trio.r.path + "/frames/1", {"Accept": accept})
    assert answer.status == 200
    kind, parameters = media_type(answer.type)
    assert kind == "multipart/related" and parameters["type"] == OCTETS
    (part,) = answer.parts()
    assert media_type(part.headers["content-type"]) == (OCTETS, {"transfer-syntax": LE})
    assert part.headers["content-location"] == f"{full.base}/v2{full.trio.r.path}/frames/1"
    assert part.body == full.trio.r.pixels


@pytest.fixture(scope="module")
def frames(shared_serve):
    """A client of a service with frames of several kinds."""
    web = shared_serve().http
    web.native = dicom.gray_frames(3)
    web.report = dicom.report()
    assert web.store(web.native, web.report).status == 200
    return web


def test_T118_T119_frames_in_the_order_asked(frames):
    for wanted in ("1,2", "2,1", "3", "1,1,3", "3,2,1,2"):
        answer = frames.get(f"{frames.native.path}/frames/{wanted}", FRAMES_ANY)
        assert answer.status == 200
        numbers = [int(n) for n in wanted.split(",")]
        assert [p.body for p in answer.parts()] == [bytes([n]) * 24 for n in numbers]


def test_T120_several_frames_as_a_single_part(frames):
    assert frames.get(frames.native.path + "/frames/1,2", OCTETS_ANY).status == 400


@pytest.mark.parametrize(
    "wanted, status",
    [
        ("0", 400),  # T121
        ("-1", 400),  # T122
        ("a", 400),
        ("1,,2", 400),
        ("1,", 400),
        (",1", 400),
        ("1%2C2", 200),
        ("1.5", 400),
        ("99999999999999999999", 400),
        ("1;2", 400),
        ("4", 404),  # T123
        ("1,4", 404),
        ("2147483647", 404),
    ],
)
def test_T121_T122_T123_frame_lists(frames, wanted, status):
    assert frames.get(f"{frames.native.path}/frames/{wanted}", FRAMES_ANY).status == status


def test_a_long_frame_list(frames):
    wanted = ",".join(["1", "2", "3"] * 1000)
    answer = frames.get(f"{frames.native.path}/frames/{wanted}", FRAMES_ANY)
    assert answer.status == 200
    assert len(answer.parts()) == 3000


def test_T124_no_pixel_data(frames):
    assert frames.get(frames.report.path + "/frames/1", OCTETS_ANY).status == 404


def test_frames_of_the_unknown(frames):
    path = "/studies/1.2/series/1.3/instances/1.4/frames/1"
    assert frames.get(path, OCTETS_ANY).status == 404


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="image/jpeg"',  # T126
        "image/jpeg",
        "application/dicom",
        f'{OCTETS}; transfer-syntax="1.2.840.10008.1.2.4.50"',
        "multipart/related",
        None,
    ],
)
def test_T126_frame_types_refused(frames, accept):
    path = frames.native.path + "/frames/1"
    answer = frames.get(path, {} if accept is None else {"Accept": accept})
    assert answer.status == 406


# What viewers send, by what the frame is stored as: (syntax, Accept, part's type or status)
SLIDES = (  # a viewer of slides: each codec that it has
    'multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.80, '
    'multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.90, '
    'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50, '
    'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1'
)
JPEG = dicom.JPEG_BASELINE
JPEG_LS = "1.2.840.10008.1.2.4.80"


def related_type(kind, syntax=None):
    return f'multipart/related; type="{kind}"' + (f"; transfer-syntax={syntax}" if syntax else "")


@pytest.mark.parametrize(
    "stored, accept, expected",
    [
        (dicom.EXPLICIT, SLIDES, "application/octet-stream"),
        (JPEG, SLIDES, "image/jpeg"),
        (JPEG_LS, SLIDES, "image/jls"),
        (dicom.JPEG_2000_LOSSLESS, SLIDES, "image/jp2"),
        (dicom.RLE, SLIDES, 501),
        (dicom.HTJ2K, SLIDES, 406),
        (dicom.EXPLICIT, related_type("image/jp2") + ", */*;q=0.1", "application/octet-stream"),
        (dicom.RLE, related_type("application/octet-stream") + ", */*;q=0.1", "application/octet-stream"),
        (dicom.EXPLICIT, related_type("*/*"), "application/octet-stream"),  # dicomweb-client, not told more
        (JPEG, related_type("*/*"), "application/octet-stream"),
        (JPEG, related_type("image/jpeg"), "image/jpeg"),
        ("1.2.840.10008.1.2.4.70", related_type("image/jpeg"), "image/jpeg"),
        (JPEG, related_type("image/jpeg", "1.2.840.10008.1.2.4.70"), 406),
        (JPEG, related_type("image/jls", JPEG), 406),
        (JPEG, related_type("image/jpeg", "*"), 406),
        ("1.2.840.10008.1.2.4.91", related_type("image/jp2"), "image/jp2"),
        (dicom.RLE, related_type("image/dicom-rle"), "image/dicom-rle"),
        (dicom.HTJ2K, related_type("image/jphc"), "image/jphc"),
        ("1.2.840.10008.1.2.4.110", related_type("image/jxl"), "image/jxl"),
        ("1.2.840.10008.1.2.4.93", related_type("image/jpx"), "image/jpx"),
        (JPEG, related_type("application/octet-stream", JPEG), "application/octet-stream"),
        # `*` wins at equal q, wherever it stands, and not below
        (JPEG, f'{related_type("image/jpeg")}, {OCTETS}; transfer-syntax=*', "application/octet-stream"),
        (JPEG, f'{related_type("image/jpeg")}, {OCTETS}; transfer-syntax=*;q=0.9', "image/jpeg"),
    ],
)
def test_the_first_form_that_needs_no_conversion(web, stored, accept, expected):
    frame = b"\xff\xd8frame1\xff\xd9"
    if stored == dicom.EXPLICIT:
        one = dicom.gray_frames(1)
        frame = one.pixels
    else:
        one = dicom.encapsulated([[frame]], syntax=stored)
    assert web.store(one).status == 200
    answer = web.get(one.path + "/frames/1", {"Accept": accept})
    if isinstance(expected, int):
        assert answer.status == expected
        assert answer.type.startswith("text/plain") and answer.body
        return
    assert answer.status == 200
    kind = media_type(answer.type)[1].get("type") or media_type(answer.type)[0]
    assert kind == expected
    if answer.type.startswith("multipart"):
        (part,) = answer.parts()
        assert part.headers["content-type"] == f"{expected}; transfer-syntax={stored}"
        assert part.body == frame
    else:
        assert answer.body == frame


def test_several_frames_pass_over_single_parts(frames):
    accept = {"Accept": "application/octet-stream; transfer-syntax=*, */*;q=0.5"}
    answer = frames.get(frames.native.path + "/frames/1,2", accept)
    assert answer.status == 200
    assert len(answer.parts()) == 2
    assert frames.get(frames.native.path + "/frames/1", accept).type.startswith("application/octet")


ENCAPSULATED = {
    "one fragment each": ([[b"aaaa"], [b"bbbbbb"], [b"cc"]], True),
    "several fragments": ([[b"aa", b"AAAA"], [b"bb"], [b"cccc", b"CC", b"cc"]], True),
    "no table, counts agree": ([[b"aaaa"], [b"bbbbbb"], [b"cc"]], False),
    "no table, JPEG ends": (
        [
            [b"\xff\xd8aa", b"aaaa\xff\xd9"],
            [b"\xff\xd8bb\xff\xd9"],
            [b"\xff\xd8c1", b"c2c2", b"c3\xff\xd9"],
        ],
        False,
    ),
}


@pytest.mark.parametrize("kind", ENCAPSULATED)
def test_T127_encapsulated_frames(web, kind):
    content, table = ENCAPSULATED[kind]
    one = dicom.encapsulated(content, table)
    assert web.store(one).status == 200
    answer = web.get(one.path + "/frames/3,1,2", FRAMES_ANY)
    assert answer.status == 200
    whole = [b"".join(frame) for frame in content]
    assert [p.body for p in answer.parts()] == [whole[2], whole[0], whole[1]]
    for part in answer.parts():
        assert media_type(part.headers["content-type"])[1]["transfer-syntax"] == one.syntax
    assert web.get(one.path + "/frames/4", FRAMES_ANY).status == 404
    native = web.get(one.path + "/frames/1", {"Accept": OCTETS})
    assert native.status == 501  # needs transcoding; see test_later.py


def test_single_frame_in_many_fragments(web):
    one = dicom.encapsulated([[bytes([n]) * 1000 for n in range(100)]], table=False)
    one = one.with_(NumberOfFrames=None)
    assert web.store(one).status == 200
    answer = web.get(one.path + "/frames/1", OCTETS_ANY)
    assert answer.status == 200
    assert answer.body == b"".join(bytes([n]) * 1000 for n in range(100))


def test_extended_offset_table(web):
    content = [[b"aaaa"], [b"bbbbbb"], [b"cc"]]
    one = dicom.encapsulated(content, table=False).with_(
        tags={
            0x7FE00001: Element("OV", struct.pack("<QQQ", 0, 12, 26)),
            0x7FE00002: Element("OV", struct.pack("<QQQ", 4, 6, 2)),
        }
    )
    assert web.store(one).status == 200
    parts = web.get(one.path + "/frames/1,2,3", FRAMES_ANY).parts()
    assert [p.body for p in parts] == [b"aaaa", b"bbbbbb", b"cc"]


@pytest.mark.parametrize("table", [b"\xff" * 12, b"\0" * 12, b"\1\0\0\0" * 3, b"abc"])
def test_lying_offset_table(web, table):
    """No crash, no bytes from elsewhere: the right frames, or a clear refusal."""
    one = dicom.encapsulated([[b"aaaa"], [b"bbbb"], [b"cccc"]]).with_(
        PixelData=("OB", Fragments([b"aaaa", b"bbbb", b"cccc"], table))
    )
    assert web.store(one).status in (200, 202, 409)
    answer = web.get(one.path + "/frames/2", OCTETS_ANY)
    assert answer.status in (200, 404, 406)
    if answer.status == 200:
        assert set(answer.body) <= set(b"abc")


@pytest.mark.parametrize("number", ["1000000", "0", "-1", "x", "99999999999"])
def test_lying_number_of_frames(web, number):
    one = dicom.gray_frames(3).with_(NumberOfFrames=number)
    assert web.store(one).status in (200, 202)
    answer = web.get(one.path + "/frames/1", OCTETS_ANY)
    assert answer.status in (200, 404, 406)
    assert web.get(one.path + "/frames/900000", OCTETS_ANY).status in (404, 406)


def test_big_endian_frames(web):
    pixels = bytes(range(48))
    one = dicom.capture(4, 6).with_(
        syntax=dicom.BIG_ENDIAN,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PlanarConfiguration=None,
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelData=("OW", pixels),
    )
    assert web.store(one).status == 200
    answer = web.get(one.path + "/frames/1", OCTETS_ANY)
    assert answer.status == 200
    swapped = b"".join(pixels[i + 1 : i + 2] + pixels[i : i + 1] for i in range(0, 48, 2))
    syntax = media_type(answer.type)[1]["transfer-syntax"]
    assert (syntax, answer.body) in ((dicom.BIG_ENDIAN, pixels), (LE, swapped))


def test_deflated_frames(web):
    one = dicom.gray_frames(3).with_(syntax=dicom.DEFLATED)
    assert web.store(one).status == 200
    answer = web.get(one.path + "/frames/2", OCTETS_ANY)
    assert answer.status in (200, 406)
    if answer.status == 200:
        assert answer.body == bytes([2]) * 24


def test_one_bit_frames(web):
    """3 frames of 3x3 bits are 27 bits in a row: 4 bytes; frame 2 begins at bit 9."""
    one = dicom.capture(3, 3).with_(
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PlanarConfiguration=None,
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        NumberOfFrames="2",
        PixelData=("OB", b"\xff\x01\x00\x00"),
    )
    assert web.store(one).status == 200
    answer = web.get(one.path + "/frames/1", OCTETS_ANY)
    assert answer.status in (200, 406)
    if answer.status == 200:
        assert len(answer.body) in (2, 3)
        assert answer.body[0] == 0xFF and answer.body[1] & 1 == 1


def test_T139_odd_frame_has_no_pad_byte(web):
    one = dicom.capture(3, 3)
    assert len(one.pixels) == 27
    assert web.store(one).status == 200
    answer = web.get(one.path + "/frames/1", OCTETS_ANY)
    assert answer.body == one.pixels


def test_frames_read_only_their_part(serve):
    """Of a file of 64 MB the server reads little more than frame 500."""
    server = serve()
    web = server.http
    one = dicom.gray_frames(1, 256, 256).with_(
        NumberOfFrames="1000",
        PixelData=("OB", b"".join(n.to_bytes(2, "little") * 32768 for n in range(1000))),
    )
    assert web.store(one).status == 200
    before = server.bytes_read()
    answer = web.get(one.path + "/frames/500", OCTETS_ANY)
    assert server.bytes_read() - before < 4 << 20
    assert answer.body == (499).to_bytes(2, "little") * 32768


def test_frames_of_an_empty_pixel_element(web):
    one = dicom.capture(PixelData=("OB", b""))
    assert web.store(one).status in (200, 202)
    assert web.get(one.path + "/frames/1", OCTETS_ANY).status == 404
