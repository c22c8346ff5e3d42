#!/bin/bash
# What the system refuses, call by call: test_faults.sh MOHVIT TOOLS GOLDEN GROUP. Whatever fails, the program must say
# so and end with a status of its own, leave no half of a file, and do it again as ever. STEP (default 1) tries every
# so many calls, as under the sanitizers, where a process takes half a second.
set -u
mohvit=$1 tools=$2 json=$2/test_cli_json golden=$3 group=$4 step=${STEP:-1}
# shellcheck source=tests/testing.sh
. "$(dirname "${BASH_SOURCE[0]}")/../testing.sh"
export TMPDIR=$work
idx=/usr/share/datasets/fashion-mnist
folders=(t_shirt_top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag "Ankle boot")

# Of the last run under a fault, which is $1, that its status is one of the program's, and a message says why.
says() { # FAULT STATUS REASON
    [[ $2 =~ ^[123]$ ]] || fail "$1: status $2: $(cat fault-err.txt)"
    grep -q "^mohvit: .*$3" fault-err.txt || fail "$1: not a word of $3: $(cat fault-err.txt)"
    sound "$1"
}
# And that it left neither half a file nor memory behind.
sound() {
    grep -q 'Sanitizer\|runtime error' fault-err.txt && fail "$1: $(cat fault-err.txt)"
    equal "$(find . -name '*.tmp')" ""
}
# Of output, but for the time that it took.
same_result() { equal "$(grep -v 'images/s\|^rate' "$1")" "$(grep -v 'images/s\|^rate' "$2")"; }

# ---- Memory ----------------------------------------------------------------------------------------

# starve STEP ARGUMENT …: has every allocation fail, or every so many, alone and, a third of these, with all after it. Where a
# library knows a way without, the result must be the same. `again` is run after each.
starve() {
    local every=$1 n i lasting status
    shift
    starved 0 "$@" || fail "$(cat fault-err.txt)"
    mv fault.txt whole.txt
    n=$(cat count)
    [ "$n" -gt 50 ] || fail "only $n allocations"
    again
    for lasting in "" +; do
        for ((i = 1; i <= n; i += ${lasting:+3 *} every)); do
            starved $i$lasting "$@"
            status=$?
            # AddressSanitizer itself asks for memory where a thread starts, and gives up without.
            if grep -q 'CHECK failed: sanitizer_linux_libcdep.*pthread_getattr_np' fault-err.txt; then
                :
            elif [ $status = 0 ]; then
                sound "allocation $i$lasting"
                same_result fault.txt whole.txt
            else
                says "allocation $i$lasting" $status memory
            fi
            again
        done
    done
    echo "$1: $n allocations, every $every"
}

classifying_needs_memory_and_says_so() {
    again() { :; }
    cp "$golden"/../../tools/samples/bag.png "$golden"/images/cat_420.jpg .
    starve "$step" classify --threads 1 bag.png
    starve $((10 * step)) classify --threads 1 --features f.safetensors bag.png
    starve $((5 * step)) classify --threads 1 --top 2 --exif-orientation cat_420.jpg
    starve $((25 * step)) classify --threads 1 --weights "$golden/pth/plain.pth" --config "$golden/pth/config.json" bag.png
}

# What a run without memory has written down must not stand in the way of one that has it.
evaluating_needs_memory_and_goes_on_later() {
    "$tools/make_pictures" unpack $idx/t10k-{images-idx3,labels-idx1}-ubyte.gz 0 5 png data "${folders[@]}" ||
        fail make_pictures
    again() {
        run 0 eval data --threads 1 --quiet --state state --predictions p.csv --per-class c.csv --head-load l.safetensors \
            --features f.safetensors --per-image h.safetensors
        [ -e whole.csv ] || cp p.csv whole.csv
        [ -e whole.safetensors ] || cp l.safetensors whole.safetensors
        [ -e features.safetensors ] || cp f.safetensors features.safetensors
        same p.csv whole.csv
        same l.safetensors whole.safetensors
        [ -e heads.safetensors ] || cp h.safetensors heads.safetensors
        same f.safetensors features.safetensors
        same h.safetensors heads.safetensors
        rm -f state p.csv c.csv l.safetensors f.safetensors h.safetensors
    }
    starve $((3 * step)) eval data --threads 1 --quiet --state state --predictions p.csv --per-class c.csv \
        --head-load l.safetensors --features f.safetensors --per-image h.safetensors
}

