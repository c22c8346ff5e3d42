/* Scores of images, records of chunks, and the journal that keeps them: whatever is cut or damaged, what is
 * read again is what was written, or an error. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/imgio/folder_testing.h"
#include "eval/header.h"
#include "eval/journal.h"
#include "eval/score.h"
#include "eval/totals.h"

#include <fcntl.h>
#include <math.h>

/* ---- Scores ---------------------------------------------------------------------------------- */

static score scored(const float *logits, const score_rules *rules)
{
    score s;
    assert_int_equal(score_image(&s, logits, rules, NULL), MOHVIT_OK);
    return s;
}

static void a_score_ranks_and_weighs(void **state)
{
    (void)state;
    const float logits[7] = {1, 3, 2, 3, -1, 0, 0.5f};
    const uint32_t right[] = {2};
    score s = scored(logits, &(score_rules){7, NULL, right, 1});
    const uint32_t order[] = {1, 3, 2, 0, 6}; // a tie to the lower class
    assert_memory_equal(s.top, order, sizeof order);
    double sum = 0;
    for (size_t i = 0; i < 7; i++)
        sum += exp((double)logits[i]);
    assert_true(fabs((double)s.probability[2] - exp(2) / sum) < 1e-7);
    assert_true(fabs((double)s.loss / LOSS_UNITS + log(exp(2) / sum)) < 1e-9);
    assert_false(s.right1);
    assert_true(s.right5);
    const uint32_t last[] = {4};
    assert_false(scored(logits, &(score_rules){7, NULL, last, 1}).right5);
}

static void any_accepted_class_is_right(void **state)
{
    (void)state;
    const float logits[3] = {1, 3, 2};
    const uint32_t right[] = {0, 1};
    score s = scored(logits, &(score_rules){3, NULL, right, 2});
    assert_true(s.right1);
    double p = (exp(1) + exp(3)) / (exp(1) + exp(3) + exp(2));
    assert_true(fabs((double)s.loss / LOSS_UNITS + log(p)) < 1e-9);
    s = scored(logits, &(score_rules){3, NULL, NULL, 0});
    assert_false(s.right1 || s.right5);
    assert_int_equal(s.loss, 0);
}

static void only_classes_of_the_subset_compete(void **state)
{
    (void)state;
    const float logits[4] = {9, 1, 2, NAN};
    const bool competes[4] = {false, true, true, false};
    const uint32_t right[] = {2};
    score s = scored(logits, &(score_rules){4, competes, right, 1});
    assert_int_equal(s.top_count, 2);
    assert_int_equal(s.top[0], 2);
    assert_true(fabs((double)s.probability[0] - exp(2) / (exp(1) + exp(2))) < 1e-7);
    score out;
    assert_int_equal(score_image(&out, logits, &(score_rules){4, NULL, right, 1}, NULL),
                     MOHVIT_ERROR_NONFINITE);
}

static void huge_logits_have_a_finite_loss(void **state)
{
    (void)state;
    const float logits[2] = {3e38f, -3e38f};
    const uint32_t right[] = {1};
    score s = scored(logits, &(score_rules){2, NULL, right, 1});
    assert_int_equal(s.loss, (int64_t)(LOSS_MAX * LOSS_UNITS));
}

/* ---- Records --------------------------------------------------------------------------------- */

#define IMAGES 150 /* three chunks, the last of 22 */

static dataset_item items[IMAGES];
static char names[IMAGES][16];

/* Image i has class i % 3, is taken for class i % 2, and fails where i is a multiple of 40. */
static void make_chunk(bytes *b, size_t chunk, bool predictions)
{
    static image_result results[CHUNK_IMAGES];
    static score scores[CHUNK_IMAGES];
    chunk_result c = {.chunk = chunk, .variants = 1, .results = results, .decode_ns = 5, .network_ns = {7}};
    for (size_t i = chunk * CHUNK_IMAGES; i < IMAGES && c.images < CHUNK_IMAGES; i++) {
        size_t k = c.images++;
        snprintf(names[i], sizeof names[i], "%zu.jpg", i);
        items[i] = (dataset_item){.name = names[i], .class_index = i % 3};
        scores[k] = (score){.top = {(uint32_t)(i % 2), 2}, .probability = {0.75f, 0.25f}, .top_count = 2};
        scores[k].right1 = i % 2 == i % 3;
        scores[k].right5 = scores[k].right1 || i % 3 == 2;
        scores[k].loss = (int64_t)(LOSS_UNITS / 4) * (int64_t)(i % 7);
        static char reason[] = "broken";
        results[k] = (image_result){&items[i], i % 40 ? NULL : reason, &scores[k]};
    }
    b->size = 0;
    record_begin(b, &c, predictions);
    assert_false(b->failed);
}

