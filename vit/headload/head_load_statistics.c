#include "vit/headload/head_load_statistics.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static mohvit_status no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the statistics of so many classes");
}

/* −p log2 p (Shannon 1948), 0 at 0. */
static double surprise(double p)
{
    return p > 0 ? -p * log2(p) : 0;
}

static double entropy(const double *p, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += surprise(p[i]);
    return sum;
}

/* H((p + q) / 2) − (H(p) + H(q)) / 2 (Lin 1991, eq. 4.1), with the entropies of p and q at hand. */
static double divergence(const double *p, double p_entropy, const double *q, double q_entropy, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += surprise((p[i] + q[i]) / 2);
    sum -= (p_entropy + q_entropy) / 2;
    return sum > 0 ? sum : 0; // equal ones may differ by rounding
}

double jensen_shannon(const double *p, const double *q, size_t n)
{
    return divergence(p, entropy(p, n), q, entropy(q, n), n);
}

// ---- Distributions ---------------------------------------------------------------------------------

typedef struct {
    size_t count, heads; /* classes with images, routed heads */
    size_t *classes;     /* (count) */
    double *p;           /* (count, heads) */
    double *entropy;     /* (count) of each */
} distributions;

static void distributions_free(distributions *r)
{
    free(r->classes);
    free(r->p);
    free(r->entropy);
}

/* Which images. */
typedef enum { WHOLE, HALF, REST } part;

static int64_t images_of(const head_load *l, part p, size_t c)
{
    return p == HALF ? l->half_images[c] : p == REST ? l->images[c] - l->half_images[c] : l->images[c];
}

static int64_t active_of(const head_load *l, part p, size_t at)
{
    return p == HALF ? l->half_active[at] : p == REST ? l->active[at] - l->half_active[at] : l->active[at];
}

/* Of the chosen classes that have images. */
static mohvit_status distributions_read(distributions *r, const head_load *l, const routing_block *b, part of,
                                        const size_t *chosen, size_t count, mohvit_error *err)
{
    *r = (distributions){.heads = routing_candidates(b)};
    r->classes = memory_alloc(count + 1, sizeof *r->classes);
    r->p = memory_alloc(count * r->heads + 1, sizeof *r->p);
    r->entropy = memory_alloc(count + 1, sizeof *r->entropy);
    if (!r->classes || !r->p || !r->entropy) {
        distributions_free(r);
        return no_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        size_t c = chosen[i];
        int64_t images = images_of(l, of, c);
        if (!images)
            continue;
        double all = (double)images * (double)b->tokens * (double)b->routed;
        double *p = r->p + r->count * r->heads;
        for (size_t h = 0; h < r->heads; h++)
            p[h] = (double)active_of(l, of, head_load_at(l, c, b->index, b->shared + h)) / all;
        r->entropy[r->count] = entropy(p, r->heads);
        r->classes[r->count++] = c;
    }
    return MOHVIT_OK;
}

static double pair_divergence(const distributions *r, size_t i, size_t j)
{
    return divergence(r->p + i * r->heads, r->entropy[i], r->p + j * r->heads, r->entropy[j], r->heads);
}

// ---- Statistics of a block -------------------------------------------------------------------------

static void heads_means(block_statistics *s, const head_load *l)
{
    size_t block = s->block->index;
    double n = (double)s->classes;
    for (size_t c = 0; c < l->names.count; c++) {
        if (!l->images[c])
            continue;
        double share = head_load_gate_share_of_routed(l, c, block);
        s->routed_share += share > 0 ? share / n : 0; // NaN where there are no gates at all
        for (size_t h = 0; h < s->block->heads; h++) {
            double gate_share = head_load_gate_share(l, c, block, h);
            s->means[h].load += head_load_of(l, c, block, h) / n;
            s->means[h].gate += head_load_gate_mean(l, c, block, h) / n;
            s->means[h].gate_share += gate_share > 0 ? gate_share / n : 0;
        }
    }
}

/* How evenly the router spreads its work: the coefficient of variation of Shazeer et al. 2017 (section 4),
 * taken of the loads. */
static void balance(block_statistics *s)
{
    const routing_block *b = s->block;
    double squares = 0, balanced = routing_balanced(b); // which is the mean
    s->min = INFINITY;
    for (size_t h = b->shared; h < b->heads; h++) {
        double load = s->means[h].load;
        s->min = load < s->min ? load : s->min;
        s->max = load > s->max ? load : s->max;
        squares += (load - balanced) * (load - balanced);
        if (load == 0)
            s->dead[s->dead_count++] = h;
    }
    s->cv = sqrt(squares / (double)routing_candidates(b)) / balanced;
    s->max_mean = s->max / balanced;
}

