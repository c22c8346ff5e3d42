/* Tars of pictures, in folders or with .cls files beside them. */
#include "tests/fuzz/data_set.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mend.h"

FUZZ_MEND(mend_tar)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_open_data_set(fuzz_file(0, data, size), true);
    return 0;
}
