/* per_image.h - what each head did for each picture of a run (`headload count --per-image`; the file is
 * tools/program/vector_file.h's), and which pictures use a head most. */
#ifndef MOHVIT_PER_IMAGE_H
#define MOHVIT_PER_IMAGE_H

#include "vit/headload/routing_layout.h"
#include "weights/labels.h"

typedef struct per_image {
    routing_layout routing;
    labels names;        /* of the classes */
    json_t *provenance;  /* object */
    size_t count;        /* pictures */
    int64_t *index;      /* (count) place in all of the data */
    int64_t *class_of;   /* (count) −1: none */
    int32_t *active;     /* (count, blocks, max_heads): tokens; −1 where a block has fewer heads */
    int64_t *name_start; /* (count + 1) */
    char *picture_names; /* name i from name_start[i] to name_start[i + 1] */
} per_image;

/* Reads all but the gates, and checks shapes and numbers: 4.9 KB a picture of a B model. */
mohvit_status per_image_open(per_image **out, const char *path, mohvit_error *err);
void per_image_free(per_image *p);

/* malloc'd; NULL without memory. */
char *per_image_name(const per_image *p, size_t picture);

/* Tokens of a picture that selected the head. */
static inline int32_t per_image_active(const per_image *p, size_t picture, size_t block, size_t head)
{
    return p->active[(picture * p->routing.count + block) * p->routing.max_heads + head];
}

/* top (n) = the pictures that use a head most, by the number of tokens, equal ones by their place in the
 * data; those that do not use it are left out. Returns how many there are. */
size_t per_image_top(size_t *top, size_t n, const per_image *p, size_t block, size_t head);

#endif
