/* Whole files of torch.save. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mend.h"
#include "tests/fuzz/reading.h"

FUZZ_MEND(mend_zip)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_read_checkpoint(data, size, size % 4 ? NULL : "model");
    return 0;
}
