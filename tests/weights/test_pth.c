#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "weights/half.h"
#include "tests/weights/pickle_writing.h"
#include "weights/safetensors_writer.h"
#include "base/memory.h"

#define PTH GOLDEN_DIR "/pth/"

static checkpoint *open_file(const char *path, const char *key)
{
    checkpoint *cp = NULL;
    mohvit_error err;
    expect_ok(checkpoint_open(&cp, path, key, NULL, &err), &err);
    return cp;
}

static bool is_plain(const checkpoint *cp, const char *name)
{
    const tensor_info *t = checkpoint_find(cp, name);
    return t && t->dtype == DTYPE_F32;
}

// ---- The golden files ------------------------------------------------------------------------------

/* Both hold the same names with the same shapes, in the same order; round (may be NULL) takes the values of
 * `plain` to those of `other`, which are compared bit by bit. */
static void expect_same_weights(checkpoint *plain, checkpoint *other, void (*round)(float *values, size_t n))
{
    assert_int_equal(checkpoint_count(plain), 140);
    assert_int_equal(checkpoint_count(other), 140);
    for (size_t i = 0; i < 140; i++) {
        const tensor_info *a = checkpoint_tensor(plain, i), *b = checkpoint_tensor(other, i);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->rank, b->rank);
        assert_memory_equal(a->shape, b->shape, a->rank * sizeof *a->shape);
        assert_ptr_equal(checkpoint_find(other, a->name), b);
        float *x = read_tensor(plain, a->name), *y = read_tensor(other, a->name);
        if (round)
            round(x, a->elements);
        assert_memory_equal(x, y, a->elements * sizeof *x);
        free(x);
        free(y);
    }
}

static void every_form_in_the_wild_gives_the_same_weights(void **state)
{
    (void)state;
    const char *const forms[] = {"module_prefix", "parameters", "shared_storage", "strided", "training"};
    checkpoint *plain = open_file(PTH "plain.pth", NULL);
    assert_string_equal(checkpoint_format(plain), "pth");
    assert_null(checkpoint_metadata(plain, "config"));
    assert_true(is_plain(plain, "patch_embed1.proj.weight"));
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char path[256];
        snprintf(path, sizeof path, PTH "%s.pth", forms[i]);
        checkpoint *other = open_file(path, NULL);
        mohvit_error err;
        expect_ok(checkpoint_take_off(other, "module.", 7, &err), &err); // which one of them has
        expect_same_weights(plain, other, NULL);
        checkpoint_close(other);
    }
    checkpoint_close(plain);
}

static void round_f16(float *values, size_t n)
{
    uint16_t *half = malloc(n * sizeof *half + 1);
    half_to_f16(half, values, n);
    half_from_f16(values, half, n);
    free(half);
}

static void round_bf16(float *values, size_t n)
{
    uint16_t *half = malloc(n * sizeof *half + 1);
    half_to_bf16(half, values, n);
    half_from_bf16(values, half, n);
    free(half);
}

static void half_precision_files_hold_the_rounded_weights(void **state)
{
    (void)state;
    checkpoint *plain = open_file(PTH "plain.pth", NULL);
    checkpoint *half = open_file(PTH "half.pth", NULL), *bf16 = open_file(PTH "bf16_with_ema.pth", NULL);
    expect_same_weights(plain, half, round_f16);
    expect_same_weights(plain, bf16, round_bf16);
    checkpoint_close(bf16);
    checkpoint_close(half);
    checkpoint_close(plain);
}

