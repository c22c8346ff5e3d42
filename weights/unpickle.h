/* unpickle.h - reads a pickle of protocol 2 to 5, as torch.save writes them. Nothing is imported and nothing
 * is called: whatever is in the bytes, only the plain values of pickle.h come out. */
#ifndef MOHVIT_UNPICKLE_H
#define MOHVIT_UNPICKLE_H

#include "weights/pickle.h"

#define PICKLE_MAX_BYTES ((size_t)64 << 20)
#define PICKLE_MAX_STACK ((size_t)1 << 20) /* values, and marks */

/* Strings in *out point into bytes, which the caller keeps until pickle_free. name begins every message,
 * which gives the place and the opcode. */
mohvit_status unpickle(pickle **out, const void *bytes, size_t size, const char *name, mohvit_error *err);

#endif
