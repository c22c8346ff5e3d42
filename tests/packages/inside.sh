#!/bin/bash
# Run by tools/test-packages as root inside a new Debian tree, where /test has the packages, the samples and the example of
# a user of the library.
set -euo pipefail
cd /test
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# expect NAME PATTERN TEXT
expect() {
    grep -Eq -- "$2" <<<"$3" || fail "$1: no match for '$2' in: $3"
    echo "ok: $1"
}

install() {
    apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" >log 2>&1 || fail "apt-get install $*: $(tail log)"
}

installed() {
    dpkg-query -W -f '${db:Status-Status} ${Package}\n' '*mohvit*' 2>/dev/null | sed -n 's/^installed //p'
}

apt-get -qq update

# ---- The wheel, where none of the libraries inside it are ------------------------------------------

install python3-venv python3-numpy python3-cffi
! ldconfig -p | grep -E 'libjpeg|libzip|libwebp' || fail "the tree is not bare"
python3 -m venv --system-site-packages venv
venv/bin/pip -q install --no-index --no-build-isolation ./*.whl >log 2>&1 || fail "pip install: $(tail log)"
expect "the wheel" "^Sneaker 10 mohvit is neither" "$(venv/bin/python -c 'import mohvit, sys
model = mohvit.Model()
print(model("samples/sneaker.png").top(1)[0][0].label, model("cat_444.jpg").logits.size, end=" ")
try:
    mohvit.program_path()
except FileNotFoundError as error:
    print(str(error).removeprefix("the program "))')"
rm -r venv

# ---- The program, alone ----------------------------------------------------------------------------

install ./mohvit_*.deb
[[ $(installed) == mohvit ]] || fail "mohvit brought: $(installed)"
expect "mohvit classify" '^ *1  Sneaker ' "$(mohvit classify samples/sneaker.png 2>/dev/null)"
expect "mohvit classify, its own sample" '^ *1  Bag ' "$(mohvit classify /usr/share/doc/mohvit/tools/samples/bag.png 2>/dev/null)"
expect "mohvit classify, by OpenBLAS" '^ *1  Sneaker ' "$(mohvit classify --backend openblas samples/sneaker.png 2>/dev/null)"
expect "mohvit --version" '^module for MPI +not found$' "$(mohvit --version)"
printf '%s\n' "ankle_boot.png 9" "bag.png 8" "coat.png 4" "dress.png 3" "sandal.png 5" "sneaker.png 7" "t_shirt.png 0" \
    "trousers.png 1" >truth.txt
expect "mohvit eval" '"images":8,"failed":0,' "$(mohvit eval --truth truth.txt --format json samples)"
expect "mohvit eval under mpirun says what to install" 'package mohvit-mpi' \
    "$(OMPI_COMM_WORLD_SIZE=2 mohvit eval --truth truth.txt samples 2>&1 || true)"

# ---- Manual and completion -------------------------------------------------------------------------

install man-db
for page in mohvit mohvit-eval mohvit-headload-plot; do
    expect "man $page" '^NAME' "$(man "$page" 2>&1)"
done
expect "man mohvit eval" 'mohvit-eval - score a model on labelled pictures' "$(man mohvit eval 2>&1)"
expect "bash completion" 'headload' "$(bash -c 'source /usr/share/bash-completion/completions/mohvit
    COMP_WORDS=(mohvit head) COMP_CWORD=1; _mohvit mohvit head mohvit; echo "${COMPREPLY[@]}"')"

# ---- The library -----------------------------------------------------------------------------------

install ./libmohvit1_*.deb ./libmohvit-dev_*.deb gcc libc6-dev pkg-config cmake make
read -ra flags <<<"$(pkg-config --cflags --libs mohvit)"
cc -std=c11 -Wall -Wextra -Werror consumer/main.c -o plain "${flags[@]}"
expect "the README's example, by pkg-config" '^0: Sneaker' "$(./plain samples/sneaker.png)"
{ cmake -S consumer -B built && cmake --build built; } >log 2>&1 || fail "find_package: $(cat log)"
expect "the README's example, by CMake" '^0: Trouser' "$(built/consumer samples/trousers.png)"

# ---- MPI -------------------------------------------------------------------------------------------

install ./mohvit-mpi_*.deb
expect "mohvit --version with mohvit-mpi" '^module for MPI +/usr/.*/mohvit_mpi\.so$' "$(mohvit --version)"
expect "mpirun -np 2 mohvit eval" '"images":8,"failed":0,' "$(mpirun --allow-run-as-root --oversubscribe -np 2 \
    mohvit eval --threads 1 --truth truth.txt --format json samples 2>/dev/null)"

