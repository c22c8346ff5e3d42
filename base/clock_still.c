/* clock_still.c - a clock that stands still, in place of clock.c in WebAssembly: a reading would be a call of
 * JavaScript, hundreds for a picture, and nothing there asks how long something took. */
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
