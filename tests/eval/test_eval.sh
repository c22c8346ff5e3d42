#!/bin/bash
# Evaluations as users run them: test_eval.sh MOHVIT TOOLS GOLDEN GROUP (ctest runs each group of tests below).
# TOOLS is the folder of make_pictures, test_cli_json and libfault.so. SCALE (default 1) divides the amount
# of work where it would take minutes, as under the sanitizers.
set -u
mohvit=$1 tools=$2 json=$2/test_cli_json golden=$3 group=$4 scale=${SCALE:-1}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testing.sh
. "$(dirname "${BASH_SOURCE[0]}")/../testing.sh"
export TMPDIR=$work
idx=/usr/share/datasets/fashion-mnist
images=$idx/t10k-images-idx3-ubyte.gz labels=$idx/t10k-labels-idx1-ubyte.gz
data=idx:$images,$labels
# In the order of the built-in model's classes; sorted by name they come in another.
folders=(t_shirt_top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag "Ankle boot")

# What of a JSON result does not depend on the time it took.
result() { sed 's/"images_per_s":[^,]*,"decode_ms":[^,]*,"network_ms":[^,]*,//; s/"threads":[0-9]*,//'; }

vectors() { python3 "$here/vectors.py" "$@" || fail "vectors.py $*"; }
# Of two files of features or logits, whose provenance may tell of other threads.
same_rows() {
    if cmp -s "$1" "$2"; then return; fi
    vectors rows "$1" >rows-1
    vectors rows "$2" >rows-2
    same rows-1 rows-2
}

# The result and files of an uninterrupted run over $1 images, to compare with.
reference() {
    run 0 eval "$data" --limit "$1" --format json --predictions whole.csv --per-class whole-classes.csv \
        --features whole.features
    result <out.txt >whole.json
}

# ---- Sources ---------------------------------------------------------------------------------------

all_sources_give_the_same_score() {
    local count=$((10000 / scale))
    run 0 eval "$data" --limit $count --format json --predictions idx.csv
    local top1 loss
    top1=$(get top1) loss=$(get loss)
    equal "$(get images)" $count
    if [ "$scale" = 1 ]; then within "$top1" 94.06 0.03; fi

    # A quarter of them from a folder.
    count=$((count / 4))
    run 0 eval "$data" --limit $count --format json
    top1=$(get top1) loss=$(get loss)
    "$tools/make_pictures" unpack $images $labels 0 $count png folder "${folders[@]}" || fail make_pictures
    run 0 eval folder --format json
    equal "$(get top1) $(get loss) $(get images)" "$top1 $loss $count"

    # The same from a tar, in another order; folders are known by name.
    tar -cf folder.tar folder
    run 0 eval folder.tar --format json
    equal "$(get top1) $(get loss) $(get images)" "$top1 $loss $count"

    # And from a list, with the classes by number.
    (cd folder && find . -name '*.png' | sed 's,^\./,,') >names
    sed 's,^,folder/,' names >list
    awk -F/ 'BEGIN { n = split("t_shirt_top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle_boot", c, " ")
                     for (i = 1; i <= n; i++) k[c[i]] = i - 1 }
             { name = $1; gsub(" ", "_", name); print "folder/" $0 "\t" k[name] }' names >truth
    run 0 eval list --truth truth --format json
    equal "$(get top1) $(get loss) $(get images)" "$top1 $loss $count"

    # JPEG changes pixels, and a few predictions.
    "$tools/make_pictures" unpack $images $labels 0 $count jpeg jpegs "${folders[@]}" || fail make_pictures
    tar -C jpegs -cf jpegs.tar .
    run 0 eval jpegs.tar --format json
    equal "$(get images)" $count
    within "$(get top1)" "$top1" "$(awk "BEGIN { print 300.1 / $count }")" # three pictures
}

# evaluated ARGUMENT …: expects a run without failures; $classes are those of the pictures in their order.
evaluated() {
    rm -f p.csv
    run 0 eval --quiet --predictions p.csv "$@"
    classes=$(sed 1d p.csv | cut -d , -f 2 | tr '\n' ' ')
}

options_say_where_classes_come_from() {
    "$tools/make_pictures" unpack $images $labels 0 10 png flat || fail make_pictures
    local i
    for i in {0..9}; do
        mkdir -p "order/folder$i" "number/0$i" && ln -s "../../flat/0000$i.png" "order/folder$i/x.png" &&
            ln -s "../../flat/0000$i.png" "number/0$i/x.png"
    done
    run 1 eval order
    has "$err" "--classes-by-order"
    evaluated --classes-by-order order
    equal "$classes" "0 1 2 3 4 5 6 7 8 9 "
    run 1 eval number
    has "$err" "--classes-by-number"
    rm -r number/0[0-6]
    evaluated --classes-by-number number
    equal "$classes" "7 8 9 "
    seq 9 -1 0 >in-order
    evaluated --truth-in-order in-order flat
    echo 00003 7 | "$mohvit" eval --truth - flat 2>err.txt && fail "a picture without a class"
    has "$(cat err.txt)" "flat/00000.png: has no class: standard input does not name it"
    run 1 eval --classes-from-names - # of nothing
    has "$err" "standard input: no pictures"
    equal "$classes" "9 8 7 6 5 4 3 2 1 0 "
    seq 9 -1 1 | "$mohvit" eval --quiet --truth-in-order - flat 2>err.txt && fail "nine classes for ten pictures"
    has "$(cat err.txt)" "standard input: 9 classes; expected 10"
    { echo file_name,label && paste -d , <(ls flat) in-order; } >truth.csv
    evaluated --truth truth.csv flat
    equal "$classes" "9 8 7 6 5 4 3 2 1 0 "
    printf 'flat/%s\0' 00003.png 00001.png >list
    evaluated -0 --truth truth.csv list
    equal "$classes" "6 8 "
    rm p.csv
    tr '\0' '\n' <list | "$mohvit" eval --quiet --truth truth.csv --predictions p.csv - >/dev/null 2>err.txt || fail "$(cat err.txt)"
    equal "$(sed 1d p.csv | cut -d , -f 1,2 | tr '\n' ' ')" "flat/00003.png,6 flat/00001.png,8 "
    "$mohvit" headload count -0 -o load --quiet --truth truth.csv - <list >/dev/null 2>err.txt || fail "$(cat err.txt)"
    printf '1\n8\n' | "$mohvit" eval --quiet --truth truth.csv --subset - --predictions p.csv flat >/dev/null 2>err.txt ||
        fail "$(cat err.txt)"
    equal "$(sed 1d p.csv | cut -d , -f 2 | tr '\n' ' ')" "8 1 "
    mkdir wds && for i in 0 1; do
        cp flat/0000$i.png wds/$i.left.png && cp flat/0000$i.png wds/$i.right.png && echo $i >wds/$i.cls
    done
    tar -C wds --sort=name -cf wds.tar .
    run 1 eval wds.tar
    has "$err" "--image-ext"
    evaluated --image-ext left.png wds.tar
    equal "$classes" "0 1 "
    run 1 eval --classes-from-names flat
    has "$err" "flat/00000.png: has no WordNet id"
}

pictures_that_imagefolder_leaves_out_are_left_out() {
    "$tools/make_pictures" unpack $images $labels 0 20 png few "${folders[@]}" || fail make_pictures
    run 0 eval few --format json
    local score
    score="$(get top1) $(get loss) $(get images)"
    printf 'GIF89a' >few/Bag/a.gif
    printf 'x' >few/Bag/a.heic
    run 0 eval few --format json
    equal "$(get top1) $(get loss) $(get images)" "$score"
    has "$err" "left out 1 GIF file"
    has "$err" "left out 1 HEIC file"
    printf 'BM' >few/Bag/a.bmp
    run 1 eval few --format json
    has "$err" "few/Bag/a.bmp: BMP is not supported"
    has "$err" "--skip-other-formats"
    run 0 eval few --skip-other-formats --format json
    equal "$(get top1) $(get loss) $(get images)" "$score"
    # By content, where Pillow fails.
    cp "$golden/images/cat_240.heic" few/Bag/a.jpg
    run 1 eval few --skip-other-formats --format json
    equal "$(get top1) $(get loss) $(get images) $(get failed)" "$score 1"
    "$mohvit" --version | grep -q libheif || return
    has "$err" "few/Bag/a.jpg: is called a JPEG, but is HEIC"
    cp few/Bag/a.jpg asked.heic
    run 0 eval --truth <(echo asked Bag) --format json <(echo asked.heic)
    equal "$(get images)" 1
}

