#include "tools/program/interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int caught;

static const int watched[] = {SIGINT, SIGTERM, SIGHUP};
#define WATCHED (sizeof watched / sizeof *watched)

/* raise returns in the first process of a container. */
static void end_by(int number)
{
    signal(number, SIG_DFL);
    raise(number);
    _exit(128 + number);
}

static void note(int number)
{
    if (atomic_exchange(&caught, number))
        end_by(number);
}

/* The defaults; where the kernel would spare the process as the first of a container, what comes to the same. */
static void to_default(int number)
{
    signal(number, getpid() == 1 ? end_by : SIG_DFL);
}

void interrupt_default(void)
{
    struct sigaction before;
    for (size_t i = 0; i < WATCHED; i++)
        if (!sigaction(watched[i], NULL, &before) && before.sa_handler == SIG_DFL)
            to_default(watched[i]);
}

void interrupt_begin(void)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART | SA_NODEFER}, before;
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
            to_default(watched[i]);
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
        end_by(caught);
}
