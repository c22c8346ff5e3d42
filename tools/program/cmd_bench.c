/* cmd_bench.c - how fast is a model here, against what the machine can do? */
#include "base/clock.h"
#include "base/memory.h"
#include "tools/program/bench_kernels.h"
#include "tools/program/bench_repeat.h"
#include "tools/program/complain.h"
#include "tools/program/json_build.h"
#include "tools/program/model_options.h"
#include "tools/program/output.h"
#include "tools/program/progress.h"
#include "tools/program/provenance.h"
#include "vit/headload/head_load.h"
#include "vit/kernels/gemm.h"
#include "vit/network/synthetic.h"

#include <fcntl.h>
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __SSE2__
#include <pmmintrin.h>
#endif

static const char help[] =
    "[OPTION ...]\n"
    "Measures a model: latency of a batch, images per second, time to load, memory, and how much\n"
    "of the machine's peak it reaches. There are two peaks: of the instruction set's multiply-adds alone,\n"
    "and of large matrix products. Both are measured before and after the model, in the same run and on\n"
    "the same threads.\n\n"
    "  --variant NAME   a published variant with synthetic weights\n"
    "  --seed N         seed of the synthetic weights and the input; default 0\n"
    "  --iters N        batches to measure, after two to warm up; default 20\n"
    "  --profile        also the time of each operation, and the floor: the matrix products alone, with\n"
    "                   denormal numbers as zeros\n"
    "  --all-heads      compute every head and then weight it, instead of skipping what no token\n"
    "                   selected; also compare both ways in pairs of runs\n"
    "  --head-load      also measure what counting head load costs, including pairs of heads and the\n"
    "                   sums for intervals, in pairs of runs with and without it\n"
    "  --no-peaks       leave out the peaks, and the efficiencies that compare with them\n"
    "  --against WORDS  compare with another setting, in turns. WORDS are NAME=VALUE for the environment,\n"
    "                   another mohvit, and more options, as in\n"
    "                   --against 'MOHVIT_ISA=avx2 ../old/mohvit --threads 1'; the rest stays as it is\n"
    "  --repeat N       pairs of runs for --against, at least 7; default 21\n"
    "  --kernels        measure no model, but each version of the matrix products that this processor\n"
    "                   can run, and say which is the fastest\n"
    "  --format FORMAT  text (default) or json: one line\n"
    "  -h, --help       show this\n" MODEL_OPTIONS_HELP
    "\nskipping_speedup is the time with all heads / the time with skipping, head_load_slowdown the time\n"
    "with counting / the time without. Both are medians of 41 pairs in alternating order, with 95 %\n"
    "confidence intervals. head_load_percent is the share of the time of the counting runs that goes into\n"
    "counting. It is timed where counting happens, and so stays exact on a machine that others use.\n"
    "FLOP are 2 x multiply-adds of linear layers, convolutions, router, scores and weighted sums.\n"
    "efficiency = batch x gflop_per_image / (seconds of the median batch x fma_peak_gflops),\n"
    "where gflop_per_image counts what is performed: no unselected heads. gemm_efficiency is the same\n"
    "against gemm_peak_gflops. Both peaks are those of float32, whatever --precision says.\n"
    "\n--against runs A, this program with these options, and B, the other setting, in pairs: A B, B A ...\n"
    "Each run is a process of --iters batches, whose median counts. ratio is the time of B / the time of A;\n"
    "noise is the ratio of two neighbouring runs of one setting. Both are medians with 95 % confidence\n"
    "intervals. B may be any version of mohvit that knows the options. It gets the options of A, too.\n";

#define PAIRS 41

typedef struct bench_options {
    model_options model;
    size_t iters;
    int profile, all_heads, head_load, kernels, no_peaks;
    const char *against;
    size_t pairs; // of --against; 0: not given
    output_format format;
} bench_options;

typedef struct measurement {
    double load_ms, median_ms, min_ms, max_ms;
    double fma_gflops, gemm_gflops; // peaks
    double gflop, gflop_all, peak_rss_mib;
    double operation_ms[OPERATIONS], product_ms, floor_ms; // of a batch
    ratio speedup, slowdown;                               /* by skipping, and by counting head load */
    double head_load_ms, head_load_percent;                /* of a batch: spent on counting */
} measurement;

// ---- Memory ----------------------------------------------------------------------------------------

/* So that the matrices of the peak measurement do not count. Where the kernel does not allow it, they do. */
static void reset_peak_rss(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t ignored UNUSED = write(fd, "5", 1);
    close(fd);
}

