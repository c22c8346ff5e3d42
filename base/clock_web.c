/* clock_web.c - a clock that stands still, in place of clock.c in WebAssembly: a reading would be a call of
 * JavaScript, hundreds for a picture, and nothing that the package exports asks how long something took. What
 * waits for the clock, as vit/kernels/peak.c does, must not be exported. */
#include "base/clock.h"

uint64_t clock_ns(void)
{
    return 0;
}

double clock_ms(void)
{
    return 0;
}

double clock_seconds(void)
{
    return 0;
}

uint64_t clock_thread_ns(void)
{
    return 0;
}
