#!/usr/bin/env python3
"""draw_rooms.py ROOT: prints docs/rooms.svg, which room of the C sources includes from which.

draw_rooms.py ROOT --check: is docs/rooms.svg what this prints?

An arrow leads from a room to one that it includes from. Includes that other arrows already lead to are left out."""

import os
import sys

import layers

# What a room holds, and its column. Rows follow from the includes: a room stands above all that it includes from.
ROOMS = {
    "tools/program": ("the program", 1),
    "tools/figures": ("figures, the report", 1),
    "eval": ("a data set through the network", 1),
    "vit/api": ("vit/mohvit.h, models", 0.7),
    "vit/network": ("the paper, part by part", 0.4),
    "vit/kernels": ("loops that take the time", 0),
    "vit/headload": ("which heads work", 0.9),
    "imgio/dataset": ("pictures with classes", 2.5),
    "imgio": ("picture file to tensor", 2),
    "weights": ("checkpoints, labels", 1),
    "base": ("what all stand on", 1),
}
BOX, COLUMN, ROW, MARGIN = (176, 44), 200, 72, 12


def below(root):
    """For each room those that it includes from."""
    found = {names[0]: set() for names in layers.ROOMS}
    for path in layers.sources(root):
        room = layers.ROOMS[layers.room_of(path)][0]
        for _, included in layers.includes(root, path):
            found[room].add(layers.ROOMS[layers.room_of(included)][0])
    return {room: others - {room} for room, others in found.items()}


def draw(root):
    under = below(root)
    if set(under) != set(ROOMS):
        sys.exit(f"expected the rooms {sorted(under)}; found {sorted(ROOMS)} in draw_rooms.py")
    height, reached = {}, {}
    for room in reversed(list(under)):  # from the bottom: no include points up, which the test layers holds
        height[room] = 1 + max((height[r] for r in under[room]), default=-1)
        reached[room] = under[room].union(*(reached[r] for r in under[room]))
    top = max(height.values())
    x = {room: MARGIN + column * COLUMN for room, (_, column) in ROOMS.items()}
    y = {room: MARGIN + (top - height[room]) * ROW for room in ROOMS}
    wide, high = max(x.values()) + BOX[0] + MARGIN, max(y.values()) + BOX[1] + MARGIN
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" '
           'font-family="Liberation Sans, Arial, sans-serif" text-anchor="middle">')
    yield "<title>The rooms of the C sources: an arrow leads from a room to one that it includes from</title>"
    yield ('<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
           '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>')
    yield f'<rect width="{wide:g}" height="{high:g}" fill="#fff"/>'
    for room, others in under.items():
        for other in sorted(others):
            if not any(other in reached[r] for r in others):
                yield (f'<path d="M{x[room] + BOX[0] / 2:g} {y[room] + BOX[1]:g}L{x[other] + BOX[0] / 2:g} {y[other]:g}" '
                       'stroke="#555" marker-end="url(#tip)"/>')
    for room, (text, _) in ROOMS.items():
        middle = x[room] + BOX[0] / 2
        yield (f'<rect x="{x[room]:g}" y="{y[room]:g}" width="{BOX[0]}" height="{BOX[1]}" rx="5" fill="#eef3f8" stroke="#356"/>'
               f'<text x="{middle:g}" y="{y[room] + 19:g}" font-size="14" font-weight="bold" fill="#123">{room}/</text>'
               f'<text x="{middle:g}" y="{y[room] + 35:g}" font-size="11" fill="#345">{text}</text>')
    yield "</svg>"


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--check"]):
        sys.exit(__doc__)
    drawn = "\n".join(draw(sys.argv[1])) + "\n"
    if len(sys.argv) == 2:
        sys.stdout.write(drawn)
        return
    with open(os.path.join(sys.argv[1], "docs/rooms.svg"), encoding="utf-8") as file:
        if file.read() != drawn:
            sys.exit("docs/rooms.svg does not show these includes: tests/house/draw_rooms.py . > docs/rooms.svg")


if __name__ == "__main__":
    main()
