/* exit_status.h - what the program says to the shell. */
#ifndef MOHVIT_EXIT_STATUS_H
#define MOHVIT_EXIT_STATUS_H

typedef enum exit_status {
    EXIT_FINE = 0,
    EXIT_INPUT = 1, /* some input failed, or a result could not be written */
    EXIT_USAGE = 2,
    EXIT_MODEL = 3 /* the model could not be loaded */
} exit_status;

#endif
