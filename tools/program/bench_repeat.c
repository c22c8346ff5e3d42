/* bench_repeat.c - runs of two sides, A and B, in turns: A B, B A, A B ...
 *
 * Each run is a process. Where a process and its memory come to lie moves its times by some per cent, so that
 * two processes which go on for long may differ by that alone; here it is drawn anew for each run. And B may
 * be any build that knows `bench --format json`.
 *
 * The two runs of a pair are neighbours in time, and their ratio is what is wanted. The last of a pair and
 * the first of the next are neighbours, too, and of the same side: their ratio is 1 but for noise.
 */
#include "tools/program/bench_repeat.h"

#include "base/memory.h"
#include "tools/program/interrupt.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"
#include "tools/program/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wordexp.h>

enum { ANSWER_MAX = 65536 }; // bytes of what a run may print

typedef struct side {
    char **words;       // NAME=VALUE ..., the program, its arguments; ends with NULL
    size_t program;     // its index
    double *ms;         // of each run: the median of its batches
    json_t *provenance; // of the first run; NULL where it names none
} side;

// ---- What is run -----------------------------------------------------------------------------------

static bool is_setting(const char *word)
{
    return *word != '-' && strchr(word, '=');
}

static void add(side *s, size_t *count, char *word)
{
    s->words[(*count)++] = or_die(word);
}

/* The options that were given, spelled out, but those which are about the comparison. */
static void add_options(side *s, size_t *count, const repeat *r)
{
    const char *const ours[] = {"repeat", "against", "format"};
    int index;
    optind = 0; // from the beginning again
    while (getopt_long(r->argc, r->argv, "", r->table, &index) != -1) {
        const char *name = r->table[index].name;
        bool run = true;
        char *word = NULL;
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
            run = run && strcmp(name, ours[i]) != 0;
        if (run && asprintf(&word, "--%s%s%s", name, optarg ? "=" : "", optarg ? optarg : "") >= 0)
            add(s, count, word);
    }
}

/* The words that run a side. */
static void side_begin(side *s, const wordexp_t *against, const repeat *r)
{
    size_t n = 0, i = 0;
    char self[PATH_MAX] = "mohvit";
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        complain("warning: /proc/self/exe: %s; running the mohvit of PATH", strerror(errno));
    s->ms = or_die(calloc(r->pairs, sizeof *s->ms));
    s->words = or_die(calloc(against->we_wordc + (size_t)r->argc + 6, sizeof *s->words));
    for (; i < against->we_wordc && is_setting(against->we_wordv[i]); i++)
        add(s, &n, strdup(against->we_wordv[i]));
    s->program = n;
    bool other = i < against->we_wordc && *against->we_wordv[i] != '-';
    add(s, &n, strdup(other ? against->we_wordv[i++] : self));
    add(s, &n, strdup("bench"));
    add_options(s, &n, r);
    for (; i < against->we_wordc; i++)
        add(s, &n, strdup(against->we_wordv[i]));
    add(s, &n, strdup("--format"));
    add(s, &n, strdup("json"));
}

static void side_end(side *s)
{
    for (size_t i = 0; s->words[i]; i++)
        free(s->words[i]);
    free(s->words);
    free(s->ms);
    json_decref(s->provenance);
}

// ---- A run -----------------------------------------------------------------------------------------

/* The child becomes the side's program; 127 where it cannot, as in a shell. */
static void become(const side *s, int out, int err)
{
    int nothing = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    if (nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        dup2(err, STDERR_FILENO) >= 0) {
        unsetenv("OPENBLAS_NUM_THREADS"); // main.c set it, for this version alone
        for (size_t i = 0; i < s->program; i++)
            putenv(s->words[i]);
        execvp(s->words[s->program], s->words + s->program);
    }
    dprintf(STDERR_FILENO, "%s: %s\n", s->words[s->program], strerror(errno));
    _exit(127);
}

/* What the child prints until it closes the pipe, *length bytes; false where a signal came, or it printed too
 * much. */
