#!/bin/bash
# Runs the program as users do: test_cli.sh MOHVIT JSON GOLDEN GROUP (ctest runs each group of tests below).
# JSON is test_cli_json, GOLDEN the folder of golden files. SCALE other than 1 (under the sanitizers): fewer golden files, and
# small models alone where all golden files were run once.
set -u
mohvit=$1 json=$2 golden=$3 group=$4
images=$golden/images pth=$golden/pth
# shellcheck source=tests/testing.sh
. "$(dirname "${BASH_SOURCE[0]}")/../testing.sh"

# ---- Every command ---------------------------------------------------------------------------------

commands='classify eval merge headload routes info convert synth preprocess verify bench'

every_command_explains_itself() {
    run 0 --help
    for c in $commands; do has "$out" "  $c "; done
    for c in $commands; do
        run 0 "$c" --help
        has "$out" "Usage: mohvit $c "
        has "$out" "--help"
        equal "$err" ""
        local help=$out
        run 0 help "$c"
        equal "$out" "$help"
        run 0 "$c" -h
        equal "$out" "$help"
        equal "$(sed -n 's/^  \(-., \)\?\(--[a-z-]*\).*/\2/p' out.txt | sort | uniq -d)" "" # each option once
        # By two blanks the manual's pages tell an option from what it does.
        equal "$(grep -E '^  (-., )?--[a-z-]+( [A-Z]+)? [a-z]' out.txt)" ""
    done
    run 0 help
    has "$out" "Commands:"
}

the_version_is_printed() {
    run 0 --version
    [[ $(head -n 1 out.txt) =~ ^mohvit\ [0-9]+\.[0-9]+\.[0-9]+(-dev)?$ ]] || fail "$out"
    local text=$out
    has "$text" "native"
    has "$text" "libjpeg"
    run 0 -V
    equal "$out" "$text"
    run 0 --version --format json
    equal "$(wc -l <out.txt)" 1
    has "$text" "mohvit $(get version)"
    has "$text" "$(get instruction_set)"
    has "$text" "$(get libraries libspng)"
    has "$(get backends openblas)" '"f32"'
    local best module
    best=$(get instruction_set) module=$(get mpi_module)
    [[ $best == baseline || $(get cpu_features) == *"\"$best\""* ]] || fail "$out"
    [[ -e $module || $module == null ]] || fail "$out"
    MOHVIT_ISA=baseline run 0 --version --format json
    equal "$(get instruction_set)" baseline
    equal "$(get backends native)" '["f32","bf16","int8","f16"]'
    equal "$(get kernels)" '["f32_baseline","bf16_widen_baseline","int8_baseline","f16_widen_baseline"]'
    MOHVIT_ISA=nonsense run 3 --version
    has "$err" "MOHVIT_ISA=nonsense"
    MOHVIT_KERNELS=nonsense run 3 --version
    has "$err" "MOHVIT_KERNELS=nonsense"
    has "$err" ": bf16_widen_baseline"
    MOHVIT_KERNELS=bf16_widen_baseline run 0 --version
    has "$out" ", bf16_widen_baseline"
    MOHVIT_KERNELS=int8_baseline run 0 --version
    has "$out" ", int8_baseline"
    run 0 --version --help
    has "$out" "Usage: mohvit --version "
    run 2 --version extra
    run 2 --version --format csv
}

mistakes_in_usage_end_with_2_and_say_what_was_expected() {
    run 2
    has "$err" "no command given"
    run 2 clasify a.jpg
    has "$err" 'did you mean "mohvit classify"?'
    run 2 "$images/coffee.png"
    has "$err" "did you mean \"mohvit classify $images/coffee.png\"?"
    lacks "$err" "describe a model"
    run 2 missing.JPG
    has "$err" 'did you mean "mohvit classify missing.JPG"?'
    run 2 nonsense
    lacks "$err" "did you mean"
    for c in $commands; do has "$err" "$c"; done
    run 2 help nonsense
    for c in $commands; do
        run 2 "$c" --nonsense
        has "$err" "--nonsense: no such option"
        has "$err" "mohvit $c --help"
        equal "$out" ""
    done
    run 2 --versio
    has "$err" "--versio: no such option"
    run 2 classify
    run 2 classify --top
    has "$err" "--top: needs a value"
    run 2 classify --help=3
    has "$err" "--help: takes no value"
    run 2 classify --p x
    has "$err" "may mean several"
    run 2 classify -x a
    has "$err" "-x: no such option"
    for value in 0 -1 +1 1.5 5x '' ' 5' 99999999999999999999; do
        run 2 classify --top "$value" a.jpg
        has "$err" "--top $value: expected a whole number from 1"
    done
    run 2 classify --threads 0 a.jpg
    run 2 classify --batch 0 a.jpg
    for size in 32 65 4096; do run 2 classify --size $size a.jpg; done
    run 2 classify --format xml a.jpg
    has "$err" "text, json, csv"
    run 2 classify --provenance a.jpg
    run 2 classify --from-file - -
    has "$err" "standard input"
    run 2 info --format csv
    run 2 info --variant nonsense
    has "$err" "moh_transnext_base_50"
    run 2 info --variant transnext_tiny --weights a.pth
    run 2 convert a.pth
    run 2 convert --dtype f64 a.pth b.safetensors
    run 2 synth --seed 1 a.safetensors
    run 2 synth --variant transnext_tiny --seed -1 a.safetensors
    run 2 synth --variant transnext_tiny --config a.json a.safetensors
    for name in a.pth a.pt pytorch_model.bin A.PTH; do
        run 2 synth --config "$pth/config.json" $name
        has "$err" "is PyTorch's ending; expected a name that ends in .safetensors"
        run 2 convert --config "$pth/config.json" "$pth/plain.pth" $name
        has "$err" "is PyTorch's ending; expected a name that ends in .safetensors"
        absent $name
    done
    run 2 preprocess "$images/coffee.png"
    run 2 preprocess "$images/coffee.png" -o a.gif
    run 2 verify
    run 2 verify --tolerance nan a.safetensors
    run 2 verify --count-tolerance 1.5 a.safetensors
    run 2 bench --iters 0
    for heads in 0 -1 1.5 x 101% 5%% ''; do
        run 2 bench --routed-heads "$heads"
        has "$err" "routed heads"
    done
    run 2 bench --precision fp8
    has "$err" "auto, f32, bf16, int8, f16"
    run 2 bench extra
}

