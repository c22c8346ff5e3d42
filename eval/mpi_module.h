/* mpi_module.h - what the program asks of MPI. The module fills one of these tables; it is all that the two
 * know of each other, so that the program is built, linked and packaged without MPI. */
#ifndef MOHVIT_MPI_MODULE_H
#define MOHVIT_MPI_MODULE_H

#include <stddef.h>
#include <stdint.h>

#define MPI_MODULE_VERSION 1
#define MPI_MODULE_FILE    "mohvit_mpi.so"
#define MPI_MODULE_SYMBOL  "mohvit_mpi_module"

/* Functions that return int: 0, or an error that reason explains. One call at a time. */
typedef struct mpi_module {
    unsigned version;
    int (*join)(int *rank, int *ranks);
    void (*leave)(void);
    void (*abort)(int status);
    int (*broadcast)(void *data, size_t size); /* from rank 0 */
    int (*send)(int to, int tag, const void *data, size_t size);
    /* Whether a message is waiting: *from −1: none. */
    int (*probe)(int *from, int *tag, size_t *size);
    int (*receive)(int from, int tag, void *data, size_t size);
    const char *(*reason)(int error);
} mpi_module;

#endif
