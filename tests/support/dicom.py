"""DICOM files made in plain Python, valid and not, for the tests of the service.

A data set is a dict from tag to Element. Nothing here validates: the tests want files that break the
rules as much as files that keep them. See PS3.5 for the encoding and PS3.10 for the file format.
"""

import functools
import struct
import uuid
import zlib
from dataclasses import dataclass, field

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"
HTJ2K = "1.2.840.10008.1.2.4.201"

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"

LONG_LENGTH = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
NUL_PADDED = {"UI", "OB", "UN"}
UNDEFINED = 0xFFFFFFFF

KEYWORDS = {
    "SpecificCharacterSet": (0x00080005, "CS"),
    "SOPClassUID": (0x00080016, "UI"),
    "SOPInstanceUID": (0x00080018, "UI"),
    "StudyDate": (0x00080020, "DA"),
    "SeriesDate": (0x00080021, "DA"),
    "StudyTime": (0x00080030, "TM"),
    "AccessionNumber": (0x00080050, "SH"),
    "Modality": (0x00080060, "CS"),
    "ConversionType": (0x00080064, "CS"),
    "Manufacturer": (0x00080070, "LO"),
    "ReferringPhysicianName": (0x00080090, "PN"),
    "StudyDescription": (0x00081030, "LO"),
    "SeriesDescription": (0x0008103E, "LO"),
    "ManufacturerModelName": (0x00081090, "LO"),
    "ReferencedStudySequence": (0x00081110, "SQ"),
    "ReferencedPerformedProcedureStepSequence": (0x00081111, "SQ"),
    "ReferencedSOPClassUID": (0x00081150, "UI"),
    "PatientName": (0x00100010, "PN"),
    "PatientID": (0x00100020, "LO"),
    "PatientBirthDate": (0x00100030, "DA"),
    "PatientSex": (0x00100040, "CS"),
    "PatientAge": (0x00101010, "AS"),
    "PatientSize": (0x00101020, "DS"),
    "BodyPartExamined": (0x00180015, "CS"),
    "StudyInstanceUID": (0x0020000D, "UI"),
    "SeriesInstanceUID": (0x0020000E, "UI"),
    "StudyID": (0x00200010, "SH"),
    "SeriesNumber": (0x00200011, "IS"),
    "InstanceNumber": (0x00200013, "IS"),
    "FrameIncrementPointer": (0x00280009, "AT"),
    "SamplesPerPixel": (0x00280002, "US"),
    "PhotometricInterpretation": (0x00280004, "CS"),
    "PlanarConfiguration": (0x00280006, "US"),
    "NumberOfFrames": (0x00280008, "IS"),
    "Rows": (0x00280010, "US"),
    "Columns": (0x00280011, "US"),
    "BitsAllocated": (0x00280100, "US"),
    "BitsStored": (0x00280101, "US"),
    "HighBit": (0x00280102, "US"),
    "PixelRepresentation": (0x00280103, "US"),
    "PerformedProcedureStepStartDate": (0x00400244, "DA"),
    "RequestAttributesSequence": (0x00400275, "SQ"),
    "PixelData": (0x7FE00010, "OW"),
}


def uid():
    """A new UID."""
    return f"2.25.{uuid.uuid4().int}"


@dataclass
class Fragments:
    """Encapsulated pixel data: the basic offset table, then the fragments."""

    fragments: list
    offset_table: bytes = b""


@dataclass
class Element:
    vr: str
    value: object  # bytes, str, number(s), list of data sets (SQ), or Fragments


def element_bytes(element, little):
    """The value of an element that is neither a sequence nor encapsulated, padded to even length."""
    value = element.value
    order = "<" if little else ">"
    if value is None:
        return b""
    if element.vr in BINARY and not isinstance(value, bytes):
        values = value if isinstance(value, (list, tuple)) else [value]
        return b"".join(struct.pack(order + BINARY[element.vr], v) for v in values)
    if element.vr == "AT" and not isinstance(value, bytes):
        values = value if isinstance(value, (list, tuple)) else [value]
        return b"".join(struct.pack(order + "HH", v >> 16, v & 0xFFFF) for v in values)
    raw = value if isinstance(value, bytes) else str(value).encode("latin-1")
    if len(raw) % 2:
        raw += b"\0" if element.vr in NUL_PADDED or element.vr == "OW" else b" "
    return raw


