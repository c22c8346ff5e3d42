/* report.h - a page to explore a head load: report/report.html with style, script and data in it, one file
 * that needs nothing else. */
#ifndef MOHVIT_REPORT_H
#define MOHVIT_REPORT_H

#include "base/bytes.h"
#include "vit/headload/head_load.h"

/* title is UTF-8; name begins messages. Free *page with bytes_free; it is set on success alone. */
mohvit_status report_build(bytes *page, const head_load *l, const char *title, const char *name,
                           mohvit_error *err);

#endif
