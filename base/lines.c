#include "base/lines.h"

#include "base/file_io.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

#define MAX_LINE ((size_t)64 << 10)
#define BUFFER   (MAX_LINE + 4096) // a line and more

static const int end_bytes[] = {
    [LINES_NEWLINE] = '\n', [LINES_ZERO] = '\0', [LINES_EITHER] = -1, [LINES_ESCAPED] = '\n'};

static mohvit_status begin(line_reader *r, int fd, const char *path, line_end end, mohvit_error *err)
{
    *r = (line_reader){
        .fd = fd, .path = path, .end = end_bytes[end], .a_list = true, .escaped = end == LINES_ESCAPED};
    r->line = malloc(MAX_LINE + 1);
    return r->line ? MOHVIT_OK : error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory to read it", path);
}

const char *lines_title(const char *path)
{
    return strcmp(path, "-") ? path : "standard input";
}

mohvit_status lines_open(line_reader *r, const char *path, line_end end, mohvit_error *err)
{
    int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    *r = (line_reader){0};
    if (fd < 0)
        return error_errno(err, "%s", path);
    mohvit_status status = begin(r, fd, lines_title(path), end, err);
    if (!status && !(r->buffer = malloc(BUFFER)))
        status = error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory to read it", path);
    r->bytes = r->buffer;
    return status;
}

mohvit_status lines_open_text(line_reader *r, const char *text, size_t size, const char *name,
                              mohvit_error *err)
{
    mohvit_status status = begin(r, -1, name, LINES_NEWLINE, err);
    r->bytes = text;
    r->filled = size;
    r->at_end = true;
    r->a_list = false;
    return status;
}

/* Reads more, behind what has not been taken; waits for it. */
static void fill(line_reader *r)
{
    ssize_t n = -1;
    r->filled -= r->at;
    memmove(r->buffer, r->buffer + r->at, r->filled);
    r->at = 0;
    do
        n = read(r->fd, r->buffer + r->filled, BUFFER - r->filled);
    while (n < 0 && errno == EINTR);
    r->failure = n < 0 ? errno : 0;
    r->at_end = n <= 0;
    r->filled += n > 0 ? (size_t)n : 0;
}

const char *lines_peek(line_reader *r, size_t *size)
{
    while (r->filled - r->at < *size && !r->at_end)
        fill(r);
    *size = r->filled - r->at < *size ? r->filled - r->at : *size;
    return r->bytes + r->at;
}

/* EOF: there is none. */
static int next_byte(line_reader *r)
{
    if (r->at == r->filled && !r->at_end)
        fill(r);
    return r->at < r->filled ? (unsigned char)r->bytes[r->at++] : EOF;
}

static bool holds_line(const line_reader *r)
{
    const char *rest = r->bytes + r->at;
    size_t size = r->filled - r->at;
    if (r->end >= 0)
        return memchr(rest, r->end, size) != NULL;
    return memchr(rest, '\n', size) || memchr(rest, '\0', size);
}

bool lines_ready(line_reader *r)
{
    struct pollfd input = {.fd = r->fd, .events = POLLIN};
    while (!r->at_end && !holds_line(r) && r->filled - r->at <= MAX_LINE) {
        if (poll(&input, 1, 0) <= 0)
            return false;
        fill(r);
    }
    return true;
}

static bool ends_line(line_reader *r, int c)
{
    if (r->end < 0 && (c == '\n' || c == '\0'))
        r->end = c;
    return c == r->end;
}

static bool is_text(const char *line, size_t length)
{
    bool text = true;
    for (size_t i = 0, n = 1; text && i < length; i += n) {
        n = utf8_length(line + i, length - i);
        text = n && (line[i] == '\t' || !utf8_steers(line + i, n));
    }
    return text;
}

/* line: what stands before the zero byte, of `length` bytes; ends: zero bytes might end lines, if the caller
 * asked for that. */
static mohvit_status refuse_zero(const char *name, size_t number, const char *line, size_t length, bool ends,
                                 mohvit_error *err)
{
    bool utf16 = number == 1 && length >= 2 && (!memcmp(line, "\xff\xfe", 2) || !memcmp(line, "\xfe\xff", 2));
    if (utf16)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: is UTF-16; expected UTF-8", name);
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: line %zu: a zero byte; expected text%s", name, number,
                     ends ? ". -0 (--null) reads lists whose lines end with zero bytes" : "");
}

/* Whether the first line, of `length` bytes so far, was to end with a zero byte, and ends with a newline, or
 * is too long and has some: the list is one of ordinary lines. */
static bool lacks_zeros(const line_reader *r, size_t length)
{
    if (r->end || r->number != 1 || !length)
        return false;
    return r->line[length - 1] == '\n' || (length == MAX_LINE && memchr(r->line, '\n', length));
}

static mohvit_status refuse_line(const line_reader *r, size_t length, mohvit_error *err)
{
    if (lacks_zeros(r, length))
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: newlines and no zero byte; expected lines that end with zero bytes, which -0 "
                         "(--null) reads: leave it out",
                         r->path);
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: line %zu: more than %zu bytes", r->path, r->number,
                     MAX_LINE);
}