a_model_that_cannot_be_loaded_ends_with_3() {
    : >empty.pth
    printf 'not a checkpoint' >text.pth
    printf '{"embed_dims": 3}' >bad.json
    for weights in missing.pth empty.pth text.pth . "$images/coffee.png"; do
        run 3 classify --weights $weights "$images/coffee.png"
        equal "$out" ""
        has "$err" "$weights: "
        run 3 info --weights $weights
        run 3 bench --weights $weights
        run 3 convert $weights a.safetensors
        run 3 verify --weights $weights "$pth/golden.safetensors"
        run 3 preprocess --weights $weights "$images/coffee.png" -o a.png
    done
    run 3 classify --weights "$pth/plain.pth" "$images/coffee.png" # an unknown shape needs a config
    has "$err" "config"
    run 3 classify --weights "$pth/plain.pth" --config missing.json "$images/coffee.png"
    run 3 classify --weights "$pth/plain.pth" --config bad.json "$images/coffee.png"
    run 3 classify --weights "$pth/training.pth" --config "$pth/config.json" --key nonsense "$images/coffee.png"
    has "$err" nonsense
    run 3 classify --labels missing.txt "$images/coffee.png"
    run 3 classify --preprocess missing.json "$images/coffee.png"
    run 3 synth --config bad.json a.safetensors
    equal "$(ls -A | grep safetensors)" ""
}

# ---- classify --------------------------------------------------------------------------------------

text_has_rank_label_percent_and_bar() {
    run 0 classify "$images/cat_420.jpg"
    equal "$err" "mohvit: built-in model: ten kinds of clothing; use --weights for ImageNet"
    equal "$(wc -l <out.txt)" 6
    has "$(sed -n 1p out.txt)" "$images/cat_420.jpg  451 x 300"
    local line=' +1  [^ ].* [0-9]+\.[0-9] %  #+$'
    [[ $(sed -n 2p out.txt) =~ ^$line ]] || fail "$out"
    run 0 classify --top 2 "$images/cat_420.jpg"
    equal "$(wc -l <out.txt)" 3
    run 0 classify --top 50 "$images/cat_420.jpg"
    equal "$(wc -l <out.txt)" 11
}

json_is_one_object_a_line_with_the_promised_keys() {
    run 0 classify --format json --top 3 "$images/cat_420.jpg" "$images/rocket_wide_640x64.jpg"
    equal "$(wc -l <out.txt)" 2
    equal "$(get size)" $'[451,300]\n[640,64]'
    equal "$(get path | sed -n 2p)" "$images/rocket_wide_640x64.jpg"
    for key in class label prob id; do lacks "$(get top 2 $key)" missing; done
    equal "$(get top 3)" $'missing\nmissing'
    lacks "$(get ms)" missing
    equal "$(get provenance)" $'missing\nmissing'
    run 0 classify --format json --provenance --threads 1 "$images/cat_420.jpg"
    for key in version weights_hash config cpu; do lacks "$(get provenance $key)" missing; done
    equal "$(get provenance threads)" 1
    [[ $(get provenance weights_hash) =~ ^[0-9a-f]{32}$ ]] || fail "$out"
}