static void a_key_chooses_among_the_weight_sets(void **state)
{
    (void)state;
    const char *const *names;
    size_t chosen;
    mohvit_error err;
    checkpoint *model = open_file(PTH "bf16_with_ema.pth", NULL),
               *ema = open_file(PTH "bf16_with_ema.pth", "model_ema"), *none;
    assert_int_equal(checkpoint_sets(model, &names, &chosen), 2);
    assert_string_equal(names[chosen], "model");
    assert_int_equal(checkpoint_sets(ema, &names, &chosen), 2);
    assert_string_equal(names[chosen], "model_ema");
    float *a = read_tensor(model, "head.weight"), *b = read_tensor(ema, "head.weight");
    assert_memory_not_equal(a, b, checkpoint_find(ema, "head.weight")->elements * sizeof *a);
    free(a);
    free(b);
    checkpoint_close(ema);
    checkpoint_close(model);
    expect_error(checkpoint_open(&none, PTH "bf16_with_ema.pth", "teacher", NULL, &err), &err,
                 MOHVIT_ERROR_ARGUMENT, "bf16_with_ema.pth",
                 "there is no weight set \"teacher\"; found: model, model_ema");
    expect_error(checkpoint_open(&none, PTH "plain.pth", "model", NULL, &err), &err, MOHVIT_ERROR_ARGUMENT,
                 "plain.pth", "no tensor whose name begins with \"model.\"");
}

static void a_file_cut_anywhere_is_an_error(void **state)
{
    (void)state;
    const char *const files[] = {PTH "strided.pth", PTH "shared_storage.pth"};
    for (size_t f = 0; f < 2; f++) {
        mohvit_error err;
        blob b = blob_read(files[f]);
        for (size_t size = 0; size < b.size; size += 997) {
            assert_int_not_equal(open_and_read(b.data, size, "cut.pth", NULL, &err), MOHVIT_OK);
            assert_non_null(strstr(err.message, "cut.pth"));
        }
        free(b.data);
    }
}

/* Writes what the checkpoint holds to a safetensors file. */
static void convert(checkpoint *cp, const char *path)
{
    safetensors_writer *w;
    mohvit_error err;
    tensor_info tensors[140];
    for (size_t i = 0; i < 140; i++)
        tensors[i] = *checkpoint_tensor(cp, i);
    expect_ok(safetensors_writer_create(&w, path, tensors, 140, NULL, 0, &err), &err);
    for (size_t i = 0; i < 140; i++) {
        void *values = memory_alloc(tensors[i].elements, sizeof(float));
        expect_ok(checkpoint_read_raw(cp, checkpoint_tensor(cp, i), values, &err), &err);
        expect_ok(safetensors_writer_add_raw(w, values, &err), &err);
        free(values);
    }
    expect_ok(safetensors_writer_finish(w, MOHVIT_OK, &err), &err);
}

static void its_conversion_holds_the_same_and_cut_anywhere_is_an_error(void **state)
{
    (void)state;
    char dir[64], path[128];
    mohvit_error err;
    enter_scratch(dir);
    snprintf(path, sizeof path, "%s/m.safetensors", dir);
    checkpoint *cp = open_file(PTH "strided.pth", NULL);
    convert(cp, path);
    checkpoint *converted = open_file(path, NULL);
    expect_same_weights(cp, converted, NULL);
    checkpoint_close(converted);
    checkpoint_close(cp);
    blob b = blob_read(path);
    for (size_t size = 0; size < b.size; size += 997) {
        assert_int_not_equal(open_and_read(b.data, size, "cut.safetensors", NULL, &err), MOHVIT_OK);
        assert_non_null(strstr(err.message, "cut.safetensors"));
    }
    free(b.data);
    unlink(path);
    leave_scratch(dir);
}

static void a_flipped_bit_in_the_weights_fails_the_checksum(void **state)
{
    (void)state;
    blob b = blob_read(PTH "plain.pth");
    b.data[30000] ^= 1; // inside a storage: the pickle ends before, the directory begins far behind
    expect_pth_fault(b, NULL, MOHVIT_ERROR_FORMAT, "CRC error");
}

static void a_file_that_shrinks_while_open_is_an_error(void **state)
{
    (void)state;
    char dir[64], path[128];
    mohvit_error err;
    blob b = blob_read(PTH "plain.pth");
    enter_scratch(dir);
    snprintf(path, sizeof path, "%s/m.pth", dir);
    blob_write(path, b.data, b.size);
    free(b.data);
    checkpoint *cp = open_file(path, NULL);
    assert_int_equal(truncate(path, 20000), 0);
    expect_error(read_every_tensor(cp, &err), &err, MOHVIT_ERROR_IO, path, "did it change");
    checkpoint_close(cp);
    unlink(path);
    leave_scratch(dir);
}

// ---- Other archives --------------------------------------------------------------------------------

