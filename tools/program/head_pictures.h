/* head_pictures.h - a page of the pictures that use each head most, small, which a report links. */
#ifndef MOHVIT_HEAD_PICTURES_H
#define MOHVIT_HEAD_PICTURES_H

#include "base/bytes.h"
#include "vit/headload/per_image.h"

typedef struct head_pictures {
    const per_image *from; /* which names the pictures: they are read again */
    const char *from_name; /* for messages */
    size_t each;           /* pictures of a head, at most */
    const char *back;      /* URL of the report */
} head_pictures;

/* Free *page with bytes_free; it is set on success alone. A head NAME of block S.B is at #S.B-NAME. */
mohvit_status head_pictures_build(bytes *page, const head_pictures *p, mohvit_error *err);

#endif
