#!/bin/bash
# A block of a product keeps its sums in registers, and has an instruction of its own for each: a compiler that leaves a
# loop over them keeps them in memory, and takes three times as long.
# Usage: test_unrolled.sh OBJDUMP FUNCTION:SUMS[:INSTRUCTION] … -- OBJECT …
set -euo pipefail
objdump=$1
shift
wanted=()
while [[ $1 != -- ]]; do
    wanted+=("$1")
    shift
done
shift
code=$("$objdump" --disassemble --no-show-raw-insn "$@")
failed=0
for pair in "${wanted[@]}"; do
    IFS=: read -r function sums instruction <<<"$pair"
    found=$(awk -v name="<$function>:" '$2 == name { inside = 1 } /^$/ { inside = 0 } inside' <<<"$code" |
        grep -cE "${instruction:-vfmadd|vdpbf16ps|vpdpbusd|vpmaddwd|fmla|bfdot|sdot|smlal}" || true)
    echo "$function: $found instructions multiply and add, for $sums sums"
    [[ $found -ge $sums ]] || failed=1
done
exit $failed
