/* report.h - a page to explore a head load: report/report.html with style, script and data in it, one file
 * that needs nothing else. */
#ifndef MOHVIT_REPORT_H
#define MOHVIT_REPORT_H

#include "base/bytes.h"
#include "eval/importance_file.h"

typedef struct report {
    const head_load *load;
    const size_t *classes; /* (count) that are shown; the others are in its CSV alone */
    size_t count;
    const char *title;               /* UTF-8 */
    const importance_table *ablated; /* NULL: nothing is known */
    const char *pictures;            /* URL of a page of the pictures that use each head most; NULL: none */
} report;

/* name begins messages. Free *page with bytes_free; it is set on success alone. */
mohvit_status report_build(bytes *page, const report *r, const char *name, mohvit_error *err);

#endif
