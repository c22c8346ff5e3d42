#!/bin/bash
# Usage: test_web.sh SOURCE FOLDER MOHVIT
# Builds the npm package in FOLDER, packs it, installs what was packed into an empty project, checks its types there, and
# tests it in node.
set -euo pipefail

source=$1 folder=$2 mohvit=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Other compilers, and their flags, are for the program.
unset CC CFLAGS LDFLAGS CMAKE_C_COMPILER_LAUNCHER
cmake --preset web -S "$source" -B "$folder" --log-level=WARNING -DMOHVIT_WERROR=ON >"$work/log" 2>&1 &&
    cmake --build "$folder" >>"$work/log" 2>&1 || { tail -n 50 "$work/log" && exit 1; }

if found=$(git -C "$source" grep -lE 'EMSCRIPTEN|__wasm' -- '*.[chS]' '*.inc' '*.txt' '*.cmake' '*.in' | grep -vE '^(base|bindings/web)/'); then
    echo "FAILED: what is special to WebAssembly belongs into base/ and bindings/web: $found" >&2
    exit 1
fi

cd "$work"
npm pack --silent --pack-destination . "$folder/bindings/web/package" >/dev/null
echo '{"private": true}' >package.json
npm install --silent --offline --no-audit --no-fund ./mohvit-*.tgz
tsc=$source/tests/bindings/node_modules/typescript/bin/tsc
if [[ -e $tsc ]]; then
    cp "$source/tests/bindings/web_types.ts" .
    node "$tsc" --noEmit --strict --target es2022 --module nodenext --skipDefaultLibCheck web_types.ts
else
    echo "TypeScript is not here: the types are not checked"
fi
PACKAGE=$work/node_modules/mohvit GOLDEN=$source/tests/golden MOHVIT=$mohvit node --test "$source/tests/bindings/web.test.mjs"
