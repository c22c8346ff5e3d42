/* formats.h - the formats of pictures: how their files are called, how they begin, and who decodes them. */
#ifndef MOHVIT_FORMATS_H
#define MOHVIT_FORMATS_H

#include "imgio/decoder.h"

/* Those that have a decoder, for messages. */
#ifdef MOHVIT_HEIF
#define PICTURE_FORMATS "JPEG, PNG, WebP, HEIC or AVIF"
#else
#define PICTURE_FORMATS "JPEG, PNG or WebP"
#endif

typedef struct picture_format {
    const char *name;
    const char *endings; /* of file names, with a blank behind each; NULL: none, or in another row */
    const char *pattern; /* how files begin; '?' stands for any byte */
    size_t length;       /* of the pattern */
    bool tells;          /* who begins so is a picture, whatever its name */
    bool scored;         /* torchvision's ImageFolder takes it, so that published scores count such files */
    decode_fn *decode;   /* NULL: not supported */
} picture_format;

/* The format of a file, by how it begins. Those without a decoder are known so that a message can say what
 * the file is rather than what it is not. NULL: nothing that anyone would call a picture. */
const picture_format *picture_format_find(const uint8_t *data, size_t size);

/* What picture a file is meant as; NULL: none. By the end of its name: "x.jpg", "x.JPEG", and of formats
 * without a decoder, so that such a file is an error and not overlooked. */
const picture_format *picture_format_named(const char *name);

/* Whether a file or folder of this name is the system's and not the user's: hidden (".Trashes", "._a.jpg"),
 * or one of those that systems put beside people's files ("__MACOSX", "lost+found"). Data sets skip it with
 * all in it. */
bool name_is_hidden(const char *name, size_t length);

/* By its content: enough to tell a picture from the text, films and databases that lie beside it. */
#define PICTURE_HEAD 16
const picture_format *picture_format_begun(const uint8_t *head, size_t size);

/* The same of a file. One that is not regular is none, and is not opened; one that may not be opened is none;
 * a system that fails at opening or reading it is an error. */
mohvit_status picture_format_of_file(const picture_format **format, const char *path, mohvit_error *err);

static inline bool picture_named(const char *name)
{
    return picture_format_named(name) != NULL;
}

static inline bool picture_begins(const uint8_t *head, size_t size)
{
    return picture_format_begun(head, size) != NULL;
}

static inline mohvit_status picture_begins_file(bool *begins, const char *path, mohvit_error *err)
{
    const picture_format *format;
    mohvit_status status = picture_format_of_file(&format, path, err);
    *begins = format != NULL;
    return status;
}

#endif
