#!/usr/bin/python3
"""make_hostile.py KIND FILE [MODEL]: a file that would cost memory or time out of proportion, were there no limits."""

import json
import os
import struct
import sys
import zlib

# ---- Pictures ----------------------------------------------------------------------------------------


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


MEBI = 1 << 20


def raw_deflated_zeros(size):
    """A mebibyte of zeros, deflated so that it can be repeated, and the rest."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    mebi = packer.compress(bytes(MEBI)) + packer.flush(zlib.Z_FULL_FLUSH)
    return mebi * (size // MEBI) + packer.compress(bytes(size % MEBI)) + packer.flush()


def deflated_zeros(size):
    adler = size % 65521 << 16 | 1
    return b"\x78\xda" + raw_deflated_zeros(size) + struct.pack(">I", adler)


def crc_of_zeros(size, crc=0):
    for _ in range(size // MEBI):
        crc = zlib.crc32(bytes(MEBI), crc)
    return zlib.crc32(bytes(size % MEBI), crc)


def png(width, height, pixels=b"", before=b""):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + before + png_chunk(b"IDAT", pixels)
            + png_chunk(b"IEND", b""))


def png_pixels(width, height):
    return deflated_zeros((3 * width + 1) * height)


def png_profile():
    return png_chunk(b"iCCP", b"x\0\0" + deflated_zeros(1 << 30))


def png_profiles():
    """Each below the limit of one; together they inflate to 1 GiB."""
    return png_chunk(b"iCCP", b"x\0\0" + deflated_zeros(MEBI - 1)) * 1024


def heif_stated(name, width, height):
    """One of the golden pictures, which says that it is of another size."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/images")
    with open(os.path.join(folder, name), "rb") as f:
        data = f.read()
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def riff(chunks):
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def webp_lossless(width, height):
    sides = struct.pack("<I", width - 1 | height - 1 << 14)
    return riff(b"VP8L" + struct.pack("<I", 14) + b"\x2f" + sides + bytes(9))