/* 0 where the kernel does not tell. */
static double peak_rss_mib(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "VmHWM: %llu", &kib) != 1)
        ;
    if (f)
        fclose(f);
    return (double)kib / 1024;
}

// ---- Measuring -------------------------------------------------------------------------------------

static mohvit_status load_inputs(mohvit_context *ctx, const bench_options *o, size_t S, mohvit_error *err)
{
    size_t pixels = 3 * S * S;
    float *input = or_die(memory_alloc(o->model.batch * pixels, sizeof *input));
    synthetic_input(input, o->model.batch, S, o->model.seed);
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < o->model.batch; i++)
        status = mohvit_load_tensor(ctx, i, input + i * pixels, err);
    free(input);
    return status;
}

static double sum_ns(const uint64_t ns[OPERATIONS])
{
    double sum = 0;
    for (size_t op = 0; op < OPERATIONS; op++)
        sum += (double)ns[op];
    return sum;
}

/* Head load, and what one batch after the other spent on it. */
typedef struct counter {
    head_load *load;
    double ms[PAIRS];
    size_t batches;
} counter;

/* Milliseconds of a batch; with its head load counted where there is a counter. */
static mohvit_status time_batch(double *ms, mohvit_context *ctx, size_t batch, counter *c, mohvit_error *err)
{
    uint64_t ns[OPERATIONS];
    if (c)
        mohvit_take_profile(ctx, ns);
    double start = clock_ms();
    mohvit_status status = mohvit_run(ctx, batch, err);
    double ran = clock_ms();
    for (size_t i = 0; c && !status && i < batch; i++) {
        const head_image counted = {mohvit_head_tokens(ctx, i), mohvit_head_gate_sum(ctx, i),
                                    mohvit_together(ctx, i)};
        status = head_load_add(c->load, i % c->load->names.count, &counted, err);
    }
    double end = clock_ms();
    *ms = end - start;
    if (c) {
        mohvit_take_profile(ctx, ns);
        c->ms[c->batches++] = (ran - start) * (double)ns[OP_COUNT] / sum_ns(ns) + (end - ran);
    }
    return status;
}

/* Milliseconds of n batches, after two to warm up. */
static mohvit_status time_batches(double *ms, size_t n, mohvit_context *ctx, size_t batch, mohvit_error *err)
{
    enum { WARM_UP = 2 };
    mohvit_status status = MOHVIT_OK;
    uint64_t before[OPERATIONS];
    for (size_t i = 0; !status && i < WARM_UP; i++)
        status = mohvit_run(ctx, batch, err);
    mohvit_take_profile(ctx, before);
    for (size_t i = 0; !status && i < n; i++)
        status = time_batch(&ms[i], ctx, batch, NULL, err);
    return status;
}

static mohvit_status measure_latency(measurement *m, mohvit_context *ctx, const bench_options *o,
                                     mohvit_error *err)
{
    double *ms = or_die(calloc(o->iters, sizeof *ms)), sum;
    uint64_t ns[OPERATIONS];
    mohvit_settings(ctx)->all_heads = o->all_heads;
    mohvit_status status = time_batches(ms, o->iters, ctx, o->model.batch, err);
    mohvit_take_profile(ctx, ns);
    m->median_ms = median(ms, o->iters);
    m->min_ms = ms[0];
    m->max_ms = ms[o->iters - 1];
    sum = sum_ns(ns);
    for (operation op = 0; op < OPERATIONS; op++) {
        m->operation_ms[op] = sum > 0 ? m->median_ms * (double)ns[op] / sum : 0;
        m->product_ms += operations[op].product ? m->operation_ms[op] : 0;
    }
    free(ms);
    return status;
}

/* Of this thread, whose teams follow it (parallel.h). */
static void flush_denormals(void)
{
#if defined(__SSE2__)
    _mm_setcsr(_mm_getcsr() | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
#elif defined(__aarch64__)
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("msr fpcr, %0" : : "r"(control | 1 << 24));
#endif
}

/* The network's own products, with the same weights, tiles and threads, and nothing between them. Without
 * norms numbers shrink from one to the next until they are denormal, which the network's own never are: on an
 * Intel Emerald Rapids, which multiplies those slowly, int8's products seemed to take 72 ms in place of 48.
 */
static mohvit_status measure_floor(measurement *m, mohvit_context *ctx, const bench_options *o,
                                   mohvit_error *err)
{
    double *ms = or_die(calloc(o->iters, sizeof *ms));
    fenv_t usual;
    fegetenv(&usual);
    flush_denormals();
    mohvit_settings(ctx)->products_only = true;
    mohvit_status status = time_batches(ms, o->iters, ctx, o->model.batch, err);
    mohvit_settings(ctx)->products_only = false;
    fesetenv(&usual);
    m->floor_ms = median(ms, o->iters);
    free(ms);
    return status;
}

/* Milliseconds of pairs of batches, one after the other so that the machine is as fast for both, in turn of
 * which comes first: ms[i][1] with `way` on, and then counted where there is a counter, ms[i][0] without. */
static mohvit_status time_pairs(double ms[PAIRS][2], mohvit_context *ctx, const bench_options *o, bool *way,
                                counter *c, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; i < PAIRS; i++) {
        progress_show(i, PAIRS, "pairs of runs");
        for (size_t j = 0; !status && j < 2; j++) {
            bool on = (i + j) % 2;
            *way = on;
            status = time_batch(&ms[i][on], ctx, o->model.batch, on ? c : NULL, err);
        }
    }
    progress_show(PAIRS, PAIRS, NULL);
    return status;
}

