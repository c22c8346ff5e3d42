#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "weights/labels.h"
#include "tests/imgio/folder_testing.h"
#include "tests/weights/weights_testing.h"

static labels parse(const char *text)
{
    labels l;
    mohvit_error err;
    expect_ok(labels_parse(&l, text, strlen(text), "l.txt", &err), &err);
    return l;
}

static void expect_fault(const char *text, size_t length, const char *cause)
{
    labels l;
    mohvit_error err;
    expect_error(labels_parse(&l, text, length, "l.txt", &err), &err, MOHVIT_ERROR_FORMAT, "l.txt", cause);
}

static void imagenet_has_its_thousand_classes(void **state)
{
    (void)state;
    labels l;
    mohvit_error err;
    expect_ok(labels_imagenet1k(&l, &err), &err);
    assert_int_equal(l.count, 1000);
    assert_string_equal(l.id[0], "n01440764");
    assert_string_equal(l.name[0], "tench, Tinca tinca");
    for (size_t i = 0; i < l.count; i++) {
        assert_non_null(l.id[i]);
        assert_true(i == 0 || strcmp(l.id[i - 1], l.id[i]) < 0);
    }
    labels_free(&l);
}

static void lines_are_names_or_ids_with_names(void **state)
{
    (void)state;
    labels l = parse("cat\nn01440764\ttench, Tinca tinca\nK\xc3\xa4se \xf0\x9f\xa7\x80");
    assert_int_equal(l.count, 3);
    assert_string_equal(l.name[0], "cat");
    assert_null(l.id[0]);
    assert_string_equal(l.id[1], "n01440764");
    assert_string_equal(l.name[1], "tench, Tinca tinca");
    assert_string_equal(l.name[2], "K\xc3\xa4se \xf0\x9f\xa7\x80");
    labels_free(&l);
}

static void windows_line_ends_and_a_byte_order_mark_are_fine(void **state)
{
    (void)state;
    labels l = parse("\xef\xbb\xbf"
                     "cat\r\ndog\r\n");
    assert_int_equal(l.count, 2);
    assert_string_equal(l.name[0], "cat");
    assert_string_equal(l.name[1], "dog");
    labels_free(&l);
}

static void faults_name_file_and_line(void **state)
{
    (void)state;
    expect_fault("", 0, "holds no labels");
    expect_fault("cat\n\ndog\n", 9, "line 2 is empty");
    expect_fault("cat\n\r\n", 6, "line 2 is empty");
    expect_fault("cat\nd\0g\n", 8, "line 2: a zero byte; expected text");
    expect_fault("cat\nx\ty\n", 8, "line 2 has no WordNet id");
    expect_fault("n0144076x\ty\n", 12, "line 1 has no WordNet id");
    expect_fault("n01440764\t\n", 11, "line 1 has an id but no name");
    expect_fault("n01440764\ta\tb\n", 14, "line 1 has a control character");
}

