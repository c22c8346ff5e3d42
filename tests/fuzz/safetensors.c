/* Checkpoints in safetensors: header, metadata, config, labels, tensors. */
#include "fuzz.h"
#include "mend.h"
#include "reading.h"

FUZZ_MEND(mend_safetensors)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_read_checkpoint(data, size, NULL);
    return 0;
}
