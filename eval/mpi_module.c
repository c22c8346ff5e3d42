/* mpi_module.c - the part of the program that is linked with MPI: a module, loaded by ranks.c. */
#include "eval/mpi_module.h"

#include <limits.h>
#include <mpi.h>

static int join(int *rank, int *ranks)
{
    int provided, error = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
    if (error)
        return error;
    if (provided < MPI_THREAD_SERIALIZED)
        return MPI_ERR_OTHER;
    error = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (!error)
        error = MPI_Comm_rank(MPI_COMM_WORLD, rank);
    return error ? error : MPI_Comm_size(MPI_COMM_WORLD, ranks);
}

static void leave(void)
{
    MPI_Finalize();
}

static void abort_all(int status)
{
    MPI_Abort(MPI_COMM_WORLD, status);
}

static int broadcast(void *data, size_t size)
{
    return size > INT_MAX ? MPI_ERR_COUNT : MPI_Bcast(data, (int)size, MPI_BYTE, 0, MPI_COMM_WORLD);
}

static int send(int to, int tag, const void *data, size_t size)
{
    return size > INT_MAX ? MPI_ERR_COUNT : MPI_Send(data, (int)size, MPI_BYTE, to, tag, MPI_COMM_WORLD);
}

static int probe(int *from, int *tag, size_t *size)
{
    int there = 0, count = 0;
    MPI_Status status;
    *from = -1;
    int error = MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &there, &status);
    if (error || !there)
        return error;
    error = MPI_Get_count(&status, MPI_BYTE, &count);
    *from = status.MPI_SOURCE;
    *tag = status.MPI_TAG;
    *size = count > 0 ? (size_t)count : 0;
    return error;
}

static int receive(int from, int tag, void *data, size_t size)
{
    return MPI_Recv(data, (int)size, MPI_BYTE, from, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static const char *reason(int error)
{
    static char text[MPI_MAX_ERROR_STRING];
    int length;
    return MPI_Error_string(error, text, &length) ? "unknown error" : text;
}

__attribute__((visibility("default"))) extern const mpi_module mohvit_mpi_module;
const mpi_module mohvit_mpi_module = {
    .version = MPI_MODULE_VERSION,
    .join = join,
    .leave = leave,
    .abort = abort_all,
    .broadcast = broadcast,
    .send = send,
    .probe = probe,
    .receive = receive,
    .reason = reason,
};
