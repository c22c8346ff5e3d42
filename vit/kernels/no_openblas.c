/* In place of gemm_openblas.c, where OpenBLAS is left out (MOHVIT_OPENBLAS=OFF). */
#include "vit/kernels/gemm.h"

bool (*gemm_openblas_rename_core)(const char *core);

const gemm gemm_openblas = {.name = "openblas", .precision = PRECISION_F32};

mohvit_status gemm_openblas_load(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                     "this build of mohvit has no OpenBLAS; expected the backend auto or native");
}

const char *gemm_openblas_version(void)
{
    return NULL;
}
