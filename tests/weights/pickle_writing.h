/* pickle_writing.h - pickles assembled by hand, and the zips of torch.save around them. Include after
 * weights_testing.h. */
#ifndef MOHVIT_PICKLE_WRITING_H
#define MOHVIT_PICKLE_WRITING_H

#include "tests/weights/weights_testing.h"

#include <zip.h>

/* Bytes of a string literal, which may have NULs in it. */
#define PUT(b, literal) blob_add(b, literal, sizeof(literal) - 1)

static inline void put_string(blob *b, const char *text)
{
    uint32_t length = (uint32_t)strlen(text);
    PUT(b, "X");
    blob_add(b, &length, 4);
    blob_add(b, text, length);
}

/* As LONG1, which takes any 64-bit integer. */
static inline void put_int(blob *b, int64_t value)
{
    PUT(b, "\x8a\x08");
    blob_add(b, &value, 8);
}

static inline void put_global(blob *b, const char *module, const char *name)
{
    PUT(b, "c");
    blob_add(b, module, strlen(module));
    PUT(b, "\n");
    blob_add(b, name, strlen(name));
    PUT(b, "\n");
}

static inline void put_sizes(blob *b, size_t rank, const int64_t *sizes)
{
    PUT(b, "(");
    for (size_t i = 0; i < rank; i++)
        put_int(b, sizes[i]);
    PUT(b, "t");
}

typedef struct pickled_tensor {
    const char *storage, *key; /* storage: its class, "FloatStorage" */
    int64_t elements, offset;
    size_t rank;
    int64_t shape[10], stride[10];
} pickled_tensor;

static inline void put_tensor(blob *b, const pickled_tensor *t)
{
    put_global(b, "torch._utils", "_rebuild_tensor_v2");
    PUT(b, "((");
    put_string(b, "storage");
    put_global(b, "torch", t->storage);
    put_string(b, t->key);
    put_string(b, "cuda:0");
    put_int(b, t->elements);
    PUT(b, "tQ");
    put_int(b, t->offset);
    put_sizes(b, t->rank, t->shape);
    put_sizes(b, t->rank, t->stride);
    PUT(b, "\x89"); // requires_grad
    put_global(b, "collections", "OrderedDict");
    PUT(b, ")RtR");
}

/* A state_dict of one tensor "w". */
static inline blob pickle_of_tensor(const pickled_tensor *t)
{
    blob b = {0};
    PUT(&b, "\x80\x02}");
    put_string(&b, "w");
    put_tensor(&b, t);
    PUT(&b, "s.");
    return b;
}

typedef struct zip_entry {
    const char *name;
    const void *bytes;
    size_t size;
    bool deflate;
} zip_entry;

/* The bytes of a zip of these entries. */
static inline blob make_zip(const zip_entry *entries, size_t count)
{
    zip_error_t why;
    zip_stat_t st;
    blob b = {0};
    zip_error_init(&why);
    zip_source_t *out = zip_source_buffer_create(NULL, 0, 0, &why);
    assert_non_null(out);
    zip_source_keep(out);
    zip_t *zip = zip_open_from_source(out, ZIP_TRUNCATE, &why);
    assert_non_null(zip);
    for (size_t i = 0; i < count; i++) {
        zip_source_t *in = zip_source_buffer(zip, entries[i].bytes, entries[i].size, 0);
        zip_int64_t index = zip_file_add(zip, entries[i].name, in, 0);
        assert_true(index >= 0);
        zip_set_file_compression(zip, (zip_uint64_t)index, entries[i].deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE,
                                 0);
    }
    assert_int_equal(zip_close(zip), 0);
    assert_int_equal(zip_source_open(out), 0);
    assert_int_equal(zip_source_stat(out, &st), 0);
    b.size = (size_t)st.size;
    b.data = malloc(b.size);
    assert_int_equal(zip_source_read(out, b.data, b.size), b.size);
    zip_source_close(out);
    zip_source_free(out);
    zip_error_fini(&why);
    return b;
}

/* A checkpoint of this pickle and one storage, "0". Frees the pickle. */
static inline blob make_pth(blob pickle, const void *storage, size_t storage_size)
{
    const zip_entry entries[] = {{"m/data.pkl", pickle.data, pickle.size, false},
                                 {"m/data/0", storage, storage_size, false},
                                 {"m/version", "3\n", 2, false}};
    blob b = make_zip(entries, 3);
    free(pickle.data);
    return b;
}

/* The storage of most tests, and the view of all of it. */
static const float twelve[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const pickled_tensor whole = {"FloatStorage", "0", 12, 0, 1, {12}, {1}};

/* Opens a checkpoint, named m.pth in messages, whose bytes the caller keeps. */
static inline checkpoint *open_pth(const blob *b)
{
    checkpoint *cp = NULL;
    mohvit_error err;
    expect_ok(checkpoint_open_memory(&cp, b->data, b->size, "m.pth", NULL, NULL, &err), &err);
    return cp;
}

/* Opening it and reading its tensors must fail so. Frees it. */
static inline void expect_pth_fault(blob b, const char *key, mohvit_status status, const char *cause)
{
    mohvit_error err;
    expect_error(open_and_read(b.data, b.size, "m.pth", key, &err), &err, status, "m.pth", cause);
    free(b.data);
}

#endif
