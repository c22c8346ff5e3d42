/* Checkpoints in safetensors: header, metadata, config, labels, tensors. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mend.h"
#include "tests/fuzz/reading.h"

FUZZ_MEND(mend_safetensors)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_read_checkpoint(data, size, NULL);
    return 0;
}
