#!/bin/bash
# What an evaluation reaches of what decoding and network cost: measure_eval.sh BUILD [WEIGHTS [COUNT]]
# Makes COUNT (default 2000) JPEGs' worth of work of 500 x 375 pixels, about 90 kB each, and scores the model on them
# (default: the built-in one) with 1 thread and with all. ratio = images/s x (decoding + network of a picture, in
# seconds of a thread) / threads: 1 would be no loss at all. The classes are not the point.
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: tests/eval/measure_eval.sh BUILD [WEIGHTS [COUNT]]" >&2 && exit 2; }
build=$(cd "$1" && pwd)
weights=${2:+$(realpath "$2")} count=${3:-2000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unset MOHVIT_WEIGHTS

"$build/tests/make_pictures" photos $((count < 500 ? count : 500)) 500 375 photos pictures
for ((i = 0; i < count; i += 500)); do find photos -name '*.jpg' | sort; done | head -n "$count" >list
sed 's/$/\t0/' list | sort -u >truth
for threads in 1 "$(nproc)"; do
    "$build/mohvit" eval list --truth truth ${weights:+--weights "$weights"} --threads "$threads" --format json --quiet \
        2>/dev/null >result
    for key in images_per_s decode_ms network_ms; do "$build/tests/test_cli_json" $key <result; done | paste -s -d ' ' |
        awk -v t="$threads" '{ printf "%2d thread%s  %8.2f images/s  decoding %6.2f ms  network %7.2f ms  ratio %.3f\n",
                               t, t == 1 ? " " : "s", $1, $2, $3, $1 * ($2 + $3) / 1e3 / t }'
done
