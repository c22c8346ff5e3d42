#include "tools/program/head_pictures.h"

#include "base/memory.h"
#include "imgio/dataset/dataset.h"
#include "imgio/preprocess.h"
#include "tools/figures/html.h"
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/outputs_check.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* As large as the shorter side allows, from the middle. */
static mohvit_status shrink(bytes *out, const sample *s, const char *name, mohvit_error *err)
{
    const preprocess whole = {.crop_pct = 1, .filter = RESIZE_BICUBIC};
    uint8_t crop[SIDE * SIDE * 3];
    unsigned long size = 0;
    image img = {s->width, s->height, s->bytes, false};
    mohvit_status status =
        s->width ? MOHVIT_OK : image_decode(&img, s->bytes, s->size, name, NULL, true, err);
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

// ---- Finding them again ----------------------------------------------------------------------------

/* A picture that some head uses most. */
typedef struct wanted {
    char *name; /* as results write it; owned */
    size_t picture;
    bytes small; /* empty: not read yet */
} wanted;

typedef struct search {
    const head_pictures *p;
    wanted *all; /* (count), by name */
    size_t count;
} search;

static int by_name(const void *a, const void *b)
{
    const wanted *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->picture > y->picture) - (x->picture < y->picture);
}

static mohvit_status take_item(search *s, const dataset *d, size_t index, mohvit_error *err)
{
    const dataset_item *item = dataset_item_at(d, index);
    char *before = escape(dataset_prefix(d, 0), ESCAPE_NAME, NULL), *name;
    char *behind = escape(item->name, ESCAPE_NAME, NULL);
    or_die(asprintf(&name, "%s%s", before, behind) < 0 ? NULL : name);
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(s->all[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    mohvit_status status = MOHVIT_OK;
    for (; !status && low < s->count && !strcmp(s->all[low].name, name); low++) {
        if (s->all[low].small.size)
            continue;
        sample pixels;
        status = dataset_read(d, index, &pixels, err);
        if (status)
            break;
        status = shrink(&s->all[low].small, &pixels, name, err);
        sample_free(&pixels);
    }
    free(before);
    free(behind);
    free(name);
    return status;
}

/* All that are wanted of a tar, or of MNIST's pictures. image_ext as of dataset_options. */
static mohvit_status take_source(search *s, char *argument, const char *image_ext, mohvit_error *err)
{
    const labels *names = &s->p->from->names;
    const class_names classes = {names->count, names->name, names->id};
    dataset_options options = {.unlabelled = true, .skip_other_formats = true, .image_ext = image_ext};
    class_table *table = NULL;
    dataset *d = NULL;
    mohvit_status status = class_table_create(&table, &classes, err);
    options.classes = table;
    if (!status)
        status = dataset_open(&d, &argument, 1, &options, err);
    for (size_t i = 0; !status && i < dataset_count(d); i++)
        status = take_item(s, d, i, err);
    if (d)
        dataset_close(d);
    class_table_destroy(table);
    return status;
}

/* A backslash begins \\ or \xNN, as escape writes them. */
static void unescape(char *name)
{
    char *to = name;
    for (const char *from = name; *from; to++) {
        unsigned byte = 0;
        if (from[0] == '\\' && from[1] == 'x' && strspn(from + 2, "0123456789abcdef") >= 2) {
            sscanf(from + 2, "%2x", &byte);
            *to = (char)byte;
            from += 4;
        } else {
            from += from[0] == '\\' && from[1] == '\\';
            *to = *from++;
        }
    }
    *to = '\0';
}

/* Cuts a path at the end of what is a file, "val.tar/x.jpg" or "images.gz#7": whether any part of it is. */
static bool cut_at_file(char *path, char *mark)
{
    struct stat st;
    for (size_t n = strlen(path); n--;) {
        *mark = path[n];
        if (*mark != '/' && *mark != '#')
            continue;
        path[n] = '\0';
        if (!stat(path, &st) && S_ISREG(st.st_mode))
            return true;
    }
    return false;
}

static mohvit_status take_file(wanted *w, const char *path, mohvit_error *err)
{
    sample file;
    mohvit_error why;
    mohvit_status status = sample_read_path(path, &file, &why);
    if (status)
        return error_set(err, status, "%s: %s", w->name, why.message);
    status = shrink(&w->small, &file, w->name, err);
    sample_free(&file);
    return status;
}

/* What follows the first dot of the names of a tar's pictures, as --image-ext lists it: malloc'd. */
static char *extensions_in(const per_image *from, const char *tar)
{
    enum { MOST = 32 }; // as many as anyone gives
    size_t kinds = 0, length = strlen(tar);
    char *list = or_die(strdup(","));
    for (size_t i = 0; i < from->count && kinds < MOST; i++) {
        char *name = or_die(per_image_name(from, i)), *entry, *longer;
        unescape(name);
        bool inside = !strncmp(name, tar, length) && name[length] == '/';
        const char *dot = inside ? strchr(strrchr(name, '/'), '.') : NULL;
        or_die(asprintf(&entry, ",%s,", dot ? dot : "") < 0 ? NULL : entry);
        if (dot && !strstr(list, entry)) {
            or_die(asprintf(&longer, "%s%s", list, entry + 1) < 0 ? NULL : longer);
            free(list);
            list = longer;
            kinds++;
        }
        free(entry);
        free(name);
    }
    return list;
}

/* With --image-ext a tar's samples were counted whose pictures have other endings than the usual ones. */
static mohvit_status take_tar(search *s, const wanted *w, char *tar, mohvit_error *err)
{
    mohvit_error of_samples;
    mohvit_status status = take_source(s, tar, NULL, err);
    if (w->small.size)
        return status;
    char *extensions = extensions_in(s->p->from, tar);
    if (!take_source(s, tar, extensions, &of_samples) && w->small.size)
        status = MOHVIT_OK;
    free(extensions);
    return status;
}

static mohvit_status take(search *s, wanted *w, mohvit_error *err)
{
    struct stat st;
    char *path = or_die(strdup(w->name)), *argument = NULL, mark = 0;
    unescape(path);
    mohvit_status status = MOHVIT_OK;
    if (!stat(path, &st)) {
        status = take_file(w, path, err);
    } else if (cut_at_file(path, &mark)) {
        or_die(asprintf(&argument, "%s%s", mark == '#' ? "idx:" : "", path) < 0 ? NULL : argument);
        status = mark == '#' ? take_source(s, argument, NULL, err) : take_tar(s, w, argument, err);
    }
    free(argument);
    free(path);
    if (status || w->small.size)
        return status;
    return error_set(
        err, MOHVIT_ERROR_IO,
        "%s: names %s, which is not there; expected the pictures where they were when it was made",
        s->p->from_name, w->name);
}

int head_pictures_check_outputs(const per_image *from, const char *name)
{
    int status = PARSED;
    for (size_t i = 0; i < from->count && status == PARSED; i++) {
        struct stat st;
        char *path = or_die(per_image_name(from, i)), mark;
        unescape(path);
        if (!stat(path, &st) || cut_at_file(path, &mark))
            status = outputs_check_file(name, path);
        free(path);
    }
    return status;
}

// ---- The page --------------------------------------------------------------------------------------

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>Pictures that use each head most</title>\n"
    "<link rel=\"icon\" href=\"data:,\">\n<style>\n"
    "body { margin: 0 auto; padding: 0 16px 40px; max-width: 1180px; "
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

static void put_picture(bytes *t, const search *s, const routing_block *b, size_t h, size_t picture)
{
    const per_image *from = s->p->from;
    int64_t c = from->class_of[picture];
    double load = (double)per_image_active(from, picture, b->index, h) / (double)b->tokens;
    char *name = or_die(per_image_name(from, picture));
    const wanted key = {.name = name, .picture = picture},
                 *w = bsearch(&key, s->all, s->count, sizeof key, by_name);
    html_put(t, "<li title=\"");
    html_text(t, name);
    html_put(t, "\"><img alt=\"");
    html_text(t, name);
    html_put(t, "\" src=\"data:image/jpeg;base64,");
    html_base64(t, w->small.data, w->small.size);
    put_format(t, "\">%.3f<br>", load);
    char *class = or_die(strdup(c < 0 ? "no class" : from->names.name[c]));
    class[strcspn(class, ",")] = '\0'; // the first of its names
    html_text(t, class);
    free(class);
    html_put(t, "</li>\n");
    free(name);
}

static void put_head(bytes *t, const search *s, const routing_block *b, size_t h, size_t *top)
{
    char name[ROUTING_HEAD_NAME];
    size_t count = per_image_top(top, s->p->each, s->p->from, b->index, h);
    routing_head_name(name, b, h);
    put_format(t, "<section id=\"%s-%s\"><h3>%s</h3>\n", b->name, name, name);
    html_put(t, count ? "<ol>\n" : "<p>No picture uses it.</p>");
    for (size_t i = 0; i < count; i++)
        put_picture(t, s, b, h, top[i]);
    html_put(t, count ? "</ol></section>\n" : "</section>\n");
}

static void put_page(bytes *t, const search *s, size_t *top)
{
    const head_pictures *p = s->p;
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
            put_head(t, s, b, h, top);
        html_put(t, "</div></section>\n");
    }
    html_put(t, "</main>\n</body>\n</html>\n");
}

// ---- All of it -------------------------------------------------------------------------------------

/* The pictures of all heads, each once. */
static void list_wanted(search *s, size_t *top)
{
    const per_image *from = s->p->from;
    bool *used = or_die(calloc(from->count + 1, sizeof *used));
    for (size_t i = 0; i < from->routing.count; i++) {
        const routing_block *b = &from->routing.blocks[i];
        for (size_t h = b->shared; routing_routes(b) && h < b->heads; h++)
            for (size_t n = per_image_top(top, s->p->each, from, i, h); n--;) {
                s->count += !used[top[n]];
                used[top[n]] = true;
            }
    }
    s->all = or_die(calloc(s->count + 1, sizeof *s->all));
    for (size_t i = 0, n = 0; i < from->count; i++)
        if (used[i])
            s->all[n++] = (wanted){.name = or_die(per_image_name(from, i)), .picture = i};
    qsort(s->all, s->count, sizeof *s->all, by_name);
    free(used);
}

mohvit_status head_pictures_build(bytes *page, const head_pictures *p, mohvit_error *err)
{
    search s = {.p = p};
    size_t *top = or_die(memory_alloc(p->each, sizeof *top));
    mohvit_status status = MOHVIT_OK;
    *page = (bytes){0};
    list_wanted(&s, top);
    for (size_t i = 0; !status && i < s.count; i++)
        if (!s.all[i].small.size)
            status = take(&s, &s.all[i], err);
    if (!status)
        put_page(page, &s, top);
    or_die(page->failed ? NULL : page);
    for (size_t i = 0; i < s.count; i++) {
        free(s.all[i].name);
        bytes_free(&s.all[i].small);
    }
    free(s.all);
    free(top);
    return status;
}
