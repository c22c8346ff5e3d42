#include "vit/kernels/kernels.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef KERNELS_X86
#include <cpuid.h>
#endif
#ifdef KERNELS_AARCH64
#include <sys/auxv.h>
#endif

void add_set_baseline(kernels *k);

#ifdef KERNELS_X86
void add_set_avx2(kernels *k), add_set_avx512(kernels *k);
void add_int8_avx_vnni(kernels *k);
void add_bf16_avx512_bf16(kernels *k), add_int8_avx512_vnni(kernels *k), add_f16_avx512_fp16(kernels *k);

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

/* Nor has GCC 12 for this. */
static bool has_avx_vnni(void)
{
    unsigned a, b, c, d;
    return has_v3() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1 << 4);
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

/* AMD's (Zen 4, Zen 5) multiply faster by VDPBF16PS than by FMA: S-75 on a Zen 5 takes 32 ms, 48 in float32.
 * Intel's do not: on an Emerald Rapids VDPBF16PS reaches 87 GFLOP/s a core and FMA 183; S-75 takes 128 ms by
 * it, and 80 widened. */
static bool dots_beat_fma(void)
{
    return __builtin_cpu_is("amd");
}

static bool has_vnni(void)
{
    return has_v4() && __builtin_cpu_supports("avx512vnni");
}

/* What compilers differ in whether they name. */
static bool has_fp16(void)
{
    unsigned a, b, c, d;
    return has_v4() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & 1 << 23);
}
#endif

#ifdef KERNELS_EMULATED
void add_f16_emulated_fp16(kernels *k);

/* It shows what AVX512-FP16 computes, on any processor with AVX2, in a hundred times its time. */
static bool never(void)
{
    return false;
}
#endif

#ifdef KERNELS_AARCH64
void add_f16_asimdhp(kernels *k), add_int8_asimddp(kernels *k), add_bf16_asimdbf16(kernels *k);

static bool has_asimdhp(void)
{
    return getauxval(AT_HWCAP) & HWCAP_ASIMDHP;
}

static bool has_asimddp(void)
{
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
}

/* Linux calls it bf16. */
static bool has_asimdbf16(void)
{
    return getauxval(AT_HWCAP2) & HWCAP2_BF16;
}
#endif

/* Of two that replace the same entry, the better one comes later. */
static const struct {
    const char *name, *isa;
    bool (*present)(void); /* NULL: always */
    bool (*better)(void);  /* than what it replaces, by what the processor is; NULL: always */
    void (*add)(kernels *k);
} features[] = {
    {"baseline", "baseline", NULL, NULL, add_set_baseline},
#ifdef KERNELS_X86
    {"avx2", "avx2", has_v3, NULL, add_set_avx2},
#ifdef KERNELS_EMULATED
    {"emulated_fp16", "avx2", has_v3, never, add_f16_emulated_fp16},
#endif
    {"avx_vnni", "avx2", has_avx_vnni, NULL, add_int8_avx_vnni},
    {"avx512", "avx512", has_v4, NULL, add_set_avx512},
    {"avx512_bf16", "avx512", has_bf16, dots_beat_fma, add_bf16_avx512_bf16},
    {"avx512_vnni", "avx512", has_vnni, NULL, add_int8_avx512_vnni},
    {"avx512_fp16", "avx512", has_fp16, NULL, add_f16_avx512_fp16},
#endif
#ifdef KERNELS_AARCH64
    {"asimdhp", "baseline", has_asimdhp, NULL, add_f16_asimdhp},
    {"asimddp", "baseline", has_asimddp, NULL, add_int8_asimddp},
    {"asimdbf16", "baseline", has_asimdbf16, NULL, add_bf16_asimdbf16},
#endif
};

#define FEATURES (sizeof features / sizeof *features)

/* `layers`: after each feature. `possible`: of each set those that are better, then that with each other
 * version of a product. */
static kernels layers[FEATURES], possible[FEATURES * (1 + FEATURES * PRECISIONS)];
static size_t layer_count, possible_count;

/* Pairs read what products in float32 pack, so that these are the set's own. */
#define FIRST_TO_CHOOSE (PRECISION_F32 + 1)

/* The first table of the set that has the version of a product; or NULL. */
static const kernels *with_product(const char *isa, const char *name)
{
    for (size_t i = 0; i < possible_count; i++)
        for (precision p = FIRST_TO_CHOOSE; p < PRECISIONS; p++) {
            const char *own = possible[i].gemm[p].name;
            if (own && !strcmp(own, name) && !strcmp(possible[i].isa, isa))
                return &possible[i];
        }
    return NULL;
}

static void add_possible(const kernels *set)
{
    possible[possible_count++] = *set;
    for (size_t i = 0; i < layer_count; i++)
        for (precision p = FIRST_TO_CHOOSE; p < PRECISIONS; p++) {
            const gemm_kernels *version = &layers[i].gemm[p];
            if (!version->name || with_product(set->isa, version->name))
                continue;
            possible[possible_count] = *set;
            possible[possible_count++].gemm[p] = *version;
        }
}

static void add_feature(kernels *k, size_t i)
{
    k->isa = features[i].isa;
    k->feature = features[i].name;
    features[i].add(k);
}

static void fill_tables(void)
{
    kernels all = {0}, set = {0};
    for (size_t i = 0; i < FEATURES; i++) {
        if (features[i].present && !features[i].present())
            continue;
        if (set.isa && strcmp(set.isa, features[i].isa) != 0)
            add_possible(&set); // it is complete
        if (!features[i].better || features[i].better())
            add_feature(&set, i);
        add_feature(&all, i);
        layers[layer_count++] = all;
    }
    add_possible(&set);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

const kernels *kernels_layer(size_t index)
{
    pthread_once(&once, fill_tables);
    return index < layer_count ? &layers[index] : NULL;
}

const kernels *kernels_available(size_t index)
{
    pthread_once(&once, fill_tables);
    for (size_t i = 0; i < possible_count; i++)
        if ((i == 0 || strcmp(possible[i - 1].isa, possible[i].isa) != 0) && index-- == 0)
            return &possible[i];
    return NULL;
}

static mohvit_status choose_set(const kernels **out, mohvit_error *err)
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

static mohvit_status unknown_product(const char *wanted, const char *isa, mohvit_error *err)
{
    char names[256] = "";
    for (size_t i = 0; i < layer_count; i++)
        for (precision p = FIRST_TO_CHOOSE; p < PRECISIONS; p++) {
            const char *name = layers[i].gemm[p].name;
            size_t used = strlen(names);
            bool again = i > 0 && name == layers[i - 1].gemm[p].name;
            if (name && !again && with_product(isa, name))
                snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", name);
        }
    return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                     "MOHVIT_KERNELS=%s: expected one that this processor has in its instruction set in use "
                     "(%s): %s",
                     wanted, isa, names);
}

mohvit_status kernels_choose(const kernels **out, mohvit_error *err)
{
    const kernels *chosen = NULL;
    const char *wanted = getenv("MOHVIT_KERNELS");
    mohvit_status status = choose_set(&chosen, err);
    if (!status && wanted && *wanted) {
        const char *isa = chosen->isa;
        chosen = with_product(isa, wanted);
        if (!chosen)
            status = unknown_product(wanted, isa, err);
    }
    if (!status)
        *out = chosen;
    return status;
}
