#!/bin/bash
# The program among others: what it loads, what little it needs, and that it goes when it is told to.
# test_guest.sh MOHVIT TOOLS GOLDEN GROUP. STACK (default 128K) is what threads get; the sanitizers' frames are larger.
set -u
mohvit=$1 tools=$2 json=$2/test_cli_json group=$4 stack=${STACK:-128K}
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=tests/testing.sh
. "$here/../testing.sh"
export TMPDIR=$work
sample=$here/../../tools/samples/sneaker.png
idx=/usr/share/datasets/fashion-mnist
data=idx:$idx/t10k-images-idx3-ubyte.gz,$idx/t10k-labels-idx1-ubyte.gz

# ---- OpenBLAS --------------------------------------------------------------------------------------

# loads ARGUMENT …: whether the program loads OpenBLAS on the way.
loads() {
    rm -f loaded.*
    LD_DEBUG=files LD_DEBUG_OUTPUT=loaded "$mohvit" "$@" >out.txt 2>err.txt </dev/null || fail "mohvit $*: $(cat err.txt)"
    cat loaded.* >files
    grep -q 'file=libc\.so' files || fail "$(cat files)"
    grep -q 'file=libopenblas' files
}

openblas_is_loaded_when_and_only_when_it_is_used() {
    loads classify --backend native "$sample" && fail "loaded for the native backend"
    loads info && fail "loaded to describe a model"
    loads --help && fail "loaded for a text"
    loads classify --backend openblas "$sample" || fail "not loaded for the backend openblas"
    grep -q Sneaker out.txt || fail "$(cat out.txt err.txt)"
    loads --version || fail "not loaded to tell its version"
    has "$(cat out.txt)" "OpenBLAS       0."
}

# One that is no library comes first.
without_openblas_the_message_names_its_package() {
    local name
    loads --version
    name=$(sed -n 's/.*file=\(libopenblas[^ ]*\).*/\1/p' files | head -n 1)
    mkdir broken
    echo "no library" >"broken/$name"
    export LD_LIBRARY_PATH=$PWD/broken
    run 3 classify --backend openblas "$sample"
    has "$err" "OpenBLAS cannot be loaded"
    has "$err" "$name"
    has "$err" "libopenblas0"
    run 0 classify --backend native "$sample"
    run 0 --version
    has "$out" "OpenBLAS       not found"
    has "$out" native
    lacks "$out" openblas
    run 0 --version --format json
    equal "$(get libraries OpenBLAS)" null
    run 0 bench --iters 1 --format json
    unset LD_LIBRARY_PATH
}

# core NAME=VALUE …: what the products are called where the library says that it runs FAKE_CORE.
core() {
    env LD_LIBRARY_PATH="$tools/fake_openblas" "$@" "$mohvit" classify --backend openblas --provenance --format json \
        "$sample" >out.txt 2>err.txt || fail "$*: $(cat err.txt)"
    get provenance kernels
}

a_processor_that_openblas_does_not_know_gets_the_core_that_fits() {
    local fits=Prescott
    run 0 --version --format json
    case $(get cpu_features) in
    *avx512*) fits=SkylakeX ;;
    *avx2*) fits=Haswell ;;
    esac
    unset OPENBLAS_CORETYPE
    equal "$(core FAKE_CORE=Prescott)" openblas_$fits
    equal "$(core FAKE_CORE=Prescott OPENBLAS_CORETYPE=)" openblas_$fits
    equal "$(core FAKE_CORE=Zen)" openblas_Zen
    equal "$(core FAKE_CORE=Newer)" openblas_Newer
    equal "$(core FAKE_CORE=Prescott OPENBLAS_CORETYPE=Nehalem)" openblas_Nehalem
    LD_LIBRARY_PATH=$tools/fake_openblas FAKE_CORE=Prescott run 0 bench --iters 1 --backend openblas --format json
    equal "$(get provenance kernels)" openblas_$fits
}

# confined KIB ARGUMENT …: run in so much address space; its status in $status, 124 or 137 where it hangs.
confined() {
    (ulimit -v "$1" && shift && exec timeout -k 5 60 "$mohvit" "$@") >out.txt 2>err.txt
    status=$?
}

# Not under the sanitizers, which take terabytes.
little_address_space_hangs_no_run() {
    local threads kib
    for threads in 1 2; do
        confined 150000 classify --backend native --threads $threads "$sample"
        equal "$status" 0
        has "$(cat out.txt)" Sneaker
        confined 150000 classify --backend openblas --threads $threads "$sample"
        equal "$status" 3
        has "$(cat err.txt)" "address space"
    done
    for kib in 200000 240000 280000 320000 360000 400000 500000; do # some is enough for one thread, and not for two
        confined $kib classify --backend openblas --threads 2 --batch 8 "$sample" "$sample" "$sample" "$sample" \
            "$sample" "$sample" "$sample" "$sample"
        [ "$status" = 0 ] || [ "$status" = 3 ] || fail "$kib KiB: status $status: $(cat err.txt)"
    done
    confined 1000000 classify --backend openblas --threads 2 "$sample"
    equal "$status" 0
}