static void archives_that_are_no_checkpoints_say_so(void **state)
{
    (void)state;
    blob p = pickle_of_tensor(&whole);
    const zip_entry script[] = {{"m/data.pkl", p.data, p.size, false}, {"m/constants.pkl", "x", 1, false}};
    expect_pth_fault(make_zip(script, 2), NULL, MOHVIT_ERROR_UNSUPPORTED, "TorchScript");
    const zip_entry other[] = {{"readme.txt", "x", 1, false}};
    expect_pth_fault(make_zip(other, 1), NULL, MOHVIT_ERROR_FORMAT, "without data.pkl");
    const zip_entry two[] = {{"m/data.pkl", p.data, p.size, false}, {"n/data.pkl", p.data, p.size, false}};
    expect_pth_fault(make_zip(two, 2), NULL, MOHVIT_ERROR_FORMAT, "two pickles");
    const zip_entry big[] = {{"m/data.pkl", p.data, p.size, false}, {"m/byteorder", "big", 3, false}};
    expect_pth_fault(make_zip(big, 2), NULL, MOHVIT_ERROR_UNSUPPORTED, "byteorder \"big\"");
    const zip_entry little[] = {{"m/data.pkl", p.data, p.size, false},
                                {"m/byteorder", "little", 6, false},
                                {"m/data/0", twelve, sizeof twelve, false}};
    mohvit_error err;
    blob b = make_zip(little, 3);
    expect_ok(open_and_read(b.data, b.size, "m.pth", NULL, &err), &err);
    free(b.data);
    free(p.data);
}

static void formats_before_1_6_say_how_to_save_again(void **state)
{
    (void)state;
    mohvit_error err;
    const char legacy[] = "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
    expect_error(open_and_read(legacy, sizeof legacy - 1, "old.pth", NULL, &err), &err,
                 MOHVIT_ERROR_UNSUPPORTED, "old.pth", "torch.save(torch.load(");
    unsigned char tar[512] = "storages";
    memcpy(tar + 257, "ustar", 5);
    expect_error(open_and_read(tar, sizeof tar, "old.pth", NULL, &err), &err, MOHVIT_ERROR_UNSUPPORTED,
                 "old.pth", "torch.save(torch.load(");
}

/* The size in the directory of an entry is raised to 1 GiB: of a stored entry, and of a deflated one. */
static void entries_that_claim_more_than_they_can_hold_are_errors(void **state)
{
    (void)state;
    for (int deflate = 0; deflate < 2; deflate++) {
        blob p = pickle_of_tensor(&(pickled_tensor){"FloatStorage", "0", 1 << 28, 0, 1, {1 << 28}, {1}});
        const zip_entry entries[] = {{"m/data.pkl", p.data, p.size, false},
                                     {"m/data/0", twelve, sizeof twelve, deflate != 0}};
        blob b = make_zip(entries, 2);
        size_t found = 0;
        for (size_t i = 0; i + 46 < b.size; i++) { // the last central header is that of m/data/0
            if (memcmp(b.data + i, "PK\1\2", 4) == 0)
                found = i;
        }
        const uint32_t huge = 1u << 30;
        memcpy(b.data + found + 24, &huge, sizeof huge);
        free(p.data);
        expect_pth_fault(b, NULL, MOHVIT_ERROR_FORMAT, "m/data/0: claims 1073741824 bytes");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_in_the_wild_gives_the_same_weights),
        cmocka_unit_test(half_precision_files_hold_the_rounded_weights),
        cmocka_unit_test(a_key_chooses_among_the_weight_sets),
        cmocka_unit_test(a_file_cut_anywhere_is_an_error),
        cmocka_unit_test(its_conversion_holds_the_same_and_cut_anywhere_is_an_error),
        cmocka_unit_test(a_flipped_bit_in_the_weights_fails_the_checksum),
        cmocka_unit_test(a_file_that_shrinks_while_open_is_an_error),
        cmocka_unit_test(archives_that_are_no_checkpoints_say_so),
        cmocka_unit_test(formats_before_1_6_say_how_to_save_again),
        cmocka_unit_test(entries_that_claim_more_than_they_can_hold_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
