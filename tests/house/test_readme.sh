#!/bin/bash
# Usage: test_readme.sh SOURCE PROGRAM
# README.md and the pages beside it against the tree and the program: the files that they name exist, no line is too
# long, every paragraph of the specification has its row, the example is the one that is tested, no command is left out; and
# what the build asks for, tools/setup installs.
# shellcheck disable=SC2016 # backquotes here are Markdown's
set -euo pipefail

source=$1
program=$2
cd "$source"
pages=(*.md docs/*.md tests/README.md)
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

# Whatever stands in backquotes and begins with a folder of this tree; test_install.sh follows the links. A name may stand
# for several files, as router.[hc] does.
folders='base|vit|imgio|weights|eval|bindings|tools|tests|docs|\.ci'
for page in "${pages[@]}"; do
    named=$({ grep -oE '`('"$folders"')/[^` ]*`' "$page" || true; } | tr -d '\140' | sort -u)
    [[ $page != README.md || $(wc -l <<<"$named") -ge 5 ]] || fail "$page: found only these files named: $named"
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

# ---- The library's example -------------------------------------------------------------------------

diff <(sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d') tests/consumer/main.c ||
    fail "README.md: the C example is not tests/consumer/main.c"

# ---- Commands --------------------------------------------------------------------------------------

commands=$("$program" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[[ $commands == *classify* ]] || fail "mohvit --help lists no commands"
for command in $commands; do
    [[ $command == help ]] || grep -q "\`$command\`" README.md || fail "README.md does not mention the command $command"
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
