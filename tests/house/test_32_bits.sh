#!/bin/bash
# The libraries where addresses have 32 bits: compiled with warnings as errors, and run. What they link with is here for
# 64 bits alone, so the program leaves it out and asks for nothing that needs it.
# Usage: test_32_bits.sh COMPILER SOURCE WORK PROGRAM
#   PROGRAM  narrow.c as this build made it, with the same kernels: both must answer the same but for rounding, as verify
#            allows it
set -euo pipefail
compiler=$1 source=$2 work=$3 program=$4
rm -rf "$work"
mkdir -p "$work"
cd "$source"

# The libraries' own headers are the same for all processors, and come after what the compiler brings.
multiarch=/usr/include/$(cc -print-multiarch)
flags=(-std=gnu11 -O2 -msse2 -mfpmath=sse -fopenmp -fopenmp-simd -D_GNU_SOURCE -DKERNELS=baseline
    -DMOHVIT_VERSION='"0"' -DOPENBLAS_LIBRARY='""'
    -Wall -Wextra -Wshadow -Wconversion -Wvla -Wmissing-prototypes -Wstrict-prototypes -Werror
    -Wno-psabi -fno-math-errno -fno-trapping-math "-I$source"
    -idirafter /usr/include -idirafter /usr/include/stb -idirafter "$multiarch" -idirafter "$multiarch/openblas-pthread")
# Without what stands in the place of another file where something is left out.
find base weights imgio vit tests/house/narrow.c -name '*.c' ! -name '*_alone.c' ! -name '*_web.c' ! -name 'no_*.c' -print0 |
    xargs -0 -P 2 -I FILE sh -c 'file=$1 work=$2 && shift 2 &&
        "$@" -c "$file" -o "$work/$(echo "$file" | tr / _).o"' sh FILE "$work" "$compiler" "${flags[@]}"
for precision in bf16 int8 f16; do
    "$compiler" "${flags[@]}" -DPRECISION=$precision -c vit/kernels/gemm_native.c -o "$work/gemm_native_$precision.o"
done
"$compiler" -c -I . -I weights weights/embedded.S -o "$work/embedded.o"
"$compiler" -static -fopenmp "$work"/*.o -Wl,--unresolved-symbols=ignore-all -lm -o "$work/narrow"

MOHVIT_ISA=baseline "$work/narrow" >"$work/narrow.txt"
MOHVIT_ISA=baseline "$program" >"$work/wide.txt"
paste "$work/narrow.txt" "$work/wide.txt" | awk '
    NF != 2 { print "line " NR ": expected two logits, found " $0; failed = 1 }
    { difference = $1 - $2; if (difference < 0) difference = -difference; if (difference > most) most = difference }
    END { print NR " logits differ by " most + 0 " at most"; exit failed || NR != 1000 || !(most <= 1e-4) }'