the_official_checkpoint_scores_as_published() {
    [ -n "${OFFICIAL_MODEL:-}" ] && [ "$scale" = 1 ] || return
    tr -d '\n' <"${OFFICIAL_MODEL%.pth}.json" >out.txt && echo >>out.txt
    get config >config.json
    get preprocess >preprocess.json
    local published
    published=$(get test top1)
    run 0 eval --weights "$OFFICIAL_MODEL" --config config.json --preprocess preprocess.json "$data" --format json
    equal "$(get images)" 10000
    within "$(get top1)" "$published" 0.05
}

predictions_and_classes_are_tables() {
    reference 200
    equal "$(head -1 whole.csv)" path,class,top1,prob1,top2,prob2,top3,prob3,top4,prob4,top5,prob5,loss
    equal "$(wc -l <whole.csv)" 201
    equal "$(sed -n 2p whole.csv | cut -d, -f1-3)" "$images#0,9,9"
    # Accuracy counted from the table is the accuracy that is printed.
    equal "$(awk -F, 'NR > 1 { n += $2 == $3 } END { print 100 * n / (NR - 1) }' whole.csv)" "$(get top1)"
    within "$(awk -F, 'NR > 1 { s += $13 } END { print s / (NR - 1) }' whole.csv)" "$(get loss)" 1e-5
    equal "$(head -1 whole-classes.csv)" \
        class,id,label,images,top1,top5,confused_class,confused_label,confused_images
    equal "$(awk -F, 'NR > 1 { n += $4 } END { print n }' whole-classes.csv)" 200
    run 0 eval "$data" --limit 200
    has "$out" "top-1"
    has "$out" " images/s"
    lacks "$out" thread
    has "$out" "images         200"
    run 0 eval "$data" --limit 200 --batch 16 --threads 3 --format json --predictions threads.csv
    same threads.csv whole.csv
    equal "$(result <out.txt)" "$(cat whole.json)"
}

a_subset_and_real_labels_change_what_is_right() {
    printf 'Sandal\nSneaker\n' >subset
    run 0 eval "$data" --limit 500 --subset subset --format json --predictions subset.csv
    has "$err" "classes outside the subset are left out"
    equal "$(awk -F, 'NR > 1 && $3 != 5 && $3 != 7' subset.csv)" ""
    run 0 eval "$data" --sample 100 --seed 3 --format json
    equal "$(get images)" 100
    local first
    first=$(get top1)
    run 0 eval "$data" --sample 100 --seed 3 --format json
    equal "$(get top1)" "$first"
    "$tools/make_pictures" unpack $images $labels 0 3 png real || fail make_pictures
    for i in 0 1 2; do mv real/0000$i.png real/ILSVRC2012_val_0000000$((i + 1)).png; done
    echo '[[9, 1], [3], []]' >real.json # the first two are an ankle boot and a pullover
    run 0 eval real --real-labels real.json --format json
    equal "$(get images) $(get top1)" "2 50.0"
    printf '\357\273\277[[9, 1],\r\n[3], []]' | "$mohvit" eval --quiet --real-labels - --format json real >out.txt || fail "a pipe"
    equal "$(get images) $(get top1)" "2 50.0"
    echo '[[], [3], [9]]' >last.json # whose pictures keep their places in all of the data
    run 0 eval real --real-labels last.json --features last.features
    equal "$(vectors rows last.features | cut -f1 | tr '\n' ' ')" "1 2 "
    run 2 eval - --real-labels -
    has "$err" "standard input can be read only once"
    run 0 eval "$data" --limit 100 --crop-pct 0.5 --format json --predictions crop.csv
    run 0 eval "$data" --limit 100 --size 96 --format json
    run 0 eval "$data" --limit 10 --crop-pct 0.9 --state crop.state
    run 1 eval "$data" --limit 10 --crop-pct 0.7 --state crop.state
    has "$err" "preprocess.crop_pct is 0.9, expected 0.7"
    run 1 eval "$data" --limit 100 --size 96 --state size.state --predictions x.csv --truth nowhere
}

several_top_ks_are_scored_in_one_pass() {
    local count=$((scale > 1 ? 70 : 300))
    run 0 eval "$data" --limit $count --routed-heads 1,50%,100% --format json --predictions curve.csv
    equal "$(wc -l <curve.csv)" $((3 * count + 1))
    equal "$(get curve 0 routed_heads) $(get curve 1 routed_heads) $(get curve 2 routed_heads)" "1 50% 100%"
    equal "$(get top1)" "$(get curve 0 top1)"
    local value i=0 top1 loss active gmacs routed
    for value in 1 50% 100%; do
        top1[i]=$(get curve $i top1) loss[i]=$(get curve $i loss) active[i]=$(get curve $i active_heads_percent)
        gmacs[i]=$(get curve $i gmacs) routed[i]=$(get curve $i gmacs_routed)
        i=$((i + 1))
    done
    equal "${active[2]}" 100.0
    equal "${gmacs[0]} ${routed[2]}" "${gmacs[2]} ${gmacs[2]}" # with all heads, whatever a token picks
    run 0 bench --iters 1 --routed-heads 1 --format json
    within "$(get gflop_all_heads)" "$(awk "BEGIN { print 2 * ${gmacs[0]} }")" 1e-6
    within "$(get gflop_per_image)" "$(awk "BEGIN { print 2 * ${routed[0]} }")" 1e-6
    run 0 info --routed-heads 1 --format json
    within "$(get gmacs)" "${gmacs[0]}" 1e-9
    within "$(get gmacs_routed)" "${routed[0]}" 1e-9
    i=0
    for value in 1 50% 100%; do
        run 0 eval "$data" --limit $count --routed-heads $value --format json --predictions one.csv
        equal "$(get top1) $(get loss)" "${top1[i]} ${loss[i]}"
        awk -F, -v v=$value 'NR == 1 || $3 == v' curve.csv >of-curve.csv
        same one.csv of-curve.csv
        i=$((i + 1))
    done
    run 0 eval "$data" --limit $count --routed-heads 1,50%,100% --state state --quiet
    has "$out" "routed heads"
    has "$out" "images/s/thread"
    run 1 eval "$data" --limit $count --routed-heads 1,50% --state state
    has "$err" 'routed_heads is ["1","50%","100%"], expected ["1","50%"]'
    for value in 0 x 101% 1, -1 1.5; do run 2 eval "$data" --routed-heads $value; done
}

