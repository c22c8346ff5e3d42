/* html.h - pages that are built in memory. */
#ifndef MOHVIT_HTML_H
#define MOHVIT_HTML_H

#include "base/bytes.h"

/* As it is. */
void html_put(bytes *t, const char *markup);
/* As text, or in a quoted attribute. */
void html_text(bytes *t, const char *text);
void html_base64(bytes *t, const unsigned char *data, size_t size);

#endif