static void what_is_not_utf8_is_an_error(void **state)
{
    (void)state;
    const char *const bad[] = {"\xff",
                               "\x80",
                               "\xc0\xaf",
                               "\xc3",
                               "\xe0\x80\x80",
                               "\xed\xa0\x80",
                               "\xf4\x90\x80\x80",
                               "\xf0\x9f\xa7",
                               "\xf5\x80\x80\x80",
                               "\xf8\x88\x80\x80\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_fault(bad[i], strlen(bad[i]), "line 1 is not UTF-8");
}

static void json_keeps_names_and_ids(void **state)
{
    (void)state;
    labels l = parse("n01440764\ttench \"x\"\ncat\n"), again;
    mohvit_error err;
    char *json = labels_to_json(&l);
    assert_non_null(json);
    expect_ok(labels_from_json(&again, json, "m.safetensors", &err), &err);
    assert_int_equal(again.count, 2);
    assert_string_equal(again.id[0], "n01440764");
    assert_string_equal(again.name[0], "tench \"x\"");
    assert_null(again.id[1]);
    assert_string_equal(again.name[1], "cat");
    free(json);
    labels_free(&again);
    labels_free(&l);
}

static void json_of_another_form_is_an_error(void **state)
{
    (void)state;
    const struct {
        const char *json, *cause;
    } bad[] = {{"{}", "expected a JSON array"},
               {"[]", "expected a JSON array"},
               {"[1]", "entry 0 is not a string"},
               {"[\"a\",\"\"]", "entry 1 is empty"},
               {"[\"a\"", "labels"},
               {"[\"a\\u0000b\"]", "labels"},
               {"[[],[]]", "objects and arrays"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        labels l;
        mohvit_error err;
        expect_error(labels_from_json(&l, bad[i].json, "m.safetensors", &err), &err, MOHVIT_ERROR_FORMAT,
                     "m.safetensors", bad[i].cause);
    }
}

static void a_file_that_is_missing_or_a_directory_is_named(void **state)
{
    (void)state;
    labels l;
    mohvit_error err;
    expect_error(labels_read(&l, "/nonexistent/l.txt", &err), &err, MOHVIT_ERROR_IO, "/nonexistent/l.txt",
                 "No such file");
    expect_error(labels_read(&l, "/tmp", &err), &err, MOHVIT_ERROR_IO, "/tmp", "directory");
    expect_error(labels_read(&l, "/dev/zero", &err), &err, MOHVIT_ERROR_LIMIT, "/dev/zero", "limit");
}

static labels read_text(const char *text)
{
    labels l;
    mohvit_error err;
    write_text("l", text);
    expect_ok(labels_read(&l, "l", &err), &err);
    return l;
}

static void kaggles_mapping_has_a_blank_behind_the_id(void **state)
{
    (void)state;
    labels l = read_text("\xef\xbb\xbfn01440764 tench, Tinca tinca\r\nn01443537 goldfish");
    assert_int_equal(l.count, 2);
    assert_string_equal(l.id[0], "n01440764");
    assert_string_equal(l.name[0], "tench, Tinca tinca");
    assert_string_equal(l.id[1], "n01443537");
    assert_string_equal(l.name[1], "goldfish");
    labels_free(&l);
}

static void a_class_index_in_json_is_read_by_its_numbers(void **state)
{
    (void)state;
    labels l =
        read_text("\xef\xbb\xbf {\"1\": [\"n01443537\", \"goldfish\"], \"0\": [\"n01440764\", \"tench\"]}");
    assert_int_equal(l.count, 2);
    assert_string_equal(l.id[0], "n01440764");
    assert_string_equal(l.name[1], "goldfish");
    labels_free(&l);
    l = read_text("[\"tench\", \"goldfish\"]");
    assert_int_equal(l.count, 2);
    assert_string_equal(l.name[1], "goldfish");
    labels_free(&l);
    static const char *const bad[] = {
        "{\"0\": [\"n01440764\", \"tench\"], \"2\": [\"n01443537\", \"goldfish\"]}",
        "{\"0\": \"tench\"}",
        "{\"0\": [\"n01440764\", \"tench\", \"x\"]}",
        "{\"0\": [\"tench\", \"n01440764\"]}",
        "{\"0\": [\"n01440764\", \"tench\"], \"0\": [\"n01443537\", \"goldfish\"]}",
        "{}",
        "{"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mohvit_error err;
        write_text("l", bad[i]);
        expect_error(labels_read(&l, "l", &err), &err, MOHVIT_ERROR_FORMAT, "l: ", "");
    }
    write_file("l", "[\"tench\"]\0", 10);
    mohvit_error err;
    expect_error(labels_read(&l, "l", &err), &err, MOHVIT_ERROR_FORMAT, "l: ", "zero byte");
}

static void a_pipe_is_read_like_a_file(void **state)
{
    (void)state;
    labels l;
    mohvit_error err;
    shell("mkfifo pipe; (printf 'cat\\ndog' >pipe) &");
    expect_ok(labels_read(&l, "pipe", &err), &err);
    assert_int_equal(l.count, 2);
    assert_string_equal(l.name[1], "dog");
    labels_free(&l);
}

static void missing_names_are_numbered(void **state)
{
    (void)state;
    labels l;
    mohvit_error err;
    expect_ok(labels_numbered(&l, 12, &err), &err);
    assert_int_equal(l.count, 12);
    assert_string_equal(l.name[11], "class 11");
    assert_null(l.id[11]);
    labels_free(&l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(imagenet_has_its_thousand_classes),
        cmocka_unit_test(lines_are_names_or_ids_with_names),
        cmocka_unit_test(windows_line_ends_and_a_byte_order_mark_are_fine),
        cmocka_unit_test(faults_name_file_and_line),
        cmocka_unit_test(what_is_not_utf8_is_an_error),
        cmocka_unit_test(json_keeps_names_and_ids),
        cmocka_unit_test(json_of_another_form_is_an_error),
        cmocka_unit_test(a_file_that_is_missing_or_a_directory_is_named),
        TEST(kaggles_mapping_has_a_blank_behind_the_id),
        TEST(a_class_index_in_json_is_read_by_its_numbers),
        TEST(a_pipe_is_read_like_a_file),
        cmocka_unit_test(missing_names_are_numbered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
