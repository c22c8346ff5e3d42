/* dataset_idx.c - MNIST's format: "idx:IMAGES,LABELS", either with gzip or without. */
#include "imgio/dataset/dataset_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* A picture's name and place take 100 bytes of memory: a packed file cannot ask for far more of them than it
 * has bytes. MNIST's pictures take 160 each when packed. */
#define MAX_ITEMS_PACKED(file_size) (65536 + (uint64_t)(file_size))

/* A gzip file cannot be read at a place, so its pixels are kept: MNIST's 60,000 pictures take 47 MB. */
#define MAX_KEPT  ((size_t)1 << 30)
#define MAX_ITEMS ((size_t)1 << 28)
#define MAX_SIDE  4096

typedef struct idx_header {
    size_t rank, shape[4];
    size_t bytes; /* of the header */
    size_t item;  /* bytes of an item */
} idx_header;

typedef struct idx_state {
    size_t height, width, channels;
    size_t first;    /* byte of the file where pixels begin */
    uint8_t *pixels; /* of a .gz */
} idx_state;

static mohvit_status idx_error(gzFile f, const char *path, mohvit_error *err)
{
    int code;
    const char *cause = gzerror(f, &code);
    if (code == Z_ERRNO)
        return error_errno(err, "%s", path);
    if (code == Z_MEM_ERROR)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory to read it", path);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
        size_t length = strlen(path);
        if (!strncmp(cause, path, length) && !strncmp(cause + length, ": ", 2)) // zlib names the file, too
            cause += length + 2;
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s", path, cause);
    }
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: is cut short", path);
}

static mohvit_status read_exactly(gzFile f, void *dst, size_t size, const char *path, mohvit_error *err)
{
    return gzfread(dst, 1, size, f) == size ? MOHVIT_OK : idx_error(f, path, err);
}

static mohvit_status read_header(idx_header *h, gzFile f, const char *path, mohvit_error *err)
{
    uint8_t magic[4], sides[16] = {0};
    mohvit_status status = read_exactly(f, magic, 4, path, err);
    if (status)
        return status;
    if (magic[0] || magic[1] || magic[3] < 1 || magic[3] > 4)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: not an idx file: it begins %02x %02x %02x %02x", path,
                         magic[0], magic[1], magic[2], magic[3]);
    if (magic[2] != 0x08)
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED, "%s: values of type 0x%02x; expected bytes (0x08)",
                         path, magic[2]);
    *h = (idx_header){.rank = magic[3], .bytes = 4 + 4 * (size_t)magic[3], .item = 1};
    status = read_exactly(f, sides, 4 * h->rank, path, err);
    for (size_t i = 0; !status && i < h->rank; i++) {
        const uint8_t *b = sides + 4 * i;
        h->shape[i] = (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
        size_t most = i ? MAX_SIDE : MAX_ITEMS;
        if (!h->shape[i] || h->shape[i] > most)
            return error_set(err, MOHVIT_ERROR_LIMIT, "%s: dimension %zu is %zu; expected 1 to %zu", path, i,
                             h->shape[i], most);
        if (i)
            h->item *= h->shape[i];
    }
    return status;
}

/* What is packed ends with a checksum, which counts only where reading comes to it. */
static mohvit_status check_packed_end(gzFile f, const char *path, mohvit_error *err)
{
    int code = Z_OK, n;
    uint8_t more;
    if (gzdirect(f))
        return MOHVIT_OK;
    n = gzread(f, &more, 1);
    gzerror(f, &code);
    if (n > 0)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: holds more than its header tells", path);
    return n < 0 || code != Z_OK || !gzeof(f) ? idx_error(f, path, err) : MOHVIT_OK;
}

