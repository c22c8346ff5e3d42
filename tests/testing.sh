# testing.sh - what the suites that run the program share. Source it with $mohvit, the program, and $json, test_cli_json,
# set; the suite is then in $work, an empty folder that goes when it ends, and ends with [ $failures = 0 ].
# shellcheck shell=bash
export LC_ALL=C OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 # the same bars on every machine; MPI in containers
unset MOHVIT_WEIGHTS NO_COLOR
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() { echo "FAILED: line ${BASH_LINENO[1]}: $*"; failures=$((failures + 1)); }

# run STATUS ARGUMENT …: expects that exit status; output in $out, messages in $err.
run() {
    local expected=$1 status
    shift
    "$mohvit" "$@" >out.txt 2>err.txt </dev/null
    status=$?
    out=$(tr -d '\0' <out.txt) err=$(cat err.txt)
    [ $status = "$expected" ] || fail "mohvit $*: status $status, expected $expected: $err"
    grep -q 'Sanitizer\|runtime error' err.txt && fail "mohvit $*: $err"
}
# run_each TEST …: runs each in an empty folder of its own; false where one has failed.
run_each() {
    local test
    for test; do
        echo "$test"
        mkdir "$test" && cd "$test" || exit 1
        "$test"
        cd "$work" || exit 1
        rm -rf "$test"
    done
    [ $failures = 0 ]
}
# with_fault FAULT ARGUMENT …, starved N ARGUMENT …: the program with fault.c, or scarce.c, preloaded from $tools. Its
# output goes to fault.txt, messages to fault-err.txt, the number of calls to count.
with_fault() { FAULT=$1 FAULT_COUNT=count preloaded fault "${@:2}"; }
starved() { SCARCE=$1 SCARCE_COUNT=count preloaded scarce "${@:2}"; }
preloaded() {
    { # the shell's own words about what was killed are not wanted
        LD_PRELOAD=$tools/lib$1.so ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0 "$mohvit" "${@:2}" \
            >fault.txt 2>fault-err.txt </dev/null
    } 2>/dev/null
}
# grown SIZE PID: once the file `state` is larger, however slow the machine is, or its process has ended.
grown() {
    while [ "$(stat -c %s state 2>/dev/null || echo 0)" -le "$1" ] && kill -0 "$2" 2>/dev/null; do sleep 0.02; done
}
# get KEY …: a value of the JSON that was printed last.
get() { "$json" "$@" <out.txt || fail "$(cat out.txt)"; }

equal() { [ "$1" = "$2" ] || fail "got \"$1\", expected \"$2\""; }
has() { [[ $1 == *"$2"* ]] || fail "\"$2\" not in: $1"; }
lacks() { [[ $1 != *"$2"* ]] || fail "\"$2\" in: $1"; }
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }
absent() { [ ! -e "$1" ] || fail "$1 is there"; }
# within A B TOLERANCE
within() { awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { exit !(a - b <= t && b - a <= t) }' || fail "$1 is not within $3 of $2"; }
# is_below VALUE LIMIT: a finite number, on either side of zero.
is_below() {
    [[ $1 =~ ^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$ ]] && awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b && -a < b) }'
}
