/* tensor_names.h - how the names of a checkpoint's tensors lead to those of the network. */
#ifndef MOHVIT_TENSOR_NAMES_H
#define MOHVIT_TENSOR_NAMES_H

#include "vit/network/model.h"
#include "weights/checkpoint.h"

/* What stands before the names of a set of tensors ("module.", "student.backbone."), and what the set is. */
typedef struct tensor_set {
    const char *prefix; /* in a name of the checkpoint */
    size_t length;
    config config;
    size_t fitting, count; /* tensors of the config: those that the set has in the right shape, and all */
} tensor_set;

/* Finds the set of tensors that a config, or without one (NULL) a published variant, describes whole; where
 * there is none, the one that comes nearest. Several are an error that lists them for `key`, which is what
 * the caller opened the checkpoint with: "" takes names as they are. */
mohvit_status tensor_set_find(tensor_set *out, const checkpoint *cp, const config *given, const char *key,
                              mohvit_error *err);

/* Whether the tensor is in the checkpoint with that shape. */
bool tensor_fits(const tensor_info *info, const tensor_spec *spec);

/* By name, as the two below want it. */
void tensor_list_sort(tensor_list *list);

bool tensor_listed(const tensor_list *list, const char *name);

/* Of the list, the tensor that the checkpoint lacks and that is called most like a tensor which it has
 * and which is not in the list; *found is that one's name. NULL where there are no two such. */
const char *tensor_nearest(const char **found, const checkpoint *cp, const tensor_list *list);

#endif
