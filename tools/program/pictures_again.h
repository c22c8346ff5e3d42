/* pictures_again.h - pictures that a file of `headload count --per-image` names, read again where they were.
 */
#ifndef MOHVIT_PICTURES_AGAIN_H
#define MOHVIT_PICTURES_AGAIN_H

#include "imgio/dataset/sample.h"
#include "vit/headload/per_image.h"

/* Takes a picture. s NULL: it cannot be read, or is not what was counted (MOHVIT_ERROR_MISMATCH); *why says
 * so, status and all. An error that is returned, by way of why, ends the reading. */
typedef mohvit_status picture_taker(void *user, size_t picture, const char *name, const sample *s,
                                    mohvit_error *why);

/* Reads the pictures that are wanted (count), each once, and compares them with the file's hashes, if it has
 * any. from_name begins messages. */
mohvit_status pictures_again(const per_image *from, const char *from_name, const bool *wanted,
                             picture_taker *take, void *user, mohvit_error *err);

/* Warns of a file without hashes. */
void pictures_again_warn(const per_image *from, const char *from_name);

/* PARSED; or EXIT_USAGE and a message, where an output of the command `name` would replace one of its
 * pictures, or the tar or idx file that holds it: of all that it names. */
int pictures_again_check_outputs(const per_image *from, const char *name);

#endif
