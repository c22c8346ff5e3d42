#include "eval/ranks.h"

#include "eval/mpi_module.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Messages: to rank 0, and from it. */
enum { TAG_WANT = 1, TAG_RECORD, TAG_FINISHED, TAG_CHUNK, TAG_STOP };

#define MAX_MESSAGE ((size_t)1 << 30)

struct ranks {
    const mpi_module *mpi;
    int rank, ranks;
    pthread_mutex_t lock; /* of every call of mpi, and of what follows */
    bool answered, stop;  /* of a rank other than 0: a chunk came; rank 0 wants the end */
    size_t answer;
};

bool ranks_started_by_mpirun(void)
{
    return getenv("OMPI_COMM_WORLD_SIZE") != NULL;
}

/* ---- The module ------------------------------------------------------------------------------ */

/* With a slash behind it; false where it cannot be told. */
static bool program_folder(char folder[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    if (length < 0)
        return false;
    folder[length] = '\0';
    strrchr(folder, '/')[1] = '\0';
    return true;
}

/* Beside the program, where it was built; or where installing puts it. */
char *ranks_module(void)
{
    static const char *const places[] = {"", MPI_MODULE_FROM_BIN};
    char folder[PATH_MAX], *path = NULL;
    if (!program_folder(folder))
        return NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (asprintf(&path, "%s%s%s", folder, places[i], MPI_MODULE_FILE) < 0)
            return NULL;
        if (!access(path, F_OK))
            return path;
        free(path);
    }
    return NULL;
}

static mohvit_status load_module(ranks *s, const char *path, mohvit_error *err)
{
    char folder[PATH_MAX];
    if (!path)
        return error_set(err, MOHVIT_ERROR_IO,
                         "started by mpirun, but %s is neither beside the program nor in %s%s: install the "
                         "package mohvit-mpi, or libopenmpi-dev and build again",
                         MPI_MODULE_FILE, program_folder(folder) ? folder : "", MPI_MODULE_FROM_BIN);
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library)
        return error_set(err, MOHVIT_ERROR_IO, "%s: cannot be loaded: %s", path, dlerror());
    s->mpi = dlsym(library, MPI_MODULE_SYMBOL);
    if (!s->mpi || s->mpi->version != MPI_MODULE_VERSION)
        return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: is the module of another version of mohvit", path);
    return MOHVIT_OK;
}

static mohvit_status mpi_error(const ranks *s, const char *what, int code, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_IO, "MPI: %s: %s", what, s->mpi->reason(code));
}

mohvit_status ranks_join(ranks **out, mohvit_error *err)
{
    ranks *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for MPI");
    char *path = ranks_module();
    mohvit_status status = load_module(s, path, err);
    free(path);
    if (!status) {
        int code = s->mpi->join(&s->rank, &s->ranks);
        status = code ? mpi_error(s, "joining", code, err) : MOHVIT_OK;
    }
    if (status) {
        free(s); // the module stays: MPI does not bear being unloaded
        return status;
    }
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return MOHVIT_OK;
}

void ranks_leave(ranks *s)
{
    if (!s)
        return;
    s->mpi->leave();
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void ranks_abort(ranks *s, int status)
{
    s->mpi->abort(status);
    _exit(status);
}

size_t ranks_index(const ranks *s)
{
    return (size_t)s->rank;
}

size_t ranks_local(const ranks *s)
{
    const char *text = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    long joined = text ? atol(text) : 1;
    return joined < 1 ? 1 : joined > s->ranks ? (size_t)s->ranks : (size_t)joined;
}

/* ---- Messages -------------------------------------------------------------------------------- */

mohvit_status ranks_broadcast(ranks *s, const char *text, char **out, mohvit_error *err)
{
    uint64_t length = s->rank ? 0 : strlen(text);
    int code = s->mpi->broadcast(&length, sizeof length);
    char *copy = !code && length <= MAX_MESSAGE ? malloc(length + 1) : NULL;
    if (!code && !copy)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %llu bytes of rank 0",
                         (unsigned long long)length);
    if (!code && !s->rank)
        memcpy(copy, text, length);
    if (!code)
        code = s->mpi->broadcast(copy, length);
    if (code) {
        free(copy);
        return mpi_error(s, "broadcast", code, err);
    }
    copy[length] = '\0';
    *out = copy;
    return MOHVIT_OK;
}

