/* picture_names.h - which files of a folder are meant as pictures. */
#ifndef MOHVIT_PICTURE_NAMES_H
#define MOHVIT_PICTURE_NAMES_H

#include "base/error.h"

/* By the end of the name: "x.jpg", "x.JPEG", and of formats that are not read, so that such a file is an
 * error and not overlooked. */
bool picture_named(const char *name);

/* By content: enough to tell a picture from the text, films and databases that lie beside it. */
#define PICTURE_HEAD 16
bool picture_begins(const uint8_t *head, size_t size);

/* A file that may not be opened is none; a system that fails at opening or reading it is an error. */
mohvit_status picture_begins_file(bool *begins, const char *path, mohvit_error *err);

#endif
