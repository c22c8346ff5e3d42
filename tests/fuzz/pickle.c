/* Pickles: the machine alone; then as data.pkl of a whole file, beside storages "0" and "1", so that no
 * checksum stands between the bytes and the tensors that are made of them. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reading.h"
#include "weights/pickle.h"

#include <string.h>
#include <zip.h>

enum { FILE_MAX = 1 << 20 };

static void add(zip_t *zip, const char *name, const void *data, size_t size)
{
    zip_source_t *source = zip_source_buffer(zip, data, size, 0);
    zip_int64_t index = source ? zip_file_add(zip, name, source, 0) : -1;
    fuzz_require(index >= 0 && !zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0),
                 "no memory for a zip");
}

/* A zip with this pickle; its size. */
static size_t wrap(uint8_t out[FILE_MAX], const uint8_t *data, size_t size)
{
    static const float storage[2][12] = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {0.5f}};
    zip_error_t why;
    zip_error_init(&why);
    zip_source_t *file = zip_source_buffer_create(NULL, 0, 0, &why);
    zip_t *zip = file ? zip_open_from_source(file, ZIP_TRUNCATE, &why) : NULL;
    fuzz_require(zip, "no memory for a zip");
    zip_source_keep(file);
    add(zip, "x/data.pkl", data, size);
    add(zip, "x/data/0", storage[0], sizeof storage[0]);
    add(zip, "x/data/1", storage[1], 4);
    zip_stat_t st;
    fuzz_require(!zip_close(zip) && !zip_source_stat(file, &st) && !zip_source_open(file), "no zip was made");
    zip_int64_t length = zip_source_read(file, out, FILE_MAX);
    zip_source_close(file);
    zip_source_free(file);
    zip_error_fini(&why);
    return length > 0 ? (size_t)length : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[FILE_MAX];
    pickle *p;
    mohvit_error err;
    uint8_t *copy = fuzz_copy(data, size);
    mohvit_status status = fuzz_checked(unpickle(&p, copy, size, "x.pkl", &err), &err, "x.pkl");
    if (!status)
        pickle_free(p);
    free(copy);
    if (!status && size < FILE_MAX / 2)
        fuzz_read_checkpoint(file, wrap(file, data, size), NULL);
    return 0;
}
