/* Half precision ends at 65504. A network whose numbers lie far beyond it, or below what half precision can
 * tell from 0, gives the logits of the same network within it, by every version of the products in f16: each
 * norm's outputs times 2^e, the weights that read them times 2^-e, which changes no other number. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/network/model.h"
#include "vit/network/synthetic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 5
enum { SIDE = 64, PIXELS = SIDE * SIDE * 3, CLASSES = 100, FEATURES = 192, IMAGES = 3 };

static const config small = {.embed_dims = {24, 48, 96, FEATURES},
                             .num_heads = {1, 2, 4, 8},
                             .depths = {1, 1, 1, 1},
                             .mlp_ratios = {8, 8, 4, 4},
                             .sr_ratios = {8, 4, 2, 1},
                             .shared_head = {1, 1, 1, 2},
                             .routed_head = {0, 1, 2, 3},
                             .num_classes = CLASSES,
                             .img_size = SIDE,
                             .pretrain_size = SIDE};

static float images[IMAGES][PIXELS];

static int make_images(void **state)
{
    (void)state;
    synthetic_input(images[0], IMAGES, SIDE, SEED);
    for (size_t i = 0; i < PIXELS; i++) {
        images[1][i] *= 1e6f;
        images[2][i] *= 1e-6f;
    }
    return 0;
}

/* ---- Networks ---------------------------------------------------------------------------------- */

static bool ends(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

/* The weights of SEED; y, what fc1 reads (norm2 without a dot before it ends a stage), and v, one half of
 * what it makes, are 2^e times as large. */
static mohvit_status read_tensor(void *state, const tensor_spec *spec, float *dst, mohvit_error *err)
{
    (void)err;
    int e = *(const int *)state;
    bool norms = ends(spec->name, ".norm2.weight") || ends(spec->name, ".norm2.bias"),
         readers = ends(spec->name, "mlp.fc1.weight") || ends(spec->name, "mlp.fc2.weight"),
         fc1 = ends(spec->name, "mlp.fc1.weight") || ends(spec->name, "mlp.fc1.bias");
    synthetic_tensor(dst, spec, SEED);
    for (size_t i = 0; i < spec->elements; i++) {
        if (norms)
            dst[i] = ldexpf(dst[i], e);
        if (readers)
            dst[i] = ldexpf(dst[i], -e);
        if (fc1 && i >= spec->elements / 2) // [u | v]
            dst[i] = ldexpf(dst[i], e);
    }
    return MOHVIT_OK;
}

typedef struct {
    const model *model;
    scratch scratch;
    profile profile;
    float (*logits)[CLASSES];
    const size_t *order; // of images, one after the other
    size_t count;
} run_job;

static void run(void *arg, team *t)
{
    run_job *job = arg;
    float features[FEATURES];
    const pass p = {.kernels = job->model->numerics.kernels,
                    .team = t,
                    .scratch = &job->scratch,
                    .profile = &job->profile};
    for (size_t i = 0; i < job->count; i++)
        model_forward(job->model, &p, images[job->order[i]],
                      &(forward_result){.features = features, .logits = job->logits[job->order[i]]});
}

/* Of the images in that order, with the same memory. */
static void logits_of(float logits[IMAGES][CLASSES], precision p, int e, size_t threads, const size_t *order,
                      size_t count)
{
    model *m;
    const weight_source source = {.state = &e, .read = read_tensor};
    run_job job = {.logits = logits, .order = order, .count = count};
    assert_int_equal(model_create(&m, &small, &source, "native", p, 1, NULL), MOHVIT_OK);
    job.model = m;
    assert_int_equal(model_scratch(m, &job.scratch, threads, NULL), MOHVIT_OK);
    assert_int_equal(profile_create(&job.profile, threads, NULL), MOHVIT_OK);
    m->numerics.gemms[PRECISION_F32]->run(threads, run, &job);
    scratch_free(&job.scratch);
    profile_free(&job.profile);
    model_destroy(m);
}

/* RMS of the difference, in parts of the standard deviation of b. */
static double stray(const float a[CLASSES], const float b[CLASSES])
{
    double squares = 0, sum = 0, sum_of_squares = 0;
    for (size_t i = 0; i < CLASSES; i++) {
        double difference = (double)a[i] - (double)b[i];
        squares += difference * difference;
        sum += (double)b[i];
        sum_of_squares += (double)b[i] * (double)b[i];
    }
    return sqrt(squares / (sum_of_squares - sum * sum / CLASSES));
}

/* ---- Every version ----------------------------------------------------------------------------- */

/* With MOHVIT_KERNELS set to each that the chosen instruction set has. */
static void for_every_version(void (*check)(bool encodes))
{
    const kernels *k, *chosen;
    for (size_t i = 0; (k = kernels_layer(i)); i++) {
        const gemm_kernels *g = &k->gemm[PRECISION_F16];
        if (i && !strcmp(g->name, kernels_layer(i - 1)->gemm[PRECISION_F16].name))
            continue;
        setenv("MOHVIT_KERNELS", g->name, 1);
        if (!kernels_choose(&chosen, NULL)) {
            print_message("%s\n", g->name);
            check(g->encode != NULL);
        }
        unsetenv("MOHVIT_KERNELS");
    }
}

static const size_t all[IMAGES] = {1, 0, 2}; // the extremes before and behind

static void check_range(bool encodes)
{
    const int exponents[] = {20, 60, -20, -60};
    static float exact[IMAGES][CLASSES], expected[IMAGES][CLASSES], found[IMAGES][CLASSES];
    logits_of(exact, PRECISION_F32, 0, 1, all, IMAGES);
    logits_of(expected, PRECISION_F16, 0, 1, all, IMAGES);
    for (size_t e = 0; e < sizeof exponents / sizeof *exponents; e++) {
        logits_of(found, PRECISION_F16, exponents[e], 1, all, IMAGES);
        for (size_t i = 0; i < IMAGES; i++) {
            assert_true(stray(found[i], exact[i]) < (encodes ? 0.01 : 0.001));
            if (encodes) // rows and weights come to lie where they did
                assert_memory_equal(found[i], expected[i], sizeof found[i]);
        }
    }
}

static void numbers_beyond_half_precision_change_nothing(void **state)
{
    (void)state;
    for_every_version(check_range);
}

static void check_company(bool encodes)
{
    (void)encodes;
    static float together[IMAGES][CLASSES], alone[IMAGES][CLASSES];
    for (size_t threads = 1; threads <= 3; threads++) {
        logits_of(together, PRECISION_F16, 20, threads, all, IMAGES);
        for (size_t i = 0; i < IMAGES; i++) {
            logits_of(alone, PRECISION_F16, 20, 1, &all[i], 1);
            assert_memory_equal(together[all[i]], alone[all[i]], sizeof alone[0]);
        }
    }
}

static void an_image_beyond_the_range_changes_none_beside_it(void **state)
{
    (void)state;
    for_every_version(check_company);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_beyond_half_precision_change_nothing),
        cmocka_unit_test(an_image_beyond_the_range_changes_none_beside_it),
    };
    return cmocka_run_group_tests(tests, make_images, NULL);
}
