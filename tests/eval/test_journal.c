/* Records of chunks, and the journal that keeps them: whatever is cut or damaged, what is read again is what
 * was written, or an error. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/imgio/folder_testing.h"
#include "eval/header.h"
#include "eval/journal.h"
#include "eval/recheck.h"
#include "eval/score.h"
#include "eval/totals.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <zlib.h>

/* ---- Records --------------------------------------------------------------------------------- */

#define IMAGES      150 /* three chunks, the last of 22; */
#define MANY_CHUNKS 43  /* and, of one test, so many */
#define MANY_IMAGES ((MANY_CHUNKS - 1) * CHUNK_IMAGES + 22)

static size_t all_images = IMAGES; /* of the data set that a test is about */
static dataset_item items[MANY_IMAGES];
static char names[MANY_IMAGES][32];

/* Image i has class i % 3, is taken for class i % 2, and fails where i is a multiple of 40: of 80, since it
 * cannot be read. */
static void make_chunk(bytes *b, size_t chunk, bool predictions)
{
    static image_result results[CHUNK_IMAGES];
    static score scores[CHUNK_IMAGES];
    chunk_result c = {.chunk = chunk, .top_ks = 1, .results = results, .decode_ns = 5, .network_ns = {7}};
    for (size_t i = chunk * CHUNK_IMAGES; i < all_images && c.images < CHUNK_IMAGES; i++) {
        size_t k = c.images++;
        snprintf(names[i], sizeof names[i], "%zu.jpg", i);
        items[i] = (dataset_item){.name = names[i], .size = 1000 + i, .mtime = 7 * i, .class_index = i % 3};
        scores[k] = (score){.top = {(uint32_t)(i % 2), 2}, .probability = {0.75f, 0.25f}, .top_count = 2};
        scores[k].right1 = i % 2 == i % 3;
        scores[k].right5 = scores[k].right1 || i % 3 == 2;
        scores[k].loss = (int64_t)(LOSS_UNITS / 4) * (int64_t)(i % 7);
        static char reason[] = "broken";
        results[k] = (image_result){
            &items[i], i % 40 ? NULL : reason, &scores[k], {!(i % 80), i % 3 == 0, {i, UINT64_MAX - i}, 0}};
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
    assert_true(r.predictions);
    for (size_t i = 64; i < 128; i++) {
        const image_record *image = &r.image[i - 64];
        assert_int_equal(image->class_index, i % 3);
        assert_int_equal(image->failed, i % 40 == 0);
        assert_int_equal(image->name_length, strlen(names[i]));
        assert_memory_equal(image->name, names[i], image->name_length);
        assert_int_equal(image->scores[0].top_count, image->failed ? 0 : 2);
        assert_int_equal(image->seen.unread, i % 80 == 0);
        assert_int_equal(image->seen.turned, i % 3 == 0);
        assert_int_equal(image->size, 1000 + i);
        assert_int_equal(image->mtime, 7 * i);
        assert_int_equal(image->seen.hash.low, i);
        assert_int_equal(image->seen.hash.high, UINT64_MAX - i);
    }
    assert_int_equal(r.failures, 2);
    assert_int_equal(r.failure[0].image, 80 - 64);
    assert_memory_equal(r.failure[0].message, "broken", r.failure[0].message_length);
    record_free(&r);
    bytes_free(&b);
}

static bool lies_in(const bytes *b, const char *text, size_t length)
{
    const char *start = (const char *)b->data;
    return text >= start && text <= start + b->size && length <= (size_t)(start + b->size - text);
}

static void a_damaged_record_is_an_error_or_another_record_but_never_a_crash(void **state)
{
    (void)state;
    bytes b = {0};
    chunk_record r;
    make_chunk(&b, 2, true);
    for (size_t size = 0; size < b.size; size++) {
        assert_int_equal(record_parse(&r, b.data, size, NULL), MOHVIT_ERROR_FORMAT);
        record_free(&r);
    }
    for (size_t i = 0; i < b.size; i++) {
        b.data[i] ^= 0xff;
        if (!record_parse(&r, b.data, b.size, NULL)) {
            for (size_t k = 0; k < r.failures; k++)
                assert_true(lies_in(&b, r.failure[k].name, r.failure[k].name_length) &&
                            lies_in(&b, r.failure[k].message, r.failure[k].message_length));
            for (size_t k = 0; r.predictions && k < r.images; k++)
                assert_true(lies_in(&b, r.image[k].name, r.image[k].name_length));
        }
        record_free(&r);
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
    json_t *h =
        json_pack("{s:i, s:{s:s, s:{s:i}, s:n}, s:{s:s, s:s}, s:{s:n}, s:i, s:[s], s:[s], s:{}}", "format",
                  HEADER_FORMAT, "match", "weights_hash", "abc", "config", "img_size", 224, "routed_heads",
                  "hardware", "backend", "native", "instruction_set", "avx2", "run", "shard", "images",
                  (int)all_images, "sections", "predictions", "classes", "one", "provenance");
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

static mohvit_status append_bytes(journal *j, const bytes *b)
{
    chunk_record r;
    mohvit_status status = record_parse(&r, b->data, b->size, &last);
    if (!status)
        status = journal_append(j, &r, &last);
    record_free(&r);
    return status;
}

static void append(journal *j, size_t chunk)
{
    bytes b = {0};
    make_chunk(&b, chunk, true);
    if (append_bytes(j, &b))
        fail_msg("%s", last.message);
    bytes_free(&b);
}

static void expect_totals(journal *const *journals, size_t count)
{
    totals t;
    const record_set set = {journals, count};
    assert_int_equal(totals_count(&t, &set, 3, NULL), MOHVIT_OK);
    uint64_t right1 = 0, right5 = 0, images = 0, failed = 0, quarters = 0;
    for (size_t i = 0; i < all_images; i++) {
        if (i % 40 == 0) {
            failed++;
            continue;
        }
        images++;
        right1 += i % 2 == i % 3;
        right5 += i % 2 == i % 3 || i % 3 == 2;
        quarters += i % 7;
    }
    assert_int_equal(t.images, images);
    assert_int_equal(t.failed, failed);
    assert_int_equal(t.of[0].right1, right1);
    assert_int_equal(t.of[0].right5, right5);
    assert_true(totals_loss(&t, 0) == (double)quarters / 4 / (double)images);
    uint64_t times, of_two = 0;
    assert_int_equal(totals_confused_with(&t, 0, &times), 1);
    for (size_t i = 0; i < all_images; i++)
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
    journal_close(j);
    json_decref(header);
}

/* As chunk 1 was before its pictures were mended: all of them unread. */
static void make_unread(bytes *b, const bool unread[CHUNK_IMAGES])
{
    static char reason[] = "gone";
    static image_result results[CHUNK_IMAGES];
    static score scores[CHUNK_IMAGES];
    chunk_result c = {.chunk = 1, .images = CHUNK_IMAGES, .top_ks = 1, .results = results};
    for (size_t i = 0; i < CHUNK_IMAGES; i++) {
        items[i] = (dataset_item){.name = "x.jpg"};
        results[i] =
            (image_result){&items[i], unread[i] ? reason : NULL, &scores[i], {unread[i], false, {0}, 0}};
    }
    b->size = 0;
    record_begin(b, &c, true);
}

static void the_newest_whole_record_of_a_chunk_counts(void **state)
{
    (void)state;
    struct stat st;
    bytes b = {0}, read = {0};
    bool unread[CHUNK_IMAGES];
    const warning_sink warn = {note_warning, NULL};
    json_t *header = make_header();
    journal *j = open_journal("state", header, false);
    memset(unread, true, sizeof unread);
    make_unread(&b, unread);
    append(j, 0);
    assert_int_equal(append_bytes(j, &b), MOHVIT_OK);
    append(j, 2);
    assert_int_equal(stat("state", &st), 0);
    append(j, 1);
    assert_int_equal(journal_done(j), 3);
    expect_totals(&j, 1);
    journal_close(j);
    j = open_journal("state", header, false);
    assert_int_equal(journal_done(j), 3);
    expect_totals(&j, 1);
    journal_close(j);
    assert_int_equal(journal_open_finished(&j, "state", &warn, &last), MOHVIT_OK);
    expect_totals(&j, 1);
    journal_close(j);

    assert_int_equal(truncate("state", st.st_size + 100), 0); // within the newest
    j = open_journal("state", header, false);
    assert_int_equal(journal_done(j), 3);
    assert_int_equal(journal_read(j, 1, &read, NULL), MOHVIT_OK);
    assert_int_equal(read.size, b.size);
    assert_memory_equal(read.data, b.data, b.size);
    append(j, 1);
    expect_totals(&j, 1);
    bytes_free(&read);
    bytes_free(&b);
    journal_close(j);
    json_decref(header);
}

static void a_chunk_that_is_forgotten_is_not_done_until_it_is_there_again(void **state)
{
    (void)state;
    json_t *header = make_header();
    journal *j = open_journal("state", header, false);
    for (size_t i = 0; i < 3; i++)
        append(j, i);
    journal_forget(j, 1);
    journal_forget(j, 1);
    assert_int_equal(journal_done(j), 2);
    assert_false(journal_has(j, 1));
    assert_true(journal_has(j, 0) && journal_has(j, 2));
    append(j, 1);
    expect_totals(&j, 1);
    journal_forget(j, 0);
    journal_close(j);
    j = open_journal("state", header, false);
    expect_totals(&j, 1);
    journal_close(j);
    json_decref(header);
}

/* Which 0.1.0 wrote. */
static void an_old_state_can_be_read_and_not_gone_on_with(void **state)
{
    (void)state;
    journal *j;
    totals t;
    const warning_sink warn = {note_warning, NULL};
    shell("cp '" GOLDEN_DIR "/headload/0.1.0.state' old");
    assert_int_equal(journal_open_finished(&j, "old", &warn, &last), MOHVIT_OK);
    assert_int_equal(totals_count(&t, &(record_set){&j, 1}, 0, NULL), MOHVIT_OK);
    assert_true(t.images + t.failed > 0);
    assert_false(t.hashed);
    totals_free(&t);
    json_t *header = json_deep_copy(journal_header(j));
    journal_close(j);
    assert_null(open_journal("old", header, false));
    assert_non_null(strstr(last.message, "old: a state of format 1 does not tell of its pictures"));
    json_object_set_new(header, "format", json_integer(HEADER_FORMAT)); // of which its records are not
    j = open_journal("new", header, false);
    journal *old = NULL;
    bytes b = {0};
    assert_int_equal(journal_open_finished(&old, "old", &warn, &last), MOHVIT_OK);
    assert_int_equal(journal_read(old, 0, &b, NULL), MOHVIT_OK);
    assert_int_equal(append_bytes(j, &b), MOHVIT_ERROR_FORMAT);
    assert_non_null(strstr(last.message, "does not fit its header"));
    bytes_free(&b);
    journal_close(old);
    journal_close(j);
    json_decref(header);
}

static void the_hash_of_the_data_is_the_sum_of_those_of_its_pictures(void **state)
{
    (void)state;
    totals t;
    unsigned __int128 sum = 0;
    json_t *header = make_header();
    journal *j[2] = {open_journal(NULL, header, false), open_journal("b", header, false)};
    append(j[1], 2);
    append(j[0], 0);
    append(j[1], 1);
    for (size_t i = 0; i < all_images; i++)
        sum += picture_term((picture_hash){i, UINT64_MAX - i}, i % 40 == 0);
    assert_int_equal(totals_count(&t, &(record_set){j, 2}, 0, NULL), MOHVIT_OK);
    assert_true(t.hashed && t.data_hash == sum);
    assert_int_equal(t.unread, 2);
    totals_free(&t);
    assert_true(picture_term((picture_hash){1, 2}, false) == ((unsigned __int128)2 << 64 | 1));
    assert_true(picture_term((picture_hash){1, 2}, true) != picture_term((picture_hash){1, 2}, false));
    journal_close(j[0]);
    journal_close(j[1]);
    json_decref(header);
}

/* The values that XXH64 is published with. */
static void bytes_of_pictures_have_their_xxh64(void **state)
{
    (void)state;
    uint8_t abc[] = "abc";
    assert_true(picture_xxh64(&(sample){abc, 0, 0, 0}) == 0xef46db3751d8e999);
    assert_true(picture_xxh64(&(sample){abc, 3, 0, 0}) == 0x44bc2cf5ad770999);
}

/* Chunk 1 with pictures `first` and on unread, so many; whether that is too many in a row. */
static bool is_gone(const journal *j, size_t first, size_t count)
{
    bytes b = {0};
    chunk_record r;
    bool unread[CHUNK_IMAGES] = {false};
    memset(unread + first, true, count);
    make_unread(&b, unread);
    assert_int_equal(record_parse(&r, b.data, b.size, NULL), MOHVIT_OK);
    mohvit_status status = recheck_unread(j, &r, &last);
    record_free(&r);
    bytes_free(&b);
    assert_true(!status || strstr(last.message, "gone: 8 pictures in a row cannot be opened or read"));
    assert_true(!status || status == MOHVIT_ERROR_SYSTEM);
    return status;
}

/* Also over the edges of chunks: of those beside it, the last two and the first three are unread. */
static void many_unread_pictures_in_a_row_are_no_fault_of_theirs(void **state)
{
    (void)state;
    const bool unread[CHUNK_IMAGES] = {[0] = true, [1] = true, [2] = true, [62] = true, [63] = true};
    bytes b = {0};
    all_images = 3 * CHUNK_IMAGES;
    json_t *header = make_header();
    journal *j = open_journal("state", header, false);
    for (size_t first = 0; first <= CHUNK_IMAGES - 8; first++) {
        assert_false(is_gone(j, first, 7));
        assert_true(is_gone(j, first, 8));
    }
    for (uint32_t chunk = 0; chunk <= 2; chunk += 2) {
        make_unread(&b, unread);
        bytes_set_u32(&b, 0, chunk);
        assert_int_equal(append_bytes(j, &b), MOHVIT_OK);
    }
    assert_false(is_gone(j, 0, 5));
    assert_true(is_gone(j, 0, 6));
    assert_false(is_gone(j, 1, 7));
    assert_false(is_gone(j, 60, 4));
    assert_true(is_gone(j, 59, 5));
    assert_false(is_gone(j, 56, 7));
    bytes_free(&b);
    journal_close(j);
    json_decref(header);
    all_images = IMAGES;
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

/* Each number below n once, in an order that looks like none. */
static void shuffle(size_t *order, size_t n)
{
    uint64_t random = 7;
    for (size_t i = 0; i < n; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t at = (random >> 33) % (i + 1);
        order[i] = i;
        size_t other = order[at];
        order[at] = i;
        order[i] = other;
    }
}

/* Opened anew now and then, as a run that is interrupted and goes on. */
static void many_chunks_in_any_order_are_all_kept(void **state)
{
    (void)state;
    all_images = MANY_IMAGES;
    size_t order[MANY_CHUNKS];
    bool there[MANY_CHUNKS] = {false};
    bytes read = {0}, written = {0};
    json_t *header = make_header();
    journal *j = open_journal("state", header, false);
    assert_int_equal(journal_chunks(j), MANY_CHUNKS);
    shuffle(order, MANY_CHUNKS);
    for (size_t i = 0; i < MANY_CHUNKS; i++) {
        append(j, order[i]);
        there[order[i]] = true;
        if (i % 6 == 5) {
            journal_close(j);
            j = open_journal("state", header, false);
        }
        assert_int_equal(journal_done(j), i + 1);
        size_t index = 0;
        for (size_t chunk = 0; chunk < MANY_CHUNKS; chunk++) {
            assert_int_equal(journal_has(j, chunk), there[chunk]);
            if (there[chunk])
                assert_int_equal(journal_chunk(j, index++), chunk);
        }
    }
    for (size_t chunk = 0; chunk < MANY_CHUNKS; chunk++) {
        make_chunk(&written, chunk, true);
        assert_int_equal(journal_read(j, chunk, &read, NULL), MOHVIT_OK);
        assert_int_equal(read.size, written.size);
        assert_memory_equal(read.data, written.data, written.size);
    }
    expect_totals(&j, 1);
    bytes_free(&read);
    bytes_free(&written);
    journal_close(j);
    json_decref(header);
    all_images = IMAGES;
}

/* Gives the frame at `offset` the CRC that its content has now. */
static void sign_frame(const char *path, off_t offset)
{
    uint8_t head[12], content[65536];
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, head, sizeof head, offset), sizeof head);
    size_t size = head[4] | (size_t)head[5] << 8 | (size_t)head[6] << 16;
    assert_true(size < sizeof content && !head[7]);
    assert_int_equal(pread(fd, content, size, offset + 12), size);
    uint32_t crc = (uint32_t)crc32_z(crc32_z(0, head, 8), content, size);
    assert_int_equal(pwrite(fd, &crc, 4, offset + 8), 4);
    close(fd);
}

static void overwrite(const char *path, off_t offset, const char *text)
{
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, text, strlen(text), offset), strlen(text));
    close(fd);
}

