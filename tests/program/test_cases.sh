#!/bin/bash
# Cases that people who evaluate models ran into, as they wrote of them in public: test_cases.sh MOHVIT TOOLS GOLDEN GROUP
# (ctest runs each group). TOOLS is the folder of test_cli_json and compare_pictures, GOLDEN/cases holds a folder for each
# case. What is right is in golden/cases/expected: crops that Pillow 9.4 made.
set -u
mohvit=$1 tools=$2 json=$2/test_cli_json cases=$3/cases group=$4
# shellcheck source=tests/testing.sh
. "$(dirname "${BASH_SOURCE[0]}")/../testing.sh"

# in_case NAME: in a copy of its folder, with models of five and of a thousand classes beside it.
in_case() {
    cp -r "$cases/$1" "$cases/c5.json" . && cd "$1" || exit 1
    sed 's/"num_classes": 5/"num_classes": 1000/' ../c5.json >../c1000.json
    run 0 synth --config ../c5.json --seed 0 ../w5.safetensors
    run 0 synth --config ../c1000.json --seed 0 ../w1000.safetensors
}

# scores STATUS ARGUMENT …: evaluates the thousand classes' model; $classes are those of the pictures in their order.
scores() {
    run "$1" eval --weights ../w1000.safetensors --quiet --format json --predictions p.csv "${@:2}"
    classes=
    [ ! -e p.csv ] || classes=$(sed 1d p.csv | cut -d , -f 2 | tr '\n' ' ')
    [ "$1" = 0 ] || absent p.csv
}

# as_pillow PICTURE CROP: preprocessing it comes to Pillow's crop.
as_pillow() {
    run 0 preprocess --variant moh_transnext_small_75 "$1" -o out.png
    local differ
    differ=$("$tools/compare_pictures" out.png "$cases/expected/$2.png") || fail "$1"
    awk '{ exit !($1 <= 2 && $2 < 2e-3) }' <<<"$differ" || fail "$1: differs from Pillow's crop: $differ"
}

# ---- Data ------------------------------------------------------------------------------------------

h01_truth_bom() {
    scores 0 --truth t.txt flat
    equal "$classes" "65 970 230 0 "
}

h02_truth_path_as_printed() {
    scores 0 --truth t.txt d/flat
    equal "$classes" "65 970 230 0 "
}

h03_same_base_name() {
    scores 1 --truth t.txt dup
    has "$err" 't.txt: line 1, "0001.jpg", fits two pictures, dup/a/0001.jpg and dup/b/0001.jpg'
}

h04_tar_appended() {
    scores 0 app.tar
    equal "$(get images)" 2
    has "$err" 'warning: app.tar: 1 member is replaced by a later one of the same name, such as "n01440764/a.jpg"'
    local loss
    loss=$(get loss)
    mkdir folder && tar -C folder -xf app.tar && rm p.csv # the later one is left
    scores 0 folder
    equal "$classes $(get loss)" "0 1  $loss"
}

h05_tar_ipynb() {
    scores 0 ipy.tar
    equal "$(get images) $classes" "1 0 "
    mkdir folder && tar -C folder -xf ipy.tar && rm p.csv
    scores 0 folder
    equal "$(get images) $classes" "1 0 "
}

h07_wds_dots() {
    scores 1 dots.tar
    has "$err" 'key "22"'
    has "$err" '".05.jpg"'
    has "$err" "--image-ext"
}

h08_label_typo() {
    run 1 eval --weights ../w5.safetensors --labels l.txt --quiet --format json --predictions p.csv anim
    has "$err" '1 of 5 folders is not a class of this model by WordNet id or label: "dogs"'
    has "$err" "--classes-by-order"
    absent p.csv
}

h30_crane() {
    scores 1 lab
    has "$err" '"crane" (several classes)'
}

h31_numeric() {
    scores 1 num
    has "$err" '"0", "1", "2"'
    has "$err" "--classes-by-number"
    scores 0 --classes-by-number num
    equal "$classes" "0 1 2 3 4 5 6 7 8 9 "
}

h32_devkit() {
    scores 1 --truth d.txt flat
    has "$err" "--truth-in-order"
}

h33_wds_far() {
    scores 0 far.tar
    equal "$classes" "0 7 14 "
    has "$err" "of 3 samples, picture and class lie apart"
}

# ---- Pictures --------------------------------------------------------------------------------------

h20_png_named_jpeg() { as_pillow png_named.JPEG png; }
h21_cmyk() { as_pillow cmyk_pillow.jpg cmyk; }
h22_extraneous_eoi() { as_pillow jpg_extraneous_before_eoi.jpg jpeg; }
h23_iccp() { as_pillow png_iccp_bad_profile.png png; }
h24_gray16() { as_pillow png_gray16.png gray16; } # of its high bytes; of the whole, Pillow 9.4 makes white
h27_apng_default() { as_pillow apng_default_image.png png; }
h28_corrupt_exif() { as_pillow jpg_corrupt_exif.jpg jpeg; }

h25_cut() {
    run 1 preprocess jpg_progressive_cut.jpg -o out.png
    has "$err" "jpg_progressive_cut.jpg: JPEG: "
    absent out.png
}

h26_html() {
    run 1 preprocess html_named.jpg -o out.png
    has "$err" "html_named.jpg: HTML is not supported"
    absent out.png
}

# ---- Checkpoints -----------------------------------------------------------------------------------

# All tensors, sorted by name, as PyTorch 1.13 reads them.
h29_training_numpy() {
    run 0 convert --config ../c5.json w.pth o.safetensors
    equal "$(python3 - o.safetensors <<'END'
import hashlib, json, struct, sys
data = open(sys.argv[1], 'rb').read()
end = 8 + struct.unpack('<Q', data[:8])[0]
header, digest = json.loads(data[8:end]), hashlib.sha256()
for name in sorted(set(header) - {'__metadata__'}):
    begin, stop = header[name]['data_offsets']
    digest.update(f"{name} {header[name]['shape']} ".encode() + data[end + begin:end + stop])
print(digest.hexdigest())
END
    )" f3ad5087102e1ed547b9aab350598330a5db980b6dbec0cf35aab776c8c24d93
}

h34_nan() {
    run 1 classify --config ../c5.json --weights w.pth a.jpg
    equal "$out" ""
    has "$err" "a.jpg: the network answered nan"
}

h06_model_prefix() { run 0 info --config ../c5.json --weights w.ckpt; }
h35_meta_null() { run 0 info --config ../c5.json --weights w.safetensors; }

h09_st_index() {
    run 3 info --config ../c5.json --weights model.safetensors.index.json
    has "$err" "model-00001-of-00002.safetensors"
}

# ----------------------------------------------------------------------------------------------------

# each CASE …: as run_each, in a copy of the case.
each() {
    local name
    for name; do eval "in_${name}() { in_case $name; $name; }"; done
    run_each "${@/#/in_}"
}

case $group in
data)
    each h01_truth_bom h02_truth_path_as_printed h03_same_base_name h04_tar_appended h05_tar_ipynb h07_wds_dots \
        h08_label_typo h30_crane h31_numeric h32_devkit h33_wds_far
    ;;
pictures)
    each h20_png_named_jpeg h21_cmyk h22_extraneous_eoi h23_iccp h24_gray16 h25_cut h26_html h27_apng_default \
        h28_corrupt_exif
    ;;
checkpoints)
    each h06_model_prefix h09_st_index h29_training_numpy h34_nan h35_meta_null
    ;;
*) fail "no group $group" ;;
esac
[ $failures = 0 ]
