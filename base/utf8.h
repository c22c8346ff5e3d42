/* utf8.h - whether bytes are UTF-8, without overlong forms, surrogates or what lies beyond U+10FFFF. */
#ifndef MOHVIT_UTF8_H
#define MOHVIT_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character that text (length) begins with; 0 where it begins with none. */
size_t utf8_length(const char *text, size_t length);
bool utf8_valid(const char *text, size_t length);

#endif