/* Nor is one of another size than its place in the data set has. */
static void a_record_beyond_the_last_chunk_is_refused(void **state)
{
    (void)state;
    const struct {
        size_t like, number;
    } wrong[] = {{2, 3}, {0, 3}, {2, UINT32_MAX}, {0, 2}, {2, 0}};
    json_t *header = make_header();
    journal *j = open_journal("state", header, false);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        bytes b = {0};
        char expected[64];
        make_chunk(&b, wrong[i].like, true);
        bytes_set_u32(&b, 0, (uint32_t)wrong[i].number);
        snprintf(expected, sizeof expected, "state: the record of chunk %zu does not fit", wrong[i].number);
        assert_int_equal(append_bytes(j, &b), MOHVIT_ERROR_FORMAT);
        assert_non_null(strstr(last.message, expected));
        assert_int_equal(journal_done(j), 0);
        bytes_free(&b);
    }
    journal_close(j);
    json_decref(header);
}

/* The same in a file that somebody made: its header says that there are fewer chunks than it has. */
static void a_file_with_a_record_beyond_its_last_chunk_is_refused(void **state)
{
    (void)state;
    all_images = IMAGES + CHUNK_IMAGES;
    json_t *header = make_header();
    journal *j = open_journal("state", header, false);
    append(j, 3); // of 22 images, as chunk 2 would be the last
    journal_close(j);
    json_decref(header);
    all_images = IMAGES;
    header = make_header();
    char text[4096] = "";
    int fd = open("state", O_RDONLY);
    assert_true(pread(fd, text, sizeof text - 1, 20) > 0); // behind magic and frame
    close(fd);
    const char *images = strstr(text, "\"images\":214");
    assert_non_null(images);
    overwrite("state", 20 + (images - text), "\"images\":150");
    sign_frame("state", 8);
    assert_null(open_journal("state", header, false));
    assert_non_null(strstr(last.message, "state: the record of chunk 3 does not fit its header"));
    json_decref(header);
}