static void a_record_reads_as_it_was_written(void **state)
{
    (void)state;
    bytes b = {0};
    chunk_record r;
    make_chunk(&b, 1, true);
    record_add_section(&b, RECORD_TAG('M', 'O', 'R', 'E'), "more", 4);
    assert_int_equal(record_parse(&r, b.data, b.size, NULL), MOHVIT_OK);
    assert_int_equal(r.chunk, 1);
    assert_int_equal(r.images, 64);
    assert_int_equal(r.decode_ns, 5);
    assert_int_equal(r.network_ns[0], 7);
    const byte_reader *more = record_section(&r, RECORD_TAG('M', 'O', 'R', 'E'));
    assert_memory_equal(more->data, "more", 4);
    assert_null(record_section(&r, RECORD_TAG('L', 'E', 'S', 'S')));
    byte_reader at = r.results, failures = *record_section(&r, SECTION_FAILURES);
    byte_reader predictions = *record_section(&r, SECTION_PREDICTIONS);
    for (size_t i = 64; i < 128; i++) {
        image_record image;
        prediction_record p;
        record_next_result(&image, &at, 1);
        assert_int_equal(image.class_index, i % 3);
        assert_int_equal(image.failed, i % 40 == 0);
        assert_true(record_next_prediction(&p, &predictions, 1));
        assert_int_equal(p.name_length, strlen(names[i]));
        assert_memory_equal(p.name, names[i], p.name_length);
        assert_int_equal(p.tops[0].top_count, image.failed ? 0 : 2);
    }
    failure_record f;
    assert_true(record_next_failure(&f, &failures));
    assert_int_equal(f.image, 80 - 64);
    assert_memory_equal(f.message, "broken", f.message_length);
    assert_true(record_next_failure(&f, &failures));
    assert_false(record_next_failure(&f, &failures));
    bytes_free(&b);
}

static void a_damaged_record_is_an_error_or_another_record_but_never_a_crash(void **state)
{
    (void)state;
    bytes b = {0};
    chunk_record r;
    make_chunk(&b, 2, true);
    for (size_t size = 0; size < b.size; size++)
        assert_int_equal(record_parse(&r, b.data, size, NULL), MOHVIT_ERROR_FORMAT);
    for (size_t i = 0; i < b.size; i++) {
        b.data[i] ^= 0xff;
        if (!record_parse(&r, b.data, b.size, NULL)) {
            failure_record f;
            prediction_record p;
            byte_reader at = *record_section(&r, SECTION_FAILURES);
            while (record_next_failure(&f, &at))
                ;
            const byte_reader *section = record_section(&r, SECTION_PREDICTIONS);
            at = section ? *section : (byte_reader){0};
            while (record_next_prediction(&p, &at, r.variants))
                ;
        }
        b.data[i] ^= 0xff;
    }
    bytes_free(&b);
}

/* ---- Journals -------------------------------------------------------------------------------- */

static char warnings[4096];
static mohvit_error last;

static void note_warning(void *user, const char *message)
{
    (void)user;
    snprintf(warnings, sizeof warnings, "%s", message);
}

static json_t *make_header(void)
{
    json_t *h = json_pack("{s:i, s:{s:s, s:{s:i}, s:n}, s:{s:s, s:s}, s:{s:n}, s:i, s:[s], s:[s]}", "format",
                          HEADER_FORMAT, "match", "weights_hash", "abc", "config", "img_size", 224,
                          "routed_heads", "hardware", "backend", "native", "instruction_set", "avx2", "run",
                          "shard", "images", IMAGES, "sections", "predictions", "classes", "one");
    assert_non_null(h);
    return h;
}

static journal *open_journal(const char *path, json_t *header, bool mixed)
{
    journal *j = NULL;
    const journal_options o = {path, header, mixed, {note_warning, NULL}};
    *warnings = '\0';
    last = (mohvit_error){0};
    return journal_open(&j, &o, &last) ? NULL : j;
}

