#include "vit/network/config.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Published variants (spec 1) ------------------------------------------------------------- */

// clang-format off
#define MICRO_DIMS  {48, 96, 192, 384}, {2, 4, 8, 16}
#define SMALL_DIMS  {72, 144, 288, 576}, {3, 6, 12, 24}
#define BASE_DIMS   {96, 192, 384, 768}, {4, 8, 16, 32}
#define SMALL_DEPTH {5, 5, 22, 5}
#define BASE_DEPTH  {5, 5, 23, 5}
#define SHORT_DEPTH {2, 2, 15, 2}
#define RATIOS      {8, 8, 4, 4}, {8, 4, 2, 1}
#define NONE        {0, 0, 0, 0}
#define IMAGENET    1000, 224, 224, 0, ""

static const struct {
    const char *name;
    config config;
} variants[] = {
    {"moh_transnext_small_80", {SMALL_DIMS, SMALL_DEPTH, RATIOS, {3, 6, 3, 8}, {0, 0, 6, 12}, IMAGENET, false}},
    {"moh_transnext_small_75", {SMALL_DIMS, SMALL_DEPTH, RATIOS, {3, 6, 3, 4}, {0, 0, 6, 12}, IMAGENET, false}},
    {"moh_transnext_base_75",  {BASE_DIMS, BASE_DEPTH, RATIOS, {4, 8, 4, 5}, {0, 0, 8, 16}, IMAGENET, false}},
    {"moh_transnext_base_50",  {BASE_DIMS, BASE_DEPTH, RATIOS, {2, 2, 2, 4}, {2, 4, 6, 8}, IMAGENET, false}},
    {"transnext_micro", {MICRO_DIMS, SHORT_DEPTH, RATIOS, {2, 4, 8, 16}, NONE, IMAGENET, true}},
    {"transnext_tiny",  {SMALL_DIMS, SHORT_DEPTH, RATIOS, {3, 6, 12, 24}, NONE, IMAGENET, true}},
    {"transnext_small", {SMALL_DIMS, SMALL_DEPTH, RATIOS, {3, 6, 12, 24}, NONE, IMAGENET, true}},
    {"transnext_base",  {BASE_DIMS, BASE_DEPTH, RATIOS, {4, 8, 16, 32}, NONE, IMAGENET, true}},
    {"transnext_micro_aaaa", {MICRO_DIMS, SHORT_DEPTH, {8, 8, 4, 4}, {16, 8, 4, 2}, {2, 4, 8, 16}, NONE,
                              1000, 256, 256, 0, "", true}}, // aggregated attention in all four stages
};
// clang-format on

#define VARIANTS (sizeof variants / sizeof *variants)

const char *config_variant_name(size_t index)
{
    return index < VARIANTS ? variants[index].name : NULL;
}

bool config_variant(config *out, const char *name)
{
    for (size_t i = 0; i < VARIANTS; i++)
        if (!strcmp(variants[i].name, name)) {
            *out = variants[i].config;
            return true;
        }
    return false;
}

const char *config_name(const config *c)
{
    for (size_t i = 0; i < VARIANTS; i++) {
        config v = variants[i].config;
        bool same = v.dense == c->dense;
        for (size_t s = 0; s < STAGES; s++)
            same = same && v.embed_dims[s] == c->embed_dims[s] && v.num_heads[s] == c->num_heads[s] &&
                   v.depths[s] == c->depths[s] && fabs(v.mlp_ratios[s] - c->mlp_ratios[s]) < 1e-9 &&
                   v.sr_ratios[s] == c->sr_ratios[s] && v.shared_head[s] == c->shared_head[s] &&
                   !v.routed_head[s] == !c->routed_head[s];
        if (same)
            return variants[i].name;
    }
    return *c->name ? c->name : "custom";
}

