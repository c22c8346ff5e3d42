/* fuzz.h - what the fuzz targets share. Each is a file that gives its input to one reader of ours, as a
 * caller would, and holds what comes back against what the reader promises. libFuzzer has main. */
#ifndef MOHVIT_FUZZ_H
#define MOHVIT_FUZZ_H

#include "base/error.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* Ends the process, as a finding, unless a failure comes with a message that names `name` (NULL: anything)
 * and holds no control bytes. Returns status. */
mohvit_status fuzz_checked(mohvit_status status, const mohvit_error *err, const char *name);

/* Ends the process, as a finding. */
void fuzz_require(bool holds, const char *what);

/* The path of a file in memory that holds these bytes; one for each slot, 0 or 1, the same at every call. */
const char *fuzz_file(size_t slot, const uint8_t *data, size_t size);

/* A copy of exactly these bytes, so that a sanitizer sees a read past them; to be freed. */
void *fuzz_copy(const uint8_t *data, size_t size);

/* Takes warnings; reads them to their end. */
void fuzz_warn(void *user, const char *message);

/* Makes the target's mutations pass a checksum: after each, mend(data, size) returns the size. */
#define FUZZ_MEND(mend)                                                                                      \
    size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)               \
    {                                                                                                        \
        size = LLVMFuzzerMutate(data, size, max_size);                                                       \
        return seed % 8 ? mend(data, size) : size; /* wrong checksums are input, too */                      \
    }

#endif