# Of all who compute, and of all who look at what they computed.
dropped_heads_are_part_of_an_evaluation() {
    run 0 eval "$data" --limit 300 --format json --logits whole.logits
    local whole
    whole="$(get top1) $(get loss)"
    run 0 eval "$data" --limit 300 --format json --drop-heads "4.0:r2,r8 3.1:s1" --logits a.logits --state a.state
    result <out.txt >a.json
    [ "$(get top1) $(get loss)" != "$whole" ] || fail "two heads of the last block matter to no picture"
    equal "$(get provenance dropped_heads)" "3.1:s1 4.0:r2,r8"
    equal "$(get provenance renormalise)" false
    local how
    for how in "--threads 1" "--threads 3 --batch 7"; do
        # shellcheck disable=SC2086
        run 0 eval "$data" --limit 300 --format json --drop-heads "3.1:s1 4.0:r8,r2" --logits b.logits $how
        equal "$(result <out.txt)" "$(cat a.json)"
        same_rows a.logits b.logits
    done
    run 0 eval "$data" --limit 300 --format json --drop-heads "4.0:r8 3.1:s1 4.0:r2" --logits b.logits --state a.state --allow-mixed
    equal "$(result <out.txt)" "$(cat a.json)"
    # A state is of its dropped heads alone.
    run 1 eval "$data" --limit 300 --logits b.logits --state a.state
    has "$err" "dropped_heads is \"3.1:s1 4.0:r2,r8\", expected absent"
    run 1 eval "$data" --limit 300 --logits b.logits --state a.state --drop-heads "4.0:r2,r8"
    has "$err" "dropped_heads is \"3.1:s1 4.0:r2,r8\", expected \"4.0:r2,r8\""
    run 1 eval "$data" --limit 300 --logits b.logits --state a.state --drop-heads "4.0:r2,r8 3.1:s1" --renormalise
    has "$err" "renormalise is false, expected true"
    # Shards of others are not merged.
    run 0 eval "$data" --limit 300 --quiet --drop-heads "4.0:r2,r8 3.1:s1" --shard 1/2 --state 1.state
    run 0 eval "$data" --limit 300 --quiet --drop-heads "4.0:r2,r8 3.1:s1" --shard 2/2 --state 2.state
    run 0 merge 1.state 2.state --format json
    equal "$(result <out.txt)" "$(cat a.json)"
    run 0 eval "$data" --limit 300 --quiet --shard 2/2 --state other.state
    run 1 merge 1.state other.state
    has "$err" "dropped_heads"
    # The load stays; the gates are those that were used.
    run 0 headload count "$data" --limit 64 -o whole.load --quiet
    run 0 headload count "$data" --limit 64 -o a.load --quiet --drop-heads 4.0:r2
    run 1 merge whole.load a.load --head-load merged.load
    has "$err" "dropped_heads"
    run 0 headload export --csv whole.load
    cut -d , -f 1-11 out.txt >whole.csv
    run 0 headload export --csv a.load
    cut -d , -f 1-11 out.txt | cmp - whole.csv || fail "another load"
    equal "$(awk -F, '$4 == 4 && $6 == 3 && $8 { print $12 }' out.txt | sort -u)" 0
    # Every command that runs a model, and mistakes.
    run 0 classify "$golden/../../tools/samples/sneaker.png" --format json --drop-heads routed --renormalise --provenance
    equal "$(get provenance dropped_heads | wc -w) $(get provenance renormalise)" "6 true"
    run 3 eval "$data" --limit 64 --drop-heads 4.0:r15
    has "$err" "heads to drop: \"4.0:r15\": there is no r15; block 4.0 has s1 to s2 and r1 to r14"
    run 2 eval "$data" --limit 64 --drop-heads 4.0:3
    has "$err" "--drop-heads: \"4.0:3\": \"3\" is no head; heads are written s1, s2"
    for command in "eval $data" "classify x.png" "routes x.png -o y.png" bench; do
        # shellcheck disable=SC2086
        run 2 $command --renormalise
        has "$err" "--renormalise belongs to --drop-heads"
    done
}

features_and_logits_are_rows_of_the_pictures_that_were_scored() {
    local kind threads
    "$tools/make_pictures" unpack $images $labels 0 150 png folder "${folders[@]}" || fail make_pictures
    find folder -name '*.png' | sort | awk 'NR == 1 || NR == 64 || NR == 150' | tr '\n' '\0' | xargs -0 truncate -s 50
    for threads in 1 3; do
        run 1 eval folder --features f$threads --logits l$threads --predictions p.csv --threads $threads \
            --batch $((threads * threads)) --format json
        equal "$(get images)" 147
        vectors rows f$threads >features$threads
        vectors rows l$threads >logits$threads
        equal "$(vectors provenance f$threads)" "$(get provenance)"
    done
    same features1 features3
    same logits1 logits3
    awk -F, 'NR > 1 && $3 != "" { print NR - 2 "\t" $2 "\t" $1 }' p.csv >pictures
    for kind in features1 logits1; do
        cut -f1-3 $kind >named
        same named pictures
    done
    vectors scores l1 p.csv
    # What was chosen keeps its place in all of the data.
    printf 'Sandal\nSneaker\n' >subset
    for kind in '--sample 40 --seed 3' '--subset subset' '--subset subset --sample 9 --seed 5' '--limit 40'; do
        # shellcheck disable=SC2086
        "$mohvit" eval folder --features chosen --logits chosen-logits --quiet $kind >out.txt 2>err.txt
        vectors rows chosen | cut -f1-3 >named
        [ -s named ] && [ -z "$(sort named pictures pictures | uniq -u)" ] || fail "$kind: $(cat named)"
        equal "$(vectors rows chosen-logits | cut -f1-3)" "$(cat named)"
    done
    # Through the code of another command.
    run 1 classify folder --features c --quiet --threads 2 --batch 4
    vectors rows c >classified
    equal "$(cut -f2 classified | sort -u)" -1
    cut -f3- classified | sort >by-classify
    cut -f3- features1 | sort >by-eval
    same by-classify by-eval
    equal "$(cut -f3 classified)" "$(find folder -name '*.png' -size +50c | sort)"
    equal "$(sed -n '1s/\t.*//p; $s/\t.*//p' classified | tr '\n' ' ')" "1 148 "
    # Nor does it replace a picture that a list names.
    sed -n '$s/.*\t//p' pictures | tr '\n' '\0' | xargs -0 cp -t . && mv 0*.png picture && cp picture kept
    echo picture >list
    run 2 classify --from-file list --features ./picture --quiet
    has "$err" "--features ./picture: would replace picture, which is the same file"
    same picture kept
    TMPDIR=/nowhere run 1 classify picture --features c
    has "$err" "--features c: not written: temporary file in /nowhere (TMPDIR): No such file"
    TMPDIR=/nowhere run 1 eval folder --quiet
    has "$err" "temporary file in /nowhere (TMPDIR): No such file"
    run 2 eval folder --routed-heads 1,2 --features f
    has "$err" "features come from one model"
    # Of a state that lacks them, and of one whose later records would.
    run 1 eval folder --state plain --quiet
    run 1 eval folder --state plain --quiet --logits l
    has "$err" "plain: was begun without --logits"
    run 1 eval folder --state full --quiet --logits l --features f
    run 1 eval folder --state full --quiet --logits l
    has "$err" "full: was begun with features, which its records would lack"
    run 1 merge plain --features f
    has "$err" "plain: was made without --features"
    run 1 merge full --features merged
    same_rows merged f1
    equal "$(vectors provenance merged)" "$(vectors provenance f)"
    # A whole data set that fails has no rows.
    find folder -name '*.png' | tr '\n' '\0' | xargs -0 truncate -s 50
    run 1 eval folder --features none
    equal "$(vectors rows none)" ""
}

# listed N PICTURE ...: the messages name N of these, each once.
listed() {
    sed -n 's/^mohvit: \(folder\/[^:]*\): .*/\1/p' err.txt >listed
    equal "$(wc -l <listed) $(sort -u listed | wc -l)" "$1 $1"
    equal "$(printf '%s\n' "${@:2}" | grep -cxFf - listed)" "$1"
}

# Five of a hundred, each broken in another way.
pictures_that_fail_are_listed_and_left_out_of_the_percentages() {
    "$tools/make_pictures" unpack $images $labels 0 100 png folder "${folders[@]}" || fail make_pictures
    run 0 eval folder --format json --predictions good.csv
    equal "$(get failed) $(get images)" "0 100"
    local n=5 broken
    mapfile -t broken < <(find folder -name '*.png' | sort | awk 'NR % 20 == 7')
    equal "${#broken[@]}" $n
    printf 'not a picture' >"${broken[0]}"
    : >"${broken[1]}"
    head -c 100 "${broken[2]}" >x && mv x "${broken[2]}"
    printf 'GIF89a' | dd of="${broken[3]}" conv=notrunc status=none
    printf '\377\377' | dd of="${broken[4]}" bs=1 seek=16 conv=notrunc status=none # a width of 4 thousand million
    run 1 eval folder --format json --predictions bad.csv --state bad.state
    equal "$(get failed) $(get images)" "5 95"
    equal "$(grep -c '^mohvit: folder/.*png: ' err.txt)" $n
    has "$err" "5 of 100 images failed"
    # All others are as they were, and the percentages are theirs.
    equal "$(wc -l <bad.csv)" 101
    equal "$(grep -cvxFf good.csv bad.csv)" $n
    printf '%s\n' "${broken[@]}" | grep -vFf - good.csv >rest.csv
    equal "$(wc -l <rest.csv)" 96
    within "$(get top1)" "$(awk -F, 'NR > 1 { n += $2 == $3 } END { print 100 * n / (NR - 1) }' rest.csv)" 1e-4
    within "$(get top5)" \
        "$(awk -F, 'NR > 1 { n += $2 == $3 || $2 == $5 || $2 == $7 || $2 == $9 || $2 == $11 }
                    END { print 100 * n / (NR - 1) }' rest.csv)" 1e-4
    within "$(get loss)" "$(awk -F, 'NR > 1 { s += $13 } END { print s / (NR - 1) }' rest.csv)" 1e-5
    run 1 eval folder --format json --predictions again.csv --state bad.state
    equal "$(get failed)" $n
    equal "$(grep -c '^mohvit: folder/.*png: ' err.txt)" $n
    same again.csv bad.csv
    run 1 eval folder --max-errors $((n - 1)) --format json
    has "$err" "more than --max-errors $((n - 1))"
    equal "$(get complete)" false
    run 1 eval folder --max-errors $n --format json
    equal "$(get complete)" true
    # Of a chunk that was not finished there is no record, but the reasons and their number.
    run 1 eval folder --max-errors 0 --threads 1
    has "$out" "images           0 of 100"
    has "$out" "failed           1"
    listed 1 "${broken[@]}"
    run 1 eval folder --max-errors 2 --threads 1 --format json
    equal "$(get failed)" 3
    listed 3 "${broken[@]}"
    run 1 headload count folder --max-errors 3 --threads 1 -o never
    listed 4 "${broken[@]}"
    absent never
}

