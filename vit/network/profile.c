#include "vit/network/profile.h"
#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

const operation_kind operations[OPERATIONS] = {
    [OP_PATCHES] = {"patches", false},
    [OP_PATCH_EMBED] = {"patch embedding", true},
    [OP_NORM] = {"layer norm", false},
    [OP_ROUTER] = {"layer norm + router", false},
    [OP_QKV] = {"q, kv, sr / qkv", true},
    [OP_POOL] = {"pool, shared keys", false},
    [OP_ATTEND] = {"attention", false},
    [OP_PROJ] = {"proj", true},
    [OP_FC1] = {"fc1", true},
    [OP_GLU] = {"depthwise + GELU + gate", false},
    [OP_FC2] = {"fc2", true},
    [OP_COUNT] = {"head counts", false},
    [OP_HEAD] = {"head", true},
};

mohvit_status profile_create(profile *f, size_t threads, mohvit_error *err)
{
    *f = (profile){.counts = memory_alloc(threads, sizeof *f->counts), .threads = threads};
    if (!f->counts)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the counts of %zu threads", threads);
    memset(f->counts, 0, threads * sizeof *f->counts);
    return MOHVIT_OK;
}

void profile_free(profile *f)
{
    free(f->counts);
    *f = (profile){0};
}

/* Time since the last lap. */
static uint64_t lap(profile *f)
{
    uint64_t now = clock_ns(), took = now - f->last;
    f->last = now;
    return took;
}

void profile_lap(profile *f, operation op)
{
    f->ns[op] += lap(f);
}

void profile_lap_glu(profile *f)
{
    uint64_t took = lap(f), fc1 = 0, glu = 0;
    for (size_t t = 0; t < f->threads; t++) {
        fc1 += f->counts[t].fc1_ns;
        glu += f->counts[t].glu_ns;
        f->counts[t].fc1_ns = f->counts[t].glu_ns = 0;
    }
    uint64_t share = fc1 + glu ? (uint64_t)((double)took * (double)fc1 / (double)(fc1 + glu)) : 0;
    f->ns[OP_FC1] += share;
    f->ns[OP_GLU] += took - share;
}