# One forward pass for each thread, all at once in OpenBLAS. OpenMP would end the process for want of a stack.
nor_an_evaluation() {
    local kib threads
    for kib in 250000 300000 350000 400000; do
        for threads in 2 8; do
            confined $kib eval "$data" --limit 100 --quiet --backend openblas --threads $threads
            [ "$status" = 0 ] || [ "$status" = 3 ] || fail "$kib KiB, $threads threads: status $status: $(cat err.txt)"
        done
    done
    equal "$status" 0
    for kib in 90000 110000 130000 200000; do
        confined $kib eval "$data" --limit 100 --quiet --backend native --threads 8
        [ "$status" = 0 ] || has "$(cat err.txt)" "no memory"
    done
    equal "$status" 0
}

# ---- Threads ---------------------------------------------------------------------------------------

openmp_settings_are_kept_to() {
    OMP_NUM_THREADS=1 run 0 classify --provenance --format json "$sample"
    equal "$(get provenance threads)" 1
    OMP_NUM_THREADS=1 run 0 classify --provenance --format json --threads 2 "$sample"
    equal "$(get provenance threads)" 2
    OMP_STACKSIZE=$stack run 0 eval "$data" --limit 500 --threads 3 --format json
    equal "$(get images)" 500
    OMP_STACKSIZE=$stack run 0 bench --variant moh_transnext_small_75 --size 64 --iters 1 --threads 3
    OMP_THREAD_LIMIT=1 run 0 eval "$data" --limit 500 --threads 3 --format json
    equal "$(get images)" 500
}

# ---- Signals ---------------------------------------------------------------------------------------

# has_handler PID: of SIGTERM, which is bit 14.
has_handler() { [ $((0x0$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null) >> 14 & 1)) = 1 ]; }
child_of() { tr -d ' ' <"/proc/$1/task/$1/children"; }

# begin COMMAND …: an evaluation by it in the background, stopped where it has results; $pid is the program's.
begin() {
    rm -f state
    set -m # else the shell has its background processes ignore SIGINT, as nohup would
    "$@" "$mohvit" eval "$data" --threads 2 --state state --quiet >out.txt 2>err.txt &
    started=$!
    set +m
    grown 6000 $started
    pid=$(child_of $started)
    pid=${pid:-$started}
    kill -STOP "$pid"
}

# ends STATUS …: by one of these, once it goes on, within a minute. Of two signals that were waiting either may be taken first,
# where two threads take them.
ends() {
    local i status
    kill -CONT "$pid" 2>/dev/null
    for ((i = 0; i < 600 && $(kill -0 "$pid" 2>/dev/null; echo $?) == 0; i++)); do
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null
    wait $started
    status=$?
    [[ " $* " == *" $status "* ]] || fail "got \"$status\", expected one of \"$*\""
}

a_second_signal_ends_the_process() {
    begin env
    kill -INT "$pid"
    ends 1
    has "$(cat err.txt)" "interrupted"
    begin env
    kill -INT "$pid"
    kill -TERM "$pid"
    ends 130 143
    lacks "$(cat err.txt)" "interrupted"
}

# The kernel does not end the first process of a container by a signal that has no handler.
so_it_does_as_the_first_process_of_a_container() {
    local contained=(unshare --pid --fork)
    [ "$(id -u)" = 0 ] || contained+=(--user --map-root-user)
    "${contained[@]}" true || { echo "no namespaces here: not tested" && return; }
    begin "${contained[@]}"
    kill -INT "$pid"
    kill -TERM "$pid"
    ends 130 143
    mkfifo paths
    "${contained[@]}" "$mohvit" classify --from-file - <paths &
    started=$!
    exec 3>paths
    until pid=$(child_of $started) && has_handler "$pid"; do
        kill -0 $started || break
        sleep 0.02
    done
    kill -TERM "$pid"
    ends 143
    exec 3>&-
}

case $group in
openblas)
    openblas_is_loaded_when_and_only_when_it_is_used
    without_openblas_the_message_names_its_package
    a_processor_that_openblas_does_not_know_gets_the_core_that_fits
    ;;
limits)
    little_address_space_hangs_no_run
    nor_an_evaluation
    ;;
others)
    openmp_settings_are_kept_to
    a_second_signal_ends_the_process
    so_it_does_as_the_first_process_of_a_container
    ;;
*) fail "no group $group" ;;
esac
[ $failures = 0 ]
