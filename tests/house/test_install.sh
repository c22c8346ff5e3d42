#!/bin/bash
# Usage: test_install.sh SOURCE BUILD
# Installs the build into an empty folder, moves it, and uses it from there: the program, and a consumer of the library
# through find_package and through pkg-config, and the Python module. CC, CFLAGS and LDFLAGS hold for the consumer,
# PYTHON_PRELOAD names a library that Python has to begin with.
set -euo pipefail

source=$1
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset DESTDIR MOHVIT_WEIGHTS PKG_CONFIG_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# expect NAME PATTERN TEXT
expect() {
    grep -Eq -- "$2" <<<"$3" || fail "$1: no match for '$2' in: $3"
}

DESTDIR=$work/stage cmake --install "$build" --prefix /opt/mohvit >"$work/log" || fail "cmake --install: $(cat "$work/log")"
mv "$work/stage/opt/mohvit" "$work/moved"
prefix=$work/moved
cd "$prefix"

# ---- What is where ---------------------------------------------------------------------------------

doc=share/doc/mohvit
pc=$(find . -name mohvit.pc)
libdir=$prefix/$(dirname "$(dirname "$pc")")
for file in bin/mohvit include/mohvit.h share/mohvit/imagenet1k.tsv $doc/tools/samples/sneaker.png \
    share/man/man1/mohvit.1 share/man/man1/mohvit-headload-plot.1 share/bash-completion/completions/mohvit \
    $doc/{README,CHANGELOG,SECURITY}.md; do
    [[ -s $file ]] || fail "$file was not installed"
done
for file in libmohvit.so pkgconfig/mohvit.pc cmake/mohvit/mohvitConfig.cmake; do
    [[ -s $libdir/$file ]] || fail "$file was not installed"
done
if [[ -e $build/mohvit_mpi.so && ! -s $libdir/mohvit/mohvit_mpi.so ]]; then
    fail "the module for MPI was not installed"
fi
if named=$(grep -rlI -e "$work" -e /opt/mohvit -e "$build" --include='*.pc' --include='*.cmake' .); then
    fail "names the place where it was installed or built: $named"
fi

# tools/demo builds the target shipped, after which this has to work.
if [[ -e $build/build.ninja ]]; then
    made=$(cd "$build" && ninja -t commands shipped)
    binaries=$(find "$build" -name cmake_install.cmake -exec grep -hoE "\"$build/[^\"]+(\.so[.0-9]*|/mohvit)\"" {} + | tr -d '"' | sort -u)
    [[ $binaries == *libmohvit.so* ]] || fail "found only these binaries that are installed: $binaries"
    for binary in $binaries; do
        [[ ! -f $binary || -L $binary ]] || grep -qF -- " -o ${binary#"$build"/} " <<<"$made" ||
            fail "$binary is installed, but the target shipped does not make it"
    done
    [[ $made == *make_pages* ]] || fail "the target shipped makes no manual"
fi

# Every picture and every relative link of a page, which lies as it does in the source.
links=0
for page in $doc/*.md $doc/docs/*.md; do
    while read -r link; do
        [[ -e $(dirname "$page")/$link ]] || fail "$page leads to $link, which was not installed"
        links=$((links + 1))
    done < <(sed -E 's/(\]\(|src=")([^):#"]+)[)#"]/\n@\2\n/g' "$page" | sed -n 's/^@//p')
done
[[ $links -ge 20 ]] || fail "found only $links links"

# ---- The program -----------------------------------------------------------------------------------

expect "bin/mohvit --version" '^mohvit [0-9]+\.[0-9]+\.[0-9]+(-dev)?$' "$(bin/mohvit --version)"
expect "LICENSE" 'Apache License' "$(head -n 2 $doc/LICENSE)"
if [[ -e $build/mohvit_mpi.so ]]; then
    expect "bin/mohvit --version" "^module for MPI +$prefix/bin/\.\./.*/mohvit_mpi\.so\$" "$(bin/mohvit --version)"
fi
expect "bin/mohvit classify" '^ *1  Sneaker ' "$(bin/mohvit classify $doc/tools/samples/sneaker.png 2>/dev/null)"

