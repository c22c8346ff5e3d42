#!/bin/bash
# Evaluations that are ended by signals and gone on with in other ways come to the result of one that was left alone:
# test_interruptions.sh MOHVIT TOOLS GOLDEN GROUP, where GROUP is folder, tar or list. INTERRUPTIONS (default 4) of
# each; SEED (default 1) of what is drawn. TOOLS is the folder of make_pictures and test_cli_json.
set -u
mohvit=$1 tools=$2 json=$2/test_cli_json group=$4 interruptions=${INTERRUPTIONS:-4} scale=${SCALE:-1}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testing.sh
. "$(dirname "${BASH_SOURCE[0]}")/../testing.sh"
export TMPDIR=$work ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 # OpenMPI leaves memory behind
idx=/usr/share/datasets/fashion-mnist
signals=(KILL TERM INT HUP QUIT ABRT SEGV BUS USR1)
RANDOM=${SEED:-1}

result() { sed 's/"images_per_s":[^,]*,"decode_ms":[^,]*,"network_ms":[^,]*,//; s/"threads":[0-9]*,//'; }

rows() { python3 "$here/vectors.py" rows "$1" || fail "vectors.py rows $1"; }

# begin ARGUMENT …: in the background, on threads, in a batch and on ranks that are drawn.
begin() {
    local threads=$((RANDOM % 3 + 1)) batch=$((RANDOM % 12 + 1)) command=()
    ranks=$((RANDOM % 4))
    [ "$ranks" -le 1 ] || command=(mpirun --oversubscribe --mca btl_base_warn_component_unused 0 -n "$ranks")
    set -m # else the shell has its background processes ignore SIGINT, as nohup would
    "${command[@]}" "$mohvit" "$@" --threads $threads --batch $batch >out.txt 2>err.txt </dev/null &
    pid=$!
    set +m
    how="$ranks ranks, $threads threads, batch $batch"
}

# The processes of mohvit that mpirun began, but for those that have ended and were not waited for.
ranks_of_mpirun() {
    cat /proc/[0-9]*/stat 2>/dev/null | awk -v p="$pid" '$2 == "(mohvit)" && $3 != "Z" && $4 == p { print $1 }'
}
state_size() { stat -c %s state 2>/dev/null || echo 0; }

# interrupt SIGNAL: to one of the processes that evaluate, at any moment from their beginning on or, three times of four,
# soon after a record was written; false where there is none any more.
interrupt() {
    local victims=("$pid") enough=$(($(state_size) + 3000)) # a header alone is smaller
    if [ $((RANDOM % 4)) != 0 ]; then
        while [ "$(state_size)" -lt $enough ] && kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
        sleep "0.$(printf %03d $((RANDOM % 100)))"
    else
        sleep "$((ranks > 1)).$(printf %03d $((RANDOM % 450 + 50)))" # mpirun takes a second to begin
    fi
    [ "$ranks" -le 1 ] || mapfile -t victims < <(ranks_of_mpirun)
    [ ${#victims[@]} -gt 0 ] && kill -s "$1" "${victims[RANDOM % ${#victims[@]}]}" 2>/dev/null
}

# mpirun may wait for ever for ranks that are no more, as OpenMPI 4.1 does where two die at once.
end_mpirun() {
    local i
    while [ -n "$(ranks_of_mpirun)" ]; do sleep 0.05; done
    for ((i = 0; i < 60; i++)); do
        kill -0 "$pid" 2>/dev/null || return
        sleep 0.05
    done
    kill -KILL "$pid"
}

# Until it has been interrupted often enough, and then to its end; whenever it comes to that, from the beginning again.
interrupted_runs_come_to_the_result_of_one_that_was_not() {
    local count=$((1500 / scale)) made=0 grown=0 ended=0 tries=0 before size='' signal how pid ranks status
    local what=(eval "$group" --state state --format json --predictions p.csv --per-class c.csv --features f --quiet)
    ulimit -c 0
    "$tools/make_pictures" unpack $idx/t10k-{images-idx3,labels-idx1}-ubyte.gz 0 $count png folder t_shirt_top Trouser \
        Pullover Dress Coat Sandal Shirt Sneaker Bag "Ankle boot" || fail make_pictures
    find folder -name '*.png' | sort >list
    awk 'NR % 100 == 50' list | while read -r name; do printf damaged >"$name"; done
    tar -cf tar folder
    run 1 eval "$group" --format json --predictions whole.csv --per-class whole-classes.csv --features whole-features --quiet
    rows whole-features >whole-rows
    result <out.txt >whole.json
    while [ $made -lt "$interruptions" ] || [ $ended = 0 ]; do
        tries=$((tries + 1))
        [ $tries -le $((5 * interruptions + 5)) ] || { fail "only $made of $tries runs were interrupted" && return; }
        signal=none
        before=$(state_size)
        begin "${what[@]}"
        if [ $made -lt "$interruptions" ] && interrupt "${signals[made % ${#signals[@]}]}"; then
            signal=${signals[made % ${#signals[@]}]}
            [ "$ranks" -le 1 ] || end_mpirun
        fi
        wait "$pid" 2>/dev/null
        status=$?
        [ ! -e state ] || flock -w 20 state true # ranks that are still ending
        rm -f .*.tmp
        if [ -e p.csv ] && [ -e c.csv ] && [ -e f ]; then # it came to its end all the same
            ended=$((ended + 1))
            equal "$(result <out.txt)" "$(cat whole.json)"
            same p.csv whole.csv
            same c.csv whole-classes.csv
            rows f >f-rows
            same f-rows whole-rows
            size=${size:-$(stat -c %s state)}
            equal "$(stat -c %s state)" "$size" # each chunk was run once
            rm -f state p.csv c.csv f
        elif [ "$signal" = none ] || [ $status = 0 ]; then
            fail "$how, $signal: status $status: $(cat err.txt)"
        else
            made=$((made + 1))
            [ "$(state_size)" -le "$before" ] || grown=$((grown + 1))
        fi
        rm -f p.csv c.csv f
    done
    echo "$group: $made interruptions, $grown of them behind new records, $ended results"
}

case $group in
folder | tar | list) run_each interrupted_runs_come_to_the_result_of_one_that_was_not ;;
*) echo "no group $group" && exit 2 ;;
esac