statistics_need_memory_and_say_so() {
    "$tools/make_pictures" unpack $idx/t10k-{images-idx3,labels-idx1}-ubyte.gz 0 5 png data "${folders[@]}" ||
        fail make_pictures
    run 0 headload count data --quiet -o l.safetensors
    again() { :; }
    starve $((2 * step)) headload stats l.safetensors
}

# ---- Reading ---------------------------------------------------------------------------------------

# unread ARGUMENT …: reads what is in the folder `files` in small pieces, from a disk that breaks at a call, and while
# a call finds its file cut off there, for about 20 calls. Only the last may change nothing, where it was to find the end.
unread() {
    local n i every status fault reason
    fresh() { rm -rf here && cp -r files here; }
    fresh
    (cd here && with_fault reads:0 "$@") || fail "$*: $(cat here/fault-err.txt)"
    n=$(cat here/count) every=$(((n + 19) / 20 * step))
    mv here/fault.txt whole.txt
    [ "$n" -gt 0 ] || fail "$*: nothing was read"
    fresh
    (cd here && with_fault short:61 "$@") || fail "$*: $(cat here/fault-err.txt)"
    same_result here/fault.txt whole.txt
    for ((i = n; i > 0; i -= every)); do
        for fault in broken shrunk; do
            fresh
            (cd here && with_fault $fault:$i "$@")
            status=$?
            reason='Input/output error'
            [ $fault = broken ] || reason=
            if [ $status = 0 ] && [ $fault = shrunk ]; then
                same_result here/fault.txt whole.txt
                cd here && sound "$fault:$i" && cd ..
            else
                cd here && says "$fault:$i of $*" $status "$reason" && cd ..
            fi
        done
    done
    echo "$*: $n calls"
}

pictures_and_checkpoints_that_cannot_be_read_are_errors() {
    mkdir files
    cp "$golden"/images/{cat_420.jpg,cat_palette.png} "$golden"/pth/{plain.pth,half.pth,config.json} files
    run 0 convert --config "$golden/pth/config.json" "$golden/pth/plain.pth" files/plain.safetensors
    "$tools/make_pictures" unpack $idx/t10k-{images-idx3,labels-idx1}-ubyte.gz 0 1 png files || fail make_pictures
    printf '%s\n' {a..j} >files/labels
    echo '{"mean": [0, 0, 0], "std": [1, 1, 1]}' >files/preprocess.json
    printf '%s\n' cat_420.jpg cat_palette.png >files/list
    unread classify cat_420.jpg cat_palette.png
    unread classify --labels labels --preprocess preprocess.json --from-file list
    unread classify --weights plain.safetensors cat_420.jpg
    unread classify --weights plain.pth --config config.json cat_420.jpg
    unread classify --weights half.pth --config config.json cat_420.jpg
}

data_sets_and_results_that_cannot_be_read_are_errors() {
    mkdir files
    "$tools/make_pictures" unpack $idx/t10k-{images-idx3,labels-idx1}-ubyte.gz 0 5 png files/data "${folders[@]}" ||
        fail make_pictures
    tar -C files -cf files/data.tar data
    (cd files && find data -name '*.png' | sort | sed 's/.*/&/' >list && awk '{ print $0 "\t" NR }' list >truth)
    { printf '\0\0\10\3\0\0\0\5\0\0\0\34\0\0\0\34' && gunzip -c $idx/t10k-images-idx3-ubyte.gz | tail -c +17 | head -c 3920
    } >files/images
    { printf '\0\0\10\1\0\0\0\5' && gunzip -c $idx/t10k-labels-idx1-ubyte.gz | tail -c +9 | head -c 5; } >files/labels
    gzip -k files/images files/labels
    (cd files && "$mohvit" eval data.tar --quiet --state state && "$mohvit" headload count data.tar -o l.safetensors
    ) >/dev/null 2>&1 || fail eval
    unread eval data --threads 1
    unread eval data.tar --threads 1 --quiet
    unread eval list --truth truth --threads 1
    unread eval idx:images,labels --threads 1
    unread eval idx:images.gz,labels.gz --threads 1
    unread eval data.tar --threads 1 --state state
    unread merge state
    unread headload stats l.safetensors
    run 1 merge --head-load sum files/l.safetensors missing
    equal "$err" 'mohvit: missing: No such file or directory'
}