def encode(data, explicit=True, little=True, undefined=False):
    """The data set as bytes. `undefined`: sequences and items with undefined length."""
    order = "<" if little else ">"
    out = []

    def item(tag, length):
        out.append(struct.pack(order + "HHI", tag >> 16, tag & 0xFFFF, length))

    for tag in sorted(data):
        element = data[tag]
        if isinstance(element.value, Fragments):
            body = encode_fragments(element.value, order)
            length = UNDEFINED
        elif element.vr == "SQ":
            body = encode_items(element.value or [], explicit, little, undefined)
            length = UNDEFINED if undefined else len(body)
            if undefined:
                body += struct.pack(order + "HHI", 0xFFFE, 0xE0DD, 0)
        else:
            body = element_bytes(element, little)
            length = len(body)
        if not explicit:
            item(tag, length)
        elif element.vr in LONG_LENGTH:
            out.append(struct.pack(order + "HH", tag >> 16, tag & 0xFFFF))
            out.append(element.vr.encode() + struct.pack(order + "HI", 0, length))
        else:
            out.append(struct.pack(order + "HH", tag >> 16, tag & 0xFFFF))
            out.append(element.vr.encode() + struct.pack(order + "H", length))
        out.append(body)
    return b"".join(out)


def encode_items(items, explicit, little, undefined):
    order = "<" if little else ">"
    out = []
    for data in items:
        body = encode(data, explicit, little, undefined)
        length = UNDEFINED if undefined else len(body)
        out.append(struct.pack(order + "HHI", 0xFFFE, 0xE000, length) + body)
        if undefined:
            out.append(struct.pack(order + "HHI", 0xFFFE, 0xE00D, 0))
    return b"".join(out)


def encode_fragments(value, order):
    out = []
    for fragment in [value.offset_table, *value.fragments]:
        if len(fragment) % 2:
            fragment += b"\0"
        out.append(struct.pack(order + "HHI", 0xFFFE, 0xE000, len(fragment)) + fragment)
    out.append(struct.pack(order + "HHI", 0xFFFE, 0xE0DD, 0))
    return b"".join(out)


def file_bytes(data, syntax=EXPLICIT, preamble=bytes(128), undefined=False):
    """A Part 10 file."""
    meta = {
        0x00020001: Element("OB", b"\0\1"),
        0x00020002: Element("UI", text_of(data, 0x00080016)),
        0x00020003: Element("UI", text_of(data, 0x00080018)),
        0x00020010: Element("UI", syntax),
        0x00020012: Element("UI", "2.25.1"),
    }
    body = encode(meta)
    head = encode({0x00020000: Element("UL", len(body))}) + body
    content = encode(data, syntax != IMPLICIT, syntax != BIG_ENDIAN, undefined)
    if syntax == DEFLATED:
        squeeze = zlib.compressobj(wbits=-15)
        content = squeeze.compress(content) + squeeze.flush()
        content += b"\0" * (len(content) % 2)
    return preamble + b"DICM" + head + content


def text_of(data, tag):
    element = data.get(tag)
    if element is None or element.value is None:
        return ""
    value = element.value
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def put(data, **changes):
    """Set elements by keyword: a value, (vr, value), or None to remove the element."""
    for keyword, value in changes.items():
        tag, vr = KEYWORDS[keyword]
        if value is None:
            data.pop(tag, None)
        elif isinstance(value, tuple):
            data[tag] = Element(*value)
        else:
            data[tag] = Element(vr, value)
    return data


@dataclass
class Instance:
    """One instance: its data set and how it is written."""

    data: dict
    syntax: str = EXPLICIT
    preamble: bytes = bytes(128)
    undefined: bool = False
    _bytes: bytes = field(default=None, repr=False)

    @property
    def bytes(self):
        if self._bytes is None:
            self._bytes = file_bytes(self.data, self.syntax, self.preamble, self.undefined)
        return self._bytes

    def text(self, keyword):
        return text_of(self.data, KEYWORDS[keyword][0]).rstrip(" \0")

    @property
    def study(self):
        return self.text("StudyInstanceUID")

    @property
    def series(self):
        return self.text("SeriesInstanceUID")

    @property
    def sop(self):
        return self.text("SOPInstanceUID")

    @property
    def pixels(self):
        return self.data[0x7FE00010].value

    @property
    def path(self):
        """Below /v2: the instance's resource."""
        return f"{self.series_path}/instances/{self.sop}"

    @property
    def series_path(self):
        return f"{self.study_path}/series/{self.series}"

    @property
    def study_path(self):
        return f"/studies/{self.study}"

    def with_(self, tags=None, syntax=None, preamble=None, undefined=None, **changes):
        """A changed copy with the same UIDs. `tags`: {tag: Element or None} for what has no keyword."""
        data = put(dict(self.data), **changes)
        for tag, element in (tags or {}).items():
            if element is None:
                data.pop(tag, None)
            else:
                data[tag] = element
        return Instance(
            data,
            self.syntax if syntax is None else syntax,
            self.preamble if preamble is None else preamble,
            self.undefined if undefined is None else undefined,
        )

    def fresh(self, level="study", **changes):
        """A changed copy with new UIDs, from the level named down."""
        uids = {"SOPInstanceUID": uid()}
        if level in ("study", "series"):
            uids["SeriesInstanceUID"] = uid()
        if level == "study":
            uids["StudyInstanceUID"] = uid()
        return self.with_(**{**uids, **changes})


