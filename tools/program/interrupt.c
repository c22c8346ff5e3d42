#include "tools/program/interrupt.h"

#include "base/replace_file.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int caught;

static const int watched[] = {SIGINT, SIGTERM, SIGHUP};
#define WATCHED (sizeof watched / sizeof *watched)

/* With what is half written taken away. raise returns in the first process of a container. */
static void end_by(int number)
{
    replace_cancel_all();
    signal(number, SIG_DFL);
    raise(number);
    _exit(128 + number);
}

static void note(int number)
{
    if (atomic_exchange(&caught, number))
        end_by(number);
}

static void handle(int number, void (*handler)(int))
{
    // Not held back meanwhile: end_by raises it again, and a second one must not wait.
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void interrupt_default(void)
{
    struct sigaction before;
    for (size_t i = 0; i < WATCHED; i++)
        if (!sigaction(watched[i], NULL, &before) && before.sa_handler == SIG_DFL)
            handle(watched[i], end_by);
}

void interrupt_begin(void)
{
    struct sigaction before;
    for (size_t i = 0; i < WATCHED; i++)
        if (!sigaction(watched[i], NULL, &before) && before.sa_handler != SIG_IGN)
            handle(watched[i], note);
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
            handle(watched[i], end_by);
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
