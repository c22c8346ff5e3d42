/* Files of head load: read, asked, and merged with themselves and with what differs from them. */
#include "vit/headload/head_relation.h"
#include "vit/headload/interval.h"
#include "vit/network/config.h"

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mend.h"

#include <math.h>

FUZZ_MEND(mend_safetensors)

static void ask(const head_load *l)
{
    char missing[64];
    const routing_block *last = routing_layout_last_routed(&l->routing);
    for (size_t i = 0; i < json_array_size(l->sources); i++)
        head_load_missing(l, i, i % 2, missing, sizeof missing);
    for (size_t h = 0; last && h < last->heads; h++) {
        fuzz_require(!(head_load_of(l, 0, last->index, h) > 1), "a head with more than all tokens");
        fuzz_require(head_load_gate_sum(l, 0, last->index, h) >= 0, "gates below zero");
        interval of_load = interval_of_load(l, 0, last->index, h, interval_t(l->images[0]));
        interval of_gate = interval_of_gate(l, 0, last->index, h, interval_t(l->images[0]));
        bool none = !l->has_squares || l->images[0] < 2;
        fuzz_require(none ? isnan(of_load.low) : of_load.low >= 0 && of_load.low <= of_load.high,
                     "an interval that is none");
        fuzz_require(none ? isnan(of_gate.low) : of_gate.low >= 0 && of_gate.low <= of_gate.high,
                     "an interval that is none");
    }
}

/* Of the last block that routes. */
static void ask_pairs(const head_load *l)
{
    head_relation r;
    mohvit_error err;
    const routing_block *last = routing_layout_last_routed(&l->routing);
    if (!last || fuzz_checked(head_relation_compute(&r, l, last, &err), &err, NULL))
        return;
    for (size_t i = 0; i < r.count * r.count; i++)
        fuzz_require(r.difference[i] >= 0 && r.difference[i] <= 1, "heads that are too far apart");
    for (size_t h = 0; h < last->heads; h++) {
        const head_pair p = head_pair_of(l, last->index, last->shared, h);
        fuzz_require(!(head_pair_joint(&p) > 1) && !(head_pair_lift(&p) < 0), "heads with too many tokens");
    }
    head_relation_free(&r);
}

enum { CHANGES = 9 };

/* Lets a load differ in one thing, so that merging comes to what it checks after that; or in none. */
static void change(head_load *l, size_t what)
{
    static const char *const provenance[] = {"weights_hash", "backend"};
    char *name = l->names.name[0];
    switch (what) {
    case 0:
    case 1:
        json_object_set_new(l->provenance, provenance[what], json_string("other"));
        break;
    case 2:
        json_object_set_new(l->config, "img_size", json_integer(32));
        break;
    case 3:
        l->names.name[0] = l->names.name[l->names.count - 1];
        l->names.name[l->names.count - 1] = name;
        break;
    case 4:
        l->routing.blocks[0].tokens++;
        break;
    case 5:
        json_array_clear(l->sources);
        break;
    case 6:
    case 7:
        json_array_clear(l->sources);
        l->has_squares = !l->has_squares;
        break;
    default:
        break;
    }
}

static void merge(const char *path, size_t what)
{
    const unsigned allowed = what == 7 ? HEAD_LOAD_DROP_SQUARES : 0;
    head_load *a = NULL, *b = NULL;
    mohvit_error err;
    fuzz_require(!head_load_open(&a, path, config_routing_from_json, &err) &&
                     !head_load_open(&b, path, config_routing_from_json, &err),
                 "read once, and not again");
    change(b, what);
    fuzz_checked(head_load_merge(a, b, "a", "b", allowed, &err), &err, NULL);
    head_load_destroy(a);
    head_load_destroy(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    head_load *l;
    mohvit_error err;
    const char *path = fuzz_file(0, data, size);
    if (fuzz_checked(head_load_open(&l, path, config_routing_from_json, &err), &err, NULL))
        return 0;
    ask(l);
    ask_pairs(l);
    head_load_destroy(l);
    for (size_t what = 0; what < CHANGES; what++)
        merge(path, what);
    return 0;
}
