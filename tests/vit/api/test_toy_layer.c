/* A layer is one file: the one below is declared here alone, and yet it is listed, synthesised, written to a
 * checkpoint, checked against it, loaded, counted, given its scratch, and run. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/api/description.h"
#include "vit/network/encode.h"
#include "vit/network/synthetic.h"
#include "tests/vit/kernels/reference.h"
#include "weights/safetensors_writer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N       37
#define C       24
#define SEED    3
#define THREADS 2

/* ---- The layer: x += mix(scale ⊙ x) ------------------------------------------------------------------ */

typedef struct toy {
    const float *scale; /* (C) */
    linear mix;         /* C → C */
} toy;

static void toy_bind(binder *b, toy *t)
{
    t->scale = bind_tensor(b, "scale", "", SHAPE(C));
    t->mix = bind_linear(b, "mix", bind_gemm(b, PART_FC1, 2), SHAPE(C, C));
}

typedef struct {
    const pass *pass;
    const toy *toy;
    const float *x;
    float *y;
} toy_job;

static void scale_row(void *arg, size_t row, size_t worker)
{
    const toy_job *job = arg;
    float *y = encode_begin(job->pass, &job->toy->mix, job->y, row, worker);
    for (size_t c = 0; c < C; c++)
        y[c] = job->toy->scale[c] * job->x[row * C + c];
    encode_end(job->pass, &job->toy->mix, y, row, 1);
}

static void toy_forward(const pass *p, const toy *t, float *x) // x (N, C), updated in place
{
    size_t mark = p->scratch->used;
    toy_job job = {p, t, x, scratch_floats(p->scratch, N, C)};
    encode_reserve(p, &t->mix, N, 1);
    pass_count(p, N * C, N * C);
    pass_loop(p, N, scale_row, &job);
    linear_call mix = {&t->mix, encoded(p, &t->mix, job.y, C), x, C, N, true};
    pass_linear(p, &mix, 1);
    scratch_release(p->scratch, mark);
}

/* ---- What walks it ----------------------------------------------------------------------------------- */

/* Two of them, as a network would have them. */
static void bind_toys(binder *b, void *parts)
{
    toy *toys = parts;
    for (size_t i = 0; i < 2; i++) {
        bind_within(b, "toy%zu.", i);
        toy_bind(b, &toys[i]);
    }
}

static tensor_list listed(const numerics *a)
{
    toy toys[2];
    tensor_list list;
    assert_int_equal(bind_list(&list, a, bind_toys, toys, NULL), MOHVIT_OK);
    return list;
}

static float *synthetic(const tensor_spec *spec)
{
    float *values = array_new(spec->elements);
    synthetic_tensor(values, spec, SEED);
    return values;
}

