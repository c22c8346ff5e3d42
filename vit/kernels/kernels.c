#include "vit/kernels/kernels.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#ifdef KERNELS_X86
#include <cpuid.h>
#endif

void add_set_baseline(kernels *k);

#ifdef KERNELS_X86
void add_set_avx2(kernels *k), add_set_avx512(kernels *k);
void add_bf16_avx512_bf16(kernels *k), add_int8_avx512_vnni(kernels *k);

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

static bool has_bf16(void)
{
    return has_v4() && __builtin_cpu_supports("avx512bf16");
}

static bool has_vnni(void)
{
    return has_v4() && __builtin_cpu_supports("avx512vnni");
}
#endif

/* Of two that replace the same entry, the better one comes later. */
static const struct {
    const char *name, *isa;
    bool (*present)(void); /* NULL: always */
    void (*add)(kernels *k);
} features[] = {
    {"baseline", "baseline", NULL, add_set_baseline},
#ifdef KERNELS_X86
    {"avx2", "avx2", has_v3, add_set_avx2},
    {"avx512", "avx512", has_v4, add_set_avx512},
    {"avx512_bf16", "avx512", has_bf16, add_bf16_avx512_bf16},
    {"avx512_vnni", "avx512", has_vnni, add_int8_avx512_vnni},
#endif
};

#define FEATURES (sizeof features / sizeof *features)

static kernels layers[FEATURES];
static size_t layer_count;

static void fill_layers(void)
{
    kernels k = {0};
    for (size_t i = 0; i < FEATURES; i++) {
        if (features[i].present && !features[i].present())
            continue;
        k.isa = features[i].isa;
        k.feature = features[i].name;
        features[i].add(&k);
        layers[layer_count++] = k;
    }
}

const kernels *kernels_layer(size_t index)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_layers);
    return index < layer_count ? &layers[index] : NULL;
}

const kernels *kernels_available(size_t index)
{
    const kernels *k, *next;
    for (size_t i = 0; (k = kernels_layer(i)); i++) {
        next = kernels_layer(i + 1);
        if ((!next || strcmp(k->isa, next->isa) != 0) && index-- == 0)
            return k;
    }
    return NULL;
}

mohvit_status kernels_choose(const kernels **out, mohvit_error *err)
{
    const char *wanted = getenv("MOHVIT_ISA");
    const kernels *k, *chosen = NULL;
    for (size_t i = 0; (k = kernels_available(i)); i++)
        if (!wanted || !*wanted || !strcmp(k->isa, wanted))
            chosen = k;
    for (size_t i = 0; !chosen && wanted && i < FEATURES; i++)
        if (!strcmp(features[i].isa, wanted))
            return error_set(err, MOHVIT_ERROR_UNSUPPORTED, "MOHVIT_ISA=%s: this processor lacks it", wanted);
    if (!chosen)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "MOHVIT_ISA=%s: expected baseline, avx2 or avx512",
                         wanted);
    *out = chosen;
    return MOHVIT_OK;
}
