/* preprocess.h - from decoded pixels to the tensor that the network takes (spec 4). */
#ifndef MOHVIT_PREPROCESS_H
#define MOHVIT_PREPROCESS_H

#include "imgio/image.h"
#include "imgio/stb_resize.h"

#define PREPROCESS_MAX_JSON ((size_t)64 << 10)

typedef struct preprocess {
    double crop_pct; /* shorter side = ⌊size / crop_pct⌋; 0: not given, spec 4's rule by size */
    float mean[3], std[3];
    resize_filter filter;
} preprocess;

#define PREPROCESS_MAX_SIZE     ((size_t)4096) /* side of a crop */
#define PREPROCESS_MAX_CROP_PCT 4.0            /* above 1 the picture is smaller than the crop, and padded */

/* The ImageNet defaults of spec 4. */
extern const preprocess preprocess_default;

/* Reads {"crop_pct", "mean", "std", "interpolation"}; missing keys take the defaults, unknown ones are an
 * error. name (a file, a checkpoint) is used in messages. *out is set on success alone. */
mohvit_status preprocess_from_json(preprocess *out, const char *json, size_t length, const char *name,
                                   mohvit_error *err);
/* The same, but what the JSON lacks stays as it is in *p. */
mohvit_status preprocess_update(preprocess *p, const char *json, size_t length, const char *name,
                                mohvit_error *err);

/* The JSON that preprocess_from_json reads back to the same values; malloc'd, NULL without memory. */
char *preprocess_to_json(const preprocess *p);

/* Resizes and crops rgb (height, width, 3; rows `stride` bytes apart) to crop (size, size, 3), bytes without
 * gaps. Works in less than 64 MiB, whatever the size of the picture. */
mohvit_status preprocess_crop(const preprocess *p, const uint8_t *rgb, size_t width, size_t height,
                              size_t stride, size_t size, uint8_t *crop, mohvit_error *err);

/* tensor (size, size, 3) floats = (crop/255 − mean)/std: the layout of every map in the network, row-major
 * pixels by channels. */
void preprocess_normalise(const preprocess *p, const uint8_t *crop, size_t size, float *tensor);

#endif
