#!/bin/bash
# Head load as users count and look at it: test_headload.sh MOHVIT BUILD GOLDEN GROUP (ctest runs each group of tests
# below). BUILD is where test_cli_json and make_head_load are. OFFICIAL_MODEL names the checkpoint whose published
# counts are compared, with its .json beside it; IMAGES is how many of Fashion-MNIST's test pictures are counted.
set -u
mohvit=$1 build=$2 golden=$3 group=$4
json=$build/test_cli_json make=$build/make_head_load
images=${IMAGES:-10000}
fmnist=/usr/share/datasets/fashion-mnist
pictures=$fmnist/t10k-images-idx3-ubyte.gz classes=$fmnist/t10k-labels-idx1-ubyte.gz
samples=$golden/../../tools/samples
# shellcheck source=tests/testing.sh
. "$(dirname "${BASH_SOURCE[0]}")/../testing.sh"

# The numbers of two head loads of the ten classes, which end their files: 10 + 10 + 10·6 + 5·10·6·16 + 6·16·16 of 8 bytes.
same_counts() {
    cmp <(tail -c 51328 "$1") <(tail -c 51328 "$2") || fail "$1 and $2 differ"
}

# ---- Counting --------------------------------------------------------------------------------------

counts_are_the_published_ones() {
    if [ -z "${OFFICIAL_MODEL:-}" ]; then
        echo "no official model: its published counts are not compared"
        return
    fi
    local published=${OFFICIAL_MODEL%.pth}.json
    { cat "$published" && echo; } >published.json
    "$json" config <published.json >config.json
    "$json" preprocess <published.json >preprocess.json
    run 0 headload count "idx:$pictures,$classes" --limit "$images" -o official.safetensors --quiet \
        --weights "$OFFICIAL_MODEL" --config config.json --preprocess preprocess.json --batch 50
    equal "$out" "official.safetensors: $images images of 10 classes"
    [ "$images" = 10000 ] || return
    run 0 headload export --csv official.safetensors
    "$json" head_tokens_by_class active <published.json | tr -c '0-9' '\n' | grep . >published.txt
    # Ten classes, six blocks, sixteen heads, 0 where there is none: class, stage, block, head in order.
    awk -F, 'NR > 1 { b = $4 < 3 ? $4 - 1 : $4 == 3 ? 2 + $5 : 5; n[($1 * 6 + b) * 16 + $6] = $9 }
        END { for (i = 0; i < 960; i++) print n[i] + 0 }' out.txt >counted.txt
    paste -d ' ' published.txt counted.txt |
        awk '{ d = $1 - $2; sum += d < 0 ? -d : d; all += $1 } END { print sum, all }' >difference.txt
    local differ all
    read -r differ all <difference.txt
    echo "published counts: $differ of $all differ"
    equal "$all" 8640000
    [ "$differ" -le 40 ] || fail "$differ of $all counts differ from the published ones"
}

any_batch_threads_shards_and_ranks_give_the_same_bits() {
    local many=$((images > 3000 ? 3000 : images))
    run 0 headload count "idx:$pictures,$classes" --limit $many -o whole.safetensors --quiet
    equal "$out" "whole.safetensors: $many images of 10 classes"
    local few=$((images > 1000 ? 1000 : images))
    run 0 headload count "idx:$pictures,$classes" --limit $few -o few.safetensors --quiet
    for how in "--threads 1" "--threads 3 --batch 7" "--threads 2 --batch 64"; do
        # shellcheck disable=SC2086 # several words
        run 0 headload count "idx:$pictures,$classes" --limit $few -o a.safetensors --quiet $how
        same_counts few.safetensors a.safetensors
    done
    for i in 1 2 3; do
        run 0 eval "idx:$pictures,$classes" --limit $many --quiet --shard $i/3 --state $i.state \
            --head-load $i.safetensors
    done
    run 0 merge 3.state 1.state 2.state --head-load states.safetensors --format json
    equal "$(get images)" $many
    run 0 merge 2.safetensors 3.safetensors 1.safetensors --head-load files.safetensors
    equal "$err" ""
    same_counts whole.safetensors states.safetensors
    same_counts whole.safetensors files.safetensors
    run 1 merge 1.safetensors 2.safetensors 1.safetensors --head-load twice.safetensors
    has "$err" "1.safetensors: has counted what 1.safetensors has"
    run 1 merge 3.safetensors 2.safetensors 2.safetensors --head-load twice.safetensors
    has "$err" "2.safetensors: has counted what 2.safetensors has" # and not the sum of all before it
    absent twice.safetensors
    run 1 merge whole.safetensors 1.safetensors --head-load twice.safetensors
    has "$err" "1.safetensors: has counted what whole.safetensors has"
    for choice in "--limit 100" "--sample 100"; do
        # shellcheck disable=SC2086
        run 0 headload count "idx:$pictures,$classes" $choice -o some.safetensors --quiet
        run 1 merge few.safetensors some.safetensors --head-load twice.safetensors
        has "$err" "some.safetensors: has counted pictures of the same data as few.safetensors, chosen in another way"
    done
    absent twice.safetensors
    ln -s "$fmnist" elsewhere
    run 0 headload count "idx:elsewhere/${pictures##*/},elsewhere/${classes##*/}" --limit $few --quiet -o else.safetensors
    run 1 merge few.safetensors else.safetensors --head-load twice.safetensors
    has "$err" "else.safetensors: has counted what few.safetensors has"
    absent twice.safetensors
    run 0 merge 3.safetensors 1.safetensors --head-load part.safetensors
    has "$err" "warning: part.safetensors: of $pictures"
    has "$err" "shard 2/3 is missing"
    rm part.safetensors
    # As 0.1 would have counted the second part: under these keys nothing looks.
    sed 's/"active_squares"/"uctive_squares"/; s/"gate_squares"/"uate_squares"/; s/"half_/"ualf_/g; s/"together"/"tugether"/' 2.safetensors >old.safetensors
    run 1 merge 1.safetensors 3.safetensors old.safetensors --head-load part.safetensors
    has "$err" "old.safetensors: lacks the sums of squares"
    absent part.safetensors
    run 0 merge 1.safetensors 3.safetensors old.safetensors --head-load part.safetensors --drop-intervals
    has "$err" "warning: part.safetensors: does not say which heads the same tokens selected, as 1 of the head loads does not"
    run 1 headload relate part.safetensors --heads
    has "$err" "part.safetensors: does not say which heads the same tokens selected"
    run 1 headload export --pairs --csv part.safetensors
    has "$err" "part.safetensors: does not say which heads the same tokens selected"
    equal "$out" ""
    run 0 headload export --csv part.safetensors
    cut -d , -f 1-13 out.txt >part.csv
    equal "$(sed 1d out.txt | cut -d , -f 14-19 | sort -u)" ",,,,,"
    run 0 headload export --csv whole.safetensors
    cut -d , -f 1-13 out.txt | cmp - part.csv || fail "without intervals other counts"
    rm part.safetensors
    run 1 merge 1.state 2.state --head-load part.safetensors
    has "$err" "missing"
    absent part.safetensors
}

# The rows of two per-image files of as many pictures, whose provenance may tell of other threads.
same_rows() {
    local size
    size=$(($(stat -c %s "$1") - 8 - $(od -An -tu8 -N8 "$1")))
    cmp <(tail -c $size "$1") <(tail -c $size "$2") || fail "$1 and $2 have other rows"
}

ranks_give_the_same_bits() {
    local many=2000
    run 0 headload count "idx:$pictures,$classes" --limit $many -o whole.safetensors --per-image whole.images --quiet
    timeout 120 mpirun --oversubscribe -n 4 "$mohvit" headload count "idx:$pictures,$classes" --limit $many \
        -o ranks.safetensors --per-image ranks.images --quiet --threads 1 </dev/null >out.txt 2>err.txt || fail "mpirun: $(cat err.txt)"
    equal "$(cat out.txt)" "ranks.safetensors: $many images of 10 classes"
    same_counts whole.safetensors ranks.safetensors
    same_rows whole.images ranks.images
    local what=(headload ablate "idx:$pictures,$classes" --limit 200 --heads 4.0 --format csv --quiet)
    run 0 "${what[@]}"
    timeout 120 mpirun --oversubscribe -n 3 "$mohvit" "${what[@]}" --threads 1 </dev/null 2>err.txt | cmp - out.txt ||
        fail "another ablation: $(cat err.txt)"
}

