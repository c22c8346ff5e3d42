/* Pairs of runs: whose turn it is, what the ratios are, and what becomes of programs that fail. This
 * executable plays all parts: `bench …` is a program that says what PLAN tells it to, `compare …` is what a
 * user runs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tools/program/bench_repeat.h"
#include "tools/program/interrupt.h"
#include "tools/program/output.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *self;

// ---- The program that is measured ------------------------------------------------------------------

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

/* Notes in the file JOURNAL who runs, and how often it has run by now. */
static int note_turn(const char *who)
{
    char line[64];
    int turns = 0;
    FILE *f = fopen(variable("JOURNAL"), "a+");
    if (!f)
        return 0;
    fprintf(f, "%s\n", who);
    rewind(f);
    while (fgets(line, sizeof line, f))
        turns += *line == *who;
    fclose(f);
    return turns;
}

static void print_answer(const char *who, const char *ms, int argc, char **argv)
{
    printf("{\"latency_ms_median\": %s, \"provenance\": {\"kernels\": \"of %s\", \"words\": \"", ms, who);
    for (int i = 1; i < argc; i++)
        printf("%s ", argv[i]);
    printf("\", \"threads\": \"%s\"}}\n", variable("OPENBLAS_NUM_THREADS"));
}

/* Until it is killed, and so a child; PIPE is a descriptor that tells when both have ended. */
static void wait_with_child(void)
{
    if (fork() == 0 && write(atoi(variable("PIPE")), "", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

/* What PLAN_A or PLAN_B says for this turn: a time, what to do, or what to print. */
static int act(int argc, char **argv)
{
    const char *who = getenv("SIDE") ? getenv("SIDE") : "A";
    char plan[256], *rest = NULL, *word = NULL;
    snprintf(plan, sizeof plan, "%s", variable(*who == 'A' ? "PLAN_A" : "PLAN_B"));
    for (int turn = note_turn(who); turn > 0; turn--)
        word = strtok_r(rest ? NULL : plan, " ", &rest);
    if (!word)
        return 9;
    fprintf(stderr, "mohvit: from %s\n", who);
    if (!strcmp(word, "fails"))
        return 3;
    if (!strcmp(word, "dies"))
        raise(SIGKILL);
    if (!strcmp(word, "waits"))
        wait_with_child();
    while (!strcmp(word, "floods"))
        puts("text without an end");
    if (atof(word) > 0)
        print_answer(who, word, argc, argv);
    else
        puts(word);
    return 0;
}

/* compare PAIRS AGAINST [OPTION …] */
static int compare(int argc, char **argv)
{
    const struct option table[] = {
        {"iters", required_argument, NULL, 1},   {"repeat", required_argument, NULL, 2},
        {"against", required_argument, NULL, 3}, {"all-heads", no_argument, NULL, 4},
        {"format", required_argument, NULL, 5},  {NULL, 0, NULL, 0},
    };
    interrupt_default();
    output_begin();
    output_format format = argc > 4 && !strcmp(argv[argc - 1], "--format=json") ? FORMAT_JSON : FORMAT_TEXT;
    repeat r = {strtoul(argv[2], NULL, 10), argv[3], format, argc - 3, argv + 3, table};
    return output_end(bench_repeat(&r));
}

// ---- The tests -------------------------------------------------------------------------------------

static char folder[] = "/tmp/test_bench_repeat.XXXXXX", journal[sizeof folder + 16];

static char printed[65536]; /* by the last comparison, messages included */

/* The status of a comparison, as a shell tells it. */
static int run(const char *a, const char *b, const char *arguments)
{
    char line[1024];
    setenv("PLAN_A", a, 1);
    setenv("PLAN_B", b, 1);
    snprintf(line, sizeof line, "'%s' compare %s 2>&1", self, arguments);
    remove(journal);
    FILE *f = popen(line, "r"); // NOLINT(cert-env33-c): what a user does, in a shell
    assert_non_null(f);
    printed[fread(printed, 1, sizeof printed - 1, f)] = '\0';
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void assert_printed(const char *text)
{
    if (!strstr(printed, text))
        fail_msg("\"%s\" not in: %s", text, printed);
}

/* The JSON of the last comparison. */
static json_t *answer(void)
{
    json_t *value = json_loads(strchr(printed, '{'), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(value);
    return value;
}

static double number(const json_t *value, const char *key)
{
    assert_true(json_is_number(json_object_get(value, key)));
    return json_number_value(json_object_get(value, key));
}

static void assert_ratio(const json_t *value, double median, double low, double high)
{
    assert_true(fabs(number(value, "median") - median) < 1e-8 * median);
    assert_true(fabs(number(value, "low") - low) < 1e-8 * low);
    assert_true(fabs(number(value, "high") - high) < 1e-8 * high);
}

static void sides_take_turns_in_alternating_order(void **state)
{
    (void)state;
    char turns[64] = "", line[16];
    size_t count = 0;
    assert_int_equal(run("1 1 1 1 1 1 1", "1 1 1 1 1 1 1", "7 SIDE=B"), 0);
    FILE *f = fopen(journal, "r");
    while (fgets(line, sizeof line, f) && count + 1 < sizeof turns)
        turns[count++] = *line;
    fclose(f);
    assert_string_equal(turns, "ABBAABBAABBAAB");
}

static void ratios_are_of_neighbours(void **state)
{
    (void)state;
    // Pairs: B over A is 2, 3, 2.5, 9, 0.5, 2, 4, 2, 3. A's and B's neighbours follow their order of turns.
    assert_int_equal(run("10 10 20 10 10 30 10 11 20", "20 30 50 90 5 60 40 22 60", "9 SIDE=B --format=json"),
                     0);
    json_t *value = answer();
    assert_int_equal(number(value, "pairs"), 9);
    // Of nine sorted ratios the second and the eighth enclose the median with 96 %.
    assert_ratio(json_object_get(value, "ratio"), 2.5, 2, 4);
    // B 30/20, A 10/20, B 90/50, A 10/10, B 60/5, A 30/10, B 22/40, A 11/20: of eight all are needed.
    assert_ratio(json_object_get(value, "noise"), (1 + 1.5) / 2, 0.5, 12);
    const json_t *a = json_object_get(value, "a"), *b = json_object_get(value, "b");
    assert_int_equal(number(a, "latency_ms_median"), 10);
    assert_int_equal(number(a, "latency_ms_min"), 10);
    assert_int_equal(number(a, "latency_ms_max"), 30);
    assert_int_equal(number(b, "latency_ms_median"), 40);
    assert_int_equal(json_number_value(json_array_get(json_object_get(b, "latency_ms"), 3)), 90);
    json_decref(value);
    assert_int_equal(run("10 10 20 10 10 30 10 11 20", "20 30 50 90 5 60 40 22 60", "9 SIDE=B"), 0);
    assert_printed("A                       10.00 ms  median of 9 runs (10.00 to 30.00)  of A\n");
    assert_printed("time of B over A        2.500     median of 9 pairs; 95 %: 2.000 to 4.000\n");
    assert_printed("the same twice          1.250     median of 8 pairs; 95 %: 0.500 to 12.000\n");
}

static void settings_a_program_and_options_may_differ(void **state)
{
    (void)state;
    char arguments[512], link[sizeof folder + 16];
    snprintf(link, sizeof link, "%s/a link", folder);
    assert_int_equal(symlink(self, link), 0);
    snprintf(arguments, sizeof arguments,
             "7 \"SIDE=B X='a b' '%s' --iters 4\" --rep 7 --against= --all --it=3 --format=json", link);
    setenv("OPENBLAS_NUM_THREADS", "1", 1); // as main.c does
    assert_int_equal(run("1 1 1 1 1 1 1", "1 1 1 1 1 1 1", arguments), 0);
    json_t *value = answer();
    json_t *a = json_object_get(value, "a"), *b = json_object_get(value, "b");
    json_t *of_a = json_object_get(a, "provenance"), *of_b = json_object_get(b, "provenance");
    assert_string_equal(json_string_value(json_object_get(of_a, "words")),
                        "bench --all-heads --iters=3 --format json ");
    assert_string_equal(json_string_value(json_object_get(of_b, "words")),
                        "bench --all-heads --iters=3 --iters 4 --format json ");
    assert_string_equal(json_string_value(json_object_get(of_b, "threads")), "");
    b = json_object_get(b, "command");
    assert_string_equal(json_string_value(json_array_get(b, 1)), "X=a b");
    assert_string_equal(json_string_value(json_array_get(b, 2)), link);
    json_decref(value);
    // Only the first run of each says what it has to say.
    const char *said = strstr(printed, "from B");
    assert_non_null(said);
    assert_null(strstr(said + 1, "from B"));
}

static void what_does_not_answer_ends_the_comparison(void **state)
{
    (void)state;
    static const struct {
        const char *plan, *against, *message;
    } cases[] = {
        {"1", "/nowhere/mohvit", "mohvit: /nowhere/mohvit: No such file or directory\n"},
        {"1", "/nowhere/mohvit", "mohvit: /nowhere/mohvit: ended with status 127, expected 0\n"},
        {"1 fails", "SIDE=B", "ended with status 3, expected 0\n"},
        {"1 fails", "SIDE=B", "mohvit: from B\nmohvit: from B\n"},
        {"dies", "SIDE=B", "ended by signal 9, expected an answer\n"},
        {"floods", "SIDE=B", "printed \"text without an end\\x0atext"},
        {"usage", "SIDE=B", "printed \"usage\\x0a\", expected a line of JSON with latency_ms_median\n"},
        {"{}", "SIDE=B", "printed \"{}\\x0a\", expected"},
        {"{\"latency_ms_median\":\"9\"}", "SIDE=B", "expected a line of JSON"},
        {"{\"latency_ms_median\":-1}", "SIDE=B", "expected a line of JSON"},
        {"{\"latency_ms_median\":1e300}", "SIDE=B", "expected a line of JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char arguments[64];
        snprintf(arguments, sizeof arguments, "7 %s", cases[i].against);
        assert_int_equal(run("1 1 1 1", cases[i].plan, arguments), 1);
        assert_printed(cases[i].message);
        assert_null(strstr(printed, "time of B"));
    }
    assert_int_equal(run("1", "1", "7 'a;b'"), 2);
    assert_printed("--against a;b: expected words");
}

static void a_signal_ends_the_run_and_what_it_started(void **state)
{
    (void)state;
    int ends[2], status;
    char descriptor[16], byte;
    assert_int_equal(pipe(ends), 0);
    snprintf(descriptor, sizeof descriptor, "%d", ends[1]);
    setenv("PIPE", descriptor, 1);
    setenv("PLAN_A", "waits", 1);
    remove(journal);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL); // which a test in the background ignores
        execl(self, self, "compare", "7", "SIDE=B", NULL);
        _exit(1);
    }
    assert_true(child > 0);
    close(ends[1]);
    alarm(60);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(kill(child, SIGINT), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    assert_int_equal(read(ends[0], &byte, 1), 0); // once nobody has the other end any more
    alarm(0);
    close(ends[0]);
}

static void the_interval_has_95_percent(void **state)
{
    (void)state;
    // By the binomial distribution; of n the ranks, counted from 1, of the lower end.
    static const size_t ranks[][2] = {{6, 1}, {8, 1}, {9, 2}, {20, 6}, {21, 6}, {41, 14}, {1000, 469}};
    double values[RATIOS_MAX];
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        size_t n = ranks[i][0];
        for (size_t j = 0; j < n; j++)
            values[j] = (double)(n - j);
        ratio r = ratio_of(values, n);
        assert_int_equal(r.low, ranks[i][1]);
        assert_int_equal(r.high, n + 1 - ranks[i][1]);
        assert_int_equal(2 * r.median, n + 1);
    }
}

static int setup(void **state)
{
    (void)state;
    bool made = mkdtemp(folder);
    snprintf(journal, sizeof journal, "%s/journal", folder);
    setenv("JOURNAL", journal, 1);
    return made ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char path[sizeof folder + 16];
    remove(journal);
    snprintf(path, sizeof path, "%s/a link", folder);
    remove(path);
    return rmdir(folder);
}

int main(int argc, char **argv)
{
    static char path[PATH_MAX];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sides_take_turns_in_alternating_order),
        cmocka_unit_test(ratios_are_of_neighbours),
        cmocka_unit_test(settings_a_program_and_options_may_differ),
        cmocka_unit_test(what_does_not_answer_ends_the_comparison),
        cmocka_unit_test(a_signal_ends_the_run_and_what_it_started),
        cmocka_unit_test(the_interval_has_95_percent),
    };
    self = realpath(argv[0], path);
    if (!self)
        return 1;
    if (argc > 1 && !strcmp(argv[1], "bench"))
        return act(argc, argv);
    if (argc > 1 && !strcmp(argv[1], "compare"))
        return compare(argc, argv);
    return cmocka_run_group_tests(tests, setup, teardown);
}
