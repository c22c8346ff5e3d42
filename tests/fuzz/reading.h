/* reading.h - all that is done with a checkpoint before the network is made of it. */
#ifndef MOHVIT_FUZZ_READING_H
#define MOHVIT_FUZZ_READING_H

#include <stddef.h>
#include <stdint.h>

/* Opens, describes, checks against the config, and reads every tensor that is not large. */
void fuzz_read_checkpoint(const uint8_t *data, size_t size, const char *key);

#endif
