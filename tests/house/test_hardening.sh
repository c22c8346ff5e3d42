#!/bin/bash
# Usage: test_hardening.sh BUILD FILE…
# Each FILE, a program or shared object, was linked as tools/cmake/hardening.cmake says, and each object in BUILD that
# went into one was compiled so. The first is the program; it loads no library that lies where it is run.
set -euo pipefail
export LC_ALL=C

build=$1
shift
failures=0

fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

# expect FILE WHAT PATTERN TEXT
expect() {
    grep -Eq -- "$3" <<<"$4" || fail "$1: $2: no match for '$3' in:"$'\n'"$4"
}

for file; do
    [[ -s $file ]] || { fail "$file is not there" && continue; }
    dynamic=$(readelf -dW "$file")
    segments=$(readelf -lW "$file")
    symbols=$(readelf --dyn-syms -W "$file")

    # A program at any address is a shared object to readelf -h; that it is a program, it says in its flags.
    expect "$file" "position independent" 'Type: +DYN' "$(readelf -h "$file")"
    [[ $file == *.so* ]] || expect "$file" "a position independent program" 'FLAGS_1.* PIE' "$dynamic"
    ! grep -q TEXTREL <<<"$dynamic" || fail "$file: code is relocated"

    expect "$file" "read-only after relocation" '^ +GNU_RELRO ' "$segments"
    expect "$file" "bound at once" 'FLAGS_1.* NOW' "$dynamic"
    expect "$file" "the stack is not executable" '^ +GNU_STACK +([^ ]+ +){5}RW ' "$segments"
    ! grep -Eq ' RWE ' <<<"$segments" || fail "$file: a segment may be written and executed"

    expect "$file" "stack protector" ' __stack_chk_fail@' "$symbols"
    # The modules for MPI and Python have nothing that could be checked: they hand pointers on.
    [[ $file == *_mpi.so || $file == *.abi3.so ]] || expect "$file" "checked copies and formats" ' __[a-z]+_chk@' "$symbols"
done

# Objects, since what the system's own crt*.o lack is lost in the linking.
if [[ $(uname -m) == x86_64 ]]; then
    mapfile -t objects < <(sed -n 's/.* -o \([^ ]*\) -c .*/\1/p' "$build/compile_commands.json" | grep -v '^tests/')
    [[ ${#objects[@]} -ge 80 ]] || fail "compile_commands.json: found only these objects: ${objects[*]}"
    for object in "${objects[@]}"; do
        grep -q 'IBT, SHSTK' <<<"$(readelf -nW "$build/$object")" || fail "$object: no mark of control-flow enforcement"
    done
fi

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
"$here/strange_libraries.sh" "$1" "$here/../../tools/samples/sneaker.png" "$@" || failures=$((failures + 1))

[[ $failures == 0 ]] || exit 1
echo "hardened: $*"
