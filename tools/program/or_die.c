#include "tools/program/or_die.h"

#include "tools/program/exit_status.h"

#include <stdio.h>
#include <stdlib.h>

void *or_die(void *pointer)
{
    if (!pointer) {
        fputs("mohvit: out of memory\n", stderr);
        exit(EXIT_INPUT);
    }
    return pointer;
}
