#include "vit/api/texts.h"

#include <stdlib.h>

json_t *provenance_of_config(const config *c)
{
    config published;
    bool named = config_variant(&published, config_name(c));
    json_t *object = json_pack("{s:s}", "version", mohvit_version()), *own = config_json(c),
           *usual = named ? config_json(&published) : NULL;
    bool fine = object && own && !named == !usual;
    if (fine && named)
        fine = !json_object_set_new(object, "variant", json_string(config_name(c)));
    if (fine && !json_equal(own, usual)) // as JSON: a config has padding
        fine = !json_object_set(object, "config", own);
    json_decref(own);
    json_decref(usual);
    if (fine)
        return object;
    json_decref(object);
    return NULL;
}

bool provenance_add_drops(json_t *provenance, const description *d)
{
    return !d->dropped_heads ||
           (!json_object_set_new(provenance, "dropped_heads", json_string(d->dropped_heads)) &&
            !json_object_set_new(provenance, "renormalise", json_boolean(d->renormalise)));
}

json_t *provenance_of_model(const description *d, const model *network)
{
    const numerics *a = &network->numerics;
    json_t *object = provenance_of_config(&d->config);
    json_t *how =
        json_pack("{s:f, s:s, s:s, s:s, s:s}", "active_heads_percent", config_active_percent(&d->config),
                  "backend", a->gemms[PRECISION_F32]->name, "precision", precision_name(a->precision),
                  "instruction_set", a->kernels->isa, "kernels", a->products);
    bool fine = object && how && !json_object_update(object, how);
    if (fine && *d->weights_hash)
        fine = !json_object_set_new(object, "weights_hash", json_string(d->weights_hash));
    if (fine && *d->synthetic)
        fine = !json_object_set_new(object, "synthetic_seed", json_string(d->synthetic));
    fine = fine && provenance_add_drops(object, d);
    json_decref(how);
    if (fine)
        return object;
    json_decref(object);
    return NULL;
}

bool provenance_add_pictures(json_t *provenance, const preprocess *p, bool exif_orientation)
{
    char *text = preprocess_to_json(p);
    json_t *own = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return own && !json_object_set_new(provenance, "preprocess", own) &&
           (!exif_orientation || !json_object_set_new(provenance, "exif_orientation", json_true()));
}

mohvit_status texts_create(texts *out, const description *d, const model *network, mohvit_error *err)
{
    json_t *provenance = provenance_of_model(d, network);
    bool whole = provenance && provenance_add_pictures(provenance, &d->preprocess, false);
    *out = (texts){
        .config = config_to_json(&d->config),
        .preprocess = preprocess_to_json(&d->preprocess),
        .provenance = whole ? json_dumps(provenance, JSON_COMPACT) : NULL,
    };
    json_decref(provenance);
    if (out->config && out->preprocess && out->provenance)
        return MOHVIT_OK;
    texts_free(out);
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a model's description");
}

void texts_free(texts *t)
{
    free(t->config);
    free(t->preprocess);
    free(t->provenance);
    *t = (texts){0};
}