csv_has_a_header_and_quotes() {
    cp "$images/cat_gray.png" 'a,"b".png'
    run 1 classify --format csv --top 2 'a,"b".png' missing.png
    equal "$(sed -n 1p out.txt)" "path,width,height,rank,class,id,label,prob,ms,error"
    [[ $(sed -n 2p out.txt) =~ ^'"a,""b"".png",301,257,1,' ]] || fail "$out"
    [[ $(sed -n 4p out.txt) =~ ^missing.png,,,,,,,,[0-9.]+,cannot\ be\ opened:\ No\ such\ file ]] || fail "$out"
    for line in 3 4; do equal "$(sed -n ${line}p out.txt | sed 's/"[^"]*"//g' | tr -cd , | wc -c)" 9; done
    rm -f a,*.png
}

directories_are_recursive_and_sorted() {
    mkdir -p d/b/c d/.hidden d/empty
    mkdir -p d/__MACOSX elsewhere
    for f in d/z.png d/a.png d/b/c/1.png d/b.png d/b-.png d/.hidden/no.png d/.no.png d/__MACOSX/no.png elsewhere/2.png; do
        cp "$images/cat_gray.png" $f
    done
    cp "$images/cat_gray.png" d/no-ending # a picture by content
    echo 'not a picture' >d/notes.txt
    ln -s ../../elsewhere d/b/to
    ln -s z.png d/link.png
    mkfifo d/fifo.png
    run 0 classify --format json d
    equal "$(get path)" "$(printf '%s\n' d/a.png d/b-.png d/b.png d/b/c/1.png d/b/to/2.png d/link.png d/no-ending d/z.png)"
    has "$err" "d: skipped 1 file that is not a picture: d/"
    equal "$(grep -c "skipped 1 FIFO" err.txt)" 1
    mkdir fifos
    cp "$images/cat_gray.png" fifos
    mkfifo fifos/a.png fifos/b.png fifos/.hidden.png
    echo 3 >truth
    run 0 eval --truth-in-order truth fifos
    has "$err" "warning: skipped 2 FIFOs, sockets or devices: fifos/"
    run 0 classify --format json d/z.png d/ d/a.png # in the order of the command line
    equal "$(get path | sed -n '1p;2p;10p')" $'d/z.png\nd/a.png\nd/a.png'
    run 1 classify d/empty
    has "$err" "d/empty: no pictures in this directory"
    equal "$out" ""
    run 1 classify --format json d/empty d/a.png
    equal "$(get path)" $'d/empty\nd/a.png'
    has "$(get error | head -1)" "no pictures"
    : >empty-list
    run 1 classify --from-file empty-list
    has "$err" "empty-list: names no pictures"
    run 1 classify --from-file -
    has "$err" "standard input: names no pictures"
    echo junk >d/broken.jpg # named like a picture: not to be overlooked
    run 1 classify --format json --batch 3 d
    equal "$(get path | sed -n 6p)" d/broken.jpg
    lacks "$(get error | sed -n 6p)" d/broken.jpg # it stands in path
    equal "$(get error | grep -c missing)" 8
    rm d/broken.jpg
    ln -s .. d/b/loop
    ln -s nowhere d/gone.png
    run 1 classify --format json d # a loop is an error, and all else is there
    equal "$(get path | sed -n '5p;7p')" $'d/b/loop\nd/gone.png'
    has "$(get error | sed -n 5p)" "is a link to a folder that holds it"
    has "$(get error | sed -n 7p)" "No such file"
    equal "$(get error | grep -c missing)" 8
    rm -rf d elsewhere
}

a_failed_picture_does_not_stop_the_others() {
    : >empty.png
    head -c 2000 "$images/cat_420.jpg" >cut.jpg
    printf 'GIF89a12345678901234567890' >anim.gif
    mkdir sub
    for batch in 1 2 3 64; do
        run 1 classify --format json --batch $batch missing.jpg "$images/coffee.png" empty.png cut.jpg anim.gif \
            "$images/cat_gray.png" "$images/cat_420.jpg"
        equal "$(get path | sed 's|.*/||' | tr '\n' ' ')" \
            "missing.jpg coffee.png empty.png cut.jpg anim.gif cat_gray.png cat_420.jpg "
        equal "$(get error | grep -n missing$ | cut -d: -f1 | tr '\n' ' ')" "2 6 7 "
        equal "$(get size | sed -n '2p;6p;7p' | tr '\n' ' ')" "[600,400] [301,257] [451,300] "
        has "$(get error | sed -n 5p)" "GIF is not supported"
        has "$err" "4 of 7 pictures failed"
        get top >top.$batch
        cmp -s top.1 top.$batch || fail "batch $batch answers differently"
    done
    run 1 classify missing.jpg "$images/coffee.png"
    has "$err" "missing.jpg: "
    has "$out" coffee.png
    rmdir sub
}

pictures_of_telephones_are_read_and_others_name_a_converter() {
    printf 'GIF89a12345678901234567890' >a.gif
    printf 'BM\10\0\0\0\0\0\0\0' >a.bmp
    printf 'II*\0\10\0\0\0' >a.tif
    for file in a.gif a.bmp a.tif; do
        run 1 classify $file
        has "$err" 'is not supported; expected JPEG, PNG'
        has "$err" 'ImageMagick makes one of it: convert'
        run 1 preprocess $file -o out.png
        has "$err" 'convert'
    done
    run 0 --version
    [[ $out == *libheif* ]] || return # a build without it, where no library may be loaded either
    run 0 classify --format json "$images/cat_240.heic" "$images/cat_240.avif"
    equal "$(get size | tr '\n' ' ')" "[240,160] [240,160] "
    equal "$(grep -v 'built-in model' err.txt)" "" # decoders are silent
    run 0 preprocess "$images/cat_240.heic" -o out.png
}

# Each of two FIFOs is read by a thread of its own: the second one is written first.
pictures_are_decoded_side_by_side_and_answered_in_order() {
    mkfifo first second
    timeout 60 "$mohvit" classify --threads 2 --format json first second "$images/cat_420.jpg" 2>err.txt >out.txt &
    local program=$!
    # shellcheck disable=SC2016 # to open a FIFO may take for ever, too
    local write='cat "$0" >"$1"'
    timeout 60 sh -c "$write" "$images/coffee.png" second || fail "the second picture waits for the first"
    timeout 60 sh -c "$write" "$images/cat_gray.png" first || fail "the first picture is not read"
    wait $program || fail "$(cat err.txt)"
    equal "$(get path)" $'first\nsecond\n'"$images/cat_420.jpg"
    equal "$(get size)" $'[301,257]\n[600,400]\n[451,300]'
    local threads many=()
    for i in {1..30}; do many+=("$images/coffee.png" missing "$images/cat_gray.png"); done
    for threads in 1 2 7; do
        run 1 classify --threads $threads --batch $threads --format json "${many[@]}"
        equal "$(get path)" "$(printf '%s\n' "${many[@]}")"
        if [ $threads = 1 ]; then get top >alone; fi
        get top | cmp - alone || fail "other answers with $threads threads"
    done
    rm first second alone
}

# A progress line needs a picture that takes a quarter of a second.
progress_is_shown_where_answers_are_not() {
    command -v script >/dev/null || return
    local line=$'\r\033[K1 of 2 images, '
    shown() {
        mkfifo slow
        (sleep 0.5 && cat "$images/cat_gray.png" >slow) &
        TERM=xterm timeout 60 script -qec "'$mohvit' classify --threads 1 $1" /dev/null </dev/null
        rm slow
    }
    shown "slow missing >out.txt" >terminal
    has "$(cat terminal)" "$line"
    has "$(cat terminal)" $'\r\033[Kmohvit: missing: ' # in place of the line
    shown "--quiet slow missing >out.txt" >terminal
    has "$(cat terminal)" "missing: "
    lacks "$(cat terminal)" "of 2 images"
    shown "slow missing" >terminal
    has "$(cat terminal)" "301 x 257"
    lacks "$(cat terminal)" "of 2 images"
    echo missing >list
    shown "slow --from-file list >out.txt" >terminal # whose length nobody knows
    has "$(cat terminal)" $'\r\033[K1 image, '
}

# One that writes a path and waits for its answer, as another program does.
no_answer_waits_for_a_path_that_is_still_to_come() {
    local program answer how i
    for how in "--threads 1" "--threads 2" "--threads 2 --batch 4"; do
        # shellcheck disable=SC2086 # several words
        coproc program { exec timeout 60 "$mohvit" classify $how --format json --from-file - 2>err.txt; }
        local pid=$program_PID
        for i in 1 2 3; do # so many paths at once, and the beginning of the next
            for _ in $(seq $i); do printf '%s\n' "$images/cat_gray.png"; done >&"${program[1]}"
            printf '%s' "$images/" >&"${program[1]}"
            for _ in $(seq $i); do
                read -r -t 20 answer <&"${program[0]}" || break 2 # read leaves ""
                has "$answer" cat_gray.png
            done
            echo coffee.png >&"${program[1]}"
            read -r -t 20 answer <&"${program[0]}" || break
            has "$answer" coffee.png
        done
        [[ $answer == *coffee.png* ]] || fail "$how: no answer to $i paths: $(cat err.txt)"
        eval "exec ${program[1]}>&-"
        wait "$pid" || fail "$(cat err.txt)"
    done
}

standard_input_and_lists_are_read() {
    "$mohvit" classify --format json - <"$images/coffee.png" 2>err.txt >out.txt || fail "$(cat err.txt)"
    equal "$(get path)" -
    equal "$(get size)" '[600,400]'
    printf '%s\r\n\n%s' "$images/coffee.png" "$images/cat_gray.png" >list
    run 0 classify --format json --from-file list
    equal "$(get size)" $'[600,400]\n[301,257]'
    "$mohvit" classify --format json --from-file - "$images/cat_420.jpg" <list 2>err.txt >out.txt || fail "$(cat err.txt)"
    equal "$(get size)" $'[451,300]\n[600,400]\n[301,257]'
    run 1 classify --from-file missing-list
    has "$err" missing-list
    printf '%s\n\0\n' "$images/coffee.png" >list
    run 1 classify --format json --from-file list
    equal "$(get path)" "$images/coffee.png"$'\nlist'
    has "$(get error)" "line 2: a zero byte"
    has "$(get error)" "-0 (--null)"
    printf '%s\0' "$images/coffee.png" "$images/cat_gray.png" >list
    run 0 classify --format json -0 --from-file list
    equal "$(get size)" $'[600,400]\n[301,257]'
    "$mohvit" classify --format json --null --from-file - <list 2>err.txt >out.txt || fail "$(cat err.txt)"
    equal "$(get size)" $'[600,400]\n[301,257]'
    cp "$images/cat_gray.png" $'new\nline.png'
    printf 'new\nline.png' >list
    run 0 classify --format json -0 --from-file list
    rm new*.png
    printf '\xef\xbb\xbf%s\r\n' "$images/coffee.png" >list
    run 0 classify --format json --from-file list
    "$mohvit" classify --format json --from-file <(cat list) 2>err.txt >out.txt || fail "$(cat err.txt)"
    equal "$(get size)" '[600,400]'
    run 2 classify -0 "$images/coffee.png"
    run 2 classify --labels - --from-file -
    seq -f 'kind %g' 10 >labels
    run 0 classify --labels labels "$images/coffee.png"
    local expected=$out
    "$mohvit" classify --labels - "$images/coffee.png" <labels 2>err.txt >out.txt || fail "$(cat err.txt)"
    equal "$(cat out.txt)" "$expected"
    run 1 classify -
    has "$err" "-"
}

names_cannot_harm_terminals_or_json() {
    local evil=$'e\033[31m\n\x7f\xc2\x9bx.png' foreign=$'\xe9\xff.png' plain='Käse.png'
    cp "$images/cat_gray.png" "$evil"
    cp "$images/cat_gray.png" "$foreign"
    cp "$images/cat_gray.png" "$plain"
    run 0 classify --top 1 "$evil" "$foreign" "$plain"
    has "$out" 'e\x1b[31m\x0a\x7f\xc2\x9bx.png'
    has "$out" '\xe9\xff.png'
    has "$out" "$plain"
    run 0 classify --top 1 --format csv "$evil"
    equal "$(wc -l <out.txt)" 2
    lacks "$out" $'\033'
    run 0 classify --format json "$foreign" "$plain"
    equal "$(get path)" '\xe9\xff.png'$'\n'"$plain"
    run 0 classify --format json "$evil"
    equal "$(get path)" "$evil"
    rm -- *.png
    run 1 classify "$evil" "$foreign"
    lacks "$err" $'\033'
    has "$err" 'e\x1b[31m\x0a'
    has "$err" '\xe9\xff.png'
    run 1 classify --format json "$foreign" missing.png
    equal "$(get path)" '\xe9\xff.png'$'\n'missing.png
    lacks "$(get error)" png # it stands in path
    lacks "$(get ms)" missing
    run 2 $'\033[2J'
    lacks "$err" $'\033'
}

# Undoes what names are written with, as README.md has it.
unescape() { perl -pe 's/\\(\\|x([0-9a-f]{2}))/defined $2 ? chr hex $2 : "\\"/ge'; }

names_can_be_read_back() {
    local c1=$'c1\xc2\x85.png' turned=$'turned\xe2\x80\xaegnp.png' isolate=$'i\xe2\x81\xa6\xd8\x9c.png' del=$'d\x7f.png'
    local slash='back\x41\\slash.png' foreign=$'f\xff\\.png' plain=$'K\xc3\xa4se\xe2\x80\xa6.png' names
    names=("$c1" "$turned" "$isolate" "$del" "$slash" "$foreign" "$plain")
    mkdir d
    for name in "${names[@]}"; do cp "$images/cat_gray.png" "d/$name"; done
    cd d || return
    for format in csv text json; do
        run 0 classify --top 1 --format $format "${names[@]}"
        cp out.txt ../$format
    done
    rm out.txt err.txt
    cd ..
    printf '%s\n' "${names[@]}" >names
    sed 1d csv | cut -d, -f1 | unescape | same - names
    sed -n 's/  301 x 257$//p' text | unescape | same - names
    cp json out.txt
    get path | unescape | same - names
    has "$(cat text csv)" 'turned\xe2\x80\xaegnp.png'
    has "$(cat text csv)" 'i\xe2\x81\xa6\xd8\x9c.png'
    has "$(cat text csv)" 'c1\xc2\x85.png'
    has "$(cat text csv)" 'back\\x41\\\\slash.png'
    has "$(cat text csv json)" "$plain"
    has "$(cat json)" '"c1\u0085.png"'
    has "$(cat json)" '"turned\u202egnp.png"'
    has "$(cat json)" '"i\u2066\u061c.png"'
    has "$(cat json)" '"d\u007f.png"'
    has "$(cat json)" '"f\\xff\\\\.png"'
    printf '%s 0\n' "${names[@]}" >truth
    run 0 eval --quiet --truth truth --predictions p.csv d
    sed 1d p.csv | cut -d, -f1 | unescape | sed 's|^d/||' | sort | same - <(sort names)

    # and --escaped reads them
    sed 1d csv | cut -d, -f1 | sed 's|^|d/|' >list
    run 0 classify --format json --escaped --from-file list
    cp out.txt again
    get path | unescape | same - <(sed 's|^|d/|' names)
    run 0 eval --quiet --format json --escaped --truth <(sed 1d csv | cut -d, -f1 | sed 's/$/ 0/') list
    equal "$(get images)" 7
    (echo file_name,label && sed 1d csv | cut -d, -f1 | sed 's/$/,0/') >truth.csv
    run 0 eval --quiet --format json --escaped --truth truth.csv d
    equal "$(get images)" 7
    run 1 classify --from-file list # but not without it
    run 1 eval --quiet --truth truth.csv d
    for wrong in 'a\b.png' 'a\x4.png' 'a\x4g.png' 'a\x00' 'a\'; do
        echo "$wrong" >list
        run 1 classify --format json --escaped --from-file list
        has "$(get error)" "line 1: \"$wrong\": expected a name as results write it"
        run 1 eval --quiet --escaped --classes-by-order list
        has "$err" "list: line 1: \"$wrong\": expected a name as results write it"
    done
    run 2 classify --escaped d
    run 2 classify --escaped -0 --from-file list
    run 2 eval --escaped -0 d
    rm -r d
    run 1 classify "$c1" "$turned" # on standard error, too
    has "$err" 'c1\xc2\x85.png: '
    has "$err" 'turned\xe2\x80\xaegnp.png: '
}

colour_is_for_terminals_alone() {
    run 0 classify "$images/cat_gray.png"
    lacks "$out" $'\033'
    command -v script >/dev/null || return
    local try="'$mohvit' classify '$images/cat_gray.png'"
    has "$(TERM=xterm script -qec "$try" /dev/null </dev/null)" $'\033[1m'
    lacks "$(TERM=xterm NO_COLOR=1 script -qec "$try" /dev/null </dev/null)" $'\033'
    lacks "$(TERM=dumb script -qec "$try" /dev/null </dev/null)" $'\033'
}

a_reader_that_has_enough_is_no_error_and_a_full_disk_is_one() {
    "$mohvit" classify "$images" "$images" 2>err.txt | head -n 1 >/dev/null
    equal "${PIPESTATUS[0]}" 0
    equal "$(grep -v 'built-in model\|skipped' err.txt)" ""
    for arguments in "classify $images/coffee.png" "classify --format json $images" --help "info --format json"; do
        "$mohvit" $arguments >/dev/full 2>err.txt
        equal $? 1
        has "$(cat err.txt)" "standard output: No space left"
    done
    echo bad >bad.png # the message about it must not swallow what became of the output
    "$mohvit" classify --batch 2 "$images/coffee.png" bad.png >/dev/full 2>err.txt
    equal $? 1
    has "$(cat err.txt)" "standard output: No space left"
    "$mohvit" info >&- 2>err.txt
    equal $? 1
    has "$(cat err.txt)" "standard output"
    "$mohvit" synth --config "$pth/config.json" a.safetensors >&- 2>/dev/null # nothing may end up in the file
    run 0 info --weights a.safetensors
}

the_environment_names_the_default_model() {
    run 0 convert --config "$pth/config.json" "$pth/plain.pth" plain.safetensors
    MOHVIT_WEIGHTS=plain.safetensors run 0 classify "$images/coffee.png"
    has "$out" "class 0"
    equal "$err" ""
    MOHVIT_WEIGHTS=missing.pth run 3 classify "$images/coffee.png"
    MOHVIT_WEIGHTS=missing.pth run 0 classify --weights plain.safetensors "$images/coffee.png"
    MOHVIT_WEIGHTS= run 0 classify "$images/coffee.png"
    has "$err" "built-in model"
    printf 'n%08d\tanimal %d\n' 1 1 2 2 3 3 4 4 5 5 >five.txt
    run 0 classify --weights plain.safetensors --labels five.txt "$images/coffee.png"
    has "$out" "animal 5"
    run 3 classify --labels five.txt "$images/coffee.png" # five names for ten classes
    run 0 classify --weights plain.safetensors --size 96 --threads 3 --batch 2 "$images/coffee.png"
}

exif_is_honoured_when_asked() {
    run 0 classify --format json "$images/cat_exif_orientation6.jpg" "$images/coffee.png"
    equal "$(get size)" $'[451,300]\n[600,400]'
    has "$err" "note: 1 of 2 pictures is stored sideways (EXIF); --exif-orientation turns it. The published code"
    has "$err" "--exif-orientation"
    run 0 classify --format json "$images/cat_exif_orientation6.jpg" "$images/cat_exif_orientation6.jpg"
    has "$err" "note: 2 of 2 pictures are stored sideways (EXIF); --exif-orientation turns them. The published code"
    run 0 classify --format json --exif-orientation "$images/cat_exif_orientation6.jpg"
    equal "$(get size)" '[300,451]'
    lacks "$err" EXIF
    mkdir data
    cp "$images/cat_exif_orientation6.jpg" "$images/coffee.png" data
    printf '%s\n' cat_exif_orientation6.jpg,3 coffee.png,4 | sed '1i file_name,label' >truth.csv
    run 0 eval --truth truth.csv --format json --state state --predictions stored.csv data
    has "$err" "note: 1 of 2 pictures is stored sideways"
    lacks "$out" exif
    run 0 eval --truth truth.csv --format json --predictions turned.csv --exif-orientation data
    equal "$(get provenance exif_orientation)" true
    lacks "$err" EXIF
    same <(grep coffee stored.csv) <(grep coffee turned.csv)
    ! cmp -s <(grep cat stored.csv) <(grep cat turned.csv) || fail "not turned"
    run 1 eval --truth truth.csv --state state --exif-orientation data
    has "$err" "exif_orientation is absent, expected true"
    run 0 eval --truth truth.csv --state state data # from the state
    has "$err" "note: 1 of 2 pictures is stored sideways"
}

logits_that_are_no_numbers_fail_the_picture() {
    run 0 synth --config "$pth/config.json" --seed 5 nan.safetensors
    # head.bias is the last tensor: its five floats end the file
    head -c -20 nan.safetensors >cut && { cat cut; printf '\0\0\300\177%.0s' {1..5}; } >nan.safetensors
    run 1 classify --format json --weights nan.safetensors "$images/coffee.png" "$images/cat_gray.png"
    has "$err" "head.bias"
    has "$(get path | sed -n 2p)" "cat_gray.png"
    has "$(get error | sed -n 2p)" "the network answered nan"
}

# ---- info ------------------------------------------------------------------------------------------

info_gives_the_published_figures() {
    local variant parameters active
    while read -r variant parameters active; do
        run 0 info --variant "$variant"
        has "$out" "$variant"
        has "$out" "$parameters M parameters"
        has "$out" "active heads   $active %"
        run 0 info --variant "$variant" --format json
        equal "$(wc -l <out.txt)" 1
        equal "$(get variant)" "$variant"
        equal "$(get provenance variant)" "$variant"
        equal "$(printf '%.0f' "$(get active_heads_percent)")" "$active"
        equal "$(get parameters | awk '{printf "%.1f", $1 / 1e6}')" "$parameters"
        equal "$(get stages 3 heads)" "$(get config num_heads 3)"
    done <<-END
		moh_transnext_small_80 49.9 80
		moh_transnext_small_75 49.9 75
		moh_transnext_base_75 90.0 75
		moh_transnext_base_50 90.0 50
		transnext_micro 12.8 100
		transnext_tiny 28.3 100
		transnext_small 49.7 100
		transnext_base 89.7 100
		transnext_micro_aaaa 13.1 100
	END
    # The authors' accuracies are those of tools/fetch-weights.
    local name top1 size count=0
    while read -r name _ top1 _ _ _ size; do
        variant=${name%_384}
        run 0 info --variant "$variant"
        has "$(grep -E '^(published)? +[a-z]+.*: top-1' <<<"$out")" "$name: top-1 $top1 % at "
        [ -z "$size" ] || has "$out" "$name: top-1 $top1 % at $size pixels, with --size $size"
        run 0 info --variant "$variant" --format json
        has "$(get published)" "\"top1\":$top1"
        count=$((count + 1))
    done < <("$golden/../../tools/fetch-weights" --list)
    equal $count 11
    run 0 info
    lacks "$out" published
}

info_describes_checkpoints() {
    run 0 info
    has "$err" "built-in model"
    has "$out" "moh_vit_nano"
    has "$out" "T-shirt/top"
    run 0 info --variant moh_transnext_small_75
    has "$out" "1000: tench, goldfish, great white shark ..."
    run 2 info --threads 1
    run 0 info --weights "$pth/bf16_with_ema.pth" --config "$pth/config.json" --tensors
    has "$out" "model (taken), model_ema"
    has "$out" "head.weight"
    has "$out" "BF16"
    run 0 info --weights "$pth/bf16_with_ema.pth" --config "$pth/config.json" --key model_ema --format json --tensors
    equal "$(get weight_sets)" '["model","model_ema"]'
    equal "$(get weight_set)" model_ema
    equal "$(get tensors 0 name)" patch_embed1.proj.weight
    if command -v xxh128sum >/dev/null; then
        equal "$(get provenance weights_hash)" "$(xxh128sum "$pth/bf16_with_ema.pth" | cut -d' ' -f1)"
    fi
    run 0 info --config "$pth/config.json"
    has "$out" "64 x 64"
    run 0 info --variant moh_transnext_small_80 --size 384
    has "$out" "384 x 384 pixels, position bias trained at 224"
    has "$out" "no crop: warped to a square"
}

# ---- convert, synth, verify ------------------------------------------------------------------------

golden_of() {
    case $1 in
    *half*) echo "$pth/golden_half.safetensors" ;;
    *bf16*) echo "$pth/golden_bf16.safetensors" ;;
    *) echo "$pth/golden.safetensors" ;;
    esac
}