# Half of the state is cut off, so that the second run has chunks to pass over.
a_run_that_goes_on_over_threads_comes_to_the_same() {
    local threads what=(eval "$data" --limit 300 --format json --log-every 1)
    run 0 "${what[@]}" --threads 1 --predictions whole.csv --per-class whole-classes.csv --head-load whole.load \
        --features whole.features
    result <out.txt >whole.json
    run 0 headload export --csv whole.load # its provenance has the threads
    mv out.txt whole-load.csv
    for threads in 2 4; do
        local so=("${what[@]}" --threads "$threads" --batch 9 --state state --predictions state.csv --per-class classes.csv
            --head-load load --features features)
        run 0 "${so[@]}"
        truncate -s $(($(stat -c %s state) / 2)) state
        run 0 "${so[@]}"
        has "$err" "not a whole record"
        has "$err" "of 300 images are done already"
        equal "$(result <out.txt)" "$(cat whole.json)"
        same state.csv whole.csv
        same classes.csv whole-classes.csv
        run 0 headload export --csv load
        same out.txt whole-load.csv
        same_rows features whole.features
        rm state state.csv classes.csv load features
    done
}

# Nothing but overhead: broken pictures take no time, so that threads ask for chunks while others add records.
chunks_are_handed_out_while_records_come() {
    local count=6400 what=(eval list --truth truth --threads 4 --batch 8 --state state --head-load load --quiet)
    printf 'no picture' >x.png
    echo x 0 >truth
    yes x.png | head -$count >list
    run 1 "${what[@]}"
    has "$err" "$count of $count images failed"
    cp state whole
    truncate -s $(($(stat -c %s state) / 2)) state
    run 1 "${what[@]}"
    has "$err" "$count of $count images failed"
    equal "$(stat -c %s state)" "$(stat -c %s whole)"
}

mistakes_are_explained() {
    run 2 eval
    run 2 eval x --shard 1/4
    has "$err" "--shard needs --state"
    for shard in 0/4 5/4 1 a/b 1/4x -1/4 -1/-1 1/-1 +1/4 1/+4 " 1/4" "1/ 4" 1/4/ /4 1/; do
        run 2 eval x --shard "$shard" --state s
        has "$err" "expected I/N"
    done
    run 2 eval x --limit 1 --sample 1
    run 2 eval x --seed 1
    run 2 eval x --truth a --real-labels b
    run 2 eval x --truth a --classes-by-order
    has "$err" "expected one of --truth, --truth-in-order"
    run 2 eval x --classes-by-number --classes-from-names
    run 2 eval x --truth-in-order a --truth b
    run 2 eval - --truth -
    has "$err" "standard input can be read only once"
    run 2 eval x --subset - --labels -
    run 2 eval x --crop-pct 0
    run 2 merge
    run 3 eval "$data" --weights nowhere.pth
    run 1 eval nowhere
    run 1 merge nowhere
    printf 'not a state' >not.state
    run 1 eval "$data" --limit 10 --state not.state
    has "$err" "not the state of an evaluation"
    equal "$(cat not.state)" "not a state"
    run 1 merge not.state
    mkdir class; printf x >class/a.png
    run 1 eval class
    has "$err" "class/a.png: has no class"
    head -c 5000 /dev/urandom >r.png
    "$tools/make_pictures" unpack $images $labels 0 20 png folder "${folders[@]}" || fail make_pictures
    tar -cf folder.tar folder
    head -c 9000 folder.tar >cut.tar
    run 1 eval cut.tar
    has "$err" "cut.tar: "
    run 0 eval "$data" --limit 10 --predictions x.csv --state state --quiet
    run 1 merge state --per-class y.csv --predictions nowhere/x.csv
    has "$err" "nowhere/x.csv"
    equal "$out" ""
    [ ! -e y.csv ] || fail "has merged"
}

an_output_that_cannot_be_written_is_known_before_the_run() {
    local option
    for option in --predictions --per-class --head-load; do
        run 1 eval "$data" --limit 10 $option nowhere/x --state state
        has "$err" "nowhere/x"
        equal "$out" ""
        [ ! -e state ] || fail "$option: has run"
    done
}

an_output_never_replaces_the_state_or_another_output() {
    local option
    for option in --predictions --per-class --head-load; do
        run 2 eval "$data" --limit 10 --state new $option ./new
        has "$err" "$option ./new: would replace --state"
    done
    [ ! -e new ] || fail "has run"
    run 0 eval "$data" --limit 10 --state state --predictions p.csv --head-load l.safetensors --quiet
    cp state before
    ln state other-name
    for option in --predictions --per-class --head-load; do
        run 2 eval "$data" --limit 10 --state state $option state
        run 2 eval "$data" --limit 10 --state state $option other-name
        run 2 merge state $option state
        has "$err" "$option state: would replace state, which is the same file"
        run 2 merge state $option other-name
    done
    run 2 headload count "$data" --limit 10 --state state -o state
    run 2 headload count "$data" --limit 10 --state state -o other-name
    has "$err" "-o other-name: would replace --state"
    same state before
    cp l.safetensors before
    run 2 merge l.safetensors --head-load ./l.safetensors
    same l.safetensors before
    run 2 eval "$data" --limit 10 --per-class x --predictions x
    has "$err" "--per-class x: would replace --predictions"
    run 2 merge state --per-class x --predictions ./x
    run 2 eval "$data" --limit 10 --per-class x --head-load x
    [ ! -e x ] || fail "x was written"
}

an_output_never_replaces_an_input() {
    mkdir -p val/Bag
    cp "$(dirname "$golden")"/../tools/samples/bag.png val/Bag/a.png
    cp val/Bag/a.png before
    tar -cf val.tar val
    echo "val/Bag/a.png Bag" >truth
    echo val/Bag/a.png >list
    sha256sum val.tar truth list val/Bag/a.png >sums
    run 2 eval list --truth truth --predictions truth
    has "$err" "--predictions truth: would replace --truth, which is the same file"
    run 2 eval list --truth truth --per-class ./list
    run 2 eval val --subset truth --head-load truth
    run 2 headload count val.tar -o val.tar
    has "$err" "-o val.tar: would replace val.tar, which is the same file"
    run 2 preprocess val/Bag/a.png -o val/../val/Bag/a.png
    run 2 routes val/Bag/a.png -o val/Bag/a.png
    has "$err" "-o val/Bag/a.png: would replace val/Bag/a.png, which is the same file"
    run 0 headload count val.tar -o load --quiet
    cp load kept
    run 2 headload report load -o ./load
    same load kept
    sha256sum --quiet -c sums || fail "an input has changed"
}