static mohvit_status send_to(ranks *s, int to, int tag, const void *data, size_t size, mohvit_error *err)
{
    pthread_mutex_lock(&s->lock);
    int code = s->mpi->send(to, tag, data, size);
    mohvit_status status = code ? mpi_error(s, "sending", code, err) : MOHVIT_OK;
    pthread_mutex_unlock(&s->lock);
    return status;
}

/* A message that is waiting, its content in b; *from −1: none is. */
static mohvit_status receive_locked(ranks *s, int *from, int *tag, bytes *b, mohvit_error *err)
{
    size_t size = 0;
    int code = s->mpi->probe(from, tag, &size);
    if (!code && *from >= 0) {
        bytes_free(b);
        b->data = malloc(size + 1);
        if (!b->data)
            return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a message of %zu bytes", size);
        b->size = size;
        b->capacity = size + 1;
        code = s->mpi->receive(*from, *tag, b->data, size);
    }
    return code ? mpi_error(s, "receiving", code, err) : MOHVIT_OK;
}

/* MPI would wait with a core at full load, which the network needs. */
static void wait_for_messages(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
}

/* ---- Rank 0 ---------------------------------------------------------------------------------- */

static mohvit_status answer_want(ranks *s, const ranks_host *host, int from, mohvit_error *err)
{
    size_t chunk = CHUNK_NONE;
    mohvit_status status = host->stopped(host->user) ? MOHVIT_OK : host->next(host->user, &chunk, err);
    uint64_t answer = chunk; // little-endian, as bytes_get_u64 reads it
    return status ? status : send_to(s, from, TAG_CHUNK, &answer, sizeof answer, err);
}

static mohvit_status tell_to_stop(ranks *s, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (int to = 1; !status && to < s->ranks; to++)
        status = send_to(s, to, TAG_STOP, "", 0, err);
    return status;
}

mohvit_status ranks_serve(ranks *s, const ranks_host *host, mohvit_error *err)
{
    int left = s->ranks - 1;
    bool told = false;
    bytes b = {0};
    mohvit_status status = MOHVIT_OK;
    while (!status && left) {
        int from, tag;
        if (!told && host->stopped(host->user)) {
            told = true;
            status = tell_to_stop(s, err);
            continue;
        }
        pthread_mutex_lock(&s->lock);
        status = receive_locked(s, &from, &tag, &b, err);
        pthread_mutex_unlock(&s->lock);
        if (status)
            break;
        if (from < 0)
            wait_for_messages();
        else if (tag == TAG_WANT)
            status = answer_want(s, host, from, err);
        else if (tag == TAG_RECORD)
            status = host->done(host->user, &b, err);
        else if (tag == TAG_FINISHED)
            left--;
    }
    bytes_free(&b);
    return status;
}

/* ---- The others ------------------------------------------------------------------------------ */

/* Takes what rank 0 has sent, with the lock held. */
static mohvit_status listen_locked(ranks *s, mohvit_error *err)
{
    int from, tag;
    bytes b = {0};
    mohvit_status status = receive_locked(s, &from, &tag, &b, err);
    if (!status && from == 0 && tag == TAG_STOP)
        s->stop = true;
    if (!status && from == 0 && tag == TAG_CHUNK) {
        byte_reader in = {b.data, b.size, false};
        s->answer = (size_t)bytes_get_u64(&in);
        s->answered = true;
    }
    bytes_free(&b);
    return status;
}

mohvit_status ranks_next(ranks *s, size_t *chunk, mohvit_error *err)
{
    bool over = false;
    mohvit_status status = send_to(s, 0, TAG_WANT, "", 0, err);
    *chunk = CHUNK_NONE;
    while (!status && !over) {
        pthread_mutex_lock(&s->lock);
        status = listen_locked(s, err);
        over = s->answered;
        if (over)
            *chunk = s->answer;
        s->answered = false;
        pthread_mutex_unlock(&s->lock);
        if (!over)
            wait_for_messages();
    }
    return status;
}

mohvit_status ranks_send_record(ranks *s, const bytes *record, mohvit_error *err)
{
    return send_to(s, 0, TAG_RECORD, record->data, record->size, err);
}

bool ranks_told_to_stop(ranks *s)
{
    mohvit_error ignored;
    pthread_mutex_lock(&s->lock);
    listen_locked(s, &ignored); // an error will come again where it can be reported
    bool stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

mohvit_status ranks_finish(ranks *s, mohvit_error *err)
{
    return send_to(s, 0, TAG_FINISHED, "", 0, err);
}
