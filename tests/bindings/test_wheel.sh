#!/bin/bash
# Usage: test_wheel.sh SOURCE BUILD
# A wheel of the build, unpacked, answers as the build does, and takes no library from outside but the C library's. pip has its
# turn in tools/test-packages.
set -euo pipefail

source=$1
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset LD_LIBRARY_PATH PYTHONPATH

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

wheel=$("$source/tools/make_wheel" "$build" "$work")
[[ $wheel == "$work"/mohvit-*-cp38-abi3-manylinux_2_*.whl ]] || fail "the wheel is called $wheel"
/usr/bin/python3 -m zipfile -e "$wheel" "$work/u"
cd "$work/u"

files=0
while IFS=, read -r name digest size; do
    [[ -e $name ]] || fail "RECORD names $name"
    [[ -z $digest || sha256=$(openssl dgst -sha256 -binary "$name" | basenc --base64url | tr -d =) == "$digest" ]] || fail "$name: $digest"
    [[ -z $size || $(stat -c %s "$name") == "$size" ]] || fail "$name: $size bytes"
    files=$((files + 1))
done <mohvit-*.dist-info/RECORD
[[ $files == $(find . -type f | wc -l) ]] || fail "RECORD has $files files"

inside=$(find . -name '*.so*' | wc -l)
[[ $inside -ge 8 ]] || fail "only $inside libraries inside"
if ldd mohvit/*.so* | grep -v "=> $PWD/" | grep -Ev '^mohvit/|linux-vdso|/ld-linux|lib(c|m)\.so\.6 => '; then
    fail "libraries from outside"
fi
[[ $(find ./*.dist-info/licenses -type f | wc -l) -ge 8 ]] || fail "licences are missing"

answer() {
    (cd / && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$1 exec /usr/bin/python3 -c 'import mohvit, sys
assert mohvit.__file__ == sys.argv[1] + "/mohvit/__init__.py", mohvit.__file__
print(mohvit.Model()(sys.argv[2:]).logits.tobytes().hex())' "$1" "$source"/tests/golden/images/cat_4*.jpg "$source/tools/samples/bag.png")
}
of_wheel=$(answer "$PWD")
of_build=$(answer "$build/bindings/python")
[[ $of_wheel == "$of_build" && ${#of_wheel} == 240 ]] || fail "answers differ: $of_wheel, $of_build"
echo "$inside libraries inside"
