/* What must hold however a forward pass is run: the same bits for any batch and number of threads, nothing
 * allocated, the settings of OpenMP and OpenBLAS left as they were. ctest runs it for each backend, under
 * each flavour of OpenBLAS, each instruction set and each precision. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/api/choices.h"
#include "vit/api/internal.h"
#include "vit/network/synthetic.h"

#include <cblas.h>
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH 8

/* The widths of MoH-ViT-S-75 and its tile shapes, one block deep. */
static config small = {.embed_dims = {72, 144, 288, 576},
                       .num_heads = {3, 6, 12, 24},
                       .depths = {1, 1, 1, 1},
                       .mlp_ratios = {8, 8, 4, 4},
                       .sr_ratios = {8, 4, 2, 1},
                       .shared_head = {3, 2, 3, 4},
                       .routed_head = {0, 2, 6, 12},
                       .num_classes = 1000,
                       .img_size = 224,
                       .pretrain_size = 224};

static mohvit_options options = {.size = sizeof options}; /* as BACKEND and PRECISION ask for */
static mohvit_model *model_small;
static float *input; /* (BATCH, 3, 224, 224) */

static int setup(void **state)
{
    (void)state;
    const char *flavour = getenv("EXPECT_OPENBLAS"); // 1: pthread, 2: openmp
    const char *size = getenv("IMG_SIZE");           // a smaller picture where the whole size takes minutes
    if (size)
        small.img_size = small.pretrain_size = (size_t)atoi(size);
    if (flavour)
        assert_int_equal(openblas_get_parallel(), atoi(flavour));
    size_t floats = BATCH * 3 * small.img_size * small.img_size;
    mohvit_error err;
    input = malloc(floats * sizeof *input);
    if (!input || mohvit_open_config(&model_small, &small, 11, &options, &err))
        return 1;
    synthetic_input(input, BATCH, small.img_size, 11);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mohvit_close(model_small);
    free(input);
    return 0;
}

static mohvit_context *context_with(size_t batch, int threads, size_t first)
{
    mohvit_context *ctx;
    assert_int_equal(mohvit_context_create(&ctx, model_small, batch, threads, NULL), MOHVIT_OK);
    mohvit_settings(ctx)->team_macs = 0; // a team for any of them
    for (size_t i = 0; i < batch; i++)
        mohvit_load_tensor(ctx, i, input + (first + i) % BATCH * 3 * small.img_size * small.img_size, NULL);
    return ctx;
}

typedef struct {
    float logits[1000];
    int32_t head_tokens[4 * 24];
    double gate_sum[4 * 24];
} answer;

static answer answer_of(const mohvit_context *ctx, size_t slot)
{
    answer a;
    memcpy(a.logits, mohvit_logits(ctx, slot), sizeof a.logits);
    memcpy(a.head_tokens, mohvit_head_tokens(ctx, slot), sizeof a.head_tokens);
    memcpy(a.gate_sum, mohvit_head_gate_sum(ctx, slot), sizeof a.gate_sum);
    return a;
}

static void assert_same(const answer *a, const answer *b)
{
    assert_memory_equal(a->logits, b->logits, sizeof a->logits);
    assert_memory_equal(a->head_tokens, b->head_tokens, sizeof a->head_tokens);
    assert_memory_equal(a->gate_sum, b->gate_sum, sizeof a->gate_sum);
}

static void one_by_one(answer expected[BATCH])
{
    for (size_t i = 0; i < BATCH; i++) {
        mohvit_context *ctx = context_with(1, 1, i);
        assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
        expected[i] = answer_of(ctx, 0);
        mohvit_context_destroy(ctx);
    }
}