a_killed_count_goes_on() {
    local few=$((images > 3000 ? 3000 : images < 600 ? 600 : images)) kills=0 # enough to be killed in the middle
    run 0 headload count "idx:$pictures,$classes" --limit $few -o whole.safetensors --per-image whole.images --quiet
    for seconds in 0.2 0.3 0.5 0.3; do
        { timeout -s KILL $seconds "$mohvit" headload count "idx:$pictures,$classes" --limit $few --state state \
            -o resumed.safetensors --per-image resumed.images --quiet --threads 1 >/dev/null </dev/null; } 2>/dev/null && break
        kills=$((kills + 1))
    done
    echo "killed $kills times"
    [ $kills -gt 0 ] || fail "was never killed"
    run 0 headload count "idx:$pictures,$classes" --limit $few --state state -o resumed.safetensors --per-image resumed.images
    same_counts whole.safetensors resumed.safetensors
    same_rows whole.images resumed.images
    run 1 eval "idx:$pictures,$classes" --limit $few --state state
    has "$err" "state: was begun with per-image, which its records would lack"
    run 1 headload count "idx:$pictures,$classes" --limit $few --state state -o other.safetensors --by-prediction
    absent other.safetensors
    run 0 headload count "idx:$pictures,$classes" --limit 100 --state without -o without.safetensors --quiet
    run 1 eval "idx:$pictures,$classes" --limit 100 --state without
    has "$err" head_load
    run 1 headload count "idx:$pictures,$classes" --limit 100 --state without -o other.safetensors --per-image other.images
    has "$err" "without: was begun without --per-image"
    run 1 merge without --per-image other.images
    has "$err" "without: was made without --per-image"
    absent other.images
}

pictures_without_a_class_count_as_what_they_are_taken_for() {
    local few=$((images > 600 ? 600 : images))
    run 1 headload count "idx:$pictures" --limit $few -o unlabelled.safetensors
    has "$err" "class"
    absent unlabelled.safetensors
    run 0 headload count "idx:$pictures" --limit $few --by-prediction -o a.safetensors --format json --quiet \
        --state unlabelled.state
    equal "$(get images)" $few
    gunzip -c "$pictures" >pixels && printf '\377' | dd of=pixels bs=1 seek=20 conv=notrunc status=none
    run 1 headload count idx:pixels --limit $few --by-prediction -o d.safetensors --state unlabelled.state
    has "$err" data.fingerprint
    absent d.safetensors
    run 0 eval "idx:$pictures,$classes" --limit $few --predictions predictions.csv --quiet
    local column
    column=$(head -n 1 predictions.csv | tr ',' '\n' | grep -n '^top1$\|^id1$\|^class1$\|^top_1$' | head -n 1 | cut -d : -f 1)
    [ -n "$column" ] || { fail "no column of predictions in $(head -n 1 predictions.csv)" && return; }
    tail -n +2 predictions.csv | cut -d , -f "$column" | sort -n | uniq -c | awk '{ print $2, $1 }' >predicted.txt
    run 0 headload export --csv a.safetensors
    awk -F, 'NR > 1 && $4 == 1 && $6 == 0 && $8 { print $1, $8 / 256 }' out.txt | diff predicted.txt - ||
        fail "other classes than predicted"
    # One that has a class counts for it, whatever is predicted.
    run 0 headload count "idx:$pictures,$classes" --limit $few --by-prediction -o b.safetensors --quiet
    run 0 headload count "idx:$pictures,$classes" --limit $few -o c.safetensors --quiet
    same_counts b.safetensors c.safetensors
}

the_top_k_of_the_run_is_counted() {
    run 0 headload count "idx:$pictures,$classes" --limit 64 --routed-heads 3 -o a.safetensors --quiet
    adds_up a.safetensors 3 3 3 3
    run 2 headload count "idx:$pictures,$classes" --limit 64 --routed-heads 3,50% -o several.safetensors
    run 2 eval "idx:$pictures,$classes" --limit 64 --routed-heads 3,50% --head-load several.safetensors
    absent several.safetensors
}

# near A B: numbers that agree to the digits that are printed of losses.
near() { awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(d < 3e-9 && d > -3e-9) }' || fail "$1 is not $2"; }

an_ablation_says_what_evaluations_without_each_head_say() {
    local what=("idx:$pictures,$classes" --sample 200 --seed 3) list="2.0:s1 3.1:r2 4.0:r14" how i loss top1 change
    for how in "" --renormalise; do
        run 0 eval "${what[@]}" --format json
        loss=$(get loss) top1=$(get top1)
        # shellcheck disable=SC2086
        run 0 headload ablate "${what[@]}" --heads "$list" --format json $how
        has "$err" "3 heads x 200 images: about "
        has "$err" ", plus decoding"
        lacks "$err" "note: "
        near "$(get loss)" "$loss"
        equal "$(get images) $(get top1) $(get complete)" "200 $top1 true"
        cp out.txt ablation.json
        i=0
        for head in $list; do
            # shellcheck disable=SC2086
            run 0 eval "${what[@]}" --format json --drop-heads "$head" $how
            change=$(awk -v a="$(get loss)" -v b="$loss" -v c="$(get top1)" -v d="$top1" \
                'BEGIN { printf "%.12f %.9f", a - b, c - d }')
            cp ablation.json out.txt
            equal "$(get ablated $i heads)" "$head"
            near "$(get ablated $i loss_change)" "${change% *}"
            near "$(get ablated $i top1_change)" "${change#* }"
            i=$((i + 1))
        done
    done
    # As a table, the head that matters most first, and as rows.
    run 0 headload ablate "${what[@]}" --heads "$list" --quiet
    equal "$(sed -n '4,6s/ .*//p' out.txt | sort)" "$(tr ' ' '\n' <<<"$list")"
    run 0 headload ablate "${what[@]}" --heads "4.0:r1,r2,r3,r5,r8 3.0" --blocks
    has "$err" "2 blocks x 200 images: about "
    has "$out" "4.0:r1,r2,r3,r5,r8  "
    # Numbers end below their heading, however long the lists are.
    equal "$(sed -n '3s/ loss .*/ loss/p; 4,5s/^\([^ ]* *[-+][0-9.]*\).*/\1/p' out.txt | awk '{ print length }' | sort | uniq -c | awk '{ print $1 }')" 3
    run 0 headload ablate "${what[@]}" --heads "$list" --quiet
    sed -n '4,6p' out.txt | awk 'NR > 1 && $2 > last { exit 1 } { last = $2 }' || fail "another order: $out"
    run 0 headload ablate "${what[@]}" --heads "$list" --format csv
    equal "$(sed 1d out.txt | cut -d , -f 1-6)" \
        "$(printf '2.0:s1,2,0,0,shared,200\n3.1:r2,3,1,3,routed,200\n4.0:r14,4,0,15,routed,200')"
    # Heads of a block together, and heads that are left out throughout.
    run 0 eval "${what[@]}" --format json --drop-heads "3.0 4.0:r1,r14"
    loss=$(get loss)
    run 0 headload ablate "${what[@]}" --drop-heads 3.0 --heads 4.0:r1,r14 --blocks --format json
    near "$(awk -v a="$(get loss)" -v b="$(get ablated 0 loss_change)" 'BEGIN { printf "%.12f", a + b }')" "$loss"
    equal "$(get ablated 0 kind) $(get ablated 0 head) $(get provenance dropped_heads)" "together null 3.0"
    run 2 headload ablate "${what[@]}" --heads 4.0:3
    has "$err" "\"3\" is no head"
    run 2 headload ablate "${what[@]}" --heads 4.0:r15
    has "$err" "--heads: \"4.0:r15\": there is no r15; block 4.0 has s1 to s2 and r1 to r14"
    run 0 headload ablate "idx:$pictures,$classes" --limit 1 --heads 1.0:r2
    has "$err" "1 head x 1 image: about "
    has "$err" "note: 1 picture decides this; with fewer than 30, "
    run 0 headload ablate "idx:$pictures,$classes" --limit 3 --heads 1.0:r1 --quiet # its change is between -0.00005 and 0
    has "$out" "1.0:r1     +0.0000 "
    lacks "$out" "-0.0000 "
    run 2 headload ablate "${what[@]}" --routed-heads 1,2
    run 2 headload ablate "${what[@]}" --shard 1/2 --state x
    absent x
}