# ---- Writing ---------------------------------------------------------------------------------------

# unwritten FILE ARGUMENT …: FILE, which the command writes, is there whole or not at all, and nothing beside it also where
# a signal ends the command.
unwritten() {
    local file=$1 n i every status fault
    shift
    with_fault count:0 "$@" || fail "$*: $(cat fault-err.txt)"
    n=$(cat count) every=$(((n + 19) / 20 * step))
    [ "$n" -gt 2 ] || fail "$*: only $n calls that change files"
    mv "$file" whole
    for ((i = n; i > 0; i -= every)); do # of many calls the last, which are the most diverse, and some
        for fault in full worn; do
            with_fault $fault:$i "$@"
            status=$?
            says "$fault:$i of $*" $status 'No space left\|Input/output error'
            [ ! -e "$file" ] || same "$file" whole
            rm -f "$file"
        done
        with_fault asked:$i "$@"
        status=$?
        [ $status != 0 ] || same "$file" whole # the run had come to its end, which is then written
        [ $status = 0 ] || equal "asked:$i of $*: $status" "asked:$i of $*: 143"
        equal "asked:$i of $*: $(find . -name '.mohvit-*')" "asked:$i of $*: "
        [ ! -e "$file" ] || same "$file" whole
        rm -f "$file"
    done
    echo "$*: $n calls"
}

what_cannot_be_written_is_an_error_and_never_half_a_file() {
    cp "$golden"/../../tools/samples/bag.png .
    local data="idx:$idx/t10k-images-idx3-ubyte.gz,$idx/t10k-labels-idx1-ubyte.gz"
    run 0 headload count "$data" --limit 20 -o l.safetensors
    unwritten o.safetensors convert --config "$golden/pth/config.json" "$golden/pth/plain.pth" o.safetensors
    unwritten o.safetensors headload count "$data" --limit 20 --threads 1 -o o.safetensors
    unwritten o.safetensors eval "$data" --limit 20 --threads 1 --features o.safetensors
    unwritten o.safetensors eval "$data" --limit 20 --threads 1 --logits o.safetensors
    unwritten o.safetensors classify bag.png --features o.safetensors
    run 0 eval "$data" --limit 20 --state state --features f --per-image h --predictions p --quiet
    unwritten o.safetensors merge state --features o.safetensors
    unwritten o.safetensors merge state --per-image o.safetensors
    unwritten o.csv merge state --predictions o.csv
    unwritten o.html headload report l.safetensors -o o.html
    unwritten o.svg headload plot l.safetensors -o o.svg
    unwritten o.png preprocess bag.png -o o.png
    unwritten o.json routes bag.png -o o.json
}

# closed STATUS ARGUMENT …: into a pipe that nobody reads, which must be no reason to complain.
closed() {
    local expected=$1 status
    shift
    mkfifo pipe
    exec 8<>pipe 9>pipe 8<&-
    "$mohvit" "$@" >&9 2>err.txt
    status=$?
    exec 9>&-
    rm pipe
    equal "$status" "$expected"
    equal "$(grep -v 'built-in model' err.txt)" ""
}

nobody_has_to_read_the_output() {
    cp "$golden"/../../tools/samples/bag.png .
    run 0 headload count "idx:$idx/t10k-images-idx3-ubyte.gz,$idx/t10k-labels-idx1-ubyte.gz" --limit 20 -o l.safetensors
    for format in text json csv; do closed 0 classify --format $format bag.png bag.png; done
    for format in text json; do
        closed 0 eval "idx:$idx/t10k-images-idx3-ubyte.gz,$idx/t10k-labels-idx1-ubyte.gz" --limit 20 --quiet --format $format
    done
    closed 0 headload export l.safetensors --csv
    closed 0 headload export l.safetensors --json
    closed 0 headload stats l.safetensors
    closed 0 info
    closed 0 --help
}

case $group in
memory) tests='classifying_needs_memory_and_says_so evaluating_needs_memory_and_goes_on_later statistics_need_memory_and_say_so' ;;
reading) tests='pictures_and_checkpoints_that_cannot_be_read_are_errors data_sets_and_results_that_cannot_be_read_are_errors' ;;
writing) tests='what_cannot_be_written_is_an_error_and_never_half_a_file nobody_has_to_read_the_output' ;;
*) echo "no group $group" && exit 2 ;;
esac
run_each $tests
