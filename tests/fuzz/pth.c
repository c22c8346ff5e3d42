/* Whole files of torch.save. */
#include "fuzz.h"
#include "mend.h"
#include "reading.h"

FUZZ_MEND(mend_zip)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_read_checkpoint(data, size, size % 4 ? NULL : "model");
    return 0;
}
