#!/usr/bin/python3
"""save_again.py FORM IN.safetensors OUT …: the tensors of a checkpoint, as other people's programs save them."""

import json
import struct
import sys


def load(path):
    """Names with dtype, shape and bytes; the metadata."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    metadata = header.pop("__metadata__", None)
    begin, end = 0, 1
    return {name: (entry["dtype"], entry["shape"], data[entry["data_offsets"][begin]:entry["data_offsets"][end]])
            for name, entry in header.items()}, metadata


def save(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def prefixed(tensors, prefix):
    return {prefix + name: tensor for name, tensor in tensors.items()}


def save_shards(index, tensors, metadata, count):
    names = list(tensors)
    shards = [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
    for i, shard in enumerate(shards):
        save(shard, {name: tensors[name] for name in names[i::count]}, metadata)
    with open(index, "w") as file:
        json.dump({"metadata": {"total_size": sum(len(tensor[2]) for tensor in tensors.values())},
                   "weight_map": {name: shards[i % count] for i, name in enumerate(names)}}, file)


form, source, out = sys.argv[1:4]
tensors, metadata = load(source)
if form == "null":
    save(out, tensors, None)
elif form == "prefix":
    save(out, prefixed(tensors, sys.argv[4]), metadata)
elif form == "pair":
    save(out, {**prefixed(tensors, "student."), **prefixed(load(sys.argv[4])[0], "teacher.")}, metadata)
elif form == "headless":
    save(out, {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}, metadata)
elif form == "shards":
    save_shards(out, tensors, metadata, int(sys.argv[4]))
