#include "vit/kernels/kernels.h"

#include <stdlib.h>
#include <string.h>
#ifdef KERNELS_X86
#include <cpuid.h>
#endif

extern const kernels kernels_baseline;
#ifdef KERNELS_X86
extern const kernels kernels_avx2, kernels_avx512;
#endif

#ifdef KERNELS_X86
/* What Clang 14 has no name for in __builtin_cpu_supports. */
static bool has_f16c_movbe_lzcnt(void)
{
    unsigned a, b, basic, extended, d;
    return __get_cpuid(1, &a, &b, &basic, &d) && __get_cpuid(0x80000001, &a, &b, &extended, &d) &&
           (basic & bit_F16C) && (basic & bit_MOVBE) && (extended & bit_LZCNT);
}

/* All that -march=x86-64-v3 and -v4 let the compiler use. */
static bool has_v3(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && has_f16c_movbe_lzcnt();
}

static bool has_v4(void)
{
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

static bool supported(const kernels *k)
{
#ifdef KERNELS_X86
    if (k == &kernels_avx512)
        return has_v4();
    if (k == &kernels_avx2)
        return has_v3();
#endif
    return k == &kernels_baseline;
}

static const kernels *const tables[] = {
    &kernels_baseline,
#ifdef KERNELS_X86
    &kernels_avx2,
    &kernels_avx512,
#endif
};

#define TABLES (sizeof tables / sizeof *tables)

const kernels *kernels_available(size_t index)
{
    for (size_t i = 0; i < TABLES; i++)
        if (supported(tables[i]) && index-- == 0)
            return tables[i];
    return NULL;
}

mohvit_status kernels_choose(const kernels **out, mohvit_error *err)
{
    const char *wanted = getenv("MOHVIT_ISA");
    if (!wanted || !*wanted) {
        for (size_t i = 0; kernels_available(i); i++)
            *out = kernels_available(i);
        return MOHVIT_OK;
    }
    for (size_t i = 0; i < TABLES; i++) {
        if (strcmp(tables[i]->isa, wanted) != 0)
            continue;
        if (!supported(tables[i]))
            return error_set(err, MOHVIT_ERROR_UNSUPPORTED, "MOHVIT_ISA=%s: this processor lacks it", wanted);
        *out = tables[i];
        return MOHVIT_OK;
    }
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "MOHVIT_ISA=%s: expected baseline, avx2 or avx512", wanted);
}