static void answers_are_bitwise_the_same_for_any_batch_and_threads(void **state)
{
    (void)state;
    static answer expected[BATCH];
    const size_t batches[] = {1, 2, 7, 8};
    const int threads[] = {1, 2, 3, 5};
    one_by_one(expected);
    assert_memory_not_equal(&expected[0], &expected[1], sizeof expected[0]);
    for (size_t t = 0; t < 4; t++)
        for (size_t b = 0; b < 4; b++) {
            size_t first = batches[b] == 1 ? t : 0;
            mohvit_context *ctx = context_with(batches[b], threads[t], first);
            assert_int_equal(mohvit_run(ctx, batches[b], NULL), MOHVIT_OK);
            for (size_t i = 0; i < batches[b]; i++) {
                answer a = answer_of(ctx, i);
                assert_same(&a, &expected[first + i]);
            }
            mohvit_context_destroy(ctx);
        }
}

/* ---- Concurrent contexts ----------------------------------------------------------------------- */

typedef struct {
    size_t image;
    answer answer;
    int omp_threads; // that a region of the caller's own has afterwards
} caller;

#define OWN_THREADS 4

static void *run_often(void *arg)
{
    caller *c = arg;
    omp_set_num_threads(OWN_THREADS);
    mohvit_context *ctx = context_with(1, 2, c->image);
    for (int i = 0; i < 5; i++)
        mohvit_run(ctx, 1, NULL);
    c->answer = answer_of(ctx, 0);
    mohvit_context_destroy(ctx);
    c->omp_threads = omp_get_max_threads();
    return NULL;
}

#define CALLERS 3

static void run_side_by_side(caller callers[CALLERS])
{
    pthread_t threads[CALLERS];
    for (size_t i = 0; i < CALLERS; i++) {
        callers[i].image = i;
        assert_int_equal(pthread_create(&threads[i], NULL, run_often, &callers[i]), 0);
    }
    for (size_t i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
}

static void contexts_of_one_model_run_concurrently(void **state)
{
    (void)state;
    static answer expected[BATCH];
    static caller callers[CALLERS];
    one_by_one(expected);
    run_side_by_side(callers);
    for (size_t i = 0; i < CALLERS; i++)
        assert_same(&callers[i].answer, &expected[i]);
}

/* ---- Memory ------------------------------------------------------------------------------------ */

#ifdef COUNT_ALLOCATIONS
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static atomic_bool counting;
static atomic_size_t allocations;

static void count(void)
{
    if (atomic_load(&counting))
        atomic_fetch_add(&allocations, 1);
}

/* These stand in for the C library's, for all libraries of the process. */
void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    count();
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    count();
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count();
    return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size)
{
    count();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
    count();
    *p = __libc_memalign(alignment, size);
    return *p ? 0 : 12;
}

static int go_on(void *calls, size_t done, size_t total)
{
    (void)done;
    (void)total;
    ++*(size_t *)calls;
    return 0;
}

/* A compiler may leave out a malloc whose memory is freed at once. */
static void *(*volatile kept_malloc)(size_t) = malloc;

static void a_forward_pass_allocates_nothing_after_the_first(void **state)
{
    (void)state;
    const int threads[] = {1, 2, 3};
    const size_t batches[] = {1, 2, 5};
    for (size_t t = 0; t < 3; t++)
        for (size_t b = 0; b < 3; b++) {
            mohvit_context *ctx = context_with(batches[b], threads[t], 0);
            size_t calls = 0;
            mohvit_set_progress(ctx, go_on, &calls);
            mohvit_run(ctx, batches[b], NULL);
            atomic_store(&allocations, 0);
            atomic_store(&counting, true);
            mohvit_run(ctx, batches[b], NULL);
            atomic_store(&counting, false);
            assert_int_equal(atomic_load(&allocations), 0);
            assert_true(calls >= 4);
            mohvit_context_destroy(ctx);
        }
    atomic_store(&counting, true); // the counter itself works
    free(kept_malloc(10));
    atomic_store(&counting, false);
    assert_int_equal(atomic_load(&allocations), 1);
}
#endif

/* ---- Threads ----------------------------------------------------------------------------------- */

static void a_run_leaves_the_settings_of_openmp_and_openblas(void **state)
{
    (void)state;
    mohvit_context *ctx = context_with(2, 2, 0);
    omp_set_num_threads(3);
    openblas_set_num_threads(2);
    int blas = openblas_get_num_threads(), omp = omp_get_max_threads();
    mohvit_run(ctx, 2, NULL);
    assert_int_equal(openblas_get_num_threads(), blas);
    assert_int_equal(omp_get_max_threads(), omp);
    mohvit_context_destroy(ctx);
}