/* Somebody else wrote into the file, and well. */
static void a_record_that_became_another_chunks_is_not_taken_for_its_own(void **state)
{
    (void)state;
    struct stat st;
    bytes b = {0};
    json_t *header = make_header();
    journal *j = open_journal("state", header, false);
    assert_int_equal(stat("state", &st), 0);
    append(j, 0);
    append(j, 1);
    assert_int_equal(journal_read(j, 0, &b, &last), MOHVIT_OK);
    overwrite("state", st.st_size + 12, "\1"); // chunk 1
    sign_frame("state", st.st_size);
    assert_int_equal(journal_read(j, 0, &b, &last), MOHVIT_ERROR_IO);
    assert_non_null(strstr(last.message, "state: the record of chunk 0 changed"));
    bytes_free(&b);
    journal_close(j);
    json_decref(header);
}

static void a_tie_between_mistakes_goes_to_the_lower_class(void **state)
{
    (void)state;
    const uint32_t classes[] = {1, 1, 1, 1, 1, 1, 4}, predicted[] = {5, 3, 5, 3, 7, 1, 2};
    enum { COUNT = sizeof classes / sizeof *classes };
    image_result results[COUNT];
    score scores[COUNT];
    dataset_item pictures[COUNT];
    chunk_result c = {.images = COUNT, .top_ks = 1, .results = results};
    for (size_t i = 0; i < COUNT; i++) {
        pictures[i] = (dataset_item){.name = "x", .class_index = classes[i]};
        scores[i] = (score){.top = {predicted[i]}, .top_count = 1, .right1 = classes[i] == predicted[i]};
        results[i] = (image_result){.item = &pictures[i], .scores = &scores[i]};
    }
    all_images = COUNT;
    bytes b = {0};
    json_t *header = make_header();
    journal *j = open_journal(NULL, header, false);
    record_begin(&b, &c, false);
    assert_int_equal(append_bytes(j, &b), MOHVIT_OK);
    totals t;
    uint64_t times;
    assert_int_equal(totals_count(&t, &(record_set){&j, 1}, 8, NULL), MOHVIT_OK);
    assert_int_equal(totals_confused_with(&t, 1, &times), 3);
    assert_int_equal(times, 2);
    assert_int_equal(totals_confused_with(&t, 4, &times), 2);
    assert_int_equal(times, 1);
    assert_int_equal(totals_confused_with(&t, 0, &times), CLASS_NONE);
    assert_int_equal(times, 0);
    totals_free(&t);
    bytes_free(&b);
    journal_close(j);
    json_decref(header);
    all_images = IMAGES;
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

/* What is printed of a header is checked, since the file may be anybody's. */
static void a_header_that_cannot_be_printed_is_refused(void **state)
{
    (void)state;
    const warning_sink warn = {note_warning, NULL};
    for (size_t i = 0; i < 3; i++) {
        journal *j;
        json_t *header = make_header(), *match = json_object_get(header, "match");
        if (i == 0)
            json_object_set_new(match, "routed_heads", json_pack("[s, i]", "1", 2));
        else if (i == 1)
            json_object_set_new(match, "routed_heads", json_string("1"));
        else
            json_object_del(header, "provenance");
        journal_close(open_journal("state", header, false));
        assert_int_equal(journal_open_finished(&j, "state", &warn, &last), MOHVIT_ERROR_FORMAT);
        assert_string_equal(last.message, "state: its header lacks what every state has");
        json_decref(header);
        assert_int_equal(unlink("state"), 0);
    }
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
        if (!clean) {
            char dropped[64];
            snprintf(dropped, sizeof dropped, "its last %ld byte", (long)(size - ends[kept]));
            assert_non_null(strstr(warnings, dropped));
        }
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
    assert_non_null(strstr(warnings, "not a whole record"));
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

static void *no_memory(size_t size)
{
    (void)size;
    errno = ENOMEM;
    return NULL;
}

static void a_header_without_memory_for_it_is_no_damage(void **state)
{
    (void)state;
    const warning_sink warn = {note_warning, NULL};
    json_malloc_t alloc;
    json_free_t release;
    json_t *header = make_header();
    journal *j = open_journal("state", header, false);
    assert_non_null(j);
    journal_close(j);
    json_get_alloc_funcs(&alloc, &release);
    json_set_alloc_funcs(no_memory, release);
    mohvit_status status = journal_open_finished(&j, "state", &warn, &last);
    json_set_alloc_funcs(alloc, release);
    assert_int_equal(status, MOHVIT_ERROR_MEMORY);
    assert_non_null(strstr(last.message, "state: no memory for its header"));
    json_decref(header);
}

/* Records of a state that is damaged somewhere, opened to be gone on with, or, without a header, to be
 * merged; −1: it is refused. */
static int records_left(const char *path, const json_t *header)
{
    journal *j = NULL;
    totals t;
    const warning_sink warn = {note_warning, NULL};
    const journal_options o = {.path = path, .header = header, .warn = warn};
    *warnings = '\0';
    if (journal_open(&j, &o, &last))
        return -1;
    int done = (int)journal_done(j);
    assert_int_equal(totals_count(&t, &(record_set){&j, 1}, 0, &last), MOHVIT_OK);
    assert_int_equal(t.images + t.failed, done ? CHUNK_IMAGES : 0); // of two records, the second is gone
    totals_free(&t);
    journal_close(j);
    return done;
}

static void a_flipped_bit_or_a_cut_anywhere_is_noticed(void **state)
{
    (void)state;
    static uint8_t whole[16384];
    all_images = CHUNK_IMAGES + 2;
    json_t *header = make_header();
    journal *j = open_journal("whole", header, false);
    append(j, 0);
    append(j, 1);
    journal_close(j);
    int fd = open("whole", O_RDONLY);
    ssize_t size = pread(fd, whole, sizeof whole, 0);
    close(fd);
    assert_in_range(size, 1000, sizeof whole - 1);
    for (ssize_t i = 0; i < 2 * size; i++) { // of each byte, a bit for either way to open it
        ssize_t at = i / 2;
        uint8_t bit = (uint8_t)(1u << (at + 3 * i) % 8);
        whole[at] ^= bit;
        write_file("state", whole, (size_t)size);
        whole[at] ^= bit;
        int left = records_left("state", i % 2 ? header : NULL);
        if (left >= 0 && !(left == 1 && strstr(warnings, "not a whole record and")))
            fail_msg("bit %x of byte %ld: %d records", bit, (long)at, left);
    }
    for (ssize_t i = 0; i < 2 * size; i += i < 1000 ? 7 : 1) { // a header anew waits for the disk
        write_file("state", whole, (size_t)(i / 2));
        if (records_left("state", i % 2 ? header : NULL) > 1)
            fail_msg("cut to %ld bytes: taken as whole", (long)(i / 2));
    }
    json_decref(header);
    all_images = IMAGES;
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

/* ---- Reaching the disk ------------------------------------------------------------------------- */

static char calls[64]; /* those below, in their order: w, s and d */
static bool disk_is_broken;

static void note_call(char call)
{
    size_t used = strlen(calls);
    if (used + 1 < sizeof calls) { // of the tests that do not look at them there are many more
        calls[used] = call;
        calls[used + 1] = '\0';
    }
}

/* In place of the C library's, which the journal would call. */
#define REAL(type, name, ...)                                                                                \
    static type (*real)(__VA_ARGS__);                                                                        \
    if (!real)                                                                                               \
    *(void **)&real = dlsym(RTLD_NEXT, name)

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    note_call('w');
    return real(fd, data, size, offset);
}

int fdatasync(int fd)
{
    REAL(int, "fdatasync", int);
    note_call('s');
    errno = EIO;
    return disk_is_broken ? -1 : real(fd);
}

int fsync(int fd)
{
    REAL(int, "fsync", int);
    note_call('d'); // of a directory
    return real(fd);
}

static void what_is_written_reaches_the_disk_within_a_second(void **state)
{
    (void)state;
    json_t *header = make_header();
    *calls = '\0';
    journal *j = open_journal("state", header, false);
    assert_string_equal(calls, "wsd");
    sleep(1);
    *calls = '\0';
    append(j, 0);
    assert_string_equal(calls, "ws");
    *calls = '\0';
    append(j, 1);
    assert_int_equal(journal_sync(j, &last), MOHVIT_OK);
    assert_string_equal(calls, "ws"); // by either of the two
    assert_int_equal(journal_sync(j, &last), MOHVIT_OK);
    assert_string_equal(calls, "ws"); // there was nothing new
    append(j, 2);
    disk_is_broken = true;
    *calls = '\0';
    mohvit_status broken = journal_sync(j, &last);
    disk_is_broken = false;
    assert_int_equal(broken, MOHVIT_ERROR_SYSTEM);
    assert_non_null(strstr(last.message, "state: cannot be written"));
    journal_close(j);

    *calls = '\0';
    j = open_journal(NULL, header, false); // which ends with its process, whatever happens
    append(j, 0);
    assert_int_equal(journal_sync(j, &last), MOHVIT_OK);
    assert_string_equal(calls, "ww");
    journal_close(j);
    json_decref(header);
}

/* ---- Fingerprints ---------------------------------------------------------------------------- */

static void fingerprint_of(char out[FINGERPRINT_SIZE], size_t count, char *const *arguments)
{
    dataset *d = NULL;
    if (dataset_open(&d, arguments, count, &(dataset_options){.unlabelled = true}, &last))
        fail_msg("%s", last.message);
    dataset_fingerprint(d, true, out);
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
        cmocka_unit_test(a_record_reads_as_it_was_written),
        cmocka_unit_test(a_damaged_record_is_an_error_or_another_record_but_never_a_crash),
        TEST(a_journal_goes_on_where_it_was),
        TEST(the_newest_whole_record_of_a_chunk_counts),
        TEST(a_chunk_that_is_forgotten_is_not_done_until_it_is_there_again),
        TEST(an_old_state_can_be_read_and_not_gone_on_with),
        TEST(the_hash_of_the_data_is_the_sum_of_those_of_its_pictures),
        cmocka_unit_test(bytes_of_pictures_have_their_xxh64),
        TEST(many_unread_pictures_in_a_row_are_no_fault_of_theirs),
        TEST(the_order_and_the_files_of_records_do_not_matter),
        TEST(many_chunks_in_any_order_are_all_kept),
        TEST(a_record_beyond_the_last_chunk_is_refused),
        TEST(a_file_with_a_record_beyond_its_last_chunk_is_refused),
        TEST(a_record_that_became_another_chunks_is_not_taken_for_its_own),
        TEST(a_tie_between_mistakes_goes_to_the_lower_class),
        TEST(what_is_written_reaches_the_disk_within_a_second),
        TEST(a_part_of_a_huge_data_set_takes_no_memory),
        TEST(a_journal_belongs_to_one_process_at_a_time),
        TEST(another_evaluation_is_refused_with_the_difference),
        TEST(a_header_that_cannot_be_printed_is_refused),
        TEST(a_torn_end_is_dropped_wherever_it_is_torn),
        TEST(a_damaged_end_is_dropped_like_a_torn_one),
        TEST(damage_before_a_whole_record_is_an_error_and_changes_nothing),
        TEST(a_header_without_memory_for_it_is_no_damage),
        TEST(a_flipped_bit_or_a_cut_anywhere_is_noticed),
        TEST(a_file_that_is_no_state_is_left_alone),
        TEST(a_fingerprint_tells_idx_files_by_their_pixels),
        TEST(a_fingerprint_tells_where_an_argument_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
