#!/bin/bash
# No output of a command may be one of its inputs or another output: test_outputs.sh MOHVIT BUILD GOLDEN GROUP (ctest
# runs each group of tests below). A table says what each command reads and writes; every output is tried as every
# input and as every other output, under several names, and all files are compared afterwards.
set -u
mohvit=$1 golden=$3 group=$4
samples=$golden/../../tools/samples
# shellcheck source=tests/testing.sh
. "$(dirname "${BASH_SOURCE[0]}")/../testing.sh"

# A file for each kind of input.
make_files() {
    mkdir -p folder/Bag
    cp "$samples/bag.png" picture
    cp picture folder/Bag/a.png
    tar -cf data.tar folder
    echo picture >list
    printf '%s Bag\n' picture folder/Bag/a.png >truth
    echo Bag >subset
    printf '%s\n' {a..e} >labels
    echo '{"mean": [0, 0, 0], "std": [1, 1, 1]}' >preprocess
    cp "$golden/pth/config.json" config
    { printf '\0\0\10\3\0\0\0\1\0\0\0\34\0\0\0\34' && head -c 784 /dev/zero; } >images
    printf '\0\0\10\1\0\0\0\1\3' >classes
    run 0 synth --config config weights
    run 0 headload count data.tar -o load --per-image heads --quiet
    run 0 headload ablate data.tar --heads 4.0:r1 --format json --quiet
    cp out.txt importance
    run 0 eval data.tar --quiet --state state
}

# takes COMMAND: sets what it reads and writes: words OPTION=FILE, where % in a third field stands for the file in what
# the option is given; and OPTION=ENDING, without an option for an argument, without an ending where any name will do.
takes() {
    local model='--weights=weights --config=config --labels=labels --preprocess=preprocess'
    local data="=data.tar =list =images=idx:%,classes =classes=idx:images,% --truth=truth --truth-in-order=truth --real-labels=preprocess --subset=subset"
    case $1 in
    classify) reads="=picture --from-file=list $model" writes='--features=' ;;
    eval) reads="$data $model" writes='--per-class= --predictions= --head-load= --features= --logits= --per-image= --state=' ;;
    headload\ count) reads="$data $model" writes='--output= -o= --per-image= --state=' ;;
    merge) reads='=state =load' writes='--per-class= --predictions= --head-load= --features= --logits= --per-image=' ;;
    headload\ plot) reads='=load --importance=importance' writes='--output=.svg -o=.png -o=.pdf' ;;
    headload\ report) reads='=load --importance=importance --thumbnails=heads' writes='--output= -o=' ;;
    headload\ relate) reads='=load' writes='--output=.svg -o=.png -o=.pdf' ;;
    routes) reads="=picture $model" writes='--output=.json -o=.svg -o=.png -o=.pdf' ;;
    preprocess) reads='=picture --weights=weights --config=config --preprocess=preprocess' writes='--output=.png -o=.safetensors' ;;
    convert) reads='=weights --config=config --labels=labels --preprocess=preprocess' writes='=' ;;
    synth) reads='--config=config' writes='=' ;;
    esac
}
commands=(classify eval 'headload count' merge 'headload plot' 'headload relate' 'headload report' routes preprocess convert synth)

# refused COMMAND WORD …: it ends as a mistake in usage, says $first and $second, and changes no file since $before.
refused() {
    # shellcheck disable=SC2086 # "headload count" is two words
    run 2 $1 "${@:2}"
    [[ $err == *"$first"*": would replace $second"* ]] || fail "$*: $err"
    equal "$(sum_all)" "$before"
    tried=$((tried + 1))
}
sum_all() { find . -type f -not -name out.txt -not -name err.txt -exec sha256sum {} + | sort; }

# ---- Tests -----------------------------------------------------------------------------------------

# Or an option that came later would not be tried.
the_table_has_every_option_that_names_a_file() {
    local c options
    for c in "${commands[@]}"; do
        takes "$c"
        # shellcheck disable=SC2086
        options=$("$mohvit" $c --help | grep -oE '^  (-., )?--[a-z-]+ +FILE$|^  (-., )?--[a-z-]+ +FILE ' | grep -oE -- '--[a-z-]+' | sort)
        equal "$c: $(tr ' ' '\n' <<<"$reads $writes" | grep -oE '^--[a-z-]+' | sort -u)" "$c: $options"
    done
}

an_output_is_never_an_input() {
    local c read write option file given ending name other others
    make_files
    mkdir inside
    for c in "${commands[@]}"; do
        takes "$c"
        for read in $reads; do
            IFS='=' read -r option file given <<<"$read"
            for write in $writes; do
                ending=${write#*=} write=${write%%=*}
                name=$file-read$ending
                cp "$file" "$name"
                ln "$name" "hard$ending"
                ln -s "$name" "soft$ending"
                given=${given:-%} before=$(sum_all)
                others=("$name" "./$name" "inside/../$name" "$PWD/$name" "hard$ending" "soft$ending")
                # A command's first output under all names, the others under one after the other.
                [ "$write" = "${writes%%=*}" ] || others=("${others[tried % 6]}")
                for other in "${others[@]}"; do
                    first="${write:+${write/--output/-o} }$other" second=${option:-$name}
                    other=(${write:+"$write"} "$other")
                    case $c$option in
                    routes--* | preprocess--* | classify--*) refused "$c" picture "$option" "$name" "${other[@]}" ;;
                    convert--*) refused "$c" "$option" "$name" weights "${other[@]}" ;;
                    headload\ plot--* | headload\ report--*) refused "$c" load "$option" "$name" "${other[@]}" ;;
                    eval--* | headload\ count--*) refused "$c" data.tar "$option" "$name" "${other[@]}" ;;
                    *--*) refused "$c" "$option" "$name" "${other[@]}" ;;
                    *) refused "$c" "${given/\%/$name}" "${other[@]}" ;;
                    esac
                done
                rm "$name" "hard$ending" "soft$ending"
            done
        done
    done
    echo "$tried command lines"
}

