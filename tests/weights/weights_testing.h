/* weights_testing.h - what the suites of the weights module share. Include it after cmocka.h. */
#ifndef MOHVIT_WEIGHTS_TESTING_H
#define MOHVIT_WEIGHTS_TESTING_H

#include "weights/checkpoint.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct blob {
    unsigned char *data;
    size_t size;
} blob;

static inline void blob_add(blob *b, const void *data, size_t size)
{
    b->data = realloc(b->data, b->size + size + 1);
    assert_non_null(b->data);
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
}

static inline blob blob_read(const char *path)
{
    blob b = {0};
    unsigned char part[65536];
    size_t n;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        blob_add(&b, part, n);
    fclose(f);
    return b;
}

static inline void blob_write(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* A failure must name the file and the cause. */
static inline void expect_error(mohvit_status status, const mohvit_error *err, mohvit_status expected,
                                const char *file, const char *cause)
{
    if (status != expected || !strstr(err->message, file) || !strstr(err->message, cause))
        fail_msg("status %d (expected %d), message \"%s\", expected to name \"%s\" and \"%s\"", (int)status,
                 (int)expected, status ? err->message : "", file, cause);
    assert_int_equal(err->status, expected);
}

static inline void expect_ok(mohvit_status status, const mohvit_error *err)
{
    if (status)
        fail_msg("%s", err ? err->message : "it failed");
}

/* Reads every tensor that can be read, as it is stored; the first failure, if there is one. */
static inline mohvit_status read_every_tensor(checkpoint *cp, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < checkpoint_count(cp); i++) {
        const tensor_info *t = checkpoint_tensor(cp, i);
        void *values = memory_alloc(t->elements, tensor_dtype_size(t->dtype));
        assert_non_null(values);
        status = checkpoint_read_raw(cp, t, values, err);
        free(values);
    }
    return status;
}

/* Opens a copy of exactly these bytes, so that a sanitizer sees a read past them, and reads every tensor. */
static inline mohvit_status open_and_read(const void *data, size_t size, const char *name, const char *key,
                                          mohvit_error *err)
{
    unsigned char *copy = malloc(size ? size : 1);
    checkpoint *cp = NULL;
    assert_non_null(copy);
    if (size)
        memcpy(copy, data, size);
    mohvit_status status = checkpoint_open_memory(&cp, copy, size, name, key, NULL, err);
    if (!status)
        status = read_every_tensor(cp, err);
    checkpoint_close(cp);
    free(copy);
    return status;
}

/* A tensor of an open checkpoint as float32; free it. */
static inline float *read_tensor(checkpoint *cp, const char *name)
{
    mohvit_error err;
    const tensor_info *t = checkpoint_find(cp, name);
    assert_non_null(t);
    float *values = memory_alloc(t->elements, sizeof *values);
    assert_non_null(values);
    expect_ok(checkpoint_read_f32(cp, t, values, &err), &err);
    return values;
}

/* An empty directory for a test's files; leave_scratch removes it, and fails if the test left anything in it.
 */
static inline void enter_scratch(char path[64])
{
    strcpy(path, "/tmp/mohvit-test-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static inline void leave_scratch(const char *path)
{
    assert_int_equal(rmdir(path), 0);
}

#endif