/* Grows with what arrives, so that a header that lies costs nothing. */
static mohvit_status keep(uint8_t **out, gzFile f, size_t size, const char *path, mohvit_error *err)
{
    uint8_t *bytes = NULL;
    mohvit_status status = MOHVIT_OK;
    if (size > MAX_KEPT)
        return error_set(err, MOHVIT_ERROR_LIMIT,
                         "%s: %zu bytes once unpacked; at most %zu are kept: gunzip it first", path, size,
                         MAX_KEPT);
    for (size_t have = 0, room = 64 << 10; !status && have < size; room *= 2) {
        room = room < size ? room : size;
        uint8_t *more = realloc(bytes, room);
        if (!more) {
            status = error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, size);
            break;
        }
        bytes = more;
        status = read_exactly(f, bytes + have, room - have, path, err);
        have = room;
    }
    if (!status)
        status = check_packed_end(f, path, err);
    if (status)
        free(bytes);
    else
        *out = bytes;
    return status;
}

static mohvit_status open_gz(gzFile *f, const char *path, mohvit_error *err)
{
    errno = 0;
    *f = gzopen(path, "rbe");
    if (*f) {
        gzbuffer(*f, 128 << 10); // a failure leaves the smaller one
        return MOHVIT_OK;
    }
    return errno ? error_errno(err, "%s", path)
                 : error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory to read it", path);
}

/* *labels (count) */
static mohvit_status read_labels(uint8_t **labels, const char *path, size_t count, mohvit_error *err)
{
    gzFile f;
    idx_header h;
    mohvit_status status = open_gz(&f, path, err);
    if (status)
        return status;
    status = read_header(&h, f, path, err);
    if (!status && (h.rank != 1 || h.shape[0] != count))
        status = error_set(err, MOHVIT_ERROR_MISMATCH,
                           "%s: %zu label%s in %zu dimension%s; expected %zu in 1, "
                           "one for each picture",
                           path, h.shape[0], plural(h.shape[0]), h.rank, plural(h.rank), count);
    if (!status)
        status = keep(labels, f, count, path, err);
    gzclose(f);
    return status;
}

static mohvit_status check_shape(idx_state *state, const idx_header *h, const char *path, mohvit_error *err)
{
    bool colour = h->rank == 4 && h->shape[3] == 3;
    if (h->rank != 3 && !colour)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: %zu dimension%s; expected pictures: (count, height, width), or with 3 channels",
                         path, h->rank, plural(h->rank));
    state->height = h->shape[1];
    state->width = h->shape[2];
    state->channels = colour ? 3 : 1;
    state->first = h->bytes;
    return MOHVIT_OK;
}

static mohvit_status keep_packed(idx_state *state, const idx_header *h, gzFile f, const char *path,
                                 mohvit_error *err)
{
    struct stat st;
    if (stat(path, &st))
        return error_errno(err, "%s", path);
    if (h->shape[0] > MAX_ITEMS_PACKED(st.st_size))
        return error_set(err, MOHVIT_ERROR_LIMIT,
                         "%s: %zu pictures in %lld packed bytes; at most %llu are read: gunzip it first",
                         path, h->shape[0], (long long)st.st_size,
                         (unsigned long long)MAX_ITEMS_PACKED(st.st_size));
    return keep(&state->pixels, f, h->shape[0] * h->item, path, err);
}

static mohvit_status open_plain(dataset_source *s, const idx_header *h, const char *path, mohvit_error *err)
{
    struct stat st;
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st))
        return error_errno(err, "%s", path);
    uint64_t expected = h->bytes + (uint64_t)h->shape[0] * h->item;
    if ((uint64_t)st.st_size >= expected)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: is cut short: %llu byte%s; expected %llu", path,
                     (unsigned long long)st.st_size, plural((uint64_t)st.st_size),
                     (unsigned long long)expected);
}

/* All items are called by their numbers and are of one size: only a check of their pixels tells one data set
 * from another. f is where pixels begin, unless they are kept. */