# ---- The Python module -----------------------------------------------------------------------------

install ./python3-mohvit_*.deb
# shellcheck disable=SC2016 # Python's
expect "import mohvit" "^8 Sneaker mohvit.FormatError$" "$(python3 -c 'import glob, mohvit
model = mohvit.Model()
load = mohvit.HeadLoad(model)
load.add(model(sorted(glob.glob("samples/*.png"))), range(8))
try:
    model(b"no picture")
except mohvit.Error as error:
    print(load.images.sum(), model("samples/sneaker.png").top(1)[0][0].label, "mohvit." + type(error).__name__)')"
expect "python3 -m mohvit" '^ *1  Sneaker ' "$(python3 -m mohvit classify samples/sneaker.png 2>/dev/null)"
install python3-matplotlib dataset-fashion-mnist
sed -n '/^```python$/,/^```$/p' python.md | sed '1d;/^```$/,$d' >lines.py
[[ $(wc -l <lines.py) -le 5 ]] || fail "docs/python.md: its first block has more than five lines"
python3 lines.py >log 2>&1 || fail "docs/python.md: $(tail log)"
expect "five lines of docs/python.md to a figure" 'PNG image data' "$(python3 -c 'from PIL import Image
image = Image.open("load.png")
print(image.format, "image data", image.size)')"
expect "its modules are compiled" 'model\.cpython' "$(ls /usr/lib/python3/dist-packages/mohvit/__pycache__)"

# ---- Nobody else's libraries ---------------------------------------------------------------------------

lib=$(dirname "$(readlink -f /usr/lib/*-linux-gnu/libmohvit.so.1)")
bash strange_libraries.sh /usr/bin/mohvit samples/sneaker.png /usr/bin/mohvit "$lib/libmohvit.so.1" "$lib/mohvit/mohvit_mpi.so" \
    /usr/lib/python3/dist-packages/mohvit/_mohvit.abi3.so ||
    fail "loads libraries that are not its own"

# ---- Gone ------------------------------------------------------------------------------------------

packages=(python3-mohvit mohvit mohvit-mpi libmohvit-dev libmohvit1)
dpkg -L "${packages[@]}" | sort -u >paths
grep -q '/usr/lib/[^/]*-linux-gnu/libmohvit\.so\.1$' paths || fail "the library is not in the place for its architecture"
apt-get -qq -y -o Dpkg::Use-Pty=0 purge "${packages[@]}" >log 2>&1 || fail "purge: $(tail log)"
[[ -z $(installed) ]] || fail "still there: $(installed)"
# man-db keeps what it formatted, and forgets it in time.
left=$(find / -xdev -path /test -prune -o -path /var/cache/man -prune -o -path /proc -prune -o -path /sys -prune -o -iname '*mohvit*' -print)
[[ -z $left ]] || fail "left behind: $left"
while read -r path; do # a folder may be another package's too
    [[ ! -e $path && ! -L $path ]] || dpkg -S "$path" >/dev/null 2>&1 || fail "left behind: $path"
done <paths
if ldconfig -p | grep mohvit; then
    fail "the loader still knows the library"
fi
echo "ok: $(wc -l <paths) paths of ${#packages[@]} packages, and none is left"
