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
    struct jpeg_source_mgr source;
    jmp_buf escape; /* libjpeg's only way out of an error */
    const encoded *in;
    image *out;
    unsigned *orientation;
    mohvit_error *err;
    mohvit_status status;
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

/* Warnings: of stray bytes, but also of data that make no sense, which libjpeg fills in. Pillow takes what
 * comes, and so do the scores that were published with it. */
static void on_message(j_common_ptr cinfo, int level)
{
    (void)cinfo;
    (void)level;
}

/* ---- Notes ------------------------------------------------------------------------------------- */

/* A segment's content. */
typedef struct segment {
    uint8_t marker;
    const uint8_t *data;
    size_t size;
} segment;

static size_t big_endian(const uint8_t *at, size_t bytes)
{
    size_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static bool begins(const segment *s, size_t at, const char *text, size_t size)
{
    return at <= s->size && size <= s->size - at && memcmp(s->data + at, text, size) == 0;
}

/* Photoshop's blocks: "8BIM", number, name, size, content. Pillow falls over one that ends before its name.
 */
static bool lacks_a_name(const segment *s)
{
    enum { RESOLUTION = 0x3ed, RESOLUTION_SIZE = 14 };
    size_t at = 14;
    while (begins(s, at, "8BIM", 4) && s->size - at >= 6) {
        size_t number = big_endian(s->data + at + 4, 2), name = at + 6;
        if (name == s->size)
            return true;
        at = name + 1 + s->data[name];
        at += at % 2;
        if (at > s->size || s->size - at < 4)
            return false;
        size_t size = big_endian(s->data + at, 4);
        at += 4;
        if (number == RESOLUTION && (size < RESOLUTION_SIZE || s->size - at < RESOLUTION_SIZE))
            return false;
        at += size + (at + size) % 2;
    }
    return false;
}

/* Of EXIF, where Pillow looks for the resolution. */
static bool has_half_a_header(const segment *s)
{
    static const char *const orders[] = {"MM\0*", "II*\0", "MM*\0", "II\0*", "MM\0+", "II+\0"};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        if (begins(s, 6, orders[i], 4))
            return s->size < 6 + 8 || orders[i][2] == '+';
    return false;
}

typedef struct notes {
    bool resolution, exif, profile; /* seen: a resolution, EXIF, a profile without its numbers */
} notes;

/* The notes before the first scan say nothing of the pixels, but Pillow refuses a file over some of them:
 * why, or NULL. */
static const char *look_at(notes *n, const segment *s)
{
    bool exif = s->marker == 0xe1 && begins(s, 0, "Exif\0", 5);
    if (s->marker == 0xe0 && begins(s, 0, "JFIF", 4)) {
        n->resolution = n->resolution || (s->size >= 12 && s->data[7] == 1);
        return s->size < 7 ? "JFIF without a version" : NULL;
    }
    if (exif && !n->exif) {
        n->exif = true;
        return !n->resolution && has_half_a_header(s) ? "EXIF without a whole header" : NULL;
    }
    if (s->marker == 0xe2 && begins(s, 0, "ICC_PROFILE\0", 12))
        n->profile = n->profile || s->size < 14;
    if (s->marker == 0xed && begins(s, 0, "Photoshop 3.0\0", 14) && lacks_a_name(s))
        return "a note of Photoshop without a name";
    if (s->marker == 0xee && begins(s, 0, "Adobe", 5) && s->size < 7)
        return "Adobe's note without a version";
    bool frame = s->marker >= 0xc0 && s->marker <= 0xcf && s->marker != 0xc4 && s->marker != 0xcc;
    return frame && n->profile ? "a colour profile without numbers" : NULL;
}

static bool stands_alone(uint8_t marker)
{
    return marker == 0xc8 || (marker >= 0xd0 && marker <= 0xd9) || (marker >= 0xf0 && marker <= 0xfd);
}

/* What Pillow refuses before libjpeg sees the file; NULL: nothing. */
static const char *refused_notes(const encoded *in)
{
    notes n = {0};
    const uint8_t *at = in->data + 2, *end = in->data + in->size;
    for (;;) {
        while (at < end && *at != 0xff)
            at++;
        while (at < end && *at == 0xff)
            at++;
        if (at == end)
            return "is cut short";
        segment s = {.marker = *at++};
        if (s.marker == 0 || stands_alone(s.marker))
            continue;
        if (s.marker < 0xc0)
            return "a marker that means nothing";
        size_t size = end - at < 2 ? 0 : big_endian(at, 2);
        if ((size_t)(end - at) < (size < 2 ? 2 : size))
            return "is cut short";
        s.data = at + 2;
        s.size = size < 2 ? 0 : size - 2;
        const char *why = look_at(&n, &s);
        if (why || s.marker == 0xda)
            return why;
        at += 2 + s.size;
    }
}

/* ---- The source -------------------------------------------------------------------------------- */

/* libjpeg's own source ends each file with a marker, and so reads half a picture. This one says that more
 * data may come, as Pillow's does: all rows that the data have are read, and one that they lack is noticed.
 */
static boolean on_empty(j_decompress_ptr cinfo)
{
    (void)cinfo;
    return FALSE;
}

static void on_skip(j_decompress_ptr cinfo, long bytes)
{
    struct jpeg_source_mgr *source = cinfo->src;
    size_t size = bytes < 0 ? 0 : (size_t)bytes;
    size = size < source->bytes_in_buffer ? size : source->bytes_in_buffer;
    source->next_input_byte += size;
    source->bytes_in_buffer -= size;
}

static void on_start_or_end(j_decompress_ptr cinfo)
{
    (void)cinfo;
}

/* ---- Reading ----------------------------------------------------------------------------------- */

/* Called along the scans of a picture that has many. */
static void on_progress(j_common_ptr cinfo)
{
    reader *r = cinfo->client_data;
    if (r->cinfo.input_scan_number <= MAX_SCANS)
        return;
    r->status =
        error_set(r->err, MOHVIT_ERROR_LIMIT, "%s: JPEG with more than %d scans", r->in->name, MAX_SCANS);
    longjmp(r->escape, 1);
}

static void refuse(reader *r, const char *why)
{
    r->status = error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: JPEG: %s", r->in->name, why);
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

/* false where the data end before. */
static bool read_rows(reader *r)
{
    struct jpeg_decompress_struct *cinfo = &r->cinfo;
    JSAMPROW cmyk = NULL;
    if (cinfo->out_color_space == JCS_CMYK)
        cmyk = cinfo->mem->alloc_large((j_common_ptr)cinfo, JPOOL_IMAGE, (size_t)cinfo->output_width * 4);
    while (cinfo->output_scanline < cinfo->output_height) {
        uint8_t *rgb = r->out->rgb + (size_t)cinfo->output_scanline * r->out->width * 3;
        JSAMPROW row = cmyk ? cmyk : rgb;
        if (!jpeg_read_scanlines(cinfo, &row, 1))
            return false;
        if (cmyk)
            cmyk_row(rgb, cmyk, r->out->width);
    }
    return true;
}

/* Everything that libjpeg may leave by longjmp. Its defaults are what spec 4 asks for: accurate integer IDCT,
 * triangle chroma upsampling. */
static void read_picture(reader *r)
{
    struct jpeg_decompress_struct *cinfo = &r->cinfo;
    jpeg_create_decompress(cinfo);
    cinfo->progress = &r->progress;
    r->source.next_input_byte = r->in->data;
    r->source.bytes_in_buffer = r->in->size;
    cinfo->src = &r->source;
    jpeg_save_markers(cinfo, JPEG_APP0 + 1, 0xffff);
    if (jpeg_read_header(cinfo, TRUE) == JPEG_SUSPENDED) {
        refuse(r, "is cut short");
        return;
    }
    r->status =
        image_alloc(r->out, r->in->name, &r->in->limits, cinfo->image_width, cinfo->image_height, r->err);
    if (r->status)
        return;
    read_orientation(r);
    cinfo->out_color_space = cinfo->num_components == 4 ? JCS_CMYK : JCS_RGB;
    if (!jpeg_start_decompress(cinfo) || !read_rows(r))
        refuse(r, "is cut short");
    else
        jpeg_finish_decompress(cinfo); // looks for the end marker, which may be missing
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
    r.source = (struct jpeg_source_mgr){.init_source = on_start_or_end,
                                        .fill_input_buffer = on_empty,
                                        .skip_input_data = on_skip,
                                        .resync_to_restart = jpeg_resync_to_restart,
                                        .term_source = on_start_or_end};
    const char *why = refused_notes(in);
    if (why) {
        refuse(&r, why);
        return r.status;
    }
    read_picture_guarded(&r);
    jpeg_destroy_decompress(&r.cinfo);
    return r.status;
}
