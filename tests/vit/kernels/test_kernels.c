/* Every version of every entry of the kernel table that this processor can run, against its plain version in
 * reference.c. A name runs the suites that contain it; --bench times them instead, on the shapes of
 * MoH-ViT-S-75, one thread. */
#include "base/clock.h"
#include "tests/vit/kernels/harness.h"
#include "tests/vit/kernels/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const suite *const suites[] = {
    &layer_norm_suite,
    &bias_suite,
    &gelu_suite,
    &l2_normalise_suite,
    &depthwise_suite,
    &affine2_relu_suite,
    &gates_suite,
    &product_suites[PRECISION_F32],
    &product_suites[PRECISION_BF16],
    &product_suites[PRECISION_INT8],
    &product_suites[PRECISION_F16],
    &pairs_suite,
    &attend_suite,
    &multiply_adds_suite,
};

bool suite_applies(const suite *s, size_t index)
{
    static const kernels none;
    const kernels *k = kernels_layer(index), *before = index ? kernels_layer(index - 1) : &none;
    return memcmp((const char *)k + s->first, (const char *)before + s->first, s->end - s->first) != 0;
}

/* ---- The table --------------------------------------------------------------------------------- */

typedef void entry(void); // all that follows the names in the table is pointers, but for names to functions

static void every_entry_has_a_suite(void **state)
{
    (void)state;
    for (size_t at = offsetof(kernels, layer_norm); at < sizeof(kernels); at += sizeof(entry *)) {
        size_t count = 0;
        for (size_t i = 0; i < LENGTH(suites); i++)
            count += suites[i]->first <= at && at < suites[i]->end;
        if (count != 1)
            fail_msg("the entry at byte %zu of the kernel table has %zu suites", at, count);
    }
    for (size_t i = 0; i < LENGTH(suites); i++)
        assert_true(suites[i]->count > 0);
}

static void there_is_a_baseline_and_the_widest_set_is_chosen(void **state)
{
    (void)state;
    const kernels *k, *chosen, *widest = NULL;
    assert_string_equal(kernels_available(0)->isa, "baseline");
    for (size_t set = 0; (k = kernels_available(set)); set++)
        widest = k;
    unsetenv("MOHVIT_ISA");
    for (size_t set = 0; set < 2; set++) {
        assert_int_equal(kernels_choose(&chosen, NULL), MOHVIT_OK);
        assert_ptr_equal(chosen, widest);
        setenv("MOHVIT_ISA", "", 1); // is as if it were not set
    }
    for (size_t set = 0; (k = kernels_available(set)); set++) {
        setenv("MOHVIT_ISA", k->isa, 1);
        assert_int_equal(kernels_choose(&chosen, NULL), MOHVIT_OK);
        assert_ptr_equal(chosen, k);
    }
    mohvit_error err;
    setenv("MOHVIT_ISA", "mmx", 1);
    assert_int_equal(kernels_choose(&chosen, &err), MOHVIT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "MOHVIT_ISA=mmx"));
    unsetenv("MOHVIT_ISA");
}

static bool processor_is_amd(void)
{
    char line[256] = "";
    FILE *f = fopen("/proc/cpuinfo", "r");
    bool amd = false;
    while (f && !amd && fgets(line, sizeof line, f))
        amd = strstr(line, "AuthenticAMD") != NULL;
    if (f)
        fclose(f);
    return amd;
}

/* What a version need not have, as kernels.h says. */
static bool is_optional(size_t at)
{
    for (precision p = 0; p < PRECISIONS; p++)
        if (at == offsetof(kernels, gemm[p].row_bytes) || at == offsetof(kernels, gemm[p].encode))
            return true;
    return false;
}

/* A set is what its features add up to, its last layer; but VDPBF16PS multiplies on AMD's processors alone,
 * and nothing is emulated unless it is asked for. */
