/* MNIST's format. The first two bytes part the input: so many bytes of labels, then the pictures. */
#include "tests/fuzz/data_set.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char argument[80];
    if (size < 2)
        return 0;
    size_t labels = (size_t)data[0] | (size_t)data[1] << 8;
    data += 2;
    size -= 2;
    labels = labels < size ? labels : size;
    const char *images = fuzz_file(0, data + labels, size - labels);
    if (labels)
        snprintf(argument, sizeof argument, "idx:%s,%s", images, fuzz_file(1, data, labels));
    else
        snprintf(argument, sizeof argument, "idx:%s", images);
    fuzz_open_data_set(argument, true);
    return 0;
}
