#include "tools/program/head_pictures.h"

#include "base/memory.h"
#include "imgio/image.h"
#include "imgio/preprocess.h"
#include "tools/figures/html.h"
#include "tools/program/complain.h"
#include "tools/program/pictures_again.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>

#define SIDE    72 /* pixels of a small picture */
#define QUALITY 80

// ---- Small pictures --------------------------------------------------------------------------------

typedef struct {
    struct jpeg_error_mgr errors;
    jmp_buf escape; /* libjpeg's only way out of an error, which here is a lack of memory */
} jpeg_failure;

static void on_error(j_common_ptr c)
{
    longjmp(((jpeg_failure *)c->err)->escape, 1);
}

/* A JPEG of crop (SIDE, SIDE, 3), malloc'd. */
static unsigned char *encode(uint8_t *crop, unsigned long *size)
{
    struct jpeg_compress_struct c;
    jpeg_failure failure;
    unsigned char *out = NULL;
    c.err = jpeg_std_error(&failure.errors);
    failure.errors.error_exit = on_error;
    if (setjmp(failure.escape))
        or_die(NULL);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out, size);
    c.image_width = c.image_height = SIDE;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, QUALITY, TRUE);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < SIDE) {
        JSAMPROW row = crop + (size_t)c.next_scanline * SIDE * 3;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    return out;
}

/* As large as the shorter side allows, from the middle; turned as its EXIF says, or not, as it was counted.
 */
static mohvit_status shrink(bytes *out, const sample *s, bool turned, const char *name, mohvit_error *err)
{
    const preprocess whole = {.crop_pct = 1, .filter = RESIZE_BICUBIC};
    uint8_t crop[SIDE * SIDE * 3];
    unsigned long size = 0;
    image img = {s->width, s->height, s->bytes, false};
    mohvit_status status =
        s->width ? MOHVIT_OK : image_decode(&img, s->bytes, s->size, name, NULL, turned, err);
    if (!status)
        status = preprocess_crop(&whole, img.rgb, img.width, img.height, img.width * 3, SIDE, crop, err);
    if (!s->width && !status)
        image_free(&img);
    if (status)
        return status;
    unsigned char *jpeg = encode(crop, &size);
    bytes_put(out, jpeg, size);
    free(jpeg);
    return MOHVIT_OK;
}

// ---- The page --------------------------------------------------------------------------------------

typedef struct pictures_page {
    const head_pictures *p;
    bytes *small; /* (pictures) JPEGs of those that are shown */
    bool turned;
} pictures_page;

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>Pictures that use each head most</title>\n"
    "<link rel=\"icon\" href=\"data:,\">\n<style>\n"
    "body { margin: 0 auto; padding: 0 16px 40px; max-width: 1800px; "
    "font: 15px/1.5 system-ui, \"Liberation Sans\", \"DejaVu Sans\", sans-serif; }\n"
    "h2 { border-bottom: 1px solid GrayText; }\n"
    ".heads { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)); gap: "
    "20px; }\n"
    "h3 { margin: 0 0 6px; font-size: 16px; }\n"
    "ol { display: flex; flex-wrap: wrap; gap: 8px; margin: 0; padding: 0; list-style: none; }\n"
    "li { width: 72px; font-size: 12px; line-height: 1.3; overflow-wrap: anywhere; }\n"
    "img { display: block; width: 72px; height: 72px; }\n"
    ":target h3 { text-decoration: underline; }\n"
    "section section { break-inside: avoid; }\n"
    "</style>\n</head>\n<body>\n<main>\n<h1>Pictures that use each head most</h1>\n";

static void put_format(bytes *t, const char *format, ...) PRINTF_LIKE(2, 3);

static void put_format(bytes *t, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    or_die(vasprintf(&text, format, args) < 0 ? NULL : text);
    va_end(args);
    html_put(t, text);
    free(text);
}

