/* clock.h - how long something took: by a clock that only goes forward, and in time of the processor. */
#ifndef MOHVIT_CLOCK_H
#define MOHVIT_CLOCK_H

#include <stdint.h>

/* Nanoseconds since some moment in the past; always 0 in WebAssembly (clock_web.c). */
uint64_t clock_ns(void);

/* The same in other units. */
double clock_ms(void);
double clock_seconds(void);

/* Nanoseconds for which the calling thread has been on a processor. */
uint64_t clock_thread_ns(void);

#endif