static mohvit_status add_items(dataset_source *s, const idx_header *h, gzFile f, const char *path,
                               const uint8_t *labels, mohvit_error *err)
{
    const uint8_t *pixels = ((const idx_state *)s->state)->pixels;
    uint8_t *next = pixels ? NULL : malloc(h->item);
    mohvit_status status = pixels || next ? MOHVIT_OK : source_no_memory(s, err);
    for (size_t i = 0; !status && i < h->shape[0]; i++) {
        char name[24];
        int length = snprintf(name, sizeof name, "%zu", i);
        found_item item = {
            .name = arena_copy(s->strings, name, (size_t)length),
            .class_index = labels ? labels[i] : CLASS_NONE,
            .size = h->item,
            .place = i,
        };
        if (!pixels && (status = read_exactly(f, next, h->item, path, err)))
            break;
        item.check = (uint32_t)crc32_z(0, pixels ? pixels + i * h->item : next, h->item);
        status = item.name ? source_add(s, &item, err) : source_no_memory(s, err);
    }
    free(next);
    return status;
}

static mohvit_status scan_files(dataset_source *s, const char *images, const char *label_path,
                                mohvit_error *err)
{
    gzFile f;
    idx_header h;
    idx_state *state = s->state;
    uint8_t *labels = NULL;
    mohvit_status status = open_gz(&f, images, err);
    if (status)
        return status;
    status = read_header(&h, f, images, err);
    if (!status)
        status = check_shape(state, &h, images, err);
    if (!status)
        status = gzdirect(f) ? open_plain(s, &h, images, err) : keep_packed(state, &h, f, images, err);
    if (!status && label_path)
        status = read_labels(&labels, label_path, h.shape[0], err);
    if (!status)
        status = add_items(s, &h, f, images, labels, err);
    gzclose(f);
    free(labels);
    return status;
}

bool source_names_idx(const char *argument, char **images, const char **labels)
{
    if (strncmp(argument, "idx:", 4) != 0)
        return false;
    *images = strdup(argument + 4);
    char *comma = *images ? strchr(*images, ',') : NULL;
    *labels = comma ? comma + 1 : NULL;
    if (comma)
        *comma = '\0';
    return true;
}

const char *source_idx_partner(const char *path)
{
    gzFile f;
    idx_header h;
    if (open_gz(&f, path, NULL))
        return NULL;
    mohvit_status status = read_header(&h, f, path, NULL);
    gzclose(f);
    if (status)
        return NULL;
    return h.rank == 1 ? "where this is LABELS" : "where this is IMAGES";
}

static mohvit_status scan_idx(dataset_source *s, mohvit_error *err)
{
    char *images = NULL;
    const char *labels;
    mohvit_status status = MOHVIT_OK;
    s->state = calloc(1, sizeof(idx_state));
    if (!s->state || !source_names_idx(s->argument, &images, &labels) || !images) {
        status = source_no_memory(s, err);
    } else {
        s->argument = arena_copy(s->strings, images, strlen(images));
        status = s->argument ? source_set_prefix(s, "#", err) : source_no_memory(s, err);
        s->labels = labels ? arena_copy(s->strings, labels, strlen(labels)) : NULL;
        if (!status && labels && !s->labels)
            status = source_no_memory(s, err);
        if (!status)
            status = scan_files(s, images, labels, err);
    }
    free(images);
    return status;
}

static mohvit_status read_idx(const dataset_source *s, const dataset_item *item, sample *out,
                              mohvit_error *err)
{
    const idx_state *state = s->state;
    size_t pixels = state->width * state->height, bytes = pixels * state->channels;
    uint8_t *rgb = malloc(pixels * 3);
    if (!rgb)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu pixels", pixels);
    uint8_t *stored = rgb + pixels * 3 - bytes; // gray values wait at the end of what they are spread over
    mohvit_status status = MOHVIT_OK;
    if (state->pixels)
        memcpy(stored, state->pixels + item->place * bytes, bytes);
    else
        status = sample_read_bytes(s->fd, state->first + item->place * bytes, stored, bytes, err);
    for (size_t i = 0; state->channels == 1 && i < pixels; i++)
        rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = stored[i];
    if (status)
        free(rgb);
    else
        *out = (sample){rgb, pixels * 3, state->width, state->height};
    return status;
}

static void close_idx(dataset_source *s)
{
    idx_state *state = s->state;
    if (state)
        free(state->pixels);
    free(state);
}

const source_kind source_idx = {NULL, scan_idx, read_idx, close_idx};
