/* config_routing.h - what head load knows of a model, from its config. */
#ifndef MOHVIT_CONFIG_ROUTING_H
#define MOHVIT_CONFIG_ROUTING_H

#include "vit/headload/routing_layout.h"
#include "vit/network/config.h"

/* *out is set on success alone; free with routing_layout_free. */
mohvit_status config_routing(routing_layout *out, const config *c, mohvit_error *err);

/* The same from a config's JSON, for head loads and states that have no layout. */
mohvit_status config_routing_from_json(routing_layout *out, const json_t *json, const char *name,
                                       mohvit_error *err);

#endif
