#!/usr/bin/env python3
"""Write the seed files of fuzz/fuzz_dicom.c: small DICOM files of our own making.

Usage: dicom_seeds.py FOLDER
"""

import pathlib
import struct
import sys
import zlib

LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
UNDEFINED = 0xFFFFFFFF
IMPLICIT, EXPLICIT, BIG, DEFLATED = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
)


class Writer:
    def __init__(self, syntax):
        self.implicit = syntax == IMPLICIT
        self.order = ">" if syntax == BIG else "<"

    def head(self, tag, vr, length):
        out = struct.pack(self.order + "HH", tag >> 16, tag & 0xFFFF)
        if self.implicit:
            return out + struct.pack(self.order + "I", length)
        if vr in LONG:
            return out + vr.encode() + b"\0\0" + struct.pack(self.order + "I", length)
        return out + vr.encode() + struct.pack(self.order + "H", length)

    def element(self, tag, vr, value):
        if isinstance(value, str):
            value = value.encode("latin1")
        if len(value) % 2:
            value += b"\0" if vr == "UI" else b" "
        return self.head(tag, vr, len(value)) + value

    def item(self, tag, length=0):
        return struct.pack(self.order + "HHI", 0xFFFE, tag, length)

    def sequence(self, tag, items, defined, vr="SQ"):
        body = b""
        for one in items:
            if defined:
                body += self.item(0xE000, len(one)) + one
            else:
                body += self.item(0xE000, UNDEFINED) + one + self.item(0xE00D)
        if defined:
            return self.head(tag, vr, len(body)) + body
        return self.head(tag, vr, UNDEFINED) + body + self.item(0xE0DD)

    def numbers(self, code, *values):
        return struct.pack(self.order + code * len(values), *values)


def file_of(syntax, data_set, preamble=b"\0" * 128):
    w = Writer(EXPLICIT)
    rest = w.element(0x00020001, "OB", b"\0\1") + w.element(0x00020010, "UI", syntax)
    if syntax == DEFLATED:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        data_set = packer.compress(data_set) + packer.flush()
    length = w.element(0x00020000, "UL", struct.pack("<I", len(rest)))
    return preamble + b"DICM" + length + rest + data_set