# A result without what it took.
ablated() { sed 's/"threads":[0-9]*,//' "$1"; }

an_ablation_goes_on_to_the_same_result() {
    local what=(headload ablate "idx:$pictures,$classes" --limit 200 --heads "4.0 3.2:r1" --format json)
    run 0 "${what[@]}" --threads 1
    ablated out.txt >whole.json
    for how in "--threads 3" "--threads 2 --batch 7"; do
        # shellcheck disable=SC2086
        run 0 "${what[@]}" $how --state state
        equal "$(ablated out.txt)" "$(cat whole.json)"
        truncate -s $(($(stat -c %s state) * 2 / 3)) state
        # shellcheck disable=SC2086
        run 0 "${what[@]}" $how --state state
        has "$err" "not a whole record"
        has "$err" "of 200 images are done already"
        equal "$(ablated out.txt)" "$(cat whole.json)"
        rm state
    done
    run 0 "${what[@]}" --state state
    run 1 headload ablate "idx:$pictures,$classes" --limit 200 --heads 4.0 --state state
    has "$err" "ablation.heads is \"3.2:r1 4.0\", expected \"4.0\""
    run 1 "${what[@]}" --state state --renormalise
    has "$err" "ablation.renormalise is false, expected true"
    run 1 "${what[@]}" --state state --blocks
    has "$err" "ablation.together is false, expected true"
    run 1 eval "idx:$pictures,$classes" --limit 200 --state state
    has "$err" "ablation"
    run 1 merge state
    has "$err" 'state: is a state of "headload ablate", which is not merged'
    equal "$out" ""
}

# Pictures without classes: threads, batches, states that were cut short, ranks.
certainty_is_the_same_however_it_is_run() {
    local what=(headload certainty "idx:$pictures" --limit 130 --format csv --quiet)
    run 0 "${what[@]}" --threads 1
    cp out.txt whole.csv
    equal "$(sed -n 2p whole.csv | cut -d , -f 1-7)" "1,0,3,1,256,130,4"
    equal "$(wc -l <whole.csv)" 7
    awk -F, 'NR > 1 && !($8 > 0 && $8 <= $9 && $10 > 0 && $11 > 0 && $11 < 1 && $12 > $13 && $12 < 1) { exit 1 }' whole.csv ||
        fail "numbers that cannot be: $(cat whole.csv)"
    for how in "--threads 3" "--threads 2 --batch 7"; do
        # shellcheck disable=SC2086
        run 0 "${what[@]}" $how --state sure
        cmp out.txt whole.csv || fail "another certainty with $how"
        truncate -s $(($(stat -c %s sure) * 2 / 3)) sure
        # shellcheck disable=SC2086
        run 0 "${what[@]}" $how --state sure
        cmp out.txt whole.csv || fail "another certainty once it went on"
        run 1 "${what[@]}" --state sure --shift 5
        has "$err" "shift is 4, expected 5"
        run 1 merge sure
        has "$err" 'sure: is a state of "headload certainty", which is not merged'
        equal "$out" ""
        rm sure
    done
    timeout 120 mpirun --oversubscribe -n 3 "$mohvit" "${what[@]}" --threads 1 </dev/null 2>err.txt | cmp - whole.csv ||
        fail "another certainty: $(cat err.txt)"
    run 0 headload certainty "idx:$pictures" --limit 130 --shift 0 --format json
    equal "$(get blocks 5 shifted) $(get shift) $(get images) $(get complete)" "1.0 0 130 true"
    near "$(get blocks 5 entropy)" "$(sed -n 7p whole.csv | cut -d , -f 8)"
    run 0 headload certainty "idx:$pictures" --limit 3 --quiet
    equal "$(sed -n 1p out.txt)" "3 images, shifted by 4 pixels"
    equal "$(sed -n '4,9s/ .*//p' out.txt | tr '\n' ' ')" "1.0 2.0 3.0 3.1 3.2 4.0 "
    run 0 headload certainty "idx:$pictures" --limit 3 --quiet --shift 63
    equal "$(sed -n 4p out.txt | cut -c 51-60)" "         -"
    run 2 headload certainty "idx:$pictures" --shift 64
    has "$err" "--shift 64: expected less than the 64 pixels of the model's pictures"
    run 2 headload certainty "idx:$pictures" --routed-heads 100% --limit 1
    has "$err" "moh_vit_nano: no block of this model routes"
    run 2 headload certainty "idx:$pictures" --shard 1/2 --state x
    run 2 headload certainty "idx:$pictures" --routed-heads 1,2
    absent x
}

every_command_below_explains_itself() {
    for command in count export plot stats report ablate top relate certainty; do
        run 0 headload $command --help
        has "$out" "Usage: mohvit headload $command "
        equal "$err" ""
        local help=$out
        run 0 help headload $command
        equal "$out" "$help"
        run 2 headload $command --nonsense
        has "$err" "mohvit headload $command --help"
        run 2 headload $command
    done
    run 2 headload
    run 2 headload nonsense
    has "$err" "expected one of count, export, plot, stats, report, ablate, top, relate, certainty"
}

a_failed_picture_is_left_out() {
    mkdir -p val/Bag val/Sneaker
    cp "$samples/bag.png" val/Bag/a.png
    cp "$samples/sneaker.png" val/Sneaker/a.png
    head -c 100 "$samples/sneaker.png" >val/Sneaker/broken.png
    run 1 headload count val -o a.safetensors --quiet
    has "$err" "val/Sneaker/broken.png"
    equal "$out" "a.safetensors: 2 images of 2 classes, 1 failed"
    run 0 headload export --csv a.safetensors
    equal "$(grep -c ,256, out.txt)" 8 # stage 1: 2 classes of 4 heads
}

# ---- Rows ------------------------------------------------------------------------------------------

# adds_up FILE ROUTED…: of each stage's routed heads, active adds up to tokens · routed, in every class and block.
adds_up() {
    local file=$1
    run 0 headload export --csv "$file"
    shift
    sed 's/"[^"]*"/quoted/' out.txt | awk -F, -v routed="$*" '
        BEGIN { split(routed, k, " ") }
        NR > 1 { key = $1 "," $4 "." $5; stage[key] = $4; tokens[key] = $8; all[key] += $9 }
        NR > 1 && $7 == "routed" { sum[key] += $9 }
        NR > 1 && $7 == "shared" && $9 != $8 { print "shared head without all tokens: " $0; bad++ }
        NR > 1 && $8 && ($10 - $9 / $8 > 1e-8 || $9 / $8 - $10 > 1e-8) { print "load: " $0; bad++ }
        NR > 1 && !$8 && $10 $11 $12 != "" { print "no tokens, but a load: " $0; bad++ }
        END {
            for (key in tokens) {
                checked++
                if (sum[key] != tokens[key] * k[stage[key]]) {
                    print key ": " sum[key] " of " tokens[key] " * " k[stage[key]]
                    bad++
                }
            }
            print checked " classes and blocks add up"
            exit bad > 0 || checked < 60
        }' >added.txt || fail "the export of $file does not add up: $(head -n 5 added.txt)"
}

exported_rows_add_up_in_every_class_and_block() {
    run 0 headload count "idx:$pictures,$classes" --limit 200 -o counted.safetensors --quiet
    adds_up counted.safetensors 1 1 2 6
    head -n 50 "$golden/../../weights/imagenet1k.tsv" >fifty.tsv
    "$make" base.safetensors moh_transnext_base_50 fifty.tsv
    adds_up base.safetensors 2 4 6 8
    "$make" dense.safetensors transnext_tiny fifty.tsv
    adds_up dense.safetensors 0 0 0 0
}

