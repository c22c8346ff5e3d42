#include "vit/api/tensor_names.h"

#include "base/edit_distance.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sets that are told apart; more in one file are for --key to choose among. */
#define MAX_SETS 64

/* The tensor that every network begins with: what stands before its name is a prefix. */
static const char first_tensor[] = "patch_embed1.proj.weight";

bool tensor_fits(const tensor_info *info, const tensor_spec *spec)
{
    return info && info->rank == spec->rank &&
           !memcmp(info->shape, spec->shape, spec->rank * sizeof *spec->shape);
}

/* ---- Sets ------------------------------------------------------------------------------------ */

/* What the prefixes of a checkpoint are, the empty one first where there is one. */
typedef struct prefixes {
    tensor_set sets[MAX_SETS];
    size_t count;
    bool bare; /* there are names without a prefix */
} prefixes;

static mohvit_status list_prefixes(prefixes *p, const checkpoint *cp, mohvit_error *err)
{
    *p = (prefixes){.bare = checkpoint_find(cp, first_tensor) != NULL};
    if (p->bare)
        p->sets[p->count++].prefix = "";
    for (size_t i = 0; i < checkpoint_count(cp); i++) {
        const char *name = checkpoint_tensor(cp, i)->name;
        size_t length = strlen(name), end = sizeof first_tensor - 1;
        if (length <= end || name[length - end - 1] != '.' || strcmp(name + length - end, first_tensor) != 0)
            continue;
        if (p->count == MAX_SETS)
            return error_set(
                err, MOHVIT_ERROR_LIMIT,
                "%s: the tensors of more than %d models, told apart by what stands before \"%s\"; "
                "take some by --key",
                checkpoint_path(cp), MAX_SETS, first_tensor);
        p->sets[p->count++] = (tensor_set){.prefix = name, .length = length - end};
    }
    return MOHVIT_OK;
}

/* A tensor of the set. One without the prefix counts where no set is without: a wrapped backbone beside a
 * head. */
static const tensor_info *find_in_set(const checkpoint *cp, const tensor_set *set, bool bare,
                                      const char *name)
{
    const tensor_info *found = checkpoint_find_under(cp, set->prefix, set->length, name);
    return found || bare ? found : checkpoint_find(cp, name);
}

static mohvit_status fit(tensor_set *set, const checkpoint *cp, bool bare, const config *c, mohvit_error *err)
{
    tensor_list list;
    mohvit_status status = model_tensors(&list, c, err);
    if (status)
        return status;
    size_t fitting = 0;
    for (size_t i = 0; i < list.count; i++)
        fitting += tensor_fits(find_in_set(cp, set, bare, list.tensors[i].name), &list.tensors[i]);
    if (!set->count || fitting * set->count > set->fitting * list.count) {
        set->fitting = fitting;
        set->count = list.count;
        set->config = *c;
    }
    tensor_list_free(&list);
    return MOHVIT_OK;
}

/* Which published variant the set comes nearest to, with as many classes as its head has. */
static mohvit_status recognise(tensor_set *set, const checkpoint *cp, bool bare, mohvit_error *err)
{
    const tensor_info *head = find_in_set(cp, set, bare, "head.weight");
    const char *name;
    mohvit_status status = MOHVIT_OK;
    bool known = head && head->rank == 2 && head->shape[0] && head->shape[0] <= CONFIG_MAX_CLASSES;
    for (size_t i = 0; !status && (name = config_variant_name(i)); i++) {
        config c;
        config_variant(&c, name);
        if (known)
            c.num_classes = head->shape[0];
        status = fit(set, cp, bare, &c, err);
    }
    return status;
}

static bool whole(const tensor_set *set)
{
    return set->fitting == set->count;
}

/* Lists what --key would take the sets by: what the checkpoint was opened with, and their prefixes. */
static mohvit_status several(const checkpoint *cp, const prefixes *p, const char *key, mohvit_error *err)
{
    const char *const *names;
    size_t chosen, used = 0;
    char list[512] = "";
    if (!key || !*key)
        key = checkpoint_sets(cp, &names, &chosen) ? names[chosen] : "";
    for (size_t i = 0; i < p->count && used < sizeof list; i++) {
        const tensor_set *set = &p->sets[i];
        const char *comma = used ? ", " : "", *dot = *key && set->length ? "." : "";
        int length = set->length ? (int)set->length - 1 : 0;
        if (whole(set))
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s%s%.*s", comma,
                                     *key || length ? key : "\"\"", dot, length, set->prefix);
    }
    return error_set(err, MOHVIT_ERROR_ARGUMENT,
                     "%s: several sets of its tensors fit the model; choose one by --key: %s",
                     checkpoint_path(cp), list);
}

mohvit_status tensor_set_find(tensor_set *out, const checkpoint *cp, const config *given, const char *key,
                              mohvit_error *err)
{
    prefixes p;
    mohvit_status status = list_prefixes(&p, cp, err);
    if (!status && (!p.count || (key && p.bare))) { // a key has chosen
        p.sets[0] = (tensor_set){.prefix = ""};
        p.count = 1;
    }
    const tensor_set *best = p.sets;
    size_t fitting = 0;
    for (size_t i = 0; !status && i < p.count; i++) {
        tensor_set *set = &p.sets[i];
        status = given ? fit(set, cp, p.bare, given, err) : recognise(set, cp, p.bare, err);
        fitting += !status && whole(set);
        if (set->fitting * best->count > best->fitting * set->count)
            best = set;
    }
    if (!status && fitting > 1)
        status = several(cp, &p, key, err);
    if (!status)
        *out = *best;
    return status;
}

/* ---- Names that are alike -------------------------------------------------------------------- */

/* Of specs, which begin with their names, or of a name and a spec. */
static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

void tensor_list_sort(tensor_list *list)
{
    qsort(list->tensors, list->count, sizeof *list->tensors, compare_names);
}

bool tensor_listed(const tensor_list *list, const char *name)
{
    return bsearch(name, list->tensors, list->count, sizeof *list->tensors, compare_names) != NULL;
}

const char *tensor_nearest(const char **found, const checkpoint *cp, const tensor_list *list)
{
    const char *stranger = NULL, *nearest = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; !stranger && i < checkpoint_count(cp); i++) {
        const char *name = checkpoint_tensor(cp, i)->name;
        if (!tensor_listed(list, name))
            stranger = name;
    }
    for (size_t i = 0; stranger && i < list->count; i++) {
        const char *name = list->tensors[i].name;
        if (checkpoint_find(cp, name))
            continue;
        size_t far = edit_distance(name, stranger);
        if (far < least) {
            least = far;
            nearest = name;
        }
    }
    *found = stranger;
    return nearest;
}