/* Heads that are dead for a class, and not for all; head by head. */
static mohvit_status find_dead_for(block_statistics *s, const head_load *l, mohvit_error *err)
{
    for (size_t h = s->block->shared; h < s->block->heads; h++) {
        for (size_t c = 0; s->means[h].load > 0 && c < l->names.count; c++) {
            if (!l->images[c] || l->active[head_load_at(l, c, s->block->index, h)])
                continue;
            class_head *more = memory_grow(s->dead_for, s->dead_for_count, &s->dead_for_room, sizeof *more);
            if (!more)
                return no_memory(err);
            s->dead_for = more;
            s->dead_for[s->dead_for_count++] = (class_head){c, h};
        }
    }
    return MOHVIT_OK;
}

/* H(mean p) − mean H(p): the divergence of all distributions with equal weights (Lin 1991, eq. 5.1), which is
 * the information that a selected head gives of the class. */
static void entropies(block_statistics *s, const distributions *r)
{
    double mean[ROUTING_MAX_HEADS] = {0};
    for (size_t i = 0; i < r->count; i++) {
        s->entropy_classes += r->entropy[i] / (double)r->count;
        for (size_t h = 0; h < r->heads; h++)
            mean[h] += r->p[i * r->heads + h] / (double)r->count;
    }
    s->entropy = entropy(mean, r->heads);
    s->divergence = s->entropy > s->entropy_classes ? s->entropy - s->entropy_classes : 0;
}

static int more_specific(const void *a, const void *b)
{
    const specific_head *x = a, *y = b;
    if (x->specificity != y->specificity)
        return x->specificity < y->specificity ? 1 : -1;
    return (x->head > y->head) - (x->head < y->head);
}

/* A head's p(class | head) ∝ load, and what it leaves uncertain. */
static void rank_heads(block_statistics *s, const distributions *r, const head_load *l,
                       const class_tests *tests)
{
    double n = (double)r->count;
    for (size_t h = 0; h < r->heads; h++) {
        double sum = 0, uncertain = 0;
        specific_head head = {.head = s->block->shared + h, .class_index = r->classes[0], .load = -1};
        for (size_t i = 0; i < r->count; i++) {
            double load = r->p[i * r->heads + h] * (double)s->block->routed;
            sum += load;
            if (load > head.load) {
                head.load = load;
                head.class_index = r->classes[i];
            }
        }
        if (sum == 0)
            continue; // dead
        for (size_t i = 0; i < r->count; i++)
            uncertain += surprise(r->p[i * r->heads + h] * (double)s->block->routed / sum);
        head.mean = sum / n;
        head.specificity = r->count > 1 ? 1 - uncertain / log2(n) : 0;
        head.specificity = head.specificity > 0 ? head.specificity : 0; // rounding
        head.chance = chance_specificity(l, s->block->index, head.head);
        head.p = class_tests_p(tests, s->block->index, head.head);
        head.specific = head.p <= tests->least; // not where p is NaN
        s->specific[s->specific_count++] = head;
    }
    qsort(s->specific, s->specific_count, sizeof *s->specific, more_specific);
}

static void compare_pairs(block_statistics *s, const distributions *r)
{
    double sum = 0;
    s->compared = r->count >= 2 && r->count <= STATISTICS_MAX_CLASSES;
    s->nearest.divergence = INFINITY;
    s->farthest.divergence = -1;
    for (size_t i = 0; s->compared && i < r->count; i++) {
        for (size_t j = i + 1; j < r->count; j++) {
            class_pair pair = {r->classes[i], r->classes[j], pair_divergence(r, i, j)};
            sum += pair.divergence;
            if (pair.divergence < s->nearest.divergence)
                s->nearest = pair;
            if (pair.divergence > s->farthest.divergence)
                s->farthest = pair;
            if (pair.divergence < s->like_divergence[pair.a]) {
                s->like[pair.a] = pair.b;
                s->like_divergence[pair.a] = pair.divergence;
            }
            if (pair.divergence < s->like_divergence[pair.b]) {
                s->like[pair.b] = pair.a;
                s->like_divergence[pair.b] = pair.divergence;
            }
        }
    }
    if (s->compared)
        s->mean_divergence = sum / ((double)r->count * (double)(r->count - 1) / 2);
}

/* At most the divergence of p and q, without a logarithm: the square of Σ |p − q|, over 8 ln 2, by Pinsker's
 * inequality for both halves of it. */
