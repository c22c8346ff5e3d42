/* cmd_bench.c - how fast is a model here, against what the machine can do? */
#include "gemm.h"
#include "head_load.h"
#include "model_options.h"
#include "output.h"
#include "provenance.h"
#include "synthetic.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "[OPTION ...]\n"
    "Measures a model: latency of a batch, images per second, time to load, memory, and how much\n"
    "of the machine's peak it reaches. The peak is that of matrix products on the same threads,\n"
    "measured before and after in the same run.\n\n"
    "  --variant NAME   a published variant with synthetic weights\n"
    "  --seed N         of the synthetic weights and the input; default 0\n"
    "  --iters N        batches to measure, after two to warm up; default 20\n"
    "  --head-load      also what counting head load costs: every batch once more without\n"
    "  --format FORMAT  text (default) or json: one line\n"
    "  -h, --help       show this\n" MODEL_OPTIONS_HELP
    "\nFLOP are 2 x multiply-adds of linear layers, convolutions, router, scores and weighted sums.\n"
    "efficiency = batch x gflop_per_image / (seconds of the median batch x gemm_peak_gflops),\n"
    "where gflop_per_image counts what is performed: no unselected heads.\n";

typedef struct bench_options {
    model_options model;
    size_t iters;
    output_format format;
    bool head_load;
} bench_options;

typedef struct measurement {
    double load_ms, median_ms, min_ms, max_ms;
    double peak_gflops, gflop, gflop_all, peak_rss_mib;
    double head_load_ms, uncounted_ms; /* median cost of counting for a batch; and of a batch without */
} measurement;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

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
    float *input = need(memory_alloc(o->model.batch * pixels, sizeof *input));
    synthetic_input(input, o->model.batch, S, o->model.seed);
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < o->model.batch; i++)
        status = mohvit_load_tensor(ctx, i, input + i * pixels, err);
    free(input);
    return status;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_doubles);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

/* Milliseconds of a batch; with its head load counted where there is one. */
static mohvit_status time_batch(double *ms, mohvit_context *ctx, const bench_options *o, head_load *load,
                                mohvit_error *err)
{
    double start = now_ms();
    mohvit_status status = mohvit_run(ctx, o->model.batch, err);
    for (size_t i = 0; load && !status && i < o->model.batch; i++)
        status = head_load_add(load, i % load->config.num_classes, mohvit_head_tokens(ctx, i),
                               mohvit_head_gate_sum(ctx, i), err);
    *ms = now_ms() - start;
    return status;
}

/* ms (iters): batches as they are run. The same without counting in between, so that the machine is as fast
 * for one as for the other, and in turn first and second. */
static mohvit_status time_batches(double *ms, measurement *m, mohvit_context *ctx, const bench_options *o,
                                  head_load *load, mohvit_error *err)
{
    size_t n = o->iters;
    double *without = need(calloc(n, sizeof *without)), *cost = need(calloc(n, sizeof *cost));
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < 2 * n; i++) {
        bool counts = !load || (i + i / 2) % 2 == 0;
        if (!load && i % 2)
            continue;
        mohvit_count_heads(ctx, counts);
        status = time_batch(counts ? &ms[i / 2] : &without[i / 2], ctx, o, counts ? load : NULL, err);
    }
    mohvit_count_heads(ctx, true);
    for (size_t i = 0; i < n; i++)
        cost[i] = ms[i] - without[i];
    m->head_load_ms = median(cost, n);
    m->uncounted_ms = median(without, n);
    free(without);
    free(cost);
    return status;
}

static mohvit_status measure_latency(measurement *m, mohvit_context *ctx, const mohvit_model *opened,
                                     const bench_options *o, mohvit_error *err)
{
    enum { WARM_UP = 2 };
    size_t n = o->iters;
    double *ms = need(calloc(n, sizeof *ms));
    head_load *load = NULL;
    const description *d = mohvit_describe(opened);
    mohvit_status status = o->head_load ? head_load_create(&load, &d->config, &d->labels, err) : MOHVIT_OK;
    for (size_t i = 0; !status && i < WARM_UP; i++)
        status = time_batch(&ms[0], ctx, o, load, err);
    if (!status)
        status = time_batches(ms, m, ctx, o, load, err);
    m->median_ms = median(ms, n);
    m->min_ms = ms[0];
    m->max_ms = ms[n - 1];
    head_load_destroy(load);
    free(ms);
    return status;
}

static double efficiency(const measurement *m, const bench_options *o)
{
    return (double)o->model.batch * m->gflop / (m->median_ms / 1e3 * m->peak_gflops);
}

static double images_per_s(const measurement *m, const bench_options *o)
{
    return (double)o->model.batch / (m->median_ms / 1e3);
}

// ---- Printing --------------------------------------------------------------------------------------

static void print_text(const measurement *m, const bench_options *o, const config *c)
{
    output_bold(true);
    output_printf("%s", config_name(c));
    output_bold(false);
    output_printf(", %zu x %zu, batch %zu, %d thread%s, %zu batches\n\n", c->img_size, c->img_size,
                  o->model.batch, o->model.open.threads, o->model.open.threads == 1 ? "" : "s", o->iters);
    output_printf("latency of a batch  %9.2f ms  median (%.2f to %.2f)\n", m->median_ms, m->min_ms,
                  m->max_ms);
    output_printf("throughput          %9.2f images/s\n", images_per_s(m, o));
    output_printf("work of an image    %9.4g GFLOP (%.4g with all heads)\n", m->gflop, m->gflop_all);
    output_printf("GEMM peak           %9.2f GFLOP/s\n", m->peak_gflops);
    output_printf("efficiency          %9.3f of the peak\n", efficiency(m, o));
    if (o->head_load)
        output_printf("head load           %9.3f ms  of a batch (%.2f %%)\n", m->head_load_ms,
                      100 * m->head_load_ms / m->uncounted_ms);
    output_printf("load                %9.2f ms\n", m->load_ms);
    output_printf("peak memory         %9.1f MiB\n", m->peak_rss_mib);
}