/* Time with over time without. */
static ratio ratio_of_ways(double ms[PAIRS][2])
{
    double ratios[PAIRS];
    for (size_t i = 0; i < PAIRS; i++)
        ratios[i] = ms[i][1] / ms[i][0];
    return ratio_of(ratios, PAIRS);
}

static mohvit_status measure_skipping(measurement *m, mohvit_context *ctx, const bench_options *o,
                                      mohvit_error *err)
{
    double ms[PAIRS][2] = {{0}};
    mohvit_status status = time_pairs(ms, ctx, o, &mohvit_settings(ctx)->all_heads, NULL, err);
    mohvit_settings(ctx)->all_heads = o->all_heads;
    m->speedup = ratio_of_ways(ms);
    return status;
}

static mohvit_status measure_head_load(measurement *m, mohvit_context *ctx, const mohvit_model *opened,
                                       const bench_options *o, mohvit_error *err)
{
    double ms[PAIRS][2] = {{0}}, percent[PAIRS];
    counter c = {0};
    mohvit_status status = mohvit_head_load_create(&c.load, opened, err);
    if (!status)
        status = time_pairs(ms, ctx, o, &mohvit_settings(ctx)->counts_heads, &c, err);
    mohvit_settings(ctx)->counts_heads = true;
    for (size_t i = 0; i < PAIRS; i++)
        percent[i] = 100 * c.ms[i] / ms[i][1];
    m->head_load_ms = median(c.ms, PAIRS);
    m->head_load_percent = median(percent, PAIRS);
    m->slowdown = ratio_of_ways(ms);
    head_load_destroy(c.load);
    return status;
}

/* Of a peak. */
static double efficiency(const measurement *m, const bench_options *o, double peak_gflops)
{
    return (double)o->model.batch * m->gflop / (m->median_ms / 1e3 * peak_gflops);
}

static double images_per_s(const measurement *m, const bench_options *o)
{
    return (double)o->model.batch / (m->median_ms / 1e3);
}

// ---- Printing --------------------------------------------------------------------------------------

static void print_profile(const measurement *m)
{
    output_printf("\n");
    for (operation op = 0; op < OPERATIONS; op++)
        output_printf("%-25s %7.2f ms  %4.1f %%\n", operations[op].name, m->operation_ms[op],
                      100 * m->operation_ms[op] / m->median_ms);
    output_printf("%-25s %7.2f ms  %4.1f %%\n", "matrix products of these", m->product_ms,
                  100 * m->product_ms / m->median_ms);
    output_printf("%-25s %7.2f ms\n", "the products alone", m->floor_ms);
}

static void print_peaks(const measurement *m, const bench_options *o)
{
    output_printf("FMA peak            %9.2f GFLOP/s  in float32\n", m->fma_gflops);
    output_printf("GEMM peak           %9.2f GFLOP/s\n", m->gemm_gflops);
    output_printf("efficiency          %9.3f of the FMA peak, %.3f of the GEMM peak\n",
                  efficiency(m, o, m->fma_gflops), efficiency(m, o, m->gemm_gflops));
}