# Peak memory once a tenth of the pictures is done, and at the end. The state tells how far the run is.
memory_does_not_grow_with_the_number_of_pictures() {
    local many=$((5000 / scale)) pid i size peak
    "$tools/make_pictures" photos 100 500 375 photos "${folders[@]}" || fail make_pictures
    find photos -name '*.jpg' | sort >hundred
    for ((i = 0; i < many; i += 100)); do cat hundred; done >list
    "$mohvit" eval list --quiet --state state --predictions many.csv >out.txt 2>err.txt &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        peak=$(sed -n 's/^VmHWM:[ \t]*\([0-9]*\) kB/\1/p' /proc/$pid/status 2>/dev/null)
        size=$(stat -c %s state 2>/dev/null)
        [ -n "$peak" ] && [ -n "$size" ] && echo "$size $peak"
        sleep 0.02
    done >samples
    wait $pid || fail "$(cat err.txt)"
    awk -v all="$(stat -c %s state)" -v scale="$scale" '
        $1 <= all / 10 { early = $2 }
        { late = $2 }
        END {
            printf "peak memory: %d KiB after a tenth, %d KiB at the end\n", early, late
            exit !(NR > 20 && early && (late <= early * 1.05 || scale > 1))
        }' samples || fail "memory grows"
}

# ---- States ----------------------------------------------------------------------------------------

# The command whose result $whole has; $1 more arguments.
scored=(eval "$data" --format json --state state --predictions state.csv --per-class classes.csv --features features --quiet)

# Goes on with the state, and compares with the reference.
resume() {
    run 0 "${scored[@]}" --limit "$1"
    equal "$(result <out.txt)" "$(cat whole.json)"
    same state.csv whole.csv
    same classes.csv whole-classes.csv
    same_rows features whole.features
    equal "$(find . -name '.*.tmp' | wc -l)" "$2"
    rm -f state state.csv classes.csv features .*.tmp
}

a_run_killed_at_any_moment_goes_on_to_the_same_result() {
    local count=$((2000 / scale)) kills=0 i
    reference $count
    for ((i = 0; i < 20; i++)); do
        "$mohvit" "${scored[@]}" --limit $count >/dev/null 2>&1 &
        local pid=$!
        sleep "0.$(printf %03d $((RANDOM % 900)))"
        kill -9 $pid 2>/dev/null && kills=$((kills + 1))
        wait $pid 2>/dev/null
        if [ $((i % 3)) = 2 ]; then resume $count "$(find . -name '.*.tmp' | wc -l)"; fi
    done
    resume $count "$(find . -name '.*.tmp' | wc -l)"
    [ $kills -ge 5 ] || fail "only $kills of 20 runs were killed before their end"
}

a_run_that_dies_at_any_write_goes_on_to_the_same_result() {
    local n i point step=$((scale > 1 ? 5 : 1)) # the sanitizers see every fifth
    reference 150
    with_fault count:0 "${scored[@]}" --limit 150 || fail "$(cat fault-err.txt)"
    n=$(cat count)
    [ "$n" -ge 21 ] || fail "only $n calls that change files"
    rm -f state state.csv classes.csv features
    for ((i = 1; i <= n; i += step)); do
        for point in before within after; do
            [ $point != after ] || [ $((i + step)) -gt "$n" ] || continue # files are as they are before the next
            with_fault $point:$i "${scored[@]}" --limit 150
            local status=$?
            [ $status = 137 ] || [ "$i" -gt $((n - 2)) ] || fail "$point:$i: status $status: $(cat fault-err.txt)"
            [ ! -e state.csv ] || same state.csv whole.csv # whole, or not there
            [ ! -e classes.csv ] || same classes.csv whole-classes.csv
            [ ! -e features ] || same_rows features whole.features
            resume 150 "$(find . -name '.*.tmp' | wc -l)"
        done
    done
    echo "died before and within $n calls, and after the last"
}

# The state with its last record before any table is begun, a table before it has its name, and the names.
all_is_on_the_disk_before_it_counts_as_done() {
    FAULT_ORDER=order with_fault count:0 "${scored[@]}" --limit 300 || fail "$(cat fault-err.txt)"
    local calls begun='ftruncate pwrite fdatasync fsync' table='(write )+fsync rename fsync '
    local vectors='write (pwrite ){5}fsync rename fsync '
    calls=$(tr '\n' ' ' <order)
    local all="^$begun (pwrite (fdatasync )?)+pwrite fdatasync ($table){2}$vectors$"
    [[ $calls =~ $all ]] || fail "$calls"
}

a_full_disk_is_an_error_and_never_a_truncated_file() {
    local n i step=$((scale > 1 ? 5 : 1))
    reference 150
    with_fault count:0 "${scored[@]}" --limit 150
    n=$(cat count)
    rm -f state state.csv classes.csv features
    for ((i = 1; i <= n; i += step)); do
        with_fault full:$i "${scored[@]}" --limit 150
        local status=$?
        if [ $status = 0 ] && [ "$(cat count)" -lt "$i" ]; then
            : # two records went out in one write this time: there were not as many calls
        elif [ $status = 0 ]; then
            fail "full:$i: status 0"
        elif ! grep -q 'No space left' fault-err.txt; then
            fail "full:$i: status $status: $(cat fault-err.txt)"
        fi
        [ ! -e state.csv ] || same state.csv whole.csv
        [ ! -e classes.csv ] || same classes.csv whole-classes.csv
        [ ! -e features ] || same_rows features whole.features
        resume 150 0
    done
}

# What this shell's children have taken of the processor, in milliseconds: unlike the clock it tells nothing of other processes.
used() { awk '{ printf "%d", 10 * ($16 + $17) }' /proc/$$/stat; }

a_finished_state_prints_its_result_at_once() {
    reference $((2000 / scale))
    local began scored_in printed_in
    began=$(used)
    run 0 "${scored[@]}" --limit $((2000 / scale))
    scored_in=$(($(used) - began)) began=$(used)
    run 0 "${scored[@]}" --limit $((2000 / scale))
    printed_in=$(($(used) - began))
    equal "$(result <out.txt)" "$(cat whole.json)"
    [ $((2 * printed_in)) -lt $scored_in ] || fail "took $printed_in ms of the processor, and scoring $scored_in ms"
}

where_nothing_is_run_no_rate_is_printed() {
    run 0 eval "$data" --limit 20 --state state --quiet
    has "$out" " images/s"
    local rest
    rest=$(grep -v '^rate ' out.txt)
    for command in "eval $data --limit 20 --state state --quiet" "merge state"; do
        # shellcheck disable=SC2086
        run 0 $command
        equal "$out" "$rest"
        # shellcheck disable=SC2086
        run 0 $command --format json
        equal "$(get images_per_s)" null
    done
}

a_second_process_on_a_state_is_refused() {
    "$mohvit" eval "$data" --state state --quiet >/dev/null 2>&1 &
    local pid=$!
    grown 0 $pid
    run 1 eval "$data" --state state
    has "$err" "state: is in use by another process"
    run 1 merge state
    has "$err" "state: is in use by another process"
    kill -9 $pid
    wait $pid 2>/dev/null
}

another_evaluation_is_refused_with_the_difference() {
    run 0 eval "$data" --limit 100 --state state --quiet
    cp state before
    run 1 eval "$data" --limit 101 --state state
    has "$err" "data.images is 100, expected 101"
    run 1 eval "$data" --sample 100 --state state
    has "$err" "data.fingerprint"
    gunzip -c $images >pixels && printf '\377' | dd of=pixels bs=1 seek=20 conv=notrunc status=none
    run 1 eval "idx:pixels,$labels" --limit 100 --state state
    has "$err" "data.fingerprint"
    run 1 eval "$data" --limit 100 --state state --size 96
    has "$err" "config.img_size is 64, expected 96"
    run 1 eval "$data" --limit 100 --state state --crop-pct 0.7
    has "$err" "preprocess.crop_pct"
    run 1 eval "$data" --limit 100 --state state --predictions x.csv
    has "$err" "begun without --predictions"
    run 0 convert "$golden/../../weights/moh_vit_nano.safetensors" other.safetensors
    run 1 eval "$data" --limit 100 --state state --weights other.safetensors
    has "$err" "weights_hash is \""
    run 1 eval "$data" --limit 100 --state state --backend openblas
    has "$err" "backend is \"native\", expected \"openblas\""
    run 0 eval "$data" --limit 100 --state state --backend openblas --allow-mixed
    has "$err" "was computed in another way"
    same state before
}

