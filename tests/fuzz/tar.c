/* Tars of pictures, in folders or with .cls files beside them. */
#include "data_set.h"
#include "fuzz.h"
#include "mend.h"

FUZZ_MEND(mend_tar)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_open_data_set(fuzz_file(0, data, size), true);
    return 0;
}