mohvit_status config_set_routed(config *c, const char *routed_heads, mohvit_error *err)
{
    char *end;
    size_t most = 0; /* that a block routes */
    errno = 0;
    unsigned long number = isdigit((unsigned char)*routed_heads) ? strtoul(routed_heads, &end, 10) : 0;
    bool percent = number && *end == '%', routes = false;
    if (!number || errno || end[percent] || (percent && number > 100))
        return error_set(
            err, MOHVIT_ERROR_ARGUMENT,
            "routed heads \"%s\"; expected a number of heads from 1, or 1%% to 100%% of those that "
            "are routed",
            routed_heads);
    for (size_t s = 0; s < STAGES; s++)
        most = config_candidates(c, s) > most ? config_candidates(c, s) : most;
    if (!percent && most && number > most)
        return error_set(
            err, MOHVIT_ERROR_ARGUMENT,
            "routed heads \"%s\": no block of this model routes more than %zu heads; percent of them "
            "are written with a %% sign",
            routed_heads, most);
    for (size_t s = 0; s < STAGES; s++) {
        size_t candidates = config_candidates(c, s), routed = number;
        if (!candidates)
            continue;
        routes = true;
        if (percent)
            routed = (number * candidates + 50) / 100;
        c->routed_head[s] = routed < 1 ? 1 : routed < candidates ? routed : candidates;
    }
    if (!routes)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "routed heads \"%s\": %s routes no heads", routed_heads,
                         c->dense ? "a dense model" : "this model");
    return MOHVIT_OK;
}

/* ---- Derived sizes --------------------------------------------------------------------------- */

size_t config_side(const config *c, size_t s)
{
    return c->img_size >> (s + 2); // patches of 4 pixels, then halved by each further stage
}

size_t config_hidden(const config *c, size_t s)
{
    return 2 * (size_t)((double)c->embed_dims[s] * c->mlp_ratios[s]) / 3;
}

bool config_global(const config *c, size_t s)
{
    return c->sr_ratios[s] == 1;
}

size_t config_pool(const config *c, size_t s)
{
    if (config_global(c, s))
        return 0;
    return c->fixed_pool_size ? c->fixed_pool_size : config_side(c, s) / c->sr_ratios[s];
}

size_t config_widest(const config *c)
{
    size_t most = 0;
    for (size_t s = 0; s < STAGES; s++) {
        size_t side = config_side(c, s), floats = side * side * c->embed_dims[s];
        most = floats > most ? floats : most;
    }
    return most;
}

size_t config_blocks(const config *c)
{
    size_t blocks = 0;
    for (size_t s = 0; s < STAGES; s++)
        blocks += c->depths[s];
    return blocks;
}

size_t config_max_heads(const config *c)
{
    size_t max = 0;
    for (size_t s = 0; s < STAGES; s++)
        max = c->num_heads[s] > max ? c->num_heads[s] : max;
    return max;
}

size_t config_candidates(const config *c, size_t s)
{
    return c->routed_head[s] ? c->num_heads[s] - c->shared_head[s] : 0;
}

size_t config_active_heads(const config *c, size_t s)
{
    return c->dense ? c->num_heads[s] : c->shared_head[s] + c->routed_head[s];
}

double config_active_percent(const config *c)
{
    size_t active = 0, heads = 0;
    for (size_t s = 0; s < STAGES; s++) {
        active += c->depths[s] * config_active_heads(c, s);
        heads += c->depths[s] * c->num_heads[s];
    }
    return 100.0 * (double)active / (double)heads;
}

/* ---- Validation ------------------------------------------------------------------------------ */

static mohvit_status check_range(const char *name, const char *key, size_t s, size_t value, size_t low,
                                 size_t high, mohvit_error *err)
{
    if (value >= low && value <= high)
        return MOHVIT_OK;
    char at[16] = "";
    if (s < STAGES)
        snprintf(at, sizeof at, "[%zu]", s);
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: config %s%s is %zu; expected %zu to %zu", name, key, at,
                     value, low, high);
}

