#include "vit/network/norm.h"
#include "base/memory.h"
#include "vit/network/encode.h"

norm norm_bind(binder *b, const char *name, size_t C, float eps)
{
    norm n = {.C = C, .eps = eps};
    n.weight = bind_tensor(b, name, ".weight", SHAPE(C));
    n.bias = bind_tensor(b, name, ".bias", SHAPE(C));
    return n;
}

typedef struct {
    const pass *pass;
    const norm *norm;
    const linear *reader;
    float *y;
    const float *x;
    size_t N;
} norm_job;

void norm_rows(const pass *p, const norm *n, float *y, const float *x, size_t rows)
{
    p->kernels->layer_norm(y, x, rows, n->C, n->weight, n->bias, n->eps);
}

static void norm_part(void *arg, size_t task, size_t worker)
{
    const norm_job *job = arg;
    const pass *p = job->pass;
    size_t C = job->norm->C, row = task * ENCODE_ROWS,
           rows = job->N - row < ENCODE_ROWS ? job->N - row : ENCODE_ROWS;
    float *y = job->reader ? encode_begin(p, job->reader, job->y, row, worker) : job->y + row * C;
    norm_rows(p, job->norm, y, job->x + row * C, rows);
    if (job->reader)
        encode_end(p, job->reader, y, row, rows);
}

void norm_forward(const pass *p, const norm *n, const linear *reader, float *y, const float *x, size_t N)
{
    norm_job job = {p, n, reader, y, x, N};
    if (reader)
        encode_reserve(p, reader, N, ENCODE_ROWS);
    pass_loop(p, divide_up(N, ENCODE_ROWS), norm_part, &job);
}