static double least_divergence(const distributions *r, size_t i, size_t j)
{
    const double *p = r->p + i * r->heads, *q = r->p + j * r->heads;
    double sum = 0;
    for (size_t h = 0; h < r->heads; h++)
        sum += fabs(p[h] - q[h]);
    return sum * sum / (8 * M_LN2);
}

/* near (count), distance (count): of each class, by its place in r, the one that routes most like it; returns
 * a class of the nearest pair. */
static size_t find_nearest(const distributions *r, size_t *near, double *distance)
{
    size_t first = 0;
    for (size_t i = 0; i < r->count; i++)
        distance[i] = INFINITY;
    for (size_t i = 0; i < r->count; i++) {
        for (size_t j = i + 1; j < r->count; j++) {
            if (least_divergence(r, i, j) >= fmax(distance[i], distance[j]))
                continue;
            double d = pair_divergence(r, i, j);
            if (d < distance[i]) {
                near[i] = j;
                distance[i] = d;
            }
            if (d < distance[j]) {
                near[j] = i;
                distance[j] = d;
            }
        }
    }
    for (size_t i = 0; i < r->count; i++)
        first = distance[i] < distance[first] ? i : first;
    return first;
}

/* Takes back what a half of the images does not say. */
static mohvit_status ask_half(block_statistics *s, const head_load *l, part half, mohvit_error *err)
{
    distributions r;
    size_t classes = l->names.count, *all = memory_alloc(classes, sizeof *all),
           *near = memory_alloc(classes, sizeof *near);
    double *distance = memory_alloc(classes, sizeof *distance);
    bool *said = calloc(classes, sizeof *said);
    mohvit_status status = all && near && distance && said ? MOHVIT_OK : no_memory(err);
    for (size_t c = 0; !status && c < classes; c++)
        all[c] = c;
    if (!status)
        status = distributions_read(&r, l, s->block, half, all, classes, err);
    if (!status) {
        size_t first = find_nearest(&r, near, distance);
        for (size_t i = 0; r.count > 1 && i < r.count; i++)
            said[r.classes[i]] = s->like[r.classes[i]] == r.classes[near[i]];
        s->nearest_agreed = s->nearest_agreed && r.count == s->classes && r.count > 1 &&
                            ((r.classes[first] == s->nearest.a && r.classes[near[first]] == s->nearest.b) ||
                             (r.classes[first] == s->nearest.b && r.classes[near[first]] == s->nearest.a));
        for (size_t c = 0; c < classes; c++)
            s->like_agreed[c] = s->like_agreed[c] && said[c];
        distributions_free(&r);
    }
    free(all);
    free(near);
    free(distance);
    free(said);
    return status;
}

/* Of who is most alike. */
static mohvit_status ask_halves(block_statistics *s, const head_load *l, mohvit_error *err)
{
    s->nearest_agreed = s->compared;
    for (size_t c = 0; c < l->names.count; c++)
        s->like_agreed[c] = isfinite(s->like_divergence[c]);
    if (!s->compared || !l->has_squares)
        return MOHVIT_OK;
    mohvit_status status = ask_half(s, l, HALF, err);
    return status ? status : ask_half(s, l, REST, err);
}

mohvit_status block_statistics_compute(block_statistics *s, const head_load *l, size_t block,
                                       const class_tests *tests, mohvit_error *err)
{
    distributions r;
    *s = (block_statistics){.block = &l->routing.blocks[block]};
    head_load_images(l, &s->classes);
    if (!routing_routes(s->block))
        return MOHVIT_OK;
    size_t heads = s->block->heads, classes = l->names.count;
    s->means = calloc(heads, sizeof *s->means);
    s->dead = memory_alloc(heads, sizeof *s->dead);
    s->specific = memory_alloc(heads, sizeof *s->specific);
    s->like = memory_alloc(classes, sizeof *s->like);
    s->like_divergence = memory_alloc(classes, sizeof *s->like_divergence);
    s->like_agreed = calloc(classes, sizeof *s->like_agreed);
    bool room = s->like_agreed && s->means && s->dead && s->specific && s->like && s->like_divergence;
    for (size_t c = 0; room && c < classes; c++) {
        s->like[c] = c;
        s->like_divergence[c] = INFINITY;
    }
    mohvit_status status =
        room ? distributions_read(&r, l, s->block, WHOLE, s->like, classes, err) : no_memory(err);
    if (status) {
        block_statistics_free(s);
        return status;
    }
    if (r.count) {
        heads_means(s, l);
        balance(s);
        entropies(s, &r);
        s->chance = chance_divergence(l, block);
        rank_heads(s, &r, l, tests);
        compare_pairs(s, &r);
        status = find_dead_for(s, l, err);
        if (!status)
            status = ask_halves(s, l, err);
    }
    distributions_free(&r);
    if (status)
        block_statistics_free(s);
    return status;
}