static void append(journal *j, size_t chunk)
{
    bytes b = {0};
    make_chunk(&b, chunk, true);
    if (journal_append(j, b.data, b.size, &last))
        fail_msg("%s", last.message);
    bytes_free(&b);
}

static void expect_totals(journal *const *journals, size_t count)
{
    totals t;
    const record_set set = {journals, count};
    assert_int_equal(totals_count(&t, &set, 3, NULL), MOHVIT_OK);
    uint64_t right1 = 0, right5 = 0, images = 0, quarters = 0;
    for (size_t i = 0; i < IMAGES; i++) {
        if (i % 40 == 0)
            continue;
        images++;
        right1 += i % 2 == i % 3;
        right5 += i % 2 == i % 3 || i % 3 == 2;
        quarters += i % 7;
    }
    assert_int_equal(t.images, images);
    assert_int_equal(t.failed, 4);
    assert_int_equal(t.of[0].right1, right1);
    assert_int_equal(t.of[0].right5, right5);
    assert_true(totals_loss(&t, 0) == (double)quarters / 4 / (double)images);
    uint64_t times, of_two = 0;
    assert_int_equal(totals_confused_with(&t, 0, &times), 1);
    for (size_t i = 0; i < IMAGES; i++)
        of_two += i % 40 && i % 3 == 2;
    assert_int_equal(t.classes[2].images, of_two);
    totals_free(&t);
}

static void a_journal_goes_on_where_it_was(void **state)
{
    (void)state;
    json_t *header = make_header();
    journal *j = open_journal("state", header, false);
    assert_non_null(j);
    assert_int_equal(journal_chunks(j), 3);
    append(j, 2);
    journal_close(j);
    j = open_journal("state", header, false);
    assert_true(journal_has(j, 2));
    assert_false(journal_has(j, 0));
    append(j, 0);
    append(j, 1);
    expect_totals(&j, 1);
    bytes b = {0};
    make_chunk(&b, 1, true);
    assert_int_equal(journal_append(j, b.data, b.size, &last), MOHVIT_ERROR_FORMAT);
    assert_non_null(strstr(last.message, "state: has chunk 1 twice"));
    bytes_free(&b);
    journal_close(j);
    json_decref(header);
}

static void the_order_and_the_files_of_records_do_not_matter(void **state)
{
    (void)state;
    json_t *header = make_header();
    journal *j[2] = {open_journal(NULL, header, false), open_journal("b", header, false)};
    append(j[1], 1);
    append(j[0], 2);
    append(j[0], 0);
    expect_totals(j, 2);
    journal_close(j[0]);
    journal_close(j[1]);
    json_decref(header);
}

/* What a file claims to be a part of costs nothing. */
static void a_part_of_a_huge_data_set_takes_no_memory(void **state)
{
    (void)state;
    json_t *header = make_header();
    json_object_set_new(header, "images", json_integer((json_int_t)UINT32_MAX * 64));
    journal *j = open_journal("state", header, false);
    assert_non_null(j);
    assert_int_equal(journal_chunks(j), UINT32_MAX);
    append(j, 1);
    append(j, 0);
    assert_int_equal(journal_chunk(j, 0), 0);
    totals t;
    const record_set set = {&j, 1};
    assert_int_equal(totals_count(&t, &set, 0, NULL), MOHVIT_OK);
    assert_int_equal(t.images + t.failed, 128);
    totals_free(&t);
    journal_close(j);
    journal_close(open_journal("state", header, false));
    json_decref(header);
}

static void a_journal_belongs_to_one_process_at_a_time(void **state)
{
    (void)state;
    json_t *header = make_header();
    journal *j = open_journal("state", header, false), *other = NULL;
    const warning_sink warn = {note_warning, NULL};
    assert_null(open_journal("state", header, false));
    assert_non_null(strstr(last.message, "state: is in use by another process"));
    assert_int_equal(journal_open_finished(&other, "state", &warn, &last), MOHVIT_ERROR_IO);
    journal_close(j);
    assert_int_equal(journal_open_finished(&other, "state", &warn, &last), MOHVIT_OK);
    journal_close(other);
    json_decref(header);
}

