/* error.h - errors with a place in them, and warnings. */
#ifndef MOHVIT_ERROR_H
#define MOHVIT_ERROR_H

#include "base/compiler.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fills *err (err may be NULL) and returns status, so that a function can end in `return error_set(…)`.
 * Control bytes that came in through a file name or a tensor name are written as \xNN. */
mohvit_status error_set(mohvit_error *err, mohvit_status status, const char *format, ...) PRINTF_LIKE(3, 4);

/* error_set for what the system refused: appends ": " and strerror(errno). MOHVIT_ERROR_MEMORY where it
 * lacked that, MOHVIT_ERROR_IO where the path or its file is to blame, else MOHVIT_ERROR_SYSTEM. */
mohvit_status error_errno(mohvit_error *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* error_set for a library that failed and gave a reason: appends ": " and the reason. Few of them tell a lack
 * of memory from damaged data, but the malloc that failed left its mark in errno, which has to be 0 before
 * the call. */
mohvit_status error_library(mohvit_error *err, mohvit_status status, const char *reason, const char *format,
                            ...) PRINTF_LIKE(4, 5);

/* True if a retry might succeed: nothing is wrong with what was asked for. */
static inline bool error_may_pass(mohvit_status status)
{
    return status == MOHVIT_ERROR_MEMORY || status == MOHVIT_ERROR_SYSTEM;
}

/* The same of errno. */
bool errno_may_pass(void);

/* What a noun ends in, of which a message counts so many: "file%s". */
static inline const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* The analyzer sees one file at a time, and would follow paths on which an error is MOHVIT_OK. */
#ifdef __clang_analyzer__
#define error_set(err, status, ...)     ((void)error_set(err, status, __VA_ARGS__), (status))
#define error_library(err, status, ...) ((void)error_library(err, status, __VA_ARGS__), (status))
#define error_errno(...)                ((void)error_errno(__VA_ARGS__), MOHVIT_ERROR_IO)
#endif

/* A warning's receiver; the libraries never print. fn may be NULL. */
typedef struct warning_sink {
    void (*fn)(void *user, const char *message);
    void *user;
} warning_sink;

void warning_send(const warning_sink *sink, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
