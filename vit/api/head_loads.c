/* head_loads.c - head load as the interface has it (vit/headload/head_load.h). What a context counts is added
 * in context.c. */
#include "vit/headload/head_load.h"

#include "vit/api/internal.h"
#include "vit/api/sized.h"
#include "vit/api/texts.h"

#include <string.h>

mohvit_status head_load_create_of(mohvit_head_load **out, const mohvit_model *m, const preprocess *p,
                                  bool exif_orientation, mohvit_error *err)
{
    const description *d = mohvit_describe(m);
    head_load *l = NULL;
    json_t *of_model = config_json(&d->config), *provenance = provenance_of_model(d, mohvit_network(m));
    mohvit_status status = MOHVIT_ERROR_MEMORY;
    if (!of_model || !provenance || !provenance_add_pictures(provenance, p, exif_orientation))
        head_load_no_memory(err);
    else
        status = head_load_create(&l, mohvit_routing(m), of_model, &d->labels, err);
    if (!status)
        status = head_load_begin_together(l, err);
    if (!status && json_object_update(l->provenance, provenance))
        status = head_load_no_memory(err);
    if (status)
        head_load_destroy(l);
    else
        *out = l;
    json_decref(of_model);
    json_decref(provenance);
    return status;
}

mohvit_status mohvit_head_load_create(mohvit_head_load **out, const mohvit_model *m, mohvit_error *err)
{
    return head_load_create_of(out, m, &mohvit_describe(m)->preprocess, false, err);
}

mohvit_status mohvit_head_load_open(mohvit_head_load **load, const char *path, mohvit_error *err)
{
    return head_load_open(load, path, config_routing_from_json, err);
}

mohvit_status mohvit_head_load_open_memory(mohvit_head_load **load, const void *data, size_t size,
                                           mohvit_error *err)
{
    return head_load_open_memory(load, data, size, config_routing_from_json, err);
}

void mohvit_head_load_destroy(mohvit_head_load *load)
{
    head_load_destroy(load);
}

mohvit_status mohvit_head_load_save(const mohvit_head_load *load, const char *path, mohvit_error *err)
{
    return head_load_save(load, path, err);
}

mohvit_status mohvit_head_load_save_memory(const mohvit_head_load *load, void **data, size_t *size,
                                           mohvit_error *err)
{
    return head_load_save_memory(load, data, size, err);
}

/* ---- Counting -------------------------------------------------------------------------------- */

static mohvit_status check_class(const mohvit_head_load *load, size_t class_index, mohvit_error *err)
{
    if (class_index < load->names.count)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "class %zu of a model of %zu", class_index,
                     load->names.count);
}

mohvit_status mohvit_head_load_add_image(mohvit_head_load *load, const int32_t *tokens,
                                         const double *gate_sum, size_t class_index, mohvit_error *err)
{
    mohvit_status status = check_class(load, class_index, err);
    if (!status)
        status = head_load_check_image(load, class_index, tokens, gate_sum, err);
    return status ? status : head_load_add(load, class_index, &(head_image){tokens, gate_sum, NULL}, err);
}

mohvit_status mohvit_head_load_merge(mohvit_head_load *to, const mohvit_head_load *from, int allow_mixed,
                                     mohvit_error *err)
{
    if (to == from)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "a head load cannot be added to itself");
    return head_load_merge(to, from, "the head load that is added to", "the head load that is added",
                           allow_mixed ? HEAD_LOAD_MIXED | HEAD_LOAD_DROP_SQUARES : 0, err);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

mohvit_status mohvit_head_load_get_info(const mohvit_head_load *load, mohvit_head_load_info *info,
                                        mohvit_error *err)
{
    const mohvit_head_load_info own = {
        .classes = load->names.count,
        .blocks = load->routing.count,
        .max_heads = load->routing.max_heads,
        .images = head_load_images(load, NULL),
    };
    return sized_give(info, &own, sizeof own, "mohvit_head_load_info", err);
}

mohvit_status mohvit_head_load_get_block(const mohvit_head_load *load, size_t index, mohvit_block *out,
                                         mohvit_error *err)
{
    return block_of_layout(out, &load->routing, index, err);
}

const char *mohvit_head_load_label(const mohvit_head_load *load, size_t class_index)
{
    return class_index < load->names.count ? load->names.name[class_index] : "";
}

const char *mohvit_head_load_label_id(const mohvit_head_load *load, size_t class_index)
{
    return class_index < load->names.count ? load->names.id[class_index] : NULL;
}

mohvit_status mohvit_head_load_of_class(const mohvit_head_load *load, size_t class_index, int64_t *images,
                                        int64_t *tokens, int64_t *active, double *gate_sum, mohvit_error *err)
{
    const routing_layout *l = &load->routing;
    size_t cells = l->count * l->max_heads;
    mohvit_status status = check_class(load, class_index, err);
    if (status)
        return status;
    if (images)
        *images = load->images[class_index];
    for (size_t b = 0; tokens && b < l->count; b++)
        tokens[b] = head_load_tokens(load, class_index, b);
    if (active)
        memcpy(active, load->active + class_index * cells, cells * sizeof *active);
    for (size_t i = 0; gate_sum && i < cells; i++)
        gate_sum[i] = head_load_gate_sum(load, class_index, i / l->max_heads, i % l->max_heads);
    return MOHVIT_OK;
}
