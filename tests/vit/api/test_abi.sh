#!/bin/bash
# Usage: test_abi.sh FOLDER LIBRARY
# The public API is the same three times over: as FOLDER/mohvit.h declares it, as FOLDER/api/mohvit.map lists it, as LIBRARY
# exports it; and the library is named by the version of its ABI.
set -euo pipefail
export LC_ALL=C

header=$1/mohvit.h
map=$1/api/mohvit.map
library=$2
failures=0

fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

# A declaration may go over several lines.
declared=$(tr '\n' ' ' <"$header" | grep -o 'MOHVIT_API [^(]*[ *]mohvit_[a-z0-9_]*(' | grep -o '[a-z0-9_]*($' | tr -d '(' | sort)
listed=$(sed -n '/^global:$/,/^local:$/s/^ *\([a-z0-9_]*\);$/\1/p' "$map")
exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | sort)
[[ $declared == *mohvit_open* ]] || fail "$header: found no declarations with MOHVIT_API"

[[ $listed == "$(sort -u <<<"$listed")" ]] || fail "$map: the names are not in order, or one is there twice"
for name in $(comm -23 <(echo "$declared") <(echo "$listed")); do
    fail "$header declares $name, which $map does not list: add it there, or nobody can link with it"
done
for name in $(comm -13 <(echo "$declared") <(echo "$listed")); do
    fail "$map lists $name, which $header does not declare: declare it with MOHVIT_API, or take it from the list;" \
        "if a release had it, taking it away is a new ABI version"
done

version=$(sed -n 's/^\(MOHVIT_[0-9]*\) {$/\1/p' "$map")
difference=$(diff <(sed "s/\$/@@$version/" <<<"$listed") <(echo "$exported")) ||
    fail "$map lists (<), but $library exports (>):"$'\n'"$difference"

soname=$(readelf -d "$library" | sed -n 's/.*Library soname: \[\(.*\)\]$/\1/p')
[[ $soname == "libmohvit.so.${version#MOHVIT_}" ]] ||
    fail "$library: soname \"$soname\" does not carry the ABI version of $map, $version: MOHVIT_ABI in CMakeLists.txt" \
        "and the name in the list change together"

[[ $failures == 0 ]] || exit 1
echo "$(wc -l <<<"$exported") functions of $version, in $soname"