static void print_json(const measurement *m, const bench_options *o, const config *c,
                       const model_source *source)
{
    json_t *object = need(json_object());
    json_put(object, "latency_ms_median", json_rounded(m->median_ms));
    json_put(object, "latency_ms_min", json_rounded(m->min_ms));
    json_put(object, "latency_ms_max", json_rounded(m->max_ms));
    json_put(object, "images_per_s", json_rounded(images_per_s(m, o)));
    json_put(object, "gflop_per_image", json_real(m->gflop));
    json_put(object, "gflop_all_heads", json_real(m->gflop_all));
    json_put(object, "gemm_peak_gflops", json_rounded(m->peak_gflops));
    json_put(object, "efficiency", json_real(efficiency(m, o)));
    if (o->head_load) {
        json_put(object, "head_load_ms", json_real(m->head_load_ms));
        json_put(object, "head_load_percent", json_real(100 * m->head_load_ms / m->uncounted_ms));
    }
    json_put(object, "load_ms", json_rounded(m->load_ms));
    json_put(object, "peak_rss_mib", json_rounded(m->peak_rss_mib));
    json_put(object, "batch", json_integer((json_int_t)o->model.batch));
    json_put(object, "iters", json_integer((json_int_t)o->iters));
    json_put(object, "provenance", provenance_json(source, c, o->model.open.threads));
    output_json(object);
}

// ---- The command -----------------------------------------------------------------------------------

/* Everything but loading. */
static mohvit_status measure(measurement *m, const mohvit_model *opened, mohvit_context *ctx,
                             const bench_options *o, mohvit_error *err)
{
    size_t threads = (size_t)o->model.open.threads;
    mohvit_info info;
    mohvit_get_info(opened, &info);
    m->gflop = 2 * info.gmacs_routed;
    m->gflop_all = 2 * info.gmacs;
    m->peak_rss_mib = peak_rss_mib(); // of loading
    m->peak_gflops = gemm_peak_gflops(threads);
    reset_peak_rss();
    mohvit_status status = load_inputs(ctx, o, info.img_size, err);
    if (!status)
        status = measure_latency(m, ctx, opened, o, err);
    double running = peak_rss_mib(), after = gemm_peak_gflops(threads);
    m->peak_rss_mib = running > m->peak_rss_mib ? running : m->peak_rss_mib;
    m->peak_gflops = after > m->peak_gflops ? after : m->peak_gflops;
    return status;
}

static int bench(const bench_options *o)
{
    measurement m = {0};
    mohvit_error err;
    model_source source = model_source_or_synthetic(&o->model);
    double start = now_ms();
    mohvit_model *opened = model_source_open(&source, &o->model);
    m.load_ms = now_ms() - start;
    mohvit_context *ctx = opened ? model_context(opened, &o->model) : NULL;
    int exit = EXIT_MODEL;
    if (ctx) {
        const config *c = &mohvit_describe(opened)->config;
        mohvit_status status = measure(&m, opened, ctx, o, &err);
        exit = status ? EXIT_INPUT : EXIT_FINE;
        if (status)
            complain("%s", err.message);
        else if (o->format == FORMAT_JSON)
            print_json(&m, o, c, &source);
        else
            print_text(&m, o, c);
    }
    mohvit_context_destroy(ctx);
    mohvit_close(opened);
    return exit;
}

enum { OPTION_FORMAT = OPTION_OWN, OPTION_ITERS, OPTION_HEAD_LOAD };

static bool take_option(void *options, int code, const char *value)
{
    bench_options *o = options;
    switch (code) {
    case OPTION_FORMAT:
        return parse_format(&o->format, value, false);
    case OPTION_ITERS:
        return parse_whole(&o->iters, "--iters", value, 1, 1000000);
    case OPTION_HEAD_LOAD:
        return o->head_load = true;
    default:
        return model_option(&o->model, code, value);
    }
}

static int parse(bench_options *o, int argc, char **argv)
{
    static const struct option table[] = {
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"iters", required_argument, NULL, OPTION_ITERS},
        {"head-load", no_argument, NULL, OPTION_HEAD_LOAD},
        SYNTHETIC_OPTIONS,
        MODEL_OPTIONS,
        HELP_OPTION,
        END_OPTION,
    };
    *o = (bench_options){.iters = 20};
    model_options_begin(&o->model);
    int parsed = options_read(&command_bench, argc, argv, "", table, take_option, o);
    if (parsed != PARSED)
        return parsed;
    if (optind < argc)
        return usage_error("bench", "%s: expected options alone", argv[optind]);
    if (o->model.variant && (o->model.weights || o->model.open.config))
        return usage_error("bench", "--variant brings its own weights and config; leave out --weights and "
                                    "--config");
    return PARSED;
}

static int run_bench(int argc, char **argv)
{
    bench_options o;
    int parsed = parse(&o, argc, argv);
    return parsed == PARSED ? bench(&o) : parsed;
}

const command command_bench = {"bench", "measure speed and memory", help, run_bench};