every_checkpoint_and_its_conversion_give_the_golden_logits() {
    for f in "$pth"/*.pth; do
        local base
        base=$(basename "$f" .pth)
        run 0 verify --weights "$f" --tolerance 1e-5 "$(golden_of "$f")"
        run 0 verify --weights "$f" --config "$pth/config.json" --tolerance 1e-5 "$(golden_of "$f")"
        run 0 convert --config "$pth/config.json" "$f" "$base.safetensors"
        run 0 verify --weights "$base.safetensors" --tolerance 1e-5 "$(golden_of "$f")"
        run 0 classify --weights "$base.safetensors" "$images/coffee.png"
        equal "$err" ""
    done
    run 1 verify --weights half.safetensors "$pth/golden.safetensors"
    run 0 convert --key model_ema --config "$pth/config.json" "$pth/bf16_with_ema.pth" ema.safetensors
    run 1 verify --weights ema.safetensors "$pth/golden_bf16.safetensors"
    # what was half precision before loses nothing
    run 0 convert --dtype f16 half.safetensors half16.safetensors
    run 0 verify --weights half16.safetensors --tolerance 1e-5 "$pth/golden_half.safetensors"
    run 0 convert --dtype bf16 bf16_with_ema.safetensors bf16.safetensors
    run 0 verify --weights bf16.safetensors --tolerance 1e-5 "$pth/golden_bf16.safetensors"
    [ "$(stat -c %s bf16.safetensors)" -lt 160000 ] || fail "not half as large"
    run 0 convert --dtype f32 plain.safetensors again.safetensors
    cmp plain.safetensors again.safetensors || fail "a second conversion changes the file"
}

conversion_keeps_what_describes_the_model() {
    printf 'cat\ndog\nowl\nfox\nape\n' >labels.txt
    printf '{"crop_pct": 0.5, "interpolation": "bilinear"}' >preprocess.json
    run 0 convert --config "$pth/config.json" --labels labels.txt --preprocess preprocess.json "$pth/plain.pth" a.safetensors
    has "$out" "140 tensors"
    run 0 info --format json --weights a.safetensors
    equal "$(get labels)" '["cat","dog","owl","fox","ape"]'
    equal "$(get preprocess interpolation)" bilinear
    equal "$(get preprocess crop_pct)" 0.5
    equal "$(get config img_size)" 64
}

a_conversion_that_fails_leaves_nothing() {
    mkdir o
    cp "$pth/plain.pth" plain.safetensors  # whatever it is called
    run 2 convert --config "$pth/config.json" plain.safetensors "$PWD/../${PWD##*/}/plain.safetensors"
    has "$err" "would replace"
    run 1 convert --config "$pth/config.json" "$pth/plain.pth" o/missing/a.safetensors
    run 1 convert --config "$pth/config.json" "$pth/plain.pth" o
    run 3 convert "$pth/plain.pth" o/a.safetensors
    head -c 100000 "$pth/plain.pth" >cut.pth
    run 3 convert --config "$pth/config.json" cut.pth o/a.safetensors
    run 0 synth --variant transnext_micro big.safetensors
    echo before >o/kept.safetensors
    (ulimit -f 1000; exec "$mohvit" convert big.safetensors o/kept.safetensors) >/dev/null 2>err.txt
    equal $? 1
    has "$(cat err.txt)" "kept.safetensors"
    local interrupted=0
    for delay in 0.005 0.01 0.02 0.04 0.08; do
        "$mohvit" convert big.safetensors o/kept.safetensors >/dev/null 2>err.txt &
        sleep $delay
        kill -TERM $!
        wait $! || interrupted=$((interrupted + 1))
        equal "$(ls -A o)" kept.safetensors
    done
    [ $interrupted -gt 0 ] || fail "always too late to interrupt"
    equal "$(ls -A o)" kept.safetensors
    run 0 convert big.safetensors o/kept.safetensors # replaced now
    run 0 info --weights o/kept.safetensors
    equal "$(ls -A o)" kept.safetensors
    rm -rf o big.safetensors
}

