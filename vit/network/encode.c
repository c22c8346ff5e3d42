#include "vit/network/encode.h"
#include "base/memory.h"

static const gemm_kernels *functions_of(const pass *p, const linear *reader)
{
    return gemm_functions(reader->gemm, p->kernels);
}

void encode_reserve(const pass *p, const linear *reader, size_t N, size_t at_once)
{
    const gemm_kernels *g = functions_of(p, reader);
    scratch *s = p->scratch;
    if (!g->encode)
        return;
    size_t bytes = size_product(N, g->row_bytes(reader->in));
    s->encoded_bytes = bytes > s->encoded_bytes ? bytes : s->encoded_bytes;
    scratch_need_thread(s, at_once * reader->in);
}

float *encode_begin(const pass *p, const linear *reader, float *x, size_t row, size_t worker)
{
    return functions_of(p, reader)->encode ? scratch_thread(p->scratch, worker) : x + row * reader->in;
}

static void encode(const pass *p, const linear *reader, const float *from, size_t ldx, size_t row,
                   size_t rows)
{
    const gemm_kernels *g = functions_of(p, reader);
    g->encode(p->scratch->encoded + row * g->row_bytes(reader->in), from, ldx, rows, reader->in);
}

void encode_end(const pass *p, const linear *reader, const float *from, size_t row, size_t rows)
{
    if (functions_of(p, reader)->encode)
        encode(p, reader, from, reader->in, row, rows);
}

operand encoded(const pass *p, const linear *reader, float *x, size_t ldx)
{
    const gemm_kernels *g = functions_of(p, reader);
    if (g->encode)
        return (operand){p->scratch->encoded, g->row_bytes(reader->in)};
    return (operand){x, ldx * sizeof *x};
}

typedef struct {
    const pass *pass;
    const linear *reader;
    const float *x;
    size_t ldx, N;
} encode_job;

static void encode_part(void *arg, size_t task, size_t worker)
{
    (void)worker;
    const encode_job *job = arg;
    size_t row = task * ENCODE_ROWS, rows = job->N - row < ENCODE_ROWS ? job->N - row : ENCODE_ROWS;
    encode(job->pass, job->reader, job->x + row * job->ldx, job->ldx, row, rows);
}

void encode_rows(const pass *p, const linear *reader, const float *x, size_t ldx, size_t N)
{
    encode_job job = {p, reader, x, ldx, N};
    encode_reserve(p, reader, N, 0);
    if (functions_of(p, reader)->encode)
        pass_loop(p, divide_up(N, ENCODE_ROWS), encode_part, &job);
}
