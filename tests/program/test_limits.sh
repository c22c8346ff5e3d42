#!/bin/bash
# Memory and time are bounded whatever a file says: test_limits.sh MOHVIT BUILD GROUP. Each hostile file must be
# refused with its name and the reason, or read, in 2 GiB of address space and half a minute of processor time.
set -u
mohvit=$1 json=$2/test_cli_json group=$3
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
samples=$here/../../tools/samples
# shellcheck source=tests/testing.sh
. "$here/../testing.sh"

make() { /usr/bin/python3 "$here/make_hostile.py" "$1" "$@" || fail "$1 was not made"; }

# bounded STATUS ARGUMENT …: run, within the limits. What a limit ends has another status.
bounded() {
    local bounds='ulimit -v 2097152 -t 30 && exec "$0" "$@"' program=$mohvit status=$1
    shift
    mohvit=bash run "$status" -c "$bounds" "$program" "$@"
}
# refused FILE REASON ARGUMENT …: makes the file and has it refused.
refused() {
    local file=$1 reason=$2 status=$3
    shift 3
    bounded "$status" "$@"
    has "$err" "$file"
    has "$err" "$reason"
    rm -f "$file"
}
picture() { make "$1" && refused "$1" "$2" 1 classify "$1"; }
checkpoint() { make "$1" && refused "$1" "$2" 3 info --weights "$1"; }

case $group in
pictures)
    for file in line.png column.png largest.png; do
        make $file
        bounded 0 classify $file
        rm $file
    done
    picture claimed.png 'limit'
    picture profile.png 'limit'
    picture profiles.png 'limit'
    if "$mohvit" --version | grep -q libheif; then
        picture stated.heic '60000 x 60000'
        picture stated.avif '60000 x 60000'
    fi
    picture claimed.webp 'limit'
    picture canvas.webp 'limit'
    picture permitted.webp 'damaged or truncated'
    picture scans.jpg 'more than 100 scans'
    picture largest_scans.jpg 'more than 100 scans'
    ;;
safetensors)
    checkpoint ten_million.safetensors 'at most 16777216 are read'
    checkpoint full.safetensors 'at most 196610'
    checkpoint objects.safetensors 'at most 196610'
    checkpoint nested.safetensors 'at most 196610'
    checkpoint shards.json 'at most 512'
    checkpoint tensors.json 'at most'
    checkpoint nested.json 'at most'
    ;;
pickles)
    checkpoint marks.pth 'wait on the stack'
    checkpoint nested.pth 'holds a list'
    checkpoint nested_tuples.pth '256 MiB'
    checkpoint values.pth '256 MiB'
    checkpoint memo.pth 'memo index is far beyond'
    checkpoint memo_text.pth 'memo index is far beyond'
    checkpoint expanded.pth 'expands to'
    ;;
zips)
    checkpoint lying.pth 'more than it can hold'
    checkpoint lying_stored.pth 'more than it can hold'
    checkpoint bomb.pth 'at most 67108864 are read'
    checkpoint colliding.pth '60001 entries; at most 32768'
    # A model of 1308 tensors, all that a file is asked for.
    echo '{"embed_dims": [2, 2, 2, 2], "num_heads": [2, 2, 2, 2], "depths": [1, 1, 40, 1], "mlp_ratios": [1.5, 2, 2, 2],
           "sr_ratios": [8, 4, 2, 1], "shared_head": [1, 2, 0, 0], "routed_head": [1, 0, 1, 1], "num_classes": 2,
           "img_size": 64}' >deep.json
    run 0 synth --config deep.json deep.safetensors
    for file in late.pth spread.pth overlapping.pth; do
        make $file deep.safetensors
        reason='GiB to read'
        [ $file = spread.pth ] && reason='spread over'
        refused $file "$reason" 3 classify --weights $file --config deep.json "$samples/bag.png"
    done
    ;;
data_sets)
    make beginnings.state
    refused beginnings.state 'damaged at byte' 1 merge beginnings.state
    make objects.state
    refused objects.state 'is not the state of an evaluation' 1 merge objects.state
    make many.idx.gz
    refused many.idx.gz 'packed bytes; at most' 1 eval idx:many.idx.gz
    make claimed.idx
    refused claimed.idx 'is cut short' 1 eval idx:claimed.idx
    make line.list
    refused line.list 'more than 65536 bytes' 1 eval line.list
    mkdir val
    touch val/ILSVRC2012_val_00000001.JPEG
    make real.json
    refused real.json 'at most 1000000' 1 eval val --real-labels real.json
    make one_name.txt
    make one_name.list
    bounded 1 eval one_name.list --truth one_name.txt --limit 1 # there is no x.jpg
    has "$err" 'x.jpg: cannot be opened'
    ;;
*)
    fail "no group $group"
    ;;
esac
[ $failures = 0 ]