def picture(shape, color, rows, columns):
    """RGB pixels: a shape in a colour on black."""
    line = bytearray(columns * 3)
    out = bytearray()
    for y in range(rows):
        if shape == "square":
            left, right = columns // 4, 3 * columns // 4
            inside = rows // 4 <= y < 3 * rows // 4
        elif shape == "triangle":
            half = y * columns // (2 * rows)
            left, right, inside = columns // 2 - half, columns // 2 + half, True
        else:
            radius = min(rows, columns) // 3
            half2 = radius * radius - (y - rows // 2) ** 2
            inside = half2 > 0
            half = int(half2**0.5) if inside else 0
            left, right = columns // 2 - half, columns // 2 + half
        row = bytearray(line)
        if inside:
            row[left * 3 : right * 3] = bytes(color) * (right - left)
        out += row
    return bytes(out)


def capture(rows=8, columns=8, shape="square", color=(0, 255, 0), **changes):
    """A secondary capture in colour, like the three of the contract but small."""
    data = put(
        {},
        SOPClassUID=SECONDARY_CAPTURE,
        SOPInstanceUID=uid(),
        StudyDate="20200922",
        StudyTime="101112",
        AccessionNumber="ACC1",
        Modality="OT",
        ConversionType="WSD",
        ReferringPhysicianName="Ref^Erring",
        StudyDescription="Shapes",
        PatientName="Anony Mous",
        PatientID="ID1",
        PatientBirthDate="19700101",
        PatientSex="O",
        StudyInstanceUID=uid(),
        SeriesInstanceUID=uid(),
        StudyID="1",
        SeriesNumber="1",
        InstanceNumber="1",
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        Rows=rows,
        Columns=columns,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        PixelData=("OB", picture(shape, color, rows, columns)),
    )
    return Instance(put(data, **changes))


def report(**changes):
    """A structured report: no pixel data."""
    data = put(
        {},
        SOPClassUID=BASIC_TEXT_SR,
        SOPInstanceUID=uid(),
        StudyDate="20200922",
        Modality="SR",
        PatientName="Anony Mous",
        PatientID="ID1",
        StudyInstanceUID=uid(),
        SeriesInstanceUID=uid(),
        InstanceNumber="1",
    )
    return Instance(put(data, **changes))


def gray_frames(frames, rows=4, columns=6, **changes):
    """A native multi-frame capture; frame n is filled with n."""
    size = rows * columns
    pixels = b"".join(bytes([n + 1]) * size for n in range(frames))
    return capture(rows, columns).with_(
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PlanarConfiguration=None,
        NumberOfFrames=str(frames),
        PixelData=("OB", pixels),
        **changes,
    )


def encapsulated(frames, table=True, syntax=JPEG_BASELINE, **changes):
    """Encapsulated frames, each a list of fragments; the bytes need not be a real picture."""
    fragments, offsets, at = [], [], 0
    for frame in frames:
        offsets.append(at)
        for fragment in frame:
            fragments.append(fragment)
            at += 8 + len(fragment) + len(fragment) % 2
    offset_table = b"".join(struct.pack("<I", o) for o in offsets) if table else b""
    return capture(4, 4).with_(
        syntax=syntax,
        NumberOfFrames=str(len(frames)),
        PixelData=("OB", Fragments(fragments, offset_table)),
        **changes,
    )


@dataclass
class Trio:
    """The contract's G, R and B: one study, G and R in one series, B in another."""

    g: Instance
    r: Instance
    b: Instance

    def __iter__(self):
        return iter((self.g, self.r, self.b))

    @property
    def study(self):
        return self.g.study


@functools.lru_cache(maxsize=4)
def _pictures(rows, columns):
    return (
        picture("square", (0, 255, 0), rows, columns),
        picture("triangle", (255, 0, 0), rows, columns),
        picture("circle", (0, 0, 255), rows, columns),
    )


def trio(rows=979, columns=985):
    """G, R and B with fresh UIDs."""
    square, triangle, circle = _pictures(rows, columns)
    g = capture(rows, columns, PixelData=("OB", square))
    r = g.fresh("instance", InstanceNumber="2", PixelData=("OB", triangle))
    b = g.fresh("series", SeriesNumber="2", PixelData=("OB", circle))
    return Trio(g, r, b)
