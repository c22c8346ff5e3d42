#!/bin/bash
# Usage: test_manual.sh PAGES PROGRAM
# Every command has a manual page, which has the options of its --help and no others, and is sound troff.
set -euo pipefail

pages=$1
program=$2
failures=0

fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

commands() {
    sed -n '/^Commands:$/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

# Options that text describes, as a list has them: at the beginning of a line.
options() {
    { grep -oE '^ *(-., )?--[a-z][a-z-]*' || true; } | grep -oE -- '--[a-z-]+' | sort -u
}

# check NAME COMMAND …
check() {
    local page=$pages/$1.1 shown said complaints
    shift
    if [[ ! -s $page ]]; then
        fail "there is no $page"
        return
    fi
    shown=$(MANWIDTH=200 man -l "$page" 2>/dev/null | col -b)
    said=$("$program" "$@" --help)
    diff <(options <<<"$said") <(sed -n '/^OPTIONS$/,/^[A-Z]/p' <<<"$shown" | options) >&2 || fail "$page: other options than --help"
    while read -r word; do
        grep -qF -- "$word" <<<"$(tr -s ' \n' ' ' <<<"$shown")" || fail "$page lacks \"$word\""
    done < <(sed -n '2s/\(\([^ ]* \)\{4\}\).*/\1/p' <<<"$said") # what the description begins with
    complaints=$(mandoc -Tlint -W warning "$page"; LC_ALL=C.UTF-8 man --warnings -l "$page" 2>&1 >/dev/null)
    [[ -z $complaints ]] || fail "$page: $complaints"
}

expected=1
check mohvit
for command in $("$program" --help | commands); do
    [[ $command == help ]] && continue
    check "mohvit-$command" "$command"
    expected=$((expected + 1))
    for below in $("$program" "$command" --help | commands); do
        check "mohvit-$command-$below" "$command" "$below"
        expected=$((expected + 1))
    done
done
found=$(find "$pages" -name '*.1' | wc -l)
[[ $expected -gt 10 && $found == "$expected" ]] || fail "$found pages of $expected commands"
[[ $failures == 0 ]]