static void another_evaluation_is_refused_with_the_difference(void **state)
{
    (void)state;
    json_t *header = make_header();
    journal_close(open_journal("state", header, false));
    json_object_set_new(json_object_get(header, "match"), "weights_hash", json_string("def"));
    json_object_set_new(json_object_get(json_object_get(header, "match"), "config"), "img_size",
                        json_integer(256));
    assert_null(open_journal("state", header, true));
    assert_non_null(strstr(last.message, "weights_hash is \"abc\", expected \"def\""));
    assert_non_null(strstr(last.message, "config.img_size is 224, expected 256"));
    json_decref(header);
    header = make_header();
    json_object_set_new(json_object_get(header, "hardware"), "instruction_set", json_string("avx512"));
    assert_null(open_journal("state", header, false));
    assert_non_null(strstr(last.message, "instruction_set is \"avx2\", expected \"avx512\""));
    assert_non_null(strstr(last.message, "--allow-mixed"));
    journal *j = open_journal("state", header, true);
    assert_non_null(j);
    assert_non_null(strstr(warnings, "instruction_set"));
    journal_close(j);
    json_object_set_new(json_object_get(header, "run"), "shard", json_string("1/2"));
    assert_null(open_journal("state", header, true));
    assert_non_null(strstr(last.message, "shard is null, expected \"1/2\""));
    json_decref(header);
}

/* Whatever the moment of its end, a journal goes on with whole records. */
static void a_torn_end_is_dropped_wherever_it_is_torn(void **state)
{
    (void)state;
    struct stat st;
    json_t *header = make_header();
    journal *j = open_journal("whole", header, false);
    off_t ends[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(stat("whole", &st), 0);
        ends[i] = st.st_size;
        if (i < 3)
            append(j, i);
    }
    journal_close(j);
    for (off_t size = 0; size < ends[3]; size += size < ends[0] + 40 ? 13 : 197) {
        shell("cp whole torn");
        assert_int_equal(truncate("torn", size), 0);
        j = open_journal("torn", header, false);
        if (!j)
            fail_msg("torn at %ld: %s", (long)size, last.message);
        size_t kept = size < ends[0] ? 0 : size < ends[1] ? 0 : size < ends[2] ? 1 : 2;
        assert_int_equal(journal_done(j), kept);
        bool clean = size < ends[0] || size == ends[0] || size == ends[1] || size == ends[2];
        assert_int_equal(*warnings == '\0', clean);
        for (size_t i = kept; i < 3; i++)
            append(j, i);
        expect_totals(&j, 1);
        journal_close(j);
        shell("cmp whole torn");
    }
    json_decref(header);
}

static void a_damaged_end_is_dropped_like_a_torn_one(void **state)
{
    (void)state;
    struct stat st;
    json_t *header = make_header();
    journal *j = open_journal("state", header, false);
    append(j, 0);
    assert_int_equal(stat("state", &st), 0);
    append(j, 1);
    journal_close(j);
    int fd = open("state", O_WRONLY);
    assert_int_equal(pwrite(fd, "\xff\xff", 2, st.st_size + 30), 2);
    close(fd);
    j = open_journal("state", header, false);
    assert_int_equal(journal_done(j), 1);
    assert_non_null(strstr(warnings, "no whole record"));
    journal_close(j);
    json_decref(header);
}