static void its_tensors_are_listed(void **state)
{
    (void)state;
    const char *const names[] = {"toy0.scale", "toy0.mix.weight", "toy0.mix.bias",
                                 "toy1.scale", "toy1.mix.weight", "toy1.mix.bias"};
    tensor_list list = listed(NULL);
    assert_int_equal(list.count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(list.tensors[i].name, names[i]);
    assert_int_equal(list.tensors[4].rank, 2);
    assert_int_equal(list.tensors[4].shape[1], C);
    assert_int_equal(list.parameters, 2 * (C + C * C + C));
    tensor_list_free(&list);
}

/* A checkpoint of the synthetic tensors, without the last `missing` of them. */
static checkpoint *written(const char *path, const tensor_list *list, size_t missing)
{
    tensor_info info[8] = {{0}};
    safetensors_writer *w;
    checkpoint *cp;
    mohvit_error err;
    size_t count = list->count - missing;
    for (size_t i = 0; i < count; i++) {
        const tensor_spec *spec = &list->tensors[i];
        info[i] = (tensor_info){
            .name = spec->name, .dtype = DTYPE_F32, .rank = spec->rank, .elements = spec->elements};
        memcpy(info[i].shape, spec->shape, spec->rank * sizeof *spec->shape);
    }
    assert_int_equal(safetensors_writer_create(&w, path, info, count, NULL, 0, NULL), MOHVIT_OK);
    for (size_t i = 0; i < count; i++) {
        float *values = synthetic(&list->tensors[i]);
        assert_int_equal(safetensors_writer_add_f32(w, values, NULL), MOHVIT_OK);
        array_free(values);
    }
    assert_int_equal(safetensors_writer_finish(w, MOHVIT_OK, NULL), MOHVIT_OK);
    if (checkpoint_open(&cp, path, NULL, NULL, &err))
        fail_msg("%s", err.message);
    assert_int_equal(unlink(path), 0);
    return cp;
}

typedef struct {
    toy toys[2];
    pass pass;
    float *x;
} toy_run;

static void run_toys(void *arg, team *t)
{
    toy_run *run = arg;
    run->pass.team = t;
    for (size_t i = 0; i < 2; i++)
        toy_forward(&run->pass, &run->toys[i], run->x);
}

/* The same in double, from the tensors as a checkpoint holds them. */
static void expect(const float *found, const float *x, const tensor_list *list, double tolerance)
{
    double y[N * C], sum[N * C], at[N * C];
    for (size_t i = 0; i < N * C; i++)
        at[i] = (double)x[i];
    for (size_t i = 0; i < 2; i++) {
        float *scale = synthetic(&list->tensors[3 * i]), *weight = synthetic(&list->tensors[3 * i + 1]),
              *bias = synthetic(&list->tensors[3 * i + 2]);
        for (size_t j = 0; j < N * C; j++)
            y[j] = (double)scale[j % C] * at[j];
        reference_linear(sum, y, N, C, C, weight, bias);
        for (size_t j = 0; j < N * C; j++)
            at[j] += sum[j];
        array_free(scale);
        array_free(weight);
        array_free(bias);
    }
    for (size_t i = 0; i < N * C; i++)
        assert_close((double)found[i], at[i], tolerance);
}

static void check_loaded(const numerics *a, const char *path)
{
    tensor_list list = listed(a), sorted = listed(a);
    checkpoint *cp = written(path, &list, 0);
    checkpoint_reader reader = {.cp = cp};
    weight_source source = checkpoint_source(&reader);
    weight_memory *memory = weight_memory_create();
    scratch measured = {0};
    profile times = {0};
    cost each = {0, 0};
    toy_run run = {.pass = {.kernels = a->kernels, .scratch = &measured, .profile = &times, .cost = &each}};
    assert_int_equal(checkpoint_check_tensors(cp, &sorted, "toy", NULL, NULL), MOHVIT_OK);
    assert_int_equal(bind_read(&list, &source, a, memory, THREADS, bind_toys, run.toys, NULL), MOHVIT_OK);

    run_toys(&run, NULL); // measures
    assert_close(each.routed, 2 * (N * C + N * C * C), 1e-9);
    run.pass.cost = NULL;
    assert_int_equal(scratch_allocate(&measured, THREADS, NULL), MOHVIT_OK);
    random_stream r = {1};
    float *x = array_random(&r, N * C, 1);
    run.x = array_copy(x, N * C);
    a->gemms[PRECISION_F32]->run(THREADS, run_toys, &run);
    expect(run.x, x, &list, a->precision == PRECISION_F32 ? 1e-5 : 0.05);
    assert_true(measured.used == 0 && measured.most >= N * C * sizeof(float));

    array_free(x);
    array_free(run.x);
    scratch_free(&measured);
    assert_true(weight_memory_leave(memory));
    checkpoint_close(cp);
    tensor_list_free(&list);
    tensor_list_free(&sorted);
}

static void it_is_loaded_counted_and_run(void **state)
{
    const gemm *g;
    for (size_t i = 0; (g = gemm_available(i)); i++) {
        numerics a;
        if (!numerics_choose(&a, g->name, g->precision, NULL))
            check_loaded(&a, *state);
    }
}

static void a_checkpoint_that_lacks_a_tensor_of_it_is_refused(void **state)
{
    tensor_list list = listed(NULL);
    checkpoint *cp = written(*state, &list, 1);
    mohvit_error err;
    assert_int_equal(checkpoint_check_tensors(cp, &list, "toy", NULL, &err), MOHVIT_ERROR_MISMATCH);
    assert_non_null(strstr(err.message, "toy1.mix.bias is missing; config \"toy\" has it as (24,)"));
    checkpoint_close(cp);
    tensor_list_free(&list);
}

/* What is declared in another order, or otherwise, when it is read. */
static void bind_swapped(binder *b, void *parts)
{
    toy *toys = parts;
    for (size_t i = 2; i--;) {
        bind_within(b, "toy%zu.", i);
        toy_bind(b, &toys[i]);
    }
}

static mohvit_status read_synthetic(void *state, const tensor_spec *spec, float *dst, mohvit_error *err)
{
    (void)state, (void)err;
    synthetic_tensor(dst, spec, SEED);
    return MOHVIT_OK;
}

static void a_walk_that_changes_is_noticed(void **state)
{
    (void)state;
    toy toys[2];
    numerics a;
    mohvit_error err;
    weight_source source = {.read = read_synthetic};
    weight_memory *memory = weight_memory_create();
    assert_int_equal(numerics_choose(&a, NULL, PRECISION_F32, NULL), MOHVIT_OK);
    tensor_list list = listed(&a);
    assert_int_equal(bind_read(&list, &source, &a, memory, 1, bind_swapped, toys, &err),
                     MOHVIT_ERROR_ARGUMENT);
    assert_string_equal(err.message, "\"toy1.scale\" was listed otherwise than it is read");
    assert_true(weight_memory_leave(memory));
    tensor_list_free(&list);
}

static char checkpoint_file[] = "/tmp/mohvit_toy_XXXXXX";

static int name_a_file(void **state)
{
    int fd = mkstemp(checkpoint_file);
    *state = checkpoint_file;
    return fd < 0 ? 1 : close(fd);
}

static int remove_the_file(void **state)
{
    unlink(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_tensors_are_listed),
        cmocka_unit_test(it_is_loaded_counted_and_run),
        cmocka_unit_test(a_checkpoint_that_lacks_a_tensor_of_it_is_refused),
        cmocka_unit_test(a_walk_that_changes_is_noticed),
    };
    return cmocka_run_group_tests(tests, name_a_file, remove_the_file);
}
