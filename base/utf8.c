#include "base/utf8.h"

size_t utf8_length(const char *text, size_t length)
{
    static const struct {
        unsigned char first, last;         // of the lead byte
        unsigned char second, second_last; // what may follow it: no overlong forms, no surrogates
        size_t length;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    const unsigned char *byte = (const unsigned char *)text;
    for (size_t i = 0; length && i < sizeof forms / sizeof *forms; i++) {
        if (byte[0] < forms[i].first || byte[0] > forms[i].last)
            continue;
        if (forms[i].length > length)
            return 0;
        if (forms[i].length > 1 && (byte[1] < forms[i].second || byte[1] > forms[i].second_last))
            return 0;
        for (size_t k = 2; k < forms[i].length; k++)
            if (byte[k] < 0x80 || byte[k] > 0xbf)
                return 0;
        return forms[i].length;
    }
    return 0;
}

bool utf8_valid(const char *text, size_t length)
{
    size_t at = 0, next = 0;
    while (at < length && (next = utf8_length(text + at, length - at)))
        at += next;
    return at == length;
}

uint32_t utf8_code(const char *character, size_t length)
{
    static const unsigned char lead[] = {0x7f, 0x7f, 0x1f, 0x0f,
                                         0x07}; // the bits of the first byte that count
    uint32_t code = (unsigned char)character[0] & lead[length];
    for (size_t i = 1; i < length; i++)
        code = code << 6 | ((unsigned char)character[i] & 0x3f);
    return code;
}

bool utf8_steers(const char *character, size_t length)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0x00, 0x1f},     {0x7f, 0x9f},     {0x061c, 0x061c},
                  {0x200e, 0x200f}, {0x202a, 0x202e}, {0x2066, 0x2069}};
    uint32_t code = utf8_code(character, length);
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}