static void a_set_is_the_best_of_its_features(void **state)
{
    (void)state;
    const kernels *k;
    for (size_t set = 0; (k = kernels_available(set)); set++) {
        kernels last = {0}, found = *k;
        for (size_t i = 0; kernels_layer(i); i++)
            if (!strcmp(kernels_layer(i)->isa, k->isa))
                last = *kernels_layer(i);
        if (strstr(last.gemm[PRECISION_BF16].name, "_dot_avx512") && !processor_is_amd()) {
            assert_non_null(strstr(k->gemm[PRECISION_BF16].name, "_widen_"));
            last.gemm[PRECISION_BF16] = k->gemm[PRECISION_BF16];
        }
        if (strstr(last.gemm[PRECISION_F16].name, "_emulated_")) {
            assert_non_null(strstr(k->gemm[PRECISION_F16].name, "_widen_"));
            last.gemm[PRECISION_F16] = k->gemm[PRECISION_F16];
        }
        found.feature = last.feature;
        assert_memory_equal(&found, &last, sizeof last);
    }
    for (size_t i = 1; kernels_layer(i); i++) // an entry is replaced, never lost
        for (size_t at = offsetof(kernels, layer_norm); at < sizeof(kernels); at += sizeof(entry *)) {
            entry *before, *after;
            memcpy(&before, (const char *)kernels_layer(i - 1) + at, sizeof before);
            memcpy(&after, (const char *)kernels_layer(i) + at, sizeof after);
            assert_true(after || !before || is_optional(at));
        }
}

/* All but float32's, which pairs depend on. */
static void each_version_of_a_product_can_be_chosen_by_its_name(void **state)
{
    (void)state;
    const kernels *k, *chosen;
    mohvit_error err;
    for (size_t set = 0; (k = kernels_available(set)); set++) {
        setenv("MOHVIT_ISA", k->isa, 1);
        setenv("MOHVIT_KERNELS", "", 1); // is as if it were not set
        assert_int_equal(kernels_choose(&chosen, NULL), MOHVIT_OK);
        assert_ptr_equal(chosen, k);
        setenv("MOHVIT_KERNELS", "fp8_abacus", 1);
        assert_int_equal(kernels_choose(&chosen, &err), MOHVIT_ERROR_UNSUPPORTED);
        assert_non_null(strstr(err.message, "MOHVIT_KERNELS=fp8_abacus"));
        bool of_set = true; // or of a narrower one
        for (size_t i = 0; kernels_layer(i); i++) {
            of_set = of_set && (i == 0 || strcmp(kernels_layer(i - 1)->isa, k->isa) != 0 ||
                                !strcmp(kernels_layer(i)->isa, k->isa));
            for (precision p = 0; p < PRECISIONS; p++) {
                const gemm_kernels *version = &kernels_layer(i)->gemm[p];
                if (!version->name)
                    continue;
                setenv("MOHVIT_KERNELS", version->name, 1);
                mohvit_status status = kernels_choose(&chosen, NULL);
                if (p == PRECISION_F32 || !of_set) {
                    assert_int_equal(status, MOHVIT_ERROR_UNSUPPORTED);
                    continue;
                }
                assert_int_equal(status, MOHVIT_OK);
                assert_string_equal(chosen->isa, k->isa);
                assert_non_null(strstr(err.message, version->name));
                kernels expected = *k;
                expected.gemm[p] = *version;
                assert_memory_equal(chosen, &expected, sizeof expected);
            }
        }
    }
    unsetenv("MOHVIT_ISA");
    unsetenv("MOHVIT_KERNELS");
}

static void versions_have_names_of_their_own(void **state)
{
    (void)state;
    for (size_t i = 0; kernels_layer(i); i++)
        for (size_t j = 0; j <= i; j++)
            for (precision p = 0; p < PRECISIONS; p++) {
                const gemm_kernels *a = &kernels_layer(i)->gemm[p], *b = &kernels_layer(j)->gemm[p];
                assert_int_equal(a->name != NULL, a->multiply != NULL);
                if (a->name && b->name)
                    assert_int_equal(!strcmp(a->name, b->name), a->multiply == b->multiply);
            }
}

static int check_table(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_has_a_suite),
        cmocka_unit_test(there_is_a_baseline_and_the_widest_set_is_chosen),
        cmocka_unit_test(a_set_is_the_best_of_its_features),
        cmocka_unit_test(each_version_of_a_product_can_be_chosen_by_its_name),
        cmocka_unit_test(versions_have_names_of_their_own),
    };
    return cmocka_run_group_tests_name("the kernel table", tests, NULL, NULL);
}