csv_and_json_say_the_same() {
    head -n 9 "$golden/../../weights/imagenet1k.tsv" >nine.tsv
    "$make" a.safetensors moh_transnext_small_75 nine.tsv
    run 0 headload export --csv a.safetensors
    cp out.txt a.csv
    equal "$(head -n 1 a.csv)" "class,id,label,stage,block,head,kind,tokens,active,load,share,gate,images,load_low,$(
        )load_high,load_reliable,gate_low,gate_high,gate_reliable,gate_share"
    equal "$(sed -n 2p a.csv | cut -d , -f 1-3)" '0,n01440764,"tench'
    run 0 headload export --json a.safetensors
    equal "$(wc -l <out.txt)" 1
    equal "$(get provenance weights_hash)" synthetic:1
    equal "$(get data 0 source)" "made up"
    for i in 0 300 3000; do
        line=$(sed -n $((i + 2))p a.csv | sed 's/"[^"]*"/X/')
        # Nine digits in one, as many as needed in the other.
        equal "$(cut -d , -f 1,4-9 <<<"$line")" \
            "$(get rows $i class),$(get rows $i stage),$(get rows $i block),$(get rows $i head),$(get rows $i kind),$(
                get rows $i tokens),$(get rows $i active)"
        awk -v a="$(cut -d , -f 10 <<<"$line")" -v b="$(get rows $i load)" 'BEGIN { exit !(a - b < 1e-8 && b - a < 1e-8) }' ||
            fail "row $i: load"
        equal "$(cut -d , -f 13 <<<"$line")" "$(get rows $i images)"
        equal "$(cut -d , -f 16 <<<"$line")" "$(get rows $i load_reliable | sed 's/true/1/;s/false/0/')"
        awk -v a="$(cut -d , -f 18 <<<"$line")" -v b="$(get rows $i gate_high)" 'BEGIN { exit !(a - b < 1e-8 && b - a < 1e-8) }' ||
            fail "row $i: gate_high"
    done
    run 2 headload export a.safetensors
    run 2 headload export --csv --json a.safetensors
}

# ---- Refusals --------------------------------------------------------------------------------------

what_is_no_head_load_is_refused_with_the_reason() {
    printf 'a\nb\nc\n' >labels.txt
    "$make" a.safetensors nano labels.txt
    head -c 3000 a.safetensors >cut.safetensors
    "$make" other.safetensors moh_transnext_small_75 labels.txt
    "$make" seed.safetensors nano labels.txt 2
    for command in "export --csv" stats "plot -o a.svg" "report -o a.html"; do
        # shellcheck disable=SC2086
        run 1 headload $command cut.safetensors
        has "$err" "cut.safetensors: "
        equal "$out" ""
        # shellcheck disable=SC2086
        run 1 headload $command "$golden/pth/golden.safetensors"
        has "$err" "golden.safetensors: is not a head load"
        # shellcheck disable=SC2086
        run 1 headload $command "$golden/images/coffee.png"
        has "$err" "coffee.png: is not a head load; expected"
        # shellcheck disable=SC2086
        run 1 headload $command missing.safetensors
        has "$err" "No such file"
    done
    absent a.svg
    absent a.html
    run 1 merge a.safetensors other.safetensors --head-load m.safetensors
    has "$err" "other.safetensors: is of another model than a.safetensors: embed_dims"
    run 1 merge a.safetensors seed.safetensors --head-load m.safetensors
    has "$err" "seed.safetensors: was counted otherwise than a.safetensors: weights_hash"
    run 1 merge a.safetensors cut.safetensors --head-load m.safetensors
    has "$err" "cut.safetensors: "
    sed 's/"shape":\[\([0-9]*\),\([0-9]*\),/"shape":[\2,\1,/' a.safetensors >misshapen.safetensors
    run 1 merge a.safetensors misshapen.safetensors --head-load m.safetensors
    has "$err" "does not fit its classes, blocks and heads"
    absent m.safetensors
    run 2 merge a.safetensors
    has "$err" "--head-load"
}

# What 0.1.0 counted: its head load, and the state that this one was made from.
files_of_older_versions_say_what_they_said() {
    local old=$golden/headload/0.1.0
    run 0 headload export --csv "$old.safetensors"
    cp out.txt old.csv
    equal "$(sed -n 17p old.csv)" "0,,ankle boot,4,0,7,routed,12,12,1,0.333333333,0.966914574,3,,,,,,,0.215281854"
    run 0 merge "$old.state" --head-load merged.safetensors
    run 0 headload export --csv merged.safetensors
    cmp old.csv out.txt || fail "the state and the head load of 0.1.0 differ"
    run 0 headload stats "$old.safetensors"
    has "$out" "custom: 5 images of 3 classes, 66.67 % of the heads active"
    has "$out" "no intervals"
    has "$out" "most specific heads; chance alone may make them so"
    run 0 headload plot "$old.safetensors" --classes ankle_boot,purse -o old.svg
    cp "$old.state" old.state
    run 1 eval "idx:$pictures,$classes" --limit 64 --state old.state --head-load a.safetensors
    has "$err" 'old.state: belongs to another evaluation: version is "0.1.0", expected'
}

# ---- Figures and page ------------------------------------------------------------------------------

figures_are_of_the_kind_that_their_name_says() {
    head -n 140 "$golden/../../weights/imagenet1k.tsv" >labels.tsv
    echo "n09999999	crane" >>labels.tsv
    "$make" a.safetensors moh_transnext_base_75 labels.tsv
    for kind in "" "--layout stacked --theme dark" "--heatmap --minus-mean --text outlines" "--with-shared --measure gate" \
        "--heatmap --with-shared --block 3.7 --measure gate-share --theme print"; do
        for ending in svg png pdf; do
            # shellcheck disable=SC2086
            run 0 headload plot a.safetensors --classes "goldfish,n01440764,2" $kind -o a.$ending
            has "$out" "a.$ending: block "
        done
        equal "$(head -c 5 a.svg)" "<?xml"
        equal "$(head -c 4 a.png | tail -c 3)" "PNG"
        equal "$(head -c 5 a.pdf)" "%PDF-"
        has "$(tr -d '\0' <a.pdf)" " of the routed heads of block " # its title
        rm a.svg a.png a.pdf
    done
    run 0 headload plot a.safetensors --heatmap -o a.svg
    has "$out" "140 classes"
    has "$err" "note: 1 class without pictures is left out"
    run 0 headload plot a.safetensors --classes "tench, Tinca tinca" -o a.svg
    has "$out" "block 4.4, 1 class,"
    rm a.svg
    run 2 headload plot a.safetensors -o a.svg
    has "$err" "choose with --classes"
    run 2 headload plot a.safetensors --classes crane -o a.svg
    has "$err" "\"crane\" is the name of several classes"
    has "$err" "140  n09999999  crane"
    run 2 headload plot a.safetensors --classes "goldfish,shark" -o a.svg
    has "$err" "\"shark\" is not a class of this model"
    has "$err" "great white shark"
    run 2 headload plot a.safetensors --classes goldfish --block 4.5 -o a.svg
    has "$err" "there is no such block; expected 1.0 to 1.4, 2.0 to 2.4, 3.0 to 3.22, 4.0 to 4.4"
    run 2 headload plot a.safetensors --classes goldfish --block 1.0 -o a.svg
    has "$err" "does not route"
    run 2 headload plot a.safetensors --classes goldfish --block x -o a.svg
    run 2 headload plot a.safetensors --classes goldfish --measure gates -o a.svg
    has "$err" "--measure gates: expected one of load, gate, gate-share"
    run 2 headload plot a.safetensors --classes goldfish --layout pile -o a.svg
    has "$err" "--layout pile: expected one of grid, stacked"
    run 2 headload plot a.safetensors --classes goldfish --layout grid --heatmap -o a.svg
    has "$err" "--layout: places bars"
    run 2 headload plot a.safetensors --classes goldfish --minus-mean -o a.svg
    has "$err" "--minus-mean: needs --heatmap"
    run 2 headload plot a.safetensors --classes goldfish --theme pink -o a.svg
    has "$err" "--theme pink: expected one of light, dark, print"
    run 2 headload plot a.safetensors --classes goldfish --text shapes -o a.svg
    has "$err" "--text shapes: expected one of text, outlines"
    run 2 headload plot a.safetensors --classes goldfish -o a.gif
    run 2 headload plot a.safetensors --classes goldfish
    run 1 headload plot a.safetensors --classes goldfish -o nowhere/a.svg
    run 1 headload plot a.safetensors --classes goldfish --width 1000 --dpi 1200 -o a.png
    has "$err" "a.png: a picture of 47244 dots"
    "$make" dense.safetensors transnext_tiny labels.tsv
    run 1 headload plot dense.safetensors --classes goldfish -o a.svg
    has "$err" "no block of this model routes"
    absent a.svg
    equal "$(find . -name '*tmp*')" ""
}

