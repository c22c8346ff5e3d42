/* A preprocess in JSON; and, from what it says, a crop of a picture whose sides the input's end gives. */
#include "imgio/preprocess.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_crop(const preprocess *p, size_t width, size_t height)
{
    enum { SIDE = 32 };
    static uint8_t crop[SIDE * SIDE * 3];
    static float tensor[SIDE * SIDE * 3];
    mohvit_error err;
    uint8_t *rgb = calloc(width * height, 3);
    fuzz_require(rgb, "no memory for a picture");
    if (!fuzz_checked(preprocess_crop(p, rgb, width, height, width * 3, SIDE, crop, &err), &err, NULL))
        preprocess_normalise(p, crop, SIDE, tensor);
    free(rgb);
}

/* What is written must read back. */
static void check_written(const preprocess *p)
{
    preprocess again;
    mohvit_error err;
    char *text = preprocess_to_json(p);
    fuzz_require(text && !preprocess_from_json(&again, text, strlen(text), "again", &err),
                 "what was written does not read back");
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    preprocess p;
    mohvit_error err;
    char *json = fuzz_copy(data, size);
    if (!fuzz_checked(preprocess_from_json(&p, json, size, "p.json", &err), &err, "p.json")) {
        check_written(&p);
        check_crop(&p, 1 + (size_t)size % 61, 1 + (size_t)data[0] * size % 97);
    }
    free(json);
    return 0;
}