extra_tensors_are_named_and_left_out() {
    run 0 synth --config "$pth/config.json" --seed 5 dense.safetensors
    # a dense config has no use for the router
    sed 's/}$/, "dense": true}/' "$pth/config.json" >dense.json
    run 0 convert --config dense.json dense.safetensors o.safetensors
    has "$err" "attn.wg.weight is not part of the model"
    run 0 info --weights o.safetensors
    lacks "$err" "not part of the model"
}

synthetic_weights_are_those_of_the_golden_files() {
    run 0 synth --config "$pth/config.json" --seed 5 a.safetensors
    run 0 verify --weights a.safetensors --tolerance 1e-5 "$pth/golden.safetensors"
    run 0 synth --config "$pth/config.json" --seed 6 b.safetensors
    run 1 verify --weights b.safetensors "$pth/golden.safetensors"
    run 0 info --weights a.safetensors
    has "$err" "a.safetensors: synthetic weights, seed 5"
}

the_trace_is_within_one_hundred_thousandth() {
    run 0 verify --tolerance 1.5e-5 --format json "$golden/tiny_trace.safetensors"
    equal "$(get passed)" true
    equal "$(get compared 7 tensor)" block4.0
    equal "$(get provenance weights_hash)" synthetic:3
    for i in 3 4 5 6 7; do
        [ "$(get compared $i max_difference | awk '{print ($1 <= 1e-5)}')" = 1 ] || fail "$out"
    done
    run 0 verify "$golden/tiny_trace.safetensors"
    has "$out" ", block 4.0, head "
    for batch in 1 2; do
        run 0 verify --tolerance 1.5e-5 --batch $batch --threads $batch "$golden/tiny_trace.safetensors"
    done
    run 1 verify --tolerance 0 "$golden/tiny_trace.safetensors"
    has "$out" WRONG
    has "$out" ", class "
}