# A model of 30 classes, pictures of two.
classes_without_pictures_are_left_out() {
    sed 's/"num_classes": *[0-9]*/"num_classes": 30/' "$golden/../../tools/pytorch/nano.json" >config.json
    seq -f 'class %g' 0 29 >labels.txt
    run 0 synth --config config.json model.safetensors
    mkdir wardrobe && cp "$samples/bag.png" "$samples/coat.png" wardrobe
    printf 'bag.png\t%s\ncoat.png\t%s\n' 4 17 >truth.txt
    run 0 headload count wardrobe --truth truth.txt --weights model.safetensors --labels labels.txt -o two --quiet
    for how in "" --heatmap "--heatmap --minus-mean"; do
        # shellcheck disable=SC2086 # several words
        run 0 headload plot two $how -o two.svg
        has "$out" ", 2 classes,"
        has "$err" "note: 28 classes without pictures are left out"
        lacks "$(cat two.svg)" "class 5"
        has "$(cat two.svg)" "class 17"
    done
    run 0 headload plot two --classes 4,5 -o two.svg
    has "$out" ", 2 classes,"
    equal "$err" "mohvit: warning: no pictures of class 5 are in this head load"
    run 0 headload plot two --classes 4,17 -o two.svg
    equal "$err" ""
    run 0 headload report two -o two.html
    has "$out" "two.html: 2 classes,"
    has "$err" "note: 28 classes without pictures are left out"
    echo alone >alone.txt
    "$make" none nano alone.txt
    run 2 headload plot none -o none.svg
    has "$err" "no class has pictures in this head load"
    run 1 headload report none -o none.html
    has "$err" "none: no class has pictures"
    absent none.html
    "$make" all moh_transnext_base_75 labels.txt
    run 2 headload plot all -o all.svg
    has "$err" "29 classes have pictures, too many for panels: at most 12"
}

# The figure of docs/head_load.md, number by number: Cairo may round another way. Remake it with this command.
the_page_shows_what_is_drawn() {
    "$make" load.safetensors moh_transnext_base_75 "$golden/../../weights/imagenet1k.tsv"
    run 0 headload plot load.safetensors --classes "Desk,Goldfish,Ice cream" --layout stacked --width 150 -o figure3.svg
    equal "$err" ""
    grep -oE -- '-?[0-9]+(\.[0-9]+)?|[^-0-9]+|-' figure3.svg >drawn.txt
    grep -oE -- '-?[0-9]+(\.[0-9]+)?|[^-0-9]+|-' "$golden/../../docs/figure3.svg" >shown.txt
    equal "$(wc -l <shown.txt)" "$(wc -l <drawn.txt)"
    paste -d '\t' shown.txt drawn.txt | awk -F '\t' '
        $1 != $2 && ($1 - $2 > 0.02 || $2 - $1 > 0.02 || $1 !~ /[0-9]/) { print NR ": " $0; bad++ }
        END { exit bad > 0 }' || fail "docs/figure3.svg is not what is drawn"
}

fonts_are_named_and_missed() {
    printf 'one\ntwo & <three>\nwithout pictures\n' >labels.txt
    "$make" a.safetensors nano labels.txt
    local plot=(headload plot a.safetensors --classes 0,1)
    run 0 "${plot[@]}" --font "Liberation Serif" -o a.svg
    equal "$err" ""
    has "$(cat a.svg)" "<g font-family=\"'Liberation Serif', Arial, "
    has "$(cat a.svg)" "two &amp; &lt;three&gt;"
    run 0 "${plot[@]}" --font "No Such Font" -o a.svg
    has "$err" "warning: no font No Such Font is installed; text is measured with "
    has "$(cat a.svg)" "<g font-family=\"'No Such Font', Arial, "
    run 0 "${plot[@]}" --font "No Such Font" --text outlines -o a.svg
    has "$err" "text is drawn with "
    run 2 "${plot[@]}" --font "Arial, Helvetica" -o a.svg
    has "$err" "--font Arial, Helvetica: expected a family of fonts"
    # Liberation Sans itself is missed where it is not there.
    printf '<fontconfig><dir>%s</dir></fontconfig>\n' "$PWD" >fonts.conf
    FONTCONFIG_FILE=$PWD/fonts.conf run 0 "${plot[@]}" -o a.png
    has "$err" "warning: no font Liberation Sans is installed; text is drawn with "
}

