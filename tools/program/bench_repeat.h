/* bench_repeat.h - which of two programs, or of two settings of one, is faster, and how sure is that? */
#ifndef MOHVIT_BENCH_REPEAT_H
#define MOHVIT_BENCH_REPEAT_H

#include "tools/program/bench_ratio.h"
#include "tools/program/command.h"

/* One more than a ratio needs: there is one pair of neighbours less (bench_repeat.c). */
enum { PAIRS_MIN = RATIOS_MIN + 1, PAIRS_MAX = RATIOS_MAX, PAIRS_DEFAULT = 21 };

typedef struct repeat {
    size_t pairs; // PAIRS_MIN to PAIRS_MAX
    /* What B differs in, in words as a shell takes them: NAME=VALUE for the environment, a program, and
     * options in addition. Each may be missing. */
    const char *against;
    output_format format;
    int argc;
    char **argv; // of the command
    const struct option *table;
} repeat;

/* Runs `mohvit bench` with the options of argv (A), and as `against` says (B), in turns. The exit status. */
int bench_repeat(const repeat *r);

#endif