sigint_stops_cleanly_and_prints_what_stands() {
    local count=$((10000 / scale))
    set -m # else the shell has its background processes ignore SIGINT, as nohup would
    "$mohvit" eval "$data" --limit $count --state state --format json --log-every 1 >out.txt 2>err.txt &
    local pid=$!
    set +m
    grown 6000 $pid
    kill -INT $pid
    wait $pid
    equal $? 1
    has "$(cat err.txt)" "interrupted"
    has "$(cat err.txt)" "the same command goes on from here"
    equal "$(get complete)" false
    [ "$(get images)" -ge 64 ] || fail "$(cat out.txt)"
    has "$(cat err.txt)" "interrupted: $(get images) of $count images are kept; results are kept every 64 images"
    run 0 eval "$data" --limit $count --state state --format json --quiet
    equal "$(get complete) $(get images)" "true $count"
}

# A missing picture stays a failure of its own; those that a broken disk does not give are read another time.
a_disk_that_breaks_ends_the_run_and_no_picture_is_failed_for_it() {
    local n i unread=0
    "$tools/make_pictures" unpack $images $labels 0 150 png folder "${folders[@]}" || fail make_pictures
    find folder -name '*.png' | sort >list
    sed -i '20s/$/.gone/' list
    local command=(eval list --threads 2 --format json --predictions p.csv --quiet)
    run 1 "${command[@]}"
    equal "$(get failed) $(get images)" "1 149"
    result <out.txt >whole.json
    mv p.csv whole.csv
    with_fault reads:0 "${command[@]}" --state state
    n=$(cat count)
    for ((i = n; i > n / 3; i -= n / 9)); do
        rm -f state p.csv
        with_fault broken:$i "${command[@]}" --state state
        equal $? 1
        absent p.csv
        grep -q '^mohvit: folder/.*png: cannot be read: Input/output error' fault-err.txt || continue # it was the state
        unread=$((unread + 1))
        has "$(cat fault-err.txt)" "state: the same command goes on from here"
        run 1 "${command[@]}" --state state
        equal "$(result <out.txt)" "$(cat whole.json)"
        same p.csv whole.csv
        equal "$(grep -c '^mohvit: folder/.*gone: .*No such file' err.txt)" 1
    done
    [ $unread -gt 3 ] || fail "only $unread pictures could not be read"
}

# ---- Data that change ------------------------------------------------------------------------------

# $1 pictures in `folder`, which are also in folder.tar and `list`; what became of them all in whole.csv and whole.json.
make_data() {
    "$tools/make_pictures" unpack $images $labels 0 "$1" png folder "${folders[@]}" || fail make_pictures
    tar -cf folder.tar folder
    find folder -name '*.png' | sort >list
    run 0 eval list --format json --predictions whole.csv
    result <out.txt >whole.json
}

# scores STATUS DATA: begins or goes on with the state.
scores() {
    rm -f p.csv
    run "$1" eval "$2" --state state --format json --predictions p.csv
}
# The whole of it, from DATA that are as they should be.
goes_on() {
    scores 0 "$1"
    equal "$(result <out.txt)" "$(cat whole.json)"
    grep -v ^path p.csv | sort | sed 's,folder.tar/,,' >rows
    grep -v ^path whole.csv | sort >whole-rows
    same rows whole-rows
}

pictures_that_cannot_be_read_for_a_moment_are_read_another_time() {
    local source n i moments=0
    make_data 150
    for source in folder folder.tar list; do
        with_fault reads:0 eval $source --threads 1 --state state --predictions p.csv || fail "$source: $(cat fault-err.txt)"
        n=$(cat count)
        for i in $((n - 100)) $((n - 20)); do
            rm -f state
            with_fault moment:$i eval $source --threads 1 --state state --predictions p.csv
            equal $? 1
            grep -q '3 of 150 images failed' fault-err.txt || continue # else it was the state
            moments=$((moments + 1))
            equal "$(grep -c '^mohvit: .*png: cannot be read: Stale file handle' fault-err.txt)" 3
            has "$(cat fault-err.txt)" "3 of these could not be read; with --state the same command looks again"
            goes_on $source
            has "$err" " made again: pictures that failed have changed"
        done
        rm -f state
    done
    [ $moments -ge 4 ] || fail "only $moments moments"
}

data_that_are_gone_end_the_run_which_goes_on_when_they_are_back() {
    make_data $((scale > 1 ? 1000 : 1500))
    "$mohvit" eval folder --threads 1 --state state --predictions p.csv >out.txt 2>err.txt &
    local pid=$!
    grown 10000 $pid
    mv folder away
    wait $pid
    equal $? 1
    has "$(cat err.txt)" "8 pictures in a row cannot be opened or read"
    has "$(cat err.txt)" "No such file or directory"
    has "$(cat err.txt)" "state: the same command goes on from here"
    mv away folder
    goes_on folder
    equal "$(get failed)" 0
}

# As many as 7 are taken for missing; the files may be on the edge of two chunks.
eight_missing_pictures_in_a_row_are_too_many() {
    make_data 150
    mkdir away
    local missing
    for missing in 61,67 61,68 1,8 143,150 20,27; do
        sed -n "${missing}p" list >gone
        xargs -d '\n' -a gone mv -t away
        rm -f state
        scores 1 list
        if [ $missing = 61,67 ]; then
            has "$err" "7 of 150 images failed"
        else
            has "$err" "8 pictures in a row cannot be opened or read"
            equal "$out" ""
        fi
        while read -r name; do mv "away/${name##*/}" "$name"; done <gone
        goes_on list
    done
}

a_picture_that_is_mended_counts() {
    make_data 200
    local names one two three
    mapfile -t names <list
    one=${names[10]} two=${names[70]} three=${names[190]}
    mkdir good
    cp "$one" "$two" "$three" good
    truncate -s 100 "$one"
    : >"$two"
    rm "$three"
    scores 1 list
    has "$err" "3 of 200 images failed"
    cp state before
    scores 1 list
    has "$err" "200 of 200 images are done already, and the data have not changed (6"
    same state before # failures stay, and are no work
    cp "good/${one##*/}" "$one"
    scores 1 list
    has "$err" "136 of 200 images are done already, and the data have not changed (6"
    has "$err" "1 of its records is made again"
    has "$err" "2 of 200 images failed"
    printf 'damaged in another way' >"$two"
    scores 1 list
    has "$err" "1 of its records is made again"
    has "$err" "2 of 200 images failed"
    cp "good/${two##*/}" "$two"
    cp "good/${three##*/}" "$three"
    goes_on list
    has "$err" "2 of its records are made again"
    run 0 merge state --format json --predictions p.csv
    equal "$(result <out.txt)" "$(cat whole.json)"
    same p.csv whole.csv
}

# Each leaves one record more (the first makes the file in four calls), and what they come to has each chunk once.
damaged_pictures_cost_an_interrupted_run_nothing() {
    local interruptions=$((scale > 1 ? 5 : 50)) i
    make_data $((64 * interruptions + 10))
    awk 'NR % 20 == 7' list | while read -r name; do printf 'damaged' >"$name"; done
    run 1 eval list --state whole --format json --quiet
    result <out.txt >whole.json
    for ((i = 1; i <= interruptions; i++)); do
        with_fault after:$((i == 1 ? 5 : 1)) eval list --threads 2 --state state --quiet
        equal $? 137
    done
    run 1 eval list --state state --format json
    local all=$((64 * interruptions + 10)) finished
    finished=$(sed -n "s/.*: \([0-9]*\) of $all images are done already.*/\1/p" <<<"$err")
    # The last chunk has ten pictures, and may be done before one of 64.
    [ "$finished" = $((all - 10)) ] || [ "$finished" = $((all - 64)) ] || fail "\"$finished\" done: $err"
    equal "$(result <out.txt)" "$(cat whole.json)"
    equal "$(stat -c %s state)" "$(stat -c %s whole)"
}

# flip FILE: its middle byte, and nothing that tells of it.
flip() {
    touch -r "$1" time
    local at=$(($(stat -c %s "$1") / 2)) byte
    byte=$(dd if="$1" bs=1 skip=$at count=1 status=none | od -An -tu1)
    printf "\\$(printf %03o $((byte ^ 1)))" | dd of="$1" bs=1 seek=$at conv=notrunc status=none
    touch -r time "$1"
}

