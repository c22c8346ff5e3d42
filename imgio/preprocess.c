#include "imgio/preprocess.h"

#include "base/json_bounded.h"
#include "base/memory.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const preprocess preprocess_default = {
    .crop_pct = 0,
    .mean = {0.485f, 0.456f, 0.406f},
    .std = {0.229f, 0.224f, 0.225f},
    .filter = RESIZE_BICUBIC,
};

/* ---- JSON ------------------------------------------------------------------------------------ */

static const char *const filter_names[] = {[RESIZE_BICUBIC] = "bicubic", [RESIZE_BILINEAR] = "bilinear"};

/* A failed key: expected says what its value has to be. */
static mohvit_status error_key(mohvit_error *err, const char *name, const char *key, const char *expected)
{
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: preprocess: \"%s\" must be %s", name, key, expected);
}

static bool read_crop_pct(preprocess *p, const json_t *value)
{
    p->crop_pct = json_number_value(value);
    return json_is_number(value) && p->crop_pct > 0 && p->crop_pct <= PREPROCESS_MAX_CROP_PCT;
}

static bool read_triple(float triple[3], const json_t *value)
{
    if (json_array_size(value) != 3)
        return false;
    for (size_t c = 0; c < 3; c++) {
        const json_t *element = json_array_get(value, c);
        triple[c] = (float)json_number_value(element);
        if (!json_is_number(element) || !isfinite(triple[c]))
            return false;
    }
    return true;
}

static bool read_std(preprocess *p, const json_t *value)
{
    return read_triple(p->std, value) && p->std[0] > 0 && p->std[1] > 0 && p->std[2] > 0;
}

static bool read_filter(preprocess *p, const json_t *value)
{
    for (size_t f = 0; f < sizeof filter_names / sizeof *filter_names; f++) {
        if (json_is_string(value) && strcmp(json_string_value(value), filter_names[f]) == 0) {
            p->filter = (resize_filter)f;
            return true;
        }
    }
    return false;
}

static mohvit_status read_key(preprocess *p, const char *key, const json_t *value, const char *name,
                              mohvit_error *err)
{
    if (strcmp(key, "crop_pct") == 0)
        return read_crop_pct(p, value) ? MOHVIT_OK : error_key(err, name, key, "a number above 0, at most 4");
    if (strcmp(key, "mean") == 0)
        return read_triple(p->mean, value) ? MOHVIT_OK : error_key(err, name, key, "3 numbers");
    if (strcmp(key, "std") == 0)
        return read_std(p, value) ? MOHVIT_OK : error_key(err, name, key, "3 numbers above 0");
    if (strcmp(key, "interpolation") == 0)
        return read_filter(p, value) ? MOHVIT_OK : error_key(err, name, key, "\"bicubic\" or \"bilinear\"");
    return error_set(err, MOHVIT_ERROR_FORMAT,
                     "%s: preprocess: unknown key \"%s\"; known are crop_pct, mean, std, interpolation", name,
                     key);
}

mohvit_status preprocess_update(preprocess *out, const char *json, size_t length, const char *name,
                                mohvit_error *err)
{
    json_t *root;
    preprocess p = *out;
    mohvit_status status =
        json_load_object(&root, json, length, PREPROCESS_MAX_JSON, name, "preprocess", err);
    if (status)
        return status;
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        status = read_key(&p, key, value, name, err);
        if (status)
            break;
    }
    json_decref(root);
    if (!status)
        *out = p;
    return status;
}

mohvit_status preprocess_from_json(preprocess *out, const char *json, size_t length, const char *name,
                                   mohvit_error *err)
{
    preprocess p = preprocess_default;
    mohvit_status status = preprocess_update(&p, json, length, name, err);
    if (!status)
        *out = p;
    return status;
}

static bool preprocess_equal(const preprocess *a, const preprocess *b)
{
    bool equal = a->crop_pct == b->crop_pct && a->filter == b->filter;
    for (size_t c = 0; c < 3; c++)
        equal = equal && a->mean[c] == b->mean[c] && a->std[c] == b->std[c];
    return equal;
}

char *preprocess_to_json(const preprocess *p)
{
    const float *m = p->mean, *s = p->std;
    json_t *root = json_pack("{s:[fff], s:[fff], s:s}", "mean", m[0], m[1], m[2], "std", s[0], s[1], s[2],
                             "interpolation", filter_names[p->filter]);
    if (!root)
        return NULL;
    char *text = NULL;
    if (p->crop_pct == 0 || json_object_set_new(root, "crop_pct", json_real(p->crop_pct)) == 0) {
        /* As few digits as read back exactly: 0.485 rather than 0.48500001430511475. 17 always do. */
        preprocess back;
        for (size_t digits = 3; digits <= 17; digits++) {
            free(text);
            text = json_dumps(root, JSON_REAL_PRECISION(digits));
            if (!text ||
                (!preprocess_from_json(&back, text, strlen(text), "", NULL) && preprocess_equal(p, &back)))
                break;
        }
    }
    json_decref(root);
    return text;
}