static void put_picture(bytes *t, const pictures_page *page, const routing_block *b, size_t h, size_t picture)
{
    const per_image *from = page->p->from;
    int64_t c = from->class_of[picture];
    double load = (double)per_image_active(from, picture, b->index, h) / (double)b->tokens;
    char *name = or_die(per_image_name(from, picture));
    const bytes *small = &page->small[picture];
    html_put(t, "<li title=\"");
    html_text(t, name);
    html_put(t, "\"><img alt=\"");
    html_text(t, name);
    html_put(t, "\" src=\"data:image/jpeg;base64,");
    html_base64(t, small->data, small->size);
    put_format(t, "\">%.3f<br>", load);
    char *class = or_die(strdup(c < 0 ? "no class" : from->names.name[c]));
    class[strcspn(class, ",")] = '\0'; // the first of its names
    html_text(t, class);
    free(class);
    html_put(t, "</li>\n");
    free(name);
}

static void put_head(bytes *t, const pictures_page *page, const routing_block *b, size_t h, size_t *top)
{
    char name[ROUTING_HEAD_NAME];
    size_t count = per_image_top(top, page->p->each, page->p->from, b->index, h);
    routing_head_name(name, b, h);
    put_format(t, "<section id=\"%s-%s\"><h3>%s</h3>\n", b->name, name, name);
    html_put(t, count ? "<ol>\n" : "<p>No picture uses it.</p>");
    for (size_t i = 0; i < count; i++)
        put_picture(t, page, b, h, top[i]);
    html_put(t, count ? "</ol></section>\n" : "</section>\n");
}

static void put_page(bytes *t, const pictures_page *page, size_t *top)
{
    const head_pictures *p = page->p;
    html_put(t, head);
    put_format(t,
               "<p>Of each routed head the %zu picture%s with the most tokens that selected it; the number "
               "is their part of the "
               "picture's tokens. <a href=\"%s\">Back to the head load</a></p>\n",
               p->each, plural(p->each), p->back);
    for (size_t i = 0; i < p->from->routing.count; i++) {
        const routing_block *b = &p->from->routing.blocks[i];
        if (!routing_routes(b))
            continue;
        put_format(t, "<section><h2>Block %s</h2>\n<div class=\"heads\">\n", b->name);
        for (size_t h = b->shared; h < b->heads; h++)
            put_head(t, page, b, h, top);
        html_put(t, "</div></section>\n");
    }
    html_put(t, "</main>\n</body>\n</html>\n");
}

// ---- All of it -------------------------------------------------------------------------------------

/* The pictures of all heads: used (count). */
static void list_used(bool *used, const head_pictures *p, size_t *top)
{
    for (size_t i = 0; i < p->from->routing.count; i++) {
        const routing_block *b = &p->from->routing.blocks[i];
        for (size_t h = b->shared; routing_routes(b) && h < b->heads; h++)
            for (size_t n = per_image_top(top, p->each, p->from, i, h); n--;)
                used[top[n]] = true;
    }
}

static mohvit_status take_picture(void *user, size_t picture, const char *name, const sample *s,
                                  mohvit_error *err)
{
    const pictures_page *page = user;
    return s ? shrink(&page->small[picture], s, page->turned, name, err) : err->status;
}

mohvit_status head_pictures_build(bytes *page, const head_pictures *p, mohvit_error *err)
{
    pictures_page all = {
        .p = p,
        .small = or_die(calloc(p->from->count + 1, sizeof *all.small)),
        .turned = json_is_true(json_object_get(p->from->provenance, "exif_orientation")),
    };
    size_t *top = or_die(memory_alloc(p->each, sizeof *top));
    bool *used = or_die(calloc(p->from->count + 1, sizeof *used));
    *page = (bytes){0};
    list_used(used, p, top);
    mohvit_status status = pictures_again(p->from, p->from_name, used, take_picture, &all, err);
    if (!status)
        put_page(page, &all, top);
    or_die(page->failed ? NULL : page);
    for (size_t i = 0; i < p->from->count; i++)
        bytes_free(&all.small[i]);
    free(all.small);
    free(used);
    free(top);
    return status;
}
