/* scratch.h - memory for one image at a time. A part of the network takes what it needs where it needs it,
 * and gives it back when it is done, as from a stack.
 *
 * A scratch without memory measures: a forward pass over it computes nothing, and leaves behind how much a
 * real one takes (model_scratch in forward.c). So no part has to say its needs twice. */
#ifndef MOHVIT_SCRATCH_H
#define MOHVIT_SCRATCH_H

#include "base/error.h"

typedef struct scratch {
    char *stack;       // NULL: measuring
    size_t used, most; // bytes; where those cannot be counted, SIZE_MAX or nearly
    char *encoded;     // rows encoded for the products that read them next (encode.h)
    size_t encoded_bytes;
    float *thread; // (threads, thread_floats): each thread's own
    size_t thread_floats, threads;
    void *memory; // holds all of the above
} scratch;

static inline bool scratch_measures(const scratch *s)
{
    return !s->stack;
}

/* Room for count pieces of size bytes, aligned to 64; NULL while measuring. */
void *scratch_take(scratch *s, size_t count, size_t size);
float *scratch_floats(scratch *s, size_t rows, size_t channels);

/* What was taken since used was `mark` is free again. */
static inline void scratch_release(scratch *s, size_t mark)
{
    s->used = mark;
}

/* Says that each thread needs so many floats of its own until the next step of the pass. */
void scratch_need_thread(scratch *s, size_t floats);

/* The floats of a thread. */
static inline float *scratch_thread(const scratch *s, size_t worker)
{
    return s->thread + worker * s->thread_floats;
}

/* Gives a scratch that has measured its memory, for as many threads as its passes may have. */
mohvit_status scratch_allocate(scratch *s, size_t threads, mohvit_error *err);
void scratch_free(scratch *s);

#endif