void block_statistics_free(block_statistics *s)
{
    free(s->means);
    free(s->dead);
    free(s->dead_for);
    free(s->specific);
    free(s->like);
    free(s->like_divergence);
    free(s->like_agreed);
    *s = (block_statistics){0};
}

// ---- JSON ------------------------------------------------------------------------------------------

/* array and one more element, either of which may be NULL; NULL without memory. */
static json_t *with(json_t *array, json_t *value)
{
    if (!json_array_append_new(array, value))
        return array;
    json_decref(array);
    return NULL;
}

static json_t *pair_json(bool known_pair, const class_pair *p)
{
    return known_pair ? json_pack("{s:I, s:I, s:f}", "a", (json_int_t)p->a, "b", (json_int_t)p->b,
                                  "divergence", p->divergence)
                      : json_null();
}

static json_t *dead_json(const block_statistics *s)
{
    json_t *array = json_array();
    for (size_t i = 0; i < s->dead_count; i++)
        array = with(array, json_integer((json_int_t)s->dead[i]));
    return array;
}

static json_t *dead_for_json(const block_statistics *s)
{
    json_t *array = json_array();
    for (size_t i = 0; i < s->dead_for_count; i++)
        array = with(array, json_pack("{s:I, s:I}", "class", (json_int_t)s->dead_for[i].class_index, "head",
                                      (json_int_t)s->dead_for[i].head));
    return array;
}

/* null of NaN. */
static json_t *known(double value)
{
    return isnan(value) ? json_null() : json_real(value);
}

static json_t *specific_json(const block_statistics *s, const labels *names)
{
    json_t *array = json_array();
    for (size_t i = 0; i < s->specific_count; i++) {
        const specific_head *h = &s->specific[i];
        array = with(array,
                     json_pack("{s:I, s:f, s:o, s:o, s:b, s:I, s:s, s:f, s:f}", "head", (json_int_t)h->head,
                               "specificity", h->specificity, "chance", known(h->chance), "p", known(h->p),
                               "class_specific", h->specific, "class", (json_int_t)h->class_index, "label",
                               names->name[h->class_index], "load", h->load, "load_mean", h->mean));
    }
    return array;
}

static json_t *heads_json(const block_statistics *s)
{
    json_t *array = json_array();
    for (size_t h = 0; h < s->block->heads; h++)
        array = with(array, json_pack("{s:I, s:s, s:f, s:f, s:f}", "head", (json_int_t)h, "kind",
                                      h < s->block->shared ? "shared" : "routed", "load", s->means[h].load,
                                      "gate", s->means[h].gate, "gate_share", s->means[h].gate_share));
    return array;
}

static json_t *like_json(const block_statistics *s, size_t classes)
{
    json_t *array = json_array();
    for (size_t c = 0; c < classes; c++)
        if (s->like_agreed[c])
            array = with(array, json_pack("{s:I, s:I, s:f}", "class", (json_int_t)c, "like",
                                          (json_int_t)s->like[c], "divergence", s->like_divergence[c]));
    return array;
}

json_t *block_statistics_to_json(const block_statistics *s, const labels *names)
{
    const routing_block *b = s->block;
    json_t *object = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "stage", (json_int_t)b->stage, "block",
                               (json_int_t)b->block, "heads", (json_int_t)b->heads, "shared",
                               (json_int_t)b->shared, "routed", (json_int_t)b->routed, "classes",
                               (json_int_t)s->classes, "routes", routing_routes(b));
    if (!routing_routes(b) || !s->classes)
        return object;
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"load_balanced", routing_balanced(b)},
        {"load_min", s->min},
        {"load_max", s->max},
        {"load_cv", s->cv},
        {"load_max_over_mean", s->max_mean},
        {"entropy", s->entropy},
        {"entropy_max", log2((double)routing_candidates(b))},
        {"entropy_of_class", s->entropy_classes},
        {"divergence", s->divergence},
        {"chance", s->chance},
        {"above_chance", s->divergence - s->chance},
        {"divergence_of_pair", s->compared ? s->mean_divergence : NAN},
        {"gate_share_of_routed", s->routed_share},
    };
    json_t *statistics =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "means_of_heads", heads_json(s), "dead_for_classes",
                  dead_for_json(s), "dead_heads", dead_json(s), "specific_heads", specific_json(s, names),
                  "most_alike", pair_json(s->nearest_agreed, &s->nearest), "least_alike",
                  pair_json(s->compared, &s->farthest), "like", like_json(s, names->count));
    bool fine = statistics;
    for (size_t i = 0; fine && i < sizeof numbers / sizeof *numbers; i++)
        fine = !json_object_set_new(statistics, numbers[i].key, known(numbers[i].value));
    if (!fine) {
        json_decref(statistics);
        json_decref(object);
        return NULL;
    }
    if (!json_object_update_new(object, statistics))
        return object;
    json_decref(object);
    return NULL;
}