/* Two zero bytes side by side, or what is no text before one, are of a file of another kind. */
static mohvit_status refuse_zero_in(const line_reader *r, size_t length, mohvit_error *err)
{
    bool doubled = r->at < r->filled && !r->bytes[r->at];
    bool begins = r->number == 1 && !length;
    bool ends = r->a_list && !doubled && !begins && is_text(r->line, length);
    return refuse_zero(r->path, r->number, r->line, length, ends, err);
}

/* Takes off what editors put around a line: the byte-order mark, and the CR of CRLF. */
static size_t tidy(line_reader *r, size_t length)
{
    if (!r->end)
        return length;
    while (length && r->line[length - 1] == '\r')
        length--;
    if (r->number != 1 || length < 3 || memcmp(r->line, BYTE_ORDER_MARK, 3) != 0)
        return length;
    memmove(r->line, r->line + 3, length - 3);
    return length - 3;
}

mohvit_status lines_next(line_reader *r, bool *more, mohvit_error *err)
{
    int c = 0;
    *more = false;
    while (c != EOF) {
        size_t length = 0;
        r->number++;
        while ((c = next_byte(r)) != EOF && !ends_line(r, c)) {
            if (!c)
                return refuse_zero_in(r, length, err);
            if (length == MAX_LINE)
                return refuse_line(r, length, err);
            r->line[length++] = (char)c;
        }
        if (c == EOF && r->failure) {
            errno = r->failure;
            return error_errno(err, "%s", r->path);
        }
        if (c == EOF && lacks_zeros(r, length))
            return refuse_line(r, length, err);
        length = tidy(r, length);
        r->line[length] = '\0';
        if (length) {
            *more = true;
            return MOHVIT_OK;
        }
    }
    return MOHVIT_OK;
}

void lines_close(line_reader *r)
{
    if (r->fd > STDIN_FILENO)
        close(r->fd);
    free(r->line);
    free(r->buffer);
}

bool lines_trim(line_reader *r)
{
    size_t length = strlen(r->line);
    while (length && strchr(" \t\r", r->line[length - 1]))
        length--;
    r->line[length] = '\0';
    return length != 0;
}

/* The byte that "\\" or "\xNN" stands for and how many bytes it takes; 0 where it is neither. NUL is no byte
 * of a name. */
static size_t read_escape(unsigned char *byte, const char *text, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    if (length >= 2 && text[1] == '\\') {
        *byte = '\\';
        return 2;
    }
    if (length < 4 || text[1] != 'x')
        return 0;
    const char *high = memchr(digits, text[2], 16), *low = memchr(digits, text[3], 16);
    if (!high || !low)
        return 0;
    *byte = (unsigned char)((high - digits) << 4 | (low - digits));
    return *byte ? 4 : 0;
}

mohvit_status lines_name(const line_reader *r, char *text, size_t *length, mohvit_error *err)
{
    size_t written = 0, taken = 1;
    for (size_t i = 0; r->escaped && i < *length; i += taken) {
        unsigned char byte = (unsigned char)text[i];
        taken = byte == '\\' ? read_escape(&byte, text + i, *length - i) : 1;
        if (!taken)
            return error_set(err, MOHVIT_ERROR_FORMAT,
                             "%s: line %zu: \"%.*s\": expected a name as results write it, with --escaped: a "
                             "backslash is followed by another, or by x and two digits",
                             r->path, r->number, (int)(*length < 200 ? *length : 200), text);
        text[written++] = (char)byte;
    }
    if (r->escaped)
        *length = written;
    return MOHVIT_OK;
}

static mohvit_status check_zeros(const char *text, size_t size, const char *name, mohvit_error *err)
{
    const char *zero = memchr(text, '\0', size), *line = text, *end;
    size_t number = 1;
    if (!zero)
        return MOHVIT_OK;
    for (; (end = memchr(line, '\n', (size_t)(zero - line))); line = end + 1)
        number++;
    return refuse_zero(name, number, line, (size_t)(zero - line), false, err);
}

mohvit_status lines_load(char **out, size_t *size, const char *path, size_t max, const char **name,
                         mohvit_error *err)
{
    char *text;
    *name = lines_title(path);
    mohvit_status status = strcmp(path, "-") ? file_load_path(&text, size, path, max, err)
                                             : file_load(&text, size, STDIN_FILENO, max, *name, err);
    if (status)
        return status;
    status = check_zeros(text, *size, *name, err);
    if (status) {
        free(text);
        return status;
    }
    if (!strncmp(text, BYTE_ORDER_MARK, 3))
        memmove(text, text + 3, (*size -= 3) + 1);
    *out = text;
    return MOHVIT_OK;
}

void lines_where(const line_reader *r, char *out, size_t size)
{
    snprintf(out, size, "%.*s: line %zu", (int)size - 40, r->path, r->number);
}