static void print_text(const measurement *m, const bench_options *o, const mohvit_info *info)
{
    output_title(info->variant);
    output_printf(", %zu x %zu, batch %zu, %d thread%s, %zu batches\n", info->img_size, info->img_size,
                  o->model.batch, o->model.open.threads, o->model.open.threads == 1 ? "" : "s", o->iters);
    output_printf("%s, %s, %s; %.0f %% of the heads active%s\n\n", mohvit_backend_name(info->backend),
                  mohvit_precision_name(info->precision), info->instruction_set, info->active_heads_percent,
                  o->all_heads ? ", but all are computed" : "");
    output_printf("latency of a batch  %9.2f ms  median (%.2f to %.2f)\n", m->median_ms, m->min_ms,
                  m->max_ms);
    output_printf("throughput          %9.2f images/s\n", images_per_s(m, o));
    output_printf("work of an image    %9.4g GFLOP (%.4g with all heads)\n", m->gflop, m->gflop_all);
    if (!o->no_peaks)
        print_peaks(m, o);
    if (o->head_load)
        output_printf(
            "head load           %9.3f ms  of a batch (%.2f %%); with it, %.3f times as long (%.3f to "
            "%.3f)\n",
            m->head_load_ms, m->head_load_percent, m->slowdown.median, m->slowdown.low, m->slowdown.high);
    output_printf("load                %9.2f ms\n", m->load_ms);
    output_printf("peak memory         %9.1f MiB\n", m->peak_rss_mib);
    if (o->all_heads)
        output_printf("skipping is         %9.3f times as fast (%.3f to %.3f)\n", m->speedup.median,
                      m->speedup.low, m->speedup.high);
    if (o->profile)
        print_profile(m);
}

static json_t *profile_json(const measurement *m)
{
    json_t *list = or_die(json_array());
    for (operation op = 0; op < OPERATIONS; op++)
        json_add(list, json_pack("{s:s, s:o, s:b}", "name", operations[op].name, "ms",
                                 json_rounded(m->operation_ms[op]), "product", operations[op].product));
    return json_pack("{s:o, s:f, s:o}", "operations", list, "product_share", m->product_ms / m->median_ms,
                     "floor_ms", json_rounded(m->floor_ms));
}

static void print_json(const measurement *m, const bench_options *o, const mohvit_model *opened,
                       const model_source *source)
{
    const config *c = &mohvit_describe(opened)->config;
    json_t *object = or_die(json_pack(
        "{s:o, s:o, s:o, s:o, s:f, s:f}", "latency_ms_median", json_rounded(m->median_ms), "latency_ms_min",
        json_rounded(m->min_ms), "latency_ms_max", json_rounded(m->max_ms), "images_per_s",
        json_rounded(images_per_s(m, o)), "gflop_per_image", m->gflop, "gflop_all_heads", m->gflop_all));
    if (!o->no_peaks) {
        json_put(object, "fma_peak_gflops", json_rounded(m->fma_gflops));
        json_put(object, "gemm_peak_gflops", json_rounded(m->gemm_gflops));
        json_put(object, "efficiency", json_real(efficiency(m, o, m->fma_gflops)));
        json_put(object, "gemm_efficiency", json_real(efficiency(m, o, m->gemm_gflops)));
    }
    if (o->head_load) {
        json_put(object, "head_load_ms", json_real(m->head_load_ms));
        json_put(object, "head_load_percent", json_real(m->head_load_percent));
        json_put(object, "head_load_slowdown", ratio_json(&m->slowdown));
    }
    json_put(object, "load_ms", json_rounded(m->load_ms));
    json_put(object, "peak_rss_mib", json_rounded(m->peak_rss_mib));
    json_put(object, "batch", json_integer((json_int_t)o->model.batch));
    json_put(object, "iters", json_integer((json_int_t)o->iters));
    json_put(object, "all_heads", json_boolean(o->all_heads));
    if (o->all_heads)
        json_put(object, "skipping_speedup", ratio_json(&m->speedup));
    if (o->profile)
        json_put(object, "profile", profile_json(m));
    json_put(object, "provenance", provenance_json(source, c, opened, o->model.open.threads));
    output_json(object);
}

// ---- The command -----------------------------------------------------------------------------------

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static void measure_peaks(measurement *m, const bench_options *o)
{
    size_t threads = (size_t)o->model.open.threads;
    if (o->no_peaks)
        return;
    m->fma_gflops = larger(m->fma_gflops, fma_peak_gflops(threads));
    m->gemm_gflops = larger(m->gemm_gflops, gemm_peak_gflops(threads));
}

/* Everything but loading. */
static mohvit_status measure(measurement *m, const mohvit_model *opened, mohvit_context *ctx,
                             const bench_options *o, mohvit_error *err)
{
    mohvit_info info = {.size = sizeof info};
    mohvit_get_info(opened, &info, NULL);
    m->gflop = 2 * (o->all_heads ? info.gmacs : info.gmacs_routed);
    m->gflop_all = 2 * info.gmacs;
    m->peak_rss_mib = peak_rss_mib(); // of loading
    measure_peaks(m, o);
    reset_peak_rss();
    mohvit_status status = load_inputs(ctx, o, info.img_size, err);
    if (!status)
        status = measure_latency(m, ctx, o, err);
    if (!status && o->profile)
        status = measure_floor(m, ctx, o, err);
    if (!status && o->all_heads)
        status = measure_skipping(m, ctx, o, err);
    if (!status && o->head_load)
        status = measure_head_load(m, ctx, opened, o, err);
    double running = peak_rss_mib();
    m->peak_rss_mib = running > m->peak_rss_mib ? running : m->peak_rss_mib;
    measure_peaks(m, o);
    return status;
}