// ---- Similarity ------------------------------------------------------------------------------------

/* distance (count, count) = the roots of divergences, which obey the triangle inequality (Endres and
 * Schindelin 2003), as does the root of a mean of their squares. */
static void distances_of(float *distance, const double *divergence, size_t count)
{
    for (size_t i = 0; i < count * count; i++)
        distance[i] = (float)sqrt(divergence[i]);
}

/* Adds a block's, `weight` times, to divergence (count, count). */
static void add_divergences(double *divergence, const distributions *r, double weight)
{
    for (size_t i = 0; i < r->count; i++)
        for (size_t j = 0; j < i; j++)
            divergence[i * r->count + j] = divergence[j * r->count + i] += weight * pair_divergence(r, i, j);
}

mohvit_status class_similarity_compute(class_similarity *s, const head_load *l, const routing_block *only,
                                       const size_t *chosen, size_t count, mohvit_error *err)
{
    distributions r;
    *s = (class_similarity){.only = only};
    mohvit_status status = MOHVIT_OK;
    for (size_t b = 0; b < l->routing.count; b++)
        s->blocks += routing_routes(&l->routing.blocks[b]) && (!only || only->index == b);
    for (size_t i = 0; i < count; i++)
        s->count += l->images[chosen[i]] > 0;
    if (!s->blocks || !s->count || s->count > STATISTICS_MAX_CLASSES)
        return error_set(err, MOHVIT_ERROR_ARGUMENT,
                         !s->blocks ? "%s: no block routes: all its heads are always on"
                                    : "%s: %zu classes with images; expected 1 to %d to compare",
                         l->routing.model, s->count, STATISTICS_MAX_CLASSES);
    s->classes = memory_alloc(s->count, sizeof *s->classes);
    s->order = memory_alloc(s->count, sizeof *s->order);
    s->steps = memory_alloc(s->count, sizeof *s->steps);
    s->divergence = calloc(s->count * s->count, sizeof *s->divergence);
    float *distance = memory_alloc(s->count * s->count, sizeof *distance);
    if (!s->classes || !s->order || !s->steps || !s->divergence || !distance)
        status = no_memory(err);
    for (size_t i = 0, at = 0; !status && i < count; i++)
        if (l->images[chosen[i]])
            s->classes[at++] = chosen[i];
    for (size_t b = 0; !status && b < l->routing.count; b++) {
        const routing_block *block = &l->routing.blocks[b];
        if (!routing_routes(block) || (only && only->index != b))
            continue;
        status = distributions_read(&r, l, block, WHOLE, s->classes, s->count, err);
        if (!status) {
            add_divergences(s->divergence, &r, 1 / (double)s->blocks);
            distributions_free(&r);
        }
    }
    if (!status) {
        distances_of(distance, s->divergence, s->count);
        status = cluster_by_average(s->order, s->steps, distance, s->count, err);
    }
    free(distance);
    if (status)
        class_similarity_free(s);
    return status;
}

void class_similarity_free(class_similarity *s)
{
    free(s->classes);
    free(s->order);
    free(s->steps);
    free(s->divergence);
    *s = (class_similarity){0};
}

mohvit_status head_load_order(size_t *order, const head_load *l, size_t block, const size_t *chosen,
                              size_t count, mohvit_error *err)
{
    const routing_block *b = &l->routing.blocks[block];
    class_similarity s = {0};
    size_t with_images = 0;
    for (size_t i = 0; i < count; i++)
        with_images += l->images[chosen[i]] > 0;
    memcpy(order, chosen, count * sizeof *order);
    if (!routing_routes(b) || count > STATISTICS_MAX_CLASSES || !with_images)
        return MOHVIT_OK;
    mohvit_status status = class_similarity_compute(&s, l, b, chosen, count, err);
    for (size_t i = 0; !status && i < s.count; i++)
        order[i] = s.classes[s.order[i]];
    for (size_t i = 0, at = s.count; !status && i < count; i++)
        if (!l->images[chosen[i]])
            order[at++] = chosen[i];
    class_similarity_free(&s);
    return status;
}
