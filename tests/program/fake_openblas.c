/* fake_openblas.c - in OpenBLAS's place, where a test says what core it takes the processor for: FAKE_CORE,
 * unless OPENBLAS_CORETYPE names one when it is loaded, as OpenBLAS goes by that. It multiplies nothing. */
#include <cblas.h>
#include <stdlib.h>

static const char *core;

static void __attribute__((constructor)) choose(void)
{
    core = getenv("OPENBLAS_CORETYPE");
    core = core && *core ? core : getenv("FAKE_CORE");
}

char *openblas_get_corename(void)
{
    return (char *)core;
}

char *openblas_get_config(void)
{
    return (char *)"OpenBLAS fake";
}

int openblas_get_num_threads(void)
{
    return 1;
}

void openblas_set_num_threads(int threads)
{
    (void)threads;
}

/* Nobody looks at the answers. */
void cblas_sgemm(OPENBLAS_CONST enum CBLAS_ORDER order, OPENBLAS_CONST enum CBLAS_TRANSPOSE a_is,
                 OPENBLAS_CONST enum CBLAS_TRANSPOSE b_is, OPENBLAS_CONST blasint rows,
                 OPENBLAS_CONST blasint columns, OPENBLAS_CONST blasint inner, OPENBLAS_CONST float alpha,
                 OPENBLAS_CONST float *a, OPENBLAS_CONST blasint lda, OPENBLAS_CONST float *b,
                 OPENBLAS_CONST blasint ldb, OPENBLAS_CONST float beta, float *c, OPENBLAS_CONST blasint ldc)
{
    (void)order, (void)a_is, (void)b_is, (void)rows, (void)columns, (void)inner, (void)alpha;
    (void)a, (void)lda, (void)b, (void)ldb, (void)beta, (void)c, (void)ldc;
}
