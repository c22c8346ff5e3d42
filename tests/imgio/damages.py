"""Damaged pictures: all(FOLDER) gives (kind, what was done, bytes), made of the sound ones in FOLDER."""

import os
import random
import struct
import zlib

# ---- PNG ---------------------------------------------------------------------------------------------

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, content, crc=None):
    if crc is None:
        crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


class Png:
    """The chunks of a PNG as [type, content], taken apart and put together."""

    def __init__(self, data):
        self.chunks = []
        at = 8
        while at < len(data):
            size, = struct.unpack_from(">I", data, at)
            self.chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + size]])
            at += 12 + size
        self.header = self.content(b"IHDR")
        self.packed = b"".join(c for kind, c in self.chunks if kind == b"IDAT")
        self.raw = zlib.decompress(self.packed)
        self.middle = [c for c in self.chunks if c[0] not in (b"IHDR", b"IDAT", b"IEND")]

    def content(self, kind):
        return next(c for k, c in self.chunks if k == kind)

    def made(self, header=None, before=b"", idat=None, behind=b"", end=chunk(b"IEND", b""), middle=None):
        if middle is None:
            middle = b"".join(chunk(*c) for c in self.middle)
        if header is None:
            header = chunk(b"IHDR", self.header)
        if idat is None:
            idat = chunk(b"IDAT", self.packed)
        return SIGNATURE + header + before + middle + idat + behind + end


def with_byte(data, at, value):
    return data[:at] + bytes([value]) + data[at + 1 :]


def text(size=20):
    return b"Comment\0" + b"x" * size


def frame_control(number, width, height):
    return struct.pack(">IIIIIHHBB", number, width, height, 0, 0, 1, 10, 0, 0)


def checksums(p):
    packed = p.packed
    yield "a wrong checksum of IDAT", p.made(idat=chunk(b"IDAT", packed, 1))
    yield "a wrong checksum of the second of three IDATs", p.made(
        idat=chunk(b"IDAT", packed[:50]) + chunk(b"IDAT", packed[50:90], 1) + chunk(b"IDAT", packed[90:]))
    yield "a wrong checksum of IHDR", p.made(header=chunk(b"IHDR", p.header, 1))
    yield "a wrong checksum of a text before IDAT", p.made(before=chunk(b"tEXt", text(), 1))
    yield "a wrong checksum of an unknown chunk before IDAT", p.made(before=chunk(b"prVt", b"123", 1))
    yield "a wrong checksum of a text behind IDAT", p.made(behind=chunk(b"tEXt", text(), 1))
    yield "a wrong checksum of IEND", p.made(end=chunk(b"IEND", b"", 1))
    yield "wrong checksums of everything from IDAT on", p.made(
        idat=chunk(b"IDAT", packed, 1), behind=chunk(b"tEXt", text(), 2), end=chunk(b"IEND", b"", 3))
    if p.middle:
        yield "a wrong checksum of PLTE", p.made(middle=chunk(b"PLTE", p.content(b"PLTE"), 1))
    wrong = packed[:-4] + b"\1\2\3\4"
    yield "a wrong sum of zlib", p.made(idat=chunk(b"IDAT", wrong))
    yield "a wrong sum of zlib in a chunk of its own", p.made(
        idat=chunk(b"IDAT", wrong[:-4]) + chunk(b"IDAT", wrong[-4:]))
    yield "a wrong sum of zlib, half in another chunk", p.made(
        idat=chunk(b"IDAT", wrong[:-2]) + chunk(b"IDAT", wrong[-2:]))