static bool hear(char answer[ANSWER_MAX], size_t *length, int from)
{
    struct pollfd ready = {.fd = from, .events = POLLIN};
    while (!interrupt_pending() && *length < ANSWER_MAX) {
        // One that comes just before poll does not wake it.
        if (poll(&ready, 1, 100) <= 0)
            continue;
        ssize_t got = read(from, answer + *length, ANSWER_MAX - *length);
        if (got == 0)
            return true;
        *length += got > 0 ? (size_t)got : 0;
    }
    return false;
}

/* What the child said on standard error. */
static void pass_on(FILE *messages)
{
    char line[4096];
    rewind(messages);
    while (fgets(line, sizeof line, messages)) {
        line[strcspn(line, "\n")] = '\0';
        if (*line)
            complain("%s", strncmp(line, "mohvit: ", 8) ? line : line + 8);
    }
}

/* The time that the answer names; of the first run its provenance, too. */
static bool take_answer(side *s, size_t run, const char *answer, size_t length)
{
    json_t *object = json_loadb(answer, length, 0, NULL);
    s->ms[run] = json_number_value(json_object_get(object, "latency_ms_median"));
    if (run == 0)
        s->provenance = json_incref(json_object_get(object, "provenance"));
    json_decref(object);
    return s->ms[run] > 1e-6 && s->ms[run] < 1e12; // so that ratios are finite, whatever runs
}

/* Takes the answer of a process that has ended; complains where there is none. */
static bool judge(side *s, size_t run, int status, const char *answer, size_t length)
{
    const char *program = s->words[s->program];
    if (length < ANSWER_MAX && WIFSIGNALED(status))
        complain("%s: ended by signal %d, expected an answer", program, WTERMSIG(status));
    else if (length < ANSWER_MAX && WEXITSTATUS(status))
        complain("%s: ended with status %d, expected 0", program, WEXITSTATUS(status));
    else if (!take_answer(s, run, answer, length))
        complain("%s: printed \"%.*s\", expected a line of JSON with latency_ms_median", program,
                 (int)strnlen(answer, length < 60 ? length : 60), answer);
    else
        return true;
    return false;
}

/* Listens to the child until it has ended, and takes its answer. */
static bool attend(side *s, size_t run, pid_t child, int from, FILE *messages)
{
    size_t length = 0;
    int status = 0;
    char *answer = or_die(malloc(ANSWER_MAX));
    setpgid(child, child); // by whoever comes first
    if (!hear(answer, &length, from))
        kill(-child, SIGTERM);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (run == 0 || status)
        pass_on(messages);
    bool good = !interrupt_pending() && judge(s, run, status, answer, length);
    free(answer);
    return good;
}

/* Measures s->ms[run]. The messages of the first run are passed on, those of later ones where they fail. */
static bool run_side(side *s, size_t run)
{
    int ends[2] = {-1, -1};
    bool good = false;
    FILE *messages = tmpfile();
    pid_t child = messages && !pipe2(ends, O_CLOEXEC) ? fork() : -1;
    if (child == 0)
        become(s, ends[1], fileno(messages));
    if (child < 0)
        complain("%s: could not be run: %s", s->words[s->program], strerror(errno));
    close(ends[1]);
    if (child > 0)
        good = attend(s, run, child, ends[0], messages);
    close(ends[0]);
    if (messages)
        fclose(messages);
    return good;
}

static bool run_pairs(side sides[2], size_t pairs)
{
    bool good = true;
    interrupt_begin(); // so that no child is left behind
    for (size_t i = 0; good && i < pairs; i++) {
        progress_show(i, pairs, "pairs of runs");
        good = run_side(&sides[i % 2], i) && run_side(&sides[1 - i % 2], i);
    }
    progress_show(pairs, pairs, NULL);
    interrupt_end();
    return good;
}

// ---- What they came to -----------------------------------------------------------------------------

/* The time of B over that of A. */
static ratio ratio_of_pairs(const side sides[2], size_t pairs)
{
    double ratios[PAIRS_MAX];
    for (size_t i = 0; i < pairs; i++)
        ratios[i] = sides[1].ms[i] / sides[0].ms[i];
    return ratio_of(ratios, pairs);
}

/* The same of neighbours of one side: a later run over an earlier and, as in pairs, the other way round by
 * turns. */
