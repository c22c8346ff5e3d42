/* How far lower precisions stray from the published code in float64, on the golden files: the RMS difference
 * of the logits, in parts of their standard deviation. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/api/internal.h"
#include "vit/network/synthetic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const files[] = {
    "tiny_trace",
    "transnext_tiny",
    "moh_transnext_small_75",
    "moh_transnext_small_80",
    "moh_transnext_base_50",
    "moh_transnext_base_75",
    "small_75_at_256_pretrain_224",
    "small_80_at_384_fixed_pool_7",
    "transnext_micro_aaaa",
};
#define FEW 2 // SMALL_FILES: sanitizers and slow kernels would take minutes for the others

typedef struct {
    config config;
    size_t batch;
    uint64_t seed;
    float *logits; /* (batch, classes), expected */
} golden_file;

static golden_file golden_read(const char *name)
{
    char path[512];
    checkpoint *cp;
    warning_sink quiet = {0};
    golden_file g;
    snprintf(path, sizeof path, "%s/%s.safetensors", GOLDEN_DIR, name);
    assert_int_equal(checkpoint_open(&cp, path, NULL, &quiet, NULL), MOHVIT_OK);
    const char *text = checkpoint_metadata(cp, "config");
    assert_int_equal(config_from_json(&g.config, text, strlen(text), path, NULL), MOHVIT_OK);
    g.batch = strtoul(checkpoint_metadata(cp, "batch"), NULL, 10);
    g.seed = strtoull(checkpoint_metadata(cp, "seed"), NULL, 10);
    g.logits = malloc(g.batch * g.config.num_classes * sizeof *g.logits);
    assert_int_equal(checkpoint_read_f32(cp, checkpoint_find(cp, "logits"), g.logits, NULL), MOHVIT_OK);
    checkpoint_close(cp);
    return g;
}

/* RMS of the difference over the standard deviation. */
static double stray(const golden_file *g, mohvit_precision p)
{
    mohvit_model *m;
    mohvit_context *ctx;
    mohvit_options options = {.size = sizeof options, .precision = p};
    size_t S = g->config.img_size, classes = g->config.num_classes, n = g->batch * classes;
    float *input = malloc(g->batch * 3 * S * S * sizeof *input);
    double squares = 0, sum = 0, sum_of_squares = 0;
    assert_int_equal(mohvit_open_config(&m, &g->config, g->seed, &options, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_context_create(&ctx, m, g->batch, 0, NULL), MOHVIT_OK);
    synthetic_input(input, g->batch, S, g->seed);
    for (size_t i = 0; i < g->batch; i++)
        mohvit_load_tensor(ctx, i, input + i * 3 * S * S, NULL);
    assert_int_equal(mohvit_run(ctx, g->batch, NULL), MOHVIT_OK);
    for (size_t i = 0; i < n; i++) {
        double expected = (double)g->logits[i];
        double difference = (double)mohvit_logits(ctx, i / classes)[i % classes] - expected;
        squares += difference * difference;
        sum += expected;
        sum_of_squares += expected * expected;
    }
    mohvit_context_destroy(ctx);
    mohvit_close(m);
    free(input);
    double mean = sum / (double)n;
    return sqrt(squares / (double)n) / sqrt(sum_of_squares / (double)n - mean * mean);
}

static void check(mohvit_precision p, double limit, double at_least)
{
    mohvit_error err;
    mohvit_model *m;
    golden_file first = golden_read(files[0]);
    mohvit_options options = {.size = sizeof options, .precision = p};
    mohvit_status status = mohvit_open_config(&m, &first.config, 0, &options, &err);
    free(first.logits);
    if (status == MOHVIT_ERROR_UNSUPPORTED) {
        print_message("%s\n", err.message);
        skip();
    }
    assert_int_equal(status, MOHVIT_OK);
    mohvit_close(m);
    for (size_t i = 0; i < (getenv("SMALL_FILES") ? FEW : sizeof files / sizeof *files); i++) {
        golden_file g = golden_read(files[i]);
        double found = stray(&g, p);
        print_message("%-30s %s %.4f of the logits' standard deviation\n", files[i], mohvit_precision_name(p),
                      found);
        assert_true(found <= limit);
        assert_true(found >= at_least); // it is not float32 by another name
        free(g.logits);
    }
}

static void bf16_strays_by_at_most_a_tenth_of_a_standard_deviation(void **state)
{
    (void)state;
    check(MOHVIT_PRECISION_BF16, 0.10, 1e-4);
}

static void int8_strays_by_at_most_a_fifth_of_a_standard_deviation(void **state)
{
    (void)state;
    check(MOHVIT_PRECISION_INT8, 0.20, 1e-4);
}

static void f16_strays_by_at_most_6_hundredths_of_a_standard_deviation(void **state)
{
    (void)state;
    check(MOHVIT_PRECISION_F16, 0.06, 1e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bf16_strays_by_at_most_a_tenth_of_a_standard_deviation),
        cmocka_unit_test(int8_strays_by_at_most_a_fifth_of_a_standard_deviation),
        cmocka_unit_test(f16_strays_by_at_most_6_hundredths_of_a_standard_deviation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
