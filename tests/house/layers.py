#!/usr/bin/env python3
"""layers.py ROOT: checks what every C file under ROOT includes.

A file may include its own room and those below it, in the order of ROOMS; no two modules may include each other
in a circle, where a module is x.c with x.h; and an include of ours is named from the root: "imgio/image.h".
tests/ may include anything, and nothing includes tests/. Prints each offence with its place.

layers.py --self-test checks that made-up trees with one offence each are refused, and one without any is not."""

import os
import re
import sys
import tempfile

# From the top. vit/mohvit.h is the public face of vit, a room of its own with vit/api.
ROOMS = [
    ["tools/program"],
    ["tools/figures"],
    ["eval"],
    ["vit/api", "vit/mohvit.h"],
    ["vit/network"],
    ["vit/kernels"],
    ["vit/headload"],
    ["imgio/dataset"],
    ["imgio"],
    ["weights"],
    ["base"],
]
INCLUDE = re.compile(r'\s*#\s*include\s*"([^"]+)"')


def room_of(path):
    """The place of a file's room in the order; None: it is in no room."""
    folder = os.path.dirname(path)
    for level, names in enumerate(ROOMS):
        if folder in names or path in names:
            return level
    return None


def sources(root):
    """Paths below root of all C files that belong to rooms, or should."""
    for top in sorted({names[0].split("/")[0] for names in ROOMS}):
        for folder, _, names in sorted(os.walk(os.path.join(root, top))):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def includes(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            found = INCLUDE.match(line)
            if found:
                yield number, found.group(1)


def check_include(root, path, included):
    """What is wrong with one include, or None."""
    if not os.path.isfile(os.path.join(root, included)):
        return "is not named from the root"
    above, below = room_of(path), room_of(included)
    if below is None:
        return "is in no room"
    if below < above:
        return f"points up, from {ROOMS[above][0]} to {ROOMS[below][0]}"
    return None


def circles(edges):
    """The sets of modules that reach each other (Tarjan 1972), each with a place for every edge inside."""
    index, low, stack, found = {}, {}, [], []

    def visit(module):
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in edges.get(module, {}):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            members = [stack.pop()]
            while members[-1] != module:
                members.append(stack.pop())
            if len(members) > 1:
                found.append(sorted(members))

    for module in sorted(edges):
        if module not in index:
            visit(module)
    return found


def offences(root):
    edges, found = {}, []
    for path in sources(root):
        if room_of(path) is None:
            found.append(f"{path}: is in no room")
            continue
        for number, included in includes(root, path):
            wrong = check_include(root, path, included)
            if wrong:
                found.append(f'{path}:{number}: "{included}" {wrong}')
            module, other = os.path.splitext(path)[0], os.path.splitext(included)[0]
            if module != other:
                edges.setdefault(module, {}).setdefault(other, f"{path}:{number}")
    for members in circles(edges):
        found.append(f"{' and '.join(members)} include each other:")
        for module in members:
            for other, place in edges[module].items():
                if other in members:
                    found.append(f"    {place}: {other}.h")
    return found


def self_test():
    fine = {
        "base/a.h": "",
        "base/a.c": '#include "base/a.h"\n',
        "imgio/b.c": '#include "base/a.h"\n#include <stdio.h>\n',
        "vit/mohvit.h": '#include "base/a.h"\n',
        "tests/base/t.c": '#include "imgio/b.h"\n',
    }
    bad = {
        "points up": {"base/a.h": '#include "imgio/b.h"\n', "imgio/b.h": ""},
        "is not named from the root": {"imgio/b.c": '#include "b.h"\n', "imgio/b.h": ""},
        "is in no room": {"weights/more/x.c": ""},
        "include each other": {"base/b.h": '#include "base/a.h"\n', "base/a.c": '#include "base/b.h"\n'},
    }
    for expected, change in [(None, {})] + list(bad.items()):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**fine, **change}.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            found = offences(root)
        if not expected and found or expected and not (found and expected in found[0]):
            sys.exit(f"expected {expected}, found {found}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    elif len(sys.argv) == 2:
        report = offences(sys.argv[1])
        print("\n".join(report))
        sys.exit(1 if report else 0)
    else:
        sys.exit(__doc__)
