/* per_image.h - what each head did for each picture of a run (`headload count --per-image`; the file is
 * tools/program/vector_file.h's), and which pictures use a head most. */
#ifndef MOHVIT_PER_IMAGE_H
#define MOHVIT_PER_IMAGE_H

#include "vit/headload/head_load.h"

typedef struct per_image {
    routing_layout routing;
    labels names;        /* of the classes */
    json_t *provenance;  /* object */
    size_t count;        /* pictures */
    int64_t *index;      /* (count) place in all of the data, rising */
    int64_t *xxh64;      /* (count) of the pictures' bytes, to be read as unsigned; NULL: the file has none */
    int64_t *class_of;   /* (count) −1: none */
    int32_t *active;     /* (count, blocks, max_heads): tokens; −1 where a block has fewer heads */
    int64_t *name_start; /* (count + 1) */
    char *picture_names; /* name i from name_start[i] to name_start[i + 1] */
} per_image;

/* Reads all but the gates, and checks shapes and numbers: 4.9 KB a picture of a B model. Files of before
 * pictures were hashed have no xxh64. */
mohvit_status per_image_open(per_image **out, const char *path, mohvit_error *err);
void per_image_free(per_image *p);

/* Whether l is what its rows add up to: the same model, classes, way of counting, and of each class as many
 * pictures and tokens for each head. The names are for messages. */
mohvit_status per_image_check_load(const per_image *p, const head_load *l, const char *name,
                                   const char *l_name, mohvit_error *err);

/* malloc'd; NULL without memory. */
char *per_image_name(const per_image *p, size_t picture);

/* Tokens of a picture that selected the head. */
static inline int32_t per_image_active(const per_image *p, size_t picture, size_t block, size_t head)
{
    return p->active[(picture * p->routing.count + block) * p->routing.max_heads + head];
}

/* top (n) = the pictures that use a head most, by the number of tokens. Of equal ones the lower hash comes
 * first, whatever the data's order, then the earlier picture; those that do not use it are left out. Returns
 * how many there are. */
size_t per_image_top(size_t *top, size_t n, const per_image *p, size_t block, size_t head);

#endif