/* ---- Geometry -------------------------------------------------------------------------------- */

/* One side of the picture on its way to the crop. */
typedef struct axis {
    size_t pad;      /* black crop pixels before the picture's */
    size_t first;    /* the source pixels that are handed to stb start here; */
    size_t use, end; /* of them, [use, end) reach the crop */
    stb_axis stb;
} axis;

static uint64_t half_to_even(uint64_t twice)
{
    uint64_t half = twice / 2;
    return half + (twice % 2 && half % 2);
}

/* The crop takes `size` pixels from the middle of `old` pixels resized to `resized`. */
static axis axis_plan(size_t old, uint64_t resized, size_t size, resize_filter filter)
{
    size_t out = resized < size ? (size_t)resized : size;
    uint64_t offset = half_to_even(resized - out);
    double scale = (double)resized / (double)old;
    double support = filter == RESIZE_BICUBIC ? 2 : 1;
    double reach = support * fmax(1, 1 / scale) + 2; /* 2: more than float rounding can move a kernel */
    double use = fmax(0, floor((double)offset / scale - reach));
    double end = fmin((double)old, ceil((double)(offset + out) / scale + reach));

    /* stb sees the whole side, so that the pixels are bitwise those of the full resize, unless the crop needs
     * less than half of it, in a long narrow picture. Then the rest is cut away: stb would touch every pixel
     * of it, and its float positions, which grow with the distance from pixel 0, would drift from Pillow's
     * doubles. */
    bool cut = 2 * (end - use) < (double)old;
    double first = cut ? use : 0, last = cut ? end : (double)old;
    return (axis){
        .pad = (size - out) / 2,
        .first = (size_t)first,
        .use = (size_t)use,
        .end = (size_t)end,
        .stb = {(int)(last - first), (int)out, (float)resized / (float)old,
                (float)((double)offset - first * scale)},
    };
}

/* Of the axis' crop pixels, `count` from `from` on, or as many as there are. */
static axis axis_part(const axis *whole, size_t from, size_t count)
{
    axis part = *whole;
    size_t left = (size_t)whole->stb.out - from;
    part.pad += from;
    part.stb.shift += (float)from;
    part.stb.out = (int)(left < count ? left : count);
    return part;
}

/* The sides after resizing. long = ⌊short · long / short⌋ in integers, as Pillow and torchvision have it. */
static mohvit_status resized_sides(const preprocess *p, size_t width, size_t height, size_t size, uint64_t *w,
                                   uint64_t *h, mohvit_error *err)
{
    if (p->crop_pct == 0 && size >= 384) {
        *w = *h = size;
        return MOHVIT_OK;
    }
    /* size / (224/256) is exact in integers; crop_pct divides as the reference does, in double. */
    double side = p->crop_pct == 0 ? (double)(size * 8 / 7) : floor((double)size / p->crop_pct);
    if (!(side >= 1 && side <= (double)IMAGE_MAX_SIDE))
        return error_set(
            err, MOHVIT_ERROR_LIMIT,
            "preprocess: size %zu / crop_pct %g resizes the shorter side to %g pixels, expected 1 to %zu",
            size, p->crop_pct, side, IMAGE_MAX_SIDE);
    uint64_t shorter = width < height ? width : height;
    *w = (uint64_t)side * width / shorter;
    *h = (uint64_t)side * height / shorter;
    return MOHVIT_OK;
}

static mohvit_status check_arguments(size_t width, size_t height, size_t stride, size_t size,
                                     mohvit_error *err)
{
    if (width == 0 || height == 0 || width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE)
        return error_set(err, MOHVIT_ERROR_LIMIT,
                         "preprocess: %zu x %zu pixels, expected sides from 1 to %zu", width, height,
                         IMAGE_MAX_SIDE);
    if (stride < width * 3)
        return error_set(err, MOHVIT_ERROR_ARGUMENT,
                         "preprocess: stride %zu is shorter than %zu pixels of 3 bytes", stride, width);
    if (size == 0 || size > PREPROCESS_MAX_SIZE)
        return error_set(err, MOHVIT_ERROR_LIMIT, "preprocess: size %zu, expected 1 to %zu", size,
                         PREPROCESS_MAX_SIZE);
    return MOHVIT_OK;
}

/* ---- Resizing -------------------------------------------------------------------------------- */

/* Source rows are widened to RGBA a strip at a time: not one by one, since each call makes stb calculate its
 * kernels anew, which for the axis that is only copied takes it the square of the rows. */
#define STRIP_ROWS  ((size_t)256)
#define STRIP_BYTES ((size_t)16 << 20)

/* Between the two calls the crop's columns stand as high as the picture: a block of columns at a time, which
 * is all of them up to 37 449 rows at a crop of 224. */
#define WIDE_BYTES ((size_t)32 << 20)

