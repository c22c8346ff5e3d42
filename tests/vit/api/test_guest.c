/* The library as a guest in another program's process: how many threads it wakes, and how little stack it
 * needs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/mohvit.h"

#include "vit/api/internal.h"

#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLASSES 10 /* of the model that is built in */
#define SIDE    28
#define THREADS 3

/* ---- Threads ----------------------------------------------------------------------------------- */

static size_t threads_of_process(void)
{
    size_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (const struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* The same picture in every slot. */
static void run_batch(const mohvit_model *m, size_t batch, double team_macs, float logits[CLASSES])
{
    static const uint8_t rgb[SIDE * SIDE * 3] = {1, 2, 3};
    mohvit_context *ctx;
    assert_int_equal(mohvit_context_create(&ctx, m, batch, THREADS, NULL), MOHVIT_OK);
    if (team_macs >= 0)
        mohvit_settings(ctx)->team_macs = team_macs;
    for (size_t slot = 0; slot < batch; slot++)
        assert_int_equal(mohvit_load_rgb(ctx, slot, rgb, SIDE, SIDE, (size_t)SIDE * 3, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_run(ctx, batch, NULL), MOHVIT_OK);
    memcpy(logits, mohvit_logits(ctx, batch - 1), CLASSES * sizeof *logits);
    mohvit_context_destroy(ctx);
}

/* The built-in model computes a picture in less time than it may take to wake a thread that has no core. */
static void a_team_is_woken_for_work_that_is_worth_it(void **state)
{
    (void)state;
    mohvit_model *m;
    float small[CLASSES], large[CLASSES], forced[CLASSES];
    assert_int_equal(
        mohvit_open(&m, NULL, &(mohvit_options){.size = sizeof(mohvit_options), .threads = 1}, NULL),
        MOHVIT_OK);
    size_t before = threads_of_process(); // OpenBLAS's among them
    run_batch(m, 1, -1, small);
    assert_int_equal(threads_of_process(), before);
    run_batch(m, 256, -1, large);
    assert_int_equal(threads_of_process(), before + THREADS - 1);
    run_batch(m, 1, 0, forced);
    assert_memory_equal(small, large, sizeof small);
    assert_memory_equal(small, forced, sizeof small);
    mohvit_close(m);
}

/* ---- Stack ------------------------------------------------------------------------------------- */

#ifndef STACK_BYTES /* the sanitizers' frames are larger */
#define STACK_BYTES (128 * 1024)
#endif

typedef struct {
    const char *weights;
    mohvit_backend backend;
    const char *picture;
} visit;

static const visit visits[] = {
    {NULL, MOHVIT_BACKEND_NATIVE, "/images/cat_420.jpg"},
    {NULL, MOHVIT_BACKEND_OPENBLAS, "/images/coffee.png"},
    {"/pth/plain.pth", MOHVIT_BACKEND_AUTO, "/images/coffee_422_progressive.jpg"},
    {"/pth/training.pth", MOHVIT_BACKEND_AUTO, "/images/cat_cmyk.jpg"},
    {"/pth/bf16_with_ema.pth", MOHVIT_BACKEND_AUTO, "/images/cat_palette.png"},
};

static char *in_golden(const char *name)
{
    char *path = malloc(strlen(GOLDEN_DIR) + strlen(name) + 1);
    return path ? strcat(strcpy(path, GOLDEN_DIR), name) : NULL;
}

/* A failure's message, or "". */
static void *pay(void *arg)
{
    static char failure[1100];
    const visit *v = arg;
    char *weights = v->weights ? in_golden(v->weights) : NULL, *picture = in_golden(v->picture),
         *described = in_golden("/pth/config.json");
    mohvit_model *opened = NULL, *rerouted = NULL;
    mohvit_context *ctx = NULL;
    mohvit_head_load *load = NULL;
    mohvit_prediction top[5];
    mohvit_error err = {0};
    const mohvit_options options = {
        .size = sizeof options, .backend = v->backend, .threads = 2, .config = v->weights ? described : NULL};
    mohvit_status status = mohvit_open(&opened, weights, &options, &err);
    if (!status)
        status = mohvit_reroute(&rerouted, opened, "1", &err);
    if (!status)
        status = mohvit_context_create(&ctx, opened, 2, 2, &err);
    if (!status)
        status = mohvit_classify_file(ctx, picture, top, 5, &err);
    if (!status)
        status = mohvit_head_load_create(&load, opened, &err);
    if (!status)
        status = mohvit_head_load_add(load, ctx, 0, 0, &err);
    if (!status)
        status = mohvit_head_load_save(load, "small_stack.safetensors", &err);
    unlink("small_stack.safetensors");
    mohvit_head_load_destroy(load);
    mohvit_context_destroy(ctx);
    mohvit_close(rerouted);
    mohvit_close(opened);
    free(weights);
    free(picture);
    free(described);
    strcpy(failure, status ? err.message : "");
    return failure;
}

static void a_thread_of_128_kib_is_enough(void **state)
{
    (void)state;
    pthread_attr_t attributes;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, STACK_BYTES), 0);
    for (size_t i = 0; i < sizeof visits / sizeof *visits; i++) {
        pthread_t thread;
        void *failure;
        assert_int_equal(pthread_create(&thread, &attributes, pay, (void *)&visits[i]), 0);
        assert_int_equal(pthread_join(thread, &failure), 0);
        assert_string_equal(failure, "");
    }
    pthread_attr_destroy(&attributes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_team_is_woken_for_work_that_is_worth_it), // first: nobody has woken one yet
        cmocka_unit_test(a_thread_of_128_kib_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
