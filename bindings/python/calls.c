/* Part of the extension module (make_binding.py), behind calls.h. Each call into Python waits for the
 * interpreter's lock, for 5 ms where another thread computes: so there are 20 a second at most, which is
 * often enough for signals to be handled, and a short call does without. */
#include <string.h>
#include <time.h>

#define INTERVAL INT64_C(50000000) /* ns */

static int on_time(void *told, size_t done, size_t total); // Python's; nonzero cancels

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

int watch_progress(void *of, size_t done, size_t total)
{
    watch *w = of;
    if (w->stop && __atomic_load_n(w->stop, __ATOMIC_RELAXED))
        return 1;
    int64_t t = now();
    if (t < w->next && !(w->told && (!done || done == total)))
        return 0;
    w->next = t + INTERVAL;
    return on_time(w->told, done, total);
}

static mohvit_status load(mohvit_context *ctx, size_t slot, const picture *p, mohvit_error *err)
{
    switch (p->kind) {
    case PICTURE_FILE:
        return mohvit_load_file(ctx, slot, p->data, err);
    case PICTURE_ENCODED:
        return mohvit_load_memory(ctx, slot, p->data, p->size, err);
    case PICTURE_RGB:
        return mohvit_load_rgb(ctx, slot, p->data, p->width, p->height, p->stride, err);
    default:
        return mohvit_load_tensor(ctx, slot, p->data, err);
    }
}

/* Copies an array's row; returns where the next array begins. */
static char *put(char *array, size_t images, size_t at, const void *row, size_t bytes)
{
    if (bytes)
        memcpy(array + at * bytes, row, bytes);
    return array + images * bytes;
}

static void copy(const call *c, char *memory, size_t images)
{
    memory = put(memory, images, c->at, mohvit_head_gate_sum(c->ctx, 0), c->head_gate_sum);
    memory = put(memory, images, c->at, mohvit_logits(c->ctx, 0), c->logits);
    memory = put(memory, images, c->at, mohvit_features(c->ctx, 0), c->features);
    memory = put(memory, images, c->at, mohvit_head_tokens(c->ctx, 0), c->head_tokens);
    memory = put(memory, images, c->at, mohvit_gates(c->ctx, 0, 0), c->gates);
    put(memory, images, c->at, mohvit_outputs(c->ctx, 0, 0, NULL), c->outputs);
}

static void begin(call *c, size_t at, const int *stop)
{
    c->at = at;
    c->watch.stop = stop;
    c->watch.next = now() + INTERVAL;
}

mohvit_status run_each(call *c, size_t n, char *memory, size_t images, size_t at, const int *stop)
{
    begin(c, at, stop);
    for (size_t i = 0; i < n; i++, c->at++) {
        mohvit_status status = load(c->ctx, 0, c->pictures + i, &c->err);
        if (!status)
            status = mohvit_run(c->ctx, 1, &c->err);
        if (status)
            return status;
        copy(c, memory, images);
    }
    return MOHVIT_OK;
}

mohvit_status run_together(call *c, size_t n)
{
    begin(c, 0, NULL);
    for (; c->at < n; c->at++) {
        mohvit_status status = load(c->ctx, c->at, c->pictures + c->at, &c->err);
        if (!status && watch_progress(&c->watch, 1, 2)) // neither the beginning nor the end
            status = MOHVIT_ERROR_CANCELLED;
        if (status)
            return status;
    }
    return mohvit_run(c->ctx, n, &c->err);
}
