#include "tools/figures/html.h"

#include <limits.h>
#include <string.h>

void html_put(bytes *t, const char *markup)
{
    bytes_put(t, markup, strlen(markup));
}

void html_text(bytes *t, const char *text)
{
    static const char *const entities[UCHAR_MAX + 1] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;"};
    for (; *text; text++) {
        const char *entity = entities[(unsigned char)*text];
        bytes_put(t, entity ? entity : text, entity ? strlen(entity) : 1);
    }
}

void html_base64(bytes *t, const unsigned char *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        unsigned group = (unsigned)data[i] << 16 | (left > 1 ? (unsigned)data[i + 1] << 8 : 0) |
                         (left > 2 ? data[i + 2] : 0);
        for (unsigned k = 0; k < 4; k++)
            bytes_put_u8(t, (uint8_t)digits[k <= left ? group >> (18 - 6 * k) & 63 : 64]);
    }
}