static int check(const suite *s, const kernels *k)
{
    enum { MOST = 16 };
    struct CMUnitTest tests[MOST];
    subject tested = {k, s->precision};
    char name[80];
    size_t count = s->count < MOST ? s->count : MOST;
    memcpy(tests, s->tests, count * sizeof *tests);
    for (size_t i = 0; i < count; i++)
        tests[i].initial_state = &tested;
    snprintf(name, sizeof name, "%s, %s", s->name, k->feature);
    return _cmocka_run_group_tests(name, tests, count, NULL, NULL) + (int)(s->count - count);
}

/* ---- Time ------------------------------------------------------------------------------------ */

double bench_seconds(const bench *b, const kernels *k)
{
    double best = 1e9, start = clock_seconds();
    for (int runs = 0; runs < (k ? 5 : 1) || clock_seconds() - start < 0.03; runs++) {
        double before = clock_seconds();
        if (k)
            b->run(k, b->arg);
        else
            b->plain(b->arg);
        double took = clock_seconds() - before;
        best = took < best ? took : best;
    }
    return best;
}

void bench_line(const bench *b, const char *version, double seconds, const char *other, double other_seconds)
{
    char rate[32] = "";
    if (b->macs > 0)
        snprintf(rate, sizeof rate, "%.1f GFLOP/s", 2e-9 * b->macs / seconds);
    printf("%-20s %-26s %-12s %9.1f us %8.3f ns/%-8s %14s %8.2fx %s\n", b->name, b->shape, version,
           seconds * 1e6, seconds * 1e9 / b->units, b->unit, rate, other_seconds / seconds, other);
}

void bench_versions(const suite *s, const bench *b)
{
    const kernels *k;
    double plain = bench_seconds(b, NULL);
    for (size_t i = 0; (k = kernels_layer(i)); i++)
        if (suite_applies(s, i))
            bench_line(b, k->feature, bench_seconds(b, k), "plain", plain);
}

#define STAGE(s, c, h, width, keys)                                                                          \
    {                                                                                                        \
        .side = s, .C = c, .heads = h, .hidden = width, .key_side = keys, .N = (s) * (s)                     \
    }

const stage bench_stages[STAGES] = {STAGE(56, 72, 3, 384, 7), STAGE(28, 144, 6, 768, 7),
                                    STAGE(14, 288, 12, 768, 7), STAGE(7, 576, 24, 1536, 0)};

/* A unit is an element. */
static void bench_each_stage(const suite *s, const bench *b)
{
    for (size_t i = 0; i < STAGES; i++) {
        stage t = bench_stages[i];
        bench of_stage = *b;
        random_stream r = {i + 1};
        char shape[40];
        size_t n = t.N * 2 * t.hidden, width = b->hidden ? t.hidden : t.C;
        t.x = array_random(&r, n, 1);
        t.y = array_random(&r, n, 1);
        t.w = array_random(&r, 9 * t.hidden, 1);
        t.bias = array_random(&r, 2 * t.hidden, 1);
        t.wide_x = widened(t.x, n);
        t.wide_y = widened(t.y, n);
        snprintf(shape, sizeof shape, "%zu x %zu, %zu heads", t.N, width, t.heads);
        of_stage.shape = shape;
        of_stage.unit = "element";
        of_stage.units = (double)(t.N * width);
        of_stage.arg = &t;
        bench_versions(s, &of_stage);
        array_free(t.x);
        array_free(t.y);
        array_free(t.w);
        array_free(t.bias);
        free(t.wide_x);
        free(t.wide_y);
    }
}

int main(int argc, char **argv)
{
    bool timed = argc > 1 && !strcmp(argv[1], "--bench");
    const char *wanted = argc > 1 + timed ? argv[1 + timed] : "";
    int failed = timed ? 0 : check_table();
    for (size_t i = 0; i < LENGTH(suites); i++) {
        if (!strstr(suites[i]->name, wanted))
            continue;
        const suite *s = suites[i];
        for (size_t b = 0; timed && b < s->bench_count; b++)
            bench_each_stage(s, &s->benches[b]);
        if (timed && s->bench)
            s->bench(s);
        for (size_t layer = 0; !timed && kernels_layer(layer); layer++)
            if (suite_applies(s, layer))
                failed += check(s, kernels_layer(layer));
    }
    return failed > 0;
}
