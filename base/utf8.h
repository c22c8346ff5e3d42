/* utf8.h - whether bytes are UTF-8, without overlong forms, surrogates or what lies beyond U+10FFFF. */
#ifndef MOHVIT_UTF8_H
#define MOHVIT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character that text (length) begins with; 0 where it begins with none. */
size_t utf8_length(const char *text, size_t length);
bool utf8_valid(const char *text, size_t length);

/* Whether the character of `length` bytes steers a terminal (C0, DEL, C1) or turns the direction of text
 * (U+202E and its like): what it stands in may look like something else. */
bool utf8_steers(const char *character, size_t length);

/* U+… of the character of `length` bytes. */
uint32_t utf8_code(const char *character, size_t length);

#endif
