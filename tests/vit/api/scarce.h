/* scarce.h - memory that runs out at a chosen allocation. scarce.c stands in for the allocation functions of
 * the C library, for all libraries of a program that it is part of, or into which it is preloaded:
 *
 *     SCARCE=N           allocation N of the program (from 1, after main has begun) fails
 *     SCARCE=N+          and so do all after it
 *     SCARCE_COUNT=FILE  at the end their number goes there
 *
 * What libgomp, OpenBLAS, jansson, libarchive and the dynamic loader allocate is given to them and not
 * counted: without memory they end the process (jansson 2.14 by an assertion, where the text of a token
 * cannot grow; libarchive 3.6.2 writes through NULL, in archive_read_new and archive_read_open1), and offer
 * no way to be asked first. So does fts_open of the C library (glibc 2.36 writes through NULL). */
#ifndef MOHVIT_SCARCE_H
#define MOHVIT_SCARCE_H

#include <stdbool.h>
#include <stddef.h>

/* From here allocation nth fails (from 1; 0: none), and where `lasting` all after it. */
void scarce_begin(size_t nth, bool lasting);

/* Ends that; how many there were. */
size_t scarce_end(void);

#endif
