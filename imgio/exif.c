#include "imgio/exif.h"

#include "base/memory.h"

#include <libexif/exif-data.h>
#include <stdlib.h>
#include <string.h>

/* JPEG's segments hold 64 KiB. The chunks of PNG and WebP may hold anything, but nothing sane is so long. */
#define MAX_EXIF_BYTES ((size_t)1 << 20)

static const uint8_t exif_header[6] = {'E', 'x', 'i', 'f', 0, 0};

static unsigned orientation_tag(ExifData *exif)
{
    ExifEntry *entry = exif_content_get_entry(exif->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
    if (!entry || entry->format != EXIF_FORMAT_SHORT || entry->size < 2)
        return 1;
    unsigned value = exif_get_short(entry->data, exif_data_get_byte_order(exif));
    return value >= 1 && value <= 8 ? value : 1;
}

/* libexif leaves out what it finds no memory for; this tells. */
static _Thread_local bool starved;

static void *exif_alloc(ExifLong size)
{
    void *block = calloc(1, size);
    starved = starved || !block;
    return block;
}

static void *exif_realloc(void *block, ExifLong size)
{
    block = realloc(block, size);
    starved = starved || !block;
    return block;
}

static unsigned parse(const uint8_t *data, size_t size)
{
    starved = false;
    ExifMem *memory = exif_mem_new(exif_alloc, exif_realloc, free);
    ExifData *exif = memory ? exif_data_new_mem(memory) : NULL;
    if (exif)
        exif_data_load_data(exif, data, (unsigned)size);
    unsigned orientation = !exif || starved ? 0 : orientation_tag(exif);
    exif_data_unref(exif);
    exif_mem_unref(memory);
    return orientation;
}

unsigned exif_read_orientation(const uint8_t *data, size_t size)
{
    if (size < sizeof exif_header || size > MAX_EXIF_BYTES)
        return 1;
    /* libexif wants the header that JPEG has, PNG has not and WebP may have. */
    size_t missing = memcmp(data, exif_header, sizeof exif_header) ? sizeof exif_header : 0;
    uint8_t *whole = malloc(missing + size);
    if (!whole)
        return 0;
    memcpy(whole, exif_header, missing);
    memcpy(whole + missing, data, size);
    unsigned orientation = parse(whole, missing + size);
    free(whole);
    return orientation;
}

/* Where orientation's upright picture (of the given size) takes its pixel (0, 0) from in the stored one, and
 * how far the source moves, in pixels, for a step right and a step down. */
typedef struct walk {
    ptrdiff_t start, right, down;
} walk;

static walk walk_of(unsigned orientation, size_t stored_width, size_t stored_height)
{
    ptrdiff_t w = (ptrdiff_t)stored_width, last_column = w - 1, last_row = ((ptrdiff_t)stored_height - 1) * w;
    const walk walks[] = {
        [2] = {last_column, -1, w}, [3] = {last_row + last_column, -1, -w},
        [4] = {last_row, 1, -w},    [5] = {0, w, 1},
        [6] = {last_row, -w, 1},    [7] = {last_row + last_column, -w, -1},
        [8] = {last_column, w, -1},
    };
    return walks[orientation];
}

mohvit_status exif_turn(image *img, unsigned orientation, const char *name, mohvit_error *err)
{
    if (orientation == 0)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory to read its EXIF", name);
    if (orientation == 1)
        return MOHVIT_OK;
    bool sideways = orientation >= 5;
    image up = {.width = sideways ? img->height : img->width, .height = sideways ? img->width : img->height};
    up.rgb = memory_alloc(up.width * up.height, 3);
    if (!up.rgb)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory to turn %zu x %zu pixels", name, img->width,
                         img->height);
    walk from = walk_of(orientation, img->width, img->height);
    uint8_t *to = up.rgb;
    for (size_t y = 0; y < up.height; y++)
        for (size_t x = 0; x < up.width; x++, to += 3)
            memcpy(to, img->rgb + 3 * (from.start + (ptrdiff_t)x * from.right + (ptrdiff_t)y * from.down), 3);
    image_free(img);
    *img = up;
    return MOHVIT_OK;
}