# What names a folder of a data set names a class of a figure, and the other way round.
a_class_has_the_same_names_everywhere() {
    { printf 'T-shirt/top\nn02012849\tcrane, Grus\nbag\n' && seq 3 9 | sed 's/^/class /'; } >labels.txt
    "$make" a.safetensors nano labels.txt
    mkdir -p flat && cp "$samples/bag.png" flat
    local name of=(0 "T-shirt/top" 0 t_shirt_top 0 "t-Shirt Top" 0 0 1 n02012849 1 "crane, Grus" 1 grus 1 1 2 BAG)
    for ((i = 0; i < ${#of[@]}; i += 2)); do
        name=${of[i + 1]}
        printf '%s\t%s\n' bag.png "$name" >truth.txt
        run 0 headload count flat --truth truth.txt --labels labels.txt -o counted.safetensors --quiet
        run 0 headload export --csv counted.safetensors
        equal "$(awk -F, 'NR > 1 && $(NF - 12) > 0 { print $1; exit }' out.txt)" "${of[i]}"
        run 0 headload plot a.safetensors --classes "$name" -o named.svg
        run 0 headload plot a.safetensors --classes "${of[i]}" -o numbered.svg
        cmp named.svg numbered.svg || fail "--classes $name is not class ${of[i]}"
    done
    run 2 headload plot a.safetensors --classes "bags" -o a.svg
    has "$err" "\"bags\" is not a class of this model"
}

# Of few pairs each is in one list alone.
relations_of_few_are_said_once() {
    run 0 headload count "idx:$pictures,$classes" --limit 3 --drop-heads 4.0:r3,r5 --renormalise --quiet -o few3.safetensors
    run 0 headload relate few3.safetensors
    equal "$(sed -n '1p; s/.* and .*/pair/p' out.txt | tr '\n' ' ')" \
        "Routing similarity of 3 classes, mean of 6 blocks pair pair pair "
    run 0 headload relate few3.safetensors --heads --block 3.0
    equal "$(grep ' and ' out.txt | sort -u | wc -l) $(grep -c ' and ' out.txt)" "15 15"
    has "$out" "counted without 4.0:r3,r5, whose gates are 0; gates renormalised"
    run 0 headload relate few3.safetensors -o few3.svg
    has "$(cat few3.svg)" "counted without 4.0:r3,r5, whose gates are 0; gates renormalised"
    equal "$(tail -n 1 out.txt)" "few3.svg: 3 classes, 88 mm wide"
    run 0 headload relate few3.safetensors --heads -o few3.svg
    equal "$(tail -n 1 out.txt)" "few3.svg: 14 heads, 88 mm wide"
    run 0 headload stats few3.safetensors
    equal "$(sed -n 2p out.txt)" "counted without 4.0:r3,r5, whose gates are 0; gates renormalised"
    run 0 headload count "idx:$pictures,$classes" --limit 1 --quiet -o one1.safetensors
    run 0 headload relate one1.safetensors
    equal "$out" "Routing similarity of 1 class, mean of 6 blocks"
    run 0 headload stats one1.safetensors
    has "$out" "one class: there is no other to compare it with"
    has "$out" "all heads (s: shared, r: routed): of the class"
    equal "$(grep -c ' of  *[0-9]* .*[0-9]  *-  *-  *-  *[0-9]*$' out.txt)" 6 # divergence, chance, of two
}

statistics_are_printed_for_people_and_programs() {
    printf 'one\ntwo\nthree\n' >labels.txt
    "$make" a.safetensors nano labels.txt
    run 0 headload stats a.safetensors
    has "$out" "block 4.0"
    has "$out" "classes that route most alike:   one and two"
    has "$out" "class-specific heads"
    equal "$(grep -c '^  *[1-4]\.[0-2]  ' out.txt)" 6
    run 0 headload stats --block 2.0 a.safetensors
    has "$out" "block 2.0"
    run 2 headload stats --block 5.0 a.safetensors
    has "$err" "there is no such block"
    run 0 headload stats --format json a.safetensors
    equal "$(wc -l <out.txt)" 1
    equal "$(get blocks 5 heads)" 16
    equal "$(get blocks 5 classes)" 2
    for key in load_balanced load_min load_max load_cv load_max_over_mean entropy entropy_max entropy_of_class divergence chance above_chance dead_for_classes \
        dead_heads gate_share_of_routed means_of_heads specific_heads divergence_of_pair most_alike least_alike like; do
        [ "$(get blocks 5 $key)" != missing ] || fail "no $key"
    done
    run 0 headload stats --format json --block 3.1 a.safetensors
    equal "$(get blocks 0 stage),$(get blocks 0 block),$(get blocks 1)" 3,1,missing
    "$make" dense.safetensors transnext_tiny labels.txt
    run 0 headload stats --format json dense.safetensors
    equal "$(get blocks 0 routed)" 0
    equal "$(get blocks 0 routes)" false
    # Where each token takes all candidates, the router chooses nothing.
    run 0 headload count "idx:$pictures,$classes" --limit 64 --routed-heads 100% -o all.safetensors --quiet
    run 0 headload stats --format json all.safetensors
    equal "$(get blocks 5 routed),$(get blocks 5 routes)" 14,false
    run 1 headload stats all.safetensors
    has "$err" "all.safetensors: no block of this model routes"
    run 2 headload plot all.safetensors --block 4.0 -o all.svg
    has "$err" "all.safetensors: block 4.0 does not route"
    run 0 headload report all.safetensors -o all.html
    run 0 headload count "idx:$pictures,$classes" --limit 64 --routed-heads 3 -o three.safetensors --quiet
    run 0 headload stats three.safetensors
    has "$out" "1.0       1   3 of  3  does not route: all heads are always on"
    has "$out" " r14 "
}

figures_say_which_heads_were_dropped() {
    run 0 headload count "idx:$pictures,$classes" --limit 20 --drop-heads 4.0:r3 --quiet -o dropped
    for how in "" "--layout stacked" --heatmap "--heatmap --minus-mean" "--measure gate"; do
        # shellcheck disable=SC2086
        run 0 headload plot dropped $how -o dropped.svg
        equal "$(grep -c '>counted without 4.0:r3, whose gates are 0</text>' dropped.svg)" 1
        has "$(grep '<desc' dropped.svg)" "All of it was counted without 4.0:r3, whose gates are 0."
    done
    equal "$(grep -c 'gate shares have no intervals' dropped.svg)" 0
    run 0 headload plot dropped --measure gate-share -o share.svg
    equal "$(grep -c '>gate shares have no intervals</text>' share.svg)" 1
    has "$(grep '<desc' share.svg)" "Gate shares have no intervals."
    run 0 headload plot dropped --measure gate-share --heatmap -o share.svg
    equal "$(grep -c 'have no intervals' share.svg)" 0
}

# As docs/head_load.md has it, of a made-up head load of ImageNet's classes.
the_figure_of_the_paper_is_drawn_as_the_page_says() {
    "$make" imagenet.safetensors moh_transnext_base_75 "$golden/../../weights/imagenet1k.tsv"
    local command
    command=$(grep '^mohvit headload plot.*Desk,Goldfish' "$golden/../../docs/head_load.md")
    eval "set -- ${command#mohvit }"
    run 0 "$@"
    equal "$out" "figure3.svg: block 4.4, 3 classes, 150 mm wide"
}

the_page_needs_nothing_but_itself() {
    printf '%s\n' '</script><script>alert(1)</script>' '<b>bold</b>' 'plain' >labels.txt
    "$make" '<i>.safetensors' nano labels.txt
    run 0 headload report '<i>.safetensors' -o page.html
    # Nothing to fetch: the one address is the name of the SVG vocabulary.
    equal "$(grep -oE '(https?:|//)[a-z0-9.]+\.(org|com|net|io)[^"'"'"' ]*' page.html | sort -u)" "//www.w3.org/2000/svg"
    grep -qE '<(link|script|img|iframe)[^>]* src=|@import|url\(' page.html && fail "refers to another file"
    equal "$(grep -c '</script>' page.html)" "$(grep -c '<script' page.html)"
    grep -qF 'alert(1)</script>' page.html && fail "a label ends the script"
    grep -qF '<b>bold' page.html && fail "a label is markup"
    grep -qF '<title>Head load: &lt;i&gt;.safetensors</title>' page.html || fail "the file's name is not text"
    grep -qF '{{' <(grep -v '^ ' page.html) && fail "a part was not filled in"
    run 2 headload report '<i>.safetensors'
    "$make" dense.safetensors transnext_tiny labels.txt
    run 0 headload report dense.safetensors -o page.html
}

# What heads cost, and the pictures that use them, join figures and page where they are of the same model.
importance_and_pictures_are_of_the_same_model() {
    mkdir -p both/Dress both/Bag
    cp "$samples/dress.png" both/Dress
    cp "$samples/bag.png" both/Bag/gone.png
    run 0 headload count both -o a.safetensors --per-image a.images --quiet
    run 0 headload ablate both --limit 1 --heads 4.0:r1 --quiet --format json
    cp out.txt ablated.json
    run 0 headload plot a.safetensors --heatmap --importance ablated.json -o a.svg
    grep -q "Loss change without the head" a.svg || fail "the figure lacks what heads cost"
    run 1 headload plot a.safetensors --heatmap --importance ablated.json --block 3.0 -o b.svg
    has "$err" "ablated.json: has no result for a single head of block 3.0"
    run 0 headload report a.safetensors --importance ablated.json --thumbnails a.images --pictures 1 -o a.html
    has "$out" "a.pictures.html: pictures, "
    equal "$(grep -c 'id="4.0-r14"' a.pictures.html)" 1
    grep -q 'href="./a.html"' a.pictures.html || fail "no way back"

    head -n 10 "$golden/../../weights/imagenet1k.tsv" >labels.tsv
    "$make" other.safetensors moh_transnext_small_75 labels.tsv
    for option in "--importance ablated.json" "--thumbnails a.images"; do
        # shellcheck disable=SC2086
        run 1 headload report other.safetensors $option -o b.html
        has "$err" " is of another model than other.safetensors"
    done
    run 1 headload plot other.safetensors --importance ablated.json --heatmap -o b.svg
    has "$err" "ablated.json: is of another model than other.safetensors"
    rm both/Bag/gone.png
    run 1 headload report a.safetensors --thumbnails a.images -o b.html
    has "$err" "a.images: names both/Bag/gone.png, which is not there"
    run 1 headload report a.safetensors --thumbnails a.safetensors -o b.html
    has "$err" "a.safetensors: expected version 1 of a file that"
    absent b.svg
    absent b.html
    absent b.pictures.html
    run 2 headload report a.safetensors --thumbnails a.pictures.html -o a.html
    has "$err" "the pictures' page a.pictures.html: would replace --thumbnails, which is the same file"
    # No page replaces a picture that they name, shown or not, nor the file that holds it.
    mkdir -p held/Bag
    cp "$samples/bag.png" held/Bag/x.png
    cp "$samples/dress.png" held/Bag/y.png
    tar cf held.tar -C held Bag
    cp "$pictures" held.gz
    ln -s held/Bag/y.png link.pictures.html
    for data in held held.tar "idx:held.gz,$classes"; do
        run 0 headload count "$data" --limit 2 -o held.load --per-image held.images --quiet
        for page in held/Bag/x.png held/Bag/y.png link.html held.tar held.gz; do
            case $data,$page in
            held,*/*.png) has_output=$page ;;
            held,link.html) has_output="the pictures' page link.pictures.html" ;;
            held.tar,held.tar | idx:*,held.gz) has_output=$page ;;
            *) continue ;;
            esac
            sha256sum held/Bag/*.png held.tar held.gz >before
            run 2 headload report held.load --thumbnails held.images --pictures 1 -o "$page"
            has "$err" "$has_output: would replace "
            sha256sum --quiet -c before || fail "$page was replaced"
        done
    done
    # Pictures of samples are found again, whichever endings --image-ext gave.
    mkdir samples
    cp "$samples/bag.png" samples/a.png
    cp "$samples/dress.png" samples/a.seg.png
    cp "$samples/t_shirt.png" samples/b.seg.png
    echo 8 | tee samples/a.cls samples/b.cls >samples/c.cls
    cp "$samples/coat.png" samples/c.other.png
    tar cf samples.tar -C samples a.png a.seg.png a.cls b.seg.png b.cls c.other.png c.cls
    run 0 headload count samples.tar --image-ext seg.png,other.png --limit 3 -o samples.load --per-image samples.images --quiet
    run 0 headload report samples.load --thumbnails samples.images -o samples.html
    equal "$(grep -o 'img alt="[^"]*"' samples.pictures.html | sort -u | tr '\n' ' ')" \
        'img alt="samples.tar/a.seg.png" img alt="samples.tar/b.seg.png" img alt="samples.tar/c.other.png" '
    equal "$(grep -o 'a.seg.png" src="[^"]*"' samples.pictures.html | sort -u | cut -d '"' -f 3)" \
        "$(grep -o 'dress.png" src="[^"]*"' a.pictures.html | sort -u | cut -d '"' -f 3)"
    mkfifo both/Bag/gone.png
    run 1 headload report a.safetensors --thumbnails a.images -o b.html
    has "$err" "gone.png: is not a regular file"
    run 2 headload report a.safetensors --pictures 3 -o b.html
    has "$err" "--pictures: needs --thumbnails"
}

# A picture that has changed is not shown as what was counted, where the file has hashes of them.
pictures_that_changed_are_noticed() {
    mkdir -p some/Dress some/Bag some/Coat
    cp "$samples/dress.png" some/Dress/x.png
    cp "$samples/bag.png" some/Bag/x.png
    cp "$samples/coat.png" some/Coat/x.png
    tar cf some.tar -C some Dress Bag Coat
    for data in some some.tar; do
        run 0 headload count $data -o load --per-image images --quiet
        sed 's/"xxh64"/"uxh64"/' images >old
        run 0 headload top images
        equal "$err" ""
        cp "$samples/sneaker.png" some/Bag/x.png
        tar cf some.tar -C some Dress Bag Coat
        run 1 headload top images
        has "$out" "$data/Bag/x.png"
        has "$err" "images: $data/Bag/x.png is another picture now: its XXH64 is "
        equal "$(wc -l <err.txt)" 1
        run 1 headload report load --thumbnails images -o changed.html
        has "$err" "images: $data/Bag/x.png is another picture now: its XXH64 is "
        absent changed.html
        absent changed.pictures.html
        run 0 headload top old
        equal "$err" "mohvit: warning: old: has no hashes of its pictures: whether they have changed cannot be checked"
        run 0 headload report load --thumbnails old -o changed.html
        has "$err" "warning: old: has no hashes of its pictures"
        rm changed.html changed.pictures.html some/Bag/x.png
        tar cf some.tar -C some Dress Bag Coat
        run 0 headload top images
        equal "$err" "mohvit: warning: images: 1 of 3 pictures cannot be read where they were: whether they have changed is not checked"
        cp "$samples/bag.png" some/Bag/x.png
        tar cf some.tar -C some Dress Bag Coat
    done
    # Thumbnails are turned where the pictures were, and only there.
    local thumb=()
    for how in "" --exif-orientation stripped; do
        cp "$golden/images/cat_exif_orientation6.jpg" cat.jpg
        [ "$how" != stripped ] || LC_ALL=C sed -i 's/Exif/Exig/' cat.jpg
        echo cat.jpg >list
        # shellcheck disable=SC2086
        run 0 headload count list --by-prediction -o load --per-image images --quiet ${how#stripped}
        run 0 headload report load --thumbnails images -o changed.html
        thumb+=("$(grep -o 'src="[^"]*"' changed.pictures.html | sort -u)")
    done
    equal "${thumb[0]}" "${thumb[2]}"
    [ "${thumb[0]}" != "${thumb[1]}" ] || fail "the thumbnail of a picture that was turned is not"
}

# What heads cost, and pictures, of other data than the head load's say something else.
other_data_and_parts_are_refused() {
    local all="idx:$pictures,$classes"
    run 0 headload count "$all" --limit 40 -o load --per-image images --quiet
    run 0 headload count "$all" --limit 41 -o more --per-image more.images --quiet
    run 0 headload count "$all" --limit 40 --drop-heads 3.0 -o dropped --per-image dropped.images --quiet
    run 0 headload report load --thumbnails images --pictures 1 -o other.html
    rm other.html other.pictures.html
    run 1 headload report load --thumbnails more.images -o other.html
    has "$err" "more.images: is of other data than load: "
    has "$err" " pictures of class "
    run 1 headload report load --thumbnails dropped.images -o other.html
    has "$err" 'dropped.images: was counted otherwise than load: dropped_heads is "3.0", expected absent'
    # As many pictures of each class, and others.
    mkdir -p same/Bag same/Dress
    cp "$samples/bag.png" same/Bag/a.png
    cp "$samples/dress.png" same/Dress/b.png
    run 0 headload count same -o same.load --per-image same.images --quiet
    cp "$samples/coat.png" same/Bag/a.png
    run 0 headload count same -o then.load --per-image then.images --quiet
    run 1 headload report same.load --thumbnails then.images -o other.html
    has "$err" "then.images: is of other data than same.load: "
    has "$err" " tokens of class 8 (Bag) select 1.0:r"
    printf '%s\n' a b c d e f g h i j >labels.txt
    run 0 headload count same --by-prediction -o named.load --per-image named.images --labels labels.txt --classes-by-order --quiet
    run 1 headload report then.load --thumbnails named.images -o other.html
    has "$err" 'named.images: class 0 is "a", in then.load it is "T-shirt/top"'

    run 0 headload ablate "$all" --sample 5 --heads "4.0:r1,r2" --quiet --format json
    cp out.txt ablated.json
    run 0 headload plot load --importance ablated.json -o other.svg # of the same data, chosen in another way
    equal "$err" ""
    rm other.svg
    run 1 headload plot same.load --classes Bag --importance ablated.json -o other.svg
    has "$err" "ablated.json: is of other data than same.load: of 10000 pictures, fingerprint "
    has "$err" "; expected the 2 of fingerprint "
    run 1 headload plot dropped --importance ablated.json -o other.svg
    has "$err" 'ablated.json: was counted otherwise than dropped: dropped_heads is absent, expected "3.0"'
    sed 's/"complete":true/"complete":false/' ablated.json >part.json
    run 1 headload plot load --importance part.json -o other.svg
    has "$err" "part.json: is of a run that was stopped, of 5 images; expected a whole one"
    run 1 headload report load --importance part.json -o other.html
    has "$err" "part.json: is of a run that was stopped"
    sed 's/"heads":"4.0:r1"/"heads":"4.0:r2"/' ablated.json >part.json
    run 1 headload plot load --importance part.json -o other.svg
    has "$err" 'part.json: row 1 of "ablated": heads is "4.0:r2", expected "4.0:r1", which is head 2 of block 4.0'
    absent other.svg
    absent other.html
    sed 's/"failed":0/"failed":2/' ablated.json >part.json
    run 0 headload plot load --importance part.json -o other.svg
    has "$err" "warning: part.json: 2 of 7 pictures failed, and are not in it"
    run 0 headload report load --importance part.json -o other.html
    has "$err" "warning: part.json: 2 of 7 pictures failed"
}

# ---- routes ----------------------------------------------------------------------------------------

routes_are_those_that_are_counted() {
    mkdir -p one/Bag
    cp "$samples/bag.png" one/Bag
    run 0 headload count one -o one.safetensors --quiet
    run 0 headload export --csv one.safetensors
    grep ,Bag, out.txt >one.csv
    run 0 routes one/Bag/bag.png --block all -o -
    equal "$(wc -l <out.txt)" 1
    equal "$(get path)" one/Bag/bag.png
    equal "$(get size)" "[28,28]"
    equal "$(get top label)" Bag
    [ "$(get provenance weights_hash)" != missing ] || fail "no provenance"
    local block=0 name
    for name in 2.0 4.0; do # the second and the sixth
        block=$((block == 0 ? 1 : 5))
        equal "$(get blocks $block stage).$(get blocks $block block)" $name
        local heads
        heads=$(awk -F, -v s=${name%.*} -v b=${name#*.} '$4 == s && $5 == b' one.csv | wc -l)
        for ((h = 0; h < heads; h++)); do
            local row active gates
            row=$(awk -F, -v s=${name%.*} -v b=${name#*.} -v h=$h '$4 == s && $5 == b && $6 == h' one.csv)
            active=$(get blocks $block heads $h mask | tr -cd 1 | wc -c)
            equal "$active" "$(cut -d , -f 9 <<<"$row")"
            equal "$(get blocks $block heads $h kind)" "$(cut -d , -f 7 <<<"$row")"
            gates=$(get blocks $block heads $h gate | tr -d '[]' | tr ',' '\n' | awk '{ s += $1 } END { print s / NR }')
            awk -v a="$gates" -v b="$(cut -d , -f 12 <<<"$row")" 'BEGIN { d = a - b; exit !(d < 1e-5 && d > -1e-5) }' ||
                fail "block $name, head $h: mean gate $gates, counted: $row"
            # A gate is 0 where the mask is, and only there.
            paste -d ' ' <(get blocks $block heads $h mask | tr -d '[]' | tr ',' '\n') \
                <(get blocks $block heads $h gate | tr -d '[]' | tr ',' '\n') |
                awk '($1 == 0) != ($2 == 0) { bad = 1 } END { exit bad }' || fail "block $name, head $h: mask and gates"
        done
        # Of the gates of selected pairs a fiftieth is above the strong one.
        for ((h = 0; h < heads; h++)); do
            get blocks $block heads $h gate | tr -d '[]' | tr ',' '\n'
        done | grep -v '^0\(\.0\)\?$' | sort -g >gates.txt
        equal "$(get blocks $block strong)" "$(sed -n "$((($(wc -l <gates.txt) - 1) * 49 / 50 + 1))p" gates.txt)"
    done
}

routes_are_drawn() {
    for ending in svg png pdf json; do
        run 0 routes "$samples/sneaker.png" -o a.$ending
        has "$out" "a.$ending: "
        has "$out" "(Sneaker, "
    done
    equal "$(head -c 5 a.svg)" "<?xml"
    equal "$(head -c 4 a.png | tail -c 3)" "PNG"
    equal "$(head -c 5 a.pdf)" "%PDF-"
    run 0 routes "$golden/images/coffee_tall_33x400.png" --block 2.0 --width 40 -o a.png
    for look in "" "--tint log --theme dark" "--tint kind --overlay --theme print --text outlines"; do
        # shellcheck disable=SC2086
        run 0 routes "$samples/sneaker.png" "$samples/bag.png" --block 3.1 $look -o a.svg
        equal "$out" "a.svg: 2 pictures, block 3.1, 8 heads"
        has "$(cat a.svg)" "sneaker.png: Sneaker, 9"
        has "$(cat a.svg)" "bag.png: Bag, 9"
        has "$(cat a.svg)" "Patches that select each head of block 3.1</title>"
        equal "$(grep -o '<image' a.svg | wc -l)" 18
    done
    grep -q '<text' a.svg && fail "outlines have text"
    run 0 routes "$samples/sneaker.png" "$samples/bag.png" -o both.json
    equal "$out" "both.json: 2 pictures, block 4.0, 16 heads"
    for name in sneaker bag; do
        run 0 routes "$samples/$name.png" -o -
        cat out.txt
    done >each.json
    cmp each.json both.json || fail "two pictures are not what each of them is"
    run 1 routes "$samples/sneaker.png" missing.png -o b.png
    run 2 routes - - -o b.png
    has "$err" "standard input can be read only once"
    run 2 routes "$samples/sneaker.png" --tint red -o b.png
    has "$err" "--tint red: expected one of linear, log, kind"
    run 1 routes missing.png -o b.png
    run 1 routes "$0" -o b.png
    run 2 routes "$samples/sneaker.png" --block 5.0 -o b.png
    has "$err" "there is no such block"
    run 2 routes "$samples/sneaker.png" --block all -o b.png
    run 2 routes "$samples/sneaker.png" -o b.gif
    run 2 routes "$samples/sneaker.png"
    run 2 routes -o b.png
    run 1 routes "$samples/sneaker.png" -o nowhere/b.png
    absent b.png
}

# Timed where it happens, so that what else the machine does is in both: 0.2 % where the tests run alone and where
# they do not. Beyond that, the pairs must not prove that runs with counting take a tenth longer.
counting_costs_little() {
    run 0 bench --head-load --iters 3 --format json
    is_below 0 "$(get head_load_ms)" || fail "head_load_ms is $(get head_load_ms)"
    if [ "$images" = 10000 ]; then # the sanitizers watch the counting, but not the program's kernels
        is_below "$(get head_load_percent)" 1 || fail "head_load_percent is $(get head_load_percent)"
    fi
    is_below "$(get head_load_slowdown low)" 1.1 || fail "head_load_slowdown is at least $(get head_load_slowdown low)"
    run 0 bench --head-load --iters 1
    has "$out" "head load "
    run 0 bench --iters 1 --format json
    equal "$(get head_load_ms)" missing
}

case $group in
count)
    counts_are_the_published_ones
    any_batch_threads_shards_and_ranks_give_the_same_bits
    a_killed_count_goes_on
    pictures_without_a_class_count_as_what_they_are_taken_for
    a_failed_picture_is_left_out
    the_top_k_of_the_run_is_counted
    ;;
ablate)
    an_ablation_says_what_evaluations_without_each_head_say
    an_ablation_goes_on_to_the_same_result
    certainty_is_the_same_however_it_is_run
    ;;
mpi)
    ranks_give_the_same_bits
    ;;
files)
    every_command_below_explains_itself
    exported_rows_add_up_in_every_class_and_block
    csv_and_json_say_the_same
    what_is_no_head_load_is_refused_with_the_reason
    files_of_older_versions_say_what_they_said
    ;;
figures)
    figures_are_of_the_kind_that_their_name_says
    classes_without_pictures_are_left_out
    the_page_shows_what_is_drawn
    fonts_are_named_and_missed
    a_class_has_the_same_names_everywhere
    relations_of_few_are_said_once
    statistics_are_printed_for_people_and_programs
    the_page_needs_nothing_but_itself
    importance_and_pictures_are_of_the_same_model
    pictures_that_changed_are_noticed
    other_data_and_parts_are_refused
    figures_say_which_heads_were_dropped
    the_figure_of_the_paper_is_drawn_as_the_page_says
    ;;
routes)
    routes_are_those_that_are_counted
    routes_are_drawn
    counting_costs_little
    ;;
*)
    fail "no group $group"
    ;;
esac
[ $failures = 0 ]
