#include "vit/network/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(STAGES *CONFIG_MAX_DEPTH <= ROUTING_MAX_BLOCKS && CONFIG_MAX_HEADS <= ROUTING_MAX_HEADS &&
                   (CONFIG_MAX_SIZE / 4) * (CONFIG_MAX_SIZE / 4) <= ROUTING_MAX_TOKENS,
               "what head load writes of a model it reads back");

mohvit_status config_routing(routing_layout *out, const config *c, mohvit_error *err)
{
    routing_layout l = {0};
    mohvit_status status = MOHVIT_OK;
    snprintf(l.model, sizeof l.model, "%s", config_name(c));
    for (size_t s = 0; s < STAGES; s++) {
        routing_block b = {
            .stage = s + 1,
            .heads = c->num_heads[s],
            .shared = c->shared_head[s],
            .routed = c->routed_head[s],
            .tokens = config_side(c, s) * config_side(c, s),
        };
        for (b.block = 0; !status && b.block < c->depths[s]; b.block++) {
            snprintf(b.name, sizeof b.name, "%u.%u", (unsigned)b.stage, (unsigned)b.block);
            status = routing_layout_add(&l, &b, err);
        }
    }
    if (status)
        routing_layout_free(&l);
    else
        *out = l;
    return status;
}

mohvit_status config_routing_from_json(routing_layout *out, const json_t *json, const char *name,
                                       mohvit_error *err)
{
    config c;
    char *text = json_dumps(json, JSON_COMPACT);
    mohvit_status status = text ? config_from_json(&c, text, strlen(text), name, err)
                                : error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a config");
    free(text);
    return status ? status : config_routing(out, &c, err);
}
