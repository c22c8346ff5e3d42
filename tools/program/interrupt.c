#include "tools/program/interrupt.h"

#include <signal.h>

static volatile sig_atomic_t caught;

static const int watched[] = {SIGINT, SIGTERM, SIGHUP};
#define WATCHED (sizeof watched / sizeof *watched)

static void note(int number)
{
    if (caught) {
        signal(number, SIG_DFL);
        raise(number);
    }
    caught = number;
}

void interrupt_begin(void)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART}, before;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < WATCHED; i++)
        if (!sigaction(watched[i], NULL, &before) && before.sa_handler != SIG_IGN)
            sigaction(watched[i], &action, NULL);
}

mohvit_status interrupt_check(const char *name, mohvit_error *err)
{
    return caught ? error_set(err, MOHVIT_ERROR_IO, "%s: not written: interrupted", name) : MOHVIT_OK;
}

bool interrupt_pending(void)
{
    return caught != 0;
}

static void restore(void)
{
    struct sigaction before;
    for (size_t i = 0; i < WATCHED; i++)
        if (!sigaction(watched[i], NULL, &before) && before.sa_handler == note)
            signal(watched[i], SIG_DFL);
}

void interrupt_forget(void)
{
    restore();
    caught = 0;
}

void interrupt_end(void)
{
    restore();
    if (caught)
        raise(caught);
}