def webp_canvas():
    return riff(b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff" * 6)


def jpeg_segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content


def jpeg_scan(first, last, data):
    return jpeg_segment(0xDA, bytes([1, 1, 0, first, last, 0])) + data


def jpeg_scans(width, height, scans):
    """Gray and progressive: a scan of the means, then the same scan of nothing over and over. One code of one bit
    means "no difference", another "a run of 32767 empty blocks"."""
    blocks = -(-width // 8) * -(-height // 8)
    runs = -(-blocks // 32767)
    bits = ("0" + "1" * 14) * runs  # fifteen a run, so that there is no byte of ones, which needs a zero behind
    bits += "0" * (-len(bits) % 8)
    empty = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    one_code = b"\x01" + bytes(15)
    return (b"\xff\xd8" + jpeg_segment(0xDB, b"\0" + b"\1" * 64) + jpeg_segment(0xC2, frame)
            + jpeg_segment(0xC4, b"\x00" + one_code + b"\x00") + jpeg_segment(0xC4, b"\x10" + one_code + b"\xe0")
            + jpeg_scan(0, 0, bytes(-(-blocks // 8))) + jpeg_scan(1, 63, empty) * scans + b"\xff\xd9")


# ---- Checkpoints -------------------------------------------------------------------------------------


def safetensors(header, size=None):
    return struct.pack("<Q", len(header) if size is None else size) + header


def safetensors_entries(count, limit):
    entry = '"t%07d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    most = min(count, limit // len(entry % 0) - 1)
    text = ("{" + ",".join(entry % i for i in range(most)) + "}").encode()
    return safetensors(text, count * (len(entry % 0) + 1) if most < count else None)


def index(tensor, shard, count):
    """The index of `count` tensors' shards."""
    pairs = (b'"%s":"%s"' % (tensor % i, shard % i if b"%" in shard else shard) for i in range(count))
    return b'{"weight_map":{' + b",".join(pairs) + b"}}"


def zip_of(entries, overlap=False):
    """entries: name, bytes as they are stored, and what is said of them: size, method, CRC. With overlap all entries
    of one content share it, under the first one's header."""
    out, central, places = b"", [], {}
    for name, data, size, method, crc in entries:
        fields = struct.pack("<HHHHIIIHH", 0, method, 0, 0, crc, len(data), size, len(name), 0)
        if not (overlap and data in places):
            places[data] = len(out)
            out += b"PK\3\4" + struct.pack("<H", 20) + fields + name + data
        central.append(b"PK\1\2" + struct.pack("<HH", 20, 20) + fields
                       + struct.pack("<HHHII", 0, 0, 0, 0, places[data]) + name)
    directory = b"".join(central)
    count = min(len(central), 0xFFFF)
    return out + directory + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(out), 0)


def stored(name, data):
    return name, data, len(data), 0, zlib.crc32(data)


def raw_deflated(name, size):
    return name, raw_deflated_zeros(size), size, 8, crc_of_zeros(size)


def pth(pickle, *entries, overlap=False):
    return zip_of([stored(b"m/data.pkl", pickle), *entries], overlap)


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


def integer(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def tensor(key, elements, offset, shape, stride):
    sizes = lambda numbers: b"(" + b"".join(integer(n) for n in numbers) + b"t"
    return (b"ctorch._utils\n_rebuild_tensor_v2\n((" + text(b"storage") + b"ctorch\nFloatStorage\n" + text(key)
            + text(b"cpu") + integer(elements) + b"tQ" + integer(offset) + sizes(shape) + sizes(stride) + b"\x89NtR")


def state_dict(tensors):
    return b"\x80\x02}" + b"".join(text(name) + value + b"s" for name, value in tensors) + b"."


def colliding_names(count):
    """Names that a hash which multiplies by 33 takes for the same, as many do: "ab" is "bA" to it."""
    return [b"m/" + b"".join(b"bA" if i >> k & 1 else b"ab" for k in range(16)) for i in range(count)]


def model_shapes():
    """Names and shapes of the tensors of sys.argv[3], a safetensors file."""
    with open(sys.argv[3], "rb") as model:
        header = json.loads(model.read(struct.unpack("<Q", model.read(8))[0]))
    return [(name.encode(), entry["shape"]) for name, entry in header.items() if name != "__metadata__"]


def last_number(key, elements, shape):
    return tensor(key, elements, elements - 1, shape, [0] * len(shape))


def late_tensors():
    """All tensors of a model are views of the last number of a gibibyte that takes a mebibyte in the file."""
    elements = 1 << 28
    return pth(state_dict((name, last_number(b"0", elements, shape)) for name, shape in model_shapes()),
               raw_deflated(b"m/data/0", 4 * elements))


def spread_tensors():
    """The numbers of each tensor of a model lie as far from each other as two gibibytes let them."""
    elements = 1 << 29
    spread = lambda shape: [(elements - 1) // max(1, shape[0] - 1)] + [0] * (len(shape) - 1)
    return pth(state_dict((name, tensor(b"0", elements, 0, shape, spread(shape))) for name, shape in model_shapes()),
               raw_deflated(b"m/data/0", 4 * elements))


def overlapping_storages():
    """Each tensor of a model has a storage of 256 MiB; all are one and the same 256 KiB of the file."""
    elements = 1 << 26
    storage, model = raw_deflated(b"", 4 * elements), model_shapes()
    keys = [b"%d" % i for i in range(len(model))]
    return pth(state_dict((name, last_number(key, elements, shape)) for key, (name, shape) in zip(keys, model)),
               *[(b"m/data/" + key, *storage[1:]) for key in keys], overlap=True)


# ---- Evaluations and data sets -----------------------------------------------------------------------


def journal_frame(kind, content):
    head = kind + bytes(3) + struct.pack("<I", len(content))
    return head + struct.pack("<I", zlib.crc32(content, zlib.crc32(head))) + content


def journal_header(**more):
    header = {"format": 1, "match": {}, "hardware": {}, "images": 64, "sections": [],
              "provenance": {}, **more}
    return b"mohvitJ1" + journal_frame(b"H", json.dumps(header).encode())


def journal_of_beginnings(size):
    """A torn end in which a record, as large as all that follows, seems to begin every twelve bytes."""
    frames = size // 12
    return journal_header() + b"".join(b"R\0\0\0" + struct.pack("<II", max(0, size - 12 * i - 12), 0)
                                       for i in range(frames))


def idx(count, side):
    return b"\0\0\x08\x03" + struct.pack(">III", count, side, side)


def packed_idx(count, side):
    header, size = idx(count, side), count * side * side
    start = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = start.compress(header) + start.flush(zlib.Z_FULL_FLUSH) + raw_deflated_zeros(size)
    end = struct.pack("<II", crc_of_zeros(size, zlib.crc32(header)), len(header) + size & 0xFFFFFFFF)
    return b"\x1f\x8b\x08" + bytes(7) + packed + end


KINDS = {
    "claimed.png": lambda: png(60000, 60000),
    "line.png": lambda: png(60000, 1, png_pixels(60000, 1)),
    "column.png": lambda: png(1, 60000, png_pixels(1, 60000)),
    "largest.png": lambda: png(65535, 2048, png_pixels(65535, 2048)),
    "profile.png": lambda: png(8, 8, png_pixels(8, 8), png_profile()),
    "profiles.png": lambda: png(1, 1, png_pixels(1, 1), png_profiles()),
    "stated.heic": lambda: heif_stated("cat_240.heic", 60000, 60000),
    "stated.avif": lambda: heif_stated("cat_240.avif", 60000, 60000),
    "claimed.webp": lambda: webp_lossless(16384, 16384),
    "permitted.webp": lambda: webp_lossless(16383, 8192),
    "canvas.webp": webp_canvas,
    "scans.jpg": lambda: jpeg_scans(64, 64, 5000),
    "largest_scans.jpg": lambda: jpeg_scans(65500, 2048, 5000),
    "ten_million.safetensors": lambda: safetensors_entries(10000000, 1 << 24),
    "full.safetensors": lambda: safetensors_entries(280000, 1 << 24),
    "objects.safetensors": lambda: safetensors(b'{"a":[' + b"{}," * 5000000 + b"0]}"),
    "nested.safetensors": lambda: safetensors(b'{"a":' + b"[" * 15000000),
    "shards.json": lambda: index(b"t%d", b"s%d.safetensors", 60000),
    "tensors.json": lambda: index(b"t%d", b"s.safetensors", 200000),
    "nested.json": lambda: b'{"weight_map":' + b"[" * 15000000,
    "marks.pth": lambda: pth(b"\x80\x02" + b"(" * 60000000),
    "nested.pth": lambda: pth(b"\x80\x02" + b"]" * 1000000 + b"a" * 999999 + b"."),
    "nested_tuples.pth": lambda: pth(b"\x80\x02N" + b"\x85" * 60000000 + b"."),
    "values.pth": lambda: pth(b"\x80\x02" + b"}0" * 30000000 + b"N."),
    "memo.pth": lambda: pth(b"\x80\x02}r\xff\xff\xff\xff."),
    "memo_text.pth": lambda: pth(b"\x80\x02}p4294967295\n."),
    "expanded.pth": lambda: pth(state_dict([(b"t", tensor(b"0", 1, 0, (1 << 40,), (0,)))]), stored(b"m/data/0", bytes(4))),
    "lying.pth": lambda: zip_of([(b"m/data.pkl", b"\x80\x02}.", 0xFFFFFFF0, 8, 0)]),
    "lying_stored.pth": lambda: zip_of([(b"m/data.pkl", b"\x80\x02}.", 0xFFFFFFF0, 0, 0)]),
    "bomb.pth": lambda: zip_of([raw_deflated(b"m/data.pkl", 1 << 30)]),
    "late.pth": late_tensors,
    "spread.pth": spread_tensors,
    "overlapping.pth": overlapping_storages,
    "colliding.pth": lambda: pth(b"\x80\x02}.", *[stored(name, b"") for name in colliding_names(60000)], overlap=True),
    "beginnings.state": lambda: journal_of_beginnings(12 << 20),
    "objects.state": lambda: b"mohvitJ1" + journal_frame(b"H", b'{"a":[' + b"{}," * 20000000 + b"0]}"),
    "many.idx.gz": lambda: packed_idx(1 << 28, 1),
    "claimed.idx": lambda: idx(1 << 28, 28),
    "real.json": lambda: b"[" + b"[]," * 20000000 + b"[]]",
    "one_name.txt": lambda: b"x.jpg 1\n" * 500000,
    "one_name.list": lambda: b"x.jpg\n" * 500000,
    "line.list": lambda: b"x" * 100000000,
}

if __name__ == "__main__":
    with open(sys.argv[2], "wb") as out:
        out.write(KINDS[sys.argv[1]]())