static mohvit_status validate_heads(const config *c, size_t s, const char *name, mohvit_error *err)
{
    size_t heads = c->num_heads[s], shared = c->shared_head[s], routed = c->routed_head[s];
    if (c->embed_dims[s] % heads)
        return error_set(err, MOHVIT_ERROR_ARGUMENT,
                         "%s: config embed_dims[%zu] = %zu is not divisible by its %zu heads", name, s,
                         c->embed_dims[s], heads);
    if (c->dense)
        return MOHVIT_OK;
    if (shared > heads || routed > heads - shared)
        return error_set(err, MOHVIT_ERROR_ARGUMENT,
                         "%s: config stage %zu has %zu shared and %zu routed heads; expected at most its %zu "
                         "heads together",
                         name, s + 1, shared, routed, heads);
    if (!routed && shared != heads)
        return error_set(
            err, MOHVIT_ERROR_ARGUMENT,
            "%s: config stage %zu routes no head, so all its %zu heads must be shared; found %zu (or set "
            "\"dense\")",
            name, s + 1, heads, shared);
    return MOHVIT_OK;
}

static mohvit_status validate_stage(const config *c, size_t s, const char *name, mohvit_error *err)
{
    const struct {
        const char *key;
        size_t value, high;
    } ranges[] = {
        {"embed_dims", c->embed_dims[s], CONFIG_MAX_DIM},
        {"num_heads", c->num_heads[s], CONFIG_MAX_HEADS},
        {"depths", c->depths[s], CONFIG_MAX_DEPTH},
        {"sr_ratios", c->sr_ratios[s], CONFIG_MAX_SR_RATIO},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        mohvit_status status = check_range(name, ranges[i].key, s, ranges[i].value, 1, ranges[i].high, err);
        if (status)
            return status;
    }
    if (!(c->mlp_ratios[s] >= 1 && c->mlp_ratios[s] <= CONFIG_MAX_MLP_RATIO))
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: config mlp_ratios[%zu] is %g; expected 1 to %d",
                         name, s, c->mlp_ratios[s], CONFIG_MAX_MLP_RATIO);
    if (!config_hidden(c, s))
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: config stage %zu has an MLP of width 0", name,
                         s + 1);
    return validate_heads(c, s, name, err);
}

static mohvit_status validate_pool(const config *c, const char *name, mohvit_error *err)
{
    for (size_t s = 0; s < STAGES; s++) {
        if (config_global(c, s))
            continue;
        size_t side = config_side(c, s);
        if (!config_pool(c, s))
            return error_set(err, MOHVIT_ERROR_ARGUMENT,
                             "%s: config stage %zu pools its side of %zu by %zu, which leaves nothing", name,
                             s + 1, side, c->sr_ratios[s]);
        if (c->fixed_pool_size >= side)
            return error_set(err, MOHVIT_ERROR_ARGUMENT,
                             "%s: config fixed_pool_size is %zu; expected less than stage %zu's side of %zu",
                             name, c->fixed_pool_size, s + 1, side);
    }
    return MOHVIT_OK;
}

/* Every factor has been checked, so a double holds the products. */
static mohvit_status validate_tables(const config *c, const char *name, mohvit_error *err)
{
    double tables = 0;
    for (size_t s = 0; s < STAGES; s++) {
        size_t side = config_side(c, s);
        double offsets = (double)(config_global(c, s) || side % config_pool(c, s) == 0 ? 2 * side : 4 * side);
        tables += (double)c->depths[s] * (double)c->num_heads[s] * offsets * offsets;
    }
    if (tables <= (double)CONFIG_MAX_TABLES)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_LIMIT,
                     "%s: config needs %.3g numbers of position bias; expected at most %.3g", name, tables,
                     (double)CONFIG_MAX_TABLES);
}

mohvit_status config_validate(const config *c, const char *name, mohvit_error *err)
{
    mohvit_status status;
    for (size_t s = 0; s < STAGES; s++)
        if ((status = validate_stage(c, s, name, err)))
            return status;
    if ((status = check_range(name, "num_classes", STAGES, c->num_classes, 1, CONFIG_MAX_CLASSES, err)) ||
        (status =
             check_range(name, "img_size", STAGES, c->img_size, CONFIG_MIN_SIZE, CONFIG_MAX_SIZE, err)) ||
        (status = check_range(name, "pretrain_size", STAGES, c->pretrain_size, CONFIG_MIN_SIZE,
                              CONFIG_MAX_SIZE, err)))
        return status;
    if (c->img_size % 32)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: config img_size is %zu; expected a multiple of 32",
                         name, c->img_size);
    status = validate_pool(c, name, err);
    return status ? status : validate_tables(c, name, err);
}