def ends(p):
    whole = p.made()
    behind = len(chunk(b"IEND", b""))
    yield "no IEND", whole[:-behind]
    for cut in 1, 4, 6, 8, 11:
        yield "%d bytes of IEND missing" % cut, whole[:-cut]
    for cut in 1, 2, 4:
        yield "%d bytes of IDAT's checksum missing" % cut, whole[: -behind - cut]
    for cut in 1, 3, 4, 5, 6, 12, 40:
        yield "cut %d bytes before the end of IDAT" % cut, whole[: -behind - 4 - cut]
    for cut in 1, 3, 4, 5, 6, 12:
        yield "%d bytes of the data missing, all else whole" % cut, p.made(idat=chunk(b"IDAT", p.packed[:-cut]))
    yield "bytes behind the end", whole + b"more"
    yield "zeros in place of IEND", p.made(end=bytes(12))
    yield "a text behind IDAT, cut", p.made(behind=chunk(b"tEXt", text()), end=b"")[:-8]
    yield "a text behind IDAT without its checksum", p.made(behind=chunk(b"tEXt", text()), end=b"")[:-4]
    yield "an unknown chunk behind IDAT, cut", p.made(behind=chunk(b"prVt", bytes(40)), end=b"")[:-20]
    yield "a chunk behind IDAT of a huge size", p.made(behind=struct.pack(">I", 1 << 30) + b"tEXt" + text())
    yield "another IDAT, cut", p.made(behind=chunk(b"IDAT", bytes(40)), end=b"")[:-20]
    yield "another IDAT", p.made(behind=chunk(b"IDAT", bytes(40)))
    yield "IEND twice", p.made(behind=chunk(b"IEND", b""))
    yield "nothing but the header", p.made(idat=b"", end=b"")
    yield "no IDAT", p.made(idat=b"")
    yield "IEND before IDAT", p.made(before=chunk(b"IEND", b""))
    yield "cut in the header", whole[:20]
    yield "cut to its signature", whole[:8]


def pieces(p):
    packed = p.packed
    yield "an IDAT for each byte", p.made(idat=b"".join(chunk(b"IDAT", packed[i : i + 1]) for i in range(len(packed))))
    yield "empty IDATs between", p.made(idat=chunk(b"IDAT", b"") + chunk(b"IDAT", packed[:60]) + chunk(b"IDAT", b"")
                                        + chunk(b"IDAT", packed[60:]) + chunk(b"IDAT", b""))
    yield "a text between IDATs", p.made(
        idat=chunk(b"IDAT", packed[:60]) + chunk(b"tEXt", text()) + chunk(b"IDAT", packed[60:]))
    yield "a text between the last row and zlib's sum", p.made(
        idat=chunk(b"IDAT", packed[:-4]) + chunk(b"tEXt", text()) + chunk(b"IDAT", packed[-4:]))
    yield "an IDAT in the middle missing", p.made(idat=chunk(b"IDAT", packed[:60]) + chunk(b"IDAT", packed[90:]))
    yield "bytes behind zlib's sum", p.made(idat=chunk(b"IDAT", packed + b"more"))
    yield "another zlib stream behind", p.made(idat=chunk(b"IDAT", packed + packed))