verify_complains_of_files_without_anything_to_compare() {
    run 1 verify missing.safetensors "$pth/golden.safetensors"
    has "$err" "1 of 2 files failed"
    has "$out" logits
    run 0 preprocess "$images/coffee.png" -o input.safetensors
    run 0 synth --config "$pth/config.json" a.safetensors
    run 1 verify input.safetensors
    has "$err" "nothing to compare"
    run 1 verify a.safetensors
    has "$err" "a.safetensors: nothing to compare"
    lacks "$err" warning
    run 1 verify --format json input.safetensors
    has "$(get error)" "nothing to compare"
    for option in --size --labels --preprocess; do # which a golden file leaves no room for
        run 2 verify $option 96 "$golden/tiny_trace.safetensors"
        has "$err" "$option: no such option"
    done
}

# Under the sanitizers those alone that go a way of their own: the others are larger.
all_golden_files_verify() {
    local files=("$golden"/*.safetensors) count=9
    if [ "${SCALE:-1}" != 1 ]; then
        files=("$golden"/{tiny_trace,transnext_micro_aaaa,small_75_at_256_pretrain_224,small_80_at_384_fixed_pool_7}.safetensors)
        count=4
    fi
    run 0 verify --format json --tolerance 1e-4 "${files[@]}"
    equal "$(wc -l <out.txt)" $count
    equal "$(get passed | sort -u)" true
    has "$(get compared 1 max_difference | head -n 1)" 0.0
}

each_instruction_set_and_backend_verifies() {
    local files="$golden/tiny_trace.safetensors $golden/transnext_tiny.safetensors"
    [ "${SCALE:-1}" != 1 ] || files+=" $golden/moh_transnext_base_75.safetensors"
    for isa in avx2 avx512; do
        MOHVIT_ISA=$isa "$mohvit" bench --iters 1 >out.txt 2>err.txt || { # a processor without it
            grep -q 'processor lacks it' err.txt || fail "$isa: $(cat err.txt)"
            continue
        }
        MOHVIT_ISA=$isa run 0 verify --format json --tolerance 1e-4 $files
        equal "$(get passed | sort -u)" true
        equal "$(get provenance instruction_set | sort -u)" $isa
    done
    run 0 verify --format json --backend openblas $files # whose rounding depends on the processor
    equal "$(get passed | sort -u)" true
    MOHVIT_ISA=baseline run 0 verify --format json $golden/tiny_trace.safetensors --backend native
    equal "$(get passed)" true
    MOHVIT_ISA=baseline run 0 verify --format json $files
    equal "$(get provenance backend | sort -u)" openblas
}

# ---- preprocess, bench -----------------------------------------------------------------------------

preprocess_writes_crops_and_tensors() {
    run 0 preprocess --variant moh_transnext_base_50 "$images/coffee.png" -o crop.png # as any published variant
    equal "$err" ""
    has "$out" "crop.png: 224 x 224 of $images/coffee.png (600 x 400)"
    run 0 preprocess --variant moh_transnext_base_50 "$images/coffee.png" -o crop64.png --size 64
    has "$out" "64 x 64"
    run 0 preprocess "$images/coffee.png" -o crop.safetensors --size 64
    [ "$(stat -c %s crop.safetensors)" -gt $((64 * 64 * 3 * 4)) ] || fail "no tensor in crop.safetensors"
    run 0 classify --format json --size 224 crop.png # the crop is a picture again
    equal "$(get size)" '[224,224]'
    run 1 preprocess missing.png -o never.png
    run 1 preprocess "$images/coffee.png" -o missing/never.png
    run 2 preprocess --variant moh_transnext_base_50 --config "$pth/config.json" "$images/coffee.png" -o never.png
    equal "$(ls -A | grep -c 'never\|tmp')" 0
}

# sees ARGUMENT ...: the crop and the tensor that preprocess writes are those of a model that `info` describes so.
sees() {
    local size file
    run 0 info "$@" --format json
    size=$(get config img_size)
    get preprocess >seen.json
    for file in seen.png seen.safetensors; do
        run 0 preprocess "$@" "$images/coffee.png" -o $file
        run 0 preprocess --variant moh_transnext_base_50 --preprocess seen.json --size "$size" "$images/coffee.png" -o told.${file#*.}
        same $file told.${file#*.}
    done
}

# With the same options and environment: the model that is built in, that of MOHVIT_WEIGHTS, and what both refuse.
preprocess_shows_what_classify_would_see() {
    echo '{"crop_pct": 0.5, "interpolation": "bilinear", "mean": [0, 0, 0], "std": [1, 1, 1]}' >other.json
    run 0 convert --config "$pth/config.json" --preprocess other.json "$pth/plain.pth" a.safetensors
    sees
    has "$(cat seen.json)" '"mean"'
    run 0 preprocess "$images/coffee.png" -o built-in.png
    has "$err" "built-in model"
    sees --weights a.safetensors
    cp seen.png given.png
    export MOHVIT_WEIGHTS=a.safetensors
    sees
    same seen.png given.png
    run 2 preprocess "$images/coffee.png" -o ./a.safetensors
    has "$err" "would replace MOHVIT_WEIGHTS"
    unset MOHVIT_WEIGHTS
    cmp -s built-in.png given.png && fail "the same crop of two models"
    sed 's/"num_classes": *[0-9]*/"num_classes": 7/' "$pth/config.json" >misfit.json
    local command
    for command in "classify" "preprocess -o never.png"; do
        # shellcheck disable=SC2086 # words
        run 3 $command --config misfit.json --weights a.safetensors "$images/coffee.png"
        has "$err" "does not fit config"
        # shellcheck disable=SC2086
        run 3 $command --config misfit.json "$images/coffee.png"
    done
    absent never.png
}

bench_reports_all_its_keys() {
    run 0 bench --iters 3 --format json --threads 1
    equal "$(wc -l <out.txt)" 1
    for key in latency_ms_median latency_ms_min latency_ms_max images_per_s gflop_per_image gflop_all_heads \
        fma_peak_gflops gemm_peak_gflops efficiency gemm_efficiency load_ms peak_rss_mib batch iters provenance; do
        lacks "$(get $key)" missing
    done
    get gflop_per_image >a
    get gflop_all_heads >b
    [ "$(paste a b | awk '{print ($1 > 0 && $1 <= $2)}')" = 1 ] || fail "$out"
    run 0 bench --iters 1 --batch 2 --config "$pth/config.json" --seed 3 --format json
    equal "$(get provenance weights_hash)" synthetic:3
    run 0 bench --iters 1
    has "$out" "images/s"
}

bench_may_leave_out_the_peaks() {
    run 0 bench --iters 1 --no-peaks --format json
    equal "$(get fma_peak_gflops) $(get gemm_peak_gflops) $(get efficiency) $(get gemm_efficiency)" "missing missing missing missing"
    lacks "$(get latency_ms_median)" missing
    run 0 bench --iters 1 --no-peaks
    lacks "$out" GFLOP/s
    lacks "$out" efficiency
}

# What turns and ratios are is bench_repeat's to test.
bench_compares_settings_and_programs_in_turns() {
    local own=(bench --iters 1 --threads 1 --no-peaks --config "$pth/config.json")
    run 0 "${own[@]}" --against "MOHVIT_ISA=baseline '$mohvit' --precision bf16" --repeat 7 --format json
    equal "$(get a provenance kernels)" "f32_$(get a provenance instruction_set)"
    equal "$(get b provenance kernels)" "bf16_widen_baseline, f32_baseline"
    equal "$(get pairs)" 7
    for ratio in ratio noise; do
        for key in low median high; do get $ratio $key; done | paste -s |
            awk '{ exit !(0 < $1 && $1 <= $2 && $2 <= $3) }' || fail "$out"
    done
    run 0 "${own[@]}" --against '' --repeat 7
    has "$out" "time of B over A"
    run 1 "${own[@]}" --against '--precision fp8'
    has "$err" "--precision fp8: expected one of"
    run 2 bench --repeat 7
    has "$err" "--against"
    run 2 bench --repeat 6 --against ''
    has "$err" "from 7 to 1000"
    run 2 bench --kernels --against ''
    has "$err" "--kernels"
}

bench_tells_operations_and_the_floor() {
    run 0 bench --iters 2 --profile --format json
    has "$(get profile operations)" '"name":"fc1"'
    get profile floor_ms >a
    get profile product_share >b
    [ "$(paste a b | awk '{print ($1 > 0 && $2 > 0 && $2 < 1)}')" = 1 ] || fail "$out"
    run 0 bench --iters 2 --profile
    for name in patches 'patch embedding' 'layer norm + router' attention proj fc1 depthwise fc2 head 'products alone'; do
        has "$out" "$name"
    done
}

bench_compares_versions_of_products() {
    local name
    run 0 --version --format json
    get kernels | tr -d '[]"' | tr , '\n' >used
    run 0 bench --kernels --threads 1
    grep 'float32  in use$' out.txt | cut -d ' ' -f 1 >a
    same a used
    equal "$(grep -c 'GFLOP/s .* of the peak' out.txt)" "$(grep -c '^[a-z0-9_]*_[a-z0-9_]* ' out.txt)"
    has "$out" "int8  the fastest is int8_"
    run 0 bench --kernels --threads 1 --format json
    has "$(get fastest bf16)" bf16_
    while read -r name; do
        has "$(get kernels)" "\"name\":\"$name\""
    done <used
    run 2 bench --kernels --profile
    has "$err" "--kernels"
}

bench_compares_skipping_with_all_heads() {
    run 0 bench --iters 1 --all-heads --format json --config "$pth/config.json"
    get skipping_speedup median >a
    get skipping_speedup low >b
    get skipping_speedup high >c
    [ "$(paste a b c | awk '{print (0 < $2 && $2 <= $1 && $1 <= $3)}')" = 1 ] || fail "$out"
    equal "$(get gflop_per_image)" "$(get gflop_all_heads)"
    equal "$(get all_heads)" true
}

a_terminal_is_told_how_many_pairs_are_done() {
    run 0 bench --iters 1 --head-load
    lacks "$err" pairs
    command -v script >/dev/null || return
    has "$(TERM=xterm script -qec "'$mohvit' bench --iters 1 --head-load" /dev/null </dev/null)" "40 of 41 pairs of runs"
}

what_ran_is_stated() {
    run 0 bench --iters 1 --format json
    equal "$(get provenance precision)" f32
    equal "$(get provenance kernels)" "f32_$(get provenance instruction_set)"
    MOHVIT_KERNELS=bf16_widen_baseline run 0 bench --iters 1 --format json --precision bf16
    equal "$(get provenance kernels)" "bf16_widen_baseline, f32_$(get provenance instruction_set)"
    MOHVIT_ISA=baseline run 0 bench --iters 1 --format json --precision int8
    equal "$(get provenance kernels)" "int8_baseline, bf16_widen_baseline, f32_baseline"
    MOHVIT_ISA=baseline run 0 bench --iters 1 --format json --precision f16
    equal "$(get provenance kernels)" "f16_widen_baseline, f32_baseline"
    run 0 bench --iters 1 --format json --backend openblas
    [[ $(get provenance kernels) =~ ^openblas_[A-Z] ]] || fail "$out"
    run 0 bench --iters 1 --format json --routed-heads 1
    get provenance active_heads_percent >a
    run 0 bench --iters 1 --format json --routed-heads 100%
    equal "$(get provenance active_heads_percent)" 100.0
    [ "$(awk '{print ($1 > 0 && $1 < 100)}' a)" = 1 ] || fail "$(cat a)"
    run 0 info --variant moh_transnext_small_75 --routed-heads 20
    has "$err" "--routed-heads 20: some stages have fewer; a token picks 0, 0, 9, 20 in stages 1 to 4"
    run 2 info --variant moh_transnext_small_75 --routed-heads 50
    has "$err" "routed heads \"50\": no block of this model routes more than 20 heads; percent"
    run 0 info --variant moh_transnext_small_75 --routed-heads 9
    equal "$err" "" # stage 3 has as many, stage 4 more
    run 0 bench --iters 1 --routed-heads 6
    has "$err" "a token picks 3, 3, 6, 6 in stages"
    run 0 info --variant moh_transnext_base_50 --routed-heads 25% --format json
    equal "$(get variant)" moh_transnext_base_50
    run 3 bench --iters 1 --variant transnext_micro --routed-heads 50%
    has "$err" "dense"
}

a_precision_that_cannot_be_honoured_is_an_error() {
    run 3 bench --iters 1 --precision bf16 --backend openblas
    has "$err" "openblas"
}

case $group in
usage)
    every_command_explains_itself
    the_version_is_printed
    mistakes_in_usage_end_with_2_and_say_what_was_expected
    a_model_that_cannot_be_loaded_ends_with_3
    ;;
