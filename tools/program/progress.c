#include "tools/program/progress.h"

#include "base/clock.h"
#include "tools/program/complain.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REDRAW 0.25 /* seconds */

void progress_begin(progress *p, size_t total, size_t done, size_t failed, size_t log_every, bool quiet)
{
    double now = clock_seconds();
    *p = (progress){.total = total, .begun = done, .done = done, .failed = failed, .start = now, .last = now};
    p->log_every = log_every;
    p->quiet = quiet;
    p->terminal = isatty(STDERR_FILENO);
}

double progress_rate(const progress *p)
{
    double seconds = clock_seconds() - p->start;
    return seconds > 0 ? (double)(p->done - p->begun) / seconds : 0;
}

void progress_duration(char *out, size_t size, double seconds)
{
    unsigned long long s = seconds < 1e9 ? (unsigned long long)(seconds + 0.5) : 1000000000;
    if (s >= 3600)
        snprintf(out, size, "%llu h %02llu min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(out, size, "%llu min %02llu s", s / 60, s % 60);
    else
        snprintf(out, size, "%llu s", s);
}

static void describe(const progress *p, char *out, size_t size)
{
    char left[64] = "";
    double rate = progress_rate(p);
    if (rate > 0 && p->total)
        progress_duration(left, sizeof left, (double)(p->total - p->done) / rate);
    if (p->total)
        snprintf(out, size, "%zu of %zu images", p->done, p->total);
    else
        snprintf(out, size, "%zu image%s", p->done, plural(p->done));
    if (p->failed)
        snprintf(out + strlen(out), size - strlen(out), ", %zu failed", p->failed);
    if (rate > 0)
        snprintf(out + strlen(out), size - strlen(out), ", %.1f images/s", rate);
    if (*left)
        snprintf(out + strlen(out), size - strlen(out), ", %s left", left);
}

void progress_add(progress *p, size_t images, size_t failed)
{
    char line[256];
    double now = clock_seconds();
    p->done += images;
    p->failed += failed;
    if (p->quiet || now - p->last < (p->terminal ? REDRAW : (double)p->log_every))
        return;
    p->last = now;
    describe(p, line, sizeof line);
    if (p->terminal)
        complain_below(line);
    else
        complain("%s", line);
}

void progress_end(progress *p)
{
    if (p->terminal)
        complain_below(NULL);
}

void progress_show(size_t done, size_t total, const char *what)
{
    if (!isatty(STDERR_FILENO))
        return;
    fputs("\r\033[K", stderr);
    if (what)
        fprintf(stderr, "%zu of %zu %s", done, total, what);
}
