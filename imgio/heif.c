/* heif.c - HEIC and AVIF: what telephones write. Left out of builds without libheif. */
#include "base/library.h"
#include "imgio/decoder.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <libheif/heif.h>

/* ---- The library ----------------------------------------------------------------------------- */

/* libheif is loaded by the first picture that needs it: it comes with encoders, and to begin with it would
 * take 8 ms and 32 MB of address space from every process (Zen 3, `mohvit --version`). */
static struct {
    __typeof__(heif_context_alloc) *context_alloc;
    __typeof__(heif_context_free) *context_free;
    __typeof__(heif_context_set_maximum_image_size_limit) *set_limit;
    __typeof__(heif_context_set_max_decoding_threads) *set_threads;
    __typeof__(heif_context_read_from_memory_without_copy) *read;
    __typeof__(heif_context_get_primary_image_handle) *primary;
    __typeof__(heif_image_handle_get_ispe_width) *stated_width;
    __typeof__(heif_image_handle_get_ispe_height) *stated_height;
    __typeof__(heif_image_handle_release) *handle_release;
    __typeof__(heif_decoding_options_alloc) *options_alloc;
    __typeof__(heif_decoding_options_free) *options_free;
    __typeof__(heif_decode_image) *decode;
    __typeof__(heif_image_get_primary_width) *width;
    __typeof__(heif_image_get_primary_height) *height;
    __typeof__(heif_image_get_plane_readonly) *plane;
    __typeof__(heif_image_release) *image_release;
} heif;

static char load_failure[256]; /* empty: it is there */

static void load(void)
{
    static const library_function functions[] = {
        {&heif.context_alloc, "heif_context_alloc"},
        {&heif.context_free, "heif_context_free"},
        {&heif.set_limit, "heif_context_set_maximum_image_size_limit"},
        {&heif.set_threads, "heif_context_set_max_decoding_threads"},
        {&heif.read, "heif_context_read_from_memory_without_copy"},
        {&heif.primary, "heif_context_get_primary_image_handle"},
        {&heif.stated_width, "heif_image_handle_get_ispe_width"},
        {&heif.stated_height, "heif_image_handle_get_ispe_height"},
        {&heif.handle_release, "heif_image_handle_release"},
        {&heif.options_alloc, "heif_decoding_options_alloc"},
        {&heif.options_free, "heif_decoding_options_free"},
        {&heif.decode, "heif_decode_image"},
        {&heif.width, "heif_image_get_primary_width"},
        {&heif.height, "heif_image_get_primary_height"},
        {&heif.plane, "heif_image_get_plane_readonly"},
        {&heif.image_release, "heif_image_release"},
    };
    library_load("libheif.so.1", functions, sizeof functions / sizeof *functions, load_failure,
                 sizeof load_failure);
}

static mohvit_status load_once(const encoded *in, mohvit_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    if (!*load_failure)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_UNSUPPORTED, "%s: HEIC and AVIF need libheif (Debian: libheif1): %s",
                     in->name, load_failure);
}

/* ---- Pictures -------------------------------------------------------------------------------- */

static mohvit_status error_heif(mohvit_error *err, const encoded *in, struct heif_error why)
{
    mohvit_status status = MOHVIT_ERROR_FORMAT;
    if (why.code == heif_error_Unsupported_filetype || why.code == heif_error_Unsupported_feature)
        status = MOHVIT_ERROR_UNSUPPORTED;
    if (why.code == heif_error_Memory_allocation_error)
        status =
            why.subcode == heif_suberror_Security_limit_exceeded ? MOHVIT_ERROR_LIMIT : MOHVIT_ERROR_MEMORY;
    return error_library(err, status, why.message, "%s: HEIF", in->name);
}

static size_t side(int pixels)
{
    return pixels < 0 ? 0 : (size_t)pixels;
}

/* The decoder went by the data, whose size need not be the one that the file states: libheif itself writes
 * the sides of some turned pictures the wrong way round. */
static mohvit_status copy_rows(image *out, const struct heif_image *img, const encoded *in, mohvit_error *err)
{
    int stride;
    const uint8_t *rows = heif.plane(img, heif_channel_interleaved, &stride);
    if (!rows)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: HEIF: no pixels", in->name);
    mohvit_status status =
        image_alloc(out, in->name, &in->limits, side(heif.width(img)), side(heif.height(img)), err);
    for (size_t y = 0; !status && y < out->height; y++)
        memcpy(out->rgb + 3 * y * out->width, rows + y * (size_t)stride, 3 * out->width);
    return status;
}

/* A file says by itself how it is to be turned and cropped; its EXIF, which may say so once more, does not
 * count. */
static mohvit_status read_pixels(image *out, const struct heif_image_handle *picture, const encoded *in,
                                 mohvit_error *err)
{
    struct heif_image *img = NULL;
    mohvit_status status = image_check_size(in->name, &in->limits, side(heif.stated_width(picture)),
                                            side(heif.stated_height(picture)), err);
    if (status)
        return status;
    struct heif_decoding_options *options = heif.options_alloc();
    if (!options)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: HEIF: no memory", in->name);
    options->ignore_transformations = !in->upright;
    options->convert_hdr_to_8bit = true;
    options->strict_decoding = true;
    options->decoder_id = "aom"; // of those for AVIF: dav1d writes to standard error
    struct heif_error why =
        heif.decode(picture, &img, heif_colorspace_RGB, heif_chroma_interleaved_RGB, options);
    heif.options_free(options);
    status = why.code ? error_heif(err, in, why) : copy_rows(out, img, in, err);
    heif.image_release(img);
    return status;
}

static mohvit_status read_picture(struct heif_context *file, image *out, const encoded *in, mohvit_error *err)
{
    struct heif_image_handle *picture = NULL;
    heif.set_limit(file, (int)IMAGE_MAX_SIDE);
    heif.set_threads(file, 0); // callers decode pictures side by side
    struct heif_error why = heif.read(file, in->data, in->size, NULL);
    if (!why.code)
        why = heif.primary(file, &picture);
    mohvit_status status = why.code ? error_heif(err, in, why) : read_pixels(out, picture, in, err);
    heif.handle_release(picture);
    return status;
}

/* *orientation stays what it is: libheif turns the picture. */
mohvit_status decode_heif(image *out, UNUSED unsigned *orientation, const encoded *in, mohvit_error *err)
{
    mohvit_status status = load_once(in, err);
    if (status)
        return status;
    errno = 0;
    struct heif_context *file = heif.context_alloc();
    if (!file)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: HEIF: no memory", in->name);
    status = read_picture(file, out, in, err);
    heif.context_free(file);
    return status;
}