static void rgba_from_rgb(uint8_t *rgba, const uint8_t *rgb, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        memcpy(rgba + 4 * i, rgb + 3 * i, 3);
        rgba[4 * i + 3] = 255;
    }
}

static void rgb_from_rgba(uint8_t *rgb, const uint8_t *rgba, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++)
        memcpy(rgb + 3 * i, rgba + 4 * i, 3);
}

static void alpha_reset(uint8_t *rgba, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++)
        rgba[4 * i + 3] = 255;
}

/* rgb (height, width, 3) -> wide (y.stb.in, x.stb.out, 4): resized along the rows, those of [y.use, y.end)
 * only. */
static bool resize_horizontally(const uint8_t *rgb, size_t stride, const axis *x, const axis *y,
                                resize_filter filter, uint8_t *wide)
{
    size_t in = (size_t)x->stb.in, out = (size_t)x->stb.out;
    size_t strip_rows = STRIP_BYTES / (4 * in) + 1;
    if (strip_rows > STRIP_ROWS)
        strip_rows = STRIP_ROWS;
    uint8_t *strip = memory_alloc(strip_rows, 4 * in);
    bool done = strip != NULL;
    for (size_t row = y->use; done && row < y->end; row += strip_rows) {
        size_t rows = y->end - row < strip_rows ? y->end - row : strip_rows;
        for (size_t r = 0; r < rows; r++)
            rgba_from_rgb(strip + r * 4 * in, rgb + (row + r) * stride + 3 * x->first, in);
        uint8_t *to = wide + (row - y->first) * 4 * out;
        done = stb_resize(strip, x->stb, (stb_axis){(int)rows, (int)rows, 1, 0}, filter, to);
        alpha_reset(to, rows * out);
    }
    free(strip);
    return done;
}

/* wide (y.stb.in, x.stb.out, 4) -> the picture's part of crop (size, size, 3). */
static bool resize_vertically(const uint8_t *wide, const axis *x, const axis *y, resize_filter filter,
                              size_t size, uint8_t *crop)
{
    size_t columns = (size_t)x->stb.out, rows = (size_t)y->stb.out;
    uint8_t *rgba = memory_alloc(rows, 4 * columns);
    bool done = rgba && stb_resize(wide, (stb_axis){(int)columns, (int)columns, 1, 0}, y->stb, filter, rgba);
    for (size_t r = 0; done && r < rows; r++)
        rgb_from_rgba(crop + ((y->pad + r) * size + x->pad) * 3, rgba + r * 4 * columns, columns);
    free(rgba);
    return done;
}

/* Both calls, for the crop's columns that x describes. */
static bool resize_columns(const uint8_t *rgb, size_t stride, axis x, const axis *y, resize_filter filter,
                           size_t size, uint8_t *crop)
{
    /* Cleared, though the rows outside [use, end) are never read: untouched pages cost nothing. */
    uint8_t *wide = calloc((size_t)y->stb.in, 4 * (size_t)x.stb.out);
    bool done = wide && resize_horizontally(rgb, stride, &x, y, filter, wide) &&
                resize_vertically(wide, &x, y, filter, size, crop);
    free(wide);
    return done;
}

mohvit_status preprocess_crop(const preprocess *p, const uint8_t *rgb, size_t width, size_t height,
                              size_t stride, size_t size, uint8_t *crop, mohvit_error *err)
{
    uint64_t w = 0, h = 0;
    mohvit_status status = check_arguments(width, height, stride, size, err);
    if (!status)
        status = resized_sides(p, width, height, size, &w, &h, err);
    if (status)
        return status;

    const axis x = axis_plan(width, w, size, p->filter), y = axis_plan(height, h, size, p->filter);
    memset(crop, 0, size * size * 3);
    const size_t columns = (size_t)x.stb.out, block = WIDE_BYTES / (4 * (size_t)y.stb.in) + 1;
    bool done = true;
    for (size_t c = 0; done && c < columns; c += block)
        done = resize_columns(rgb, stride, axis_part(&x, c, block), &y, p->filter, size, crop);
    if (!done)
        return error_set(err, MOHVIT_ERROR_MEMORY, "preprocess: no memory to resize %zu x %zu pixels", width,
                         height);
    return MOHVIT_OK;
}

/* ---- Normalising ----------------------------------------------------------------------------- */

void preprocess_normalise(const preprocess *p, const uint8_t *crop, size_t size, float *tensor)
{
    /* Only 256 values a channel: computed once, in the order and precision of PyTorch. */
    float table[256][3];
    for (size_t v = 0; v < 256; v++)
        for (size_t c = 0; c < 3; c++)
            table[v][c] = ((float)v / 255.0f - p->mean[c]) / p->std[c];
    for (size_t i = 0; i < size * size; i++)
        for (size_t c = 0; c < 3; c++)
            tensor[3 * i + c] = table[crop[3 * i + c]][c];
}
