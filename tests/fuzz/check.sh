#!/bin/bash
# check.sh TARGET SEEDS FINDINGS: replays all files of both folders, one by one; then fuzzes on from them.
set -euo pipefail
target=$1
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

folders=()
for folder; do
    [[ ! -d $folder ]] || folders+=("$folder")
done
mapfile -t files < <(find "${folders[@]}" -type f)
[[ ${#files[@]} != 0 ]] || { echo "no seeds in $*" >&2 && exit 1; }

# The time limit is by the clock, and the machine may be busy with other things.
limits=(-timeout=100 -rss_limit_mb=1024 -malloc_limit_mb=512)
"$target" "${limits[@]}" "${files[@]}" >"$scratch/log" 2>&1 || { cat "$scratch/log" && exit 1; }
echo "replayed ${#files[@]} files"

mkdir "$scratch/corpus"
"$target" "${limits[@]}" -seed=1 -runs=100000 -max_total_time=8 -max_len=65536 -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="$PWD/${target##*/}-" "$scratch/corpus" "${folders[@]}"