data_that_were_replaced_are_noticed() {
    local source name
    make_data 60 # all of which are read again
    name=$(sed -n 33p list)
    for source in folder folder.tar list; do
        rm -f state
        scores 0 $source
        cp state before
        goes_on $source
        has "$err" "60 of 60 images are done already, and the data have not changed (60 pictures were read again)"
        cp -p folder.tar folder.before
        cp -p "$name" picture.before
        flip "$name"
        [ $source = folder.tar ] && tar -C . -cf folder.tar folder && touch -r folder.before folder.tar
        scores 1 $source
        has "$err" "$name: has changed since state got its score"
        equal "$out" ""
        same state before
        cp -p picture.before "$name"
        cp -p folder.before folder.tar
        goes_on $source
    done
    mv "$name" away
    scores 1 list
    has "$err" "$name: cannot be opened: No such file or directory; its score is in state, which is left"
}

pictures_that_look_changed_are_all_read_again() {
    make_data 500
    scores 0 list
    sed -n 1,300p list | xargs -d '\n' touch
    goes_on list
    [[ $err =~ \((3[0-9][0-9])\ pictures\ were\ read ]] || fail "$err" # 300, and 64 of which some are among them
    local name
    name=$(sed -n 417p list)
    flip "$name"
    touch "$name"
    scores 1 list
    has "$err" "$name: has changed since state got its score"
}

hash_of() { run "$1" eval "${@:2}" --format json; get provenance data_hash; }

the_hash_of_the_data_is_that_of_pictures_and_classes() {
    make_data 150
    local hash i
    hash=$(hash_of 0 folder)
    [[ $hash =~ ^[0-9a-f]{32}$ ]] || fail "$hash"
    equal "$(hash_of 0 folder.tar --threads 3 --batch 5)" "$hash"
    awk -F/ '{ n[$2] = $2; print $0 "\t" $2 }' list | tac >backwards
    cut -f 1 backwards >list.backwards
    mkdir flat && i=0
    while read -r name; do i=$((i + 1)) && cp "$name" flat/$i.png; done <list
    awk -F/ '{ print NR ".png\t" $2 }' list >truth
    equal "$(hash_of 0 list.backwards)" "$hash"
    equal "$(hash_of 0 flat --truth truth)" "$hash"
    for i in 1 2 3; do run 0 eval folder --shard $i/3 --state s$i --quiet; done
    run 0 merge s1 s2 s3 --format json
    equal "$(get provenance data_hash)" "$hash"
    run 0 headload count folder --format json -o load
    equal "$(get provenance data_hash)" "$hash"
    sed 's/^1.png.*/1.png\tBag/; 2s/$//' truth >other
    cmp -s truth other && sed -i 's/^1.png.*/1.png\tCoat/' other
    [ "$(hash_of 0 flat --truth other)" != "$hash" ] || fail "another class"
    [ "$(hash_of 0 list --limit 149)" != "$hash" ] || fail "a picture less"
    [ "$(hash_of 0 "$data" --limit 150)" != "$hash" ] || fail "pixels are not a file"
    cp "flat/7.png" good
    printf damaged >flat/7.png
    local damaged
    damaged=$(hash_of 1 flat --truth truth)
    [ "$damaged" != "$hash" ] || fail "a damaged picture"
    rm flat/7.png && ln -s nowhere flat/7.png
    [ "$(hash_of 1 flat --truth truth)" != "$damaged" ] || fail "a missing picture"
    rm flat/7.png && cp good flat/7.png
    equal "$(hash_of 0 flat --truth truth)" "$hash"
}

# Through the program, at some places: test_journal looks at all. In what is left, chunks are missing or not.
a_state_that_is_damaged_is_refused_or_loses_its_end() {
    local size at how
    make_data 150
    run 0 eval list --state whole --format json --quiet
    size=$(stat -c %s whole)
    for ((at = 5; at < size; at += size / 9)); do
        for how in flip cut; do
            head -c $at whole >state
            if [ $how = flip ]; then
                cp whole state
                printf "\\$(printf %03o $((RANDOM % 256)))" | dd of=state bs=1 seek=$at conv=notrunc status=none
            fi
            cmp -s state whole && continue
            cp state before
            "$mohvit" merge state --format json >out.txt 2>err.txt && fail "$how at $at: merged: $(cat out.txt)"
            grep -q 'missing\|damaged\|not the state' err.txt || fail "$how at $at: $(cat err.txt)"
            same state before
            if "$mohvit" eval list --state state --format json >out.txt 2>err.txt; then
                equal "$(result <out.txt)" "$(cat whole.json)"
            else
                grep -q 'damaged\|not the state' err.txt || fail "$how at $at: $(cat err.txt)"
                same state before
            fi
        done
    done
}

# ---- Shards and ranks ------------------------------------------------------------------------------

shards_add_up_to_the_whole() {
    local count=$((2000 / scale)) i
    reference $count
    for i in 3 1 4 2; do
        run 0 eval "$data" --limit $count --shard $i/4 --state s$i --predictions p$i.csv --features f$i --format json --quiet
        equal "$(get shard)" $i/4
    done
    run 0 merge s1 s2 s3 s4 --format json --predictions merged.csv --per-class merged-classes.csv --features merged
    equal "$(result <out.txt | sed 's/"shard":"[^"]*",//')" "$(cat whole.json)"
    same merged.csv whole.csv
    same merged-classes.csv whole-classes.csv
    same_rows merged whole.features
    for i in 1 2 3 4; do vectors rows f$i; done >rows-of-shards
    vectors rows whole.features >rows
    same rows-of-shards rows
    equal "$(cat p1.csv p2.csv p3.csv p4.csv | grep -v ^path)" "$(grep -v ^path whole.csv)"
    run 0 merge s4 s2 s1 s3 --format json
    equal "$(get images_per_s)" null # nobody ran all of it in one go
    run 1 merge s1 s3 s4
    [[ $err =~ chunks?\ .*\ (is|are)\ missing ]] || fail "$err"
    [ "$scale" != 1 ] || has "$err" "chunks 8 to 15 (images 512 to 1023) are missing"
    equal "$out" ""
    run 1 merge s1 s2 s3 s4 s2
    has "$err" " in s2 and in s2"
    [ "$scale" != 1 ] || has "$err" "chunks 8 to 15 (images 512 to 1023) are in s2 and in s2"
    run 1 merge s2
    [ "$scale" != 1 ] || has "$err" "chunks 16 to 31 (images 1024 to 1999) are missing"
    run 0 eval "$data" --limit 128 --shard 1/2 --state half --quiet
    run 1 merge half
    has "$err" "chunk 1 (images 64 to 127) is missing"
    run 1 merge half half
    has "$err" "chunk 0 (images 0 to 63) is in half and in half"
    run 0 eval "$data" --limit 100 --state other --quiet
    run 1 merge s1 s2 s3 s4 other
    has "$err" "other: belongs to another evaluation: data"
    has "$err" "(compared with s1)"
    run 1 eval "$data" --limit $count --shard 2/4 --state s1
    has "$err" "shard is \"1/4\", expected \"2/4\""
    # More shards than chunks: some have nothing to do, which is fine.
    for i in 1 2 3; do run 0 eval "$data" --limit 100 --shard $i/3 --state few$i --quiet; done
    run 0 merge few1 few2 few3 --format json
    equal "$(get images)" 100
}

mpi() { timeout 300 mpirun --oversubscribe --mca btl_base_warn_component_unused 0 -n 4 "$mohvit" "$@"; }

# OpenMPI leaves memory behind.
ranks_add_up_to_the_whole() {
    command -v mpirun >/dev/null || { echo "no mpirun"; return; }
    export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
    local count=$((2000 / scale))
    reference $count
    mpi eval "$data" --limit $count --threads 1 --format json --predictions mpi.csv --per-class mpi-classes.csv \
        --features mpi.features >out.txt 2>err.txt || fail "$(cat err.txt)"
    equal "$(result <out.txt)" "$(result <whole.json)"
    same mpi.csv whole.csv
    same mpi-classes.csv whole-classes.csv
    same_rows mpi.features whole.features
    equal "$(grep -c 'built-in model' err.txt)" 1
}

a_full_disk_ends_a_run_over_ranks() {
    command -v mpirun >/dev/null || return
    reference 1000
    timeout 300 mpirun --oversubscribe -n 4 -x FAULT=full:6 -x "LD_PRELOAD=$tools/libfault.so" \
        -x ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0:detect_leaks=0 \
        "$mohvit" "${scored[@]}" --limit 1000 --threads 1 >out.txt 2>err.txt && fail "status 0"
    has "$(cat err.txt)" "state: cannot be written: No space left"
    resume 1000 0
}

# Of copies with the same names: a byte of a picture is another, or its file is longer, or the disk is broken.
a_rank_that_reads_other_pictures_says_so() {
    command -v mpirun >/dev/null || return
    cat >elsewhere <<'END'
#!/bin/bash
[ "$OMPI_COMM_WORLD_RANK" = 1 ] || exec "$@"
[ "$HOW" != broken ] || export FAULT=broken:1 "LD_PRELOAD=$FAULTS"
exec "${@/mine/other}"
END
    chmod +x elsewhere
    "$tools/make_pictures" unpack $images $labels 0 60 png mine "${folders[@]}" || fail make_pictures
    local name how
    name=$(cd mine && find . -name '*.png' | sort | sed -n '20s,^\./,,p')
    for how in same flipped longer broken; do
        rm -rf other
        cp -r mine other
        case $how in
        flipped) flip "other/$name" ;;
        longer) printf x >>"other/$name" ;;
        esac
        HOW=$how FAULTS=$tools/libfault.so ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0:detect_leaks=0 \
            timeout 300 mpirun --oversubscribe -n 2 ./elsewhere "$mohvit" eval mine --threads 1 >out.txt 2>err.txt
        case $how,$? in
        same,0) ;;
        flipped,1) has "$(cat err.txt)" "other/$name: is another picture than rank 0 reads" ;;
        longer,1) has "$(cat err.txt)" "this rank: its pictures have other sizes than those of rank 0" ;;
        broken,1)
            grep -q 'other/.*: is another picture than rank 0 reads: .*Input/output error' err.txt || fail "$(cat err.txt)"
            ;;
        *) fail "$how: status $?: $(cat err.txt)" ;;
        esac
    done
}