def rows(p):
    width, height = struct.unpack_from(">II", p.header)
    taller = struct.pack(">II", width, height + 3) + p.header[8:]
    lower = struct.pack(">II", width, height - 3) + p.header[8:]
    wider = struct.pack(">II", width + 5, height) + p.header[8:]
    yield "three rows too few", p.made(header=chunk(b"IHDR", taller))
    yield "three rows too many", p.made(header=chunk(b"IHDR", lower))
    yield "five columns too few", p.made(header=chunk(b"IHDR", wider))
    yield "no rows", p.made(header=chunk(b"IHDR", struct.pack(">II", width, 0) + p.header[8:]))
    half = p.raw[: len(p.raw) // 2]
    yield "half of the data, ended in order", p.made(idat=chunk(b"IDAT", zlib.compress(half)))
    if not p.header[12]:
        stride = len(p.raw) // height
        yield "one row, ended in order", p.made(idat=chunk(b"IDAT", zlib.compress(p.raw[:stride])))
        yield "filter 5 of a row", p.made(idat=chunk(b"IDAT", zlib.compress(with_byte(p.raw, 3 * stride, 5))))
        yield "filter 200 of the last row", p.made(
            idat=chunk(b"IDAT", zlib.compress(with_byte(p.raw, (height - 1) * stride, 200))))
        for number in range(1, 5):
            raw = p.raw
            for row in range(height):
                raw = with_byte(raw, row * stride, number)
            yield "filter %d everywhere" % number, p.made(idat=chunk(b"IDAT", zlib.compress(raw)))
    yield "no data", p.made(idat=chunk(b"IDAT", zlib.compress(b"")))
    yield "a header of zlib for another window", p.made(idat=chunk(b"IDAT", b"\x18\x19" + p.packed[2:]))
    yield "no header of zlib", p.made(idat=chunk(b"IDAT", b"\0\0" + p.packed[2:]))


def headers(p):
    size = p.header[:8]
    kinds = p.header[8:]
    yield "a bad byte of the signature", with_byte(p.made(), 6, 0)
    yield "the signature after a transfer as text", p.made().replace(b"\r\n", b"\n", 1)
    yield "another compression", p.made(header=chunk(b"IHDR", size + with_byte(kinds, 2, 1)))
    yield "another filter method", p.made(header=chunk(b"IHDR", size + with_byte(kinds, 3, 1)))
    yield "interlace 2", p.made(header=chunk(b"IHDR", size + with_byte(kinds, 4, 2)))
    yield "depth 3", p.made(header=chunk(b"IHDR", size + with_byte(kinds, 0, 3)))
    yield "colour 5", p.made(header=chunk(b"IHDR", size + with_byte(kinds, 1, 5)))
    yield "a header of 12 bytes", p.made(header=chunk(b"IHDR", p.header[:12]))
    yield "a header of 15 bytes", p.made(header=chunk(b"IHDR", p.header + b"xx"))
    yield "two headers", p.made(header=chunk(b"IHDR", bytes(8) + kinds) + chunk(b"IHDR", p.header))
    yield "two headers, the first right", p.made(header=chunk(b"IHDR", p.header) + chunk(b"IHDR", bytes(8) + kinds))
    yield "no header", p.made(header=b"")
    yield "a header behind the pixels", p.made(behind=chunk(b"IHDR", p.header))
    yield "a short header behind the pixels", p.made(behind=chunk(b"IHDR", p.header[:9]))
    yield "a text before the header", p.made(header=chunk(b"tEXt", text()) + chunk(b"IHDR", p.header))
    yield "a type that is no letters", p.made(before=chunk(b"a\0cd", b""))
    yield "a type that is no letters, behind", p.made(behind=chunk(b"a\0cd", b""))
    yield "a type with a digit", p.made(before=chunk(b"a1_d", b""))
    yield "an unknown critical chunk", p.made(before=chunk(b"ABCD", b"12"))
    yield "an unknown critical chunk behind", p.made(behind=chunk(b"ABCD", b"12"))
    yield "a chunk of a huge size before IDAT", p.made(before=struct.pack(">I", 1 << 30) + b"tEXt" + text())


def palettes(p):
    if p.header[9] != 3:
        yield "a palette that nobody needs", p.made(before=chunk(b"PLTE", bytes(range(30))))
        yield "a palette of 300 colours that nobody needs", p.made(before=chunk(b"PLTE", bytes(900)))
        return
    colours = p.content(b"PLTE")
    yield "no palette", p.made(middle=b"")
    for size in 0, 1, 3, 7, 30, len(colours) - 1:
        yield "a palette of %d bytes" % size, p.made(middle=chunk(b"PLTE", colours[:size]))
    yield "a palette of 300 colours", p.made(middle=chunk(b"PLTE", (colours * 300)[:900]))
    yield "a palette of 257 colours", p.made(middle=chunk(b"PLTE", (colours * 300)[:771]))
    yield "two palettes", p.made(before=chunk(b"PLTE", bytes(len(colours))))
    yield "a long palette, then a short one", p.made(middle=chunk(b"PLTE", colours) + chunk(b"PLTE", b"abc"))
    yield "the palette before the header", p.made(header=chunk(b"PLTE", colours) + chunk(b"IHDR", p.header), middle=b"")
    yield "the palette behind IDAT", p.made(middle=b"", behind=chunk(b"PLTE", colours))
    for size in 1, 200, 300:
        yield "transparency of %d bytes" % size, p.made(idat=chunk(b"tRNS", bytes(range(256))[:size] * 1
                                                                   + bytes(max(0, size - 256)))
                                                        + chunk(b"IDAT", p.packed))


def notes(p):
    """Chunks that mean nothing for the pixels, before them and behind them."""
    bomb = zlib.compress(bytes(3 << 20))
    large = zlib.compress(bytes(1 << 20))
    kinds = [
        ("a text without a key", b"tEXt", b"\0abc"), ("a text without an end of its key", b"tEXt", b"abc"),
        ("an empty text", b"tEXt", b""), ("a packed text", b"zTXt", b"k\0\0" + zlib.compress(b"abc")),
        ("a damaged packed text", b"zTXt", b"k\0\0xxxxxxx"), ("an empty packed text", b"zTXt", b""),
        ("a packed text of a key", b"zTXt", b"key"), ("a packed text of a key and 0", b"zTXt", b"key\0"),
        ("a packed text of another compression", b"zTXt", b"k\0\1" + zlib.compress(b"abc")),
        ("a packed text, cut", b"zTXt", b"k\0\0" + zlib.compress(b"abc" * 99)[:9]),
        ("a packed text of 1 MiB", b"zTXt", b"k\0\0" + large), ("a packed text of 3 MiB", b"zTXt", b"k\0\0" + bomb),
        ("an international text", b"iTXt", b"k\0\0\0en\0k\0abc"), ("a short international text", b"iTXt", b"k\0\0"),
        ("an international text without names", b"iTXt", b"k\0\0\0abc"),
        ("a packed international text of 3 MiB", b"iTXt", b"k\0\1\0en\0k\0" + bomb),
        ("a damaged packed international text", b"iTXt", b"k\0\1\0en\0k\0abc"),
        ("an international text of another compression", b"iTXt", b"k\0\1\1en\0k\0abc"),
        ("an international text that is not UTF-8", b"iTXt", b"k\0\0\0en\0k\0\xff\xfe"),
        ("a profile", b"iCCP", b"k\0\0" + zlib.compress(b"abc")), ("a damaged profile", b"iCCP", b"k\0\0abcdefg"),
        ("a profile of another compression", b"iCCP", b"k\0\7abcdefg"), ("an empty profile", b"iCCP", b""),
        ("a profile without an end of its name", b"iCCP", b"kkkk"), ("a profile of a name", b"iCCP", b"k\0"),
        ("a profile of 3 MiB", b"iCCP", b"k\0\0" + bomb),
        ("gAMA of 3 bytes", b"gAMA", b"abc"), ("gAMA of 5 bytes", b"gAMA", b"abcde"), ("sRGB of none", b"sRGB", b""),
        ("sRGB of 2 bytes", b"sRGB", b"ab"), ("pHYs of 8 bytes", b"pHYs", bytes(8)), ("pHYs of 9", b"pHYs", bytes(9)),
        ("cHRM of 31 bytes", b"cHRM", bytes(31)), ("cHRM of 4 bytes", b"cHRM", bytes(4)), ("tRNS of none", b"tRNS", b""),
        ("tRNS of 1 byte", b"tRNS", b"a"), ("tRNS of 2 bytes", b"tRNS", bytes(2)), ("tRNS of 5 bytes", b"tRNS", bytes(5)),
        ("tRNS of 6 bytes", b"tRNS", bytes(6)), ("eXIf of nonsense", b"eXIf", b"abc"), ("bKGD of 1 byte", b"bKGD", b"a"),
        ("tIME of 2 bytes", b"tIME", b"ab"), ("acTL of 7 bytes", b"acTL", bytes(7)),
        ("acTL of no frames", b"acTL", bytes(8)), ("fcTL of 25 bytes", b"fcTL", bytes(25)),
        ("fcTL with a wrong number", b"fcTL", frame_control(5, 4, 4)),
        ("fcTL of a frame that is too large", b"fcTL", frame_control(0, 400, 4)),
        ("fdAT of 3 bytes", b"fdAT", b"abc"), ("fdAT without fcTL", b"fdAT", bytes(8)),
    ]
    for what, kind, content in kinds:
        if kind != b"fdAT":
            yield what, p.made(before=chunk(kind, content))
        yield what + ", behind", p.made(behind=chunk(kind, content))


def animations(p):
    width, height = struct.unpack_from(">II", p.header)
    control = chunk(b"acTL", struct.pack(">II", 2, 0))
    first = chunk(b"fcTL", frame_control(0, width, height))
    second = chunk(b"fcTL", frame_control(1, width, height))
    frame = chunk(b"fdAT", struct.pack(">I", 2) + p.packed)
    yield "an animation", p.made(before=control + first, behind=second + frame)
    yield "an animation, its second frame damaged", p.made(before=control + first, behind=second + frame[:60], end=b"")
    yield "an animation, frames out of order", p.made(
        before=control + first, behind=chunk(b"fcTL", frame_control(7, width, height)) + frame)
    yield "an animation beside the picture", p.made(before=control, behind=first + frame)
    yield "an animation of one frame, then another", p.made(
        before=chunk(b"acTL", struct.pack(">II", 1, 0)) + first, behind=second + frame)
    yield "an animation without a beginning", p.made(before=first, behind=second + frame)
    yield "an animation without a beginning, out of order", p.made(before=first, behind=second[:20] + second[20:] + chunk(
        b"fdAT", struct.pack(">I", 9) + p.packed))
    yield "two beginnings of an animation", p.made(before=control + control + first, behind=second + frame)


def fetched():
    """Gray pictures whose data go on for 0 to 5 bytes behind 64 KiB, and so their sum, which is wrong, or behind 8 KiB:
    readers fetch so much at once."""
    width, height = 99, 700
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    raw = b"".join(b"\0" + bytes((x * y) & 255 for x in range(width)) for y in range(height))
    stored = zlib.compress(raw, 0)
    for right, what in (True, "right"), (False, "wrong"):
        packed = stored if right else stored[:-4] + b"abcd"
        for size in 8192, 65536:
            for over in range(6):
                first = len(packed) - size - over
                yield "a %s sum, %d bytes behind %d" % (what, over, size), (
                    SIGNATURE + header + chunk(b"IDAT", packed[:first]) + chunk(b"IDAT", packed[first:])
                    + chunk(b"IEND", b""))


def of_png(data):
    p = Png(data)
    for part in checksums, ends, pieces, rows, headers, palettes, notes, animations:
        yield from part(p)


# ---- JPEG --------------------------------------------------------------------------------------------


def segments(data):
    """(marker, from, to) up to the first scan's data."""
    at = 2
    while True:
        size, = struct.unpack_from(">H", data, at + 2)
        yield data[at + 1], at, at + 2 + size
        if data[at + 1] == 0xDA:
            return
        at += 2 + size


def of_jpeg(data):
    parts = list(segments(data))
    where = {marker: (a, b) for marker, a, b in parts}
    scan = parts[-1][2]
    head = parts[0][1]
    for cut in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 17, 20, 24, 30, 40, 60, 100, 200):
        yield "cut by %d bytes" % cut, data[:-cut]
        yield "cut by %d bytes and closed" % cut, data[: -2 - cut] + b"\xff\xd9"
    for place in 1, 2, 3:
        at = scan + (len(data) - scan) * place // 4
        yield "cut at %d/4" % place, data[:at]
        yield "closed at %d/4" % place, data[:at] + b"\xff\xd9"
        yield "an end amid the data at %d/4" % place, data[:at] + b"\xff\xd9" + data[at:]
        yield "a restart amid the data at %d/4" % place, data[:at] + b"\xff\xd3" + data[at:]
        yield "eight bytes missing at %d/4" % place, data[:at] + data[at + 8 :]
        yield "eight zeros at %d/4" % place, data[:at] + bytes(8) + data[at + 8 :]
        yield "eight ones at %d/4" % place, data[:at] + b"\xff" * 8 + data[at + 8 :]
        yield "a text amid the data at %d/4" % place, data[:at] + b"\xff\xfe\0\4ab" + data[at:]
    yield "bytes behind the end", data + b"more"
    yield "bytes before the end", data[:-2] + b"more" + data[-2:]
    yield "fill bytes before the end", data[:-2] + b"\xff" * 5 + data[-2:]
    yield "a line end behind the end", data + b"\r\n"
    yield "two ends", data + b"\xff\xd9"
    yield "two files", data + data
    yield "nothing but the beginning", data[:2]
    yield "cut in the header", data[: where[0xC4][0] if 0xC4 in where else scan]
    yield "stray bytes between segments", data[: parts[1][1]] + b"stray" + data[parts[1][1] :]
    yield "fill bytes between segments", data[: parts[1][1]] + b"\xff\xff\xff" + data[parts[1][1] :]
    yield "zeros between segments", data[: parts[1][1]] + bytes(4) + data[parts[1][1] :]
    yield "an escaped byte between segments", data[: parts[1][1]] + b"\xff\0" + data[parts[1][1] :]
    yield "a reserved marker between segments", data[: parts[1][1]] + b"\xff\x02" + data[parts[1][1] :]
    yield "marker 01 between segments", data[: parts[1][1]] + b"\xff\x01" + data[parts[1][1] :]
    yield "a restart between segments", data[: parts[1][1]] + b"\xff\xd0" + data[parts[1][1] :]
    yield "an end between segments", data[: parts[1][1]] + b"\xff\xd9" + data[parts[1][1] :]
    yield "another beginning between segments", data[: parts[1][1]] + b"\xff\xd8" + data[parts[1][1] :]
    yield "an unknown segment", data[:2] + b"\xff\xf3\0\4ab" + data[2:]
    yield "a segment of JPEG-LS", data[:2] + b"\xff\xf8\0\4ab" + data[2:]
    yield "a comment of a wrong size", data[:2] + b"\xff\xfe\0\x14ab" + data[2:]
    yield "a comment of size 1", data[:2] + b"\xff\xfe\0\1" + data[2:]
    yield "a comment of size 0", data[:2] + b"\xff\xfe\0\0" + data[2:]
    for marker, content, what in [
        (0xE0, b"JFIF\0", "JFIF that is too short"), (0xE0, b"JFIF\0\1\2\1", "JFIF cut in its density"),
        (0xEE, b"Adobe", "Adobe that is too short"), (0xEE, b"Adobe\0\x64\0\0\0\0", "Adobe cut before its transform"),
        (0xEE, b"Adobe\0\x64\0\0\0\0\7", "Adobe of an unknown transform"),
        (0xEE, b"Adobe\0\x64\0\0\0\0\0", "Adobe that says RGB"), (0xEE, b"Adobe\0\x64\0\0\0\0\1", "Adobe, YCC"),
        (0xE1, b"Exif\0\0", "empty EXIF"), (0xE1, b"Exif\0\0MM\0*\0\0", "EXIF cut in its header"),
        (0xE1, b"Exif\0\0abcdefghijklmn", "EXIF of nonsense"), (0xE1, b"Exif", "EXIF without its zeros"),
        (0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\3", "EXIF cut in its tags"),
        (0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x1a\0\5\0\0\0\1\0\0\xff\0\0\0\0\0", "EXIF that points beyond"),
        (0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff", "EXIF whose tags lie beyond"),
        (0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x1a\0\5\0\0\0\1\0\0", "EXIF cut in a tag"),
        (0xE2, b"ICC_PROFILE\0", "a profile without its number"), (0xE2, b"ICC_PROFILE\0\1", "a profile without a count"),
        (0xE2, b"ICC_PROFILE\0\1\3abc", "a profile of which parts are missing"), (0xE2, b"MPF\0", "empty MPF"),
        (0xE2, b"MPF\0MM\0*\0\0\0\x08\0\0", "MPF without pictures"), (0xED, b"Photoshop 3.0\0008BIM\4", "cut 8BIM"),
        (0xED, b"Photoshop 3.0\0008BIM\3\xed\0\0\0\0\0\4abcd", "8BIM whose resolution is cut"),
        (0xED, b"Photoshop 3.0\0008BIM\3\xed", "8BIM without a name"),
        # Like one of these, but for the name or the marker.
        (0xE0, b"JFXX\0", "JFXX that is too short"), (0xE5, b"JFIF\0", "JFIF of another marker, too short"),
        (0xEE, b"Adobi", "a short note of nearly Adobe's name"), (0xED, b"Adobe", "Adobe of another marker, too short"),
        (0xE2, b"Exif\0\0MM\0*\0\0", "EXIF of another marker, cut"), (0xE1, b"ICC_PROFILE\0", "a profile of another marker"),
        (0xE2, b"Photoshop 3.0\0008BIM\3\xed", "8BIM of another marker"),
    ]:
        yield what, data[:head] + bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content + data[head:]
    frame = next(m for m in where if 0xC0 <= m <= 0xCF and m not in (0xC4, 0xC8, 0xCC))
    a, b = where[frame]
    yield "precision 12", with_byte(data, a + 4, 12)
    yield "no rows", data[: a + 5] + b"\0\0" + data[a + 7 :]
    yield "no columns", data[: a + 7] + b"\0\0" + data[a + 9 :]
    yield "eight rows more", data[: a + 5] + struct.pack(">H", 38) + data[a + 7 :]
    yield "eight rows fewer", data[: a + 5] + struct.pack(">H", 22) + data[a + 7 :]
    yield "two components", with_byte(data, a + 9, 2)
    yield "a frame that is too long", data[:b] + b"x" + data[b:]
    yield "the frame twice", data[:b] + data[a:b] + data[b:]
    yield "another size in a first frame", data[:a] + with_byte(data[a:b], 6, 9) + data[a:]
    yield "no frame", data[:a] + data[b:]
    yield "sampling 0", with_byte(data, a + 11, 0)
    yield "sampling 5", with_byte(data, a + 11, 0x51)
    yield "a table for quantizing that is not there", with_byte(data, a + 12, 3)
    a, b = where[0xDB]
    yield "no table for quantizing", data[:a] + data[b:]
    yield "a table for quantizing that is cut", data[: a + 2] + struct.pack(">H", 40) + data[a + 4 : a + 42] + data[b:]
    yield "a table for quantizing with more behind", (
        data[: a + 2] + struct.pack(">H", b - a) + data[a + 4 : b] + b"\0\0" + data[b:])
    yield "a table for quantizing of 16 bits, cut", with_byte(data, a + 4, 0x10)
    yield "a table for quantizing of number 9", with_byte(data, a + 4, 0x09)
    if 0xC4 in where:
        a, b = where[0xC4]
        yield "no codes", data[:a] + data[b:]
        yield "codes that are too many", with_byte(data, a + 5, 0xFF)
    a, b = parts[-1][1:]
    yield "a scan of a component that is not there", with_byte(data, a + 5, 77)
    yield "a scan with codes that are not there", with_byte(data, a + 6, 0x33)
    yield "a scan that is too long", data[:b] + b"xx" + data[b:]
    at = 0
    restarts = [i for i in range(scan, len(data) - 1) if data[i] == 0xFF and 0xD0 <= data[i + 1] <= 0xD7]
    for i in restarts[:1] + restarts[-1:]:
        which = "first" if i == restarts[0] else "last"
        for number in range(8):
            yield "the %s restart has number %d" % (which, number), with_byte(data, i + 1, 0xD0 + number)
        yield "the %s restart missing" % which, data[:i] + data[i + 2 :]
        yield "the %s restart twice" % which, data[:i] + data[i : i + 2] + data[i:]
        yield "stray bytes before the %s restart" % which, data[:i] + b"ab" + data[i:]
    scans = [i for i in range(scan, len(data) - 1) if data[i] == 0xFF and data[i + 1] == 0xDA]
    for i in scans:
        yield "closed before a later scan", data[:i] + b"\xff\xd9"
        yield "cut before a later scan", data[:i]
        yield "cut in a later scan's header", data[: i + 5]


# ---- WebP --------------------------------------------------------------------------------------------


def of_webp(data):
    for cut in 1, 2, 3, 8, 20, len(data) // 2, len(data) - 13:
        yield "cut by %d bytes" % cut, data[:-cut]
    size, = struct.unpack_from("<I", data, 4)
    for change in -2, -1, 1, 2, 100, -20:
        yield "size %+d" % change, data[:4] + struct.pack("<I", size + change) + data[8:]
    yield "bytes behind the end", data + b"more"
    yield "a chunk behind the end", data + b"ABCD\4\0\0\0abcd"
    yield "an unknown chunk", data[:4] + struct.pack("<I", size + 12) + data[8:] + b"ABCD\4\0\0\0abcd"
    yield "another first chunk", data[:12] + b"VP8Z" + data[16:]
    chunk_size, = struct.unpack_from("<I", data, 16)
    for change in -2, 1, 2, 1000:
        yield "size of the first chunk %+d" % change, data[:16] + struct.pack("<I", chunk_size + change) + data[20:]
    yield "nothing but the header", data[:12]


# ---- All ---------------------------------------------------------------------------------------------


def strewn(data, first, count, numbers):
    """Bytes changed at random, from `first` on."""
    for i in range(count):
        damaged = bytearray(data)
        for _ in range(1 + i % 3):
            damaged[numbers.randrange(first, len(data))] = numbers.randrange(256)
        yield "strewn %d" % i, bytes(damaged)


def all(folder, count=60):
    # A canvas of WebP, up to byte 30, may be of any size, and Pillow takes minutes for a large one.
    kinds = {".png": (of_png, 8), ".jpg": (of_jpeg, 2), ".webp": (of_webp, 30)}
    for name in sorted(os.listdir(folder)):
        make, first = kinds[os.path.splitext(name)[1]]
        with open(os.path.join(folder, name), "rb") as f:
            data = f.read()
        yield name, "whole", data
        if name == "gray.png":
            for what, damaged in fetched():
                yield name, what, damaged
        for what, damaged in make(data):
            yield name, what, damaged
        for what, damaged in strewn(data, first, count, random.Random(name)):
            yield name, what, damaged
