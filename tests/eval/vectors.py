#!/usr/bin/python3
"""Reads files of features or logits without any library: vectors.py rows FILE prints a line for each row, its numbers
to the last bit; scores LOGITS PREDICTIONS holds logits against eval's table of the same run; provenance FILE prints that."""
import array
import csv
import json
import math
import struct
import sys

TYPES = {"F32": ("f", 4), "I64": ("q", 8), "U8": ("B", 1)}


def read(path):
    """Metadata, the kind ("features" or "logits"), and by name the shape and the values."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    data, end, tensors = data[8 + length :], 0, {}
    for name, tensor in header.items():
        begin, after = tensor["data_offsets"]
        code, size = TYPES[tensor["dtype"]]
        assert begin == end and begin % size == 0, f"{name} begins at {begin}, expected {end}"
        assert after - begin == size * math.prod(tensor["shape"]), f"{name}: {tensor}"
        values = array.array(code)
        values.frombytes(data[begin:after])
        tensors[name] = tensor["shape"], values
        end = after
    assert end == len(data), f"{len(data) - end} bytes at the end"
    (kind,) = {"features", "logits"} & set(tensors)
    assert set(tensors) == {kind, "index", "class", "names", "name_offsets"}, tensors.keys()
    assert metadata[kind] == "1"
    return metadata, kind, tensors


def rows(path):
    """(index, class, name, values) of each row."""
    _, kind, tensors = read(path)
    (count, width), values = tensors[kind]
    index, classes, names, offsets = (tensors[name][1] for name in ("index", "class", "names", "name_offsets"))
    assert len(index) == len(classes) == count and len(offsets) == count + 1
    assert offsets[0] == 0 and offsets[count] == len(names)
    for i in range(count):
        name = names[offsets[i] : offsets[i + 1]].tobytes().decode()
        yield index[i], classes[i], name, values[i * width : (i + 1) * width]


def print_rows(path):
    for index, class_index, name, values in rows(path):
        print(index, class_index, name, " ".join(value.hex() for value in values), sep="\t")


def compare_scores(path, predictions):
    with open(predictions, newline="") as file:
        table = {row["path"]: row for row in csv.DictReader(file)}
    for _, class_index, name, logits in rows(path):
        row = table.pop(name)
        order = sorted(range(len(logits)), key=lambda k: (-logits[k], k))
        total = math.fsum(math.exp(value - logits[order[0]]) for value in logits)
        for k in range(5):
            probability = math.exp(logits[order[k]] - logits[order[0]]) / total
            assert int(row[f"top{k + 1}"]) == order[k], (name, row, order)
            assert abs(float(row[f"prob{k + 1}"]) - probability) < 1e-6, (name, row, probability)
        assert int(row["class"]) == class_index, (name, row)
    assert not any(row["top1"] for row in table.values()), "pictures without a row"


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "provenance":
        print(json.dumps(json.loads(read(*arguments)[0]["provenance"]), separators=(",", ":"), ensure_ascii=False))
    else:
        {"rows": print_rows, "scores": compare_scores}[command](*arguments)
