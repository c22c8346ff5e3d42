#!/bin/bash
# Usage: test_readme.sh SOURCE PROGRAM
# The pages against the tree and the program: the files that they name exist, no line is too long, every paragraph of the
# specification has its row, the examples are the ones that are tested, no command and no page is left out; and what the
# build asks for, tools/setup installs. pages.py runs the pages' commands and follows their links.
# shellcheck disable=SC2016 # backquotes here are Markdown's
set -euo pipefail

source=$1
program=$2
cd "$source"
pages=(*.md docs/*.md tests/README.md bindings/web/README.md bindings/web/demo/README.md)
failures=0

fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

# ---- The specification's table ---------------------------------------------------------------------

paragraphs=$(sed -nE '/^\*\*/{s/^\*\*([^*]*)\*\*.*/\1/;p}; s/^## [0-9]\. //p' docs/specification.md |
    sed -E 's/ \(.*|,.*|\.$//' | grep -vx 'Forward pass')
[[ $(wc -l <<<"$paragraphs") == 16 ]] || fail "docs/specification.md: found these paragraphs: $paragraphs"
while read -r paragraph; do
    row=$(grep -F "| $paragraph |" docs/source.md || true)
    grep -q '`[^`]*/' <<<"$row" || fail "docs/source.md: no row with a file for the paragraph \"$paragraph\""
done <<<"$paragraphs"

# ---- Files -----------------------------------------------------------------------------------------

# Whatever stands in backquotes and begins with a folder of this tree. A name may stand for several files, as router.[hc] does.
folders='base|vit|imgio|weights|eval|bindings|tools|tests|docs|\.ci'
for page in "${pages[@]}"; do
    named=$({ grep -oE '`('"$folders"')/[^` ]*`' "$page" || true; } | tr -d '\140' | sort -u)
    [[ $page != README.md || $(wc -l <<<"$named") -ge 3 ]] || fail "$page: found only these files named: $named"
    while read -r name; do
        case $name in
        *NAME*) continue ;; # of a file that someone is to add
        *'.[hc]') files=("${name%.*}.h" "${name%.*}.c") ;;
        *) files=("$name") ;;
        esac
        for file in "${files[@]}"; do
            [[ -e $file ]] || fail "$page names $file, which does not exist"
        done
    done <<<"${named:-README.md}"
    long=$(awk '/^```/ { code = !code } !code && !/^\|/ { print FNR ":" $0 }' "$page" |
        LC_ALL=C.UTF-8 grep -oE '^[0-9]+:.{133}' | cut -d : -f 1 | paste -sd ' ' || true)
    [[ -z $long ]] || fail "$page: lines of more than 132 characters: $long"
done

# ---- The library's examples ------------------------------------------------------------------------

# example PAGE FILE: the page's program in C is that file, which test_install.sh compiles and runs.
example() {
    diff <(sed -n '/^```c$/,/^```$/p' "$1" | sed '1d;$d') "$2" || fail "$1: the example in C is not $2"
}
example README.md tests/consumer/short.c
example docs/library.md tests/consumer/main.c

# ---- Commands, checkpoints, pages -------------------------------------------------------------------

commands=$("$program" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[[ $commands == *classify* ]] || fail "mohvit --help lists no commands"
for command in $commands; do
    [[ $command != help ]] || continue
    grep -qE "\`(mohvit )?$command\`|^mohvit $command " README.md || fail "README.md does not mention the command $command"
    grep -q "^| \`$command\` |" docs/program.md || fail "docs/program.md has no row for the command $command"
done

while read -r name _ top1 _ address size; do
    row=$(grep "^| \`$name\`.*| $top1 % | <$address> |" README.md || true)
    [[ -n $row && (-z $size || $row == *"\`$size\`"*) ]] || fail "README.md: no row for: $name $top1 $address $size"
    grep -q "\`$name\`.*$top1 %" docs/checkpoints.md || fail "docs/checkpoints.md does not have $name and $top1 %"
done < <(tools/fetch-weights --hub https://huggingface.co --list)

for page in docs/*.md docs/*.py; do
    [[ $page == docs/README.md ]] || grep -q "](${page#docs/})" docs/README.md || fail "docs/README.md does not list $page"
done

# ---- Packages --------------------------------------------------------------------------------------

packages=$(sed -nE 's/^ *dependency\([^ ]+ [^ ]+ ([^ ]+)\)$/\1/p' tools/cmake/dependencies.cmake)
[[ $packages == *libjpeg-dev* ]] || fail "dependencies.cmake: found no packages"
for package in $packages; do
    grep -q "^ *need $package " tools/setup || fail "tools/setup does not install $package, which the build asks for"
done

if [[ $failures != 0 ]]; then
    exit 1
fi