static ratio ratio_of_neighbours(const side sides[2], size_t pairs)
{
    double ratios[PAIRS_MAX];
    for (size_t i = 0; i + 1 < pairs; i++) {
        const double *ms = sides[1 - i % 2].ms + i; // of the side that ended pair i
        ratios[i] = i % 2 ? ms[0] / ms[1] : ms[1] / ms[0];
    }
    return ratio_of(ratios, pairs - 1);
}

/* Of its runs, which stay in their order. */
typedef struct times {
    double median, min, max;
} times;

static times times_of(const side *s, size_t pairs)
{
    double sorted[PAIRS_MAX];
    memcpy(sorted, s->ms, pairs * sizeof *sorted);
    double middle = median(sorted, pairs);
    return (times){middle, sorted[0], sorted[pairs - 1]};
}

/* A text that the program says of itself; "" where it does not. */
static const char *of_provenance(const side *s, const char *key)
{
    const char *text = json_string_value(json_object_get(s->provenance, key));
    return text ? text : "";
}

static void print_text(const side sides[2], size_t pairs, const ratio *pair, const ratio *noise)
{
    for (size_t i = 0; i < 2; i++) {
        output_printf("%c ", "AB"[i]);
        for (char **word = sides[i].words; *word; word++) {
            output_printf(" ");
            output_name(*word);
        }
        output_printf("\n");
    }
    output_printf("\n");
    output_name(of_provenance(&sides[0], "cpu"));
    output_printf("\n\n");
    for (size_t i = 0; i < 2; i++) {
        times t = times_of(&sides[i], pairs);
        output_printf("%c                   %9.2f ms  median of %zu runs (%.2f to %.2f)  ", "AB"[i], t.median,
                      pairs, t.min, t.max);
        output_name(of_provenance(&sides[i], "kernels"));
        output_printf("\n");
    }
    output_printf("time of B over A    %9.3f     median of %zu pairs; 95 %%: %.3f to %.3f\n", pair->median,
                  pairs, pair->low, pair->high);
    output_printf("the same twice      %9.3f     median of %zu pairs; 95 %%: %.3f to %.3f\n", noise->median,
                  pairs - 1, noise->low, noise->high);
}

static json_t *side_json(const side *s, size_t pairs)
{
    times t = times_of(s, pairs);
    json_t *words = or_die(json_array()), *ms = or_die(json_array());
    for (char **word = s->words; *word; word++)
        json_add(words, json_text(*word));
    for (size_t i = 0; i < pairs; i++)
        json_add(ms, json_rounded(s->ms[i]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:O?}", "command", words, "latency_ms_median",
                     json_rounded(t.median), "latency_ms_min", json_rounded(t.min), "latency_ms_max",
                     json_rounded(t.max), "latency_ms", ms, "provenance", s->provenance);
}

static void print_json(const side sides[2], size_t pairs, const ratio *pair, const ratio *noise)
{
    output_json(
        or_die(json_pack("{s:I, s:o, s:o, s:o, s:o}", "pairs", (json_int_t)pairs, "ratio",
                         or_die(ratio_json(pair)), "noise", or_die(ratio_json(noise)), "a",
                         or_die(side_json(&sides[0], pairs)), "b", or_die(side_json(&sides[1], pairs)))));
}

int bench_repeat(const repeat *r)
{
    side sides[2] = {{0}};
    wordexp_t words, none = {.we_wordc = 0};
    if (wordexp(r->against, &words, WRDE_NOCMD))
        return usage_error("bench", "--against %s: expected words as a shell takes them, without commands",
                           r->against);
    side_begin(&sides[0], &none, r);
    side_begin(&sides[1], &words, r);
    wordfree(&words);
    bool good = run_pairs(sides, r->pairs);
    if (good) {
        ratio pair = ratio_of_pairs(sides, r->pairs), noise = ratio_of_neighbours(sides, r->pairs);
        (r->format == FORMAT_JSON ? print_json : print_text)(sides, r->pairs, &pair, &noise);
    }
    side_end(&sides[0]);
    side_end(&sides[1]);
    return good ? EXIT_FINE : EXIT_INPUT;
}
