#include "tools/program/bench_kernels.h"
#include "tools/program/complain.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"
#include "vit/kernels/gemm.h"

#include <string.h>

/* fc1 of a published variant's third stage, which most of the arithmetic looks like. */
enum { N = 196, IN = 288, OUT = 1536 };

enum { ROUNDS = 3, MOST = 32 };

/* A version of the products of a precision. */
typedef struct version {
    const kernels *kernels; /* a table that has it */
    precision precision;
    bool chosen;
    double gflops;
} version;

static const char *name_of(const version *v)
{
    return v->kernels->gemm[v->precision].name;
}

/* Each once, by precision; how many. */
static size_t list_versions(version *list, const kernels *chosen)
{
    const kernels *k;
    size_t count = 0;
    for (precision p = 0; p < PRECISIONS; p++)
        for (size_t i = 0, first = count; (k = kernels_layer(i)) && count < MOST; i++) {
            const char *name = k->gemm[p].name;
            if (!name || (count > first && !strcmp(name, name_of(&list[count - 1]))))
                continue;
            list[count++] = (version){k, p, !strcmp(name, chosen->gemm[p].name), 0};
        }
    return count;
}

/* In turn, so that an hour in which the machine is slow is slow for all. */
static void measure_versions(version *list, size_t count, size_t threads)
{
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < count; i++) {
            double rate = gemm_rate(&gemm_native[list[i].precision], list[i].kernels, threads, N, IN, OUT);
            list[i].gflops = rate > list[i].gflops ? rate : list[i].gflops;
        }
}

static const version *fastest(const version *list, size_t count, precision p)
{
    const version *best = NULL;
    for (size_t i = 0; i < count; i++)
        if (list[i].precision == p && (!best || list[i].gflops > best->gflops))
            best = &list[i];
    return best;
}

/* Of a precision's versions, those in use have `chosen`. */
static const version *in_use(const version *list, size_t count, precision p)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].precision == p && list[i].chosen)
            return &list[i];
    return NULL;
}

static void print_text(const version *list, size_t count, size_t threads, double peak)
{
    double f32 = in_use(list, count, PRECISION_F32)->gflops;
    output_printf("%d x %d x %d on %zu thread%s; the peak of float32's multiply-adds is %.1f GFLOP/s\n\n", N,
                  IN, OUT, threads, threads == 1 ? "" : "s", peak);
    for (size_t i = 0; i < count; i++)
        output_printf("%-24s %8.1f GFLOP/s %7.2f of the peak %7.2f x float32%s\n", name_of(&list[i]),
                      list[i].gflops, list[i].gflops / peak, list[i].gflops / f32,
                      list[i].chosen ? "  in use" : "");
    output_printf("\n");
    for (precision p = 0; p < PRECISIONS; p++) {
        const version *best = fastest(list, count, p);
        output_printf("%-5s the fastest is %s%s\n", precision_name(p), name_of(best),
                      best->chosen ? ", and in use" : ", which is not in use");
    }
}

static void print_json(const version *list, size_t count, size_t threads, double peak)
{
    json_t *versions = or_die(json_array()), *best = or_die(json_object());
    for (size_t i = 0; i < count; i++)
        json_add(versions, json_pack("{s:s, s:s, s:o, s:b}", "name", name_of(&list[i]), "precision",
                                     precision_name(list[i].precision), "gflops",
                                     json_rounded(list[i].gflops), "in_use", list[i].chosen));
    for (precision p = 0; p < PRECISIONS; p++)
        json_put(best, precision_name(p), json_text(name_of(fastest(list, count, p))));
    output_json(or_die(json_pack("{s:o, s:o, s:o, s:I}", "kernels", versions, "fastest", best,
                                 "fma_peak_gflops", json_rounded(peak), "threads", (json_int_t)threads)));
}

int bench_kernels(size_t threads, output_format format)
{
    version list[MOST];
    const kernels *chosen;
    mohvit_error err;
    if (!fine_or_complain(kernels_choose(&chosen, &err), &err))
        return EXIT_MODEL;
    size_t count = list_versions(list, chosen);
    measure_versions(list, count, threads);
    (format == FORMAT_JSON ? print_json : print_text)(list, count, threads, fma_peak_gflops(threads));
    return EXIT_FINE;
}