static void settings_are_as_before_once_the_last_context_is_gone(void **state)
{
    (void)state;
    static caller callers[CALLERS];
    mohvit_model *another;
    omp_set_num_threads(3);
    openblas_set_num_threads(2);
    int blas = openblas_get_num_threads(), omp = omp_get_max_threads();
    int dynamic = omp_get_dynamic(), levels = omp_get_max_active_levels();
    assert_int_equal(mohvit_open_config(&another, &small, 12, &options, NULL), MOHVIT_OK);
    run_side_by_side(callers); // whose runs overlap in any order
    mohvit_close(another);
    assert_int_equal(openblas_get_num_threads(), blas);
    assert_int_equal(omp_get_max_threads(), omp);
    assert_int_equal(omp_get_dynamic(), dynamic);
    assert_int_equal(omp_get_max_active_levels(), levels);
    for (size_t i = 0; i < CALLERS; i++)
        assert_int_equal(callers[i].omp_threads, OWN_THREADS);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void threads_sleep_soon_after_a_run(void **state)
{
    (void)state;
    mohvit_context *ctx = context_with(1, 2, 0);
    mohvit_run(ctx, 1, NULL);
    usleep(100000);
    double before = cpu_seconds();
    usleep(500000);
    assert_true(cpu_seconds() - before < 0.01 * 0.5);
    mohvit_context_destroy(ctx);
}

static void computed_pairs_are_those_that_the_router_selected(void **state)
{
    (void)state;
    mohvit_context *ctx = context_with(3, 2, 0);
    mohvit_run(ctx, 3, NULL);
    size_t selected = 0;
    for (size_t slot = 0; slot < 3; slot++)
        for (size_t i = 0; i < 4 * 24; i++) {
            int32_t tokens = mohvit_head_tokens(ctx, slot)[i];
            selected += tokens > 0 ? (size_t)tokens : 0;
        }
    assert_int_equal(mohvit_computed_pairs(ctx), selected);
    mohvit_context_destroy(ctx);
}

/* Whether MOHVIT_KERNELS names what the processor takes by itself, which the tests that name none see. */
static bool names_its_own(const kernels *k)
{
    const char *name = getenv("MOHVIT_KERNELS");
    const kernels *own = NULL;
    if (!name)
        return false;
    unsetenv("MOHVIT_KERNELS");
    mohvit_status status = kernels_choose(&own, NULL);
    setenv("MOHVIT_KERNELS", name, 1);
    return !status && own == k;
}

int main(void)
{
    const kernels *k;
    const gemm *g;
    precision wanted;
    const char *backend = getenv("BACKEND"), *named = getenv("PRECISION");
    mohvit_status status = kernels_choose(&k, NULL);
    if (!status && backend)
        status = mohvit_backend_by_name(&options.backend, backend, NULL);
    if (!status && named)
        status = mohvit_precision_by_name(&options.precision, named, NULL);
    if (!status)
        status = precision_inside(&wanted, options.precision, NULL);
    if (!status)
        status = gemm_choose(&g, backend, wanted, k, NULL);
    if (status == MOHVIT_ERROR_UNSUPPORTED || (!status && names_its_own(k)))
        return 77; // this processor lacks what MOHVIT_ISA or PRECISION names, or it is seen: ctest reports a
                   // skip
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_bitwise_the_same_for_any_batch_and_threads),
        cmocka_unit_test(contexts_of_one_model_run_concurrently),
#ifdef COUNT_ALLOCATIONS
        cmocka_unit_test(a_forward_pass_allocates_nothing_after_the_first),
#endif
        cmocka_unit_test(a_run_leaves_the_settings_of_openmp_and_openblas),
        cmocka_unit_test(settings_are_as_before_once_the_last_context_is_gone),
        cmocka_unit_test(threads_sleep_soon_after_a_run),
        cmocka_unit_test(computed_pairs_are_those_that_the_router_selected),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
