/* progress.h - how far a long run is, on standard error: a line that is rewritten on a terminal, a line now
 * and then elsewhere. */
#ifndef MOHVIT_PROGRESS_H
#define MOHVIT_PROGRESS_H

#include "base/error.h"

typedef struct progress {
    size_t total, begun; /* images (0: nobody knows), and those that were done before */
    size_t done, failed;
    double start, last; /* seconds */
    size_t log_every;   /* seconds; elsewhere than on a terminal */
    bool quiet, terminal;
} progress;

void progress_begin(progress *p, size_t total, size_t done, size_t failed, size_t log_every, bool quiet);
/* So many images more. */
void progress_add(progress *p, size_t images, size_t failed);
/* Takes the line away. */
void progress_end(progress *p);

/* For what takes seconds: "DONE of TOTAL WHAT" on a terminal, nothing elsewhere; what NULL takes it away. */
void progress_show(size_t done, size_t total, const char *what);

/* "2 h 05 min", "7 min 30 s", "12 s" */
void progress_duration(char *out, size_t size, double seconds);

/* Images per second since the beginning, those done before left out. */
double progress_rate(const progress *p);

#endif
