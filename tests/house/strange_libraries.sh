#!/bin/bash
# Usage: strange_libraries.sh PROGRAM PICTURE FILE…
# No stranger's library is loaded: no FILE, PROGRAM or shared object, looks for its libraries in a folder that others may
# fill; and PROGRAM, and Python with its module, classify PICTURE in a folder that has a library of the name of each that
# they load.
set -euo pipefail
export LC_ALL=C
unset LD_LIBRARY_PATH LD_PRELOAD

program=$(readlink -f "$1")
picture=$(readlink -f "$2")
shift 2
mapfile -t files < <(readlink -f "$@")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failures=0

fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

# ---- Run paths -------------------------------------------------------------------------------------

# check_folder FILE FOLDER: of a run path.
check_folder() {
    local folder=${2//\$ORIGIN/$(dirname "$1")}
    [[ -n $2 ]] || { fail "$1: an empty element in its run path: the current directory" && return; }
    [[ $folder == /* ]] || { fail "$1: \"$2\" in its run path is relative to the current directory" && return; }
    until [[ -d $folder ]]; do # what is missing may be made by whoever may write where it would lie
        folder=$(dirname "$folder")
    done
    [[ $(stat -L -c %A "$folder") != ????????w? ]] || fail "$1: \"$2\" in its run path: everyone may write to $folder"
}

# check_path FILE RUNPATH
check_path() {
    local rest=$2: # so that each element ends with one
    while [[ -n $rest ]]; do
        check_folder "$1" "${rest%%:*}"
        rest=${rest#*:}
    done
}

# What the check is for.
mkdir -m 777 open
for path in "" /usr/lib: :/usr/lib /usr/lib::/lib lib ./lib "$work/open" "$work/open/missing"; do
    if (failures=0 && check_path program "$path" && exit "$failures") 2>/dev/null; then
        fail "\"$path\" is taken for a safe run path"
    fi
done
for path in /usr/lib /usr/lib:/lib "$work" "$work/missing"; do
    check_path program "$path"
done

for file in "${files[@]}"; do
    dynamic=$(readelf -dW "$file")
    grep -q '(NEEDED)' <<<"$dynamic" || fail "$file needs no libraries"
    while read -r path; do
        check_path "$file" "$path"
    done < <(sed -n 's/.*(R[UN]*PATH).*\[\(.*\)\]$/\1/p' <<<"$dynamic")
done

# ---- Libraries in the current directory ------------------------------------------------------------

cat >hostile.c <<'END'
#include <fcntl.h>
__attribute__((constructor)) static void run(void)
{
    creat(MARK, 0600);
}
END
cc -shared -fPIC -DMARK="\"$work/loaded\"" -o hostile hostile.c

# OpenBLAS and the module for MPI are loaded when they are used, and nothing else names them.
openblas=$(ldconfig -p | sed -n 's/.* => \(.*libopenblas\.so.*\)/\1/p' | head -n 1)
[[ -n $openblas ]] || fail "OpenBLAS is not where the loader finds it"
mkdir pictures
cd pictures
{
    ldd "${files[@]}" "$openblas" | sed -n 's/^\t\([^ /]*\.so[^ ]*\) => .*/\1/p'
    basename -a "${files[@]}" "$openblas" | grep '\.so'
} | sort -u >../names
[[ $(wc -l <../names) -ge 20 ]] || fail "found few libraries: $(cat ../names)"
while read -r name; do
    cp ../hostile "$name"
done <../names

for backend in native openblas; do
    answer=$("$program" classify --backend $backend "$picture" 2>&1) || true
    [[ $answer == *Sneaker* ]] || fail "classify --backend $backend: $(tail -n 1 <<<"$answer")"
done
for file in "${files[@]}"; do
    [[ $file == *.abi3.so ]] || continue
    answer=$(PYTHONPATH=$(dirname "$(dirname "$file")") LD_PRELOAD=${PYTHON_PRELOAD:-} ASAN_OPTIONS=detect_leaks=0 /usr/bin/python3 -c \
        'import mohvit, sys; print(mohvit.Model(backend="openblas")(sys.argv[1]).top(1))' "$picture" 2>&1) || true
    [[ $answer == *Sneaker* ]] || fail "the Python module: $(tail -n 1 <<<"$answer")"
done
answer=$("$program" --version 2>&1) || fail "--version: $(tail -n 1 <<<"$answer")"
[[ ! -e ../loaded ]] || fail "a library in the current directory was loaded"

# These would be, if anything looked there.
if LD_LIBRARY_PATH=$PWD "$program" classify "$picture" >/dev/null 2>&1 && [[ ! -e ../loaded ]]; then
    fail "the libraries in the current directory are harmless"
fi

[[ $failures == 0 ]] || exit 1
echo "loads none of $(wc -l <../names) libraries in the current directory: $program"
