#include "imgio/decoder.h"
#include "imgio/exif.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <jpeglib.h>
#include <jerror.h>

/* A progressive file may repeat scans at will, a few bytes for a pass over the whole picture each.
 * Encoders write about ten; a hundred of the largest picture still end within seconds. */
#define MAX_SCANS 100

typedef struct reader {
    struct jpeg_decompress_struct cinfo; /* its client_data points back here */
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape; /* libjpeg's only way out of an error */
    const encoded *in;
    image *out;
    unsigned *orientation;
    mohvit_error *err;
    mohvit_status status;
    unsigned scanned; /* bit c: a scan of component c has begun; kept only where there are many scans */
} reader;

static mohvit_status status_of_code(int code)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
        return MOHVIT_ERROR_MEMORY;
    case JERR_BAD_PRECISION:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
    case JERR_NOT_COMPILED:
    case JERR_ARITH_NOTIMPL:
        return MOHVIT_ERROR_UNSUPPORTED;
    default:
        return MOHVIT_ERROR_FORMAT;
    }
}

static void on_error(j_common_ptr cinfo)
{
    reader *r = cinfo->client_data;
    char text[JMSG_LENGTH_MAX];
    cinfo->err->format_message(cinfo, text);
    r->status = error_set(r->err, status_of_code(cinfo->err->msg_code), "%s: JPEG: %s", r->in->name, text);
    longjmp(r->escape, 1);
}

/* libjpeg only warns where the data end early or make no sense, and fills the rest of the picture with gray.
 * Its other warnings (stray bytes between segments, odd markers) leave the pixels whole. */
static bool warning_spoils_pixels(int code)
{
    return code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE ||
           code == JWRN_ARITH_BAD_CODE || code == JWRN_MUST_RESYNC;
}

static void on_message(j_common_ptr cinfo, int level)
{
    if (level < 0 && warning_spoils_pixels(cinfo->err->msg_code))
        on_error(cinfo);
}

/* Called along the scans of a picture that has many. */
static void on_progress(j_common_ptr cinfo)
{
    reader *r = cinfo->client_data;
    for (int i = 0; i < r->cinfo.comps_in_scan; i++)
        r->scanned |= 1u << r->cinfo.cur_comp_info[i]->component_index;
    if (r->cinfo.input_scan_number <= MAX_SCANS)
        return;
    r->status =
        error_set(r->err, MOHVIT_ERROR_LIMIT, "%s: JPEG with more than %d scans", r->in->name, MAX_SCANS);
    longjmp(r->escape, 1);
}

/* A picture may end after any scan, without a warning; but without some component it would be partly gray. */
static bool every_component_scanned(reader *r)
{
    return !jpeg_has_multiple_scans(&r->cinfo) || r->scanned == (1u << r->cinfo.num_components) - 1;
}

static void read_orientation(reader *r)
{
    static const uint8_t exif[6] = {'E', 'x', 'i', 'f', 0, 0};
    for (jpeg_saved_marker_ptr m = r->cinfo.marker_list; m; m = m->next) {
        if (m->data_length > sizeof exif && memcmp(m->data, exif, sizeof exif) == 0) {
            *r->orientation = exif_read_orientation(m->data, m->data_length);
            return;
        }
    }
}

/* cmyk (width, 4) is stored inverted, as Adobe does and everyone copied, marker or not: R = C*K/255. */
static void cmyk_row(uint8_t *rgb, const uint8_t *cmyk, size_t width)
{
    for (size_t x = 0; x < width; x++)
        for (size_t c = 0; c < 3; c++)
            rgb[3 * x + c] = (uint8_t)((cmyk[4 * x + c] * cmyk[4 * x + 3] + 127) / 255);
}

static void read_rows(reader *r)
{
    struct jpeg_decompress_struct *cinfo = &r->cinfo;
    JSAMPROW cmyk = NULL;
    if (cinfo->out_color_space == JCS_CMYK)
        cmyk = cinfo->mem->alloc_large((j_common_ptr)cinfo, JPOOL_IMAGE, (size_t)cinfo->output_width * 4);
    while (cinfo->output_scanline < cinfo->output_height) {
        uint8_t *rgb = r->out->rgb + (size_t)cinfo->output_scanline * r->out->width * 3;
        JSAMPROW row = cmyk ? cmyk : rgb;
        jpeg_read_scanlines(cinfo, &row, 1);
        if (cmyk)
            cmyk_row(rgb, cmyk, r->out->width);
    }
}

/* Everything that libjpeg may leave by longjmp. Its defaults are what spec 4 asks for: accurate integer IDCT,
 * triangle chroma upsampling. */
static void read_picture(reader *r)
{
    struct jpeg_decompress_struct *cinfo = &r->cinfo;
    jpeg_create_decompress(cinfo);
    cinfo->progress = &r->progress;
    jpeg_mem_src(cinfo, r->in->data, r->in->size);
    if (r->orientation)
        jpeg_save_markers(cinfo, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(cinfo, TRUE);
    r->status =
        image_alloc(r->out, r->in->name, &r->in->limits, cinfo->image_width, cinfo->image_height, r->err);
    if (r->status)
        return;
    if (r->orientation)
        read_orientation(r);
    cinfo->out_color_space = cinfo->num_components == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(cinfo);
    read_rows(r);
    if (every_component_scanned(r))
        jpeg_finish_decompress(cinfo); /* reads up to the end marker: a file without one was cut */
    else
        r->status = error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: JPEG: a colour has no data", r->in->name);
}

/* setjmp's own frame, without a variable of its own: what changes after setjmp lives in the caller's. */
static void read_picture_guarded(reader *r)
{
    if (setjmp(r->escape) == 0)
        read_picture(r);
}

mohvit_status decode_jpeg(image *out, unsigned *orientation, const encoded *in, mohvit_error *err)
{
    reader r = {.in = in, .out = out, .orientation = orientation, .err = err};
    r.cinfo.err = jpeg_std_error(&r.errors);
    r.cinfo.client_data = &r;
    r.errors.error_exit = on_error;
    r.errors.emit_message = on_message;
    r.progress.progress_monitor = on_progress;
    read_picture_guarded(&r);
    jpeg_destroy_decompress(&r.cinfo);
    return r.status;
}
