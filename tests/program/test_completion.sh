#!/bin/bash
# Usage: test_completion.sh COMPLETION PROGRAM
# Completes command lines as an interactive bash would, by calling the function that bash calls.
set -euo pipefail

completion=$1
program=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/here"
ln -s "$program" "$work/bin/mohvit"
PATH=$work/bin:$PATH
cd "$work/here"
touch model.pth picture.jpg
mkdir pictures
failures=0

# shellcheck source=tools/completion.bash
source "$completion"
[[ $(complete -p mohvit) == *"-F _mohvit"* ]] || { echo "FAILED: nothing is registered" && exit 1; }

# completed WORD …: what the last word may become, on one line.
completed() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _mohvit "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[*]:-}"
}

# expect ANSWER WORD …
expect() {
    local expected=$1 answer
    shift
    answer=$(completed "$@")
    if [[ $answer != "$expected" ]]; then
        echo "FAILED: $*: \"$answer\", expected \"$expected\"" >&2
        failures=$((failures + 1))
    fi
}

expect "classify eval merge headload routes info convert synth preprocess verify bench help" mohvit ""
expect "convert" mohvit con
expect "--help --version" mohvit --
expect "count export plot stats report ablate top relate certainty" mohvit headload ""
expect "count certainty" mohvit headload c
expect "eval" mohvit help ev
expect "--top" mohvit classify --to
expect "--per-class --predictions --per-image --preprocess --precision" mohvit eval --p
expect "--output" mohvit headload count --ou
expect "--csv" mohvit headload export --cs
expect "--json" mohvit headload export --js
expect "text json csv" mohvit classify --format ""
expect "text json" mohvit headload stats --format ""
expect "f32 f16 bf16" mohvit convert --dtype ""
expect "auto f32 bf16 int8 f16" mohvit classify --precision ""
expect "auto native openblas" mohvit bench --backend ""
expect "native" mohvit bench --backend = n
expect "auto native openblas" mohvit bench --backend =
expect "transnext_micro transnext_tiny transnext_small transnext_base transnext_micro_aaaa" mohvit synth --variant t
expect "moh_transnext_base_75 moh_transnext_base_50" mohvit info --variant moh_transnext_b
expect "" mohvit classify --top ""
expect "model.pth" mohvit classify --weights mo
expect "picture.jpg pictures" mohvit classify --top 3 pic
expect "" mohvit nonsense --we

# Every option that a command takes is offered.
for command in classify eval merge "headload count" routes info convert synth preprocess verify bench; do
    read -ra words <<<"$command"
    offered=$(completed mohvit "${words[@]}" -- | tr ' ' '\n' | sort)
    taken=$("$program" "${words[@]}" --help | grep -oE '^  (-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort)
    if [[ $offered != "$taken" ]]; then
        echo "FAILED: $command: $(diff <(echo "$offered") <(echo "$taken"))" >&2
        failures=$((failures + 1))
    fi
done

[[ $failures == 0 ]]