an_output_is_never_another_output() {
    local c a b i k other all
    make_files
    mkdir inside
    ln -s new leads-to-nothing
    before=$(sum_all)
    for c in eval 'headload count' merge; do
        takes "$c"
        read -ra all <<<"${writes//=/}"
        for ((i = 0; i < ${#all[@]}; i++)); do
            for ((k = i + 1; k < ${#all[@]}; k++)); do
                a=${all[i]} b=${all[k]}
                [ "$a$b" = --output-o ] && continue # one option
                for other in new ./new inside/../new "$PWD/new" leads-to-nothing; do
                    first="${a/--output/-o} new" second=$b
                    refused "$c" state "$a" new "$b" "$other"
                    first="$b new" second=${a/--output/-o}
                    [ "$b" = --state ] && first="$second $other" second=$b # a state replaces nothing
                    refused "$c" state "$b" new "$a" "$other"
                done
            done
        done
    done
    echo "$tried command lines"
}

weights_of_the_environment_are_an_input() {
    local c
    make_files
    second=MOHVIT_WEIGHTS
    for c in "eval data.tar --state" "headload count data.tar -o" "routes picture -o" "classify picture --features"; do
        cp weights weights.json
        first=weights.json before=$(sum_all)
        MOHVIT_WEIGHTS=weights.json refused "$c" ./weights.json
    done
}

shards_of_a_checkpoint_are_inputs() {
    local c
    make_files
    echo '{"weight_map": {"x": "part.json"}}' >index
    cp weights part.json
    second='a shard of ' first=part.json before=$(sum_all)
    for c in 'convert index' 'eval --weights index data.tar --state' 'eval --weights index data.tar --predictions' \
        'headload count --weights index data.tar -o' 'routes --weights index picture -o'; do
        refused "$c" ./part.json
    done
    MOHVIT_WEIGHTS=index refused 'eval data.tar --state' ./part.json
}

pictures_of_the_data_are_inputs() {
    local c picture output
    make_files
    mkdir -p elsewhere/Sneaker
    cp "$samples/sneaker.png" elsewhere/Sneaker/b.png
    ln -s ../elsewhere/Sneaker folder/Sneaker
    ln folder/Bag/a.png hard
    ln -s folder also
    echo not-there-yet >future
    echo not-there-yet Bag >>truth
    echo Sneaker >others
    before=$(sum_all)
    for c in 'eval --per-class' 'eval --predictions' 'eval --head-load' 'eval --state' 'headload count -o'; do
        for picture in folder/Bag/a.png folder/Bag/new.png folder/new.JPEG ./also/Bag/a.png also/new.png \
            elsewhere/Sneaker/b.png folder/Sneaker/b.png hard; do
            # shellcheck disable=SC2086
            run 2 $c $picture folder
            [[ $err == *"$picture: would "* ]] || fail "$c $picture: $err"
        done
        # shellcheck disable=SC2086
        run 2 $c also/Bag/a.png --subset others folder # which leaves it out
        for output in picture ./picture not-there-yet; do
            # shellcheck disable=SC2086
            run 2 $c $output list future --truth truth
        done
    done
    equal "$(sum_all)" "$before"
    run 0 eval folder --per-class folder/classes.csv --state folder/state --quiet # no pictures
    run 0 eval folder --per-class folder/classes.csv --state folder/state --quiet
}

# Before any work: what there is to read is not there.
what_cannot_be_made_is_refused_at_the_start() {
    local c write option ending name long files
    long=$(printf 'x%.0s' {1..256})
    mkdir folder folder.png folder.svg folder.pdf folder.json folder.safetensors
    for c in "${commands[@]}"; do
        takes "$c"
        for write in $writes; do
            ending=${write#*=} option=${write%%=*}
            for name in "" "$long" folder nowhere/x; do
                [ -z "$ending" ] || [ -n "$name" ] || continue # whose ending is asked for
                files=(missing)
                [[ $c$option != 'headload count--'[sp]* ]] || files+=(-o o) # --state, --per-image
                [ "$c" != synth ] || files=(--variant transnext_micro)
                # shellcheck disable=SC2086
                run 1 $c "${files[@]}" ${option:+"$option"} "$name$ending"
                has "$err" "mohvit: ${option:+${option/--output/-o} }${name:-\"\"}${name:+$ending}: "
                lacks "$err" missing
            done
        done
    done
}

streams_are_no_files() {
    cp "$samples/bag.png" picture
    "$mohvit" routes - -o - <picture >out.txt 2>err.txt || fail "$(cat err.txt)"
    "$mohvit" routes -o picture -o - picture >again.txt 2>err.txt || fail "the last of two options counts: $(cat err.txt)"
    equal "$(sed 's/"path":"picture"/"path":"-"/' again.txt)" "$(cat out.txt)"
    "$mohvit" preprocess - -o crop.png <picture >out.txt 2>err.txt || fail "$(cat err.txt)"
}

tried=0
case $group in
inputs) run_each the_table_has_every_option_that_names_a_file an_output_is_never_an_input ;;
others) run_each an_output_is_never_another_output weights_of_the_environment_are_an_input shards_of_a_checkpoint_are_inputs \
    pictures_of_the_data_are_inputs what_cannot_be_made_is_refused_at_the_start streams_are_no_files ;;
*) echo "no group $group" && exit 2 ;;
esac