classify)
    text_has_rank_label_percent_and_bar
    json_is_one_object_a_line_with_the_promised_keys
    csv_has_a_header_and_quotes
    directories_are_recursive_and_sorted
    a_failed_picture_does_not_stop_the_others
    pictures_of_telephones_are_read_and_others_name_a_converter
    pictures_are_decoded_side_by_side_and_answered_in_order
    no_answer_waits_for_a_path_that_is_still_to_come
    progress_is_shown_where_answers_are_not
    standard_input_and_lists_are_read
    names_cannot_harm_terminals_or_json
    names_can_be_read_back
    colour_is_for_terminals_alone
    a_reader_that_has_enough_is_no_error_and_a_full_disk_is_one
    the_environment_names_the_default_model
    exif_is_honoured_when_asked
    logits_that_are_no_numbers_fail_the_picture
    ;;
checkpoints)
    info_gives_the_published_figures
    info_describes_checkpoints
    every_checkpoint_and_its_conversion_give_the_golden_logits
    conversion_keeps_what_describes_the_model
    a_conversion_that_fails_leaves_nothing
    extra_tensors_are_named_and_left_out
    synthetic_weights_are_those_of_the_golden_files
    preprocess_writes_crops_and_tensors preprocess_shows_what_classify_would_see
    ;;
verify)
    the_trace_is_within_one_hundred_thousandth
    verify_complains_of_files_without_anything_to_compare
    all_golden_files_verify
    each_instruction_set_and_backend_verifies
    bench_reports_all_its_keys
    bench_may_leave_out_the_peaks
    bench_compares_settings_and_programs_in_turns
    bench_tells_operations_and_the_floor
    bench_compares_versions_of_products
    bench_compares_skipping_with_all_heads
    a_terminal_is_told_how_many_pairs_are_done
    what_ran_is_stated
    a_precision_that_cannot_be_honoured_is_an_error
    ;;
*)
    fail "no group $group"
    ;;
esac
[ $failures = 0 ]
