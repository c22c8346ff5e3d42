/* What `headload ablate --format json` printed, read for a head load that knows its weights and its data. */
#include "eval/importance_file.h"
#include "vit/network/config.h"

#include "tests/fuzz/fuzz.h"

#include <math.h>

/* Of a published model; as tests/fuzz/seeds_evaluations.c has its files. */
static head_load *make_load(void)
{
    head_load *l = NULL;
    config c;
    labels names;
    routing_layout layout;
    mohvit_error err;
    json_t *json = config_variant(&c, "moh_transnext_small_75") ? config_json(&c) : NULL;
    fuzz_require(json && !config_routing(&layout, &c, &err) && !labels_numbered(&names, 2, &err) &&
                     !head_load_create(&l, &layout, json, &names, &err),
                 "no head load");
    fuzz_require(
        !json_object_set_new(l->provenance, "weights_hash", json_string("w")) &&
            !json_array_append_new(l->sources, json_pack("{s:s, s:i}", "fingerprint", "f", "images", 100)),
        "no memory for a head load");
    json_decref(json);
    labels_free(&names);
    routing_layout_free(&layout);
    return l;
}

static void check_change(const mean_change *c, double most)
{
    fuzz_require(isnan(c->mean) || fabs(c->mean) <= most, "a change that is absurd");
    fuzz_require(isnan(c->low) || (c->low <= c->mean && c->low >= -2 * most), "an interval that begins late");
    fuzz_require(isnan(c->high) || (c->high >= c->mean && c->high <= 2 * most),
                 "an interval that ends early");
    fuzz_require(isnan(c->p) || (c->p >= 0 && c->p <= 1), "a p value that is none");
    fuzz_require(isnan(c->p_holm) || (c->p_holm >= 0 && c->p_holm <= 1), "a p value that is none");
}

static void check_block(const importance_table *t, const routing_block *b)
{
    bool any = false;
    for (size_t h = 0; h < b->heads; h++) {
        const importance *i = importance_of(t, b, h);
        if (!i)
            continue;
        any = true;
        fuzz_require(!isnan(i->loss.mean), "a head that nothing is known of");
        check_change(&i->loss, 1e6);
        check_change(&i->top1, 100);
    }
    fuzz_require(importance_of_any(t, b) == any, "heads that are there and not there");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static head_load *load;
    importance_table t;
    mohvit_error err;
    if (!load)
        load = make_load();
    const char *path = fuzz_file(0, data, size);
    if (fuzz_checked(importance_read(&t, path, load, "load", &err), &err, path))
        return 0;
    for (size_t i = 0; i < load->routing.count; i++)
        check_block(&t, &load->routing.blocks[i]);
    importance_table_free(&t);
    return 0;
}