/* Whichever byte it is: nothing is dropped that could still be read. */
static void damage_before_a_whole_record_is_an_error_and_changes_nothing(void **state)
{
    (void)state;
    struct stat begin, end;
    json_t *header = make_header();
    const warning_sink warn = {note_warning, NULL};
    journal *j = open_journal("whole", header, false);
    assert_int_equal(stat("whole", &begin), 0);
    append(j, 0);
    assert_int_equal(stat("whole", &end), 0);
    append(j, 1);
    journal_close(j);
    for (off_t at = 0; at < end.st_size; at += at < begin.st_size + 16 ? 1 : 97) {
        uint8_t byte;
        shell("cp whole state");
        int fd = open("state", O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x11;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        shell("cp state before");
        if (open_journal("state", header, true))
            fail_msg("damaged at %ld: taken", (long)at);
        if (at >= 8 &&
            !strstr(last.message, at < begin.st_size ? "its header is damaged" : "is damaged at byte"))
            fail_msg("damaged at %ld: %s", (long)at, last.message);
        assert_int_equal(journal_open_finished(&j, "state", &warn, &last), MOHVIT_ERROR_FORMAT);
        shell("cmp state before");
    }
    json_decref(header);
}

static void a_file_that_is_no_state_is_left_alone(void **state)
{
    (void)state;
    json_t *header = make_header();
    static const char *const contents[] = {"x", "not a state of ours", "mohvitJ2............",
                                           "mohvit.....x"};
    for (size_t i = 0; i < 4; i++) {
        write_text("state", contents[i]);
        shell("cp state before");
        assert_null(open_journal("state", header, false));
        assert_non_null(strstr(last.message, "state: is not the state of an evaluation"));
        shell("cmp state before");
    }
    shell("mkdir folder");
    assert_null(open_journal("folder", header, false));
    assert_null(open_journal("missing/state", header, false));
    journal *j = NULL;
    const warning_sink warn = {note_warning, NULL};
    write_text("empty", "");
    assert_int_equal(journal_open_finished(&j, "empty", &warn, &last), MOHVIT_ERROR_FORMAT);
    json_object_set_new(header, "format", json_integer(99));
    journal_close(open_journal("newer", header, false));
    assert_null(open_journal("newer", header, false));
    assert_non_null(strstr(last.message, "format 99"));
    json_decref(header);
}

/* ---- Fingerprints ---------------------------------------------------------------------------- */

static void fingerprint_of(char out[FINGERPRINT_SIZE], size_t count, char *const *arguments)
{
    dataset *d = NULL;
    if (dataset_open(&d, arguments, count, &(dataset_options){.unlabelled = true}, &last))
        fail_msg("%s", last.message);
    dataset_fingerprint(d, out);
    dataset_close(d);
}

/* All pictures of idx files are called by their numbers. */
static void a_fingerprint_tells_idx_files_by_their_pixels(void **state)
{
    (void)state;
    static uint8_t file[16 + 3 * 20000] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 200, 0, 0, 0, 100};
    char a[FINGERPRINT_SIZE], b[FINGERPRINT_SIZE], packed[FINGERPRINT_SIZE];
    write_file("a", file, sizeof file);
    file[16 + 2 * 20000 + 19999] = 1; // the last pixel
    write_file("b", file, sizeof file);
    shell("gzip -k a");
    fingerprint_of(a, 1, (char *[]){"idx:a"});
    fingerprint_of(b, 1, (char *[]){"idx:b"});
    fingerprint_of(packed, 1, (char *[]){"idx:a.gz"});
    assert_string_not_equal(a, b);
    assert_string_equal(a, packed);
}

static void a_fingerprint_tells_where_an_argument_ends(void **state)
{
    (void)state;
    char a[FINGERPRINT_SIZE], b[FINGERPRINT_SIZE];
    write_text("one", "x.jpg\n");
    write_text("two", "x.jpg\nx.jpg\n");
    fingerprint_of(a, 2, (char *[]){"one", "two"});
    fingerprint_of(b, 2, (char *[]){"two", "one"});
    assert_string_not_equal(a, b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_score_ranks_and_weighs),
        cmocka_unit_test(any_accepted_class_is_right),
        cmocka_unit_test(only_classes_of_the_subset_compete),
        cmocka_unit_test(huge_logits_have_a_finite_loss),
        cmocka_unit_test(a_record_reads_as_it_was_written),
        cmocka_unit_test(a_damaged_record_is_an_error_or_another_record_but_never_a_crash),
        TEST(a_journal_goes_on_where_it_was),
        TEST(the_order_and_the_files_of_records_do_not_matter),
        TEST(a_part_of_a_huge_data_set_takes_no_memory),
        TEST(a_journal_belongs_to_one_process_at_a_time),
        TEST(another_evaluation_is_refused_with_the_difference),
        TEST(a_torn_end_is_dropped_wherever_it_is_torn),
        TEST(a_damaged_end_is_dropped_like_a_torn_one),
        TEST(damage_before_a_whole_record_is_an_error_and_changes_nothing),
        TEST(a_file_that_is_no_state_is_left_alone),
        TEST(a_fingerprint_tells_idx_files_by_their_pixels),
        TEST(a_fingerprint_tells_where_an_argument_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