a_rank_that_cannot_read_its_files_says_so() {
    command -v mpirun >/dev/null || return
    cat >elsewhere <<'END'
#!/bin/bash
[ "$OMPI_COMM_WORLD_RANK" = 2 ] && set -- "${@/mine/nowhere}"
exec "$@"
END
    chmod +x elsewhere
    "$tools/make_pictures" unpack $images $labels 0 100 png mine "${folders[@]}" || fail make_pictures
    timeout 300 mpirun --oversubscribe -n 4 ./elsewhere "$mohvit" eval mine --threads 1 >out.txt 2>err.txt &&
        fail "status 0"
    grep -q 'rank 2 on .*: nowhere: No such file' err.txt || fail "$(cat err.txt)"
    cp -r mine nowhere
    rm "nowhere/Coat/$(ls nowhere/Coat | head -1)"
    timeout 300 mpirun --oversubscribe -n 4 ./elsewhere "$mohvit" eval mine --threads 1 >out.txt 2>err.txt &&
        fail "status 0"
    grep -q 'rank 2 on .*data.images is 99, expected 100' err.txt || fail "$(cat err.txt)"
}

files_are_the_business_of_rank_0_alone() {
    command -v mpirun >/dev/null || return
    export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
    cat >apart <<'END'
#!/bin/bash
[ "$OMPI_COMM_WORLD_RANK" = 0 ] || set -- "${@/here/nowhere}"
exec "$@"
END
    chmod +x apart
    mkdir here
    timeout 300 mpirun --oversubscribe -n 4 ./apart "$mohvit" eval "$data" --limit 300 --threads 1 --state here/state \
        --predictions here/p.csv --per-class here/c.csv --head-load here/l.safetensors >out.txt 2>err.txt ||
        fail "$(cat err.txt)"
    equal "$(find here nowhere 2>/dev/null | sort | tr '\n' ' ')" \
        "here here/c.csv here/l.safetensors here/p.csv here/state "
    mpi eval "$data" --limit 300 --threads 1 --predictions nowhere/p.csv >out.txt 2>err.txt && fail "status 0"
    equal "$(grep -c 'nowhere/p.csv' err.txt)" 1
}

a_run_whose_rank_is_killed_goes_on_to_the_same_result() {
    command -v mpirun >/dev/null || return
    export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
    local count=$((4000 / scale)) rank
    reference $count
    for rank in 2 0; do
        mpi "${scored[@]}" --limit $count --threads 1 >out.txt 2>err.txt &
        local pid=$!
        grown 3000 $pid
        local victim
        victim=$(grep -lz "^OMPI_COMM_WORLD_RANK=$rank\$" $(grep -lzs "^TMPDIR=$work\$" /proc/[0-9]*/environ) 2>/dev/null |
            cut -d/ -f3 | while read -r p; do [ "$(readlink /proc/$p/exe)" = "$(readlink -f "$mohvit")" ] && echo "$p"; done)
        kill -9 $victim
        wait $pid && fail "killed rank $rank, and status 0"
        [ "$rank" = 2 ] || { resume $count 0; continue; }
        mpi "${scored[@]}" --limit $count --threads 1 >out.txt 2>err.txt || fail "$(cat err.txt)"
        equal "$(result <out.txt)" "$(result <whole.json)"
        same state.csv whole.csv
        rm -f state state.csv classes.csv
    done
}

the_program_without_mpirun_has_nothing_of_mpi() {
    ldd "$mohvit" | grep -qi 'libmpi\|libopen-' && fail "linked with MPI"
    OMPI_COMM_WORLD_SIZE=4 run 0 classify "$golden/images/coffee.png"
    cp "$mohvit" alone
    OMPI_COMM_WORLD_SIZE=4 ./alone eval "$data" --limit 10 >out.txt 2>err.txt
    equal $? 1
    has "$(cat err.txt)" "mohvit_mpi.so is neither beside the program"
}

case $group in
sources) tests='all_sources_give_the_same_score options_say_where_classes_come_from
    pictures_that_imagefolder_leaves_out_are_left_out
    the_official_checkpoint_scores_as_published' ;;
results) tests='predictions_and_classes_are_tables a_subset_and_real_labels_change_what_is_right
    several_top_ks_are_scored_in_one_pass features_and_logits_are_rows_of_the_pictures_that_were_scored
    pictures_that_fail_are_listed_and_left_out_of_the_percentages mistakes_are_explained
    an_output_that_cannot_be_written_is_known_before_the_run
    an_output_never_replaces_the_state_or_another_output an_output_never_replaces_an_input' ;;
dropped) tests='dropped_heads_are_part_of_an_evaluation' ;;
threads) tests='a_run_that_goes_on_over_threads_comes_to_the_same chunks_are_handed_out_while_records_come' ;;
memory) tests='memory_does_not_grow_with_the_number_of_pictures' ;;
killed) tests='a_run_killed_at_any_moment_goes_on_to_the_same_result' ;;
faults) tests='a_run_that_dies_at_any_write_goes_on_to_the_same_result a_full_disk_is_an_error_and_never_a_truncated_file
    all_is_on_the_disk_before_it_counts_as_done
    a_disk_that_breaks_ends_the_run_and_no_picture_is_failed_for_it' ;;
states) tests='a_finished_state_prints_its_result_at_once where_nothing_is_run_no_rate_is_printed
    a_second_process_on_a_state_is_refused
    another_evaluation_is_refused_with_the_difference sigint_stops_cleanly_and_prints_what_stands' ;;
gone) tests='pictures_that_cannot_be_read_for_a_moment_are_read_another_time
    data_that_are_gone_end_the_run_which_goes_on_when_they_are_back eight_missing_pictures_in_a_row_are_too_many' ;;
mended) tests='a_picture_that_is_mended_counts damaged_pictures_cost_an_interrupted_run_nothing' ;;
replaced) tests='data_that_were_replaced_are_noticed pictures_that_look_changed_are_all_read_again
    the_hash_of_the_data_is_that_of_pictures_and_classes a_state_that_is_damaged_is_refused_or_loses_its_end' ;;
shards) tests='shards_add_up_to_the_whole' ;;
mpi) tests='ranks_add_up_to_the_whole a_full_disk_ends_a_run_over_ranks a_rank_that_cannot_read_its_files_says_so
    a_rank_that_reads_other_pictures_says_so files_are_the_business_of_rank_0_alone
    a_run_whose_rank_is_killed_goes_on_to_the_same_result the_program_without_mpirun_has_nothing_of_mpi' ;;
*) echo "no group $group" && exit 2 ;;
esac
run_each $tests