static int bench(const bench_options *o)
{
    measurement m = {0};
    mohvit_error err;
    model_source source = model_source_or_synthetic(&o->model);
    gemm_openblas_load(NULL); // for the peak: before a thread exists (openblas_core.h)
    double start = clock_ms();
    mohvit_model *opened = model_open_or_complain(&source, &o->model);
    m.load_ms = clock_ms() - start;
    mohvit_context *ctx = opened ? model_context_or_complain(opened, &o->model) : NULL;
    int exit = EXIT_MODEL;
    if (ctx) {
        mohvit_info info = {.size = sizeof info};
        mohvit_get_info(opened, &info, NULL);
        mohvit_status status = measure(&m, opened, ctx, o, &err);
        exit = status ? EXIT_INPUT : EXIT_FINE;
        if (status)
            complain("%s", err.message);
        else if (o->format == FORMAT_JSON)
            print_json(&m, o, opened, &source);
        else
            print_text(&m, o, &info);
    }
    mohvit_context_destroy(ctx);
    mohvit_close(opened);
    return exit;
}

enum { OPTION_ITERS = OPTION_OWN, OPTION_AGAINST, OPTION_REPEAT };

static bool take_option(void *options, int code, const char *value)
{
    bench_options *o = options;
    switch (code) {
    case OPTION_FORMAT:
        return parse_format(&o->format, value, false);
    case OPTION_ITERS:
        return parse_whole(&o->iters, "--iters", value, 1, 1000000);
    case OPTION_AGAINST:
        o->against = value;
        return true;
    case OPTION_REPEAT:
        return parse_whole(&o->pairs, "--repeat", value, PAIRS_MIN, PAIRS_MAX);
    default:
        return model_option(&o->model, code, value);
    }
}

static int compare(const bench_options *o, int argc, char **argv, const struct option *table)
{
    if (o->kernels || o->profile || o->head_load)
        return usage_error("bench",
                           "--against compares the time of a batch alone; leave out --kernels, --profile "
                           "and --head-load");
    repeat r = {o->pairs ? o->pairs : PAIRS_DEFAULT, o->against, o->format, argc, argv, table};
    return bench_repeat(&r);
}

static int run_bench(int argc, char **argv)
{
    bench_options o = {.iters = 20};
    const struct option table[] = {
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"iters", required_argument, NULL, OPTION_ITERS},
        {"profile", no_argument, &o.profile, FLAG_SET},
        {"all-heads", no_argument, &o.all_heads, FLAG_SET},
        {"head-load", no_argument, &o.head_load, FLAG_SET},
        {"kernels", no_argument, &o.kernels, FLAG_SET},
        {"no-peaks", no_argument, &o.no_peaks, FLAG_SET},
        {"against", required_argument, NULL, OPTION_AGAINST},
        {"repeat", required_argument, NULL, OPTION_REPEAT},
        SYNTHETIC_OPTIONS,
        MODEL_OPTIONS,
        LAST_OPTIONS,
    };
    model_options_begin(&o.model);
    int parsed = options_read(&command_bench, argc, argv, "", table, take_option, &o);
    if (parsed != PARSED)
        return parsed;
    if (optind < argc)
        return usage_error("bench", "%s: expected only options", argv[optind]);
    if (o.kernels && (o.profile || o.all_heads || o.head_load || o.model.variant || o.model.weights ||
                      o.model.open.config))
        return usage_error("bench", "--kernels measures no model; leave out the options for one");
    if (o.against)
        return compare(&o, argc, argv, table);
    if (o.pairs)
        return usage_error("bench", "--repeat belongs to --against");
    if (o.kernels)
        return bench_kernels((size_t)o.model.open.threads, o.format);
    if (o.model.variant && (o.model.weights || o.model.open.config))
        return usage_error("bench", "--variant brings its own weights and config; leave out --weights and "
                                    "--config");
    parsed = model_options_check(&o.model, "bench");
    return parsed == PARSED ? bench(&o) : parsed;
}

const command command_bench = {"bench", "measure speed and memory", help, run_bench};
