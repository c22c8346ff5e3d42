#!/bin/bash
# Checkpoints as people save them: test_checkpoints.sh MOHVIT BUILD GOLDEN GROUP (ctest runs each group of tests below).
set -u
mohvit=$1 json=$2/test_cli_json golden=$3 group=$4
pth=$golden/pth
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testing.sh
. "$here/../testing.sh"

save_again() { python3 "$here/save_again.py" "$@" || fail "save_again.py $*"; }

# The golden model in safetensors, and another of the same shapes.
make_models() {
    run 0 convert --config "$pth/config.json" "$pth/plain.pth" plain.safetensors
    run 0 convert --config "$pth/config.json" --key model_ema "$pth/bf16_with_ema.pth" other.safetensors
}
is_golden() { run 0 verify --tolerance 1e-5 "$@" "$pth/golden.safetensors"; }
is_other() { run 1 verify --tolerance 1e-5 "$@" "$pth/golden.safetensors"; }

# ---- Names -----------------------------------------------------------------------------------------

a_common_prefix_is_taken_off() {
    make_models
    for prefix in model. module. _orig_mod. backbone. model._orig_mod.module. net.core.; do
        save_again prefix plain.safetensors p.safetensors $prefix
        is_golden --weights p.safetensors
        equal "$err" "mohvit: note: p.safetensors: \"$prefix\" is taken off the names of its tensors"
        run 0 convert p.safetensors c.safetensors
        same c.safetensors plain.safetensors
    done
    is_golden --weights "$pth/module_prefix.pth"
    has "$err" 'note: '
}

several_sets_are_for_the_key() {
    make_models
    save_again pair plain.safetensors two.safetensors other.safetensors
    run 3 classify --weights two.safetensors "$golden/images/coffee.png"
    has "$err" "--key: student, teacher"
    is_golden --weights two.safetensors --key student
    is_other --weights two.safetensors --key teacher
    run 3 info --weights two.safetensors --key pupil
    has "$err" 'no tensor whose name begins with "pupil."'
}

a_backbone_alone_says_that_it_has_no_head() {
    make_models
    save_again headless plain.safetensors h.safetensors
    run 3 classify --weights h.safetensors "$golden/images/coffee.png"
    has "$err" "h.safetensors: has no head.weight"
    lacks "$err" "is missing"
}

# ---- Containers ------------------------------------------------------------------------------------

metadata_may_be_null() {
    make_models
    save_again null plain.safetensors n.safetensors
    is_golden --weights n.safetensors --config "$pth/config.json"
    equal "$err" ""
}

an_index_is_as_good_as_one_file() {
    make_models
    save_again shards plain.safetensors model.safetensors.index.json 3
    is_golden --weights model.safetensors.index.json
    equal "$err" ""
    run 0 convert model.safetensors.index.json one.safetensors
    same one.safetensors plain.safetensors
    run 0 info --weights model.safetensors.index.json --format json
    equal "$(get container)" "safetensors index"
    if command -v xxh128sum >/dev/null; then
        equal "$(get provenance weights_hash)" "$(cat model.safetensors.index.json model-*.safetensors | xxh128sum | cut -d' ' -f1)"
    fi
    get provenance weights_hash >before
    run 2 convert model.safetensors.index.json ./model-00002-of-00003.safetensors # never over what is being read
    has "$err" "./model-00002-of-00003.safetensors: would replace a shard of model.safetensors.index.json"
    run 2 preprocess --weights model.safetensors.index.json "$golden/images/coffee.png" -o model-00001-of-00003.safetensors
    has "$err" "would replace a shard of --weights"
    mkdir elsewhere
    cp model* elsewhere
    run 0 info --weights elsewhere/model.safetensors.index.json --format json
    equal "$(get provenance weights_hash)" "$(cat before)"
    printf '\1' | dd of=model-00002-of-00003.safetensors bs=1 seek=20000 conv=notrunc status=none
    run 0 info --weights model.safetensors.index.json --format json
    [ "$(get provenance weights_hash)" != "$(cat before)" ] || fail "a shard does not count"
    rm model-00002-of-00003.safetensors
    run 3 info --weights model.safetensors.index.json
    has "$err" "index of a sharded checkpoint: model-00002-of-00003.safetensors: No such file"
}

# ---- Synthetic weights -----------------------------------------------------------------------------

synthetic_weights_say_so() {
    run 0 synth --config "$pth/config.json" --seed 5 s.safetensors
    run 0 convert --dtype bf16 s.safetensors c.safetensors
    mkdir -p data/{0,1,2,3,4}
    for class in 0 1 2 3 4; do cp "$golden/images/coffee.png" data/$class/a.png; done
    for file in s.safetensors c.safetensors; do
        run 0 info --weights $file
        has "$out" "140 tensors, synthetic, seed 5"
        run 0 info --weights $file --format json
        equal "$(get synthetic_seed)" 5
        run 0 classify --weights $file "$golden/images/coffee.png"
        has "$err" "warning: $file: synthetic weights, seed 5"
        run 0 eval --quiet --weights $file --format json data
        has "$err" "warning: $file: synthetic weights, seed 5"
        equal "$(get provenance synthetic_seed)" 5
    done
    make_models
    run 0 info --weights plain.safetensors --format json
    equal "$(get synthetic_seed)" null
    run 0 classify --weights plain.safetensors --format json --provenance "$golden/images/coffee.png"
    lacks "$out$err" synthetic
}

case $group in
names) run_each a_common_prefix_is_taken_off several_sets_are_for_the_key a_backbone_alone_says_that_it_has_no_head ;;
containers) run_each metadata_may_be_null an_index_is_as_good_as_one_file ;;
synthetic) run_each synthetic_weights_say_so ;;
*) fail "no group $group" ;;
esac
[ $failures = 0 ]