shipped=(bin/mohvit "$libdir/libmohvit.so")
[[ ! -e $build/mohvit_mpi.so ]] || shipped+=("$libdir/mohvit/mohvit_mpi.so")
package=$(find . -name '_mohvit.abi3.so')
[[ ! -e $build/bindings/python/mohvit/_mohvit.abi3.so || -n $package ]] || fail "the Python module was not installed"
[[ -z $package ]] || shipped+=("$package")
"$source/tests/house/strange_libraries.sh" bin/mohvit $doc/tools/samples/sneaker.png "${shipped[@]}" ||
    fail "loads libraries that are not its own"

# Its module for MPI is found where it was moved to.
idx=/usr/share/datasets/fashion-mnist/t10k
if [[ -e $build/mohvit_mpi.so ]] && command -v mpirun >/dev/null; then
    expect "mpirun bin/mohvit eval" '"images":200,' "$(OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
        ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 mpirun --oversubscribe -n 2 bin/mohvit eval --threads 1 --limit 200 \
        --format json idx:$idx-images-idx3-ubyte.gz,$idx-labels-idx1-ubyte.gz 2>/dev/null)"
fi

# ---- The Python module -----------------------------------------------------------------------------

if [[ -n $package ]]; then
    PYTHONPATH=$(dirname "$(dirname "$package")")
    export PYTHONPATH
    python() {
        LD_PRELOAD=${PYTHON_PRELOAD:-} ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 /usr/bin/python3 "$@"
    }
    expect "python3 -c" '^Sneaker True$' "$(python -c 'import mohvit, sys; print(mohvit.Model()(sys.argv[1]).top(1)[0][0].label,
        mohvit.run_cli("info")[0]["parameters"] == mohvit.Model().parameters)' $doc/tools/samples/sneaker.png)"
    expect "python3 -m mohvit" "^ *1  Sneaker " "$(python -m mohvit classify $doc/tools/samples/sneaker.png 2>/dev/null)"
    [[ $(readlink -f "$(dirname "$package")/bin/mohvit") == "$(readlink -f bin/mohvit)" ]] ||
        fail "the Python module does not find the program that was installed with it"
    unset PYTHONPATH
fi

# ---- Consumers -------------------------------------------------------------------------------------

# check NAME COMMAND …
check() {
    local name=$1 output
    shift
    output=$("$@" $doc/tools/samples/sneaker.png) || fail "$name does not run"
    expect "$name" '^0: Sneaker, [0-9.]+ %; head [0-9]+$' "$output"
    expect "$name" '^2: ' "$output"
    if output=$("$@" share/mohvit/imagenet1k.tsv 2>&1); then
        fail "$name takes a text for a picture: $output"
    fi
    expect "$name" '^picture in memory: ' "$output"
}

{
    cmake -S "$source/tests/consumer" -B "$work/consumer" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" &&
        cmake --build "$work/consumer"
} >"$work/log" 2>&1 || fail "find_package: $(cat "$work/log")"
check "the find_package consumer" "$work/consumer/consumer"
expect "the short consumer" '^Sneaker, [0-9.]+ %$' "$("$work/consumer/short" $doc/tools/samples/sneaker.png)"
! "$work/consumer/short" share/mohvit/imagenet1k.tsv 2>"$work/log" || fail "the short consumer takes a text for a picture"
expect "the short consumer" 'imagenet1k.tsv: ' "$(cat "$work/log")"
heads=$("$work/consumer/heads" $doc/tools/samples/{sneaker,trousers}.png) || fail "heads does not run"
blocks=$(grep -c '^block ' <<<"$heads")
expect "heads" "^cosine -?[01]\.[0-9]+ over [0-9]+ features, $((2 * blocks)) blocks\$" "$heads"
expect "heads" '^block 4\.0: head [0-9]+, mean gate [0-9]+\.[0-9]+$' "$heads"
expect "heads" '^counted 2 images of 10 classes$' "$heads"
expect "heads" '"weights_hash":"[0-9a-f]{32}"' "$heads"

export PKG_CONFIG_PATH=$libdir/pkgconfig
read -ra flags <<<"${CFLAGS:-} $(pkg-config --cflags mohvit) ${LDFLAGS:-}"
read -ra libs <<<"$(pkg-config --libs mohvit)"
"${CC:-cc}" -std=c11 -Wall -Wextra -Wpedantic -Werror "${flags[@]}" "$source/tests/consumer/main.c" \
    -o "$work/plain" "${libs[@]}" || fail "pkg-config: the consumer does not compile"
check "the pkg-config consumer" env LD_LIBRARY_PATH="$libdir" "$work/plain"

echo "installed, moved and used: program${package:+, Python module}, find_package, pkg-config"
