#include "tools/program/evaluation.h"

#include "eval/header.h"
#include "tools/program/complain.h"
#include "tools/program/json_build.h"
#include "tools/program/provenance.h"
#include "vit/api/texts.h"
#include "vit/headload/head_list.h"

#include <stdlib.h>
#include <zlib.h>

static json_t *subset_json(const evaluation *e)
{
    size_t count = 0, classes = class_count(e->classes);
    if (!e->competes)
        return json_null();
    for (size_t i = 0; i < classes; i++)
        count += e->competes[i];
    return json_sprintf("%zu classes, CRC %08lx", count,
                        crc32_z(0, (const unsigned char *)e->competes, classes));
}

static json_t *routed_json(const evaluation *e)
{
    json_t *values = e->o->routed_count ? or_die(json_array()) : json_null();
    for (size_t i = 0; i < e->o->routed_count; i++)
        json_add(values, json_string(e->o->routed[i]));
    return values;
}

/* How the models compute. */
static mohvit_info computes(const evaluation *e)
{
    mohvit_info info = {.size = sizeof info};
    mohvit_get_info(e->models[0], &info, NULL);
    return info;
}

/* The pictures, and which ones --limit or --sample chose them from. */
static json_t *data_json(const evaluation *e, bool sizes)
{
    char fingerprint[FINGERPRINT_SIZE];
    size_t count = dataset_count(e->data), candidates = dataset_candidates(e->data);
    dataset_fingerprint(e->data, sizes, fingerprint);
    json_t *data = or_die(json_pack("{s:I, s:s}", "images", (json_int_t)count, "fingerprint", fingerprint));
    if (count == candidates)
        return data;
    dataset_fingerprint_candidates(e->data, sizes, fingerprint);
    json_put(data, "chosen_from",
             json_pack("{s:I, s:s}", "images", (json_int_t)candidates, "fingerprint", fingerprint));
    return data;
}

static void put_pictures(const evaluation *e, json_t *object)
{
    if (!provenance_add_pictures(object, &e->preprocess, e->o->exif_orientation))
        or_die(NULL);
}

/* What is dropped in turn. */
static json_t *ablation_json(const evaluation *e)
{
    char *heads = or_die(head_list_text(mohvit_routing(e->models[0]), e->ablation.named));
    json_t *object = or_die(json_pack("{s:s, s:b, s:b}", "heads", heads, "together", e->o->ablated_together,
                                      "renormalise", e->ablation.renormalise));
    free(heads);
    return object;
}

static json_t *match_json(const evaluation *e, const json_t *provenance)
{
    const config *c = &mohvit_describe(e->models[0])->config;
    json_t *match =
        or_die(json_pack("{s:s, s:O, s:o, s:o, s:s, s:o, s:o}", "version", mohvit_version(), "weights_hash",
                         json_object_get(provenance, "weights_hash"), "config", config_json(c), "data",
                         data_json(e, false), "precision", mohvit_precision_name(computes(e).precision),
                         "routed_heads", routed_json(e), "subset", subset_json(e)));
    put_pictures(e, match);
    if (!provenance_add_drops(match,
                              mohvit_describe(e->models[0]))) // nothing where none is dropped, as of old
        or_die(NULL);
    if (e->o->ablates)
        json_put(match, "ablation", ablation_json(e));
    if (e->o->probes)
        json_put(match, "shift", json_integer((json_int_t)e->o->shift));
    return match;
}

const char *evaluation_load_name(const evaluation *e)
{
    if (!e->o->head_load)
        return NULL;
    return e->o->by_prediction ? HEAD_LOAD_SECTION_PREDICTED : HEAD_LOAD_SECTION;
}

static json_t *sections_json(const evaluation *e)
{
    json_t *sections = or_die(json_array());
    if (e->o->predictions)
        json_add(sections, json_string("predictions"));
    for (vector_kind k = 0; k < VECTOR_KINDS; k++)
        if (e->o->vectors[k])
            json_add(sections, json_string(vector_kind_name(k)));
    if (e->o->ablates)
        json_add(sections, json_string(ABLATION_SECTION));
    if (e->o->probes)
        json_add(sections, json_string(CERTAINTY_SECTION));
    if (evaluation_load_name(e))
        json_add(sections, json_string(evaluation_load_name(e)));
    return sections;
}

size_t evaluation_vector_width(const evaluation *e, vector_kind kind)
{
    mohvit_info info = computes(e);
    const routing_layout *routing = mohvit_routing(e->models[0]);
    return kind == VECTOR_FEATURES ? info.features
           : kind == VECTOR_LOGITS ? info.num_classes
                                   : routing->count * routing->max_heads;
}

static json_t *widths_json(const evaluation *e)
{
    json_t *widths = or_die(json_object());
    for (vector_kind k = 0; k < VECTOR_KINDS; k++)
        if (e->o->vectors[k])
            json_put(widths, vector_kind_name(k), json_integer((json_int_t)evaluation_vector_width(e, k)));
    return widths;
}

static json_t *prefixes_json(const evaluation *e)
{
    json_t *prefixes = or_die(json_array());
    for (size_t i = 0; i < dataset_sources(e->data); i++)
        json_add(prefixes, json_text(dataset_prefix(e->data, i)));
    return prefixes;
}

/* For the curve: what each model computes. */
static void put_costs(const evaluation *e, json_t *header)
{
    json_t *gmacs = or_die(json_array()), *routed = or_die(json_array()), *active = or_die(json_array());
    for (size_t i = 0; i < e->top_ks; i++) {
        mohvit_info info = {.size = sizeof info};
        mohvit_get_info(e->models[i], &info, NULL);
        json_add(gmacs, json_real(info.gmacs));
        json_add(routed, json_real(info.gmacs_routed));
        json_add(active, json_real(info.active_heads_percent));
    }
    json_put(header, "gmacs", gmacs);
    json_put(header, "gmacs_routed", routed);
    json_put(header, "active_heads_percent", active);
}

json_t *evaluation_header(const evaluation *e)
{
    const description *d = mohvit_describe(e->models[0]);
    json_t *provenance = provenance_json(&e->source, &d->config, e->models[0], e->threads);
    put_pictures(e, provenance);
    json_t *header = or_die(json_pack("{s:i, s:o, s:{s:s, s:s, s:s}, s:{s:s?}, s:I, s:o, s:o}", "format",
                                      HEADER_FORMAT, "match", match_json(e, provenance), "hardware",
                                      "backend", mohvit_backend_name(computes(e).backend), "instruction_set",
                                      computes(e).instruction_set, "kernels", computes(e).kernels, "run",
                                      "shard", e->o->part, "images", (json_int_t)dataset_count(e->data),
                                      "sections", sections_json(e), "provenance", provenance));
    put_costs(e, header);
    json_put(header, "data", data_json(e, true));
    json_put(header, "prefixes", prefixes_json(e));
    if (e->o->vectors[VECTOR_FEATURES] || e->o->vectors[VECTOR_LOGITS] || e->o->vectors[VECTOR_HEADS])
        json_put(header, "widths", widths_json(e));
    if (e->o->head_load)
        json_put(header, "routing", routing_layout_to_json(mohvit_routing(e->models[0])));
    json_put(header, "classes", json_parsed(labels_to_json(&d->labels)));
    return header;
}