def identity(w):
    return (
        w.element(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7")
        + w.element(0x00080018, "UI", "1.2.3.4")
        + w.element(0x00080020, "DA", "20200101")
        + w.element(0x00080030, "TM", "101010.5")
    )


def patient(w, name=b"Doe^Jane"):
    return w.element(0x00100010, "PN", name) + w.element(0x00100020, "LO", "ID1")


def uids(w):
    return w.element(0x0020000D, "UI", "1.2.3") + w.element(0x0020000E, "UI", "1.2.3.1")


def image(w, rows=2, columns=3, bits=8, frames=None):
    out = w.element(0x00280002, "US", w.numbers("H", 1)) + w.element(0x00280004, "CS", "MONOCHROME2")
    if frames:
        out += w.element(0x00280008, "IS", str(frames))
    return (
        out
        + w.element(0x00280010, "US", w.numbers("H", rows))
        + w.element(0x00280011, "US", w.numbers("H", columns))
        + w.element(0x00280100, "US", w.numbers("H", bits))
        + w.element(0x00280103, "US", w.numbers("H", 1))
        + w.element(0x00280106, "SS" if w.implicit is False else "US", w.numbers("h", -5))
    )


def nested(w, defined):
    inner = w.element(0x00080100, "SH", "C1") + w.element(0x00080102, "SH", "99X")
    middle = w.element(0x00080005, "CS", "ISO_IR 192") + w.sequence(0x00081140, [inner, b""], defined)
    return w.sequence(0x00081115, [middle, inner], defined)


def encapsulated(w, fragments, table=b"", extended=b""):
    out = b""
    if extended:
        out += w.element(0x7FE00001, "OV", extended)
    out += w.head(0x7FE00010, "OB", UNDEFINED) + w.item(0xE000, len(table)) + table
    for one in fragments:
        out += w.item(0xE000, len(one)) + one
    return out + w.item(0xE0DD)


def every_vr(w):
    n = w.numbers
    return b"".join(
        [
            w.element(0x00080005, "CS", "ISO_IR 100"),
            w.element(0x00080054, "AE", "ONE\\TWO"),
            w.element(0x00100010, "PN", b"M\xfcller^J\xfcrgen=I=P"),
            w.element(0x00100020, "LO", "A\\B"),
            w.element(0x00101010, "AS", "035Y"),
            w.element(0x00101030, "DS", "+70.50\\.5\\1.\\007\\1e5"),
            w.element(0x001021B0, "LT", " long\r\ntext\\ "),
            w.element(0x00189074, "DT", "20200101101010.5+0100"),
            w.element(0x00189313, "FD", n("d", 0.1, -2.5, 1e300)),
            w.element(0x00200013, "IS", "-7"),
            w.element(0x00280009, "AT", n("H", 0x18, 0x1063)),
            w.element(0x00281052, "FL", n("f", 0.1, float("nan"))),
            w.element(0x00420011, "OB", b"%PDF"),
            w.element(0x00720026, "AT", n("H", 1, 2, 3, 4)),
            w.element(0x00720069, "OB", b"ab"),
            w.element(0x0072006C, "SL", n("i", -1, 5)),
            w.element(0x00720078, "UL", n("I", 4000000000)),
            w.element(0x0072007C, "SS", n("h", -3)),
            w.element(0x00720082, "SV", n("q", -(2**60), 5)),
            w.element(0x00720083, "UV", n("Q", 2**60, 5)),
            w.element(0x0072006F, "UC", "a\\b"),
            w.element(0x00720071, "UR", "http://x/y"),
            w.element(0x0072006D, "UN", b"xx"),
            w.element(0x00720070, "UT", "text\\more"),
        ]
    )


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    seeds = {}
    for name, syntax in (("implicit", IMPLICIT), ("explicit", EXPLICIT), ("big", BIG), ("deflated", DEFLATED)):
        w = Writer(syntax)
        body = identity(w) + nested(w, True) + nested(w, False) + patient(w) + uids(w) + image(w)
        seeds[name] = file_of(syntax, body + w.element(0x7FE00010, "OW", bytes(range(6))))
        seeds[name + "_bare"] = body
        seeds[name + "_vrs"] = file_of(syntax, every_vr(w))
    w = Writer(EXPLICIT)
    head = identity(w) + patient(w) + uids(w)
    jpeg = [b"\xff\xd8aaaa", b"bb\xff\xd9", b"\xff\xd8cc\xff\xd9\0\0"[:7] + b"\0"]
    for name, frames, table, extended in (
        ("one", None, b"", b""),
        ("marks", 2, b"", b""),
        ("table", 2, struct.pack("<II", 0, 26), b""),
        ("extended", 2, b"", struct.pack("<QQ", 0, 26)),
        ("each", 3, b"", b""),
    ):
        seeds["fragments_" + name] = file_of(
            "1.2.840.10008.1.2.4.50", head + image(w, frames=frames) + encapsulated(w, jpeg, table, extended)
        )
    seeds["rle"] = file_of("1.2.840.10008.1.2.5", head + image(w, frames=3) + encapsulated(w, jpeg))
    seeds["one_bit"] = file_of(
        EXPLICIT, head + image(w, 3, 3, 1, 2) + w.element(0x7FE00010, "OB", b"abc") + w.element(0xFFFCFFFC, "OB", b"00")
    )
    seeds["un_sequence"] = file_of(
        EXPLICIT,
        head + Writer(EXPLICIT).head(0x30091001, "UN", UNDEFINED)
        + Writer(IMPLICIT).sequence(0, [Writer(IMPLICIT).element(0x00100010, "PN", "x")], False)[8:],
    )
    seeds["order"] = file_of(EXPLICIT, uids(w) + patient(w) + patient(w) + identity(w))
    seeds["preamble"] = head
    for name, terms, text in (
        ("arabic", b"ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1"),
        ("greek", b"ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2"),
        ("thai", b"ISO_IR 166", b"\xca\xc1\xaa\xd2\xc2"),
        ("utf8", b"ISO_IR 192", "Wáng^XiǎoDōng=王^小东".encode()),
        ("broken_utf8", b"ISO_IR 192", b"a\xc3\xff\xe0\x80b\xf0\x9f"),
        ("gb18030", b"GB18030", "Wang^XiaoDong=王^小东\\㐀𠀀".encode("gb18030")),
        ("gbk", b"GBK", "王^小东".encode("gbk")),
        ("japanese", b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"),
        ("katakana", b"ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J"),
        ("jisx0212", b"\\ISO 2022 IR 159", b"\x1b$(D0!\x1b(B"),
        ("korean", b"\\ISO 2022 IR 149", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"),
        ("chinese", b"\\ISO 2022 IR 58", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab"),
        ("mixed", b"ISO 2022 IR 100\\ISO 2022 IR 144", b"Buc^J\xe9r\xf4me\\\x1b-L\xbb\xee\xda"),
    ):
        seeds["charset_" + name] = file_of(
            EXPLICIT,
            w.element(0x00080005, "CS", terms) + identity(w) + patient(w, text) + w.element(0x00104000, "LT", text + b"\r\n" + text),
        )
    for name, content in sorted(seeds.items()):
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
